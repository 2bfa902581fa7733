from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from rich.cells import cell_len

from orchestrator import query
from orchestrator.errors import run_command
from orchestrator.results.answer import show
from orchestrator.results.catalogue import catalogue, parse_params
from orchestrator.results.connection import Results
from orchestrator.results.parameters import columns
from orchestrator.store.store import Store
from tasks.errors import AuditError, UnknownName
from tests.support import synthetic_results as synthetic
from tests.support.commands import here
from tests.support.drilled import drilled_root

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    made = str(tmp_path_factory.mktemp("results"))
    synthetic.fill(made)
    return made


def output(capsysbinary: pytest.CaptureFixture[bytes], *arguments: str) -> str:
    assert query.main(list(arguments)) == 0
    return capsysbinary.readouterr().out.decode()


def run(*arguments: str, **more: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "orchestrator.query", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, **more)  # type: ignore[call-overload]


def test_a_query_by_name_with_parameters(root: str, capsysbinary) -> None:
    shown = output(
        capsysbinary,
        "per_class",
        "--results",
        root,
        "--param",
        "method=scrub",
        "split=test",
        "--format",
        "json",
    )
    assert {row["method"] for row in json.loads(shown)} == {"scrub"}


def test_parameters_may_be_given_one_by_one(root: str, capsysbinary) -> None:
    where = ["--results", root, "--format", "json"]
    one_by_one = ["--param", "method=scrub", "--param", "metric=accuracy", "--param", "split=test"]
    together = ["--param", "method=scrub", "metric=accuracy", "split=test"]
    found = [output(capsysbinary, "gap_to_retrained", *where, *given) for given in (one_by_one, together)]
    assert found[0] == found[1]
    shown = {(row["method"], row["metric"], row["split"]) for row in json.loads(found[0])}
    assert shown == {("scrub", "accuracy", "test")}


def test_a_statement(root: str, capsysbinary) -> None:
    shown = output(capsysbinary, "select count(*) as n from cells", "--results", root, "--format", "csv")
    assert shown == "n\n109\n"


def test_a_parameter_of_a_statement(root: str, capsysbinary) -> None:
    shown = output(capsysbinary, "select $x as x", "--results", root, "--param", "x=2.5", "--format", "csv")
    assert shown == "x\n2.5\n"


