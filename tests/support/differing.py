"""Tables of two results compared row for row by their axes, to the last bit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tests.support.grains import GRAINS, NAMED, REFERENCES, VOLATILE

Tables = Mapping[str, pa.Table]
SIDES = ("old", "new")
SHOWN = 3
"""Examples that are told of each kind of difference."""
WIDTH = 60
"""Characters of a value that are told."""
NO_ROW = -1
"""Stands for an identity of which no row tells the axes."""


@dataclass
class TableDifference:
    """What distinguishes one table of two results."""

    name: str
    rows: tuple[int, int]
    """Old and new."""
    matched: int = 0
    """Rows of equal axes on both sides, whatever is in their other columns."""
    missing: int = 0
    extra: int = 0
    cells: dict[str, int] = field(default_factory=dict)
    """By column, how many values of matched rows differ."""
    structure: list[str] = field(default_factory=list)
    """Columns, or the whole table, that one side lacks or holds as another type."""
    examples: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Differences of all kinds."""
        return self.missing + self.extra + sum(self.cells.values()) + len(self.structure)

    def lines(self) -> list[str]:
        """For a person to read."""
        sizes = f"{self.rows[0]} / {self.rows[1]} rows, {self.matched} matched"
        counts = f"{self.missing} missing, {self.extra} extra, {sum(self.cells.values())} cells differ"
        by_column = ", ".join(f"{column} {count}" for column, count in self.cells.items())
        first = f"{self.name}: {sizes}, {counts}" + (f" ({by_column})" if by_column else "")
        return [first, *(f"  {line}" for line in (*self.structure, *self.examples))]


def differing(
    old: Tables, new: Tables, *, ignore: Sequence[str] = (), tolerance: float = 0.0
) -> list[TableDifference]:
    """Compare the tables of two results.

    Rows are matched by the axes of `tests.support.grains`; several of equal axes are compared as a multiset. Floats
    differ where their bits do, except that every NaN equals every other.

    Args:
        old, new: tables by name.
        ignore: patterns of `table` or `table.column` that are left out, also among the axes.
        tolerance: relative difference up to which floats of matched rows are equal.
    """
    wanted = sorted(name for name in {*old, *new} if not _ignored(ignore, name))
    with _Comparison(old, new, ignore, tolerance) as comparison:
        return [comparison.table(name) for name in wanted]


