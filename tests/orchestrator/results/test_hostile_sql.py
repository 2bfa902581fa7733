"""SQL of whomever: refused in one line or harmless, and nothing of it is left for the next answer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from orchestrator import query
from orchestrator.errors import run_command
from orchestrator.results.connection import Results
from orchestrator.results.reading import ACTING
from tasks.errors import AuditError
from tests.support import synthetic_results as synthetic

NO_BREAK = "\N{NO-BREAK SPACE}"
REFUSED = [
    # writing inside what reads
    "with x as (delete from cells where true returning *) select count(*) from x",
    "with x as (update metrics set value = 0 returning *) select * from x",
    "with x as (insert into metrics select * from metrics returning *) from x",
    "with a as (select 1), b as materialized (truncate cells) select * from a",
    "with recursive r as (select 1 as n union all select n + 1 from r where n < 3),"
    " x as (delete from cells returning 1) select * from r",
    "select (with x as (delete from cells returning 1 as n) select count(*) from x)",
    "select * from (with x as (delete from cells returning *) select * from x)",
    "describe with x as (delete from cells returning *) select * from x",
    "with x as (copy cells to 'stolen.csv') select * from x",
    "WITH x AS (/* only */ DELETE -- reads\n FROM cells RETURNING *) SELECT * FROM x",
    # explained
    "explain analyze delete from cells",
    "explain delete from cells",
    "explain (analyze, format json) delete from cells",
    "explain (analyze) delete from cells",
    "explain/* */analyze delete from cells",
    "explain analyze /* */ delete from cells",
    "/* /* */ explain select 1 */ explain analyze delete from cells",
    "-- explain\nexplain analyze drop view leaderboard",
    "-- a carriage return ends a comment too\rdelete from cells; --\nexplain select 1",
    "-- \rcreate or replace temp view leaderboard as select 1; --\nexplain analyze select 1",
    "-- \rset variable x = 1; --\r\nexplain select 1",
    "EXPLAIN ANALYZE create or replace temp view failures as select 1",
    "explain analyze create or replace temp macro t975(df) as 0",
    "explain analyze with x as (delete from cells returning *) select * from x",
    "explain analyze commit",
    "explain analyze rollback",
    "explain analyze prepare p as delete from cells",
    "explain analyze execute p",
    "explain analyze load json",
    "explain analyze set variable x = 1",
    "explain analyze call pragma_version()",
    "explain analyze copy cells to 'stolen.csv'",
    "explain select 1; explain analyze delete from cells",
    "explain select 1; delete from cells",
    # several statements, spaces, comments
    "select 1; delete from cells; select 2",
    ";;delete from cells;;",
    "select ';' as a; drop view leaderboard",
    "select 1 /* ; */ ; /* select */ truncate cells",
    f"{NO_BREAK}delete{NO_BREAK}from{NO_BREAK}cells",
    f"select{NO_BREAK}1;{NO_BREAK}{NO_BREAK}delete from cells",
    f"explain{NO_BREAK}analyze{NO_BREAK}delete from cells",
    "begin; delete from cells; commit",
    "commit; delete from cells",
    "rollback",
    # the catalog
    "create or replace temp view leaderboard as select 1",
    "create or replace temp macro t975(df) as 0",
    "create or replace macro abs(x) as 0",
    "create temp table cells as select 1",
    "alter table cells rename to gone",
    "comment on view leaderboard is 'mine'",
    "create type mood as enum ('good')",
    "create schema mine; use mine",
    "create sequence s; select nextval('s')",
    "merge into cells using cells as c on false when not matched then insert by name",
    # the session
    "set threads = 1",
    "set variable x = 1",
    "reset lock_configuration",
    "pragma enable_profiling",
    "pragma table_info('cells')",
    "prepare p as delete from cells; execute p",
    "execute p",
    "deallocate p",
    "call pragma_version()",
    "use temp",
    "vacuum",
    "analyze",
    "checkpoint",
    "select setseed(0.5)",
    "select Main.SetSeed(0.5)",
    "select write_log('x')",
    "select sleep_ms(100000)",
    "select * from enable_logging()",
    "select * from checkpoint()",
    # files, addresses, extensions, memory
    "attach ':memory:' as other",
    "attach 'other.db'",
    "detach memory",
    "copy cells to 'stolen.csv'",
    "copy (select 1) to '/dev/stdout'",
    "export database 'stolen'",
    "import database 'stolen'",
    "install httpfs",
    "load httpfs",
    "update extensions",
    "UPDATE EXTENSIONS (httpfs)",
    "explain update extensions",
    "from 'cells.csv'",
    "from '/etc/passwd'",
    "from 'https://example.org/x.parquet'",
    "select * from read_text('/etc/hostname')",
    "select * from read_csv('/etc/passwd')",
    "select * from main.Read_Blob('/dev/zero')",
    "select * from glob('/etc/*')",
    "select * from cells, lateral (select * from read_text(cells.cell_id))",
    "select getenv('HOME')",
    "select * from duckdb_secrets()",
    "select * from arrow_scan(1, 2, 3)",
    "select * from pandas_scan(1::pointer)",
    "select * from query('select * from read_text(''/etc/hostname'')')",
    "select * from query_table('cells')",
    "select * from json_execute_serialized_sql('{}')",
    "pivot cells on status using count(*)",
    # no SQL, or too much of it
    "select " + "(" * 5000 + "1" + ")" * 5000,
    "select " + "not " * 900 + "true",
    "select 1 \0; delete from cells",
]
HARMLESS = [
    "explain select * from leaderboard",
    "explain analyze select count(*) from cells",
    "describe cells",
    "summarize metrics",
    "show tables",
    "table cells",
    "values (1)",
    "select 'delete from cells; drop view leaderboard' as text",
    "select 1 as delete_query_node, {'type': 'DELETE_QUERY_NODE'} as node",
    "with cells as (select 1 as mine), leaderboard as (from cells) select * from leaderboard",
    "select * from cells order by random() limit 3",
    "select unnest([1, 2]), * from range(2) as r(n), generate_series(1, 2)",
    "pivot cells on status in ('finished', 'failed') using count(*)",
    "select count(*) from cells tablesample 50 percent",
    "from duckdb_views() select view_name",
    "select 1 / 0; select error('mine')",
]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Results]:
    made = str(tmp_path_factory.mktemp("results"))
    synthetic.fill(made)
    with Results(made) as results:
        yield results


@pytest.fixture(scope="module")
def before(session: Results) -> tuple[dict[str, str], dict[str, pa.Table]]:
    for name in session.names:  # twice: what is read again is held by the session
        session.table(name)
    return checksums(session), answers(session)


def checksums(session: Results) -> dict[str, str]:
    files = (path for path in Path(session.store.root).rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def answers(session: Results) -> dict[str, pa.Table]:
    """Every table and view, and the list of them."""
    shown = {"tables and views": session.sql("from (show all tables) order by all")}
    return shown | {name: session.sql(f"select * from {name} order by all") for name in session.names}


def test_nothing_that_a_text_does_is_left_for_the_next_answer(
    session: Results, before: tuple[dict[str, str], dict[str, pa.Table]], tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for text in [*REFUSED, *HARMLESS]:
        refused = None
        try:
            session.sql(text)
        except AuditError as error:
            refused = str(error)
        assert "\n" not in (refused or "")
        assert refused or text in HARMLESS, f"taken: {text}"
        for name in ("cells", "metrics"):
            assert session.sql(f"select count(*) as n from {name}").to_pylist() == [
                {"n": before[1][name].num_rows}
            ], text
    assert checksums(session) == before[0]
    assert list(tmp_path.iterdir()) == []
    for name, rows in answers(session).items():
        assert rows.equals(before[1][name]), name


@pytest.mark.parametrize("text", HARMLESS[:-1])
def test_what_reads_is_answered(session: Results, text: str) -> None:
    assert session.sql(text).num_rows


def test_what_is_refused_once_is_refused_again_and_in_every_session(session: Results) -> None:
    """What reads is remembered, and nothing else."""
    for one in (session, session, Results(session.store.root)):
        for text in REFUSED[:2]:
            with pytest.raises(AuditError):
                one.sql(text)


def test_a_write_that_the_judgement_lets_through_is_rolled_back(
    session: Results, before: tuple[dict[str, str], dict[str, pa.Table]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.results.connection.check_reads", lambda *_: None)
    for text in (
        "with x as (delete from cells returning *) select * from x",
        "explain analyze drop view leaderboard",
        "create or replace temp view failures as select 1",
        "create or replace temp macro t975(df) as 0",
    ):
        session.sql(text)
    monkeypatch.undo()
    for name, rows in answers(session).items():
        assert rows.equals(before[1][name]), name


def test_every_function_that_may_act_is_known(session: Results) -> None:
    """A release of DuckDB with another one is noticed here."""
    volatile = session.sql(
        "select distinct function_name as name from duckdb_functions() "
        "where function_type = 'scalar' and stability = 'VOLATILE'"
    )
    harmless = {
        *(
            "random",
            "uuid",
            "uuidv4",
            "uuidv7",
            "gen_random_uuid",
            "error",
            "stats",
            "vector_type",
            "currval",
        ),
        *("current_connection_id", "current_query", "current_query_id", "current_transaction_id"),
    }
    assert set(volatile["name"].to_pylist()) == ACTING | harmless


@pytest.mark.parametrize("text", REFUSED[:12:4])
def test_the_command_refuses_in_one_line(session: Results, text: str, capsys) -> None:
    assert run_command(lambda: query.main([text, "--results", session.store.root])) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: query: ")
    assert captured.err.count("\n") == 1