def test_a_terminal_shows_the_columns_that_answer_and_a_pipe_all(
    root: str, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Results(root) as results:
        rows = results.query("verdict", method="scrub")
    show(rows, "verdict")
    piped = capsys.readouterr()
    assert {"p_equivalent", "noise_floor"} <= set(piped.out.splitlines()[0].split())
    assert piped.err == ""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    for width in (80, 100, 160):
        monkeypatch.setenv("COLUMNS", str(width))
        show(rows, "verdict")
        shown = capsys.readouterr()
        lines = shown.out.splitlines()
        assert max(map(cell_len, lines)) <= width
        assert "method scrub" in lines[0]  # what all rows share, once
        assert "verdict" in "".join(lines[:4])
        assert re.search(r"\d+ more columns: --wide", shown.err)
        assert ("no room for" in shown.err) is (width < 160)
    show(rows, "verdict", wide=True)
    assert capsys.readouterr().out == piped.out


def headings(text: str) -> list[str]:
    """Names of the columns of an aligned table, which may stand on several lines."""
    above, rule, _ = re.split(r"^((?:-+ *)+)$", text, maxsplit=1, flags=re.MULTILINE)
    lines = above.rpartition("\n\n")[2].splitlines()
    return [
        "".join(line[slice(*found.span())].strip() for line in lines) for found in re.finditer("-+", rule)
    ]


@pytest.mark.parametrize(
    ("name", "at_40", "at_20"),
    [
        ("leaderboard", ["method", "distance", "verdict"], ["method", "verdict"]),
        ("method_pairs", ["method", "other_method", "difference"], ["method", "difference"]),
        ("class_confusion", ["method", "label", "predicted", "difference"], ["method", "difference"]),
    ],
)
def test_a_narrow_terminal_keeps_whose_answer_it_is_and_breaks_what_is_said_around_it(
    name: str, at_40: list[str], at_20: list[str], capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Results(drilled_root()) as results:
        rows = results.query(name)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    for width, expected in ((40, at_40), (20, at_20)):
        monkeypatch.setenv("COLUMNS", str(width))
        show(rows, name)
        shown = capsys.readouterr()
        assert max(map(cell_len, [*shown.out.splitlines(), *shown.err.splitlines()])) <= width
        assert len(shown.err.splitlines()) > 1
        assert [column for column in headings(shown.out) if column in at_40] == expected


def test_the_suffix_of_the_output_names_the_form(root: str, tmp_path: Path, capsysbinary) -> None:
    path = tmp_path / "failures.parquet"
    assert output(capsysbinary, "failures", "--results", root, "--output", str(path)) == ""
    assert pq.read_table(path).num_rows == 2


def test_the_list_names_every_query(capsysbinary) -> None:
    shown = output(capsysbinary, "--list")
    assert "leaderboard: Which unlearning method comes closest" in shown
    assert "--param cell_id=VALUE" in shown
    assert "[top=20]" in shown


def test_the_export_names_its_files(root: str, tmp_path: Path, capsysbinary) -> None:
    shown = output(capsysbinary, "--results", root, "--export", str(tmp_path / "out"))
    assert shown.splitlines()[-1] == str(tmp_path / "out" / "views.sql")


def test_verify_and_repair(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = str(tmp_path / "results")
    store = synthetic.Store(made)
    store.check_ready()
    assert query.main(["--results", made, "--verify"]) == 0
    store.files.write("metrics/aa.arrow", b"ARROW1")
    capsys.readouterr()
    assert query.main(["--results", made, "--verify"]) == 1
    assert capsys.readouterr().out == "metrics/aa.arrow: truncated or corrupt: a header that leads outside\n"
    assert query.main(["--results", made, "--repair"]) == 0
    assert capsys.readouterr().out == (
        "metrics/aa.arrow: truncated or corrupt: a header that leads outside; moved to _damaged\n"
    )
    assert query.main(["--results", made, "--verify"]) == 0


def test_the_prompt_goes_on_after_an_error(root: str, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "sys.stdin", io.StringIO("select\n7 as seven;\nselect nope;\nfailures\nselect 8 as eight")
    )
    assert query.main(["--results", root]) == 0
    captured = capsys.readouterr()
    assert "seven" in captured.out
    assert "Diverged" in captured.out
    assert "eight" in captured.out
    assert captured.err.startswith("error: query: Binder Error")


def test_the_prompt_says_why_there_are_no_rows(
    tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    synthetic.fill(str(tmp_path))
    store = Store(str(tmp_path))
    for key in store.keys("metrics"):
        rows = store.read("metrics", key).to_pylist()
        store.write("metrics", key, [r for r in rows if (r["metric"], r["split"]) != ("accuracy", "forget")])
    monkeypatch.setattr("sys.stdin", io.StringIO("layer_scope_cost;\nselect 7 where false;"))
    assert query.main(["--results", str(tmp_path)]) == 0
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith(
        "layer_scope_cost: nothing has metric=accuracy, split=forget, attack=none together."
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["leaderboard", "metric=acuracy"], "--param metric: 'acuracy' occurs nowhere in these results."),
        (["leaderboard", "metric=acuracy"], "Did you mean 'accuracy'? There is: "),
        (
            ["leaderboard", "metric=tug_of_war_mia"],
            "'tug_of_war_mia' occurs nowhere",
        ),  # a metric, measured nowhere
        (["gap_to_retrained", "method=scrubb"], "Did you mean 'scrub'?"),
        (["gap_to_retrained", "method=scrub", "split=forgt"], "--param split: 'forgt' occurs"),
        (["gap_to_retrained", "method=salun_2"], "There is: finetune, no_op, retrain, retrain_again, s"),
        (["per_class", "method=7"], "--param method: '7' occurs nowhere"),
        (["published_vs_ours", "row_set=nobody"], "--param row_set: 'nobody' occurs"),
        (["method_table", "per_example=u_lira"], "--param per_example: 'u_lira' occurs"),
        (["roc_one_cell", "cell_id=deadbeef"], ", and 89 more\n"),
        (["verdict", "forget_set=random:fraction=0.2"], "Did you mean 'random:fraction=0.1'?"),
        (["example_auc", "fdr=abc"], 'error: --param fdr: expected a number from 0 to 1, got "abc"\n'),
        (["hardest_examples", "top=-1"], "--param top: expected a whole number from 1, got -1\n"),
    ],
)
def test_a_value_that_occurs_nowhere_is_refused(
    root: str, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name, *params = arguments
    code = run_command(lambda: query.main([name, "--results", root, "--param", *params]))
    captured = capsys.readouterr()
    assert (code, captured.out) == (2, "")
    assert message in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["leaderboard", "metric=robust_accuracy"],
        ["leaderboard", "metric=null"],
        ["gap_to_retrained", "method=retrain"],  # no row of the answer, and in the results
        ["published_vs_ours", "method=scrub"],
        ["forgetting_order", "forget_set=any"],  # results without one pool
        ["example_auc", "fdr=0.123"],
        ["hardest_examples", "top=3"],
    ],
)
def test_other_values_are_answered(root: str, arguments: list[str], capsysbinary) -> None:
    name, *params = arguments
    assert "row" in output(capsysbinary, name, "--results", root, "--param", *params)


def test_values_that_do_not_occur_together_are_named_with_those_that_do(root: str, capsys) -> None:
    asked = ["layer_scope_cost", "--results", root, "--param", "metric=robust_accuracy"]
    assert query.main(asked) == 0
    captured = capsys.readouterr()
    assert "(0 rows)" in captured.out
    assert captured.err == (
        "layer_scope_cost: nothing has metric=robust_accuracy, split=forget, attack=none together. "
        "With the rest as asked there is split=test, attack=pgd\n"
    )
    assert query.main([*asked, "attack=pgd", "split=test"]) == 0
    captured = capsys.readouterr()
    assert "(0 rows)" not in captured.out
    assert captured.err == ""
    assert (
        query.main(["gap_to_retrained", "--results", root, "--param", "method=retrain", "split=forget"]) == 0
    )
    assert capsys.readouterr().err == ""  # the values occur together; the query leaves the reference out


def test_the_column_of_every_text_parameter_is_found(root: str) -> None:
    with Results(root) as results:
        for shipped in catalogue().values():
            open_ = {n for n, v in shipped.defaults.items() if v is None or isinstance(v, str)}
            texts = open_ - shipped.ranges.keys()  # with limits it is a number
            found = columns(results, shipped)
            assert found.keys() == texts | set(shipped.required), shipped.name
            for column in (column for several in found.values() for column in several):
                known = results.sql("select 1 from duckdb_columns() where column_name = $c", c=column)
                assert known.num_rows, (shipped.name, column)


@pytest.mark.parametrize("name", ["x.xlsx", "x.parquet.gz", "x.feather"])
def test_a_suffix_that_no_form_has_is_refused(root: str, tmp_path: Path, name: str, capsys) -> None:
    asked = ["failures", "--results", root, "--output", str(tmp_path / name)]
    assert run_command(lambda: query.main(asked)) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"error: --output: no form with the suffix '{Path(name).suffix}'.")
    assert captured.err.endswith("Valid: .arrow, .csv, .json, .md, .parquet, .tex, .txt\n")
    assert query.main([*asked, "--format", "csv"]) == 0
    assert query.main(["failures", "--results", root, "--output", str(tmp_path / "X.CSV")]) == 0
    assert query.main(["failures", "--results", root, "--output", str(tmp_path / "plain")]) == 0
    assert (tmp_path / "X.CSV").read_bytes() == (tmp_path / name).read_bytes()
    assert (tmp_path / "plain").read_text().endswith("rows)\n")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ("--format", "csv", "--output", "x.json"),
            "--output: expected a name for --format csv, got x.json, a name for json",
        ),
        (
            ("--format", "arrow", "--output", "x.TXT"),
            "--output: expected a name for --format arrow, got x.TXT, a name for table",
        ),
        (
            ("--export", "all.parquet"),
            "--export: expected a directory such as all, got all.parquet, a name for a file",
        ),
    ],
)
def test_a_name_for_another_form_is_refused_before_any_work(
    tmp_path: Path, flags: tuple[str, ...], message: str
) -> None:
    ran = here(query.main, "failures", "--results", "absent", *flags, folder=tmp_path)
    assert (ran.returncode, ran.stderr.startswith(f"error: {message}")) == (2, True)


