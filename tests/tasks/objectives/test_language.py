"""Losses, divergence, relabelling and statistics of documents, against formulas written out document by document."""

import math

import numpy as np
import pytest
import torch

from tasks.errors import AuditError
from tasks.objectives.base import Batch
from tasks.objectives.language import NOTHING, Language

V, T = 7, 6
OBJECTIVE = Language(V)
LENGTHS = (6, 1, 3, 5)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def logits(scale=2.0, seed=0, n=4, width=T):
    return scale * torch.randn(n, width, V, generator=generator(seed))


def batch(lengths=LENGTHS, width=T, seed=1):
    targets = torch.full((len(lengths), width), NOTHING)
    for row, length in enumerate(lengths):
        targets[row, :length] = torch.randint(1, V, (length,), generator=generator(seed + 10 * row))
    return Batch(torch.zeros(len(lengths), width, dtype=torch.int64), targets, torch.arange(len(lengths)))


def with_prompt(of):
    """Nothing is asked for at the first position of documents that have others."""
    targets = of.targets.clone()
    targets[(targets != NOTHING).sum(1) > 1, 0] = NOTHING
    return of._replace(targets=targets)


BATCHES = {"whole": batch(), "prompted": with_prompt(batch())}


def log_p(row):
    row = row.double().numpy()
    return row - np.log(np.exp(row).sum())


def by_hand(outputs, of):
    """Of each document: log-likelihoods of what is asked for, and rows of all log-probabilities there."""
    for z, targets in zip(outputs, of.targets.tolist(), strict=True):
        rows = [(log_p(z[t]), y) for t, y in enumerate(targets) if y != NOTHING]
        yield np.array([row[y] for row, y in rows]), np.array([row for row, _ in rows]), [y for _, y in rows]


@pytest.mark.parametrize("of", BATCHES.values(), ids=BATCHES)
def test_a_loss_is_the_mean_over_a_documents_own_targets(of):
    outputs = logits().requires_grad_()
    expected = [-likelihood.mean() for likelihood, _, _ in by_hand(outputs.detach(), of)]
    np.testing.assert_allclose(OBJECTIVE.losses(outputs, of).detach(), expected, rtol=1e-5)
    assert float(OBJECTIVE.loss(outputs, of).detach()) == pytest.approx(np.mean(expected), rel=1e-5)
    OBJECTIVE.loss(outputs, of).backward()
    assert bool((outputs.grad.abs().sum(-1) > 0).eq(of.targets != NOTHING).all())


