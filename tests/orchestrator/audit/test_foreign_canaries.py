"""Out-of-distribution canaries through whole sweeps: planted on every path, bounded, recorded, resumed."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from orchestrator import sweep
from orchestrator.bench.shadows import ShadowWorker
from orchestrator.bench.workbench import Workbench
from orchestrator.config.settings import load
from orchestrator.plan.cells import Plan
from orchestrator.plan.grid import make_plan
from orchestrator.results.connection import Results
from orchestrator.store.store import Store
from tasks.datasets.cifar import Cifar100
from tasks.runtime import weights
from tasks.shadows.canaries import Canaries, as_type, fitted
from tasks.training.resident import ResidentData
from tasks.training.scoring import score
from tests.support import shadow_sweeps

COUNT = 40
TEXT = shadow_sweeps.TEXT.replace("epochs = 12\nbatch_size = 16", "epochs = 25\nbatch_size = 32")
"""Long enough that one model alone tells doing nothing from retraining."""
CHANGES = {
    "attack": '["one_run", "one_run:game=G2", "lira", "lira:targets=canaries", "u_lira:targets=canaries"]',
    "lr": "0.1",
    "batch": "16",
    "strategy": '"grouped:16"',
    "trajectories": f'false\ncanaries = {COUNT}\ncanary_kind = "out_of_distribution"',
}
ATTACKED = {
    ("G0", "no_op"),
    ("G2", "no_op"),
    ("G2", "retrain"),
    ("G2", "finetune"),
}


def run(folder: Path, **changes: str) -> Path:
    """A sweep in this process."""
    ran = shadow_sweeps.sweep(folder, report=True, text=TEXT, **(CHANGES | changes))
    assert ran.returncode == 0, ran.stderr
    return folder


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished sweep with generated images; only to be read."""
    return run(tmp_path_factory.mktemp("generated"))


def plan_of(folder: Path) -> tuple[Plan, Canaries]:
    plan = make_plan(load(str(folder / "audit.toml")))
    canaries = plan.shadow_sets["net"].layout.canaries
    assert canaries is not None
    return plan, canaries


def bounds(folder: Path) -> dict[tuple[str, str], tuple[float, float, float]]:
    """Smallest, median and largest epsilon of the shadow models by game and method."""
    store = Store(str(folder / "results"))
    method = {r["cell_id"]: r["method"] for r in store.read("cells").to_pylist()}
    found = [r for r in store.read("metrics").to_pylist() if r["metric"] == "epsilon_lower_bound"]
    each: dict[tuple[str, str], dict[str, float]] = {}
    for r in found:
        each.setdefault((r["game"], method[r["cell_id"]]), {})[r["variant"]] = r["value"]
    names = [f"one_run:out_of_distribution:{which}_of_shadows" for which in ("lowest", "median", "largest")]
    return {place: (values[names[0]], values[names[1]], values[names[2]]) for place, values in each.items()}


def by_hand(plan: Plan, canaries: Canaries) -> ResidentData:
    """The audited data with the canaries in it, made without the code under test."""
    assert canaries.images is not None
    images, labels = plan.data.source.read_images().copy(), plan.data.labels.labels.copy()
    images[canaries.ids], labels[canaries.ids] = canaries.images.read(), canaries.labels
    return ResidentData.put(images, labels, plan.data.labels.num_classes, torch.device("cpu"))


def check_scored_as_planted(folder: Path) -> None:
    """What is stored of a model is what it answers to the planted images, and nothing else."""
    plan, canaries = plan_of(folder)
    store = Store(str(folder / "results"))
    bench = Workbench(plan, store)
    shadows = plan.shadow_sets["net"]
    model = bench.models.build("net", ("empty",))
    weights.load(model, store.get_blob("weights", shadows.shadow_id(3)))
    model.eval()
    observed = store.read(
        "observations", shadows.base().key(3), architecture="net", method="none", scope="all"
    )
    ids, phi = (observed[name].to_numpy() for name in ("example_id", "phi"))
    planted, original = (
        score(model, data.subset(ids)).phi for data in (by_hand(plan, canaries), bench.data.resident(None))
    )
    np.testing.assert_array_equal(phi, planted.astype(np.float32))
    where = np.isin(ids, canaries.ids)
    assert where.sum() == COUNT
    np.testing.assert_array_equal(phi[~where], original[~where].astype(np.float32))
    assert (np.abs(phi[where] - original[where]) > 1e-3).all()


def test_retraining_is_the_floor_of_one_run_and_doing_nothing_the_ceiling(generated: Path) -> None:
    found = bounds(generated)
    assert set(found) == ATTACKED
    assert found["G0", "no_op"][1] > 0.5
    assert found["G2", "no_op"] == found["G0", "no_op"]  # what was not forgotten is as exposed as before
    assert found["G2", "retrain"][1] == 0  # a model that never saw the coins cannot tell them
    assert found["G2", "retrain"][2] < found["G2", "no_op"][1]


