"""Charts: specifications compile and draw, rows are those of the queries, figures are vectors with fonts in them."""

from __future__ import annotations

import csv
import io
import json
import re
from importlib.metadata import version

import numpy as np
import pytest
import vl_convert
from scipy import stats

from orchestrator.report import specifications
from orchestrator.report.facts.columns import DIGITS_OF_INDEX, column
from orchestrator.report.facts.drawn import MOST_DOTS, thinned
from orchestrator.report.specifications import SHIPPED, compiled, digest, for_page, shipped, vega
from orchestrator.report.templates import ASSETS
from orchestrator.results.charts.answers import Answers
from orchestrator.results.charts.chart import Chart, charts
from orchestrator.results.charts.colours import PAGE, PAPER, SLIDES, TOKENS
from orchestrator.results.charts.kinds import KINDS
from orchestrator.results.charts.names import WIDTHS, named_apart
from orchestrator.results.charts.rows_examples import roc_on_grid
from orchestrator.results.charts.swarm import swarm
from orchestrator.results.connection import Results
from tasks.errors import AuditError
from tests.support.audited import audited_root
from tests.support.compiled_charts import COMMAND, COMPILER, sources


@pytest.fixture(scope="module")
def results():
    with Results(audited_root()) as session:
        yield session


@pytest.mark.parametrize("name", KINDS)
def test_every_specification_compiles_for_a_page_and_draws_nothing_but_its_rows(name):
    made = vega(for_page(KINDS[name].spec()))
    text = str(made)
    assert '"@' not in text
    assert "'@" not in text
    assert next(data for data in made["data"] if data["name"] == "rows").get("values") in (None, [])
    assert "voronoi" not in text


def test_the_compiled_specifications_that_ship_are_of_the_charts_of_today():
    found = sources()
    assert shipped().keys() == found.keys(), f"run {COMMAND}"
    by = json.loads(SHIPPED.read_text())["compiler"]
    if by == f"{COMPILER} {version(COMPILER)}":  # another may write the same drawing in other words
        assert shipped() == {key: vega(spec) for key, spec in found.items()}
    forest = KINDS["forest"].spec()
    assert compiled(forest) is shipped()[digest(for_page(forest))]


def test_an_edited_specification_is_compiled_anew():
    spec = KINDS["forest"].spec()
    edited = spec | {"title": "an edited title"}
    assert "an edited title" in str(compiled(edited))
    assert "an edited title" not in str(compiled(spec))


@pytest.mark.parametrize("share", [None, 0.0, 0.5])
def test_without_the_file_or_with_a_part_of_it_charts_are_compiled(tmp_path, monkeypatch, share):
    expected = compiled(KINDS["forest"].spec())
    part = tmp_path / "charts.json"
    if share is not None:
        part.write_bytes(SHIPPED.read_bytes()[: int(share * SHIPPED.stat().st_size)])
    monkeypatch.setattr(specifications, "SHIPPED", part)
    shipped.cache_clear()
    try:
        assert not shipped()
        assert compiled(KINDS["forest"].spec()) == expected
    finally:
        shipped.cache_clear()


@pytest.mark.parametrize("name", ["forest", "robustness", "fairness", "exposure", "harm", "scope", "cost"])
def test_figures_are_vectors_of_the_asked_width_with_their_fonts(results, name):
    chart = results.chart(name)
    for style in ("paper", "grey"):
        svg, pdf = chart.figure(style, 3.3)
        assert not re.search(r"var\(|@[a-z]", svg)
        assert pdf.startswith(b"%PDF")
        assert b"/FontFile2" in pdf
        assert b"/Type3" not in pdf
        if name not in ("robustness",):
            (width,) = re.findall(r'<svg[^>]* width="([\d.]+)"', svg)
            assert float(width) == pytest.approx(3.3 * 72, abs=12)
    rows = list(csv.DictReader(io.StringIO(chart.table())))
    assert len(rows) == len(chart.rows)


def test_a_chart_is_shown_by_a_notebook_and_chosen_by_name(results):
    chart = results.chart(
        "forest", forget_set=results.chart("forest").place["forget_set"], measure="accuracy, test"
    )
    bundle = chart._repr_mimebundle_()
    assert bundle["image/svg+xml"].startswith("<svg")
    assert "accuracy, test" in bundle["text/plain"]
    with pytest.raises(AuditError, match="Did you mean 'forest'"):
        results.chart("forrest")
    with pytest.raises(AuditError, match=r"chart forest: no measure 'accuracy, tst'.*accuracy, test"):
        results.chart("forest", measure="accuracy, tst")
    with pytest.raises(AuditError, match="chart forest: no choice 'mesure'"):
        results.chart("forest", mesure="x")
    with pytest.raises(AuditError, match="nothing to draw"):
        results.chart("order")


