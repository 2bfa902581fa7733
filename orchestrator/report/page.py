"""Facts as one HTML file that needs nothing but itself, and works without its script."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from orchestrator.plan.shadows import CANARY_POOL
from orchestrator.progress.duration import measured_duration
from orchestrator.report.chart_tables import chart_table
from orchestrator.report.directions import set_apart
from orchestrator.report.drill_down import STATIC_PLACES, drill_down, history_spec, with_history
from orchestrator.report.exposure import Exposed
from orchestrator.report.facts.board import Board, Cell
from orchestrator.report.facts.drawn import Drawn
from orchestrator.report.facts.facts import Facts
from orchestrator.report.facts.history import NAME
from orchestrator.report.specifications import compiled
from orchestrator.report.templates import Head, asset, json_block, number, render
from orchestrator.results.charts.colours import VERDICTS
from orchestrator.results.charts.kinds import KINDS, Kind
from orchestrator.results.claim_sentences import decimals
from orchestrator.results.claims import ClaimAnswer
from orchestrator.results.evidence import APART, EQUIVALENT

STYLES = ("base.css", "report.css", "drill_down.css")
RUNTIME = "vega.min.js"
SCRIPTS = (
    "rows.js",
    "charts.js",
    "tables.js",
    "history.js",
    "dialogs.js",
    "compare.js",
    "classes.js",
    "page.js",
)
SECTIONS = (
    ("answer", "Answer"),
    ("leaderboard", "Leaderboard"),
    ("compare", "Two methods"),
    ("differences", "Differences"),
    ("robustness", "Robustness"),
    ("fairness", "Fairness"),
    ("examples", "Examples"),
    ("harm", "Harm"),
    ("classes", "Classes"),
    ("stopping", "Stopping"),
    ("scope", "Scope"),
    ("claims", "Claims"),
    ("cost", "Cost"),
    ("seeds", "Seeds"),
    ("methods", "Methods"),
    ("failures", "Failures"),
    ("provenance", "Provenance"),
)
"""Anchor and name of each section, in order."""
MINUS = "\N{MINUS SIGN}"
FULL = 4.0
"""Margins that an inline interval reaches at most; what lies beyond ends in an arrow."""


def report_page(facts: Facts, *, refresh: int | None = None) -> str:
    """The page.

    Args:
        facts: what it says.
        refresh: seconds after which it is read again; None never.
    """
    unpictured = [i for i, place in enumerate(facts.places) if place.forget_set == CANARY_POOL]
    facts = set_apart(facts, _names(facts), {claim.command for claim in facts.claims})
    drawn = {chart.name: chart for chart in facts.charts}
    titles = [place.title for place in facts.places]
    head = Head(
        title=f"{facts.headline} {facts.head.name}",
        style=asset(*STYLES),
        scripts=(asset(RUNTIME), asset(*SCRIPTS)),
        refresh=refresh,
    )
    return render(
        "report.html.j2",
        head=head,
        facts=facts,
        kinds=KINDS,
        drawn=drawn,
        sections=SECTIONS,
        block=json_block(_data(facts, drawn) | {"places": titles, "unpictured": unpictured}),
        bar=bar,
        bands=bands,
        tone=tone,
        one_by_one=one_by_one,
        ends=ends,
        claim_reach=claim_reach,
        decimals=decimals,
        reach_of=reaches,
        interval_of=_interval,
        short=_short,
        duration=measured_duration,
        table_of=lambda name: chart_table(drawn[name], titles),
        points=points,
        tint=tint,
        unpictured=unpictured,
        static_places=STATIC_PLACES,
    )


def _names(facts: Facts) -> Iterator[str]:
    """What users have named."""
    yield from (facts.head.name, facts.head.dataset, *facts.exhibits.classes.values())
    for place in facts.places:
        yield from (place.dataset, place.architecture, place.forget_set)
        yield from (column.key[2] for column in place.board.columns)
        yield from (name for row in place.board.rows for name in (row.method, row.scope))


def _data(facts: Facts, drawn: Mapping[str, Drawn]) -> dict[str, Any]:
    """What the script reads, besides what the page shows without it."""
    shown = {kind.name: kind for kind in KINDS.values() if drawn[kind.name].rows}
    texts = {s.example: s.text for p in facts.exhibits.places for g in p.galleries for s in g.shown if s.text}
    return {
        "charts": with_history({name: _chart(kind, drawn[name]) for name, kind in shown.items()}, facts),
        "specs": {name: compiled(kind.spec()) for name, kind in shown.items()}
        | ({NAME: compiled(history_spec())} if facts.history.drawn.rows else {}),
        "images": facts.exhibits.images,
        "classes": facts.exhibits.classes,
        "texts": texts,
        "noun": "document" if facts.exhibits.documents else "example",
        **drill_down(facts),
    }


def _chart(kind: Kind, found: Drawn) -> dict[str, Any]:
    return {"title": kind.title, "choices": kind.choices, "rows": found.rows, "columns": dict(found.columns)}


def reaches(board: Board) -> list[float]:
    """How far the inline intervals of each column reach to either side, in units of the measure."""
    return [_reach([row.cells[i] for row in board.rows]) for i in range(len(board.columns))]


def _reach(cells: Sequence[Cell | None]) -> float:
    compared = [cell for cell in cells if cell is not None and cell.difference is not None]
    margin = _margin(compared)
    ends = [abs(end) for cell in compared for end in _ends(cell)]
    widest = max(ends, default=0.0)
    return max(1.5 * margin, min(widest, FULL * margin) if margin else widest) or 1.0


def _margin(cells: Sequence[Cell | None]) -> float:
    return max((cell.margin or 0.0 for cell in cells if cell is not None), default=0.0)


def _ends(cell: Cell) -> tuple[float, float]:
    difference = cell.difference or 0.0
    low, high = cell.difference_low, cell.difference_high
    return (difference if low is None else low, difference if high is None else high)


def bar(cell: Cell, reach: float) -> Markup:
    """The style of an inline interval of a cell of the leaderboard, whose column has its margin (`bands`)."""
    return ends(cell.difference or 0.0, *_ends(cell), None, reach)


def bands(board: Board, reaches: Sequence[float], brief: bool) -> Markup:
    """The style of a leaderboard: of each of its columns of measures the margin, as the inline intervals draw it.

    Args:
        board: the leaderboard.
        reaches: of its columns (`reaches`).
        brief: whether it has primary measures alone.
    """
    shown = [i for i, column in enumerate(board.columns) if column.primary or not brief]
    margins = [(n, _margin([row.cells[i] for row in board.rows]), reaches[i]) for n, i in enumerate(shown)]
    return Markup("").join(Markup(f"--m{n}:{_at(-margin, reach)};") for n, margin, reach in margins if margin)


def tone(verdict: str) -> Markup:
    """The class of a cell of the leaderboard by its verdict, as an attribute; nothing of an undecided one."""
    if verdict not in (APART, EQUIVALENT):
        return Markup("")
    return Markup(' class="{}"').format(VERDICTS[verdict])


def points(thousandths: int) -> str:
    """A difference of shares in percentage points, with a decimal where it is below 10."""
    value = thousandths / 10
    text = f"{abs(value):.1f}" if abs(value) < 10 else f"{abs(value):.0f}"
    return f"{'+' if value > 0 else MINUS if value < 0 else ''}{text.removesuffix('.0')}"


def tint(thousandths: int) -> str:
    """How much colour a difference has: small ones show too, and words stay legible on large ones."""
    return f"{4 + 1.3 * abs(thousandths) ** 0.5:.0f}%"


def claim_reach(claim: ClaimAnswer) -> float:
    """How far a picture of the interval of a claim reaches to either side, in units of its effect; 0 without one."""
    if claim.low is None or claim.high is None:
        return 0.0
    return 1.1 * max(abs(claim.low), abs(claim.high), claim.margin or 0.0)


def ends(point: float, low: float, high: float, margin: float | None, reach: float) -> Markup:
    """The style of an inline interval: its ends, its point and its margin in per cent of the width; numbers alone.

    Args:
        point: the estimate.
        low: lower end, in the same units as all others.
        high: upper end.
        margin: on either side of zero; none is drawn where it is None or 0.
        reach: at either end of the picture.
    """
    band = f"--m:{_at(-margin, reach)};" if margin else ""
    return Markup(f"--l:{_at(low, reach)};--h:{_at(high, reach)};{band}--d:{_at(point, reach)}")


def _at(value: float, reach: float) -> str:
    return f"{50 + 50 * max(-1.0, min(1.0, value / reach)):.0f}%"


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{_short(low)} to {_short(high)}"


def _short(value: float | None, digits: int = 3) -> str:
    """A number without the leading zero, where room is scarce."""
    text = number(value, digits)
    return text.replace("0.", ".", 1) if value is not None and abs(value) < 1 else text


@dataclass(frozen=True)
class OneByOne:
    """A model and an attack on single examples of it, over seeds."""

    label: str
    attack: str
    told_apart: str
    above: str
    """Share of examples above the control."""


def one_by_one(facts: Facts) -> Mapping[int, list[OneByOne]]:
    """The examples told apart one by one, by number of the place; on a large page of models on leaderboards alone."""
    groups: dict[tuple[int, str, str], list[Exposed]] = {}
    labels = [{row.label for row in place.board.rows} for place in facts.places]
    for place, row in zip(facts.exposed_at, facts.exposed, strict=True):
        if row.label in labels[place] or not facts.large:
            groups.setdefault((place, row.label, row.attack), []).append(row)
    found: dict[int, list[OneByOne]] = {}
    for (place, label, attack), rows in groups.items():
        told = _span([(row.told_apart, row.tested) for row in rows], str)
        above = _span([(row.above_control, None) for row in rows if row.above_control is not None], number)
        found.setdefault(place, []).append(OneByOne(label, attack, told, above))
    return dict(sorted(found.items()))


def _span(values: Sequence[tuple[float, int | None]], written: Callable[[float], str]) -> str:
    """From the lowest to the highest, of how many; a dash of none."""
    if not values:
        return "\N{EN DASH}"
    (low, few), (high, many) = min(values), max(values)
    texts = list(dict.fromkeys(map(written, (low, high))))
    tested = "" if many is None else f" of {many}" if few == many else f" of {few} to {many}"
    return " to ".join(texts) + tested
