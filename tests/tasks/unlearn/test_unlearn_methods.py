"""What each method computes, against closed forms, plain loops and the traps of guide/methods.md."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tasks.contracts import small as contracts
from tasks.contracts.small import RECIPE, small_data, small_model, small_run
from tasks.errors import AuditError
from tasks.objectives.base import Batch
from tasks.runtime.devices import Engine
from tasks.training.resident import Subset, concatenate
from tasks.training.scoring import score
from tasks.training.train import train
from tasks.unlearn.bad_teacher import BadTeacher
from tasks.unlearn.base import methods
from tasks.unlearn.boundary_expand import BoundaryExpand, _new_row
from tasks.unlearn.boundary_shrink import BoundaryShrink
from tasks.unlearn.finetune import Finetune
from tasks.unlearn.fisher_forgetting import FisherForgetting, model_fisher
from tasks.unlearn.gradient_ascent import GradientAscent
from tasks.unlearn.influence import Influence, influence_direction
from tasks.unlearn.l1_sparse import L1Sparse
from tasks.unlearn.layerwise import ExactLastLayers
from tasks.unlearn.neggrad_plus import NegGradPlus
from tasks.unlearn.no_op import NoOp
from tasks.unlearn.random_labels import RandomLabels
from tasks.unlearn.retrain import Retrain, RetrainAgain
from tasks.unlearn.run import UnlearningRun, unlearn
from tasks.unlearn.salun import SalUn, SalUnSoft, largest, saliency, shrink
from tasks.unlearn.scrub import Scrub, ScrubRewind, closest_epoch, matched_error
from tasks.unlearn.ssd import SelectiveSynapticDampening, importance, in_id_order, training_set
from tasks.unlearn.unsir import Unsir


def state(run: UnlearningRun) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in run.model.state_dict().items()}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def result(method: Any, **options: Any) -> dict[str, Tensor]:
    run = small_run(**options)
    unlearn(method, run)
    return state(run)


def forget_loss(run: UnlearningRun) -> float:
    return float(score(run.model, run.forget).loss.mean())


def forgetting(count: int) -> UnlearningRun:
    """A run that forgets `count` examples of every class and keeps the rest of the 120."""
    run = small_run()
    ids = np.arange(120)
    run.forget, run.retain = small_data().subset(ids[:count]), small_data().subset(ids[count:])
    return run


# --- the registry's view -----------------------------------------------------------------------------------


def test_references_are_marked_and_refuse_a_run() -> None:
    assert (Retrain.from_scratch, Retrain.replicate) == (True, 0)
    assert (RetrainAgain.from_scratch, RetrainAgain.replicate) == (True, 1)
    with pytest.raises(AuditError, match="from scratch"):
        Retrain()(small_run())


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("finetune", "epochs", -1),
        ("finetune", "lr", 0.0),
        ("finetune", "momentum", 1.0),
        ("neggrad_plus", "alpha", 1.5),
        ("gradient_ascent", "stop_loss", -1.0),
        ("boundary_shrink", "bound", 0.0),
        ("salun", "ratio", 0.0),
        ("salun_soft", "beta", -1.0),
        ("scrub", "temperature", 0.0),
        ("scrub", "decay_epochs", [0]),
        ("l1_sparse", "dense_epochs", 11),
        ("influence", "damping", 0.0),
        ("ssd", "alpha", 0.0),
        ("bad_teacher", "retain_fraction", 0.0),
        ("bad_teacher", "temperature", 0.0),
        ("fisher_forgetting", "floor", 0.0),
        ("fisher_forgetting", "exponent", 0.0),
        ("unsir", "noise_copies", 0),
    ],
)
def test_values_out_of_range_are_refused_by_field(name: str, field: str, value: Any) -> None:
    with pytest.raises(AuditError, match=rf"methods\.{name}: {field}: expected"):
        methods.build(name, {field: value}, where=f"methods.{name}")


# --- fine-tuning and its kin -------------------------------------------------------------------------------


def test_no_op_changes_nothing() -> None:
    run = small_run()
    before = state(run)
    assert unlearn(NoOp(), run).samples == 0
    assert same(state(run), before)


def test_finetune_over_all_layers_is_a_plain_training_loop() -> None:
    method = Finetune(epochs=2, batch_size=16, lr=0.05)
    run, plain = small_run(), small_run()
    meter = unlearn(method, run)
    model = plain.model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4, fused=True)
    for epoch in range(2):
        for batch in plain.batches(plain.retain, 16, "retain", epoch):
            optimizer.zero_grad()
            F.cross_entropy(model(batch.inputs), batch.targets).backward()
            optimizer.step()
    assert same(state(run), state(plain))
    assert meter.samples == 2 * len(run.retain)


def test_finetune_under_last_layers_leaves_the_rest_and_its_statistics() -> None:
    """CF-k: public code lets batch-norm statistics of frozen layers drift (traps 4, 5)."""
    after, before = result(Finetune(epochs=1, batch_size=16), scope="last-1"), state(small_run())
    moved = {name for name in before if not torch.equal(after[name], before[name])}
    assert moved
    assert all(name.startswith(("head", "second")) for name in moved)
    assert "second.1.running_mean" in moved


def retrained() -> dict[str, Tensor]:
    run = small_run()
    model = small_model(run.retrain_path)
    train(model, run.retain, RECIPE, seed_path=run.retrain_path, engine=Engine(device="cpu"))
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def test_eu_k_over_all_layers_is_retraining_bit_for_bit() -> None:
    assert same(result(ExactLastLayers(), scope="all"), retrained())


def test_eu_k_resets_parameters_and_statistics_in_scope() -> None:
    run = small_run(scope="last-1")
    run.recipe = dataclasses.replace(RECIPE, epochs=1, lr=1e-12, weight_decay=0.0)
    run.retain = run.retain.at(torch.arange(1))  # one example: statistics stand still
    fresh = small_model(run.retrain_path).state_dict()
    unlearn(ExactLastLayers(), run)
    for name, tensor in run.model.state_dict().items():
        expected = fresh if name.startswith(("second", "head")) else run.original.state_dict()
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=1e-6)


def test_eu_k_needs_the_recipe() -> None:
    run = small_run()
    run.recipe = None
    with pytest.raises(AuditError, match="recipe"):
        ExactLastLayers()(run)


def test_gradient_ascent_raises_the_forget_loss_and_stops() -> None:
    run = small_run()
    before = forget_loss(run)
    unlearn(GradientAscent(epochs=3, lr=0.02), run)
    assert forget_loss(run) > before
    stopped = small_run()
    unlearn(GradientAscent(epochs=50, lr=0.05, stop_loss=2.0), stopped)
    assert stopped.notes["stopped_at_step"] == stopped.meter.steps < 50


def test_neggrad_plus_steps_on_the_weighted_difference() -> None:
    method = NegGradPlus(epochs=1, batch_size=200, alpha=0.7, lr=0.1, momentum=0.0, weight_decay=0.0)
    run = small_run(norm_statistics="freeze")
    unlearn(method, run)
    model = small_run(norm_statistics="freeze").model
    loss = 0.0
    for weight, part in ((0.7, run.retain), (-0.3, run.forget)):
        loss = loss + weight * F.cross_entropy(model(part.data.inputs(part.ids)), part.targets)
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    for (name, start), gradient in zip(model.named_parameters(), gradients, strict=True):
        torch.testing.assert_close(
            run.model.get_parameter(name), start - 0.1 * gradient, rtol=1e-4, atol=1e-6
        )


def test_neggrad_plus_at_alpha_one_descends_on_the_retain_set_alone() -> None:
    plus = result(NegGradPlus(epochs=1, batch_size=16, alpha=1.0), norm_statistics="freeze")
    plain = result(Finetune(epochs=1, batch_size=16), norm_statistics="freeze")
    for name in plus:
        torch.testing.assert_close(plus[name], plain[name], rtol=1e-4, atol=1e-5)


# --- random labels and saliency ----------------------------------------------------------------------------


def histogram(method: RandomLabels, draws: int = 400) -> tuple[np.ndarray, np.ndarray]:
    run = small_run()
    labels = torch.cat([method.relabel(run, draw) for draw in range(draws)])
    true = run.forget.targets.repeat(draws)
    return np.bincount(labels, minlength=4) / len(labels), np.array([(labels == true).float().mean()])


def test_random_labels_are_uniform_and_include_the_true_one_by_default() -> None:
    """Trap 6: a quarter of the labels stay true on four classes."""
    shares, kept = histogram(RandomLabels())
    np.testing.assert_allclose(shares, 0.25, atol=0.025)
    assert abs(kept[0] - 0.25) < 0.025


def test_random_labels_without_the_true_one() -> None:
    shares, kept = histogram(RandomLabels(exclude_true=True))
    assert kept[0] == 0
    # classes 0 and 1 hold ten examples each: each gets the other's third, classes 2 and 3 a third of all
    np.testing.assert_allclose(shares, [1 / 6, 1 / 6, 1 / 3, 1 / 3], atol=0.025)


def test_random_labels_outside_the_forgotten_classes() -> None:
    shares, _ = histogram(RandomLabels(exclude_class=True))
    np.testing.assert_allclose(shares, [0, 0, 0.5, 0.5], atol=0.025)
    with pytest.raises(AuditError, match="not excluded, got all 4 excluded; see exclude_class"):
        RandomLabels(exclude_class=True)(forgetting(8))


def test_random_labels_are_drawn_anew_or_once() -> None:
    run = small_run()
    seen: list[Tensor] = []
    run.loss = lambda batch: seen.append(batch) or torch.zeros((), requires_grad=True)  # type: ignore

    def forget_labels(resample: Any, order: Any) -> list[Tensor]:
        seen.clear()
        run.step = lambda optimizer, loss: None  # type: ignore[method-assign]
        RandomLabels(epochs=2, batch_size=7, resample=resample, order=order)(run)
        ids = torch.cat([b.ids for b in seen]).view(2, -1)  # type: ignore[attr-defined]
        labels = torch.cat([b.targets for b in seen]).view(2, -1)  # type: ignore[attr-defined]
        per_epoch = []
        for epoch in range(2):
            assert sorted(ids[epoch].tolist()) == list(range(120))
            chosen = torch.isin(ids[epoch], run.forget.ids)
            per_epoch.append(labels[epoch][chosen][ids[epoch][chosen].argsort()])
            if order == "sequential":
                assert bool(chosen[: len(run.forget)].all())
            others = ids[epoch][~chosen]
            assert torch.equal(labels[epoch][~chosen], run.forget.data.labels[others])
        return per_epoch

    for order in ("sequential", "mixed"):
        first, second = forget_labels("once", order)
        assert torch.equal(first, second)
        first, second = forget_labels("epoch", order)
        assert not torch.equal(first, second)


def test_saliency_is_the_magnitude_of_the_summed_forget_gradient() -> None:
    run = small_run(scope="head")
    got = saliency(run)
    assert set(got) == {name for name, _ in run.model.named_parameters()}
    model = contracts.small_original().requires_grad_(True)
    loss = F.cross_entropy(model(run.forget.data.inputs(run.forget.ids)), run.forget.targets, reduction="sum")
    for (name, _), g in zip(
        model.named_parameters(), torch.autograd.grad(loss, list(model.parameters())), strict=True
    ):
        torch.testing.assert_close(got[name], g.abs(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scope", ["all", "head", "norm-only"])
@pytest.mark.parametrize("ratio", [0.01, 0.3, 0.5, 1.0])
def test_mask_keeps_the_most_salient_and_has_the_stated_size(scope: str, ratio: float) -> None:
    """Trap 3: early public code kept the least salient weights."""
    run = small_run(scope=scope)
    masks = SalUn(ratio=ratio).masks(run)
    magnitude = {name: value for name, value in saliency(run).items() if name in masks}
    assert sum(int(m.sum()) for m in masks.values()) == math.ceil(ratio * run.scope.num_parameters)
    top = max(magnitude, key=lambda name: float(magnitude[name].max()))
    assert bool(masks[top].flatten()[magnitude[top].argmax()])
    inside = torch.cat([magnitude[n][masks[n]] for n in masks])
    outside = torch.cat([magnitude[n][~masks[n]] for n in masks])
    assert not len(outside) or float(inside.min()) >= float(outside.max())


def test_mask_of_the_network_is_cut_to_the_scope() -> None:
    run = small_run(scope="head")
    masks = SalUn(ratio=0.5, ratio_of="network").masks(run)
    whole = largest(saliency(run), 0.5)
    assert set(masks) == {"head.weight", "head.bias"}
    assert all(torch.equal(masks[name], whole[name]) for name in masks)


def test_salun_asks_for_the_saliency_of_every_parameter_once() -> None:
    run = small_run(scope="head")
    asked: dict[str, dict[str, Tensor]] = {}
    run.share = lambda name, compute: asked.setdefault(name, compute())
    unlearn(SalUn(epochs=1, batch_size=16), run)
    assert set(asked) == {"saliency"}
    assert set(asked["saliency"]) == {name for name, _ in run.model.named_parameters()}


def test_weights_outside_the_mask_do_not_move_at_all() -> None:
    """Trap 4: decay and momentum moved masked weights in public code."""
    run = small_run()
    masks, before = SalUn(ratio=0.2).masks(small_run()), state(run)
    unlearn(SalUn(ratio=0.2, epochs=2, batch_size=16, lr=0.1, weight_decay=0.1), run)
    for name, mask in masks.items():
        after = run.model.get_parameter(name)
        assert torch.equal(after[~mask], before[name][~mask])
    assert any(not torch.equal(run.model.get_parameter(n)[m], before[n][m]) for n, m in masks.items())
    assert run.notes["mask_size"] == sum(int(m.sum()) for m in masks.values())


def test_salun_with_a_full_mask_is_random_labels() -> None:
    options = {"epochs": 1, "batch_size": 16, "lr": 0.05}
    assert same(result(SalUn(ratio=1.0, **options)), result(RandomLabels(**options)))


def test_soft_threshold_is_the_proximal_map_of_the_l1_norm() -> None:
    values = torch.tensor([-2.0, -0.3, 0.0, 0.4, 3.0])
    grid = torch.linspace(-4, 4, 80001, dtype=torch.float64)
    objective = 0.5 * (grid[None] - values[:, None]) ** 2 + 0.5 * grid.abs()[None]
    nearest = grid[objective.argmin(1)].float()
    torch.testing.assert_close(shrink(values, 0.5), nearest, rtol=0, atol=2e-4)


def test_soft_salun_moves_fewer_weights_under_a_stronger_pull() -> None:
    moved = []
    for beta in (0.0, 0.05, 50.0):
        run = small_run()
        unlearn(SalUnSoft(epochs=1, batch_size=16, beta=beta), run)
        moved.append(run.notes["mask_size"])
    assert moved[0] > moved[1] > moved[2] == 0


# --- boundary methods --------------------------------------------------------------------------------------


@pytest.mark.parametrize("search", ["fgsm", "pgd"])
def test_boundary_shrink_labels_the_adversarial_neighbours(search: Any) -> None:
    run = small_run()
    method = BoundaryShrink(search_attack=search, bound=0.2, epochs=1, batch_size=8)
    batch = next(run.forget.batches(len(run.forget)))
    moved = method.neighbours(run, batch)
    assert float((moved - batch.inputs).abs().max()) <= 0.2 + 1e-6
    assert 0 <= float(moved.min()) <= float(moved.max()) <= 1
    with torch.no_grad():
        before = F.cross_entropy(run.original(batch.inputs), batch.targets)
        after = F.cross_entropy(run.original(moved), batch.targets)
    assert after > before
    labels = method.neighbour_labels(run)
    unlearn(method, run)
    assert run.notes["no_op_rate"] == pytest.approx(float((labels == run.forget.targets).float().mean()))


def test_fgsm_neighbour_is_one_signed_step() -> None:
    run = small_run()
    batch = next(run.forget.batches(4))
    images = batch.inputs.clone().requires_grad_()
    F.cross_entropy(run.original(images), batch.targets, reduction="sum").backward()
    expected = (batch.inputs + 0.1 * images.grad.sign()).clamp(0, 1)  # type: ignore[union-attr]
    torch.testing.assert_close(BoundaryShrink().neighbours(run, batch), expected)


def test_boundary_shrink_that_finds_no_neighbour_reports_every_example() -> None:
    run = small_run()
    unlearn(BoundaryShrink(bound=1e-9, epochs=1), run)
    right = score(run.original, run.forget).correct.mean()
    assert run.notes["no_op_rate"] == pytest.approx(right)


def test_boundary_expand_forgets_and_leaves_k_outputs() -> None:
    """Trap 11: a public port keeps K + 1 outputs."""
    run = small_run()
    before = forget_loss(run)
    unlearn(BoundaryExpand(epochs=20, lr=0.01, batch_size=8), run)
    assert run.model(run.forget.batch(torch.arange(3)).inputs).shape == (3, 4)
    assert {n: t.shape for n, t in run.model.state_dict().items()} == {
        n: t.shape for n, t in run.original.state_dict().items()
    }
    assert forget_loss(run) > before


def test_boundary_expand_takes_the_step_of_the_widened_softmax() -> None:
    """One step on the head alone has a closed form: W_k -= lr E[p_k phi], p over K + 1 outputs."""
    run = small_run(scope="head")
    features: list[torch.Tensor] = []
    head = run.model.get_submodule("head")
    hook = head.register_forward_pre_hook(lambda _module, inputs: features.append(inputs[0].detach()))
    with torch.no_grad():
        logits = run.model(run.forget.data.inputs(run.forget.ids)).double()
    hook.remove()
    phi, extra = features[0].double(), _new_row(run, head, "head")  # type: ignore[arg-type]
    widened = torch.cat([logits, F.linear(phi, extra.weight.double(), extra.bias.double())], dim=1)
    p = widened.softmax(dim=1)[:, :-1].detach()
    weight, bias = (run.original.get_parameter(f"head.{name}").double() for name in ("weight", "bias"))
    unlearn(BoundaryExpand(epochs=1, lr=0.5, momentum=0.0, batch_size=64), run)
    expected = weight - 0.5 * p.T @ phi / len(phi), bias - 0.5 * p.mean(dim=0)
    for name, value in zip(("weight", "bias"), expected, strict=True):
        torch.testing.assert_close(head.get_parameter(name).double(), value, rtol=1e-5, atol=1e-6)


def test_boundary_expand_refuses_a_scope_without_the_head() -> None:
    run, whole = small_run(scope="norm-only"), small_run()
    BoundaryExpand().check_scope(whole.trainable, whole.model)
    for refused in (
        lambda: BoundaryExpand().check_scope(run.trainable, run.model),
        lambda: BoundaryExpand()(run),
    ):
        with pytest.raises(AuditError, match="scope: expected the classifier 'head' in it"):
            refused()


def test_unsir_refuses_a_forget_set_of_every_class() -> None:
    labels = np.arange(4)
    Unsir().check_forget(labels[:3], labels)
    with pytest.raises(AuditError, match="expected a retained class"):
        Unsir().check_forget(labels, labels)


# --- SCRUB -------------------------------------------------------------------------------------------------


class Recorder:
    """Counts passes by watching which batches a run hands out."""

    def __init__(self, run: UnlearningRun) -> None:
        self.passes: list[str] = []
        self.run = run
        inner = run.batches

        def batches(subset: Subset, size: int, *purpose: Any, **options: Any) -> Iterator[Batch]:
            self.passes.append("forget" if subset is run.forget else "retain")
            return inner(subset, size, *purpose, **options)

        run.batches = batches  # type: ignore[method-assign]


@pytest.mark.parametrize("max_epochs", [0, 1, 2, 3])
def test_scrub_makes_exactly_the_stated_max_passes(max_epochs: int) -> None:
    """Trap 9: a public copy counts from 0 and makes one more."""
    run = small_run()
    recorder = Recorder(run)
    meter = unlearn(Scrub(epochs=4, max_epochs=max_epochs), run)
    assert recorder.passes == ["forget", "retain"] * max_epochs + ["retain"] * (4 - max_epochs)
    assert meter.samples == 4 * len(run.retain) + max_epochs * len(run.forget) == meter.forward_samples


def divergence(student: Any, teacher: Any, subset: Subset, temperature: float = 1.0) -> float:
    """Mean KL(teacher || student) over a selection of examples."""
    batch = subset.batch(torch.arange(len(subset)))
    with torch.no_grad():
        outputs = student(batch.inputs), teacher(batch.inputs)
        return float(subset.data.objective.divergence(*outputs, batch, temperature).mean())


def test_scrub_distils_with_the_square_of_the_temperature() -> None:
    run = small_run()
    run.model.eval()
    with torch.no_grad():
        run.trainable["head.bias"].add_(torch.arange(4.0))
    batch = run.forget.batch(torch.arange(len(run.forget)))
    student, distilled = Scrub(temperature=3.0)._distil(run, batch)
    assert torch.equal(student, run.model(batch.inputs))
    expected = 9 * divergence(run.model, run.original, run.forget, 3.0)
    assert float(distilled.detach()) == pytest.approx(expected, rel=1e-6)
    assert expected > 0.1


def test_scrub_moves_away_on_forget_and_stays_on_retain() -> None:
    run = small_run()
    away_only = Scrub(epochs=3, max_epochs=3, alpha=0.0, gamma=0.0, lr=0.05, forget_batch_size=4)
    unlearn(away_only, run)
    assert 16 * divergence(run.model, run.original, run.forget, 4.0) > 0.01
    near = small_run()
    unlearn(Scrub(epochs=1, max_epochs=0, gamma=0.0, alpha=1.0, lr=1e-3, weight_decay=0.0), near)
    drift = max(
        float((near.trainable[n].detach() - p).abs().max()) for n, p in near.original.named_parameters()
    )
    assert drift < 0.05


def test_scrub_decays_after_the_stated_epochs() -> None:
    run = small_run()
    rates: list[float] = []
    step = run.step
    run.step = lambda optimizer, loss: (rates.append(optimizer.param_groups[0]["lr"]), step(optimizer, loss))  # type: ignore
    Scrub(epochs=4, max_epochs=0, batch_size=200, lr=0.1, decay_epochs=(1, 3))(run)
    assert rates == pytest.approx([0.1, 0.01, 0.01, 0.001])


def test_rewind_takes_the_epoch_whose_forget_error_is_closest() -> None:
    assert closest_epoch([0.0, 0.3, 0.5, 0.1], 0.25) == 1
    assert closest_epoch([0.2, 0.0, 0.2], 0.2) == 2
    trail: list[dict[str, Tensor]] = []
    errors: list[float] = []

    def keep(_epoch: int, model: Any) -> None:
        trail.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        errors.append(1 - float(score(model, run.forget).correct.mean()))

    run = small_run()
    run.on_epoch = keep
    settings = {"epochs": 4, "max_epochs": 2, "lr": 0.02, "forget_batch_size": 4}
    unlearn(ScrubRewind(**settings), run)
    final = small_run()
    unlearn(Scrub(**settings), final)
    assert same(trail[-1], state(final))
    expected = closest_epoch(errors, matched_error(final))
    assert run.notes["rewound_epoch"] == expected + 1
    assert same(state(run), trail[expected])


def test_matched_error_has_the_class_proportions_of_the_forget_set() -> None:
    run = small_run()
    labels = run.forget.targets
    order = torch.cat([(labels == 0).nonzero().flatten()[:9], (labels == 1).nonzero().flatten()[:3]])
    run.forget = run.forget.at(order)
    run.model.get_submodule("head").bias.data.copy_(torch.tensor([0.0, 50.0, 0.0, 0.0]))
    assert matched_error(run) == pytest.approx(9 / 12)
    run.validation = run.validation.at((run.validation.targets != 0).nonzero().flatten())
    with pytest.raises(AuditError, match="class 0"):
        matched_error(run)


# --- l1, influence, SSD, teachers, noise -------------------------------------------------------------------


def test_l1_weight_follows_its_schedule() -> None:
    weights = {
        kind: [L1Sparse(epochs=5, dense_epochs=1, alpha=0.4, penalty=kind).weight(e) for e in range(5)]  # type: ignore
        for kind in ("constant", "decay", "grow")
    }
    assert weights["constant"] == pytest.approx([0.4, 0.4, 0.4, 0.4, 0])
    assert weights["decay"] == pytest.approx([0.4, 0.3, 0.2, 0.1, 0])
    assert weights["grow"] == pytest.approx([0, 0.2, 0.4, 0.6, 0])


def test_l1_penalises_the_scope_alone_by_the_sign_of_its_weights() -> None:
    options: dict[str, Any] = {
        "epochs": 1,
        "batch_size": 200,
        "lr": 0.1,
        "momentum": 0.0,
        "weight_decay": 0.0,
    }
    scope = {"scope": "head", "norm_statistics": "freeze"}
    plain = result(Finetune(**options), **scope)
    sparse = result(L1Sparse(alpha=0.01, **options), **scope)
    start = state(small_run())
    for name in start:
        pull = 0.1 * 0.01 * start[name].sign() if name.startswith("head") else torch.zeros(())
        torch.testing.assert_close(
            sparse[name], plain[name] - pull.to(plain[name].dtype), rtol=1e-5, atol=1e-6
        )


def test_influence_is_the_dense_newton_step() -> None:
    """Trap 2: the published recursion does not apply the inverse."""
    run = small_run(scope="head")
    unlearn(Influence(alpha=0.5, damping=0.01, fisher_examples=1000), run)
    model, names = contracts.small_original(), ["head.weight", "head.bias"]
    parameters = [model.get_parameter(name) for name in names]

    def rows(subset: Subset) -> Tensor:
        return torch.stack(
            [
                torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)])
                for batch in subset.batches(1)
                for loss in [F.cross_entropy(model(batch.inputs), batch.targets)]
            ]
        ).double()

    forget, retain = rows(run.forget), rows(run.retain)
    fisher = retain.T @ retain / len(retain) + 0.01 * torch.eye(retain.shape[1], dtype=torch.float64)
    v = len(forget) / 120 * (forget.mean(0) - retain.mean(0))
    expected = 0.5 * torch.linalg.inv(fisher) @ v
    got = torch.cat([(run.model.get_parameter(n) - model.get_parameter(n)).flatten() for n in names]).double()
    assert torch.linalg.norm(got - expected) < 1e-3 * torch.linalg.norm(expected)


def test_influence_direction_ascends_on_the_forget_loss() -> None:
    run = small_run()
    before = forget_loss(run)
    direction = influence_direction(run)
    with torch.no_grad():
        for name, parameter in run.trainable.items():
            parameter.add_(direction[name], alpha=1e-2)
    assert forget_loss(run) > before


def test_ssd_has_its_closed_form() -> None:
    run = small_run(scope="head")
    everything, forget = importance(run, training_set(run)), importance(run, run.forget)
    unlearn(SelectiveSynapticDampening(alpha=1.5, dampening=0.8), run)
    for name in ("head.weight", "head.bias"):
        start, got = (m.get_parameter(name).detach() for m in (run.original, run.model))
        for i in np.ndindex(*start.shape):
            ratio = float(forget[name][i] / everything[name][i])
            factor = min(0.8 / ratio, 1.0) if ratio > 1.5 else 1.0
            assert float(got[i]) == pytest.approx(float(start[i]) * factor, rel=1e-5)
    assert 0 < run.notes["dampened_share"] < 1


@pytest.mark.parametrize("alpha", [1.0, 10.0])
def test_ssd_that_forgets_everything_changes_nothing(alpha: float) -> None:
    run = small_run()
    everything = concatenate(run.forget, run.retain)
    run.forget = everything.at(torch.randperm(120, generator=torch.Generator().manual_seed(0)))
    run.retain = run.retain.at(torch.arange(0))
    before = state(run)
    unlearn(SelectiveSynapticDampening(alpha=alpha), run)
    assert same(state(run), before)
    assert run.notes["dampened_share"] == 0


def test_training_importance_is_one_stage_for_all_forget_sets_and_scopes() -> None:
    fishers = []
    for run in (small_run(scope="head"), forgetting(8)):
        kept: dict[str, dict[str, Tensor]] = {}
        run.share = lambda name, compute, kept=kept: kept.setdefault(name, compute())  # type: ignore
        unlearn(SelectiveSynapticDampening(), run)
        fishers.append(kept["fisher_train"])
    assert same(*fishers)


def test_in_id_order_sorts_labels_along() -> None:
    subset = in_id_order(small_run().retain.at(torch.tensor([5, 0, 3])))
    assert subset.ids.tolist() == sorted(subset.ids.tolist())
    assert torch.equal(subset.targets, subset.data.labels[subset.ids])


def test_bad_teacher_learns_the_random_network_on_the_forget_set() -> None:
    run = small_run()
    incompetent = small_model(("bad_teacher",))
    before = divergence(run.model.eval(), incompetent, run.forget)
    run.scope.train(run.model)
    meter = unlearn(BadTeacher(epochs=6, lr=1e-2, batch_size=8, retain_fraction=0.3), run)
    assert divergence(run.model, incompetent, run.forget) < 0.5 * before
    touched = 6 * (len(run.forget) + round(0.3 * len(run.retain)))
    assert (meter.samples, meter.forward_samples) == (touched, 2 * touched)


@pytest.mark.parametrize("exponent", [0.25, 0.5])
def test_fisher_noise_has_the_stated_deviation(exponent: float) -> None:
    method = FisherForgetting(noise=1e-3, floor=1e-6, exponent=exponent)
    run = small_run()
    fisher = model_fisher(small_run(), run.retain)
    unlearn(method, run)
    standard = torch.cat(
        [
            ((p - run.original.get_parameter(n)) / (1e-3 * (fisher[n] + 1e-6) ** -exponent)).flatten()
            for n, p in run.model.named_parameters()
        ]
    ).detach()
    assert float(standard.std()) == pytest.approx(1, abs=0.12)
    assert abs(float(standard.mean())) < 0.15
    assert all(torch.equal(b, run.original.get_buffer(n)) for n, b in run.model.named_buffers())


def test_model_fisher_averages_over_the_answers_of_the_model() -> None:
    """Many drawn labels approach the exact expectation over classes."""
    run = small_run()
    repeated = run.retain.at(torch.arange(3).repeat(400))
    got = model_fisher(run, repeated)["head.bias"]
    images = run.retain.data.inputs(run.retain.ids[:3])
    p = torch.softmax(run.original(images), dim=1)
    # gradient of the loss at label k with respect to the head's bias is p - e_k
    expected = torch.stack([p[:, k, None] * (p - F.one_hot(torch.tensor(k), 4)) ** 2 for k in range(4)])
    torch.testing.assert_close(got, expected.sum(0).mean(0), rtol=0.35, atol=2e-3)


def test_unsir_learns_noise_that_errs_and_refuses_sets_of_every_class() -> None:
    run = small_run()
    method = Unsir(noise_images=8, noise_steps=20, noise_penalty=0.01, retain_per_class=10, noise_copies=2)
    noise = method.learn_noise(run, 0)
    target = torch.zeros(8, dtype=torch.int64)
    with torch.no_grad():
        learnt = F.cross_entropy(run.original(noise), target)
        start = dataclasses.replace(method, noise_steps=0).learn_noise(run, 0)
        assert learnt > F.cross_entropy(run.original(start), target)
    # In normalised units it starts as a standard normal, and a heavy penalty takes it to mid-grey.
    assert float((start - 0.5).std()) == pytest.approx(0.25, rel=0.1)
    grey = dataclasses.replace(method, noise_steps=200, noise_penalty=50.0).learn_noise(run, 0)
    assert float((grey - 0.5).square().mean()) < 0.1 * float((start - 0.5).square().mean())
    impairing = method._with_noise(run, method._retained(run))
    assert np.bincount(impairing.targets).tolist() == [16, 16, 10, 10]
    with pytest.raises(AuditError, match="unsir"):
        Unsir()(forgetting(8))
