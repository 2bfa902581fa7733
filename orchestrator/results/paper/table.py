"""The table of a paper: which models its rows are, which measures its columns, and what stands in each place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.results.connection import Results
from orchestrator.results.paper.columns import (
    COSTS,
    VERDICT,
    Key,
    Narrowing,
    listed,
    parse_columns,
    resolve,
)
from tasks.errors import AuditError, unknown_name

VALUES = Path(__file__).with_name("values.sql")
AXES = ("dataset", "architecture", "forget_set", "scope", "method", "setting")
"""What rows may differ in; of these the models differ whatever the rows are."""
OF_MODEL = ("scope", "method", "setting")
"""Rows that differ in these alone compete for the best value."""
CONTROLS = ("reference", "noise_floor", "control", "ceiling")
GAPS = ("average_gap", "average_token_gap")

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What the user asks for."""

    rows: tuple[str, ...] = ("method",)
    columns: tuple[str, ...] = ()
    """Empty: the primary measures, the average gap, cost and verdict."""
    of: Mapping[str, str] = field(default_factory=dict)
    """Axis and the one value of it that is meant."""
    narrowing: Narrowing = field(default_factory=Narrowing)


@dataclass(frozen=True, kw_only=True)
class PaperTable:
    """Rows in order, controls of each place first; a place without a value is absent."""

    axes: tuple[str, ...]
    """What names a row, in this order."""
    columns: tuple[Key, ...]
    verdict: bool
    """Whether the last column is the verdict."""
    rows: tuple[Row, ...]
    """By axis its name, and role and verdict."""
    values: Mapping[tuple[int, Key], Row]
    """Row and column: mean, sd, mean_low, mean_high, seeds, higher_is, distance."""
    fixed: Mapping[str, str]
    """Axis and the value that all rows share."""

    def place(self, row: Row) -> tuple[str, ...]:
        """What a row answers: rows of one place compete."""
        return tuple(row[axis] for axis in self.axes if axis not in OF_MODEL)


def paper_table(results: Results, choices: Choices) -> PaperTable:
    """Ask the results.

    Raises:
        AuditError: no cell has finished, a name is unknown, or models or measures would meet in one place that nothing
            chosen tells apart; the line says what there is to choose from.
    """
    axes = _axes(choices.rows)
    known = [row["metric"] for row in results.sql("select distinct metric from leaderboard").to_pylist()]
    if not known:
        raise AuditError(f"{results.store.root}: no cell has finished beside a retrained model: no table yet")
    texts = parse_columns(choices.columns)
    wanted = [text for text in texts if text != VERDICT]
    asked = {text.partition(":")[0].partition(",")[0] for text in wanted}
    metrics = sorted(asked & {*known, *COSTS}) if texts else sorted({*known, *COSTS})
    for name in sorted(asked - {*known, *COSTS}):
        raise unknown_name("metric in these results", name, {*known, *COSTS, VERDICT}, where="--columns")
    text = VALUES.read_text(encoding="utf-8")
    rows = _chosen(results.sql(text, metrics=metrics or list(COSTS)).to_pylist(), axes, choices.of)
    keys = list(dict.fromkeys(Key.of(row) for row in rows))
    flags = choices.narrowing
    columns = tuple(
        dict.fromkeys(
            key
            for text in (wanted if texts else _usual(results, keys))
            for key in resolve(text, keys, flags, every=not texts)
        )
    )
    flags.check_used(key for key in keys if not asked or key.metric in asked)
    return _filled(rows, axes, columns, verdict=not texts or VERDICT in texts)


def _axes(names: Sequence[str]) -> tuple[str, ...]:
    """The axes that name a row; the method is always one of them."""
    given = [name.strip() for text in names for name in text.split(",") if name.strip()]
    for name in given:
        if name not in AXES:
            raise unknown_name("kind of row", name, AXES, where="--rows")
    return tuple(dict.fromkeys([*given, *(() if "method" in given else ("method",))]))


