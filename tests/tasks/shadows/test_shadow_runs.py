import copy
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import nn

from tasks.errors import AuditError
from tasks.runtime.devices import Engine
from tasks.runtime.seeding import isolated_global_rng, numpy_generator
from tasks.shadows import runs
from tasks.shadows.canaries import Canaries, ColourFields
from tasks.shadows.layout import ShadowLayout, TargetPool
from tasks.shadows.observations import Observations, State
from tasks.shadows.runs import ShadowBench, Unlearning, plant_images, shadow_runs
from tasks.training.recipe import Recipe
from tasks.training.resident import ResidentData
from tasks.training.scoring import score
from tasks.training.strategy_text import Strategy
from tasks.training.train import train
from tasks.unlearn.base import methods
from tasks.unlearn.finetune import Finetune
from tasks.unlearn.gradient_ascent import GradientAscent
from tasks.unlearn.no_op import NoOp
from tasks.unlearn.retrain import Retrain
from tasks.unlearn.ssd import SelectiveSynapticDampening

COUNT, TRAIN, CLASSES = 120, 81, 3
POOL = np.arange(0, 24)
LAYOUT = ShadowLayout(
    train_ids=np.arange(TRAIN),
    labels=np.arange(TRAIN) % CLASSES,
    num_shadows=4,
    pools=(TargetPool(name="random", ids=POOL, forget_size=5, draws=2),),
)


class Net(nn.Module):
    def __init__(self, seed_path):
        super().__init__()
        with isolated_global_rng("net", *seed_path):
            self.conv = nn.Conv2d(1, 6, 3, padding=1, bias=False)
            self.bn = nn.BatchNorm2d(6)
            self.fc = nn.Linear(96, CLASSES)

    def forward(self, images):
        return self.fc(torch.relu(self.bn(self.conv(images))).flatten(1))


def examples():
    """Images in [0, 1], float32, and labels."""
    labels = np.arange(COUNT) % CLASSES
    images = numpy_generator("shadow runs").random((COUNT, 1, 4, 4)) * 0.7
    images += 0.3 * (labels / CLASSES)[:, None, None, None]
    return images.astype(np.float32), labels


def resident(images, labels):
    return ResidentData.put(images, labels, CLASSES, torch.device("cpu"))


def bench(**changes):
    engine = Engine(device="cpu")
    values = {
        "layout": LAYOUT,
        "data": resident(*examples()),
        "recipe": Recipe(epochs=4, batch_size=8, lr=0.05, augmentation="shift"),
        "fresh_model": Net,
        "example_ids": np.arange(COUNT),
        "validation_ids": np.arange(100, COUNT),
        "engine": engine,
    }
    return ShadowBench(**{**values, **changes})


@pytest.fixture(scope="module")
def trained():
    """A bench and its shadow 1, trained."""
    ours = bench()
    ((model, base),) = ours.train([1])
    return ours, model, base


def unlearning(method, **changes):
    values = {"label": type(method).__name__, "method": method, "scope": "all", "pool": "random", "draw": 0}
    return Unlearning(**{**values, **changes})


def test_a_shadow_is_trained_on_its_members_with_its_own_seeds(trained):
    ours, model, base = trained
    twin = Net(("shadow init", LAYOUT.init_seed(1)))
    train(
        twin,
        ours.data.subset(LAYOUT.members(1)),
        ours.recipe,
        seed_path=("shadow order", LAYOUT.order_seed(1)),
        engine=ours.engine,
    )
    assert all(torch.equal(v, twin.state_dict()[k]) for k, v in model.state_dict().items())
    assert (base.method, base.strategy, base.error) == ("none", "loop", "")
    assert np.array_equal(base.block.state == State.RETAINED, np.isin(np.arange(COUNT), LAYOUT.members(1)))
    assert (base.block.state == State.TEST).sum() == COUNT - TRAIN
    outputs = score(model, ours.data.subset(np.arange(COUNT)))
    np.testing.assert_allclose(base.block.phi, outputs.phi, rtol=1e-5, atol=1e-5)
    assert base.block.phi.dtype == base.block.loss.dtype == np.float32


def test_members_score_higher_than_strangers():
    ((_, base),) = bench(recipe=Recipe(epochs=40, batch_size=8, lr=0.05)).train([1])
    member = base.block.state == State.RETAINED
    assert base.block.phi[member].mean() > base.block.phi[~member].mean() + 1