def test_every_text_may_be_called_txt(root: str, tmp_path: Path) -> None:
    query.main(["failures", "--results", root, "--format", "json", "--output", str(tmp_path / "x.txt")])
    assert isinstance(json.loads((tmp_path / "x.txt").read_text()), list)


def test_an_error_does_not_steer_the_terminal(root: str, capsys) -> None:
    asked = ["leaderboard", "--results", root, "--param", "metric=\x1b[2Jx\u202e\ufeff"]
    assert run_command(lambda: query.main(asked)) == 2
    assert r"'\x1b[2Jx\u202e\ufeff' occurs" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["x", "=1", "1x=2"])
def test_a_parameter_without_name_or_value_is_refused(text: str) -> None:
    with pytest.raises(AuditError, match="--param: expected name=value"):
        parse_params((text,))


def test_an_unknown_query_names_the_nearest(root: str) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'leaderboard'"):
        query.main(["leaderbord", "--results", root])


@pytest.mark.parametrize(
    "arguments",
    [
        ["leaderbord"],
        ["selec 1"],
        ["drop view leaderboard"],
        ["failures", "--output", "/no/x.csv"],
        ["failures", "--param", "top=3"],
        ["roc_one_cell"],
    ],
)
def test_errors_are_one_line_and_two(root: str, arguments: list[str], capsys) -> None:
    assert run_command(lambda: query.main([*arguments, "--results", root])) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1


def test_the_command_exits_with_two(tmp_path: Path) -> None:
    found = run("failures", "--results", str(tmp_path / "absent"))
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr.startswith("error: results: no directory")


def test_help_needs_neither_duckdb_nor_pyarrow() -> None:
    code = (
        "import sys; from orchestrator import query\n"
        "try: query.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print([m for m in ('duckdb', 'pyarrow', 'pandas', 'torch', 'ray') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert found.stdout.splitlines()[-1] == "[]"


def test_a_query_needs_nothing_that_takes_a_second(root: str) -> None:
    code = (
        "import sys; from orchestrator import query, store\n"
        "assert not {'pandas', 'duckdb', 'pyarrow.dataset'} & set(sys.modules)\n"
        f"query.main(['leaderboard', '--results', {root!r}])\n"
        "slow = ('torch', 'ray', 'scipy.stats', 'scipy.optimize')\n"
        "sys.stderr.write(str([m for m in slow if m in sys.modules]))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert found.stderr == "[]"
    assert "scrub" in found.stdout