def test_rows_are_those_of_the_queries(results):
    answers = Answers(results)
    verdicts = results.query("verdict").to_pylist()
    known = {
        (r["method"], r["scope"], r["difference"], r["difference_low"], r["margin"], r["verdict"])
        for r in verdicts
    }
    forest = KINDS["forest"].rows(answers)
    assert forest
    for row in forest:
        assert (row["method"], row["scope"], row["value"], row["low"], row["margin"], row["verdict"]) in known
    harm = results.query("harm").to_pylist()
    for row in KINDS["harm"].rows(answers):
        same = [
            r
            for r in harm
            if (r["method"], r["scope"], r["split"])
            == (row["method"], row["scope"], {"retained": "retain"}.get(row["examples"], "test"))
        ]
        assert row["value"] == pytest.approx(np.mean([r["harmed"] for r in same]))
        assert (row["low"], row["high"]) == (
            min(r["harmed_low"] for r in same),
            max(r["harmed_high"] for r in same),
        )


def test_controls_stand_in_the_exposure_of_every_scope(results):
    rows = KINDS["exposure"].rows(Answers(results))
    drawn = charts(KINDS["exposure"], rows)
    assert len({chart.chosen["scope"] for chart in drawn}) == len(drawn) == 2
    for chart in drawn:
        labels = {row["label"] for row in chart.rows}
        assert "retrained again" in labels
        assert {row["scope"] for row in chart.rows} == {None, chart.chosen["scope"]}


def test_robustness_on_paper_has_a_panel_for_each_method(results):
    chart: Chart = results.chart("robustness")
    methods = {row["method"] for row in chart.rows if row["role"] == "audited"}
    spec = chart.spec()
    assert {row["panel"] for row in spec["datasets"]["rows"]} == methods
    titles = re.findall(r">([a-z_]+)</text>", vl_convert.vegalite_to_svg(spec))
    assert methods <= set(titles)


