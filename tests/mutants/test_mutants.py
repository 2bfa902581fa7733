"""The mutants themselves: what lines become, which are drawn, that a gap in the tests and a guarded line are seen."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.mutants import python_operators, sql_operators
from tests.mutants.areas import AREAS, Area
from tests.mutants.candidates import sample
from tests.mutants.equivalents import equivalents, outdated
from tests.mutants.forked import LATE, Child
from tests.mutants.mutant import mutant
from tests.mutants.runner import Verdict
from tests.mutants.table import counts, enough, lines, markdown

ROOT = Path(__file__).parents[2]
TINY = {
    "tasks/__init__.py": "",
    "tasks/tiny.py": (
        "def larger(a, b):\n    return a if a > b else b\n\n\ndef never_run(a):\n    return a * 2\n"
    ),
    "pyproject.toml": "[tool.pytest.ini_options]\nmarkers = ['slow']\n",
    "tests/test_tiny.py": (
        "import pytest\nfrom tasks.tiny import larger\n\n\n"
        "@pytest.fixture(scope='module')\ndef two():\n    return 2\n\n\n"
        "def test_larger(two):\n    assert larger(1, two) == 2\n    assert larger(two, 1) == 2\n"
    ),
}
JUDGE = """
import hypothesis, json, sys
from pathlib import Path
from tests.mutants.areas import Area
from tests.mutants.candidates import candidates
from tests.mutants.runner import Runner
root, folder = map(Path, sys.argv[1:])
runner = Runner(root, folder, 1)
made = [one for one in candidates(root, "tasks/tiny.py") if one.becomes.endswith(("b else b", "2"))]
verdicts = runner.judge(Area(("tasks/tiny.py",), ("tests",)), made, {})
print(json.dumps({verdict.mutant.becomes: verdict.outcome for verdict in verdicts}))
"""


def becomes(operators, source, line=1):
    """What one line may become."""
    return {mutant("x", source, edit).becomes for edit in operators.edits(source) if edit.line == line}


@pytest.mark.parametrize(
    ("source", "some"),
    [
        ("x = a < b", {"x = a <= b", "x = a >= b"}),
        ("x = (a) - (b)", {"x = (a) + (b)"}),
        (
            "x = 'é' if a and b else c",
            {"x = 'é' if a or b else c", "x = 'é'", "x = c", "x = 'é' if b else c"},
        ),
        ("x = not a", {"x = a"}),
        ("x = 0.5", {"x = (0.5 + 1)"}),
        ("x = min(a, b)", {"x = max(a, b)", "x = min(b, a)"}),
        ("x = f(a, key=b)", {"x = f(a)"}),
        ("x = [a for a in b if a.c]", {"x = [a for a in b if True]"}),
        ("x = a[1:]", {"x = a[:]"}),
        ("x.sort()", {"pass"}),
        ("raise ValueError('no')", {"pass"}),
    ],
)
def test_a_line_of_python_becomes_what_a_slip_makes_of_it(source, some):
    assert some <= becomes(python_operators, source)


def test_a_returned_value_is_forgotten_and_a_condition_turned_round():
    source = "def f(a):\n    if a:\n        return a + 1\n    return None"
    assert becomes(python_operators, source, 2) == {"if not (a):"}
    assert "return None" in becomes(python_operators, source, 3)
    assert becomes(python_operators, source, 4) == set()


@pytest.mark.parametrize(
    "source",
    [
        "from a import b",
        "assert a < b",
        "x: int | None",
        "@dataclass(frozen=True)\nclass A:\n    '''1 < 2'''",
        "x = f'{a + 1}'",
        "x = zip(a, strict=True)",
        "x = path / 'name'",
        "x = f(about='text')",
    ],
)
def test_what_no_number_hangs_on_is_left_alone(source):
    assert python_operators.edits(source) == []


@pytest.mark.parametrize(
    ("source", "some"),
    [
        ("    and a.x = b.x", {"", "and a.x <> b.x"}),
        ("join b using (k, l)", {"join b using (k)", "join b using (l)"}),
        (
            "over (partition by k, m order by n)",
            {"over (partition by k order by n)", "over (partition by k, m order by n desc)"},
        ),
        ("coalesce(a, 0) as a", {"a as a", "0 as a", "coalesce(a, 1) as a"}),
        (
            "where a is not null and b < 3",
            {"where a is null and b < 3", "where a is not null", "where a is not null and b <= 3"},
        ),
        ("min(a) filter (where b in (1)) as c", {"max(a) filter (where b in (1)) as c", "min(a) as c"}),
        ("left join t as b", {"join t as b"}),
        ("order by a desc nulls last", {"order by a nulls last", "order by a desc"}),
        ("count(distinct a.b)", {"count(*)", "count(a.b)"}),
    ],
)
def test_a_line_of_sql_becomes_what_a_slip_makes_of_it(source, some):
    assert some <= becomes(sql_operators, source)


@pytest.mark.parametrize(
    "source", ["-- 1 < 2 and min(a)", "'a < 2 and b'", "create or replace view a as", "    * exclude (b)"]
)
def test_comments_literals_and_stars_are_left_alone(source):
    assert sql_operators.edits(source) == []


def test_the_seed_draws_lines_and_a_change_elsewhere_leaves_them(tmp_path):
    area = Area(("tasks/*.py",), ())
    (tmp_path / "tasks").mkdir()
    file = tmp_path / "tasks" / "a.py"
    file.write_text("\n".join(f"x{n} = a{n} + b{n} < {n}" for n in range(50)))
    drawn = [one.key for one in sample(tmp_path, area, 10, seed=0)]
    assert drawn == [one.key for one in sample(tmp_path, area, 10, seed=0)]
    assert len({line for _, line, _ in drawn}) == 10
    assert drawn != [one.key for one in sample(tmp_path, area, 10, seed=1)]
    file.write_text(f"'''Said before.'''\n{file.read_text()}")
    assert drawn == [one.key for one in sample(tmp_path, area, 10, seed=0)]


def test_every_area_has_sources_and_tests():
    for area in AREAS.values():
        assert len(area.files(ROOT)) >= 4
        assert all((ROOT / file).is_file() for file in area.test_files(ROOT))
        assert area.test_files(ROOT)


def test_every_equivalent_has_a_reason_and_can_still_be_made():
    assert all(equivalents().values())
    assert outdated(ROOT, equivalents()) == []


def test_an_equivalent_whose_line_is_gone_is_told(tmp_path):
    (tmp_path / "a.py").write_text("x = a < b\n")
    judged = {("a.py", "x = a < b", "x = a <= b"): "why", ("a.py", "x = a < c", "x = a <= c"): "why"}
    assert outdated(tmp_path, judged) == ["a.py: no mutant  x = a < c  ->  x = a <= c"]


def test_a_gap_survives_and_a_guarded_line_is_killed(tmp_path):
    """The tests never compare equal numbers, and never run the second function."""
    for name, text in TINY.items():
        file = tmp_path / "root" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    subprocess.run(["git", "init", "--quiet", str(tmp_path / "root")], check=True)
    shown = subprocess.run(
        [sys.executable, "-c", JUDGE, str(tmp_path / "root"), str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
        timeout=120,
    )
    assert json.loads(shown.stdout.splitlines()[-1]) == {
        "return a if a >= b else b": "survived",
        "return a if a <= b else b": "killed",
        "return a / 2": "uncovered",
    }
    assert (tmp_path / "root" / "tasks" / "tiny.py").read_text() == TINY["tasks/tiny.py"]


def test_what_runs_past_its_time_is_ended_and_counts_as_killed(tmp_path):
    pid = os.posix_spawnp("sleep", ["sleep", "60"], os.environ, setpgroup=0)
    child = Child(pid, 0.05, tmp_path)
    while (code := child.ended()) is None:
        time.sleep(0.01)
    assert code == LATE
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_table_counts_what_survived_and_what_no_test_covers():
    edit = python_operators.edits("x = a < b")[0]
    made = mutant("a.py", "x = a < b", edit)
    some = [Verdict(made, outcome) for outcome in ["killed"] * 9 + ["equivalent", "uncovered"]]
    assert counts(some) == {"mutants": 11, "killed": 9, "equivalent": 1, "survived": 1}
    assert enough({"views": some})
    assert not enough({"views": some, "plan": [*some, Verdict(made, "survived")]})
    assert lines({"views": some}) == "views  mutants  11  killed   9  equivalent   1  survived   1"
    assert markdown({"views": some}).splitlines()[-1] == "| views | 11 | 9 | 1 | 1 |"
