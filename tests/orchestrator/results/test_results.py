from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest

from orchestrator.results.connection import Results
from orchestrator.results.formats import render
from orchestrator.store.store import Store
from orchestrator.store.tables import TABLES
from orchestrator.store.verify import repair
from tasks.errors import AuditError, UnknownName
from tests.support import synthetic_results as synthetic
from tests.support.audited import write_cell
from tests.support.compacting import compacting_after

ROW = {"metric": "auc", "split": "all", "variant": "", "value": 0.5, "n": 1, "higher_is": "worse"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(str(tmp_path / "results"))
    made.check_ready()
    made.write("metrics", "k0", [ROW])
    return made


@pytest.fixture
def results(store: Store) -> Results:
    return Results(store.root)


@pytest.mark.parametrize(
    "name",
    [
        *TABLES,
        "published",
        "methods",
        "metric_declarations",
        "declared",
        "leaderboard",
        "failures",
        "cost_by_stage",
    ],
)
def test_every_table_and_view_is_there(results: Results, name: str) -> None:
    assert name in results.names
    assert len(results.sql(f"describe {name}")) >= 1


def test_views_are_listed_and_suggested_before_any_is_asked_for(results: Results, store: Store) -> None:
    """A session makes each when it is first named."""
    with pytest.raises(AuditError, match='Did you mean "leaderboard"'):
        results.sql("from leaderbord")
    for question in (
        "from duckdb_views() select view_name as name",
        "-- what is\n  -- there?\nshow tables",
        "-- there\rshow tables\n",
    ):
        with Results(store.root) as session:
            assert {"leaderboard", "plan_cells", "model_verdicts"} <= set(
                session.sql(question)["name"].to_pylist()
            )
            assert session.table("verdicts").num_rows == 0


def test_parameters_are_values_not_text(results: Results) -> None:
    found = results.sql("select count(*) as n from metrics where metric = $m", m="auc' or 'a' = 'a")
    assert found.to_pylist() == [{"n": 0}]


def test_one_thread_adds_so_that_sums_have_the_same_bits_each_time(results: Results) -> None:
    assert results.sql("select current_setting('threads') as threads")["threads"].to_pylist() == [1]


def test_columns_that_share_a_name_are_all_kept(results: Results) -> None:
    """As mappings, rows would hold one of them, and a line of CSV fewer values than names."""
    rows = results.sql("select 1 as a, 2 as a, 3 as a_2, 4 as a")
    assert rows.to_pylist() == [{"a": 1, "a_3": 2, "a_2": 3, "a_4": 4}]
    assert json.loads(render(rows, "json")) == rows.to_pylist()
    assert render(rows, "csv") == b"a,a_3,a_2,a_4\n1,2,3,4\n"


def test_a_header_gives_defaults(results: Results) -> None:
    header = "-- How many?\n-- param least = 0.4: smallest value\n"
    text = header + "select count(*) as n from metrics where value > $least"
    assert results.sql(text).to_pylist() == [{"n": 1}]
    assert results.sql(text, least=0.6).to_pylist() == [{"n": 0}]


def test_a_session_keeps_its_state_until_it_is_refreshed(results: Results, store: Store) -> None:
    assert results.table("metrics").num_rows == 1
    store.write("metrics", "k1", [ROW])
    store.write("metrics", "k0", [ROW, ROW | {"split": "other"}])
    store.compact()
    assert results.table("metrics").num_rows == 1
    results.refresh()
    assert results.table("metrics").num_rows == 3
    assert results.table("metrics").num_rows == 3


def opened(results: Results, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Tables whose files are listed from now on: whether all are read at once or in each query."""
    calls: list[str] = []
    for way in ("dataset", "read"):
        real = getattr(results.store, way)
        listed = lambda table, real=real: calls.append(table) or real(table)  # noqa: E731
        monkeypatch.setattr(results.store, way, listed)
    return calls


@pytest.mark.parametrize(
    "error",
    [
        duckdb.InvalidInputException(
            "the rows of the object registered as 'metrics' failed: KeyboardInterrupt: "
        ),
        RuntimeError("Query interrupted"),
    ],
    ids=["while it asks for rows", "while it runs a statement"],
)
def test_a_ctrl_c_that_reaches_duckdb_is_still_one(
    results: Results, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """It must not be taken for a file that moved and be tried again, nor for a fault of the program."""

    def interrupted(*_: object) -> None:
        raise error

    monkeypatch.setattr(results.store, "read", interrupted)
    with pytest.raises(KeyboardInterrupt):
        results.sql("from metrics")


def test_the_queries_of_a_session_read_each_table_once(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = opened(results, monkeypatch)
    for name in ("verdict", "scoreboard", "gap_to_retrained", "verdict"):
        results.query(name)
    assert sorted(calls) == sorted(set(calls))
    assert {"cells", "metrics"} <= set(calls)


def test_rows_per_example_are_held_where_small_and_scanned_otherwise(
    results: Results, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("c1", "c2"):
        store.write("examples", key, [{"example_id": 1, "split": "test"}], attack="none")
    calls = opened(results, monkeypatch)
    for _ in range(4):
        assert results.sql("select count(*) as n from examples where cell_id = 'c1'").to_pylist() == [
            {"n": 1}
        ]
    assert calls == ["examples"]
    monkeypatch.setattr("orchestrator.results.connection.HELD_BYTES", 100)
    results.refresh()
    for _ in range(4):
        assert results.table("examples").num_rows == 2
    assert [name for name in calls if name != "runs"] == ["examples"] * 2  # the latest run is looked up again
    store.write("examples", "c3", [{"example_id": 1, "split": "test"}], attack="none")
    results.refresh()
    assert results.table("examples").num_rows == 3


def test_a_held_table_answers_as_the_files_do(tmp_path: Path) -> None:
    store = synthetic.fill(str(tmp_path / "results"))
    results = Results(store.root)
    for name in TABLES:
        found = [results.table(name) for _ in range(3)][-1]
        expected = store.dataset(name).to_table()
        assert found.column_names == expected.column_names
        ours, theirs = (sorted(json.dumps(r, default=str) for r in t.to_pylist()) for t in (found, expected))
        assert ours == theirs


def test_a_compaction_between_listing_and_opening_is_survived(
    results: Results, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write("metrics", "k1", [ROW])
    calls: list[str] = []
    compacting_after(results.store, store, calls, monkeypatch)
    assert results.sql("select count(*) as n from metrics").to_pylist() == [{"n": 2}]
    assert calls == ["metrics", "metrics"]


@pytest.mark.parametrize(
    "text",
    [
        "create table x as select 1",
        "insert into metrics select * from metrics",
        "drop view leaderboard",
        "copy metrics to 'x.csv'",
        "attach 'x.db'",
        "install json",
        "set threads = 1",
        "select 1; delete from metrics",
        "pragma enable_profiling",
        "export database 'x'",
    ],
)
def test_writing_is_refused(results: Results, text: str) -> None:
    with pytest.raises(AuditError, match=r"expected a statement that reads .*, got [A-Z]+$"):
        results.sql(text)


@pytest.mark.parametrize("text", ["select * from read_text('/etc/hostname')", "from '/etc/passwd'"])
def test_other_files_cannot_be_read(results: Results, text: str) -> None:
    with pytest.raises(AuditError, match=r"query: .*(got read_text\(\)|does not exist)"):
        results.sql(text)


def test_python_variables_are_no_tables(results: Results) -> None:
    mine = results.table("metrics")
    assert mine.num_rows
    with pytest.raises(AuditError, match="does not exist"):
        results.sql("select * from mine")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("selec 1", r'syntax error at or near "selec" \(line 1\)'),
        ("select valeu from metrics", 'Candidate bindings: "value"'),
        ("select * from metric", 'Did you mean "metrics"'),
        ("select $x", "expected --param x=VALUE"),
        ("", "expected a statement, got none"),
    ],
)
def test_wrong_sql_is_one_line(results: Results, text: str, message: str) -> None:
    with pytest.raises(AuditError, match=message) as error:
        results.sql(text)
    assert "\n" not in str(error.value)


def test_unknown_parameters_and_tables_name_the_nearest(results: Results) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'top'"):
        results.query("hardest_examples", topp=3)
    with pytest.raises(UnknownName, match="Did you mean 'metrics'"):
        results.table("metrcs")
    with pytest.raises(UnknownName, match="Did you mean 'failures'"):
        results.query("failure")


def test_a_damaged_file_is_named(results: Results, store: Store) -> None:
    path = Path(store.root, "metrics", "k0.arrow")
    path.write_bytes(path.read_bytes()[:-20])
    write_cell(store, "finetune")
    for text in ("select * from metrics", "select * from leaderboard"):
        with pytest.raises(AuditError, match=r"cannot read .*metrics/k0\.arrow .*--repair"):
            results.sql(text)
    assert results.table("cells").num_rows == 1
    repair(store)
    assert results.table("leaderboard").num_rows == 0


def test_a_missing_directory_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match="results: no directory"):
        Results(str(tmp_path / "nothing"))


def test_another_version_is_refused(store: Store) -> None:
    Path(store.root, "store.json").write_text(json.dumps({"schema_version": 99}))
    with pytest.raises(AuditError, match="schema version 99"):
        Results(store.root)


def test_filters_reach_the_files(store: Store) -> None:
    for cell in ("c1", "c2"):
        store.write("examples", cell, [{"example_id": 1, "split": "test"}], attack="none")
    plan = Results(store.root).sql(
        "explain select * from examples where cell_id = $c and split = 'test'", c="c1"
    )
    text = plan.to_pylist()[0]["explain_value"]
    assert "Filters" in text
    assert "cell_id" in text.split("Filters")[1].split("Projections")[0]


def test_published_rows_ship(results: Results) -> None:
    table = results.table("published")
    assert table.num_rows > 50
    assert set(table["unit"].to_pylist()) >= {"percent"}


def test_data_frames(results: Results) -> None:
    pandas = pytest.importorskip("pandas")
    frame = results.to_df("metrics")
    assert isinstance(frame, pandas.DataFrame)
    assert frame["value"].tolist() == [0.5]


def test_an_export_answers_the_same_in_plain_duckdb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synthetic.fill(str(tmp_path / "results"))
    results = Results(str(tmp_path / "results"))
    written = results.export(tmp_path / "export")
    assert {p.name for p in written} >= {"metrics.parquet", "examples.parquet", "views.sql"}
    monkeypatch.chdir(tmp_path / "export")
    plain = duckdb.connect()
    plain.execute(Path("views.sql").read_text())
    for name in ("leaderboard", "failures", "examples"):
        order = "order by all"
        ours = results.sql(f"select * from {name} {order}").to_pylist()
        assert plain.sql(f"select * from {name} {order}").to_arrow_table().to_pylist() == ours
        assert ours


def test_compaction_changes_no_answer(tmp_path: Path) -> None:
    store = synthetic.fill(str(tmp_path / "results"))
    results = Results(store.root)
    before = results.query("gap_to_retrained")
    assert store.compact() > 100
    results.refresh()
    assert results.query("gap_to_retrained").equals(before)


def test_an_earlier_evaluation_of_the_same_model_pairs_with_its_own_reference(tmp_path: Path) -> None:
    """Other evaluation settings make new cells of the same models: rows do not multiply."""
    store = synthetic.fill(str(tmp_path / "results"))
    results = Results(store.root)
    before = results.query("gap_to_retrained", metric="accuracy", split="forget").num_rows
    for place in (synthetic.Place(synthetic.FORGET_SETS[0], m, 0) for m in ("retrain", "scrub")):
        row = store.read("cells", place.cell_id("none")).to_pylist()[0]
        key = synthetic.name("again", place.method)
        store.write("cells", key, [row | {"cell_id": key, "run_id": "run-2"}])
        value = 0.25 if place.method == "retrain" else 0.5
        again = synthetic.proportion("accuracy", "forget", int(400 * value), 400, "closer_to_retrained")
        store.write("metrics", key, [again])
    results.refresh()
    after = results.query("gap_to_retrained", metric="accuracy", split="forget").to_pylist()
    assert len(after) == before + 2
    new = next(r for r in after if r["cell_id"] == synthetic.name("again", "scrub"))
    assert new["difference"] == pytest.approx(0.25)
