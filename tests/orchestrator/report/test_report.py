"""The report: complete, honest and self-contained, on real, empty, failed and hand-made results."""

import base64
import io
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from html import unescape
from html.parser import HTMLParser
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from PIL import Image
from scipy import stats

from orchestrator.plan.cells import Role
from orchestrator.report.__main__ import main
from orchestrator.report.blocks import Context, Figure, Gallery, Missing, Origin, Source, Table, number
from orchestrator.report.drawing import PALETTE, REFERENCE_LOOKS, Look, spread
from orchestrator.report.examples import examples_section, order_section, roc_on_grid
from orchestrator.report.images import data_uri, read_examples
from orchestrator.report.page import STYLE_SHEET, render_block
from orchestrator.report.plots import Mark, forest
from orchestrator.report.verdict import verdict_section
from orchestrator.report.verdict_tables import overview
from orchestrator.report.write import build, write_page
from orchestrator.results.connection import Results
from orchestrator.results.evidence import ROLE_ORDER, ROLES, gather, signed, slug
from orchestrator.store.store import Store
from tasks.datasets.base import datasets
from tasks.errors import AuditError
from tasks.statistics.intervals import wilson
from tests.support.audited import (
    audited_root,
    copied,
    write_accuracy,
    write_cell,
    write_membership,
    write_models,
    write_run,
)
from tests.support.commands import ROOT
from tests.support.fabricated import setting_of, write_plan, write_setting

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
    (examples,) = (section.blocks for section in sections if section.anchor == "examples")
    assert "excess_confidence" in {block.source.query for block in examples if isinstance(block, Figure)}


def test_every_figure_and_table_has_a_caption_and_its_sql(real):
    page, sections = real
    shown = [b for s in sections for b in s.blocks if hasattr(b, "source")]
    sources = [block.source for block in shown]
    sources += [source for s in sections for b in s.blocks for source in getattr(b, "sources", ())]
    assert len(shown) > 10
    for block in shown:
        assert len(block.caption) > 20
    for source in sources:
        assert "select" in source.text
        assert source.command(audited_root()).startswith("python -m orchestrator.query ")
    assert page.count("<summary>SQL: queries/") == len(sources)


def test_the_sql_behind_what_is_shown_of_one_place_asks_for_that_place(real):
    _, sections = real
    placed = [
        (section.anchor, block.title, block.source.params.get("forget_set"))
        for section in sections
        for block in section.blocks
        if isinstance(block, (Figure, Table)) and "random:fraction" in block.title
    ]
    assert {anchor for anchor, _, _ in placed} >= {"leaderboard", "trade-off"}
    assert all(forget_set and forget_set in title for _, title, forget_set in placed)


def test_cost_stands_on_a_log_axis_against_the_distance(real):
    panels = [p for s in real[1] if s.anchor == "scope" for b in s.blocks for p in b.panels]
    assert panels
    for panel in panels:
        (axes,) = panel.canvas.axes
        assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")


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
    assert number(row["value"]) in table.rows[0][5]
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
        write_page(tmp_path, "text", flag="--output")


def test_failures_are_listed_and_counted(tmp_path):
    root = copied(tmp_path)
    store = Store(root)
    for seed in (7, 8):
        error = {"status": "failed", "error_type": "Diverged", "error": "loss is <nan> at step 3"}
        write_cell(store, "scrub", seed=seed, run_id=min(store.keys("runs")), **error)
    page, sections = build(root)
    checked(page)
    (table,) = next(s for s in sections if s.anchor == "failures").blocks
    assert isinstance(table, Table)
    (row,) = table.rows
    assert row[0] == "2"
    assert "loss is &lt;nan&gt; at step 3" in row[3]
    assert not any(f.method == "scrub" for f in gather(Results(root)).findings)


VALUES = {
    "retrain": 0.5,
    "retrain_again": 0.503,
    "retrain_third": 0.501,
    "no_op": 1.0,
    "kept": 0.9,
    "good": 0.502,
    "wild": 0.5,
}


