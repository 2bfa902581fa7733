"""The report: complete, honest and self-contained, on real, empty, failed and hand-made results."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from orchestrator.plan.cells import Role
from orchestrator.report.__main__ import main
from orchestrator.report.facts.facts import Facts, gather_facts
from orchestrator.report.images import WIDEST, data_uri, read_examples
from orchestrator.report.page import SECTIONS, report_page
from orchestrator.report.templates import number
from orchestrator.report.write import build, write_page
from orchestrator.results.charts.answers import Answers
from orchestrator.results.connection import Results
from orchestrator.results.evidence import ROLE_ORDER, ROLES, gather, signed, slug
from orchestrator.store.store import Store
from tasks.datasets.base import datasets
from tasks.errors import AuditError
from tests.support.audited import (
    audited_root,
    copied,
    write_accuracy,
    write_cell,
    write_membership,
    write_models,
    write_run,
)
from tests.support.audited_page import audited_page
from tests.support.commands import ROOT
from tests.support.fabricated import setting_of, write_plan, write_setting
from tests.support.report_pages import checked

VALUES = {
    "retrain": 0.5,
    "retrain_again": 0.503,
    "retrain_third": 0.501,
    "no_op": 1.0,
    "kept": 0.9,
    "good": 0.502,
    "wild": 0.5,
}


HIDDEN = "the data are not embedded, and --examples was not given"


@pytest.fixture(scope="module")
def real():
    page, facts = audited_page()
    return page, facts, checked(page)


@pytest.fixture
def store(tmp_path):
    store = Store(str(tmp_path / "made"))
    write_run(store)
    return store


def judged(store, values=VALUES, **changes):
    """Models of three seeds; `wild` differs from seed to seed by more than the margin."""
    write_models(store, {m: v for m, v in values.items() if m != "wild"}, **changes)
    if "wild" in values:
        write_models(store, {"wild": values["wild"]}, wobble=0.2, **changes)


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


def facts_of(store) -> Facts:
    """The facts alone, which no page is made of."""
    with Results(store.root) as results:
        return gather_facts(Answers(results))


def words_of(store) -> str:
    """What the page on them prints."""
    return checked(report_page(facts_of(store))).words


@dataclass(frozen=True, kw_only=True)
class Told:
    """Results, and what a report says of them."""

    store: Store
    facts: Facts
    words: str


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Of three models one is told apart, one shown equivalent, one undecided; there are measures that decide nothing.

    Of 29 planned cells two have failed and six are missing.
    """
    store = Store(str(tmp_path_factory.mktemp("told")))
    write_run(store, cells=29)
    judged(store)
    judged(store, dict.fromkeys(VALUES, 0.8) | {"good": 0.4}, split="test")
    for seed in (7, 8):
        error = {"status": "failed", "error_type": "Diverged", "error": "loss is <nan> at step 3"}
        write_cell(store, "scrub", seed=seed, **error)
    facts = facts_of(store)
    return Told(store=store, facts=facts, words=checked(report_page(facts)).words)


def test_controls_stand_above_and_the_closest_model_first(told):
    (place,) = told.facts.places
    assert [row.label for row in place.board.rows] == [
        *("retrained", "retrained again", "a further retraining", "doing nothing", "good", "wild", "kept"),
    ]
    assert [row.rank for row in place.board.audited] == [1, 2, 3]


def test_the_headline_says_who_is_equivalent_everywhere(told):
    assert told.facts.headline == "Shown equivalent to retraining here: good."


def test_the_three_verdicts_say_what_settles_them(told):
    words = told.words
    assert "A further retraining, which has forgotten, is shown equivalent." in words
    assert (
        "Doing nothing is told apart by more than its margin on 1 of 1 primary measure of forgetting."
        in words
    )
    assert "told apart on 1 of 1 primary measure, most clearly: accuracy on the forgotten" in words
    assert "shown equivalent on the one primary measure." in words
    assert "The audit can tell." in words
    with Results(told.store.root) as results:
        (settles,) = results.sql("select settles from verdicts where method = 'wild' and family = 'primary'")[
            "settles"
        ].to_pylist()
    said = r"\d+ seeds in place of 3, to show equivalence within 0.05 where there is no difference"
    assert re.fullmatch(said, settles)
    assert f"undecided; to settle it: {settles}." in words


def test_exploratory_measures_decide_nothing(told):
    (place,) = told.facts.places
    found = {row.label: (row.verdict, row.discoveries, row.explored) for row in place.board.audited}
    assert found["good"] == ("shown equivalent", 1, 1)
    assert found["kept"][1:] == (0, 1)


