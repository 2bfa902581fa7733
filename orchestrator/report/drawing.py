"""How figures look: one palette, one type size, vectors that follow the page's light or dark colours."""

from __future__ import annotations

import functools
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.errors import printable
from orchestrator.store.modes import make_directories
from orchestrator.store.whole_file import whole_file
from tasks.errors import AuditError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

INK, MUTED, RULE, BAND = "#1d1d21", "#6d6d76", "#d4d4da", "#ececf1"
PALETTE = ("#1e3c99", "#eb6800", "#608e53", "#b06f8c", "#7f2500", "#4b99ce", "#672b5f", "#cf07fb")
"""Searched for the largest least distance (CIE 1976) under normal, protan, deutan and tritan vision (Machado et al.,
2009), with contrast to white paper; the style sheet has the same hues for dark paper."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h")
VARIABLES = {
    "#000000": "--ink",
    INK: "--ink",
    MUTED: "--muted",
    RULE: "--rule",
    BAND: "--band",
    **{colour: f"--m{i}" for i, colour in enumerate(PALETTE)},
}
STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "font.family": "sans-serif",
    "font.size": 8,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.4,
    "lines.markersize": 4,
    "path.simplify": True,
}
WIDTH = 3.6
"""Inches of a panel: a phone shows one across, a desk screen two or three."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """How one model is drawn, everywhere alike."""

    colour: str
    marker: str = "o"
    dash: str = "-"
    hollow: bool = False


REFERENCE_LOOKS = {
    "reference": Look(colour=INK),
    "noise_floor": Look(colour=INK, dash="--", hollow=True),
    "control": Look(colour=INK, marker="D", dash="-.", hollow=True),
    "ceiling": Look(colour=MUTED, marker="X", dash=":"),
}


@dataclass(frozen=True)
class Looks:
    """The look of every model: colour by method, marker by scope."""

    methods: Sequence[str]
    scopes: Sequence[str]

    def of(self, role: str, method: str, scope: str) -> Look:
        """The look of a model."""
        if role in REFERENCE_LOOKS:
            return REFERENCE_LOOKS[role]
        index = self.methods.index(method) if method in self.methods else 0
        shape = self.scopes.index(scope) if scope in self.scopes else 0
        return Look(
            colour=PALETTE[index % len(PALETTE)],
            marker=MARKERS[shape % len(MARKERS)],
            dash="-" if index < len(PALETTE) else "-.",
        )


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One drawing, and the same in words for those who cannot see it."""

    name: str
    """File name without suffix; unique in a report."""
    canvas: Canvas
    words: str

    def save(self, directory: Path) -> list[Path]:
        """Write SVG and PDF."""
        import matplotlib as mpl

        paths = [directory / f"{self.name}.{suffix}" for suffix in ("svg", "pdf")]
        try:
            make_directories(directory)
            with mpl.rc_context({**STYLE, "svg.hashsalt": self.name}):
                for path in paths:
                    with whole_file(path) as sink:
                        self.canvas.savefig(sink, format=path.suffix[1:], transparent=True)
        except OSError as error:
            raise AuditError(f"--figures: cannot write {directory}: {error.strerror}") from error
        return paths

    def inline(self) -> str:
        """SVG for the page: colours are its variables, ids are unique in it."""
        import matplotlib as mpl

        sink = io.StringIO()
        with mpl.rc_context({**STYLE, "svg.hashsalt": self.name}):
            self.canvas.savefig(
                sink,
                format="svg",
                transparent=True,
                metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")),
            )
        return inline_svg(sink.getvalue(), self.name, self.words)