def test_lira_on_canaries_and_on_natural_examples_are_apart(generated: Path) -> None:
    plan, canaries = plan_of(generated)
    store = Store(str(generated / "results"))
    place = {r["cell_id"]: (r["attack"], r["method"]) for r in store.read("cells").to_pylist()}
    auc = {
        place[r["cell_id"]]: r
        for r in store.read("metrics").to_pylist()
        if (r["metric"], r["variant"].partition(":")[2]) == ("auc", "pooled")
    }
    assert auc["lira", "no_op"]["n"] == 16 * (len(plan.data.splits.train) - COUNT)
    assert auc["lira:targets=canaries", "no_op"]["n"] == 16 * COUNT
    assert auc["lira:targets=canaries", "no_op"]["ci_low"] > 0.7
    assert auc["u_lira:targets=canaries", "no_op"]["ci_low"] > 0.7
    floor = auc["u_lira:targets=canaries", "retrain"]
    assert floor["ci_low"] < 0.5 < floor["ci_high"]
    label = dict(zip(canaries.ids.tolist(), canaries.labels.tolist(), strict=True))
    rows = store.read("examples").to_pylist()
    seen: dict[str, set[int]] = {}
    for r in rows:
        seen.setdefault(place[r["cell_id"]][0], set()).add(r["example_id"])
        if r["example_id"] in label and place[r["cell_id"]][0].endswith("canaries"):
            assert r["label"] == label[r["example_id"]]
    assert seen["lira:targets=canaries"] == seen["u_lira:targets=canaries"] == set(label)
    assert not seen["lira"] & set(label)


def test_attacks_on_canaries_stand_apart_from_the_forget_sets(generated: Path) -> None:
    _, canaries = plan_of(generated)
    for row in Store(str(generated / "results")).read("cells").to_pylist():
        subject = row["forget_set"], row["forget_digest"], row["forget_size"]
        assert (subject == ("canaries", canaries.digest, COUNT)) is (row["attack"] != "lira")
    two = {"axes.forget_set": ["random:fraction=0.2", "class:label=1"]}
    cells = make_plan(load(str(generated / "audit.toml"), two)).cells
    count = {attack: sum(cell.attack == attack for cell in cells) for attack in {c.attack for c in cells}}
    assert count == {
        "lira": 2,
        "one_run": 1,
        "lira:targets=canaries": 1,
        "one_run:game=G2": 3,
        "u_lira:targets=canaries": 3,
    }


def test_the_report_shows_no_image_for_a_canary(generated: Path) -> None:
    text = (generated / "results" / "report.html").read_text().partition('<section id="examples"')[2]
    pattern = r'class="of-place"><h3>canaries.*?\n</div>\n(?=<div data-of-place|<details)'
    place = re.search(pattern, text, re.DOTALL)
    assert place is not None
    assert "Without images: a canary need not look like" in place[0]
    assert "data-example" in place[0]
    assert "data:image" not in place[0]


def test_models_answer_to_the_planted_images(generated: Path) -> None:
    check_scored_as_planted(generated)


