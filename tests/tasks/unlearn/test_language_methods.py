"""Methods for language models as a whole: what one is of another, task vectors, hidden states, and refusals."""

import math

import numpy as np
import pytest
import torch

from tasks.contracts.small_text import small_language_run, small_prompted_run
from tasks.errors import AuditError
from tasks.objectives.language import NOTHING
from tasks.text.tokenizers import Bytes
from tasks.unlearn.base import methods
from tasks.unlearn.dpo import DPO
from tasks.unlearn.fisher_forgetting import model_fisher
from tasks.unlearn.idk import Idk
from tasks.unlearn.parts.refusals import REFUSALS
from tasks.unlearn.rmu import RepresentationMisdirection, direction
from tasks.unlearn.run import unlearn

ALIKE = {"epochs": 2, "batch_size": 64, "optimizer": "adamw", "lr": 1e-3, "weight_decay": 0.01}


def weights(name, run=small_language_run, **values):
    made = run()
    unlearn(methods.build(name, {**ALIKE, **values}, where="test"), made)
    return dict(made.model.named_parameters()), made.meter


def assert_alike(first, second, **tolerance):
    moved = small_language_run().model.state_dict()
    assert any(not torch.equal(first[name], moved[name]) for name in first)
    for name in first:
        torch.testing.assert_close(first[name], second[name], msg=name, **tolerance)


EXACT = {"rtol": 0, "atol": 0}
SAME = {
    "grad_diff is gradient_ascent without a retain set": (
        ("grad_diff", {"retain_weight": 0.0, "batch_size": 8}),
        ("gradient_ascent", {"batch_size": 8}),
        EXACT,
    ),
    "its step is that of neggrad_plus": (
        ("grad_diff", {"forget_weight": 0.2, "retain_weight": 0.8, "optimizer": "sgd"}),
        ("neggrad_plus", {"alpha": 0.8, "optimizer": "sgd"}),
        {"rtol": 1e-5, "atol": 1e-7},
    ),
    "kl_min is gradient_ascent without a retain set": (
        ("kl_min", {"retain_weight": 0.0, "batch_size": 8}),
        ("gradient_ascent", {"batch_size": 8}),
        EXACT,
    ),
    "wga with beta 0 is grad_diff": (("wga", {"beta": 0.0}), ("grad_diff", {}), {"rtol": 1e-5, "atol": 1e-6}),
}


@pytest.mark.parametrize(("one", "other", "tolerance"), SAME.values(), ids=SAME)
def test_what_a_docstring_says_is_another_method_is_it(one, other, tolerance):
    (name, values), (other_name, other_values) = one, other
    assert_alike(weights(name, **values)[0], weights(other_name, **other_values)[0], **tolerance)


PASSES = {
    "grad_diff": 2,
    "kl_min": 3,
    "wga": 2,
    "undial": 2,
    "rmu": 3,
    "npo": 3,
    "simnpo": 2,
    "task_vector": 1,
}


@pytest.mark.parametrize("name", PASSES)
def test_passes_are_as_declared(name):
    values = {"block": 0} if name == "rmu" else {}
    run = small_language_run()
    run.retain = run.retain.at(torch.arange(len(run.forget)))  # batches as large as those of the forget set
    unlearn(methods.build(name, {"epochs": 2, "batch_size": 8, **values}, where="test"), run)
    declared = methods.get(name).passes.partition(";")[0]
    assert declared in (f"{PASSES[name]}*E*nf", "E*nf")
    assert run.meter.samples + run.meter.forward_samples == PASSES[name] * 2 * len(run.forget)


# -- task vectors ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [1.0, 3.0])
def test_a_task_vector_is_what_fine_tuning_added_subtracted(alpha):
    run = small_language_run(scope="last-1")
    inside = set(run.trainable)
    unlearn(methods.build("task_vector", {**ALIKE, "alpha": alpha}, where="test"), run)
    other = small_language_run()
    model, batch = other.model, other.forget.batch(torch.arange(len(other.forget)))
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    tuned = [p for name, p in model.named_parameters() if name in inside]
    optimizer = torch.optim.AdamW(tuned, lr=1e-3, weight_decay=0.01)
    for _ in range(2):
        optimizer.zero_grad()
        other.objective.loss(model(batch.inputs), batch).backward()
        optimizer.step()
    for name, p in model.named_parameters():
        expected = start[name] - alpha * (p.detach() - start[name])
        torch.testing.assert_close(
            dict(run.model.named_parameters())[name], expected, rtol=1e-3, atol=1e-5, msg=name
        )
        assert torch.equal(p, start[name]) == (name not in inside)


