"""What every shipped query promises: a readable header, plain SQL, an answer with and without results."""

from __future__ import annotations

import ast
import json
import re
import shutil
from pathlib import Path

import pytest

from orchestrator.results.catalogue import (
    DIRECTORY,
    Query,
    catalogue,
    find_query,
    parse_query,
    parse_value,
    read_query,
)
from orchestrator.results.connection import Results
from orchestrator.store.store import Store
from tasks.errors import AuditError, UnknownName
from tests.support import synthetic_results as synthetic

QUERIES = catalogue()
ROOT = Path(__file__).parents[2]
OWN = [*sorted(ROOT.glob("orchestrator/results/queries/*.sql")), ROOT / "orchestrator/results/trackers.sql"]
"""SQL that one part of the program asks, in place of a user."""
EXPECTED = {
    "attack_agreement",
    "cost",
    "failures",
    "fairness_vs_robustness",
    "forget_set_difficulty",
    "gap_to_retrained",
    "hardest_examples",
    "layer_scope_cost",
    "leaderboard",
    "per_class",
    "robust_drop",
    "roc_one_cell",
    "seed_variance",
}
KEYWORDS = "select from where join left group order by and or case when then else end with over partition as"


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Results:
    root = str(tmp_path_factory.mktemp("empty"))
    Store(root).check_ready()
    return Results(root)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Results:
    root = str(tmp_path_factory.mktemp("full"))
    synthetic.fill(root)
    return Results(root)


@pytest.fixture(scope="module")
def compacted(full: Results, tmp_path_factory: pytest.TempPathFactory) -> Results:
    """The same rows, in files of many rows."""
    root = str(tmp_path_factory.mktemp("compacted") / "copy")
    shutil.copytree(full.store.root, root)
    Store(root).compact()
    return Results(root)


def required(query: Query) -> dict[str, str]:
    cell = synthetic.Place(synthetic.FORGET_SETS[0], "scrub", 0).cell_id("population")
    return dict.fromkeys(query.required, cell)


def code(query: Query) -> str:
    """The SQL without comments and text literals."""
    return re.sub(r"'[^']*'", "''", re.sub(r"--[^\n]*", "", query.text))


def test_the_promised_queries_ship() -> None:
    assert set(QUERIES) >= EXPECTED


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_it_answers_with_and_without_results(name: str, empty: Results, full: Results) -> None:
    nothing = empty.query(name, **required(QUERIES[name]))
    something = full.query(name, **required(QUERIES[name]))
    assert nothing.num_rows == 0
    assert something.num_rows > 0
    assert something.column_names == nothing.column_names
    assert [str(t) for t in something.schema.types] == [str(t) for t in nothing.schema.types]


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_its_answer_has_one_order(name: str, full: Results, compacted: Results) -> None:
    answers = [r.query(name, **required(QUERIES[name])).to_pylist() for r in (full, full, compacted)]
    rounded = [
        [[f"{v:.6g}" if isinstance(v, float) else v for v in row.values()] for row in a] for a in answers
    ]
    assert rounded[0] == rounded[1] == rounded[2]


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_its_header_says_what_it_answers(query: Query) -> None:
    assert query.question.endswith("?")
    assert query.grain
    used = set(re.findall(r"\$(\w+)", code(query)))
    assert used == {*query.defaults, *query.required}


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_its_sql_is_plain(name: str) -> None:
    sql = code(QUERIES[name])
    words = set(re.findall(r"\b[A-Za-z]+\b", sql))
    assert not words & {keyword.upper() for keyword in KEYWORDS.split()}
    last = sql[sql.rindex("\nselect\n") :] if "\nselect\n" in sql else sql
    assert "*" not in re.sub(r"count\(\*\)|\w \* \w|\) \* ", "", last.split("\nfrom")[0])
    assert "order by" in last
    assert max(map(len, QUERIES[name].text.splitlines())) <= 110


@pytest.mark.parametrize("query", [q for q in QUERIES.values() if q.shown], ids=lambda query: query.name)
def test_columns_that_a_table_shows_are_those_of_the_answer(query: Query, empty: Results) -> None:
    columns = empty.query(query.name).column_names
    assert set(query.shown) < set(columns)
    assert "-- shown" not in query.question


