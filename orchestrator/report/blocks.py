"""What a report is made of: sections of text, figures, tables and explanations of what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Any

from orchestrator.report.commands import configuration
from orchestrator.report.drawing import MUTED, Look, Looks, Panel
from orchestrator.results.catalogue import find_query
from orchestrator.results.evidence import Evidence, Place
from tasks.statistics.intervals import CONFIDENCE

if TYPE_CHECKING:
    from orchestrator.results.connection import Results

COVERAGE = f"{100 * CONFIDENCE:.0f}&nbsp;%"
"""Of every interval, as HTML."""
ERROR = f"{100 * (1 - CONFIDENCE):.0f}&nbsp;%"
"""Of every test, as HTML."""
MOST_PLACES = 6
"""Places drawn; the tables and the SQL have them all."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """The SQL behind a figure or table: a query that ships, with its parameters."""

    query: str
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The SQL itself."""
        return find_query(self.query).text

    def command(self, root: str, run: str | None = None) -> str:
        """What a reader types to see the numbers of a run."""
        given = "".join(f" {name}={quoted(value)}" for name, value in self.params.items())
        param = f" --param{given}" if given else ""
        of_run = f" --run {quoted(run)}" if run else ""
        return f"python -m orchestrator.query {self.query} --results {quoted(root)}{of_run}{param}"


@dataclass(frozen=True)
class Origin:
    """What a page rests on."""

    root: str
    """Results directory."""
    run: str | None
    """Id of the run; None where none is recorded."""


def quoted(value: object) -> str:
    """A value as a shell takes it."""
    text = str(value)
    return text if text and all(c.isalnum() or c in "_-./:=" for c in text) else f"'{text}'"


@dataclass(frozen=True, kw_only=True)
class Text:
    """Paragraphs, as HTML."""

    html: str
    sources: Sequence[Source] = ()
    """Of what they say about these results."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """Panels side by side under one caption."""

    caption: str
    """What to see in it; HTML."""
    panels: Sequence[Panel]
    source: Source
    key: Sequence[tuple[str, Look]] = ()
    """What colours and shapes mean, where curves are not labelled themselves."""
    title: str = ""
    """Heading above it; plain text."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table; cells are HTML."""

    caption: str
    heading: Sequence[str]
    rows: Sequence[Sequence[str]]
    source: Source
    quiet: frozenset[int] = frozenset()
    """Rows of references, set apart from what is audited."""
    shown: int | None = None
    """Rows in sight, where a reader unfolds the others; None shows all."""
    title: str = ""
    """Heading above it; plain text."""


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Examples as images."""

    caption: str
    images: Sequence[tuple[str, str]]
    """Data URI and caption (HTML)."""
    source: Source
    title: str = ""
    """Heading above it; plain text."""


@dataclass(frozen=True, kw_only=True)
class Missing:
    """Why there is nothing, and what would fill it."""

    reason: str
    command: str = ""


Block = Text | Figure | Table | Gallery | Missing


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading and what stands under it."""

    anchor: str
    title: str
    lead: str
    """One sentence: what this section answers."""
    blocks: Sequence[Block]


@dataclass(frozen=True, kw_only=True)
class Context:
    """What every section reads."""

    results: Results
    root: str
    evidence: Evidence
    examples: bool = False
    """Whether examples are shown whatever the data set (`report.images.read_examples`)."""

    @property
    def looks(self) -> Looks:
        """Colour and shape of every model."""
        return Looks(self.evidence.methods, self.evidence.scopes)

    @cached_property
    def configuration(self) -> str:
        """What the sweep behind the report is asked for by."""
        return configuration(self.results)

    def sweep(self, flags: str = "") -> str:
        """The command that computes what is missing, with further flags of the sweep."""
        words = ("python -m orchestrator.sweep", self.configuration, flags, f"--out {quoted(self.root)}")
        return " ".join(filter(None, words))

    def drawn(self) -> Iterator[Place]:
        """Places that get figures."""
        yield from self.evidence.places[:MOST_PLACES]

    def omission(self) -> str:
        """A sentence on places without figures; empty where there are none."""
        left = len(self.evidence.places) - MOST_PLACES
        return f" {left} more places are not drawn; the SQL has them." if left > 0 else ""

    def key(self, *, roles: bool = True, scopes: bool = True) -> list[tuple[str, Look]]:
        """The meaning of colours, then of shapes.

        Args:
            roles: whether the figure draws the references.
            scopes: whether it draws more than one scope.
        """
        looks, evidence = self.looks, self.evidence
        first = evidence.scopes[0] if evidence.scopes else "all"
        key = [(text, looks.of(role, "", "")) for role, text in evidence.roles.items()] if roles else []
        key += [(method, looks.of("audited", method, first)) for method in evidence.methods]
        if scopes and evidence.several_scopes:
            shapes = [(s, looks.of("audited", "", s).marker) for s in evidence.scopes]
            key += [(f"scope {s}", Look(colour=MUTED, marker=m, hollow=True)) for s, m in shapes]
        return key


def code(text: str) -> str:
    """Text set as code, escaped."""
    return f"<code>{escape(text)}</code>"


def number(value: float | None, digits: int = 3) -> str:
    """A number with a proper minus sign; a dash where it is unknown."""
    if value is None:
        return "\N{EN DASH}"
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def measured(value: float | None, low: float | None, high: float | None) -> str:
    """A value with its interval beneath, as HTML."""
    if value is None:
        return "\N{EN DASH}"
    ends = (
        ""
        if low is None or high is None
        else f'<span class="ci">{number(low, 2)} to {number(high, 2)}</span>'
    )
    return f"{number(value)}{ends}"
