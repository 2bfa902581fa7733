import dataclasses
import itertools

import numpy as np
import pytest
import torch
from torch import nn

from tasks.errors import AuditError
from tasks.networks import models
from tasks.runtime.devices import Engine
from tasks.training import lockstep as shadow_training
from tasks.training.lockstep import clip_each, train_shadows
from tasks.training.recipe import Recipe
from tasks.training.resident import ResidentData
from tasks.training.stacked import Stack
from tasks.training.strategy_text import Strategy
from tasks.training.train import train

RECIPE = Recipe(epochs=2, batch_size=16, lr=0.1, augmentation="crop_flip", warmup_epochs=0.5)
LOOP = Strategy()


@pytest.fixture(scope="module")
def engine():
    return Engine(device="cpu")


def resident(dtype=np.float64, count=120, size=6):
    rng = np.random.default_rng(0)
    images = rng.random((count, 1, size, size)).astype(dtype)
    return ResidentData.put(images, rng.integers(0, 3, count), 3, torch.device("cpu"))


def build(number, dtype=torch.float64):
    options = {"layers": (1, 1, 1, 1), "channels": (4, 4, 6, 6)}
    model = models.build(
        "resnet18", options, image_shape=(1, 6, 6), num_classes=3, mean=0.5, std=0.5, seed_path=(number,)
    )
    return model.to(dtype)


def batch_of(count, data, lengths=(41,)):
    rng = np.random.default_rng(1)
    sizes = itertools.islice(itertools.cycle(lengths), count)
    return [data.subset(rng.choice(len(data.labels), size, replace=False)) for size in sizes]


def trained(strategy, recipe, engine, *, count=3, dtype=torch.float64, lengths=(41,), make=build):
    data = resident(np.float64 if dtype == torch.float64 else np.float32)
    shadows = [make(number, dtype) for number in range(count)]
    paths = [("shadow", number) for number in range(count)]
    reports = train_shadows(
        shadows, batch_of(count, data, lengths), recipe, seed_paths=paths, engine=engine, strategy=strategy
    )
    return shadows, reports


def largest_difference(first, second):
    return max(
        float((a - b).abs().max())
        for one, two in zip(first, second, strict=True)
        for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer": "adamw", "lr": 0.01},
        {"optimizer": "adam", "lr": 0.01, "schedule": "step"},
        {"grad_clip": 0.3},
        {"label_smoothing": 0.1, "augmentation": "shift"},
        {"augmentation": "none", "momentum": 0.0},
    ],
    ids=str,
)
def test_lockstep_is_the_loop_model_by_model(changes, channels_last, engine):
    """In float64, where a difference is an error: same draws, same labels, same steps."""
    recipe = dataclasses.replace(RECIPE, **changes)
    reference, alone = trained(LOOP, recipe, engine)
    together, reports = trained(
        Strategy(kind="grouped", stack=3, channels_last=channels_last), recipe, engine
    )
    assert largest_difference(reference, together) < 1e-6
    assert [r.loss for r in reports] == pytest.approx([r.loss for r in alone], rel=1e-6)
    assert [(r.steps, r.samples) for r in reports] == [(r.steps, r.samples) for r in alone]
    assert {r.strategy for r in reports} == {"grouped:3" + ":channels_last" * channels_last}
    assert not any(m.training for model in together for m in model.modules())


def test_the_loop_is_the_plain_training(engine):
    (first, *_), _ = trained(LOOP, RECIPE, engine)
    model = build(0)
    train(model, batch_of(3, resident())[0], RECIPE, seed_path=("shadow", 0), engine=engine)
    assert all(torch.equal(v, first.state_dict()[k]) for k, v in model.state_dict().items())


def test_a_model_does_not_depend_on_its_company(engine):
    """Swapping the data order of one model changes that model alone."""
    data = resident()
    subsets = batch_of(3, data)

    def run(paths):
        shadows = [build(number) for number in range(3)]
        strategy = Strategy(kind="grouped", stack=3)
        train_shadows(shadows, subsets, RECIPE, seed_paths=paths, engine=engine, strategy=strategy)
        return shadows

    first, second = run([("a",), ("b",), ("c",)]), run([("a",), ("other",), ("c",)])
    assert largest_difference(first[::2], second[::2]) == 0
    assert largest_difference(first[1:2], second[1:2]) > 1e-3


def test_single_precision_agrees_for_a_few_steps(engine):
    recipe = dataclasses.replace(RECIPE, epochs=1, lr=0.01, warmup_epochs=0.0)
    reference, _ = trained(LOOP, recipe, engine, dtype=torch.float32)
    together, _ = trained(Strategy(kind="grouped", stack=3), recipe, engine, dtype=torch.float32)
    assert 0 < largest_difference(reference, together) < 1e-4


def test_unequal_lengths_run_in_separate_stacks(engine):
    """Halves of an odd universe differ by one example: two groups, each in lockstep, nothing masked."""
    reference, alone = trained(LOOP, RECIPE, engine, count=5, lengths=(41, 42))
    together, reports = trained(Strategy(kind="grouped", stack=16), RECIPE, engine, count=5, lengths=(41, 42))
    assert [r.strategy for r in reports] == ["grouped:3", "grouped:2", "grouped:3", "grouped:2", "grouped:3"]
    assert [r.samples for r in reports] == [r.samples for r in alone]
    assert largest_difference(reference, together) < 1e-6