def test_there_is_no_python_among_the_queries() -> None:
    assert not list(DIRECTORY.rglob("*.py"))


def test_headers_are_read() -> None:
    query = parse_query("q", '-- Why?\n-- grain: row\n-- param a = "x: y": text\n-- param b\nselect $a, $b')
    assert (query.question, query.grain) == ("Why?", "row")
    assert query.defaults == {"a": "x: y"}
    assert query.bind({"b": 1}) == {"a": "x: y", "b": 1}
    with pytest.raises(AuditError, match=r"^expected --param b=VALUE"):
        query.bind({})
    with pytest.raises(UnknownName, match=r"^no parameter 'c'"):
        query.bind({"b": 1, "c": 2})
    with pytest.raises(AuditError, match="expected a JSON value"):
        parse_query("q", "-- Why?\n-- param a = x\nselect 1")
    with pytest.raises(AuditError, match="numbers for its limits"):
        parse_query("q", "-- Why?\n-- param a = 1 from x: text\nselect 1")


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("share", ("abc", 2, -0.1, None, True), "expected a number from 0 to 1, got "),
        ("top", (0, -1, 1.5, "x"), "expected a whole number from 1, got "),
        ("only", (1, "yes", None), "expected true or false, got "),
    ],
)
def test_a_parameter_has_the_type_of_its_default_and_the_declared_range(
    name: str, values: tuple[object, ...], message: str
) -> None:
    head = "-- Why?\n-- param share = 0.1 from 0 to 1: a\n-- param top = 20 from 1: b\n-- param only = false: c\n"
    query = parse_query("q", head + '-- param text = "x": d\nselect 1')
    for value in values:
        with pytest.raises(AuditError, match=f"^--param {name}: {message}{json.dumps(value)}$"):
            query.bind({name: value})
    search = parse_query("q", "-- Why?\n-- param bound = null from 0 to 1: a\nselect 1")
    assert search.bind({}) == search.bind({"bound": None}) == {"bound": None}
    assert search.bind({"bound": 0.2}) == {"bound": 0.2}
    with pytest.raises(AuditError, match=r"^--param bound: expected a number from 0 to 1, got 2$"):
        search.bind({"bound": 2})
    fits = {"share": 1, "top": 3, "only": True, "text": 7}
    assert query.bind(fits) == fits | {"text": "7"}


def test_every_number_has_a_range() -> None:
    for query in QUERIES.values():
        of_null = {name for name in query.ranges if query.defaults[name] is None}
        numbers = of_null | {
            n for n, v in query.defaults.items() if isinstance(v, (int, float)) and not isinstance(v, bool)
        }
        assert query.ranges.keys() == numbers, query.name


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.01", 0.01),
        ("3", 3),
        ("null", None),
        ("true", True),
        ("forget", "forget"),
        ('"3"', "3"),
        ("[1]", "[1]"),
    ],
)
def test_values_are_json_or_text(text: str, value: object) -> None:
    assert parse_value(text) == value
    assert type(parse_value(text)) is type(value)


def test_a_file_of_the_user_is_found(tmp_path: Path) -> None:
    path = tmp_path / "mine.sql"
    path.write_text("-- Mine?\nselect 1")
    assert find_query(str(path)).question == "Mine?"
    assert find_query("queries/failures.sql").name == "failures"
    with pytest.raises(UnknownName, match="no file or query"):
        find_query(str(tmp_path / "absent.sql"))


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.stem)
def test_queries_of_our_own_have_a_header_and_answer_without_results(path: Path, empty: Results) -> None:
    query = read_query(path)
    assert query.question.endswith("?")
    assert query.grain
    assert empty.query(str(path), **dict.fromkeys(query.required, "x")).num_rows <= 1


def test_sql_stands_in_files() -> None:
    """Python holds no SQL beyond a whole table; the notebook shows how to write some."""
    found = []
    for path in sorted(ROOT.joinpath("orchestrator").rglob("*.py")):
        if path.name == "notebook.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
            if re.match(
                r"\s*(select|with)\b.*\bfrom\b.*\b(where|group by|join|limit)\b", text, flags=re.DOTALL
            ):
                found.append(f"{path.relative_to(ROOT)}: {text[:60]}")
    assert not found