def _usual(results: Results, keys: Sequence[Key]) -> list[str]:
    """Columns where none are asked for: what the verdict rests on, the gap, the cost."""
    rows = results.sql("from declared where is_primary order by all").to_pylist()
    there = {key.metric for key in keys}
    primary = [
        Key.of(row | {"attack": row["attack"] or "none"}).text for row in rows if row["metric"] in there
    ]
    return [*primary, *(name for name in (*GAPS, "cost") if name in there)]


def _chosen(rows: list[Row], axes: Sequence[str], of: Mapping[str, str]) -> list[Row]:
    """The rows of the values that were named, controls beside them, with the label of their setting as `setting`."""
    rows = [row | {"setting": row["setting_label"] or "", "cells": row["setting"]} for row in rows]
    for axis, value in of.items():
        applies = [row for row in rows if axis not in OF_MODEL or row["role"] == "audited"]
        valid = {row[axis] for row in applies}
        if value not in valid:
            raise unknown_name(axis.replace("_", " "), value, valid, where=f"--{axis.replace('_', '-')}")
        rows = [row for row in rows if row[axis] == value or (axis in OF_MODEL and row["role"] != "audited")]
    several = {}
    for axis in AXES:
        audited = [row for row in rows if axis not in OF_MODEL or row["role"] == "audited"]
        values = sorted({row[axis] for row in audited})
        if axis not in axes and len(values) > 1 and (axis != "setting" or _settings_differ(audited, axes)):
            several[axis] = values
    if several:
        told = "; ".join(
            f"{axis} {listed([value or 'as usual' for value in values])}" for axis, values in several.items()
        )
        flags = [f"--{axis.replace('_', '-')}" for axis in several if axis not in ("dataset", "setting")]
        choose = f"choose one with {', '.join(flags)}, or name it in" if flags else "name it in"
        raise AuditError(f"--rows: models differ in more than {', '.join(axes)}: {told}; {choose} --rows")
    return rows


def _settings_differ(rows: Sequence[Row], axes: Sequence[str]) -> bool:
    """Whether one row of the table would be of several settings of the model."""
    found: dict[tuple, set[str]] = {}
    for row in rows:
        found.setdefault(tuple(row[axis] for axis in axes), set()).add(row["model_setting"])
    return any(len(settings) > 1 for settings in found.values())


def _filled(
    rows: Sequence[Row], axes: tuple[str, ...], columns: tuple[Key, ...], *, verdict: bool
) -> PaperTable:
    """One row for each model, one place for each of its measures."""
    order = sorted(rows, key=lambda row: _order(row, axes))
    found: dict[tuple, Row] = {}
    values: dict[tuple[int, Key], Row] = {}
    places = {name: position for position, name in enumerate(dict.fromkeys(_name(r, axes) for r in order))}
    for row in order:
        key, name = Key.of(row), _name(row, axes)
        found.setdefault(name, {axis: row[axis] for axis in axes} | {"role": row["role"], VERDICT: None})
        found[name][VERDICT] = row["verdict"] or found[name][VERDICT]
        if key not in columns:
            continue
        place = (places[name], key)
        if place in values:
            raise AuditError(
                f"--columns: {key.text} of '{row['method']}' was measured under several settings of attack or "
                "evaluation, which never meet in one number: expected --run with the id of one run"
            )
        values[place] = row
    fixed = {axis: rows[0][axis] for axis in AXES if axis not in axes and rows[0][axis]}
    audited = [row for row in rows if row["role"] == "audited"]
    if audited and "scope" in fixed:
        fixed["scope"] = audited[0]["scope"]
    return PaperTable(
        axes=axes,
        columns=columns,
        verdict=verdict,
        rows=tuple(found.values()),
        values=values,
        fixed=fixed,
    )


def _name(row: Row, axes: Sequence[str]) -> tuple[str, ...]:
    return (row["role"], *(row[axis] for axis in axes))


def _order(row: Row, axes: Sequence[str]) -> tuple:
    """Place by place, in each the controls, then methods by name."""
    place = [row[axis] for axis in axes if axis not in OF_MODEL]
    role = CONTROLS.index(row["role"]) if row["role"] in CONTROLS else len(CONTROLS)
    return (place, role, [row[axis] for axis in axes if axis in OF_MODEL], row["cells"])
