"""SQL over the results: DuckDB in memory on the Arrow files, which are only read.

A session reads each table of rows per cell or model once, and shows that state to all its queries. Tables of rows per
example can be larger than memory: they are scanned file by file, and held only where they are small.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Set
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.csv

from orchestrator.errors import one_line
from orchestrator.results import views
from orchestrator.results.catalogue import DIRECTORY, find_query, parse_query
from orchestrator.results.column_names import distinct_names
from orchestrator.results.interrupts import passing_interrupts
from orchestrator.results.known_methods import known_methods
from orchestrator.results.metric_declarations import metric_declarations
from orchestrator.results.published import PUBLISHED
from orchestrator.results.reading import check_reads, statement_trees
from orchestrator.results.replaced import replaced
from orchestrator.store.modes import create
from orchestrator.store.runs import selected_run
from orchestrator.store.store import existing
from orchestrator.store.tables import TABLES
from tasks.errors import AuditError, unknown_name

if TYPE_CHECKING:
    import pyarrow.dataset as ds

    from orchestrator.results.charts.chart import Chart

EXPORTED_VIEWS = "views.sql"
USER_ERRORS = (
    duckdb.ParserException,
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.PermissionException,
    duckdb.ConversionException,
    duckdb.OutOfRangeException,
)
ASKED = "asked_run"
"""Table of one row that selects the plan (`plan.sql`)."""
LISTINGS = 20
"""Times that files are listed anew for one statement, where a compaction moves them before they are opened."""
HELD_BYTES = 256 * 2**20
"""Bytes of files up to which a session keeps a table of rows per example in memory, where these take several times as
many: those of 10,000 cells, which a scan opens for every query again."""


class Results:
    """A read-only session over one results directory; `refresh` shows it what has been written since.

    Trust boundary: SQL, of whomever, reaches the tables of these results and nothing else. It runs in a database in
    memory that opens no file and no address, loads no extension and cannot change that (`lock_configuration`). Each
    text is judged by its parse (`reading.py`; 1 to 5 ms) and runs in a transaction that is rolled back, so that even
    what the judgement let through by mistake is gone before the next answer. A connection of its own for each text
    would need all tables and views made anew. It can still use up memory and time.

    Args:
        root: what the sweep was given as `--out`: a directory or a URI.
        run: whose cells the views and the queries that ship rest on: a run's id; None for the run that was begun last;
            "all" for every run, without cells that a later one replaced because code was edited (`superseded`).

    Raises:
        AuditError: there is no such directory, another schema version wrote it, there is no such run, or its plan is
            lost.
    """

    @passing_interrupts()
    def __init__(self, root: str, run: str | None = None) -> None:
        self.store, self._asked = existing(root), run
        self._held: set[str] = set()
        self._scanned: dict[str, ds.Dataset] = {}
        """Tables that are read from their files in each statement, which are listed and checked once."""
        self._made: set[str] = set()
        # Sums of several threads differ in their last bits from one time to the next, and so would what is printed.
        self._connection = duckdb.connect(
            ":memory:", config={"python_enable_replacements": False, "threads": 1}
        )
        for table in TABLES.values():
            self._connection.register(table.name, table.query_schema.empty_table())
        for name, shipped in SHIPPED.items():
            self._connection.register(name, shipped())
        self._select()
        self._connection.execute(views.macros())
        self._connection.execute("set enable_external_access = false; set lock_configuration = true")

    def __enter__(self) -> Results:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the session."""
        self._connection.close()

    @passing_interrupts()
    def refresh(self) -> None:
        """Forget what the session has read, so that queries see the files that are there now."""
        for name in self._held:
            self._connection.execute(f"drop table {name}")
        for name in self._held & TABLES.keys():
            self._connection.register(name, TABLES[name].query_schema.empty_table())
        self._held.clear()
        self._scanned.clear()
        self._select()

    @property
    def names(self) -> list[str]:
        """Tables and views that a query may name."""
        return [*TABLES, *SHIPPED, ASKED, *views.bodies()]

    @property
    def run(self) -> str | None:
        """The run that answers rest on, or "all"; None where no run is recorded, and every cell counts."""
        return self._run_id

    def _select(self) -> None:
        self._run_id = selected_run(self.store, self._asked)
        self._connection.register(ASKED, _asked(self._run_id))

    def sql(self, text: str, **params: Any) -> pa.Table:
        """Run SQL and return the rows of its last statement.

        Args:
            text: reading statements; `$name` is a parameter, with a default where a header declares it.
            params: values of parameters.

        Raises:
            AuditError: the SQL is wrong or writes, a parameter is unknown or absent, a file cannot be read.
        """
        query = parse_query("query", text)
        statements = self._statements(text)
        named = set().union(*(statement.named_parameters for statement in statements))
        known = {name: value for name, value in query.defaults.items() if name in named}
        needed = tuple(sorted(named - known.keys()))
        bound = replace(query, defaults=known, required=needed).bind(params)
        return self._run(text, statements, bound)

    def query(self, name: str, **params: Any) -> pa.Table:
        """Run a query that ships, or a .sql file, by name."""
        query = find_query(name)
        try:
            return self.sql(query.text, **query.bind(params))
        except AuditError as error:
            raise type(error)(f"{query.name}: {error}") from error

    def parse(self, text: str) -> list[dict[str, Any]]:
        """DuckDB's parse of each statement of a reading text."""
        return statement_trees(self._connection, text)

    def table(self, name: str) -> pa.Table:
        """All rows of a table or view."""
        if name not in self.names:
            raise unknown_name("table", name, self.names)
        return self.sql(f"select * from {name}")

    def to_df(self, name: str) -> Any:
        """All rows of a table or view as a pandas DataFrame."""
        return self.table(name).to_pandas()

    def chart(self, name: str, **chosen: str) -> Chart:
        """A chart by name, which a notebook shows as it is: `chart("forest", forget_set="random")`.

        Args:
            name: of a chart of the report: forest, robustness, exposure, cost, ...
            chosen: the place (`dataset`, `architecture`, `forget_set`) and the chart's choices (`measure`, `attack`,
                ...); what is left out takes the first value that there is.

        Raises:
            AuditError: there is no such chart, choice or value, or nothing to draw.
        """
        from orchestrator.results.charts.answers import Answers
        from orchestrator.results.charts.chart import chart

        return chart(Answers(self), name, **chosen)

    def export(self, directory: Path) -> list[Path]:
        """Write every table as Parquet, with the SQL that makes the same views of them in any DuckDB.

        All or nothing: an earlier export in the directory is replaced as a whole, in the end.

        Raises:
            AuditError: the directory holds something else or cannot be written, or a file cannot be read.
        """
        import pyarrow.parquet as pq

        shipped = {**{name: made() for name, made in SHIPPED.items()}, ASKED: _asked(self._run_id)}
        names = (*TABLES, *shipped)
        try:
            _check_replaceable(directory)
            with replaced(directory) as partial:
                for name in names:
                    source = self.store.dataset(name) if name in TABLES else shipped[name]
                    with (
                        create(partial / f"{name}.parquet") as sink,
                        pq.ParquetWriter(sink, source.schema, compression="zstd") as writer,
                    ):
                        for batch in source.to_batches():
                            writer.write_batch(batch)
                reading = [f"create or replace temp view {n} as from '{n}.parquet';\n" for n in names]
                made = "".join(reading) + "\n" + views.statements()
                with create(partial / EXPORTED_VIEWS) as sink:
                    sink.write(made.encode())
        except (OSError, pa.ArrowException) as error:
            damage = self.store.diagnose(TABLES)
            reason = (isinstance(error, OSError) and error.strerror) or one_line(error)
            raise damage or AuditError(f"export: cannot write {directory}: {reason}") from error
        return [*(directory / f"{name}.parquet" for name in names), directory / EXPORTED_VIEWS]

    @passing_interrupts()
    def _statements(self, text: str) -> list[Any]:
        try:
            statements = self._connection.extract_statements(text)
        except duckdb.Error as error:
            raise _sql_error(error) from error
        if not statements:
            raise AuditError("query: expected a statement, got none")
        check_reads(self._connection, text)
        return statements

    def _run(self, text: str, statements: list[Any], bound: Mapping[str, Any]) -> pa.Table:
        used, complete = views.needed(text), views.lists_all(text)
        for left in reversed(range(LISTINGS)):
            try:
                if complete:
                    self._make(views.bodies().keys() - self._held)
                self._provide(used)
                return self._execute(statements, bound)
            except USER_ERRORS as error:
                if left and not complete and isinstance(error, duckdb.CatalogException):
                    complete = True  # its message then names the nearest of all views
                    continue
                raise _sql_error(error) from error
            except (duckdb.Error, pa.ArrowException, OSError) as error:
                damage = self.store.diagnose(sorted(used & TABLES.keys()))
                if damage or not left:
                    raise damage or _sql_error(error) from error
                # Every file can be read: a compaction moved some between listing and opening. List again.
                self._scanned.clear()
        raise AssertionError("unreachable")

    @passing_interrupts()
    def _execute(self, statements: list[Any], bound: Mapping[str, Any]) -> pa.Table:
        rows = pa.table({})
        self._connection.begin()
        try:
            for statement in statements:
                values = {name: bound[name] for name in statement.named_parameters}
                relation = self._connection.sql(statement, params=values or None)
                rows = pa.table({}) if relation is None else distinct_names(relation.to_arrow_table())
        finally:
            self._connection.rollback()
        return rows

    @passing_interrupts()
    def _provide(self, used: set[str]) -> None:
        """Put tables in place for a query, held by the session or scanned when the query runs; then its views."""
        for name in sorted(used & TABLES.keys() - self._held):
            if self._keeps(name):
                self._connection.register("incoming", self.store.read(name))
                self._hold(name, "from incoming")
                self._connection.unregister("incoming")
            elif name not in self._scanned:
                self._scanned[name] = self.store.dataset(name)
                self._connection.register(name, self._scanned[name])
        for name in views.bodies():
            if name in used & views.kept() - self._held:
                self._hold(name, views.bodies()[name])
                self._made.discard(name)
            elif name in used - self._held:
                self._make({name})

    @passing_interrupts()
    def _make(self, names: Set[str]) -> None:
        """Make views, of those names that have none; each when it is first named, for binding it takes its time."""
        for name, body in views.bodies().items():
            if name in names - self._made:
                self._connection.execute(f"create or replace temp view {name} as {body}")
                self._made.add(name)

    def _keeps(self, name: str) -> bool:
        per_example = bool(TABLES[name].path)
        return not per_example or (name not in self._scanned and self.store.size(name) <= HELD_BYTES)

    def _hold(self, name: str, source: str) -> None:
        # DuckDB's own tables have statistics and decoded strings: joins are several times as fast as over Arrow.
        self._connection.execute(f"create or replace temp table held_{name} as {source}")
        self._connection.execute(f"drop view if exists {name}")
        self._connection.execute(f"alter table held_{name} rename to {name}")
        self._held.add(name)