def test_doing_nothing_gives_the_base_statistics_and_its_own_states(trained):
    ours, model, base = trained
    (run,) = shadow_runs(ours, 1, model, [unlearning(NoOp(), draw=1)])
    assert np.array_equal(run.block.phi, base.block.phi)
    assert np.array_equal(np.flatnonzero(run.block.state == State.UNLEARNED), LAYOUT.forget(1, "random", 1))
    assert (run.method, run.pool, run.draw, run.block.shadow) == ("NoOp", "random", 1, 1)


def test_methods_see_the_draw_and_start_from_the_same_seed_and_weights(trained):
    ours, model, _ = trained
    before = copy.deepcopy(model.state_dict())
    seen = []

    @dataclass(frozen=True)
    class Spy(NoOp):
        def __call__(self, run):
            seen.append(
                (run.seed, run.forget.ids.tolist(), run.retain.ids.tolist(), run.original.state_dict())
            )
            with torch.no_grad():
                run.model.fc.weight.add_(1)

    list(shadow_runs(ours, 1, model, [unlearning(Spy()), unlearning(Spy()), unlearning(Spy(), draw=1)]))
    assert seen[0][:3] == seen[1][:3]
    assert seen[0][0] == LAYOUT.unlearn_seed(1, "random", 0) != seen[2][0]
    assert seen[0][1] == LAYOUT.forget(1, "random", 0).tolist() != seen[2][1]
    assert sorted(seen[0][1] + seen[0][2]) == LAYOUT.members(1).tolist()
    for *_, start in seen:
        assert all(torch.equal(before[key], value) for key, value in start.items())
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_ascent_lowers_the_statistic_of_the_forgotten(trained):
    ours, model, base = trained
    (run,) = shadow_runs(ours, 1, model, [unlearning(GradientAscent(lr=0.01, epochs=3))])
    forgotten = run.block.state == State.UNLEARNED
    assert forgotten.sum() == 5
    assert (run.block.phi - base.block.phi)[forgotten].mean() < -0.1
    assert run.steps == 3
    assert run.samples == 15


def test_a_run_that_diverges_or_leaves_its_scope_is_reported(trained):
    ours, model, base = trained

    @dataclass(frozen=True)
    class Trespass(NoOp):
        def __call__(self, run):
            with torch.no_grad():
                run.model.conv.weight.mul_(2)

    found = list(
        shadow_runs(
            ours,
            1,
            model,
            [
                unlearning(GradientAscent(lr=1e30, epochs=9)),
                unlearning(Trespass(), scope="regex:^fc"),
                unlearning(NoOp()),
            ],
        )
    )
    assert [run.block is None for run in found] == [True, True, False]
    assert "non-finite" in found[0].error or "not finite" in found[0].error
    assert "conv.weight" in found[1].error
    assert [run.error_type for run in found[:2]] == ["Diverged", "ScopeViolation"]
    assert np.array_equal(found[2].block.phi, base.block.phi)


def test_trajectories_follow_the_targets(trained):
    ours, model, base = trained
    found = list(
        shadow_runs(
            ours,
            1,
            model,
            [unlearning(GradientAscent(lr=0.01, epochs=3)), unlearning(NoOp())],
            trajectories=True,
        )
    )
    path = found[0].trajectory
    assert path.shape == (4, len(POOL))
    assert path.dtype == np.float32
    np.testing.assert_array_equal(path[0], base.block.phi[POOL])
    np.testing.assert_array_equal(path[-1], found[0].block.phi[POOL])
    assert found[1].trajectory.shape == (1, len(POOL))


def test_trajectories_change_nothing(trained):
    ours, model, _ = trained
    ascent = unlearning(Finetune(epochs=2, batch_size=8))
    (plain,) = shadow_runs(ours, 1, model, [ascent])
    (watched,) = shadow_runs(ours, 1, model, [ascent], trajectories=True)
    assert np.array_equal(plain.block.phi, watched.block.phi)
    assert plain.trajectory is None


def test_intermediate_results_are_shared_and_change_nothing(trained):
    ours, model, _ = trained
    first = unlearning(SelectiveSynapticDampening(), label="one")
    second = unlearning(SelectiveSynapticDampening(dampening=0.5), label="two")
    elsewhere = unlearning(SelectiveSynapticDampening(), label="one", draw=1)
    together = list(shadow_runs(ours, 1, model, [first, second, elsewhere]))
    for what, run in zip([first, second, elsewhere], together, strict=True):
        (alone,) = shadow_runs(ours, 1, model, [what])
        assert np.array_equal(alone.block.phi, run.block.phi)
    members = len(LAYOUT.members(1))
    for run in together:
        assert (run.samples, run.forward_samples) == (0, 0)
        assert {name: stage.samples for name, stage in run.rests_on.items()} == {
            "fisher_train": members,
            "fisher_forget": 5,
        }
    assert together[0].rests_on == together[1].rests_on
    assert together[0].rests_on["fisher_train"] is together[2].rests_on["fisher_train"]


