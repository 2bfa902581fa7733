"""The closing table of a sweep: every unlearned model beside the retrained ones."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from itertools import groupby
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from orchestrator.errors import printable
from orchestrator.results.connection import Results
from tasks.statistics.intervals import CONFIDENCE

COVERAGE = f"{100 * CONFIDENCE:.0f} %"
COLUMNS = (
    ("forget", "forget_accuracy"),
    ("retain", "retain_accuracy"),
    ("test", "test_accuracy"),
    (f"average gap [{COVERAGE}]", "average_gap"),
    ("JS", "js_forget"),
    ("MIA", "mia_auc"),
    ("extraction", "extraction"),
    ("robust", "robust"),
    ("fairness", "fairness"),
    ("cost", "cost"),
)
SPARED = (
    "js_forget",
    "fairness",
    "robust",
    "retain_accuracy",
    "extraction",
    "test_accuracy",
    "mia_auc",
    "cost",
    "average_gap",
)
"""Columns that a narrow terminal goes without, first to last; never without the verdict and the accuracy on what was to
be forgotten."""
LONGEST = 28
"""Characters of a name that are shown: a longer one would take the room of what was measured."""
WIDTH = 110
"""Columns of text where stdout is no terminal."""
LEGEND = (
    "verdict: told apart from retraining on a primary measure; shown equivalent on all of them, within their margins; "
    "or undecided, for which query model_verdicts says what would settle it. forget, retain, test: accuracy, of "
    f"documents that of their tokens. average gap: mean distance of the three to the retrained model, with its "
    f"{COVERAGE} interval (Student's t over seeds, and with one or two from the lowest to the highest end of their "
    "own; never within the mean ends of these). JS: Jensen-Shannon divergence to the retrained model on the forget "
    "set. MIA: AUC of the loss threshold, forget against test, 0.5 is no signal. extraction: share of the forgotten "
    "documents that greedy decoding writes to their end. robust: test accuracy under the strongest attack that all "
    "these models met. fairness: relative fairness gap over normalisation layers, lower is fairer. cost: device "
    "seconds next to retraining."
)


def scoreboard(root: str, run: str | None) -> list[dict[str, Any]]:
    """Rows of the query `scoreboard` on the cells of a run; None: the latest."""
    with Results(root, run) as results:
        rows: list[dict[str, Any]] = results.query("scoreboard").to_pylist()
    return rows


def print_leaderboard(root: str, run: str | None, *, as_json: bool, rows_per_group: int = 12) -> None:
    """Print one table for each architecture and forget set on stdout, or all rows as JSON."""
    rows = scoreboard(root, run)
    if as_json:
        print(json.dumps(rows))  # noqa: T201
        return
    console = Console(width=None if Console().is_terminal else WIDTH)
    left_out: tuple[str, ...] = ()
    for (dataset, architecture, forget_set), group in groupby(
        rows, key=lambda r: (r["dataset"], r["architecture"], r["forget_set"])
    ):
        members = list(group)
        title = _name(f"{dataset}: {architecture}, forget {forget_set}")
        table, left_out = _fitting(console, title, members[:rows_per_group])
        console.print(table)
        if len(members) > rows_per_group:
            console.print(f"  {len(members) - rows_per_group} more rows: query scoreboard", style="dim")
    if left_out:
        names = ", ".join(heading for heading, key in COLUMNS if key in left_out)
        console.print(f"No room here for {names}: a wider terminal, or query scoreboard.", highlight=False)
    if rows:
        console.print(LEGEND, style="dim", highlight=False)


def _fitting(console: Console, title: str, rows: list[dict[str, Any]]) -> tuple[Table, tuple[str, ...]]:
    """The table with as many columns as the console has room for, and the columns left out."""
    for spared in range(len(SPARED) + 1):
        table = _table(title, rows, without=SPARED[:spared])
        if Measurement.get(console, console.options.update(max_width=1000), table).maximum <= console.width:
            break
    return table, SPARED[:spared]


def _table(title: str, rows: list[dict[str, Any]], *, without: tuple[str, ...]) -> Table:
    measured = {key for _, key in COLUMNS if any(row[key] is not None for row in rows)}
    columns = [(heading, key) for heading, key in COLUMNS if key in measured - set(without)]
    table = Table(
        title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    for heading in ("method", "scope"):
        table.add_column(heading, overflow="ellipsis", max_width=LONGEST)
    table.add_column("verdict", no_wrap=True)
    for heading, _ in columns:
        table.add_column(heading, justify="right", no_wrap=True)
    for position, row in enumerate(rows):
        last_control = row["role"] != "audited" and rows[position + 1 :][:1] != []
        section = last_control and rows[position + 1]["role"] == "audited"
        cells = [_number(row, key) for _, key in columns]
        style = "dim" if row["role"] != "audited" else ""
        tuned = f" (best of {row['tuning_trials']})" if row["tuning_trials"] else ""
        table.add_row(
            _name(row["method"] + tuned),
            _name(row["scope"]),
            row["verdict"] or "-",
            *cells,
            style=style,
            end_section=section,
        )
    return table


def _name(text: str) -> str:
    """A name as it was written: neither markup nor what steers a terminal."""
    return escape(printable(text))


def _number(row: Mapping[str, Any], key: str) -> str:
    value = row[key]
    if value is None or math.isnan(value):
        return "-"
    if key == "average_gap" and row["gap_low"] is not None:
        return f"{value:.3f} [{row['gap_low']:.3f}, {row['gap_high']:.3f}]"
    return f"{value:.2f}" if key == "cost" else f"{value:.3f}"
