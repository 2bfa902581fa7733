"""Makes a report of a results directory and writes it: the page, its facts, its figures."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from orchestrator.report.facts.facts import Facts, gather_facts
from orchestrator.report.page import report_page
from orchestrator.results.charts.answers import Answers
from orchestrator.results.charts.chart import Chart, charts
from orchestrator.results.charts.kinds import KINDS, kind_of
from orchestrator.results.connection import Results
from orchestrator.results.forms import PAGES, check_directory_name, form_of
from orchestrator.store.modes import make_directories
from orchestrator.store.runs import check_one
from orchestrator.store.whole_file import write_whole
from tasks.errors import AuditError


def build(
    root: str, run: str | None = None, *, examples: bool = False, refresh: int | None = None
) -> tuple[str, Facts]:
    """The page, and what it says.

    Args:
        root: the results directory.
        run: id of the run whose cells are shown; None: the latest.
        examples: whether examples are shown whatever the data set; else those of embedded data alone.
        refresh: seconds after which a browser reads the page again; None never.

    Raises:
        AuditError: there is no such directory or run, or a file cannot be read.
    """
    check_one(run)
    with answers_of(root, run) as answers:
        facts = gather_facts(answers, examples=examples)
    return report_page(facts, refresh=refresh), facts


@contextlib.contextmanager
def answers_of(root: str, run: str | None) -> Iterator[Answers]:
    """The answers of a session over results, which is closed after.

    Raises:
        AuditError: there is no such directory or run, or a file cannot be read.
    """
    with _collector_at_rest(), Results(root, run) as results:
        yield Answers(results)


@contextlib.contextmanager
def _collector_at_rest() -> Iterator[None]:
    """For a while no cycles are looked for: among rows by the hundred thousand there are none, and it takes long."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def check_asked(output: Path | None, facts: Path | None, figures: Path | None, only: Collection[str]) -> None:
    """Refuse what cannot be written or drawn, before the work of making it; None: not asked for.

    Raises:
        AuditError: a directory is missing or a file, a name is that of another kind of file, a chart is unknown, or is
            asked for without figures.
    """
    if output is not None:
        form_of(output, None, PAGES, otherwise="page")
        check_folder(output, flag="--output")
    if facts is not None:
        form_of(facts, None, {".json": "json"}, otherwise="json", flag="--facts")
        check_folder(facts, flag="--facts")
        if output is not None and facts.absolute() == output.absolute():
            raise AuditError(f"--facts: expected another file than --output, got {facts}")
    if figures is not None:
        check_directory_name(figures, flag="--figures")
        check_no_file(figures, flag="--figures")
    for name in only:
        kind_of(name, where="--only")
    if only and figures is None:
        raise AuditError("--only: expected --figures DIRECTORY beside it, for the page has every chart")


def check_folder(path: Path, *, flag: str) -> None:
    """Refuse a file whose directory does not exist, or that is one, before the work of making it.

    Raises:
        AuditError: there is no such directory, or one of the name of the file.
    """
    if path.is_dir():
        raise AuditError(f"{flag}: expected a file, got the directory {path}")
    if not path.absolute().parent.is_dir():
        raise AuditError(f"{flag}: cannot write {path}: no directory '{path.parent}'")


def check_no_file(directory: Path, *, flag: str) -> None:
    """Refuse a file where a directory is to be made, or above it.

    Raises:
        AuditError: there is a file of this name.
    """
    for path in (directory, *directory.absolute().parents):
        if path.exists():
            if not path.is_dir():
                raise AuditError(f"{flag}: expected a directory, got the file {path}")
            return


def write_page(path: Path, text: str, *, flag: str) -> None:
    """Write a text file.

    Raises:
        AuditError: it cannot be written; the message begins with the flag that named it.
    """
    write_whole(path, text.encode(), flag=flag)


def drawn_charts(answers: Answers, only: Collection[str] = ()) -> list[Chart]:
    """Every chart that has rows, or those of some names.

    Raises:
        AuditError: there is no chart of a name.
    """
    kinds = [kind_of(name, where="--only") for name in only] or list(KINDS.values())
    return [chart for kind in kinds for chart in charts(kind, kind.rows(answers))]


def write_figures(directory: Path, drawn: Sequence[Chart], *, style: str, width: float) -> None:
    """Write each chart as SVG and PDF, with its rows as CSV.

    Args:
        directory: made if it is not there.
        drawn: the charts; of two with one file name the second is numbered.
        style: of `STYLES`.
        width: inches.

    Raises:
        AuditError: a file cannot be written.
    """
    taken: dict[str, int] = {}
    try:
        make_directories(directory)
    except OSError as error:
        raise AuditError(f"--figures: cannot make {directory}: {error.strerror}") from error
    for chart in drawn:
        count = taken[chart.name] = taken.get(chart.name, 0) + 1
        stem = directory / (chart.name if count == 1 else f"{chart.name}-{count}")
        svg, pdf = chart.figure(style, width)
        for suffix, content in ((".svg", svg.encode()), (".pdf", pdf), (".csv", chart.table().encode())):
            write_whole(stem.with_name(stem.name + suffix), content, flag="--figures")
