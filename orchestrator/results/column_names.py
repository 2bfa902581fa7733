"""Columns of an answer under names of their own: rows as mappings would lose all but one of those that share a name."""

from __future__ import annotations

import pyarrow as pa


def distinct_names(table: pa.Table) -> pa.Table:
    """The table with `_2`, `_3`, ... behind the name of a column that is called as an earlier one."""
    names: list[str] = []
    for name in table.column_names:
        number, own = 1, name
        while own in names or (number > 1 and own in table.column_names):
            number += 1
            own = f"{name}_{number}"
        names.append(own)
    return table if names == table.column_names else table.rename_columns(names)
