"""The report: complete, honest and self-contained, on real, empty, failed and hand-made results."""

import base64
import io
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image
from scipy import stats

from orchestrator.plan.cells import Role
from orchestrator.report.__main__ import main
from orchestrator.report.blocks import Figure, Gallery, Missing, Source, Table, number
from orchestrator.report.drawing import PALETTE, REFERENCE_LOOKS, Look, spread
from orchestrator.report.evidence import ROLE_ORDER, ROLES, clearest, gather, signed, why_told_apart
from orchestrator.report.examples import roc_on_grid
from orchestrator.report.images import data_uri, read_examples
from orchestrator.report.page import STYLE_SHEET, render_block
from orchestrator.report.plots import Mark, forest
from orchestrator.report.write import build, write_text
from orchestrator.results.connection import Results
from orchestrator.store.store import Store
from tasks.datasets.base import datasets
from tasks.errors import AuditError
from tests.support.audited import (
    ROOT,
    audited_root,
    copied,
    write_accuracy,
    write_cell,
    write_membership,
    write_run,
)

VOID = {"meta", "link", "img", "br", "circle", "path", "rect", "use", "hr"}
ANCHORS = [
    "verdict",
    "leaderboard",
    "trade-off",
    "layers",
    "robustness",
    "scope",
    "examples",
    "harm",
    "order",
    "seeds",
    "cost",
    "failures",
    "provenance",
]


