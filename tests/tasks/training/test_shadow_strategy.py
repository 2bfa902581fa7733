import pytest
import timm
import torch
from torch import nn

from tasks.networks import models
from tasks.runtime.devices import Engine
from tasks.training import strategy as strategies
from tasks.training.recipe import Recipe
from tasks.training.stacked import Unstackable
from tasks.training.strategy import choose_strategy
from tasks.training.strategy_text import Strategy

RECIPE = Recipe(batch_size=4)
SHAPE = (1, 8, 8)


@pytest.fixture(scope="module")
def engine():
    return Engine(device="cpu")


def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 3))


def choose(model, engine, *, recipe=RECIPE, most=4):
    return choose_strategy(
        model,
        recipe,
        image_shape=SHAPE,
        num_classes=3,
        engine=engine,
        most=most,
    )


def scripted(monkeypatch, seconds):
    """Times by strategy name in place of the clock."""
    asked = []

    def answer(_, strategy):
        asked.append(strategy.name)
        return seconds[strategy.name]

    monkeypatch.setattr(strategies._Probe, "_time", answer)
    return asked


def times(loop, four, sixteen=9.0):
    return {
        "loop": loop,
        "grouped:4": four,
        "grouped:4:channels_last": four * 0.9,
        "grouped:16": sixteen,
        "grouped:16:channels_last": sixteen * 1.1,
    }


@pytest.mark.parametrize(
    ("seconds", "most", "expected"),
    [
        (times(1.0, 0.5, 0.3), 16, "grouped:16"),
        (times(1.0, 0.5, 0.6), 16, "grouped:4:channels_last"),
        (times(1.0, 0.5, 0.3), 8, "grouped:4:channels_last"),
        (times(1.0, 1.05), 16, "loop"),
        (times(1.0, 0.5), 1, "loop"),
    ],
)
def test_the_fastest_wins_if_it_pays(monkeypatch, engine, seconds, most, expected):
    scripted(monkeypatch, seconds)
    assert choose(mlp(), engine, most=most).strategy.name == expected


def test_larger_stacks_are_not_tried_where_smaller_ones_lose(monkeypatch, engine):
    asked = scripted(monkeypatch, times(1.0, 2.0))
    assert choose(mlp(), engine, most=16).strategy == Strategy()
    assert "grouped:16" not in asked


def test_nothing_is_begun_after_the_budget(monkeypatch, engine):
    asked = scripted(monkeypatch, times(1.0, 0.5))
    choice = choose_strategy(
        mlp(),
        RECIPE,
        image_shape=SHAPE,
        num_classes=3,
        engine=engine,
        budget_seconds=-1,
    )
    assert (asked, choice.strategy) == (["loop"], Strategy())


def test_a_fast_but_wrong_stack_is_not_chosen(monkeypatch, engine):
    scripted(monkeypatch, times(1.0, 0.5))

    def refuse(*_):
        raise Unstackable("other numbers")

    monkeypatch.setattr(strategies, "check_stackable", refuse)
    choice = choose(mlp(), engine)
    assert (choice.strategy, choice.reason) == (Strategy(), "other numbers")


def test_out_of_memory_leaves_what_fits(monkeypatch, engine):
    seconds = times(1.0, 0.5)

    def answer(_, strategy):
        if strategy.stack == 16:
            raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED")
        return seconds[strategy.name]

    monkeypatch.setattr(strategies._Probe, "_time", answer)
    assert choose(mlp(), engine, most=16).strategy.stack == 4


def test_an_mlp_pays_in_lockstep(engine):
    """Measured: a step of a small perceptron is overhead, which a stack shares."""
    model = mlp()
    before = [p.detach().clone() for p in model.parameters()]
    choice = choose(model, engine, most=16)
    assert choice.strategy.kind == "grouped"
    assert choice.seconds["loop"] > 2 * min(choice.seconds.values())
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_a_transformer_takes_the_loop(engine):
    vit = timm.create_model(
        "vit_tiny_patch16_224", img_size=8, patch_size=4, depth=1, embed_dim=12, num_heads=2, num_classes=3,
        in_chans=1,
    )  # fmt: skip
    choice = choose(vit, engine)
    assert choice.strategy == Strategy()
    assert "VisionTransformer" in choice.reason


def test_the_small_residual_network_of_the_digits_can_be_stacked(engine):
    model = models.build(
        "resnetv2_18",
        {"layers": (1, 1, 1), "channels": (8, 8, 8), "stem_chs": 8},
        image_shape=SHAPE, num_classes=3, mean=0.5, std=0.5, seed_path=("digits",),
    )  # fmt: skip
    choice = choose(model, engine)
    assert choice.reason == ""
    assert set(choice.seconds) == {"loop", "grouped:4", "grouped:4:channels_last"}