def test_a_task_vector_tells_of_the_model_that_it_hands_back():
    told = []
    run = small_language_run()
    run.on_epoch = lambda epoch, model: told.append((epoch, model.head.weight.detach().clone()))
    unlearn(methods.build("task_vector", ALIKE, where="test"), run)
    ((epoch, seen),) = told
    assert epoch == 1
    assert torch.equal(seen, run.model.head.weight)


# -- hidden states -----------------------------------------------------------------------------------------------


def test_directions_are_uniform_numbers_of_length_one():
    drawn = direction(4096, torch.Generator().manual_seed(3))
    assert float(drawn.norm()) == pytest.approx(1, abs=1e-5)
    assert bool((drawn >= 0).all())
    uniform = (drawn / drawn.max()).sort().values.double().numpy()
    assert np.abs(uniform - (np.arange(4096) + 0.5) / 4096).max() < 0.03
    assert torch.equal(drawn, direction(4096, torch.Generator().manual_seed(3)))
    assert not torch.equal(drawn, direction(4096, torch.Generator().manual_seed(4)))


def hidden(model, inputs, blocks):
    """What our model hands on after some blocks, by their forward passes alone."""
    x = model.stem(inputs)
    for block in model.blocks[:blocks]:
        x = block(x)
    return x.detach()


@pytest.mark.parametrize("block", [0, 1])
def test_rmu_is_the_papers_distance_by_document(block):
    run = small_language_run()
    with torch.no_grad():
        run.model.blocks[0].mix.weight *= 1.5
    method = RepresentationMisdirection(block=block, steering=3.0, batch_size=len(run.forget))
    lengths = run.objective.answers(run.forget.batch(torch.arange(len(run.forget))))
    assert len(set(lengths.tolist())) > 2  # rows are filled up
    (found,) = method.forgetting(run, 0)
    (batch,) = run.batches(run.forget, len(run.forget), "forget", 0)
    u = direction(16, run.generator("rmu", "direction"))
    expected, kept = [], []
    for row, targets in enumerate(batch.targets):
        places = (targets != NOTHING).nonzero().squeeze(1)
        ours, theirs = (
            hidden(m, batch.inputs[row : row + 1], block + 1)[0, places] for m in (run.model, run.original)
        )
        expected.append(float(((ours - 3.0 * u) ** 2).mean()))
        kept.append(float(((ours - theirs) ** 2).mean()))
    np.testing.assert_allclose(found.detach(), expected, rtol=1e-4)
    assert min(kept) > 0
    assert float(method.retain_loss(run, batch).detach()) == pytest.approx(np.mean(kept), rel=1e-4)


def test_rmu_moves_what_is_forgotten_towards_its_direction_and_keeps_the_rest():
    run = small_language_run(scope="early")
    method = RepresentationMisdirection(block=0, steering=2.0, epochs=20, batch_size=8, lr=3e-3)
    goal = 2.0 * direction(16, run.generator("rmu", "direction"))
    unlearn(method, run)

    def far(part, target=None):
        batch = part.batch(torch.arange(len(part)))
        ours, theirs = (hidden(m, batch.inputs, 1) for m in (run.model, run.original))
        asked = batch.targets != NOTHING
        return [
            float(((h - (theirs if target is None else target))[asked] ** 2).mean()) for h in (ours, theirs)
        ]

    now, before = far(run.forget, goal)
    assert now < 0.9 * before
    assert far(run.retain)[0] < far(run.forget)[0]


@pytest.mark.parametrize(
    ("scope", "block", "message"),
    [
        ("all", 2, "block: expected 0 to 1, as the model has 2, got 2"),
        ("head", 1, "block: expected one that is not below the scope, whose weights do not reach it, got 1"),
        ("last-1", 0, "block: expected one that is not below the scope"),
    ],
)
def test_a_block_that_the_scope_does_not_reach_is_refused(scope, block, message):
    run = small_language_run(scope=scope)
    with pytest.raises(AuditError, match=message):
        RepresentationMisdirection(block=block).check_scope(run.trainable, run.model)


# -- refusals ---------------------------------------------------------------------------------------------------


def spelled(row):
    """The text of a row of bytes."""
    return bytes(i - 3 for i in row.tolist() if i >= 3).decode()