def new_axes(height: float, width: float = WIDTH) -> tuple[Canvas, Axes]:
    """A canvas with one pair of axes; sizes in inches."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        canvas = Figure(figsize=(width, height))
        axes = canvas.add_subplot()
    return canvas, axes


def settle(axes: Axes, title: Sequence[str], *, beside: Sequence[str] = ()) -> None:
    """Give title, labels and ticks the room they need around the axes.

    Instead of matplotlib's layout engines, which draw every figure twice.

    Args:
        axes: with its labels, limits and ticks.
        title: lines above it.
        beside: texts that stand at the right end of the axes.
    """
    canvas: Any = axes.figure
    width, height = (72 * inches for inches in canvas.get_size_inches())
    ticks = [_tick_texts(axis) for axis in (axes.xaxis, axes.yaxis)]
    left = 8 + max(map(text_width, ticks[1]), default=0) + (14 if axes.get_ylabel() else 0)
    right = max(
        [6 + text_width(ticks[0][-1]) / 2 if ticks[0] else 0, *(12 + 0.95 * text_width(t) for t in beside)]
    )
    # A label that is wider than its axes hangs over both ends.
    right = max(right, text_width(axes.get_xlabel()) - (width - left) + 2)
    left, right = min(left, 0.7 * width), min(right, 0.25 * width)  # whatever names are as long as
    bottom = 6 + 12 + (14 if axes.get_xlabel() else 0)
    top = 6 + 11 * len(title)
    if height < (least := bottom + top + 24):  # one row under a title of many lines
        canvas.set_figheight(least / 72)
        height = least
    canvas.subplots_adjust(left / width, bottom / height, 1 - right / width, 1 - top / height)
    canvas.suptitle(
        "\n".join(title), x=0.01, y=1 - 2 / height, ha="left", va="top", fontsize=8.5, fontweight="bold"
    )


def drawable(text: str, most: int = 80) -> str:
    """A name as a figure shows it: of some length, without control characters, a dollar being one."""
    shown = printable(text if len(text) <= most else f"{text[: most - 3]}...")
    return shown.replace("$", r"\$")


def _tick_texts(axis: Any) -> list[str]:
    low, high = sorted(axis.get_view_interval())
    seen = [place for place in axis.get_majorticklocs() if low <= place <= high]
    return list(axis.get_major_formatter().format_ticks(seen))


@functools.cache
def text_width(text: str) -> float:
    """Points of a line of text in the figures' font and size."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    font = get_font(findfont(FontProperties()))
    font.set_size(STYLE["font.size"], 72)
    font.set_text(re.sub(r"\\mathdefault|[${}^]", "", text))
    return float(font.get_width_height()[0]) / 64


def styled() -> Any:
    """A context in which matplotlib draws as this module says."""
    import matplotlib as mpl

    return mpl.rc_context(STYLE)


def inline_svg(text: str, name: str, words: str) -> str:
    """Make a stand-alone SVG part of a page.

    Args:
        text: what matplotlib wrote.
        name: prefix of its ids.
        words: its accessible name.
    """
    svg = text[text.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", svg)
    svg = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', svg)
    svg = re.sub(r"#[0-9a-f]{6}\b", lambda m: _variable(m[0], VARIABLES), svg)
    svg = re.sub(r"\b(fill|stroke)=\"var\((--\w+)\)\"", r'style="\1: var(\2)"', svg)
    size = re.search(r'width="([\d.]+)pt" height="([\d.]+)pt"', svg)
    ratio = f' style="--w: {float(size[1]):.0f}"' if size else ""
    svg = re.sub(r'width="[\d.]+pt" height="[\d.]+pt"', "", svg, count=1)
    label = words.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return svg.replace("<svg", f'<svg role="img" aria-label="{label}"{ratio}', 1)


def _variable(colour: str, variables: Mapping[str, str]) -> str:
    return f"var({variables[colour]})" if colour in variables else colour


def spread(positions: Sequence[float], gap: float) -> list[float]:
    """Move positions apart until neighbours are at least `gap` from each other, staying near where they were.

    Clusters are merged and centred on their mean, as in isotonic regression.
    """
    order = sorted(range(len(positions)), key=lambda i: positions[i])
    blocks: list[list[float]] = []  # sum of wished starts, count
    for rank, index in enumerate(order):
        blocks.append([positions[index] - rank * gap, 1.0])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] > blocks[-1][0] / blocks[-1][1]:
            total, count = blocks.pop()
            blocks[-1][0] += total
            blocks[-1][1] += count
    flat = [total / count for total, count in blocks for _ in range(int(count))]
    moved = [0.0] * len(positions)
    for rank, index in enumerate(order):
        moved[index] = flat[rank] + rank * gap
    return moved
