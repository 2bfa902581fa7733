"""Puts a report together from a results directory and writes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from orchestrator.progress.status import read_status
from orchestrator.report.blocks import Context, Figure, Origin, Section
from orchestrator.report.evidence import gather
from orchestrator.report.examples import examples_section, order_section
from orchestrator.report.models import layers_section, robustness_section, scope_section, trade_off_section
from orchestrator.report.outcomes import cost_section, harm_section, seeds_section
from orchestrator.report.own_queries import ask
from orchestrator.report.page import render_page
from orchestrator.report.record import failures_section, provenance_section
from orchestrator.report.tables import leaderboard_section
from orchestrator.report.verdict import verdict_section
from orchestrator.results.connection import Results
from orchestrator.store.purges import purge_line
from orchestrator.store.runs import check_one
from orchestrator.store.store import existing
from orchestrator.store.whole_file import whole_file
from tasks.errors import AuditError

SECTIONS: tuple[Callable[[Context], Section], ...] = (
    verdict_section,
    leaderboard_section,
    trade_off_section,
    layers_section,
    robustness_section,
    scope_section,
    examples_section,
    harm_section,
    order_section,
    seeds_section,
    cost_section,
    failures_section,
    provenance_section,
)


def build(root: str, run: str | None = None, *, examples: bool = False) -> tuple[str, list[Section]]:
    """The page, and the sections with their figures.

    Args:
        root: the results directory.
        run: id of the run whose cells are shown; None: the latest.
        examples: whether examples are shown whatever the data set; else those of embedded data alone.

    Raises:
        AuditError: there is no such directory or run, or a file cannot be read.
    """
    check_one(run)
    with Results(root, run) as results:
        context = Context(results=results, root=root, evidence=gather(results), examples=examples)
        sections = [make(context) for make in SECTIONS]
        facts = _facts(context)
        page = render_page(
            "Unlearning audit", _subtitle(context), facts, sections, origin=Origin(root, results.run)
        )
    return page, sections


def _subtitle(context: Context) -> str:
    rows = ask(context.results, "latest_run")
    if not rows:
        return f"{context.root}: no run is recorded"
    started = rows[0]["started_at"].strftime("%Y-%m-%d %H:%M UTC")
    return f"{rows[0]['name']}, data set {rows[0]['dataset']}, run {rows[0]['run_id']} of {started}"


def _facts(context: Context) -> list[tuple[str, str]]:
    (row,) = ask(context.results, "counts")
    names = {
        "methods": "methods audited",
        "architectures": "architectures",
        "forget_sets": "forget sets",
        "seeds": "seeds",
        "finished": "cells finished",
        "failed": "cells failed",
    }
    left = read_status(existing(context.root), now=datetime.now(UTC)).left
    missing = [("cells missing", f"{left}, the same sweep command computes them")] if left else []
    line = purge_line(context.results.store)
    deleted = [("deleted since", line)] if line else []
    return [*((text, str(row[name])) for name, text in names.items()), *missing, *deleted]


def check_folder(path: Path, *, flag: str) -> None:
    """Refuse a file whose directory does not exist, before the work of making it.

    Raises:
        AuditError: there is no such directory.
    """
    if not path.absolute().parent.is_dir():
        raise AuditError(f"{flag}: cannot write {path}: no directory '{path.parent}'")


def check_no_file(directory: Path, *, flag: str) -> None:
    """Refuse a file where a directory is to be made.

    Raises:
        AuditError: there is a file of this name.
    """
    if directory.exists() and not directory.is_dir():
        raise AuditError(f"{flag}: expected a directory, got the file {directory}")


def write_page(path: Path, text: str, *, flag: str) -> None:
    """Write a text file.

    Raises:
        AuditError: it cannot be written; the message begins with the flag that named it.
    """
    try:
        with whole_file(path) as sink:
            sink.write(text.encode())
    except OSError as error:
        raise AuditError(f"{flag}: cannot write {path}: {error.strerror}") from error


def write_figures(directory: Path, sections: Sequence[Section]) -> int:
    """Write every panel as SVG and PDF; returns how many panels there were."""
    panels = [p for s in sections for b in s.blocks if isinstance(b, Figure) for p in b.panels]
    for panel in panels:
        panel.save(directory)
    return len(panels)
