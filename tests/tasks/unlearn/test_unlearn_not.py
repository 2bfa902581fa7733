"""NoT: the first layer in scope is negated, and fine-tuning repairs the rest."""

import pytest
import torch

from tasks.errors import AuditError
from tasks.unlearn.finetune import Finetune
from tasks.unlearn.not_method import NoT
from tasks.unlearn.run import unlearn
from tests.support.tiny_unlearning import changed, tiny_run


def test_first_layer_is_negated():
    run = tiny_run()
    unlearn(NoT(epochs=0), run)
    assert changed(run) == {"conv1.weight"}
    assert torch.equal(run.model.conv1.weight, -run.original.conv1.weight)


def test_layers_are_those_of_the_scope_in_order():
    run = tiny_run("head")
    unlearn(NoT(epochs=0), run)
    assert changed(run) == {"fc.weight"}
    run = tiny_run()
    unlearn(NoT(epochs=0, layers=2), run)
    assert changed(run) == {"conv1.weight", "conv2.weight"}


def test_recovery_is_fine_tuning_from_the_negated_weights():
    run, other = tiny_run(), tiny_run()
    unlearn(NoT(epochs=3, lr=0.02, batch_size=16), run)
    with torch.no_grad():
        other.model.conv1.weight.neg_()
    unlearn(Finetune(epochs=3, lr=0.02, batch_size=16), other)
    states = run.model.state_dict(), other.model.state_dict()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_negating_twice_gives_the_original_back():
    run = tiny_run()
    method = NoT(epochs=0)
    method(run)
    method(run)
    assert not changed(run)


def test_a_scope_without_enough_layers_is_refused():
    with pytest.raises(AuditError, match="layers: expected at most 0 under this scope, got 1"):
        unlearn(NoT(), tiny_run("norm-only"))


def test_layers_below_one_are_refused():
    with pytest.raises(AuditError, match="layers: expected at least 1, got 0"):
        NoT(layers=0)