def test_failed_and_missing_cells_are_told_and_counted(told):
    (failure,) = told.facts.record.failures
    assert (failure.times, failure.message) == (2, "loss is <nan> at step 3")
    assert "loss is <nan> at step 3" in told.words  # escaped: a parser reads it as text
    assert "cells failed: 2" in told.words
    assert "cells missing: 6, the same sweep command computes them" in told.words
    with Results(told.store.root) as results:
        assert {f.method for f in gather(results).findings} == VALUES.keys() - {"retrain", "retrain_again"}


def test_real_results_give_every_section_in_order(real):
    _, facts, page = real
    anchors = [anchor for anchor, _ in SECTIONS]
    assert [found for found in page.ids if found in anchors] == anchors
    assert set(page.data["charts"]) >= {"forest", "exposure", "harm", "scope", "cost"}
    assert page.data["specs"].keys() == page.data["charts"].keys()
    assert {chart.name for chart in facts.charts if not chart.rows} >= {"order", "stopping"}


def test_every_query_behind_the_page_is_there_with_its_command(real):
    page, facts, _ = real
    for name, behind in facts.behind.items():
        assert "select" in behind.sql
        assert behind.command.startswith(f"python -m orchestrator.query {name} --results ")
        assert f'id="query-{name}"' in page


def test_what_is_missing_says_how_to_compute_it(real):
    _, facts, page = real
    assert page.words.count(facts.missing["order"]) >= 1
    assert "--set shadows.trajectories=true" in facts.missing["order"]
    assert all(
        one.startswith("python -m orchestrator.sweep CONFIGURATION ") for one in facts.missing.values()
    )


def test_numbers_of_the_leaderboard_are_those_of_the_store(real):
    _, facts, page = real
    with Results(audited_root()) as results:
        rows = results.query("verdict").to_pylist()
        costs = results.query("unlearning_cost").to_pylist()
    (place,) = facts.places
    for row in place.board.rows:
        for column, cell in zip(place.board.columns, row.cells, strict=True):
            mine = [
                r for r in rows if (r["method"], r["scope"], r["role"]) == (row.method, row.scope, row.role)
            ]
            same = [
                r
                for r in mine
                if (r["metric"], r["split"], r["attack"]) == (column.key[0], column.key[1], column.key[2])
            ]
            if row.role not in ("reference", "noise_floor") and cell is not None:
                assert any(
                    (r["value"], r["difference"], r["difference_low"])
                    == (cell.value, cell.difference, cell.difference_low)
                    for r in same
                )
                assert number(cell.value) in page.words
    ratios = {(r["method"], r["scope"]): r["ratio"] for r in costs}
    assert {(r.method, r.scope): r.prices[0].ratio for r in place.board.audited} == ratios


def test_the_page_never_promises_safety(real):
    text = re.sub(
        r"\b(queries|python)\b.*", "", real[2].words[: real[2].words.index("The SQL behind everything")]
    )
    assert not re.search(r"\b(safe|guarantee[sd]?|certified|proven)\b", text.lower())


