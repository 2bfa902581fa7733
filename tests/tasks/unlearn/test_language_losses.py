"""Losses of the methods for language models on random logits, against formulas written out document by document."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from tasks.contracts.small_text import small_language_run
from tasks.objectives.base import Batch
from tasks.objectives.language import NOTHING
from tasks.text.words import VOCABULARY
from tasks.unlearn.grad_diff import GradDiff
from tasks.unlearn.kl_min import KLMinimisation
from tasks.unlearn.npo import NPO, SimNPO
from tasks.unlearn.undial import Undial
from tasks.unlearn.wga import WeightedAscent

V, T = len(VOCABULARY), 6
LENGTHS = (6, 1, 3, 5)
"""Target tokens of four documents; one is asked for a single one."""


def randomly(seed, scale=3.0):
    return scale * torch.randn(len(LENGTHS), T, V, generator=torch.Generator().manual_seed(seed))


def documents(width=T):
    """Inputs whose first word is the row, so that a model can look logits up; one document has a prompt."""
    targets = torch.full((len(LENGTHS), width), NOTHING)
    for row, length in enumerate(LENGTHS):
        drawn = torch.randint(1, V, (length,), generator=torch.Generator().manual_seed(row))
        targets[row, :length] = drawn
    targets[0, :2] = NOTHING
    inputs = torch.zeros(len(LENGTHS), width, dtype=torch.int64)
    inputs[:, 0] = torch.arange(len(LENGTHS))
    return Batch(inputs, targets, torch.arange(len(LENGTHS)))


class LookedUp(nn.Module):
    """Gives each document the logits that it was made with."""

    def __init__(self, logits):
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, tokens):
        return self.logits[tokens[:, 0], : tokens.shape[1]]


def looked_up(student, original):
    run = small_language_run()
    run.model, run.original = LookedUp(student), LookedUp(original)
    return run


def log_p(z):
    z = z.detach().double().numpy()
    return z - np.log(np.exp(z).sum())


def tokens(student, original, batch):
    """Of each document: rows of log-probabilities of student and original, and the true words, where asked for."""
    for z, o, row in zip(student, original, batch.targets.tolist(), strict=True):
        yield [(log_p(z[t]), log_p(o[t]), y) for t, y in enumerate(row) if y != NOTHING]


def grad_diff(s, _o, y):
    return s[y]


def wga(s, _o, y):
    return np.exp(s[y]) ** 0.7 * s[y]


def divergence(s, o, _y):
    return (np.exp(o) * (o - s)).sum()


def undial(s, o, y):
    lowered = np.exp(np.where(np.arange(V) == y, o - 10.0, o))
    q = lowered / lowered.sum()
    return (q * (np.log(q) - s)).sum()


@dataclass(frozen=True)
class Loss:
    """A method's loss of each document, and what it should be."""

    found: object
    token: object = None
    """Of each token; a document's loss is the mean."""
    summed: object = None
    """Of the rise, summed over a document's tokens, and of its mean loss."""


def kept(run, batch):
    """The retain loss of single documents."""
    rows = range(len(batch.ids))
    return torch.stack([KLMinimisation().retain_loss(run, one(batch, row)) for row in rows])


def one(batch, row):
    return Batch(*(part[row : row + 1] for part in batch))


LOSSES = {
    "grad_diff": Loss(GradDiff().forget_losses, token=grad_diff),
    "kl_min": Loss(KLMinimisation().forget_losses, token=grad_diff),
    "kl_min keeps": Loss(kept, token=divergence),
    "wga": Loss(WeightedAscent(beta=0.7).forget_losses, token=wga),
    "undial": Loss(Undial().forget_losses, token=undial),
    "npo": Loss(NPO(beta=0.3).forget_losses, summed=lambda up, _: 2 / 0.3 * np.log1p(np.exp(-0.3 * up))),
    "simnpo": Loss(
        SimNPO(delta=1.0).forget_losses,
        summed=lambda _, mean: 0.1375 * 2 / 2.5 * np.log1p(np.exp(-2.5 * (mean - 1.0))),
    ),
}


def by_hand(loss, student, original, batch):
    expected = []
    for rows in tokens(student, original, batch):
        if loss.token:
            expected.append(np.mean([loss.token(s, o, y) for s, o, y in rows]))
        else:
            up = sum(o[y] - s[y] for s, o, y in rows)
            expected.append(loss.summed(up, -np.mean([s[y] for s, _, y in rows])))
    return np.array(expected)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_losses_are_those_of_the_papers_by_document(loss):
    student, original, batch = randomly(0), randomly(1), documents()
    found = loss.found(looked_up(student, original), batch)
    np.testing.assert_allclose(found.detach(), by_hand(loss, student, original, batch), rtol=2e-5, atol=1e-5)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_constants_and_what_is_not_asked_for_change_nothing(loss):
    student, original, batch = randomly(0), randomly(1), documents()
    before = loss.found(looked_up(student, original), batch).detach()
    asked = (batch.targets != NOTHING)[..., None]
    moved = [
        torch.where(asked, logits + 20 * randomly(seed, scale=1.0)[..., :1], randomly(seed + 1))
        for logits, seed in ((student, 2), (original, 4))
    ]
    assert not torch.equal(moved[0], student)
    torch.testing.assert_close(loss.found(looked_up(*moved), batch), before, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_neither_the_batch_nor_what_fills_rows_changes_a_documents_loss(loss):
    student, original = randomly(0), randomly(1)
    wide = [torch.cat([logits, randomly(5)], dim=1) for logits in (student, original)]
    together = loss.found(looked_up(student, original), documents()).detach()
    filled = loss.found(looked_up(*wide), documents(width=2 * T))
    torch.testing.assert_close(filled, together, rtol=1e-5, atol=1e-6)
    alone = [loss.found(looked_up(student, original), one(documents(), row)) for row in range(4)]
    torch.testing.assert_close(torch.cat(alone), together, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_only_what_is_asked_for_is_trained(loss):
    run, batch = looked_up(randomly(0), randomly(1)), documents()
    loss.found(run, batch).sum().backward()
    moved = run.model.logits.grad.abs().sum(-1) > 0
    assert torch.equal(moved, batch.targets != NOTHING)
    assert run.original.logits.grad is None


def test_undial_has_the_gradient_of_its_cross_entropy():
    student, original, batch = randomly(0), randomly(1), documents()
    run = looked_up(student, original)
    (found,) = torch.autograd.grad(Undial(beta=4.0).forget_losses(run, batch).sum(), run.model.logits)
    z = student.clone().requires_grad_()
    total = torch.zeros(())
    for row, targets in enumerate(batch.targets.tolist()):
        places = [t for t, y in enumerate(targets) if y != NOTHING]
        for t in places:
            lowered = original[row, t].clone()
            lowered[targets[t]] -= 4.0
            total = total - (lowered.softmax(-1) * z[row, t].log_softmax(-1)).sum() / len(places)
    (expected,) = torch.autograd.grad(total, z)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-7)


def test_the_weight_of_an_ascent_is_a_constant_and_fades():
    student, batch = randomly(0), documents()
    run = looked_up(student, student)
    (found,) = torch.autograd.grad(WeightedAscent().forget_losses(run, batch).sum(), run.model.logits)
    (plain,) = torch.autograd.grad(GradDiff().forget_losses(run, batch).sum(), run.model.logits)
    for row, targets in enumerate(batch.targets.tolist()):
        for t, y in enumerate(targets):
            if y != NOTHING:
                p = student[row, t].softmax(-1)[y]
                torch.testing.assert_close(found[row, t], p * plain[row, t], rtol=1e-4, atol=1e-8)