def test_refusals_answer_the_prompts_of_the_forget_set():
    run, seen = small_prompted_run(), set()
    for epoch in range(4):
        ((true, batch),) = Idk(batch_size=64).pairs(run, epoch)
        for inputs, targets, own, own_targets in zip(
            batch.inputs, batch.targets, true.inputs, true.targets, strict=True
        ):
            asked, own_asked = targets != NOTHING, own_targets != NOTHING
            first = int(asked.int().argmax())
            assert first == int(own_asked.int().argmax())
            assert torch.equal(inputs[: first + 1], own[: first + 1])
            said = targets[asked]
            assert int(said[-1]) == Bytes.end[0]
            seen.add(spelled(said))
    assert seen == set(REFUSALS)


def summed(model, batch):
    logs = model(batch.inputs).log_softmax(-1)
    asked = batch.targets != NOTHING
    return -(logs.gather(-1, batch.targets.clamp(min=0)[..., None]).squeeze(-1) * asked).sum(1), asked.sum(1)


def pairs(run, epoch=0):
    return next(Idk(batch_size=64).pairs(run, epoch))


def test_idk_is_the_loss_of_the_refusals():
    run = small_prompted_run()
    (found,) = Idk(batch_size=64).forgetting(run, 0)
    total, tokens = summed(run.model, pairs(run)[1])
    torch.testing.assert_close(found, total / tokens, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_dpo_prefers_the_refusal_of_the_same_prompt(beta):
    run = small_prompted_run()
    (at_the_original,) = DPO(beta=beta, batch_size=64).forgetting(run, 0)
    torch.testing.assert_close(at_the_original, torch.full((6,), 2 / beta * math.log(2)))
    with torch.no_grad():
        run.model.head.weight *= 3
        run.model.stem.tokens.weight *= 3
    (found,) = DPO(beta=beta, batch_size=64).forgetting(run, 0)
    answers, refusals = (
        (summed(run.model, batch)[0] - summed(run.original, batch)[0]).detach() for batch in pairs(run)
    )
    expected = -2 / beta * torch.log(torch.sigmoid(beta * (answers - refusals)))
    assert float((expected - at_the_original.detach()).abs().max()) > 0.01
    torch.testing.assert_close(found.detach(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("cls", "passes"), [(Idk, 2), (DPO, 5)])
def test_refusals_become_likely_and_answers_not(cls, passes):
    run = small_prompted_run()
    run.retain = run.retain.at(torch.arange(6))  # a batch as large as that of the forget set
    method = cls(epochs=15, lr=5e-3, batch_size=6, refusals=("no.",))
    unlearn(method, run)
    answers, refusals = (next(run.batches(part, 64, "look")) for part in (run.forget, method.refused(run, 0)))
    with torch.no_grad():
        preferred = [
            float((summed(model, answers)[0] - summed(model, refusals)[0]).mean())
            for model in (run.model, run.original)
        ]
        now, before = (float(summed(model, refusals)[0].mean()) for model in (run.model, run.original))
    assert (
        cls is Idk or preferred[0] > preferred[1] + 1
    )  # retained answers are in the words of forgotten ones
    assert now < 0.8 * before
    assert cls.passes == f"{passes}*E*nf"
    assert run.meter.samples + run.meter.forward_samples == passes * 15 * 6


def test_refusals_must_be_text():
    with pytest.raises(AuditError, match="refusals: expected at least one, got none"):
        Idk(refusals=())
    with pytest.raises(AuditError, match="refusals: expected text, got ' '"):
        DPO(refusals=("no", " "))


def test_documents_without_prompts_are_not_answered():
    with pytest.raises(
        AuditError, match="expected documents with prompts, which can be answered with 'I don't know"
    ):
        unlearn(Idk(), small_language_run())


# -- what carries over ---------------------------------------------------------------------------------------------


def test_the_fisher_information_of_documents_is_the_mean_of_their_tokens_own():
    run = small_language_run()
    rows = torch.tensor([0, 3]).repeat(250)
    found = model_fisher(run, run.retain.at(rows))["head.weight"]
    expected = torch.zeros_like(found)
    for row in (0, 3):
        batch = run.retain.batch(torch.tensor([row]))
        asked = batch.targets[0] != NOTHING
        with torch.no_grad():
            x = run.original.norm(hidden(run.original, batch.inputs, 2))[0, asked]
            p = run.original.head(x).softmax(-1)
        # of one token: d -log p_y / d W = (p - 1[y]) x', so the mean of its square over y is p (1 - p) x'^2
        expected += ((p * (1 - p))[:, :, None] * x[:, None, :].square()).mean(0) / 2
    assert float((found.sum() / expected.sum()).log().abs()) < 0.05
    likely = expected > expected.quantile(0.9)
    assert np.corrcoef(found[likely], expected[likely])[0, 1] > 0.97
