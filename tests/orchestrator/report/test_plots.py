"""Every kind of drawing shows the numbers it is given, on the axes it was asked for."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from orchestrator.report.drawing import Look
from orchestrator.report.plots import Dot, Line, Mark, curves, distribution, forest, points

RED, BLUE = Look(colour="#aa0000"), Look(colour="#0000aa", hollow=True)


def drawn(panel, look, marker=None):
    """Ends or points of the lines of a look, in the order of drawing: those with a marker, or those without."""
    return [
        line.get_xydata().tolist()
        for line in panel.canvas.axes[0].lines
        if to_hex(line.get_color()) == look.colour or line.get_markeredgecolor() == look.colour
        if (line.get_marker() not in ("", "None")) == (marker is not None)
    ]


def scales(panel):
    axes = panel.canvas.axes[0]
    return axes.get_xscale(), axes.get_yscale()


def line(label, look, *, low=(None, None), high=(None, None)):
    return Line(label=label, x=[1.0, 2.0], y=[0.25, 0.5], low=low, high=high, look=look)


@pytest.mark.parametrize("log", [False, True])
def test_curves_end_in_their_labels(log):
    lines = [
        line("first", RED),
        Line(label="second", x=[1, 4], y=[1, 2], low=[None] * 2, high=[None] * 2, look=BLUE),
    ]
    panel = curves("c", "t", lines, x_axis="x", y_axis="y", words="w", log=log)
    assert scales(panel) == (("log",) * 2 if log else ("linear",) * 2)
    ends = {text.get_text(): text.xy for text in panel.canvas.axes[0].texts}
    assert ends == {"first": (2.0, 0.5), "second": (4, 2)}
    silent = curves("c", "t", lines, x_axis="x", y_axis="y", words="w", labelled=False)
    assert not silent.canvas.axes[0].texts


def test_curves_have_an_interval_at_each_point_that_has_one():
    panel = curves(
        "c",
        "t",
        [line("a", RED, low=[0.1, None], high=[0.3, 0.9])],
        x_axis="x",
        y_axis="y",
        words="w",
        limits=(0, 2),
    )
    assert drawn(panel, RED) == [[[1.0, 0.1], [1.0, 0.3]]]
    assert panel.canvas.axes[0].get_ylim() == (0, 2)


@pytest.mark.parametrize("log_x", [False, True])
def test_points_stand_at_their_values_with_intervals_both_ways(log_x):
    dot = Dot(x=20.0, y=0.5, x_low=10.0, x_high=50.0, y_low=0.4, y_high=0.7, look=RED)
    alone = Dot(x=30.0, y=0.1, x_low=None, x_high=None, y_low=None, y_high=None, look=BLUE)
    panel = points("p", "t", [dot, alone], x_axis="seconds", y_axis="gap", words="w", log_x=log_x)
    assert scales(panel) == ("log" if log_x else "linear", "linear")
    assert drawn(panel, RED) == [[[10.0, 0.5], [50.0, 0.5]], [[20.0, 0.4], [20.0, 0.7]]]
    assert drawn(panel, RED, "o") == [[[20.0, 0.5]]]
    assert drawn(panel, BLUE, "o") == [[[30.0, 0.1]]]
    axes = panel.canvas.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("seconds", "gap")
    if log_x:
        shown = axes.xaxis.get_major_formatter()(2000.0)
        assert shown == "2000"


@pytest.mark.parametrize("log", [False, True])
def test_rows_of_a_forest_stand_in_the_given_order_about_its_origin(log):
    marks = [
        Mark(label=n, value=v, low=v / 2, high=v * 2, look=RED) for n, v in (("top", 1.0), ("bottom", 3.0))
    ]
    panel = forest("f", "t", marks, axis="a", band=0.25, origin=1.0, words="w", log=log)
    axes = panel.canvas.axes[0]
    rows = dict(zip([label.get_text() for label in axes.get_yticklabels()], axes.get_yticks(), strict=True))
    assert rows["top"] > rows["bottom"]
    assert drawn(panel, RED) == [
        [[1.5, rows["bottom"]], [6.0, rows["bottom"]]],
        [[0.5, rows["top"]], [2.0, rows["top"]]],
    ]
    assert drawn(panel, RED, "o") == [[[3.0, rows["bottom"]]], [[1.0, rows["top"]]]]
    assert scales(panel)[0] == ("log" if log else "linear")
    (band,) = axes.patches
    assert (band.get_x(), band.get_width()) == (0.75, 0.5)


def test_marks_lie_above_their_intervals():
    panel = forest("f", "t", [Mark(label="a", value=1.0, low=0.0, high=2.0, look=RED)], axis="a", words="w")
    interval, mark = (item for item in panel.canvas.axes[0].lines if item.get_markeredgecolor() == RED.colour)
    assert mark.get_zorder() > interval.get_zorder()


def test_a_distribution_rises_by_one_share_at_each_value():
    panel = distribution(
        "d", "t", [(np.array([3.0, 1.0, 2.0, 2.0]), RED)], axis="logits", words="w", origin=0.5
    )
    (steps,) = drawn(panel, RED)
    assert steps == [[1.0, 0.25], [2.0, 0.5], [2.0, 0.75], [3.0, 1.0]]
    assert panel.canvas.axes[0].get_ylim() == (0, 1)