def judged(store, values=VALUES, **changes):
    """Models of three seeds; `wild` differs from seed to seed by more than the margin."""
    write_models(store, {m: v for m, v in values.items() if m != "wild"}, **changes)
    if "wild" in values:
        write_models(store, {"wild": values["wild"]}, wobble=0.2, **changes)


def section_of(make, root):
    """One section alone, whose figures are written to no page."""
    with Results(root) as results:
        return make(Context(results=results, root=root, evidence=gather(results)))


def answered(store):
    """The section of the verdict."""
    return section_of(verdict_section, store.root)


def words_of(section):
    """What a section prints, without its SQL."""
    html = "".join(render_block(block, Origin("results", None)) for block in section.blocks)
    html = re.sub(r"<details class='sql'>.*?</details>", "", html, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def test_numbers_of_the_verdict_are_those_of_the_queries(store):
    """Every count and every number of a measure, in the headline, at its place and in each table."""
    for forget_set in ("mine", "theirs"):
        shift = {"mine": {}, "theirs": {"good": 0.7, "no_op": 0.5}}[forget_set]
        write_models_at(store, forget_set, VALUES | shift)
    section = answered(store)
    words = words_of(section)
    with Results(store.root) as results:
        counts = results.query("verdict_counts").to_pylist()
        models = results.query("model_verdicts").to_pylist()
        measures = results.query("verdict").to_pylist()
    *by_place, total = counts
    assert total["dataset"] is None
    assert (total["models"], total["told_apart"], total["shown_equivalent"], total["undecided"]) == (
        6,
        3,
        1,
        2,
    )
    headline = (
        "{told_apart} of {models} unlearned models are told apart from retraining, {shown_equivalent} shown"
    )
    assert headline.format(**total) + f" equivalent, {total['undecided']} undecided" in words
    assert f"At {total['blind']} of {total['places']} places" in words
    assert f"{total['measures']} comparisons on primary measures" in words
    for row in by_place:
        verb = "is" if row["told_apart"] == 1 else "are"
        head = f"{{told_apart}} of {{models}} unlearned models {verb} told apart"
        standing = head + " from retraining, {shown_equivalent} shown"
        place = words[words.index(f"net · {row['forget_set']}") :]
        assert " ".join(place.split()[3:15]) == standing.format(**row)
    tables = [block for block in section.blocks if isinstance(block, Table)]
    of_models, of_measures, explored = (plain(table) for table in tables)
    assert len(tables[0].rows) * len(by_place) == len(models)
    for row in models:
        column = 1 + [place["forget_set"] for place in by_place].index(row["forget_set"])
        (cells,) = [cells for cells in of_models if cells[0] == label(row)]
        key = {"told apart": "told_apart", "shown equivalent": "shown_equivalent", "undecided": "undecided"}
        shown = f"{row['verdict']} {row[key[row['verdict']]]} of {row['primary_measures']}"
        assert cells[column].split(maxsplit=1)[1] == shown
        assert (row["discoveries"], row["explored"]) == (None, 0)
        assert [row["forget_set"], label(row), "\N{EN DASH}", "0"] in [cells[1:] for cells in explored]
    assert len(of_measures) == len(measures)
    for row in measures:
        shown = [
            *("net", row["forget_set"], label(row), "accuracy on the forgotten examples"),
            f"{number(row['value'])} {number(row['value_low'], 2)} to {number(row['value_high'], 2)}",
            number(row["retrained"]),
            f"{signed(row['difference'])} {signed(row['difference_low'])} to {signed(row['difference_high'])}",
            "< 0.001" if row["p_adjusted"] < 0.001 else f"{row['p_adjusted']:.3f}",
            *(f"{row['margin']:g}", row["verdict"], row["settles"]),
        ]
        assert shown in of_measures


def test_of_cells_measured_twice_that_of_the_plan_counts(store):
    write_accuracy(store, write_cell(store, "retrain"), 0.5, 0.04)
    write_accuracy(store, write_cell(store, "retrain_again"), 0.5, 0.04)
    write_accuracy(store, write_cell(store, "kept"), 0.9, 0.04)
    row = store.read("cells", "kept-none-0").to_pylist()[0] | {"cell_id": "other", "setting": "other"}
    row["finished_at"] = row["finished_at"].replace(hour=13)
    store.write("cells", "other", [row])
    write_accuracy(store, "other", 0.7, 0.04)
    (finding,) = (f for f in gather(Results(store.root)).findings if f.method == "kept")
    assert finding.value == pytest.approx(0.9)
    write_plan(store, "again", ["retrain-none-0", "retrain_again-none-0", "other"])
    (finding,) = (f for f in gather(Results(store.root)).findings if f.method == "kept")
    assert finding.value == pytest.approx(0.7)


def write_models_at(store, forget_set, values):
    """The same at a forget set of its own, whose cells and models have names of their own."""
    for position, (method, value) in enumerate(values.items()):
        for seed in range(3):
            wobble = (0.2 if method == "wild" else 0.002) * (-1) ** (seed + position)
            known = {
                "cell_id": f"{method}-none-{seed}-{forget_set}",
                "model_id": f"{method}-{seed}-{forget_set}",
                "reference_id": f"retrain-{seed}-{forget_set}",
            }
            cell_id = write_cell(
                store, method, seed=seed, forget_set=forget_set, forget_digest=forget_set, **known
            )
            write_accuracy(store, cell_id, value + wobble, 0.04)


def label(row):
    return {"control": "a further retraining", "ceiling": "doing nothing"}.get(row["role"], row["method"])


def plain(table):
    """Its cells as a reader sees them."""
    return [
        [" ".join(unescape(re.sub(r"<[^>]+>", " ", cell)).replace("\xa0", " ").split()) for cell in row]
        for row in table.rows
    ]


def test_the_three_verdicts_say_what_settles_them(store):
    judged(store)
    words = words_of(answered(store))
    assert "A further retraining, which has forgotten, is shown equivalent." in words
    assert (
        "Doing nothing is told apart by more than its margin on 1 of 1 primary measure of forgetting."
        in words
    )
    assert "kept is told apart on 1 of 1 primary measure, most clearly: accuracy on the forgotten" in words
    assert "good : shown equivalent on the one primary measure." in words
    with Results(store.root) as results:
        (settles,) = results.sql("select settles from verdicts where method = 'wild'")["settles"].to_pylist()
    told = r"\d+ seeds in place of 3, to show equivalence within 0.05 where there is no difference"
    assert re.fullmatch(told, settles)
    assert f"Undecided: wild . To settle it: {settles}." in words
    assert "retrained again : " not in words


def test_a_model_has_one_row_of_the_matrix_whatever_settings_of_places_it_has(store):
    """Architectures have recipes of their own; two settings at one place are two models, with what differs."""
    for place, (architecture, epochs) in enumerate((("net", 8), ("vit", 12))):
        for method, value in (("retrain", 0.5), ("retrain_again", 0.503), ("no_op", 1.0), ("kept", 0.9)):
            for lr in (0.1, 0.2) if (architecture, method) == ("vit", "kept") else (0.1,):
                more = {"architecture": architecture, "model_id": f"{method}-{place}-{lr}"}
                row = {"method": method, "attack": "none", "scope": "all", **more}
                made = setting_of(row, **{"training.epochs": epochs, "method.lr": lr})
                write_setting(store, made)
                places = {
                    "setting": made.setting,
                    "conditions": made.conditions,
                    "reference_id": f"retrain-{place}-0.1",
                }
                cell_id = write_cell(store, method, cell_id=f"{method}-{place}-{lr}", **more, **places)
                write_accuracy(store, cell_id, value, 0.04)
    with Results(store.root) as results:
        evidence = gather(results)
    assert len({m.model_setting for m in evidence.models if m.method == "no_op"}) == 2
    table = plain(overview(evidence, evidence.places, source=Source(query="model_verdicts")))
    assert [row[0] for row in table] == ["doing nothing", "kept", "kept (lr=0.1)", "kept (lr=0.2)"]
    assert ["\N{EN DASH}" in row for row in table] == [False, True, True, True]


def test_one_seed_is_undecided(store):
    judged(store, seeds=1)
    words = words_of(answered(store))
    assert "0 of 3 unlearned models are told apart from retraining, 0 shown equivalent, 3 undecided" in words
    assert "Undecided: good, kept, wild . To settle it: one seed says nothing of another training" in words


def test_page_says_when_the_audit_has_no_power(store):
    judged(store, VALUES | {"no_op": 0.5})
    words = words_of(answered(store))
    assert (
        "Here no primary measure of forgetting tells doing nothing apart by more than its margin: none"
        in words
    )
    assert (
        "Even doing nothing is told apart by more than its margin on no primary measure of forgetting"
        in words
    )
    assert "More seeds, a larger forget set or a per-example attack may help." in words
    assert "1 of 3 unlearned models is told apart from retraining, 0 shown equivalent, 2 undecided" in words


def test_where_doing_nothing_lies_within_its_margin_the_margin_is_wide_and_no_power_lacks(store):
    judged(store, VALUES | {"no_op": 0.53})
    words = words_of(answered(store))
    assert (
        "here none can show equivalence. Within the margin, which is wide for it, it is told apart by accuracy"
        in words
    )
    assert "More seeds" not in words
    assert "2 of 3 unlearned models" not in words


def test_a_margin_declared_after_rows_were_there_is_said(tmp_path):
    store = Store(str(tmp_path / "made"))
    for run_id, margin, before in (("first", 0.01, 0), ("second", 0.05, 4)):
        write_run(store, run_id, margin=margin, cells_before=before)
        judged(store, run_id=run_id)
    words = words_of(answered(store))
    assert "Of 3 models a primary measure or its margin was declared after rows of it were there." in words
    assert "told apart 1 of 1, declared after" in words


def test_exploratory_measures_decide_nothing(store):
    judged(store)
    judged(store, dict.fromkeys(VALUES, 0.8) | {"good": 0.4}, split="test")
    section = answered(store)
    assert "good : shown equivalent on the one primary measure." in words_of(section)
    explored = next(b for b in section.blocks if isinstance(b, Table) and b.title == "Exploratory measures")
    assert explored.caption.startswith("Exploratory, Benjamini-Hochberg at 5&nbsp;%")
    assert ["net", "mine", "good", "1", "1"] in plain(explored)
    assert ["net", "mine", "kept", "0", "1"] in plain(explored)


def test_missing_cells_are_told_at_the_top(tmp_path):
    store = Store(str(tmp_path / "part"))
    write_run(store, cells=7)
    write_cell(store, "kept")
    page, _ = build(store.root)
    assert "<dt>cells missing</dt><dd>6, the same sweep command computes them</dd>" in page


def test_long_tables_unfold_and_lose_no_row():
    rows = [[f"row {i}"] for i in range(30)]
    table = Table(caption="", heading=["h"], rows=rows, source=Source(query="verdict"), shown=4)
    html = render_block(table, Origin("results", None))
    assert "<summary>26 more rows</summary>" in html
    assert [int(i) for i in re.findall(r"<td>row (\d+)</td>", html)] == list(range(30))


@pytest.mark.parametrize("log", [False, True])
def test_labels_stay_inside_the_canvas(log):
    look = Look(colour="#000000")
    longest = f"{'m' * 32} / conv-only+norm-only+head+block:0"
    labels = ["short", "a very long name of a method / last-12", longest]
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
    cut = axes.get_yticklabels()[2 if axes.get_yticklabels()[0].get_text() == "short" else 0].get_text()
    assert re.fullmatch(r"m{10,}\.\.\..*head\+block:0", cut)


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
    ends = (rows["kept"]["harmed_low"], rows["kept"]["harmed_high"])
    assert ends == pytest.approx([float(end) for end in wilson(2, 4)], abs=1e-4)


def test_per_example_attacks_fill_their_parts(store):
    for method, shift in (
        ("retrain", 0.0),
        ("retrain_again", 0.1),
        ("no_op", 3.0),
        ("kept", 2.0),
        ("wild", 2.7),
    ):
        write_accuracy(store, write_cell(store, method), 0.5 + shift / 10, 0.02)
        write_membership(store, method, shift)
    page, sections = build(store.root)
    checked(page)
    examples = next(s for s in sections if s.anchor == "examples")
    table = next(b for b in examples.blocks if isinstance(b, Table))
    figures = {b.source.query: b for b in examples.blocks if isinstance(b, Figure)}
    assert {"example_auc", "roc_one_cell"} <= figures.keys()
    # of two methods the one that is recognised better, in its own colour
    meaning = {label: look.colour for label, look in figures["roc_one_cell"].key}
    (axes,) = figures["roc_one_cell"].panels[0].canvas.axes
    curves = [
        (to_hex(line.get_color()), line.get_linestyle()) for line in axes.lines if len(line.get_xdata()) > 2
    ]
    assert {(meaning[model], "--") for model in ("retrained", "doing nothing", "wild")} <= set(curves)
    assert meaning["wild"] == PALETTE[1]
    shares = {row[3]: int(row[4].split(" of ")[0]) for row in table.rows}
    assert shares["doing nothing"] > shares["kept"] > shares["retrained again"]
    assert "Only population attacks" not in page
    assert "No per-example attack was run" not in page


def test_most_exposed_examples_come_first(store):
    for method, shift in (("retrain", 0.0), ("no_op", 3.0), ("kept", 2.0)):
        write_membership(store, method, shift)
    with Results(store.root) as results:
        rows = [r for r in results.query("example_auc").to_pylist() if r["method"] == "kept"]
    best = max(rows, key=lambda r: r["auc"])
    assert len(rows) == 100
    blocks = section_of(examples_section, store.root).blocks
    (gallery,) = (b for b in blocks if isinstance(b, Gallery) and b.source.query == "example_auc")
    assert f"AUC {number(best['auc'], 2)}" in gallery.images[0][1]
    assert len(gallery.images) == 10
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
    write_cell(store, "kept", attack="u_lira", attack_family="per_example", model_id=None, group_id="group")
    store.write("observations", "stage", rows, **place)
    with Results(store.root) as results:
        found = results.query("forgetting_order").to_pylist()
    first = next(r for r in found if (r["state"], r["epoch"]) == ("unlearned", 0))
    assert first["shadows"] == 3
    assert first["phi"] == pytest.approx(5.0)
    low, high = stats.t.interval(0.95, 2, 5.0, stats.sem([4.0, 5.0, 6.0]))
    assert (first["phi_low"], first["phi_high"]) == pytest.approx((low, high))
    assert isinstance(section_of(order_section, store.root).blocks[0], Figure)


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
        found = read_examples(results, [3, 5], asked=False)
        config = json.loads(results.table("runs").to_pylist()[0]["config_json"])["data"]
    pixels = datasets.build(config["name"], config["options"], where="data").read_images()
    assert not found.why_not
    for index in (3, 5):
        content = base64.b64decode(found.images[index].removeprefix("data:image/png;base64,"))
        shown = np.asarray(Image.open(io.BytesIO(content)))
        wanted = pixels[index][0] if pixels.dtype == np.uint8 else (pixels[index][0] * 255).astype(np.uint8)
        np.testing.assert_array_equal(shown, wanted)


def test_examples_are_shown_of_embedded_data_alone_or_on_demand(monkeypatch):
    kind = datasets.get("synthetic")
    assert kind.embedded
    assert not any(datasets.get(name).embedded for name in ("cifar10", "image_folder", "imagenet", "npz"))
    pages = [build(audited_root(), examples=asked)[0] for asked in (False,)]
    monkeypatch.setattr(kind, "embedded", False)
    pages += [build(audited_root(), examples=asked)[0] for asked in (False, True)]
    assert ["data:image/png" in page for page in pages] == [True, False, True]
    assert ["the data are not embedded, and --examples was not given" in page for page in pages] == [
        False,
        True,
        False,
    ]
    assert all("<b>#" in page for page in pages)  # ids always


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
        assert "not the one that was audited" in read_examples(results, [1], asked=True).why_not


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


def test_names_of_files_keep_what_can_stand_in_them():
    assert slug("net, random:count=10 / last-1") == "net-random-count-10-last-1"


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