def _ignored(patterns: Iterable[str], name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


class _Comparison:
    """One comparison in a database in memory, which holds the prepared tables of both sides."""

    def __init__(self, old: Tables, new: Tables, ignore: Sequence[str], tolerance: float) -> None:
        self._tables, self._ignore, self._tolerance = (old, new), ignore, tolerance
        self._db = duckdb.connect(":memory:", config={"python_enable_replacements": False})
        self._texts: dict[int, str] = {}
        self._number_identities()

    def __enter__(self) -> _Comparison:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def table(self, name: str) -> TableDifference:
        """Compare one table."""
        sides = [tables.get(name) for tables in self._tables]
        found = TableDifference(name, tuple(0 if side is None else len(side) for side in sides))  # type: ignore[arg-type]
        if sides[0] is None or sides[1] is None:
            found.structure.append(f"the table is only in {'NEW' if sides[0] is None else 'OLD'}")
            found.missing, found.extra = found.rows
            return found
        columns = self._shared(name, found)
        known = GRAINS[name].axes if name in GRAINS else columns
        axes = [column for column in known if column in columns]
        values = [column for column in columns if column not in axes]
        for side, rows in zip(SIDES, sides, strict=True):
            self._prepare(side, rows, columns)
        self._subtract(columns)
        self._pair(found, axes, values, floats={c for c in columns if _is_float(sides[0][c].type)})
        return found

    def _shared(self, name: str, found: TableDifference) -> list[str]:
        """Columns to compare; what only one side has, or has as another type, is noted."""
        old, new = (_kinds(tables[name]) for tables in self._tables)
        key = GRAINS[name].key if name in GRAINS else ""
        left_out = {*VOLATILE, *({key} - set(GRAINS[name].axes if name in GRAINS else ()))}
        columns = []
        for column in sorted({*old, *new}):
            if column in left_out or _ignored(self._ignore, f"{name}.{column}"):
                continue
            if column not in old or column not in new:
                found.structure.append(f"column {column} is only in {'OLD' if column in old else 'NEW'}")
            elif old[column] != new[column]:
                found.structure.append(f"column {column} holds {old[column]} in OLD, {new[column]} in NEW")
            else:
                columns.append(column)
        return columns

    def _number_identities(self) -> None:
        """Number the axes that identities stand for, alike on both sides: `identities_<side>(id, number)`."""
        for side, tables in zip(SIDES, self._tables, strict=True):
            self._db.execute(f"create table named_{side} (id varchar, place integer, axes varchar)")
            for place, (name, key, axes) in enumerate(NAMED):
                if name not in tables or key not in tables[name].column_names:
                    continue
                shared = [c for c in axes if self._on_both_sides(name, c)]
                columns = [key, *shared, *(["kind"] if name == "models" and "kind" not in shared else [])]
                self._db.register("source", _plain(tables[name].select(list(dict.fromkeys(columns)))))
                parts = ", ".join(f"coalesce(cast({_name(c)} as varchar), '-')" for c in shared)
                groups = " and kind = 'shadow'" if key == "parent_id" else ""
                self._db.execute(
                    f"insert into named_{side} select {_name(key)}, {place}, '{name}: ' || concat_ws(' ', {parts}) "
                    f"from source where {_name(key)} is not null{groups}"
                )
                self._db.unregister("source")
        self._db.execute(
            "create table numbers as select axes, row_number() over (order by axes) as number "
            "from (select axes from named_old union select axes from named_new)"
        )
        for side in SIDES:
            self._db.execute(
                f"create table identities_{side} as select id, arg_min(number, (place, number)) as number "
                f"from named_{side} join numbers using (axes) group by id"
            )
        self._texts = dict(self._db.execute("select number, axes from numbers").fetchall())

    def _on_both_sides(self, name: str, column: str) -> bool:
        held = all(name in tables and column in tables[name].column_names for tables in self._tables)
        return held and not _ignored(self._ignore, f"{name}.{column}")

    def _prepare(self, side: str, rows: pa.Table, columns: Sequence[str]) -> None:
        """Make `rows_<side>` of a table: identities as numbers, floats as their bits."""
        self._db.register("source", _plain(rows.select(list(columns))))
        joins, shown = "", []
        for column in columns:
            if column not in REFERENCES:
                shown.append(f"source.{_name(column)}")
                continue
            joins += f" left join identities_{side} as {column}_of on {column}_of.id = source.{_name(column)}"
            unknown = f"case when source.{_name(column)} is not null then {NO_ROW} end"
            shown.append(f"coalesce({column}_of.number, {unknown}) as {_name(column)}")
        self._db.execute(
            f"create or replace table rows_{side} as select {', '.join(shown)} from source{joins}"
        )
        self._db.unregister("source")

    def _subtract(self, columns: Sequence[str]) -> None:
        """Make `rest_<side>`: the rows that the other side does not hold, each as often as it is in excess."""
        names = ", ".join(map(_name, columns))
        self._db.execute(
            f"create or replace table balance as select {names}, sum(side) as excess from ("
            f"select {names}, 1 as side from rows_old union all select {names}, -1 from rows_new) "
            f"group by {names} having sum(side) <> 0"
        )
        for side, sign in zip(SIDES, (1, -1), strict=True):
            self._db.execute(
                f"create or replace table rest_{side} as select {names} from balance, "
                f"range(cast(greatest({sign} * excess, 0) as bigint))"
            )

    def _pair(self, found: TableDifference, axes: list[str], values: list[str], floats: set[str]) -> None:
        """Match the rest by axes, in order of the values where several are equal in these."""
        place = f"row_number() over ({_partition(axes)} order by {', '.join(map(_name, [*axes, *values]))}) as place"
        same = " and ".join(f"o.{_name(c)} is not distinct from n.{_name(c)}" for c in [*axes, "place"])
        shown = [f"coalesce(o.{_name(c)}, n.{_name(c)}) as {_name(c)}" for c in axes]
        shown += [f"{s}.{_name(c)} as {_name(f'{s} {c}')}" for c in values for s in ("o", "n")]
        pairs = self._db.sql(
            f"with o as (select *, {place} from rest_old), n as (select *, {place} from rest_new) "
            f"select o.place is null as extra, n.place is null as missing, {', '.join(shown)} "
            f"from o full join n on {same} order by {', '.join(map(_name, axes)) or '1'}"
        ).to_arrow_table()
        for kind in ("missing", "extra"):
            rows = pairs.filter(pairs[kind])
            setattr(found, kind, len(rows))
            told = rows.slice(0, SHOWN).select(axes).to_pylist()
            found.examples += [f"{kind}: {self._told(row, floats)}{self._copies(row)}" for row in told]
        found.matched = found.rows[0] - found.missing
        both = pairs.filter(pc.invert(pc.or_(pairs["extra"], pairs["missing"])))
        for column in values:
            old, new = both[f"o {column}"], both[f"n {column}"]
            differs = _differs(old, new, self._tolerance if column in floats else 0.0)
            if not (count := int(differs.sum())):
                continue
            found.cells[column] = count
            for row in np.flatnonzero(differs)[:SHOWN].tolist():
                change = " -> ".join(self._value(column, side[row].as_py(), floats) for side in (old, new))
                where = both.select(axes).slice(row, 1).to_pylist()[0]
                found.examples.append(f"{column}: {change} at {self._told(where, floats)}")

    def _copies(self, row: Mapping[str, Any]) -> str:
        """How often the axes of a row occur on each side, where that is more than once."""
        if not row:
            return ""
        same = " and ".join(f"{_name(column)} is not distinct from ?" for column in row)
        counts = [
            self._db.execute(f"select count(*) from rows_{side} where {same}", list(row.values())).fetchall()[
                0
            ][0]
            for side in SIDES
        ]
        return f" ({counts[0]} such rows in OLD, {counts[1]} in NEW)" if max(counts) > 1 else ""

    def _told(self, row: Mapping[str, Any], floats: set[str]) -> str:
        told = [
            f"{column} {self._value(column, value, floats)}"
            for column, value in row.items()
            if value is not None
        ]
        return ", ".join(told)

    def _value(self, column: str, value: Any, floats: set[str]) -> str:
        if value is not None and column in REFERENCES:
            return f"[{self._texts.get(value, 'no row of this identity')}]"
        if value is not None and column in floats:
            return repr(float(np.int64(value).view(np.float64)))
        text = value.hex() if isinstance(value, bytes) else str(value)
        return text if len(text) <= WIDTH else f"{text[: WIDTH - 3]}..."


def _name(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def _partition(axes: Sequence[str]) -> str:
    return f"partition by {', '.join(map(_name, axes))}" if axes else ""


def _is_float(kind: pa.DataType) -> bool:
    return pa.types.is_floating(kind)


def _kinds(rows: pa.Table) -> dict[str, str]:
    """By column what it holds, whatever its width and encoding."""
    found = {}
    for item in rows.schema:
        kind = item.type.value_type if pa.types.is_dictionary(item.type) else item.type
        width = "float" if _is_float(kind) else "integer" if pa.types.is_integer(kind) else str(kind)
        found[item.name] = width
    return found


def _plain(rows: pa.Table) -> pa.Table:
    """Columns without dictionaries, integers of one width, and floats as the bits of a double."""
    return pa.table({name: _plain_column(rows[name]) for name in rows.column_names})


def _plain_column(column: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
    if pa.types.is_dictionary(column.type):
        return column.cast(column.type.value_type)
    if pa.types.is_integer(column.type):
        return column.cast(pa.int64())
    if not _is_float(column.type):
        return column
    doubles = column.cast(pa.float64()).to_numpy()
    bits = np.where(np.isnan(doubles), np.nan, doubles).view(np.int64)
    return pa.array(bits, mask=column.is_null().to_numpy())


def _differs(old: pa.ChunkedArray, new: pa.ChunkedArray, tolerance: float) -> np.ndarray:
    """Where the values of two columns differ; of floats, given as bits, by more than the tolerance."""
    apart = pc.coalesce(pc.not_equal(old, new), pc.xor(pc.is_null(old), pc.is_null(new)))
    differs = apart.to_numpy().astype(bool)
    if not tolerance:
        return differs
    a, b = (pc.fill_null(column, 0).to_numpy().view(np.float64) for column in (old, new))
    present = pc.and_(pc.is_valid(old), pc.is_valid(new)).to_numpy().astype(bool)
    with np.errstate(invalid="ignore"):  # infinities: their difference is NaN, which is not small
        near = np.abs(a - b) <= tolerance * np.maximum(np.abs(a), np.abs(b))
    return differs & ~(near & present & np.isfinite(a) & np.isfinite(b))