class Page(HTMLParser):
    """Counts what must balance, and collects ids, links and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_startendtag(self, tag, attrs):
        self._note(tag, attrs)

    def handle_starttag(self, tag, attrs):
        self._note(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def _note(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name in ("src", "href", "xlink:href", "action", "srcset"):
                self.links.append(value)


def checked(text: str) -> Page:
    """Parse a page; it must be well formed and need nothing but itself."""
    page = Page(text)
    assert not page.wrong
    assert not page.open
    assert len(page.ids) == len(set(page.ids))
    assert all(link.startswith(("data:", "#")) for link in page.links)
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    outside = set(re.findall(r"https?://[^\s\"'<>)]+", text))
    assert outside <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert "@import" not in text
    assert "<script" not in text
    return page


@pytest.fixture(scope="module")
def real():
    return build(audited_root())


@pytest.fixture
def store(tmp_path):
    store = Store(str(tmp_path / "made"))
    write_run(store)
    return store


def test_real_results_give_every_part_in_order(real):
    page, sections = real
    checked(page)
    assert [section.anchor for section in sections] == ANCHORS
    empty = {s.anchor for s in sections if all(isinstance(b, Missing) for b in s.blocks)}
    assert empty == {"order"}


def test_every_figure_and_table_has_a_caption_and_its_sql(real):
    page, sections = real
    shown = [b for s in sections for b in s.blocks if hasattr(b, "source")]
    assert len(shown) > 10
    for block in shown:
        assert len(block.caption) > 20
        assert "select" in block.source.text
        assert block.source.command(audited_root()).startswith("python -m orchestrator.query ")
    assert page.count("<summary>SQL: queries/") == len(shown)


def test_figures_follow_the_colours_of_the_page(real):
    page, _ = real
    drawn = re.findall(r"<svg role=.*?</svg>", page, flags=re.DOTALL)
    assert drawn
    for svg in drawn:
        assert not re.search(r"(fill|stroke): #(1e3c99|1d1d21|000000)", svg)
        assert 'aria-label="' in svg
    assert any("var(--m0)" in svg for svg in drawn)
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page


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
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
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
@pytest.mark.parametrize("paper", ["light", "dark"])
def test_colours_of_methods_are_told_apart_by_everyone(paper, vision):
    palettes = re.findall(r"--m\d: (#[0-9a-f]{6})", STYLE_SHEET.read_text())
    light, dark, printed = palettes[:8], palettes[8:16], palettes[16:]
    assert light == printed == list(PALETTE)
    seen = [lab(np.array(CONES[vision]) @ linear(c)) for c in (light if paper == "light" else dark)]
    assert min(np.linalg.norm(a - b) for i, a in enumerate(seen) for b in seen[:i]) > 20
    ground = "#ffffff" if paper == "light" else "#16161a"
    assert min(contrast(c, ground) for c in (light if paper == "light" else dark)) > 3


def test_figures_are_written_as_vectors(real, tmp_path):
    figures = [b for s in real[1] for b in s.blocks if isinstance(b, Figure)]
    names = [panel.name for figure in figures for panel in figure.panels]
    assert len(names) == len(set(names))
    panel = figures[0].panels[0]
    svg, pdf = panel.save(tmp_path / "new" / "folder")
    assert ET.parse(svg).getroot().tag.endswith("svg")
    assert pdf.read_bytes().startswith(b"%PDF")


def test_numbers_of_the_leaderboard_are_those_of_the_store(real):
    page, _ = real
    with Results(audited_root()) as results:
        row = results.sql(
            "select value from leaderboard where metric = 'accuracy' and split = 'test' and label is null"
            " and role = 'reference' and attack = 'none'"
        ).to_pylist()[0]
    table = next(b for s in real[1] if s.anchor == "leaderboard" for b in s.blocks)
    assert number(row["value"]) in table.rows[0][4]
    assert "retrained" in table.rows[0][0]
    assert sorted(table.quiet) == [0, 1, 2]
    assert number(row["value"]) in page


def test_the_page_never_promises_safety(real):
    words = re.sub(r"<style>.*?</style>|<pre>.*?</pre>", "", real[0], flags=re.DOTALL).lower()
    assert not re.search(r"\b(safe|guarantee[sd]?|certified|proven)\b", words)
    assert "noise floor" in words


def test_command_writes_page_and_figures(tmp_path, capsys):
    page, figures = tmp_path / "r.html", tmp_path / "figures"
    assert main([audited_root(), "--output", str(page), "--figures", str(figures)]) == 0
    checked(page.read_text())
    assert len(list(figures.glob("*.svg"))) == len(list(figures.glob("*.pdf"))) > 5
    out = capsys.readouterr()
    assert out.out == ""
    assert "report in" in out.err


def test_empty_results_explain_themselves(tmp_path):
    Store(str(tmp_path / "empty")).check_ready()
    page, sections = build(str(tmp_path / "empty"))
    checked(page)
    missing = [b for s in sections for b in s.blocks if isinstance(b, Missing)]
    assert len(missing) >= 10
    assert all("python -m orchestrator.sweep" in b.command for b in missing)
    assert not [b for s in sections for b in s.blocks if isinstance(b, Figure)]


def test_unusable_places_are_one_line(tmp_path):
    with pytest.raises(AuditError, match="no directory"):
        main([str(tmp_path / "absent")])
    with pytest.raises(AuditError, match="--output: cannot write"):
        main([audited_root(), "--output", str(tmp_path / "absent" / "r.html")])
    with pytest.raises(AuditError, match="--output: cannot write"):
        write_text(tmp_path, "text", flag="--output")


def test_failures_are_listed_and_counted(tmp_path):
    root = copied(tmp_path)
    store = Store(root)
    for seed in (7, 8):
        error = {"status": "failed", "error_type": "Diverged", "error": "loss is <nan> at step 3"}
        write_cell(store, "scrub", seed=seed, **error)
    page, sections = build(root)
    checked(page)
    (table,) = next(s for s in sections if s.anchor == "failures").blocks
    assert isinstance(table, Table)
    (row,) = table.rows
    assert row[0] == "2"
    assert "loss is &lt;nan&gt; at step 3" in row[3]
    assert not any(f.method == "scrub" for f in gather(Results(root)).findings)


def newcombe(value, reference):
    """Method 10 on two intervals, written out."""
    v, low, high = value
    r, r_low, r_high = reference
    down = ((v - low) ** 2 + (r_high - r) ** 2) ** 0.5
    up = ((high - v) ** 2 + (r - r_low) ** 2) ** 0.5
    return v - r - down, v - r + up


def test_verdict_needs_the_interval_beyond_the_noise_floor(store):
    accuracies = {"retrain": 0.5, "retrain_again": 0.55, "no_op": 1.0, "kept": 0.9, "near": 0.6, "same": 0.5}
    for method, value in accuracies.items():
        write_accuracy(store, write_cell(store, method), value, 0.04)
    found = {f.method: f for f in gather(Results(store.root)).findings}
    for method, value in accuracies.items():
        finding = found[method]
        assert finding.noise_floor == pytest.approx(0.05)
        if method == "retrain":
            continue
        low, high = newcombe((value, value - 0.04, value + 0.04), (0.5, 0.46, 0.54))
        assert (finding.difference_low, finding.difference_high) == pytest.approx((low, high))
        assert finding.told_apart == (low > 0.05 or high < -0.05)
    assert found["kept"].told_apart
    assert not found["near"].told_apart
    assert clearest(found.values()).method == "no_op"


def test_verdict_is_undecided_without_a_second_retraining_or_an_interval(store):
    write_accuracy(store, write_cell(store, "retrain"), 0.5, 0.04)
    write_accuracy(store, write_cell(store, "kept"), 0.9, 0.04)
    assert {f.verdict for f in gather(Results(store.root)).findings} == {"undecided"}
    write_accuracy(store, write_cell(store, "retrain_again"), 0.55, 0.04)
    write_accuracy(store, write_cell(store, "kept"), 0.9, None)
    found = {f.method: f for f in gather(Results(store.root)).findings}
    assert found["kept"].verdict == "undecided"


def test_verdict_over_two_seeds_takes_the_widest_reach(store):
    for seed, value in ((0, 0.9), (1, 0.6)):
        for method, at in (("retrain", 0.5), ("retrain_again", 0.5), ("kept", value)):
            write_accuracy(store, write_cell(store, method, seed=seed), at, 0.04)
    finding = next(f for f in gather(Results(store.root)).findings if f.method == "kept")
    reach = 2**0.5 * 0.04
    assert finding.seeds == 2
    assert (finding.difference_low, finding.difference_high) == pytest.approx((0.1 - reach, 0.4 + reach))


def test_verdict_over_three_seeds_is_student_t(store):
    values = (0.7, 0.8, 0.72)
    for seed, value in enumerate(values):
        for method, at in (("retrain", 0.5), ("retrain_again", 0.52), ("kept", value)):
            write_accuracy(store, write_cell(store, method, seed=seed), at, 0.04)
    finding = next(f for f in gather(Results(store.root)).findings if f.method == "kept")
    differences = np.array(values) - 0.5
    low, high = stats.t.interval(0.95, 2, differences.mean(), stats.sem(differences))
    assert (finding.difference_low, finding.difference_high) == pytest.approx((low, high))


def test_of_cells_measured_twice_the_latest_counts(store):
    write_accuracy(store, write_cell(store, "retrain"), 0.5, 0.04)
    write_accuracy(store, write_cell(store, "retrain_again"), 0.5, 0.04)
    write_accuracy(store, write_cell(store, "kept"), 0.9, 0.04)
    other = {"cell_id": "later", "method": "kept", "model_id": "kept-0", "role": "audited"}
    row = store.read("cells", "kept-none-0").to_pylist()[0] | other
    row["finished_at"] = row["finished_at"].replace(hour=13)
    store.write("cells", "later", [row])
    write_accuracy(store, "later", 0.7, 0.04)
    (finding,) = (f for f in gather(Results(store.root)).findings if f.method == "kept")
    assert finding.value == pytest.approx(0.7)


def test_page_says_when_the_audit_has_no_power(store):
    for method in ("retrain", "retrain_again", "no_op", "kept"):
        write_accuracy(store, write_cell(store, method), 0.5, 0.04)
    page, _ = build(store.root)
    assert "lacks power" in page
    assert "Not told apart on any measure" in page


def test_the_verdict_in_short_counts_models_and_says_what_is_weak(store):
    for method, value in {
        "retrain": 0.5,
        "retrain_again": 0.53,
        "no_op": 1.0,
        "kept": 0.9,
        "good": 0.52,
    }.items():
        write_accuracy(store, write_cell(store, method), value, 0.04)
    page, _ = build(store.root)
    assert (
        "<strong>1 of 2 unlearned models are told apart from retraining</strong>, 1 of them on a single"
        in page
    )
    assert "there the audit lacks power" not in page


def test_missing_cells_are_told_at_the_top(tmp_path):
    store = Store(str(tmp_path / "part"))
    write_run(store, cells=7)
    write_cell(store, "kept")
    page, _ = build(store.root)
    assert "<dt>cells missing</dt><dd>6, the same sweep command computes them</dd>" in page


def test_long_tables_unfold_and_lose_no_row():
    rows = [[f"row {i}"] for i in range(30)]
    table = Table(caption="", heading=["h"], rows=rows, source=Source(query="verdict"), shown=4)
    html = render_block(table, "results")
    assert "<summary>26 more rows</summary>" in html
    assert [int(i) for i in re.findall(r"<td>row (\d+)</td>", html)] == list(range(30))


@pytest.mark.parametrize("log", [False, True])
def test_labels_stay_inside_the_canvas(log):
    look = Look(colour="#000000")
    labels = ["short", "a very long name of a method / last-12", "x"]
    marks = [Mark(label=t, value=0.1 * 3**i, low=0.01, high=9.0, look=look) for i, t in enumerate(labels)]
    panel = forest("f", "A title", marks, axis="difference from retraining", words="", log=log, origin=1.0)
    FigureCanvasAgg(panel.canvas).draw()
    axes = panel.canvas.axes[0]
    low, high = sorted(axes.get_xlim())
    width = panel.canvas.bbox.width
    ticks = [t for t, x in zip(axes.get_xticklabels(), axes.get_xticks(), strict=True) if low <= x <= high]
    for text in (*axes.get_yticklabels(), *ticks, axes.xaxis.label):
        box = text.get_window_extent()
        if text.get_text() and text.get_visible():
            assert box.x0 >= -1
            assert box.x1 <= width + 1


def test_harm_counts_examples_that_only_retraining_gets_right(store):
    right = {
        "retrain": [True, True, True, False],
        "kept": [True, False, False, True],
        "retrain_again": [True] * 4,
    }
    for method, correct in right.items():
        cell_id = write_cell(store, method)
        rows = [{"example_id": i, "split": "retain", "correct": c} for i, c in enumerate(correct)]
        store.write("examples", cell_id, rows, attack="none")
    with Results(store.root) as results:
        rows = {r["method"]: r for r in results.query("harm").to_pylist()}
    assert (rows["kept"]["harmed"], rows["kept"]["helped"]) == (0.5, 0.25)
    assert rows["retrain_again"]["harmed"] == 0.0
    interval = stats.binomtest(2, 4).proportion_ci(0.95, method="wilson")
    assert rows["kept"]["harmed_low"] == pytest.approx(interval.low, abs=1e-4)
    assert rows["kept"]["harmed_high"] == pytest.approx(interval.high, abs=1e-4)


def test_per_example_attacks_fill_their_parts(store):
    for method, shift in (("retrain", 0.0), ("retrain_again", 0.1), ("no_op", 3.0), ("kept", 2.0)):
        write_accuracy(store, write_cell(store, method), 0.5 + shift / 10, 0.02)
        write_membership(store, method, shift)
    page, sections = build(store.root)
    checked(page)
    examples = next(s for s in sections if s.anchor == "examples")
    table = next(b for b in examples.blocks if isinstance(b, Table))
    drawn = {b.source.query for b in examples.blocks if isinstance(b, Figure)}
    assert {"example_auc", "roc_one_cell"} <= drawn
    shares = {row[3]: int(row[4].split(" of ")[0]) for row in table.rows}
    assert shares["doing nothing"] > shares["kept"] > shares["retrained again"]
    assert "Only population attacks" not in page
    assert "No per-example attack was run" not in page


def test_per_example_measures_need_no_second_retraining(store):
    for method, shift in (("retrain", 0.0), ("kept", 2.0)):
        write_membership(store, method, shift)
    (finding,) = (f for f in gather(Results(store.root)).findings if f.method == "kept")
    assert finding.told_apart
    assert "many retrained models" in why_told_apart(finding)


def test_most_exposed_examples_come_first(store):
    for method, shift in (("retrain", 0.0), ("no_op", 3.0), ("kept", 2.0)):
        write_membership(store, method, shift)
    with Results(store.root) as results:
        rows = [r for r in results.query("example_auc").to_pylist() if r["method"] == "kept"]
    best = max(rows, key=lambda r: r["auc"])
    assert len(rows) == 100
    _, sections = build(store.root)
    blocks = next(s for s in sections if s.anchor == "examples").blocks
    (gallery,) = (b for b in blocks if isinstance(b, Gallery) and b.source.query == "example_auc")
    assert f"AUC {number(best['auc'], 2)}" in gallery.images[0][1]
    assert "No images" in gallery.caption


def test_order_of_forgetting_is_drawn_from_observations(store):
    rows = [
        {"shadow_id": f"s{s}", "draw": 0, "state": state, "epoch": e, "example_id": i, "phi": level + s - e}
        for s in range(3)
        for e in range(3)
        for state, level in (("unlearned", 4.0), ("never", 1.0))
        for i in range(2)
    ]
    place = {"architecture": "net", "method": "kept", "scope": "all"}
    work = {"kind": "shadow", "status": "finished", "parent_id": "group", "dataset": "digits"}
    store.write("models", "stage", [work | place])
    store.write("observations", "stage", rows, **place)
    with Results(store.root) as results:
        found = results.query("forgetting_order").to_pylist()
    first = next(r for r in found if (r["state"], r["epoch"]) == ("unlearned", 0))
    assert first["shadows"] == 3
    assert first["phi"] == pytest.approx(5.0)
    low, high = stats.t.interval(0.95, 2, 5.0, stats.sem([4.0, 5.0, 6.0]))
    assert (first["phi_low"], first["phi_high"]) == pytest.approx((low, high))
    _, sections = build(store.root)
    assert isinstance(next(s for s in sections if s.anchor == "order").blocks[0], Figure)


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
    roc = roc_on_grid(rows)
    for fpr, tpr, low, high in zip(roc["x"], roc["y"], roc["low"], roc["high"], strict=True):
        allowed = [r["true_positives"] for r in rows if r["false_positives"] <= fpr * 400 + 1e-9]
        assert tpr == pytest.approx(max(allowed) / 60)
        exact = stats.binomtest(round(tpr * 60), 60).proportion_ci(0.95, method="exact")
        assert (low, high) == pytest.approx((exact.low, exact.high))
    assert roc["x"][0] >= 1 / 400 * 0.99


def test_images_are_the_pixels_of_the_data_set():
    with Results(audited_root()) as results:
        found = read_examples(results, [3, 5])
        config = json.loads(results.table("runs").to_pylist()[0]["config_json"])["data"]
    pixels = datasets.build(config["name"], config["options"], where="data").read_images()
    assert not found.why_not
    for index in (3, 5):
        content = base64.b64decode(found.images[index].removeprefix("data:image/png;base64,"))
        shown = np.asarray(Image.open(io.BytesIO(content)))
        wanted = pixels[index][0] if pixels.dtype == np.uint8 else (pixels[index][0] * 255).astype(np.uint8)
        np.testing.assert_array_equal(shown, wanted)


def test_images_are_left_out_on_demand():
    with_images, without = (build(audited_root(), images=shown)[0] for shown in (True, False))
    assert "data:image/png" in with_images
    assert "data:image/png" not in without
    assert "they were to be left out" in without


def test_colour_images_keep_their_channels():
    image = np.zeros((3, 2, 2), dtype=np.uint8)
    image[0] = 200
    content = base64.b64decode(data_uri(image).split(",")[1])
    assert np.asarray(Image.open(io.BytesIO(content)))[0, 0].tolist() == [200, 0, 0]


def test_another_data_set_gives_no_images(tmp_path):
    root = copied(tmp_path)
    store = Store(root)
    row = store.read("runs").to_pylist()[0]
    store.write("runs", row["run_id"], [row | {"dataset_digest": "another"}])
    with Results(root) as results:
        assert "not the one that was audited" in read_examples(results, [1]).why_not


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=12), st.floats(0.1, 10))
def test_spread_keeps_order_and_gap(positions, gap):
    moved = spread(positions, gap)
    order = np.argsort(positions, kind="stable")
    assert np.all(np.diff(np.array(moved)[order]) >= gap - 1e-6)
    assert np.mean(moved) == pytest.approx(np.mean(positions), abs=1e-6)


def test_spread_leaves_alone_what_is_apart():
    assert spread([5.0, 0.0, 20.0], 2.0) == pytest.approx([5.0, 0.0, 20.0])


@pytest.mark.parametrize(
    ("value", "text"), [(None, "unknown"), (0.0001, "0.000"), (-0.5, "\N{MINUS SIGN}0.500"), (0.25, "+0.250")]
)
def test_signed(value, text):
    assert signed(value) == text


def test_help_and_import_load_nothing_heavy():
    program = (
        "import sys, orchestrator.report.__main__, orchestrator.certificate, orchestrator.status\n"
        "import orchestrator.trackers\n"
        "heavy = {'torch', 'ray', 'matplotlib', 'duckdb', 'pandas', 'mlflow', 'wandb'}\n"
        "print(sorted(set(sys.modules) & heavy))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True, timeout=60
    )
    assert shown.stdout.strip() == "[]"
    program = (
        "import sys, orchestrator.report.write\nprint(sorted(set(sys.modules) & {'torch', 'ray', 'pandas'}))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True, timeout=60
    )
    assert shown.stdout.strip() == "[]"


def test_every_role_has_its_place_its_words_and_its_look() -> None:
    assert set(ROLE_ORDER) == set(get_args(Role))
    assert ROLES.keys() == REFERENCE_LOOKS.keys() == set(ROLE_ORDER) - {"audited"}
