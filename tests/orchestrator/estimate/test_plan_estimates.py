"""What a plan says of time, memory and disk: from past costs, from a probe, and unknown where neither is there."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from orchestrator.bench.workbench import Workbench
from orchestrator.config.settings import load
from orchestrator.estimate import cost
from orchestrator.estimate import probe as probing
from orchestrator.estimate.lines import plan_lines
from orchestrator.estimate.past import Past, Spent, model_key, read_past
from orchestrator.estimate.probe import _chosen, _extrapolated, _sampled, probe
from orchestrator.estimate.stages import expected_cells, stages
from orchestrator.plan.grid import make_plan
from orchestrator.progress.display import _Json
from orchestrator.progress.events import Event
from orchestrator.progress.tally import Tally
from orchestrator.store.store import Store
from orchestrator.sweep import main
from tasks.errors import AuditError
from tests.support.audited import audited_root, copied
from tests.support.sweeps import TINY, write_config


@pytest.fixture
def plan(tmp_path):
    return make_plan(load(str(write_config(tmp_path)), {}))


def estimate(plan, tmp_path, past):
    return cost.summarise(plan, Store(str(tmp_path / "none")), missing=plan.cells, past=past)


def test_nothing_is_invented_where_nothing_has_run(plan, tmp_path):
    summary = estimate(plan, tmp_path, Past())
    assert summary.time.device_seconds is None
    assert summary.time.wall_seconds is None
    assert summary.disk.bytes is None
    text = "\n".join(plan_lines(summary))
    assert "time        unknown" in text
    assert "disk        unknown" in text
    assert "memory      unknown beyond the examples" in text


def test_many_hours_are_written_out(plan, tmp_path):
    long = {model_key(spec): Spent(1e6, 1e6) for spec in plan.models.values()}
    text = "\n".join(plan_lines(estimate(plan, tmp_path, Past(stages=long))))
    (hours,) = re.findall(r"time +([\d,]+) device-hours", text)
    assert int(hours.replace(",", "")) > 1000
    assert "e+" not in text


def test_past_costs_add_up_to_what_the_run_took(plan, tmp_path):
    store = Store(audited_root())
    summary = estimate(plan, tmp_path, read_past(store))
    models = store.read("models").to_pylist()
    cells = store.read("cells").to_pylist()
    assert summary.time.stages_without_past_cost == 0
    trained = math.fsum(m["seconds"] for m in models if m["kind"] != "unlearned")
    # A cell's seconds hold the unlearning of its model.
    assert summary.time.wall_seconds == pytest.approx(
        trained + math.fsum(c["seconds"] for c in cells), rel=1e-6
    )
    device = math.fsum(r["device_seconds"] for r in store.read("costs").to_pylist() if r["stage"] != "share")
    assert summary.time.device_seconds == pytest.approx(device, rel=1e-6)
    peaks = [row["peak_bytes"] for row in (*models, *store.read("costs").to_pylist())]
    assert summary.memory.peak_bytes == {"cpu": max(peaks)}
    assert summary.disk.bytes > 2**16


def test_what_is_unlike_the_past_is_counted_and_said(plan, tmp_path):
    past = read_past(Store(audited_root()))
    without = replace(past, stages={k: v for k, v in past.stages.items() if k[-1:] != ("head",)})
    summary = estimate(plan, tmp_path, without)
    assert summary.time.stages_without_past_cost == 2
    assert "2 of" in "\n".join(line for line in plan_lines(summary) if line.startswith("unknown"))


def test_more_hosts_take_less_time_and_a_cluster_of_unknown_size_none(plan, tmp_path):
    past = read_past(Store(audited_root()))
    one = estimate(plan, tmp_path, past).time.wall_seconds
    execution = replace(plan.config.execution, backend="cluster", hosts=4)
    config = replace(plan.config, execution=execution)
    assert estimate(replace(plan, config=config), tmp_path, past).time.wall_seconds == pytest.approx(one / 4)
    config = replace(plan.config, execution=replace(execution, hosts=0))
    summary = estimate(replace(plan, config=config), tmp_path, past)
    assert summary.time.wall_seconds is None
    assert summary.time.device_seconds > 0


def test_stages_of_a_run_are_announced_in_json(plan, tmp_path):
    past, empty = read_past(Store(audited_root())), Store(str(tmp_path / "none"))
    models = plan.trained()
    found = stages(plan, past, models=models, shadows=[], cells=plan.cells, store=empty)
    said = []
    with_state = _Json(Tally(), said.append)
    with_state(Event(kind="stages", name="run", stages=found, workers=1))
    line = json.loads(said[0])
    assert line["progress"]["cells"]["total"] == len(plan.cells)
    assert line["progress"]["training"]["total"] == len(models)
    expected = estimate(plan, tmp_path, past).time.wall_seconds
    assert line["seconds_left"] == pytest.approx(expected, rel=1e-6)


def test_groups_of_cells_hold_their_share_of_the_unlearning(plan):
    past = read_past(Store(audited_root()))
    expected = expected_cells(plan, past, plan.cells)
    total = math.fsum(expected[f"{c.architecture} {c.method} {c.attack}"] for c in plan.cells)
    cells = math.fsum(c["seconds"] for c in Store(audited_root()).read("cells").to_pylist())
    assert total == pytest.approx(cells, rel=1e-6)


@pytest.mark.parametrize(
    ("first", "second", "size", "value"),
    [
        ((10, 1.0), (20, 2.0), 100, 10.0),
        ((10, 3.0), (20, 4.0), 100, 12.0),
        ((10, 4.0), (20, 3.0), 100, 3.0),
        ((10, 0.0), (20, 4.0), 100, 20.0),
        ((20, 4.0), (20, 4.0), 40, 8.0),
    ],
)
def test_the_line_through_two_samples(first, second, size, value):
    assert _extrapolated(first, second, size) == pytest.approx(value)


def test_a_sample_keeps_every_split_and_forgets_training_examples(plan):
    small = _sampled(plan, 40)
    for name in ("train", "validation", "test"):
        assert set(getattr(small.data.splits, name)) <= set(getattr(plan.data.splits, name))
        assert len(getattr(small.data.splits, name))
    forget = small.data.forget_sets["random:fraction=0.2"].ids
    assert set(forget) <= set(small.data.splits.train)
    assert len(forget) < len(small.data.splits.train) / 2


def test_a_probe_asks_its_models_about_the_sample_alone(plan, tmp_path):
    small = _sampled(plan, 40)
    bench = Workbench(small, Store(str(tmp_path / "r")))
    original = next(m.model_id for m in small.models.values() if m.kind == "original")
    with bench.stages.in_this_process():
        bench.make_model(original)
        asked = bench.measuring.all_outputs(original)
    splits = small.data.splits
    sample = np.sort(np.concatenate([splits.train, splits.validation, splits.test]))
    np.testing.assert_array_equal(asked.ids, sample)
    assert len(sample) < len(plan.data.labels.labels) / 2


def test_a_probe_of_what_is_slow_rests_on_fewer_examples(plan, monkeypatch):
    monkeypatch.setattr(probing, "SLOW_SECONDS", 0.0)
    found = probe(plan, plan.cells[:1], Past())
    trained = int(found.source.split()[3])
    assert 64 <= trained < 2 * 64
    assert found.stages


def test_a_probe_tells_what_unlearning_from_shadow_models_takes(tmp_path):
    changes = {
        "axes.method": ["finetune"],
        "axes.attack": ["none", "u_lira"],
        "axes.seed": [0],
    }
    both = make_plan(load("ulira", changes))
    trained = Past(shadows={("resnet_small", "none", ""): 1.0})  # so that lockstep is not timed
    found = probe(both, both.cells, trained)
    shadow = found.shadows["resnet_small", "finetune", "all"]
    model = found.stages["unlearned", "resnet_small", "finetune", "all"].seconds
    layout = both.shadow_sets["resnet_small"].layout
    draws = layout.pool(next(g.pool for g in both.shadow_groups.values() if g.unlearns)).draws
    assert 0 < shadow < model * draws  # half as many training examples, of each draw


def test_a_probe_leaves_nothing_unknown(plan, tmp_path):
    found = probe(plan, plan.cells, Past())
    summary = estimate(plan, tmp_path, found)
    assert summary.time.stages_without_past_cost == 0
    assert summary.time.device_seconds > 0
    assert summary.disk.bytes > 2**16
    assert "from a probe on" in "\n".join(plan_lines(summary))


def test_a_probe_tells_how_shadow_models_train_fastest(tmp_path):
    changes = {"axes.method": ["finetune"], "axes.attack": ["u_lira"], "shadows.strategy": "loop"}
    single = make_plan(load("ulira", changes))
    found = probe(single, single.cells, Past())
    summary = estimate(single, tmp_path, found)
    ways = summary.lockstep["resnet_small"]
    assert {"loop", "grouped:4", "grouped:4:channels_last"} <= ways.seconds.keys()
    assert (ways.configured, ways.not_stacked) == ("loop", "")
    text = "\n".join(plan_lines(summary))
    assert "lockstep    resnet_small: ms for a step of one model: loop" in text
    assert (f"--set shadows.strategy={ways.fastest}" in text) == (ways.fastest != "loop")
    steps = 8 * -(-(1211 // 2) // 64)
    assert found.shadows["resnet_small", "none", ""] == pytest.approx(ways.seconds["loop"] * steps)
    # Not probed: finetune and no_op on 32 shadow models, and the cells that are measured on them.
    assert summary.time.stages_without_past_cost == 2 * 32 + len(single.cells)
    known = replace(Past(), shadows=found.shadows)
    assert probe(single, single.cells, known) is known


def test_a_probe_times_only_what_the_past_lacks(plan, tmp_path):
    past = read_past(Store(audited_root()))
    assert probe(plan, plan.cells, past) is past
    lost = {k for k in past.stages if "gradient_ascent" in k or k == ("cell", "net", "fgsm")}
    known = replace(past, stages={k: v for k, v in past.stages.items() if k not in lost})
    models, cells = _chosen(plan, plan.cells, known)
    assert {(m.kind, m.method) for m in models} == {("unlearned", "gradient_ascent")}
    assert {c.attack for c in cells} == {"fgsm"}
    found = probe(plan, plan.cells, known)
    assert found.stages.items() >= known.stages.items()
    assert all(found.stages[key].seconds > 0 for key in lost)
    assert found.cell_bytes == past.cell_bytes
    summary = estimate(plan, tmp_path, found)
    assert summary.time.stages_without_past_cost == 0
    assert ", from past costs and a probe on" in "\n".join(plan_lines(summary))


def test_a_dry_run_counts_what_a_rerun_makes_again(tmp_path, capsys):
    path = str(Path(audited_root()).parent / "audit.toml")
    root = copied(tmp_path)

    def counts(rerun):
        assert main([path, "--dry-run", "--format", "json", "--rerun", rerun, "--out", root]) == 0
        told = json.loads(capsys.readouterr().out)
        return told["missing_cells"], told["missing_models"]

    store = Store(root)
    models, cells = store.read("models").to_pylist(), store.read("cells").to_pylist()
    assert counts("none") == counts("failed") == (0, 0)
    assert counts("all") == (len(cells), len(models))
    broken = next(m["model_id"] for m in models if m["method"] == "finetune")
    failure = {"status": "failed", "error_type": "Diverged", "error": "training: non-finite loss"}
    mine = [c for c in cells if c["model_id"] == broken]
    for table, key, rows in (("models", "model_id", models), ("cells", "cell_id", mine)):
        for row in rows:
            if row["model_id"] == broken:
                store.write(table, row[key], [row | failure])
    for cell in mine:  # numbers beside a failure would be another's
        store.delete("metrics", cell["cell_id"])
    assert counts("none") == (0, 0)
    assert counts("failed") == (len(mine), 1)


def test_the_plan_as_json_and_a_probe_without_a_dry_run(tmp_path, capsys):
    path = str(write_config(tmp_path, TINY))
    assert main([path, "--dry-run", "--format", "json", "--out", str(tmp_path / "r")]) == 0
    assert json.loads(capsys.readouterr().out)["device_seconds"] is None
    with pytest.raises(AuditError, match="--probe: expected together with --dry-run"):
        main([path, "--probe", "--out", str(tmp_path / "r")])


KEYS = (
    "cells missing_cells by_axis by_role models missing_models distinct_models models_without_sharing sharing_saves "
    "shadows observations lockstep forget_sets retained_copies splits device_seconds device_hours workers wall_seconds "
    "time_from stages stages_without_past_cost memory disk tuning decides notes not_checked_yet"
)
INNER = {
    "observations": "canaries observations_per_state not_shown observation_rows observation_bytes missing_bytes stages "
    "seconds stages_without_past_cost",
    "memory": "example_bytes peak_bytes from",
    "disk": "bytes parts",
    "tuning": "budget searches missing_searches trials forget_size",
}


def test_keys_of_the_plan_in_json_are_kept(tmp_path, capsys):
    """Programs read them: a key that goes or changes its name is a new version."""
    words = ["ulira", "--dry-run", "--format", "json", "--tune", "2", "--set", "shadows.canaries=8"]
    assert main([*words, "--out", str(tmp_path / "r")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert " ".join(told) == KEYS
    assert {key: " ".join(told[key]) for key in INNER} == INNER
    assert list(told["observations"]["canaries"]) == ["count", "canary_kind", "images"]
    assert told["distinct_models"] == sum(told["models"].values())


def test_what_a_plan_does_not_have_is_empty_in_json(plan, tmp_path):
    told = estimate(plan, tmp_path, Past()).to_dict()
    assert (told["observations"], told["lockstep"], told["tuning"]) == ({}, {}, {})
    assert told["device_hours"] is None