def test_command_writes_page_facts_and_figures_with_examples_on_demand(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(datasets.get("synthetic"), "embedded", False)
    page, facts, figures = tmp_path / "r.html", tmp_path / "f.json", tmp_path / "new" / "figures"
    flags = [
        "--output",
        str(page),
        "--facts",
        str(facts),
        "--figures",
        str(figures),
        "--only",
        "forest",
        "cost",
        "--examples",
    ]
    assert main([audited_root(), *flags]) == 0
    text = page.read_text(encoding="utf-8")
    assert "data:image/png" in text
    assert HIDDEN not in checked(text).words
    assert json.loads(facts.read_text(encoding="utf-8"))["version"] == 3
    names = {path.stem for path in figures.iterdir()}
    assert {name.partition("-")[0] for name in names} == {"forest", "cost"}
    assert {path.suffix for path in figures.iterdir()} == {".svg", ".pdf", ".csv"}
    assert len(list(figures.iterdir())) == 3 * len(names)
    for svg in figures.glob("*.svg"):
        text = svg.read_text(encoding="utf-8")
        assert ET.fromstring(text).tag.endswith("svg")
        assert "var(" not in text
        assert '"@' not in text
    out = capsys.readouterr()
    assert out.out == ""
    assert "report in" in out.err


def test_one_chart_alone_is_drawn_and_no_page_is_left_behind(
    tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, page = audited_root(), tmp_path / "report.html"
    monkeypatch.chdir(tmp_path)
    assert main([root, "--figures", "figures", "--only", "forest"]) == 0
    count = len(list((tmp_path / "figures").glob("forest*.svg")))
    assert capsys.readouterr().err == f"{count} figures in figures\n"
    assert {path.name for path in tmp_path.iterdir()} == {"figures"}
    assert main([root, "--figures", "figures", "--only", "forest", "--output", "r.html"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"figures", "r.html"}
    assert main([root, "--figures", "figures"]) == 0
    assert page.exists()


def test_unknown_charts_and_places_that_cannot_be_written_are_refused_before_the_work(tmp_path):
    with pytest.raises(AuditError, match=r"--only: no chart 'forrest'. Did you mean 'forest'"):
        main(["nowhere", "--figures", str(tmp_path), "--only", "forrest"])
    with pytest.raises(AuditError, match="--only: expected --figures"):
        main(["nowhere", "--only", "forest"])
    with pytest.raises(AuditError, match="--facts: cannot write"):
        main(["nowhere", "--facts", str(tmp_path / "absent" / "f.json")])
    with pytest.raises(AuditError, match="no directory"):
        main([str(tmp_path / "absent")])
    with pytest.raises(AuditError, match="--output: cannot write"):
        main([audited_root(), "--output", str(tmp_path / "absent" / "r.html")])
    with pytest.raises(AuditError, match="--output: cannot write"):
        write_page(tmp_path, "text", flag="--output")


def test_empty_results_explain_themselves(tmp_path):
    Store(str(tmp_path / "empty")).check_ready()
    page, facts = build(str(tmp_path / "empty"))
    words = checked(page).words
    assert "there is no verdict" in facts.headline
    assert not any(chart.rows for chart in facts.charts)
    assert words.count("python -m orchestrator.sweep") >= 10


def test_counts_of_the_verdict_are_those_of_the_queries(store):
    for forget_set in ("mine", "theirs"):
        shift = {"mine": {}, "theirs": {"good": 0.7, "no_op": 0.5}}[forget_set]
        write_models_at(store, forget_set, VALUES | shift)
    facts = facts_of(store)
    with Results(store.root) as results:
        *by_place, total = results.query("verdict_counts").to_pylist()
        models = results.query("model_verdicts").to_pylist()
    assert (total["models"], total["told_apart"], total["shown_equivalent"], total["undecided"]) == (
        6,
        3,
        1,
        2,
    )
    words = checked(report_page(facts)).words
    assert "3 of 6 unlearned models are told apart from retraining, 1 shown equivalent, 2 undecided." in words
    assert f"At {total['blind']} of {total['places']} places" in words
    assert f"{total['measures']} comparisons on primary measures" in words
    answers = {r.forget_set: r.answers[0] for r in facts.requests}
    for row in by_place:
        answer = answers[row["forget_set"]]
        assert (answer.told_apart, answer.shown_equivalent, answer.undecided) == tuple(
            row[name] for name in ("told_apart", "shown_equivalent", "undecided")
        )
        assert answer.sees == bool(row["seeing"])
    told = {(m["forget_set"], m["method"]): m["verdict"] for m in models if m["role"] == "audited"}
    shown = {(p.forget_set, r.method): r.verdict for p in facts.places for r in p.board.audited}
    assert shown == told
    assert [r.forget_set for r in facts.requests] == [
        "mine",
        "theirs",
    ]  # where the audit can tell comes first
    assert "good is at 1 of 2 places" in facts.headline


def test_two_settings_at_one_place_are_two_models_with_what_differs(store):
    for method, value in (("retrain", 0.5), ("retrain_again", 0.503), ("no_op", 1.0), ("kept", 0.9)):
        for lr in (0.1, 0.2) if method == "kept" else (0.1,):
            row = {"method": method, "attack": "none", "scope": "all", "model_id": f"{method}-{lr}"}
            made = setting_of(row, **{"training.epochs": 8, "method.lr": lr})
            write_setting(store, made)
            known = {"setting": made.setting, "conditions": made.conditions, "reference_id": "retrain-0.1"}
            write_accuracy(
                store,
                write_cell(store, method, cell_id=f"{method}-{lr}", model_id=f"{method}-{lr}", **known),
                value,
                0.04,
            )
    (place,) = facts_of(store).places
    assert [row.label for row in place.board.audited] == ["kept (lr=0.1)", "kept (lr=0.2)"]


def test_one_seed_is_undecided(store):
    judged(store, seeds=1)
    facts = facts_of(store)
    words = checked(report_page(facts)).words
    assert "0 of 3 unlearned models are told apart from retraining, 0 shown equivalent, 3 undecided" in words
    assert "to settle it: one seed says nothing of another training" in words
    assert facts.headline == "Nothing can be shown to be forgotten here: one seed decides nothing."
    assert "Doing nothing was not tested on a primary measure of forgetting: none can show" in words


def test_page_says_when_the_audit_has_no_power(store):
    judged(store, VALUES | {"no_op": 0.5})
    words = words_of(store)
    assert "Nothing can be shown to be forgotten here: doing nothing passes for forgetting too." in words
    assert "A pass means nothing here." in words
    assert (
        "Here no primary measure of forgetting tells doing nothing apart by more than its margin: none"
        in words
    )
    assert "More seeds, a larger forget set or a per-example attack may help." in words
    assert "1 of 3 unlearned models is told apart from retraining, 0 shown equivalent, 2 undecided" in words


def test_where_doing_nothing_lies_within_its_margin_the_margin_is_wide_and_no_power_lacks(store):
    judged(store, VALUES | {"no_op": 0.53})
    words = words_of(store)
    assert (
        "here none can show equivalence. Within the margin, which is wide for it, it is told apart by accuracy"
        in words
    )
    assert "More seeds" not in words


def test_a_margin_declared_after_rows_were_there_is_said(tmp_path):
    store = Store(str(tmp_path / "made"))
    for run_id, margin, before in (("first", 0.01, 0), ("second", 0.05, 4)):
        write_run(store, run_id, margin=margin, cells_before=before)
        judged(store, run_id=run_id)
    words = words_of(store)
    assert "Of 3 models a primary measure or its margin was declared after rows of it were there." in words
    assert "told apart 1 of 1, declared after" in words


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
    facts = facts_of(store)
    page = checked(report_page(facts))
    assert {"roc", "exposure"} <= page.data["charts"].keys()
    told = {row.label: row.told_apart for row in facts.exposed}
    assert told["doing nothing"] > told["kept"] > told["retrained again"]
    assert "No per-example attack was run" not in page.words
    with Results(store.root) as results:
        rows = [r for r in results.query("example_auc").to_pylist() if r["role"] == "audited"]
    means = {
        i: np.mean([r["auc"] for r in rows if r["example_id"] == i]) for i in {r["example_id"] for r in rows}
    }
    gallery = facts.exhibits.places[0].galleries[0]
    assert [s.example for s in gallery.shown] == sorted(means, key=lambda i: (-means[i], i))[:12]
    assert "No images" in page.words


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


def test_examples_are_shown_of_embedded_data_alone(monkeypatch, real):
    kind = datasets.get("synthetic")
    assert kind.embedded
    assert not any(datasets.get(name).embedded for name in ("cifar10", "image_folder", "imagenet", "npz"))
    monkeypatch.setattr(kind, "embedded", False)
    hidden, _ = build(audited_root())
    assert ["data:image/png" in page for page in (hidden, real[0])] == [False, True]
    assert [HIDDEN in page for page in (hidden, real[0])] == [True, False]
    assert re.search(r"data-example=\"\d+\"", hidden)  # ids always


def test_colour_images_keep_their_channels_and_large_ones_become_small():
    image = np.zeros((3, 2, 2), dtype=np.uint8)
    image[0] = 200
    content = base64.b64decode(data_uri(image).split(",")[1])
    assert np.asarray(Image.open(io.BytesIO(content)))[0, 0].tolist() == [200, 0, 0]
    large = data_uri(np.zeros((3, 300, 200), dtype=np.uint8))
    assert max(Image.open(io.BytesIO(base64.b64decode(large.split(",")[1]))).size) == WIDEST
    assert len(large) < 3000


def test_another_data_set_gives_no_images(tmp_path):
    root = copied(tmp_path)
    store = Store(root)
    row = store.read("runs").to_pylist()[0]
    store.write("runs", row["run_id"], [row | {"dataset_digest": "another"}])
    with Results(root) as results:
        assert "not the one that was audited" in read_examples(results, [1], asked=True).why_not


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
        "heavy = {'torch', 'ray', 'vl_convert', 'duckdb', 'pandas', 'mlflow', 'wandb'}\n"
        "print(sorted(set(sys.modules) & heavy))\n"
        "import orchestrator.report.write\n"
        "print(sorted(set(sys.modules) & {'torch', 'ray', 'pandas', 'vl_convert'}))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True, timeout=60
    )
    assert shown.stdout.split() == ["[]", "[]"]


def test_every_role_has_its_place_and_its_words() -> None:
    assert set(ROLE_ORDER) == set(get_args(Role))
    assert ROLES.keys() == set(ROLE_ORDER) - {"audited"}


def test_the_runtime_is_the_one_that_is_recorded() -> None:
    assets = Path(ROOT) / "orchestrator" / "report" / "assets"
    recorded = json.loads((assets / "vega.json").read_text())
    content = (assets / "vega.min.js").read_bytes()
    assert len(content) == recorded["bytes"]
    assert hashlib.sha256(content).hexdigest() == recorded["sha256"]
    assert content.startswith(b"/*! Vega")
    assert set(recorded["licences"]) == {"BSD-3-Clause", "ISC"}
    assert recorded["packages"]["vega-view"].startswith("6.")