def test_smoothing_spreads_a_share_of_each_target_over_all_words():
    outputs, of = logits(), BATCHES["prompted"]
    expected = [
        -(0.9 * likelihood + 0.1 * rows.mean(axis=1)).mean() for likelihood, rows, _ in by_hand(outputs, of)
    ]
    np.testing.assert_allclose(OBJECTIVE.losses(outputs, of, smoothing=0.1), expected, rtol=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_divergence_is_that_of_the_student_from_the_teacher_by_token(temperature):
    student, teacher, of = logits(seed=2), logits(seed=3), BATCHES["prompted"]
    expected = []
    for (_, s, _), (_, t, _) in zip(
        by_hand(student / temperature, of), by_hand(teacher / temperature, of), strict=True
    ):
        expected.append((np.exp(t) * (t - s)).sum(axis=1).mean())
    found = OBJECTIVE.divergence(student, teacher, of, temperature)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert bool((OBJECTIVE.divergence(student, student, of) == 0).all())


def everything(outputs, of):
    """All numbers of documents that an objective gives, by name."""
    other = logits(seed=9)[: len(outputs), : outputs.shape[1]]
    found = OBJECTIVE.statistics(outputs, of)
    return {
        **{name: values.double() for name, values in found.items()},
        "losses": OBJECTIVE.losses(outputs, of).double(),
        "student": OBJECTIVE.divergence(outputs, other, of).double(),
        "teacher": OBJECTIVE.divergence(other, outputs, of).double(),
    }


def assert_same(first, second, **tolerance):
    for name in first:
        torch.testing.assert_close(
            first[name], second[name], **(tolerance or {"rtol": 1e-4, "atol": 1e-5}), msg=name
        )


@pytest.mark.parametrize("of", BATCHES.values(), ids=BATCHES)
def test_a_constant_on_all_logits_changes_nothing(of):
    constants = 30 * torch.randn(len(LENGTHS), T, 1, generator=generator(4))
    assert_same(everything(logits(), of), everything(logits() + constants, of))


def test_filling_up_on_the_right_changes_nothing():
    of, wider = batch(), batch(width=T + 4)
    outputs = torch.cat([logits(), logits(seed=6, width=4)], dim=1)
    assert torch.equal(of.targets, wider.targets[:, :T])
    plain, filled = (OBJECTIVE.statistics(*part) for part in ((logits(), of), (outputs, wider)))
    assert_same({k: v.double() for k, v in plain.items()}, {k: v.double() for k, v in filled.items()})
    assert_same({"losses": OBJECTIVE.losses(logits(), of)}, {"losses": OBJECTIVE.losses(outputs, wider)})


def test_no_document_depends_on_its_batch():
    of, outputs = BATCHES["prompted"], logits()
    together = everything(outputs, of)
    for row in range(len(LENGTHS)):
        alone = everything(outputs[row : row + 1], Batch(*(part[row : row + 1] for part in of)))
        for name in set(together) - {"student", "teacher"}:  # whose other side is of the first row
            torch.testing.assert_close(alone[name][0], together[name][row], rtol=1e-5, atol=1e-6, msg=name)


def test_what_is_not_asked_for_has_no_part_in_anything():
    of = BATCHES["prompted"]
    elsewhere = torch.where((of.targets == NOTHING)[..., None], 50 * logits(seed=8), logits())
    assert_same(everything(logits(), of), everything(elsewhere, of), rtol=0, atol=0)


def test_statistics_are_those_of_the_literature():
    outputs, of = logits(), batch()
    found = {name: values.numpy() for name, values in OBJECTIVE.statistics(outputs, of).items()}
    for i, (likelihood, rows, targets) in enumerate(by_hand(outputs, of)):
        mean, n = likelihood.mean(), len(likelihood)
        mu = (np.exp(rows) * rows).sum(axis=1)
        sigma = np.sqrt((np.exp(rows) * (rows - mu[:, None]) ** 2).sum(axis=1))
        least = max(1, n // 5)
        right = rows.argmax(axis=1) == targets
        suffix = next((k for k, fine in enumerate(right[::-1]) if not fine), n)
        expected = {
            "loss": -mean,
            "phi": np.log(np.exp(mean) / (1 - np.exp(mean))),
            "correct": right.all(),
            "tokens": n,
            "token_accuracy": right.mean(),
            "min_k": np.sort(likelihood)[:least].mean(),
            "min_k_pp": np.sort((likelihood - mu) / sigma)[:least].mean(),
            "extraction": suffix / n,
        }
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert found[name][i] == pytest.approx(float(value), rel=1e-4, abs=1e-5), name


def test_a_document_of_one_token_is_its_own_lowest_fifth():
    of = batch(lengths=(1, 1))
    found = OBJECTIVE.statistics(logits(n=2), of)
    torch.testing.assert_close(found["min_k"], -found["loss"])


@pytest.mark.parametrize(
    ("right", "extracted"),
    [
        ([0, 0, 0, 0, 0], 0.0),
        ([1, 1, 1, 1, 1], 1.0),
        ([1, 1, 1, 1, 0], 0.0),
        ([0, 0, 0, 0, 1], 0.2),
        ([1, 0, 1, 1, 1], 0.6),
        ([0], 0.0),
        ([1], 1.0),
    ],
)
def test_extraction_is_what_greedy_decoding_writes_to_the_end(right, extracted):
    of = batch(lengths=(len(right),))
    outputs = torch.zeros(1, T, V)
    for t, fine in enumerate(right):
        y = int(of.targets[0, t])
        outputs[0, t, y if fine else y % (V - 1) + 1] = 5.0
    found = OBJECTIVE.statistics(outputs, of)
    assert float(found["extraction"]) == pytest.approx(extracted)
    assert bool(found["correct"]) == all(right)


@pytest.mark.parametrize("scale", [1e-6, 30.0, 1e3, 1e30])
def test_statistics_are_finite_where_logits_are(scale):
    of = batch()
    sure = torch.zeros(len(LENGTHS), T, V).scatter(-1, of.targets.clamp(min=0)[..., None], scale)
    for outputs in (sure, -sure):
        for name, values in OBJECTIVE.statistics(outputs, of).items():
            assert bool(torch.isfinite(values.double()).all()), name
    likely, unlikely = (OBJECTIVE.statistics(outputs, of)["phi"] for outputs in (sure, -sure))
    assert bool((likely > unlikely).all())


def test_a_number_that_is_none_stays_none():
    outputs = logits()
    outputs[2, 1, 3] = math.nan
    assert OBJECTIVE.statistics(outputs, batch())["phi"].isnan().tolist() == [False, False, True, False]


# -- relabelling -----------------------------------------------------------------------------------------------

MANY = batch(lengths=(T,) * 2000)


@pytest.mark.parametrize("exclude_true", [True, False])
def test_random_words_are_uniform_and_never_what_fills_rows(exclude_true):
    drawn = OBJECTIVE.relabel(MANY.targets, generator(), exclude_true=exclude_true)
    assert (drawn.shape, drawn.dtype) == (MANY.targets.shape, MANY.targets.dtype)
    counts = np.zeros((V, V))
    np.add.at(counts, (MANY.targets.flatten().numpy(), drawn.flatten().numpy()), 1)
    assert not counts[:, 0].any()
    allowed = 1 - np.eye(V)[1:, 1:] if exclude_true else np.ones((V - 1, V - 1))
    expected = counts[1:].sum(axis=1)[:, None] * allowed / allowed.sum(axis=1)[:, None]
    assert not counts[1:, 1:][allowed == 0].any()
    assert np.abs(counts[1:, 1:] - expected)[allowed > 0].max() < 5 * np.sqrt(expected.max())


def test_words_that_are_excluded_are_never_drawn_and_take_no_share():
    excluded = torch.tensor([NOTHING, 2, 5])
    drawn = OBJECTIVE.relabel(MANY.targets, generator(), excluded=excluded)
    assert set(drawn.unique().tolist()) == {1, 3, 4, 6}
    assert not bool((drawn == MANY.targets).any())
    of_excluded = drawn[MANY.targets == 2].bincount(minlength=V)[[1, 3, 4, 6]].double()
    assert float((of_excluded / of_excluded.mean() - 1).abs().max()) < 0.15


def test_random_words_stand_where_something_is_asked_for():
    of = BATCHES["prompted"]
    drawn = OBJECTIVE.relabel(of.targets.int(), generator())
    assert drawn.dtype == torch.int32
    assert torch.equal(drawn == NOTHING, of.targets == NOTHING)
    assert not bool(((drawn == of.targets) & (of.targets != NOTHING)).any())


def test_relabelling_with_nothing_to_draw_is_refused():
    with pytest.raises(AuditError, match="expected at least 2 words that are not excluded, got 1"):
        OBJECTIVE.relabel(batch().targets, generator(), excluded=torch.arange(1, V - 1))


def test_words_are_drawn_from_the_models_own_answers():
    p = torch.tensor([0.5, 0.3, 0.2, 0, 0, 0, 0]).log()
    of = batch((2, 1, 2) * 1000, width=3)
    drawn = OBJECTIVE.sample(p.expand(3000, 3, V), of, generator())
    assert torch.equal(drawn == NOTHING, of.targets == NOTHING)
    words = drawn[drawn != NOTHING]
    np.testing.assert_allclose(words.bincount(minlength=V) / len(words), p.exp(), atol=0.03)
