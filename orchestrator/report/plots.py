"""The kinds of drawing in a report: forest, curves, points, distribution. Each draws its intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.report.drawing import (
    BAND,
    INK,
    MUTED,
    RULE,
    WIDTH,
    Look,
    Panel,
    drawable,
    new_axes,
    settle,
    spread,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROW = 0.17
"""Inches of a row of a forest."""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A value with its interval, in a row of a forest."""

    label: str
    value: float
    low: float | None
    high: float | None
    look: Look


@dataclass(frozen=True, kw_only=True)
class Line:
    """A curve with an interval at each point."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float | None]
    high: Sequence[float | None]
    look: Look


@dataclass(frozen=True, kw_only=True)
class Dot:
    """A point with intervals both ways."""

    x: float
    y: float
    x_low: float | None
    x_high: float | None
    y_low: float | None
    y_high: float | None
    look: Look


def forest(
    name: str,
    title: str,
    marks: Sequence[Mark],
    *,
    axis: str,
    band: float | None = None,
    origin: float | None = 0.0,
    words: str,
    log: bool = False,
) -> Panel:
    """Values in rows with intervals, a line at `origin` and a band of +- `band` about it."""
    with styled():
        canvas, axes = new_axes(ROW * len(marks) + 0.75)
        if band is not None and origin is not None:
            axes.axvspan(origin - band, origin + band, color=BAND, lw=0, zorder=0)
        if origin is not None:
            axes.axvline(origin, color=MUTED, lw=0.8, zorder=1)
        if log:
            _log_x(axes)
        for row, mark in enumerate(reversed(marks)):
            _interval(axes, "x", mark.value, row, mark.low, mark.high, mark.look)
            _point(axes, mark.value, row, mark.look)
        axes.set_yticks(range(len(marks)), [drawable(mark.label) for mark in reversed(marks)])
        axes.set_ylim(-0.7, len(marks) - 0.3)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x", color=RULE, lw=0.4)
        axes.set_axisbelow(True)
        if not log:
            axes.locator_params(axis="x", nbins=4)
        _titles(axes, title, axis, "")
    return Panel(name=name, canvas=canvas, words=words)


def curves(
    name: str,
    title: str,
    lines: Sequence[Line],
    *,
    x_axis: str,
    y_axis: str,
    words: str,
    log: bool = False,
    limits: tuple[float, float] | None = None,
    labelled: bool = True,
) -> Panel:
    """Curves that end in their own labels, unless a key names them."""
    with styled():
        canvas, axes = new_axes(2.7, WIDTH)
        if log:
            axes.set_xscale("log")
            axes.set_yscale("log")
        for line in lines:
            face = "none" if line.look.hollow else line.look.colour
            axes.plot(
                line.x,
                line.y,
                color=line.look.colour,
                ls=line.look.dash,
                marker="" if log else line.look.marker,
                markerfacecolor=face,
                ms=3.2,
                zorder=3,
            )
            for x, y, low, high in zip(line.x, line.y, line.low, line.high, strict=True):
                _interval(axes, "y", y, x, low, high, line.look)
        if limits:
            axes.set_ylim(*limits)
        if not log and all(float(x).is_integer() for line in lines for x in line.x):
            axes.locator_params(axis="x", integer=True)
        axes.grid(color=RULE, lw=0.4)
        _titles(
            axes, title, x_axis, y_axis, beside=[drawable(line.label) for line in lines] if labelled else ()
        )
        if labelled:
            _end_labels(axes, lines)
    return Panel(name=name, canvas=canvas, words=words)


def points(
    name: str, title: str, dots: Sequence[Dot], *, x_axis: str, y_axis: str, words: str, log_x: bool = False
) -> Panel:
    """Points with intervals both ways; colour is the method, shape the scope."""
    with styled():
        canvas, axes = new_axes(2.7)
        if log_x:
            _log_x(axes)
        for dot in dots:
            _interval(axes, "x", dot.x, dot.y, dot.x_low, dot.x_high, dot.look)
            _interval(axes, "y", dot.y, dot.x, dot.y_low, dot.y_high, dot.look)
            _point(axes, dot.x, dot.y, dot.look)
        axes.grid(color=RULE, lw=0.4)
        axes.set_axisbelow(True)
        if not log_x:
            axes.locator_params(axis="x", nbins=5)
        _titles(axes, title, x_axis, y_axis)
    return Panel(name=name, canvas=canvas, words=words)


def distribution(
    name: str,
    title: str,
    parts: Sequence[tuple[np.ndarray, Look]],
    *,
    axis: str,
    words: str,
    origin: float = 0.0,
) -> Panel:
    """Empirical distribution functions."""
    with styled():
        canvas, axes = new_axes(2.7)
        for values, look in parts:
            x = np.sort(np.asarray(values, dtype=np.float64))
            y = np.arange(1, len(x) + 1) / len(x)
            axes.step(x, y, where="post", color=look.colour, ls=look.dash, lw=1.3, zorder=3)
        axes.axvline(origin, color=MUTED, lw=0.8)
        axes.set_ylim(0, 1)
        axes.grid(color=RULE, lw=0.4)
        _titles(axes, title, axis, "share of forgotten examples")
    return Panel(name=name, canvas=canvas, words=words)


def _log_x(axes: Axes) -> None:
    """A log axis that is read in plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=8))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _titles(axes: Axes, title: str, x_axis: str, y_axis: str, *, beside: Sequence[str] = ()) -> None:
    """Name the figure and its axes, last: the room they need depends on ticks and limits."""
    axes.set_xlabel(x_axis)
    axes.set_ylabel(y_axis)
    parts = [drawable(part, 400) for part in title.split("\n", 9)]
    settle(axes, [line for part in parts for line in wrap(part, 46)], beside=beside)


def _point(axes: Axes, x: float, y: float, look: Look) -> None:
    face = "none" if look.hollow else look.colour
    axes.plot([x], [y], marker=look.marker, ms=5, mfc=face, mec=look.colour, mew=1.2, ls="", zorder=4)


def _interval(
    axes: Axes, along: str, value: float, across: float, low: float | None, high: float | None, look: Look
) -> None:
    if low is None or high is None or not np.isfinite([low, high]).all():
        return
    ends = [low, high]
    x, y = (ends, [across, across]) if along == "x" else ([across, across], ends)
    axes.plot(x, y, color=look.colour, lw=0.9, alpha=0.75, solid_capstyle="butt", zorder=2)


def _end_labels(axes: Axes, lines: Sequence[Line]) -> None:
    """Name each curve at its right end, moved apart where they would overlap."""
    drawn = [line for line in lines if len(line.x)]
    if not drawn:
        return
    right = max(float(line.x[-1]) for line in drawn)
    axes.autoscale_view()
    to_display = axes.transData
    heights = [float(to_display.transform((right, line.y[-1]))[1]) for line in drawn]
    moved = spread(heights, gap=9.5 * axes.figure.dpi / 72)
    for line, height, target in zip(drawn, heights, moved, strict=True):
        colour = INK if line.look.colour == INK else line.look.colour
        axes.annotate(
            drawable(line.label),
            (line.x[-1], line.y[-1]),
            xytext=(7, (target - height) * 72 / axes.figure.dpi),
            textcoords="offset points",
            va="center",
            fontsize=7.5,
            color=colour,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.4, "shrinkA": 0, "shrinkB": 2},
        )
