import pytest
from torch import nn

from tasks.runtime.modes import evaluating, frozen, still_statistics


@pytest.fixture
def model():
    made = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.BatchNorm1d(2), nn.Dropout()))
    made[1][0].eval()
    made[0].weight.requires_grad_(False)
    return made


def modes(model):
    return [module.training for module in model.modules()]


def test_evaluating_restores_every_module(model):
    before = modes(model)
    with evaluating(model):
        assert not any(modes(model))
    assert modes(model) == before == [True, True, True, False, True]


def test_frozen_restores_every_switch(model):
    before = [p.requires_grad for p in model.parameters()]
    with frozen(model):
        assert not any(p.requires_grad for p in model.parameters())
    assert [p.requires_grad for p in model.parameters()] == before == [False, True, True, True]


def test_still_statistics_touches_batch_norms_only(model):
    model.train()
    with still_statistics(model):
        assert modes(model) == [True, True, True, False, True]
    assert all(modes(model))


@pytest.mark.parametrize("switch", [evaluating, frozen, still_statistics])
def test_everything_is_restored_after_an_error(model, switch):
    before = modes(model), [p.requires_grad for p in model.parameters()]
    with pytest.raises(KeyError), switch(model):
        raise KeyError
    assert (modes(model), [p.requires_grad for p in model.parameters()]) == before
