"""Convolution transpose and masked small gradients."""

import math

import pytest
import torch

from tasks.errors import AuditError
from tasks.unlearn.base import methods
from tasks.unlearn.neurips2023 import ConvolutionTranspose, MaskedSmallGradients
from tasks.unlearn.run import unlearn
from tests.support.tiny_unlearning import changed, tiny_run


def test_transpose_swaps_the_kernel_axes_and_nothing_else():
    run = tiny_run()
    unlearn(ConvolutionTranspose(epochs=0), run)
    assert changed(run) == {"conv1.weight"}
    before, after = run.original.conv1.weight, run.model.conv1.weight
    for a in range(3):
        for b in range(3):
            assert torch.equal(after[:, :, a, b], before[:, :, b, a])


def test_transpose_recovers_the_retain_set():
    run = tiny_run()
    before = float(_loss(run))
    unlearn(ConvolutionTranspose(epochs=0), run)
    perturbed = float(_loss(run))
    run = tiny_run()
    meter = unlearn(ConvolutionTranspose(epochs=5, lr=0.05, batch_size=16), run)
    assert before < perturbed
    assert float(_loss(run)) < perturbed
    assert meter.samples == 5 * len(run.retain)


@pytest.mark.parametrize("name", ["ct", "msg"])
def test_a_scope_without_convolutions_is_refused(name):
    with pytest.raises(AuditError, match="scope: expected"):
        unlearn(methods.build(name, {}, where=name), tiny_run("head"))


@pytest.mark.parametrize("method", ["ct", "msg", "not", "rum"])
def test_the_plan_can_ask_for_the_refusal_before_any_work(method):
    params = {"base_method": "ct"} if method == "rum" else {}
    built = methods.build(method, params, where=method)
    whole, norms = tiny_run("all"), tiny_run("norm-only")
    built.check_scope(whole.trainable, whole.model)
    with pytest.raises(AuditError, match="expected"):
        built.check_scope(norms.trainable, norms.model)


def test_smallest_gradients_are_reset_and_the_rest_is_damped():
    run = tiny_run()
    method = MaskedSmallGradients(reset=0.25, epochs=0)
    masks = method.small(run)
    gradients = _dense_gradients(run)
    for name, mask in masks.items():
        size = gradients[name].numel()
        assert int(mask.sum()) == round(0.25 * size)
        assert gradients[name][mask].abs().max() <= gradients[name][~mask].abs().min() + 1e-7
    unlearn(method, run)
    for name, mask in masks.items():
        before, after = run.original.state_dict()[name], run.model.state_dict()[name]
        assert torch.equal(before[~mask], after[~mask])
        assert not torch.any(before[mask] == after[mask])


def _dense_gradients(run):
    """The same gradients, from whole sets at once: batch means weighted as the method's batches are."""
    model = run.original.requires_grad_(True)
    weights = {n: p for n, p in model.named_parameters() if p.dim() == 4}
    rows = torch.randperm(len(run.retain), generator=run.generator("msg", "retain subset"))[: len(run.forget)]
    parts = [(run.retain.at(rows), 1.0), (run.forget, -1.0)]
    total = sum(
        sign * torch.nn.functional.cross_entropy(model(s.data.inputs(s.ids)), s.targets) for s, sign in parts
    )
    gradients = dict(zip(weights, torch.autograd.grad(total, list(weights.values())), strict=True))
    model.requires_grad_(False)
    return gradients


def test_zero_damping_freezes_the_kept_convolution_weights():
    run = tiny_run()
    method = MaskedSmallGradients(reset=0.5, damping=0.0, epochs=2, lr=0.05, weight_decay=0.0, batch_size=16)
    masks = method.small(run)
    unlearn(method, run)
    for name, mask in masks.items():
        before, after = run.original.state_dict()[name], run.model.state_dict()[name]
        assert torch.equal(before[~mask], after[~mask])
    assert "fc.weight" in changed(run)
    assert not run.model.conv1.weight._backward_hooks


def test_learning_rate_rises_then_falls():
    factors = [MaskedSmallGradients(epochs=5).factor(e) for e in range(5)]
    assert factors == pytest.approx([1 / 3, 2 / 3, 1, 2 / 3, 1 / 3])
    assert all(0 < MaskedSmallGradients(epochs=n).factor(e) <= 1 for n in range(1, 9) for e in range(n))


def test_drawn_weights_have_the_kaiming_variance():
    run = tiny_run()
    weight = torch.nn.Parameter(torch.zeros(64, 32, 3, 3))
    drawn = MaskedSmallGradients()._drawn(run, "x", weight)
    assert float(drawn.std()) == pytest.approx(math.sqrt(2 / (64 * 9)), rel=0.05)


@pytest.mark.parametrize("scope", ["all", "conv-only"])
@pytest.mark.parametrize("name", ["ct", "msg"])
def test_equal_seeds_give_equal_weights_and_nothing_outside_the_scope_moves(name, scope):
    method = methods.build(name, {"epochs": 2, "lr": 0.01}, where=name)
    first, second = tiny_run(scope), tiny_run(scope)
    unlearn(method, first)
    unlearn(method, second)
    assert all(
        torch.equal(a, b)
        for a, b in zip(*(r.model.state_dict().values() for r in (first, second)), strict=True)
    )
    assert scope == "all" or "fc.weight" not in changed(first)


@pytest.mark.parametrize(("field", "value"), [("reset", 1.5), ("damping", -0.1), ("epochs", -1), ("lr", 0.0)])
def test_bad_values_are_refused_by_name(field, value):
    with pytest.raises(AuditError, match=rf"msg: {field}: expected"):
        methods.build("msg", {field: value}, where="msg")


def _loss(run):
    subset = run.retain
    run.model.eval()
    with torch.no_grad():
        return torch.nn.functional.cross_entropy(run.model(subset.data.inputs(subset.ids)), subset.targets)