def published() -> pa.Table:
    """Numbers that papers print, from queries/published.csv."""
    path = DIRECTORY / "published.csv"
    if not path.is_file():
        return PUBLISHED.empty_table()
    options = pyarrow.csv.ConvertOptions(
        column_types=PUBLISHED, include_columns=PUBLISHED.names, strings_can_be_null=True
    )
    return pyarrow.csv.read_csv(path, convert_options=options)


SHIPPED: Mapping[str, Callable[[], pa.Table]] = {
    "published": published,
    "methods": known_methods,
    "metric_declarations": metric_declarations,
}
"""Tables that come with the code and not from a sweep."""


def _check_replaceable(directory: Path) -> None:
    """Refuse a directory with anything but an export in it, for the export will stand in its place."""
    found = sorted(path.name for path in directory.iterdir()) if directory.exists() else []
    others = [name for name in found if not name.endswith(".parquet") and name != EXPORTED_VIEWS]
    if others or (found and EXPORTED_VIEWS not in found):
        raise AuditError(
            f"export: {directory} holds '{(others or found)[0]}': expected a new or empty directory, "
            "or an earlier export"
        )


def _asked(run_id: str | None) -> pa.Table:
    return pa.table({"run_id": pa.array([run_id], pa.string())})


def _sql_error(error: Exception) -> AuditError:
    message = re.split(r"\n\s*LINE \d+:", str(error))[0]
    line = re.search(r"LINE (\d+):", str(error))
    place = f" (line {line[1]})" if line else ""
    return AuditError(f"query: {' '.join(message.split())}{place}")