def test_results_name_every_canary(generated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan, canaries = plan_of(generated)
    with Results(str(generated / "results")) as results:
        (answer,) = results.query("canaries").to_pylist()
        rows = results.sql("select * from canaries order by example_id").to_pylist()
        inside = results.sql("select distinct canaries_id from shadows").to_pylist()
    assert [r["example_id"] for r in rows] == canaries.ids.tolist()
    assert [r["label"] for r in rows] == canaries.labels.tolist()
    assert [r["original_label"] for r in rows] == plan.data.labels.labels[canaries.ids].tolist()
    assert {(r["canary_kind"], r["images"]) for r in rows} == {("out_of_distribution", "colour_fields")}
    assert [r["image_id"] for r in rows] == list(range(COUNT))
    assert inside == [{"canaries_id": canaries.digest}]
    layout = plan.shadow_sets["net"].layout
    learnt = [np.isin(canaries.ids, layout.members(j)).sum() for j in range(16)]
    assert (answer["canaries"], answer["shadows"], answer["learnt_mean"]) == (COUNT, 16, COUNT / 2)
    assert (answer["learnt_low"], answer["learnt_high"]) == (min(learnt), max(learnt))
    assert answer["true_label"] == (canaries.labels == plan.data.labels.labels[canaries.ids]).sum()
    sweep.main([str(generated / "audit.toml"), "--out", str(generated / "none"), "--dry-run"])
    assert f"canaries    {COUNT} out_of_distribution, images of colour_fields" in capsys.readouterr().out


def test_the_same_command_computes_nothing_and_another_kind_everything(generated: Path) -> None:
    files = {p: p.stat().st_mtime_ns for p in (generated / "results").rglob("*.arrow")}
    assert len(files) > 5
    run(generated)
    assert {p: p.stat().st_mtime_ns for p in (generated / "results").rglob("*.arrow")} == files
    path, kind = str(generated / "audit.toml"), "shadows.canary_kind"
    ours, _ = plan_of(generated)
    for overrides in ({kind: "mislabelled"}, {"shadows.canary_images": "digits"}):
        other = make_plan(load(path, overrides))
        assert not {c.cell_id for c in ours.cells} & {c.cell_id for c in other.cells}
        assert ours.shadow_sets["net"].set_id != other.shadow_sets["net"].set_id


def test_risk_scores_leave_canaries_out(generated: Path) -> None:
    from orchestrator.scores.risk import shadow_scores

    plan, canaries = plan_of(generated)
    scores, _ = shadow_scores(str(generated / "results"), architecture="net")
    unknown = np.flatnonzero(np.isnan(scores["privacy_risk"]))
    outside = np.setdiff1d(np.arange(len(plan.data.labels.labels)), plan.data.splits.train)
    np.testing.assert_array_equal(unknown, np.union1d(outside, canaries.ids))


# -- another data set ----------------------------------------------------------------------------------------


def write_cifar100(folder: Path) -> np.ndarray:
    """CIFAR-100's binary files with 60 images in place of 60,000; the images."""
    folder.mkdir()
    generator = np.random.default_rng(5)
    coarse = generator.integers(0, 256, (60, 3, 4, 4), dtype=np.uint8)
    images = coarse.repeat(8, axis=2).repeat(8, axis=3)
    labels = generator.integers(0, 20, (60, 2), dtype=np.uint8)
    records = np.hstack([labels, images.reshape(60, -1)])
    (folder / "train.bin").write_bytes(records[:50].tobytes())
    (folder / "test.bin").write_bytes(records[50:].tobytes())
    for name in ("fine", "coarse"):
        (folder / f"{name}_label_names.txt").write_text("\n".join(f"{name}{k}" for k in range(20)))
    return images


@pytest.fixture
def small_cifar(monkeypatch: pytest.MonkeyPatch) -> None:
    """CIFAR-100 files of 50 and 10 records."""
    small = [dataclasses.replace(one, num_train=50, num_test=10) for one in Cifar100.layouts]
    monkeypatch.setattr(Cifar100, "layouts", tuple(small))


@pytest.mark.slow
@pytest.mark.usefixtures("small_cifar")
def test_canaries_from_another_data_set(tmp_path: Path) -> None:
    images = write_cifar100(tmp_path / "cifar-100-binary")
    source = f'\ncanary_images = "cifar100"\ncanary_options = {{ root = "{tmp_path}" }}'
    run(
        tmp_path,
        attack='["one_run", "one_run:game=G2"]',
        trajectories=CHANGES["trajectories"] + source,
    )
    found = bounds(tmp_path)
    assert set(found) == ATTACKED
    assert found["G0", "no_op"][1] > 0.3
    assert found["G2", "retrain"][1] == 0
    check_scored_as_planted(tmp_path)
    _, canaries = plan_of(tmp_path)
    rows = Store(str(tmp_path / "results")).read("canaries").to_pylist()
    shown = [r["image_id"] for r in sorted(rows, key=lambda r: r["example_id"])]
    assert len(set(shown)) == COUNT
    assert {r["images"] for r in rows} == {"cifar100"}
    assert canaries.images is not None
    np.testing.assert_array_equal(canaries.images.read(), fitted(images[shown], (1, 8, 8)))


@pytest.mark.slow
@pytest.mark.usefixtures("small_cifar")
def test_a_float_data_set_gets_canaries_of_its_type_and_every_worker_the_same(tmp_path: Path) -> None:
    images = write_cifar100(tmp_path / "cifar-100-binary")
    path = tmp_path / "audit.toml"
    source = f'\ncanary_images = "cifar100:root={tmp_path}"'
    changes = CHANGES | {"trajectories": CHANGES["trajectories"] + source}
    shadow_sweeps.configured(tmp_path, **changes)
    audited = {"data.name": "digits", "data.options": {}}
    worlds = []
    for name in ("one", "other"):
        plan = make_plan(load(str(path), audited))
        worker = ShadowWorker(Workbench(plan, Store(str(tmp_path / name))), "net")
        worlds.append((plan, worker.bench))
    (plan, bench), (_, other) = worlds
    canaries = bench.layout.canaries
    assert canaries is not None
    assert canaries.images is not None
    assert bench.data.images.dtype == torch.float32
    expected = as_type(fitted(images[canaries.images.image_ids], (1, 8, 8)), np.dtype(np.float32))
    subset = bench.subset(canaries.ids)
    np.testing.assert_array_equal(subset.data.inputs(subset.ids).numpy(), expected)
    assert subset.targets.tolist() == canaries.labels.tolist()
    assert torch.equal(bench.data.images, other.data.images)
    assert bench.layout.digest == other.layout.digest
    natural = np.setdiff1d(np.arange(1797), canaries.ids)
    assert np.array_equal(bench.data.images.numpy()[natural], plan.data.source.read_images()[natural])


def test_the_driver_plans_without_reading_an_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.datasets.digits import Digits

    shadow_sweeps.configured(tmp_path, **CHANGES)

    def refuse(_: Digits) -> np.ndarray:
        raise AssertionError("images were read")

    monkeypatch.setattr(Digits, "read_images", refuse)
    plan = make_plan(load(str(tmp_path / "audit.toml"), {"shadows.canary_images": "digits"}))
    assert plan.shadow_sets["net"].layout.digest