CONES = {
    "normal": np.eye(3),
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}
"""Linear RGB as seen with no cones of a kind: Machado, Oliveira, Fernandes (2009), severity 1."""
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def linear(colour):
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    ratio = XYZ @ np.clip(rgb, 0, 1) / np.array([0.95047, 1.0, 1.08883])
    f = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def contrast(one, other):
    light, dark = sorted((float(linear(c) @ XYZ[1]) for c in (one, other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("vision", CONES)
@pytest.mark.parametrize(("palette", "ground"), [(PAPER, "#ffffff"), (SLIDES, "#14161a")])
def test_colours_of_verdicts_are_told_apart_by_everyone(palette, ground, vision):
    tokens = ("apart", "equivalent", "undecided")
    seen = [lab(np.array(CONES[vision]) @ linear(palette[token])) for token in tokens]
    assert min(np.linalg.norm(a - b) for i, a in enumerate(seen) for b in seen[:i]) > 15
    assert min(contrast(palette[token], ground) for token in (*tokens, "ink", "muted", "pick")) > 4.5
    assert set(TOKENS) == PAGE.keys() == PAPER.keys() == SLIDES.keys()


def test_roc_on_grid_agrees_with_counting():
    generator = np.random.default_rng(3)
    score = np.r_[generator.normal(1, 1, 60), generator.normal(0, 1, 400)].round(1)
    member = np.arange(460) < 60
    rows = [
        {
            "false_positives": int((score[~member] >= t).sum()),
            "true_positives": int((score[member] >= t).sum()),
            "non_members": 400,
            "members": 60,
        }
        for t in np.unique(score)[::-1]
    ]
    curve = roc_on_grid(rows)
    for point in curve:
        allowed = [r["true_positives"] for r in rows if r["false_positives"] <= point["fpr"] * 400 + 1e-9]
        assert point["value"] == pytest.approx(max(allowed) / 60)
        exact = stats.binomtest(round(point["value"] * 60), 60).proportion_ci(0.95, method="exact")
        assert (point["low"], point["high"]) == pytest.approx((exact.low, exact.high))
    assert curve[0]["fpr"] >= 1 / 400 * 0.99


def test_names_beside_dots_lie_over_no_other_at_any_width():
    rng = np.random.default_rng(0)
    rows = [
        {"dataset": "d", "architecture": "a", "forget_set": "f", "role": "audited" if i else "reference"}
        | {"name": "n" * int(length), "x": x, "x_low": x, "x_high": x, "y": y, "y_low": y, "y_high": y}
        for i, (x, y, length) in enumerate(zip(*rng.random((2, 40)), rng.integers(1, 60, 40), strict=True))
    ]
    rows[0]["name"] = "control"
    named_apart(rows)
    assert rows[0]["side_narrow"]
    assert sum(row["side_narrow"] != "" for row in rows) < sum(row["side_wide"] != "" for row in rows)
    (left, right), (low, high) = ((f([r[v] for r in rows]) for f in (min, max)) for v in "xy")
    for field, width in WIDTHS.items():
        boxes = []
        for row in rows:
            x, y = (row["x"] - left) / (right - left) * width, (row["y"] - low) / (high - low) * 360
            long = min(180, 5.6 * len(row["name"]))
            if row[field]:
                start = x + 8 if row[field] == "right" else x - 8 - long
                assert 0 <= start <= start + long <= width
                boxes.append((start, start + long, y))
        apart = [
            a[1] <= b[0] or b[1] <= a[0] or abs(a[2] - b[2]) > 11 for a in boxes for b in boxes if a != b
        ]
        assert len(boxes) > 5
        assert all(apart)


def test_dots_of_one_place_move_apart_and_others_stay():
    moved = swarm([0.0, 0.0, 0.0, 5.0], [0] * 4, [0.1] * 4)
    assert moved == [0.0, -0.2, 0.2, 0.0]
    assert swarm([], [], []) == []


def test_dots_move_on_their_own_line_by_their_own_width():
    rng = np.random.default_rng(0)
    lines, width = rng.integers(0, 4, 600), np.array([0.05, 0.1, 0.3, 2.0])
    values = rng.normal(size=600)
    moved = swarm(values, lines, width[lines])
    for line in range(4):
        taken = {}
        for i in sorted(np.flatnonzero(lines == line), key=lambda i: abs(values[i])):
            place = round(values[i] / width[line])
            rank = taken[place] = taken.get(place, -1) + 1
            assert moved[i] == (-1 if rank % 2 else 1) * min(1.0, (rank + 1) // 2 / 5)


def test_thinning_keeps_what_stands_out_and_says_nothing_of_few():
    rows = [
        {
            "told": i % 50 == 0,
            "value": float(i),
            "dataset": "d",
            "architecture": "a",
            "forget_set": "f",
            "statistic": "s",
            "label": "l",
        }
        for i in range(3 * MOST_DOTS)
    ]
    kept = thinned(rows)
    assert len(kept) <= MOST_DOTS * 1.05
    assert sum(row["told"] for row in kept) == sum(row["told"] for row in rows)
    assert thinned(rows[:100]) == rows[:100]
    crowd = thinned([row | {"told": True} for row in rows])
    assert len(crowd) <= MOST_DOTS * 1.05
    assert {crowd[0]["value"], crowd[-1]["value"]} == {0.0, float(3 * MOST_DOTS - 1)}


@pytest.mark.parametrize(
    "values",
    [
        [1.0, 1.0],
        ["a", "b", "a", "a", "b"],
        [None, 1, None, 1, None],
        [True, False],
        [1, 1.5],
        [[0, 1], 0, 0, 0, 0],
        [0.125] * 30 + [-3.0] * 30,
        [0.1, -0.2, 0.1, 0.1, -0.2, -0.2],
        [True, 1, True, 1, True, True],
        [f"name {i % 70}" for i in range(280)],
    ],
)
def test_a_column_reads_back(values):
    found = column(values)
    at = [DIGITS_OF_INDEX.index(d) if isinstance(d, str) else d for d in found.get("at", ())]
    runs = found.get("runs", [])
    at += [index for index, count in zip(runs[::2], runs[1::2], strict=True) for _ in range(count)]
    back = [found["all"]] * len(values) if "all" in found else found.get("is") or [found["of"][i] for i in at]
    assert back == values
    assert [type(v) for v in back] == [type(v) for v in values]
    assert f'"{DIGITS_OF_INDEX}"' in (ASSETS / "rows.js").read_text()