def test_a_batch_of_one_example_uses_running_statistics(engine):
    recipe = dataclasses.replace(RECIPE, batch_size=1, epochs=1)
    reference, _ = trained(LOOP, recipe, engine, lengths=(3,))
    together, reports = trained(Strategy(kind="grouped", stack=3), recipe, engine, lengths=(3,))
    assert reports[0].steps == 3
    assert largest_difference(reference, together) < 1e-6


def test_stacks_are_at_most_as_large_as_asked(engine):
    _, reports = trained(Strategy(kind="grouped", stack=2), RECIPE, engine, count=5)
    assert [r.strategy for r in reports] == ["grouped:2"] * 4 + ["loop"]
    assert reports[-1].fallback == "no other model with as many examples"


def with_dropout(number, dtype):
    return nn.Sequential(build(number, dtype), nn.Dropout(0.2))


def test_what_cannot_be_stacked_is_trained_by_the_loop(engine):
    reference, _ = trained(LOOP, RECIPE, engine, make=with_dropout)
    together, reports = trained(Strategy(kind="grouped", stack=3), RECIPE, engine, make=with_dropout)
    assert {r.strategy for r in reports} == {"loop"}
    assert "dropout" in reports[0].fallback
    assert largest_difference(reference, together) == 0


def one_overflows(number, dtype):
    model = build(number, dtype)
    if number == 1:
        with torch.no_grad():
            model.body.fc.weight.fill_(1e200)
    return model


@pytest.mark.parametrize("strategy", [LOOP, Strategy(kind="grouped", stack=3)], ids=lambda s: s.name)
def test_a_diverged_model_is_reported_and_harms_no_other(strategy, engine):
    healthy, _ = trained(strategy, RECIPE, engine)
    shadows, reports = trained(strategy, RECIPE, engine, make=one_overflows)
    assert [bool(r.error) for r in reports] == [False, True, False]
    assert "non-finite loss or weight in epoch 1" in reports[1].error
    assert largest_difference(healthy[::2], shadows[::2]) == 0


def test_gradients_are_clipped_for_each_model():
    nets = [nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 3)) for _ in range(3)]
    stack = Stack(nets)
    images = torch.rand(5, 3, 4, 4) * torch.tensor([0.1, 5.0, 50.0]).view(1, 3, 1, 1)
    stack(images).sum().backward()
    clip_each(stack, 20.0)
    gradients = {name: p.grad for name, p in stack.body.named_parameters()}
    norms = []
    for index, net in enumerate(nets):
        net(images[:, index : index + 1]).sum().backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(net.parameters(), 20.0)))
        torch.testing.assert_close(gradients["2.weight"][index], net[2].weight.grad)
        torch.testing.assert_close(gradients["0.weight"][2 * index : 2 * index + 2], net[0].weight.grad)
    assert min(norms) < 20.0 < max(norms)


def test_the_global_generator_is_left_alone(engine):
    before = torch.random.get_rng_state()
    trained(Strategy(kind="grouped", stack=3), dataclasses.replace(RECIPE, epochs=1), engine)
    assert torch.equal(before, torch.random.get_rng_state())


def test_bf16_runs_in_lockstep():
    engine = Engine(device="cpu", precision="bf16")
    shadows, reports = trained(Strategy(kind="grouped", stack=3), RECIPE, engine, dtype=torch.float32)
    assert {r.strategy for r in reports} == {"grouped:3"}
    assert all(p.dtype == torch.float32 for p in shadows[0].parameters())


def test_a_coupling_loss_scale_is_refused(engine, monkeypatch):
    monkeypatch.setattr(engine, "precision", "fp16")
    _, reports = trained(Strategy(kind="grouped", stack=3), RECIPE, engine)
    assert "loss scale" in reports[0].fallback


def test_unequal_arguments_are_refused(engine):
    data = resident()
    with pytest.raises(AuditError, match="got 1, 1 and 0"):
        train_shadows([build(0)], batch_of(1, data), RECIPE, seed_paths=[], engine=engine, strategy=LOOP)


@pytest.mark.parametrize("name", ["loop", "grouped:16", "grouped:4:channels_last"])
def test_strategy_names_round_trip(name):
    assert Strategy.parse(name).name == name


@pytest.mark.parametrize(
    "name", ["lop", "loop:2", "grouped", "grouped:x", "grouped:0", "grouped:4:nchw", "grouped:4:"]
)
def test_other_names_are_refused(name):
    with pytest.raises(AuditError, match="strategy: expected"):
        Strategy.parse(name)


def test_the_draws_are_those_of_single_batches(engine):
    """Inputs, targets and ids of a stack's batch are the loop's, augmentation included."""
    data = resident(np.float32)
    subsets = batch_of(2, data)
    paths = [("x",), ("y",)]
    net = Stack([nn.Sequential(nn.Flatten(), nn.Linear(36, 3)) for _ in range(2)])
    lockstep = shadow_training.Lockstep(net, subsets, RECIPE, paths, engine)
    generators = [shadow_training.torch_generator("train", *path) for path in paths]
    alone = [
        subset.batches(16, generator=g, augmentation=lockstep.augmentation)
        for subset, g in zip(subsets, generators, strict=True)
    ]
    count = 0
    for together, *batches in zip(lockstep._batches(), *alone, strict=True):
        for index, batch in enumerate(batches):
            assert torch.equal(together.inputs[:, index : index + 1], batch.inputs)
            assert torch.equal(together.ids[:, index], batch.ids)
            assert torch.equal(together.targets[:, index], batch.targets)
        count += 1
    assert count == 3