def test_stages_of_a_draw_are_made_anew_for_the_next_and_those_of_the_whole_set_are_not(trained):
    ours, model, _ = trained
    made = []

    @dataclass(frozen=True)
    class Asks(NoOp):
        stages: tuple[str, ...] = ()

        def __call__(self, run):
            for name in self.stages:
                run.share(name, lambda name=name: made.append(name) or {"x": torch.zeros(1)})

    both, draw = Asks(stages=("saliency", "fisher_train")), {"draw": 1}
    work = [unlearning(both), unlearning(both), unlearning(both, **draw), unlearning(NoOp(), **draw)]
    found = list(shadow_runs(ours, 1, model, work))
    assert made == ["saliency", "fisher_train", "saliency"]
    assert [sorted(run.rests_on) for run in found] == [["fisher_train", "saliency"]] * 3 + [[]]


def test_retraining_is_exact_and_layerwise_retraining_of_everything_is_the_same(trained):
    ours, model, _ = trained
    (control,) = ours.retrain([(1, "random", 0)])
    assert (control.method, control.pool, control.draw) == ("retrained", "random", 0)
    assert control.samples == 4 * (len(LAYOUT.members(1)) - 5)
    (layerwise,) = shadow_runs(ours, 1, model, [unlearning(methods.get("eu_k")())])
    assert np.array_equal(control.block.phi, layerwise.block.phi)
    assert np.array_equal(control.block.state, layerwise.block.state)


def test_controls_are_independent_of_the_shadow_and_of_each_other(trained):
    ours, _, base = trained
    first, second = ours.retrain([(1, "random", 0), (1, "random", 1)])
    assert not np.allclose(first.block.phi, base.block.phi, atol=0.1)
    assert not np.allclose(first.block.phi, second.block.phi, atol=0.1)


def test_a_second_control_of_a_draw_forgets_the_same_and_is_another_model(trained):
    ours, _, _ = trained
    (first,) = ours.retrain([(1, "random", 0)])
    (other,) = ours.retrain([(1, "random", 0)], replicate=2)
    assert np.array_equal(first.block.state, other.block.state)
    assert first.samples == other.samples
    assert not np.allclose(first.block.phi, other.block.phi, atol=0.1)


def test_lockstep_shadows_agree_with_the_loop():
    recipe = Recipe(epochs=1, batch_size=8, lr=0.01)
    alone = bench(recipe=recipe).train([0, 1, 2, 3])
    together = bench(recipe=recipe, strategy=Strategy(kind="grouped", stack=4)).train([0, 1, 2, 3])
    assert {run.strategy for _, run in together} == {"grouped:2"}  # 81 examples: halves of 40 and 41
    for (_, one), (_, other) in zip(alone, together, strict=True):
        np.testing.assert_allclose(one.block.phi, other.block.phi, atol=1e-3)
        assert np.array_equal(one.block.state, other.block.state)


def test_canaries_are_trained_and_scored_under_their_planted_label():
    canaries = Canaries(ids=np.array([30, 33, 42]), labels=np.array([1, 2, 1]))
    ours = bench(layout=replace(LAYOUT, canaries=canaries))
    labels = ours.subset(np.array([42, 31, 30, 33, 110])).targets.tolist()
    assert labels == [1, 31 % 3, 1, 2, 110 % 3]


FOREIGN = Canaries(
    ids=np.array([30, 33, 42, 61]),
    labels=np.array([1, 0, 2, 2]),
    kind="out_of_distribution",
    images=ColourFields(count=4, shape=(1, 4, 4), seed=0),
)
EVERY_CANARY = TargetPool(name="canaries", ids=FOREIGN.ids, forget_size=0)


def every_run(ours):
    """Phi of everything that is done with the shadow models of a bench, and after each epoch of one unlearning."""
    trained = ours.train([0, 1, 2, 3])
    runs = [run for _, run in trained]
    runs += ours.retrain([(j, "canaries", 0) for j in range(4)])
    work = [unlearning(Finetune(epochs=2, lr=0.05), pool="canaries"), unlearning(GradientAscent())]
    runs += shadow_runs(ours, 1, trained[1][0], work, trajectories=True)
    assert not any(run.error for run in runs)
    found = [run.block.phi for run in runs]
    return found + [run.trajectory for run in runs if run.trajectory is not None]


@pytest.mark.parametrize("strategy", [Strategy(), Strategy(kind="grouped", stack=4)], ids=lambda s: s.name)
@pytest.mark.parametrize("kind", [np.float32, np.uint8])
def test_foreign_canaries_are_trained_unlearned_and_scored_as_planted(strategy, kind):
    images, labels = examples()
    if kind == np.uint8:
        images = np.rint(images * 255).astype(np.uint8)
    layout = replace(LAYOUT, canaries=FOREIGN, pools=(*LAYOUT.pools, EVERY_CANARY))
    planted = resident(images, labels)
    plant_images(planted, FOREIGN)
    pixels = FOREIGN.images.read()
    images[FOREIGN.ids] = pixels if kind == np.uint8 else pixels / np.float32(255)
    labels[FOREIGN.ids] = FOREIGN.labels
    by_hand = replace(layout, canaries=replace(FOREIGN, kind="mislabelled", images=None))
    ours = every_run(bench(layout=layout, data=planted, strategy=strategy))
    dense = every_run(bench(layout=by_hand, data=resident(images, labels), strategy=strategy))
    assert len(ours) == len(dense) == 12
    for mine, other in zip(ours, dense, strict=True):
        assert np.array_equal(mine, other)


def test_planting_changes_nothing_but_the_canaries():
    images, labels = examples()
    data = resident(images, labels)
    plant_images(data, FOREIGN)
    others = np.setdiff1d(np.arange(COUNT), FOREIGN.ids)
    assert np.array_equal(data.images.numpy()[others], images[others])
    assert not np.isclose(data.images.numpy()[FOREIGN.ids], images[FOREIGN.ids]).all((1, 2, 3)).any()
    assert np.array_equal(images, examples()[0])  # what it was made from stays
    plant_images(data, replace(FOREIGN, kind="mislabelled", images=None))
    assert np.array_equal(data.images.numpy()[others], images[others])


def test_blocks_become_observations(trained):
    ours, model, _ = trained
    both = list(shadow_runs(ours, 1, model, [unlearning(NoOp(), draw=d) for d in (0, 1)]))
    table = Observations.from_blocks(
        [run.block for run in both],
        method="NoOp",
        scope="all",
        family="random",
        example_ids=ours.example_ids,
    )
    assert table.draw.tolist() == [0, 1]
    assert table.phi.shape == (2, COUNT)


def test_references_are_refused_as_unlearnings(trained):
    ours, model, _ = trained
    with pytest.raises(AuditError, match=r"use retrain\(\)"):
        next(shadow_runs(ours, 1, model, [unlearning(Retrain())]))
    with pytest.raises(AuditError, match="no layer scope"):
        next(shadow_runs(ours, 1, model, [unlearning(NoOp(), scope="nowhere")]))


def test_statistics_that_are_not_finite_are_a_failed_run(trained, monkeypatch):
    ours, model, _ = trained
    broken = np.full(COUNT, np.nan, dtype=np.float32)
    monkeypatch.setattr(runs.ShadowBench, "statistics", lambda *_: {"phi": broken})
    (run,) = shadow_runs(ours, 1, model, [unlearning(NoOp())])
    assert run.block is None
    assert "not finite" in run.error
    assert run.error_type == "Diverged"


def test_seconds_of_a_run_leave_out_shared_stages_and_looking_on(trained, monkeypatch):
    """A clock that advances by 1 for each look at statistics, by 100 for a stage, by 10,000 for the unlearning."""
    ours, model, _ = trained
    now = [5.0]
    monkeypatch.setattr(runs.time, "perf_counter", lambda: now[0])
    statistics = runs.ShadowBench.statistics

    def slow_statistics(*arguments):
        now[0] += 1
        return statistics(*arguments)

    def stage():
        now[0] += 100
        return {"x": torch.zeros(1)}

    @dataclass(frozen=True)
    class Slow(NoOp):
        def __call__(self, run):
            run.share("fisher_train", stage)
            run.end_epoch()
            now[0] += 10_000

    monkeypatch.setattr(runs.ShadowBench, "statistics", slow_statistics)
    found = list(shadow_runs(ours, 1, model, [unlearning(Slow())] * 2, trajectories=True))
    assert [run.seconds for run in found] == [10_000, 10_000]
    assert [run.rests_on["fisher_train"].seconds for run in found] == [100, 100]
