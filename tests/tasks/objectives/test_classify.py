import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import chisquare
from torch.distributions import Categorical, kl_divergence

from tasks.errors import AuditError
from tasks.objectives.base import Batch
from tasks.objectives.classify import Classify

K = 5
OBJECTIVE = Classify(K)


def batch_of(targets):
    targets = torch.as_tensor(targets)
    return Batch(torch.empty(len(targets), 0), targets, torch.arange(len(targets)))


def logits(count=40, seed=0, size=3.0):
    return size * torch.randn(count, K, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


BATCH = batch_of(torch.arange(40) % K)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_losses_are_cross_entropies_and_the_loss_is_their_mean(smoothing):
    outputs = logits().requires_grad_()
    losses = OBJECTIVE.losses(outputs, BATCH, smoothing=smoothing)
    expected = F.cross_entropy(outputs, BATCH.targets, label_smoothing=smoothing, reduction="none")
    assert torch.equal(losses, expected)
    loss = OBJECTIVE.loss(outputs, BATCH, smoothing=smoothing)
    torch.testing.assert_close(loss, losses.mean())
    assert torch.autograd.grad(loss, outputs)[0].abs().sum() > 0


def test_smoothing_spreads_a_share_of_the_target_over_all_classes():
    target = F.one_hot(BATCH.targets, K) * 0.8 + 0.2 / K
    expected = -(target * logits().log_softmax(1)).sum(1)
    torch.testing.assert_close(OBJECTIVE.losses(logits(), BATCH, smoothing=0.2), expected)


def by_example(outputs, teacher, batch):
    return {
        "losses": OBJECTIVE.losses(outputs, batch),
        "divergence": OBJECTIVE.divergence(outputs, teacher, batch, 2.0),
        **OBJECTIVE.statistics(outputs, batch),
    }


def test_an_example_does_not_depend_on_the_others_of_its_batch():
    outputs, teacher = logits(), logits(seed=1)
    together = by_example(outputs, teacher, BATCH)
    rows = torch.tensor([7, 3, 31])
    part = by_example(outputs[rows], teacher[rows], Batch(*(field[rows] for field in BATCH)))
    for name, values in together.items():
        assert len(values) == 40
        torch.testing.assert_close(values[rows], part[name], msg=name)


def test_a_constant_added_to_all_logits_of_an_example_changes_nothing():
    outputs, teacher = logits(), logits(seed=1)
    shift = torch.linspace(-50, 50, 40, dtype=torch.float64)[:, None]
    plain, moved = by_example(outputs, teacher, BATCH), by_example(outputs + shift, teacher - shift, BATCH)
    for name, values in plain.items():
        torch.testing.assert_close(values, moved[name], atol=1e-9, rtol=1e-9, msg=name)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_divergence_is_kl_of_the_teacher_from_the_student_without_the_squared_temperature(temperature):
    student, teacher = logits(), logits(seed=1)
    got = OBJECTIVE.divergence(student, teacher, BATCH, temperature)
    p, q = (Categorical(logits=z / temperature) for z in (teacher, student))
    torch.testing.assert_close(got, kl_divergence(p, q))
    assert not torch.allclose(got, kl_divergence(q, p), rtol=0.01)
    assert float(OBJECTIVE.divergence(teacher, teacher, BATCH, temperature).abs().max()) < 1e-12


def test_statistics_have_their_closed_forms():
    z = torch.tensor([[0.0, 0.0, 0.0, 0.0, 0.0], [2.0, 0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 2.0]])
    found = OBJECTIVE.statistics(z, batch_of([1, 0, 0]))
    e = np.exp(2.0)
    np.testing.assert_allclose(found["loss"], [np.log(5), np.log((e + 4) / e), np.log(e + 4)], atol=1e-12)
    np.testing.assert_allclose(found["phi"], [-np.log(4), 2 - np.log(4), -np.log(e + 3)], atol=1e-12)
    assert found["correct"].tolist() == [False, True, False]  # of equal logits the first is the answer
    assert {name: values.dtype for name, values in found.items()} == {
        "loss": torch.float64,
        "phi": torch.float64,
        "correct": torch.bool,
    }


def test_statistics_of_extreme_logits_are_finite_and_exact():
    z = torch.full((2, K), -3e38)
    z[:, 0] = 3e38
    found = OBJECTIVE.statistics(z, batch_of([0, 1]))
    top = float(torch.tensor(3e38)) * 2
    np.testing.assert_allclose(found["phi"], [top, -top])
    np.testing.assert_allclose(found["loss"], [0.0, top])
    assert found["correct"].tolist() == [True, False]


def test_phi_tells_apart_what_float32_probabilities_call_certain():
    z = torch.zeros(2, K)
    z[:, 0] = torch.tensor([40.0, 50.0])
    assert (z.softmax(1)[:, 0] == 1).all()
    np.testing.assert_allclose(OBJECTIVE.statistics(z, batch_of([0, 0]))["phi"].diff(), 10.0)


def test_a_logit_that_is_not_finite_gives_a_statistic_that_is_not():
    found = OBJECTIVE.statistics(torch.full((1, K), torch.inf), batch_of([0]))
    assert not torch.isfinite(found["phi"]).any()
    assert not torch.isfinite(found["loss"]).any()


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_relabelling_is_uniform_over_the_other_classes():
    true = torch.full((4000,), 2)
    drawn = OBJECTIVE.relabel(true, generator())
    counts = torch.bincount(drawn, minlength=K)
    assert counts[2] == 0
    assert chisquare(counts[counts > 0]).pvalue > 0.01
    assert (counts > 0).sum() == K - 1
    assert torch.equal(drawn, OBJECTIVE.relabel(true, generator()))
    assert not torch.equal(drawn, OBJECTIVE.relabel(true, generator(1)))


def test_relabelling_never_draws_an_examples_own_target():
    true = torch.arange(2000) % K
    drawn = OBJECTIVE.relabel(true, generator())
    assert not (drawn == true).any()
    assert (OBJECTIVE.relabel(true, generator(), exclude_true=False) == true).any()


def test_relabelling_leaves_out_what_is_excluded_and_refuses_to_draw_from_nothing():
    true = torch.arange(2000) % K
    drawn = OBJECTIVE.relabel(true, generator(), exclude_true=False, excluded=torch.tensor([0, 3]))
    assert drawn.unique().tolist() == [1, 2, 4]
    with pytest.raises(AuditError, match="got all 5 excluded"):
        OBJECTIVE.relabel(true, generator(), excluded=torch.arange(K))


def test_samples_follow_the_models_answers():
    p = torch.tensor([0.5, 0.3, 0.15, 0.05, 0.0], dtype=torch.float64)
    of = Batch(torch.empty(0), torch.zeros(4000, dtype=torch.int64), torch.arange(4000))
    drawn = OBJECTIVE.sample(p.log().expand(4000, K), of, generator())
    counts = torch.bincount(drawn, minlength=K)
    assert counts[4] == 0
    assert chisquare(counts[:4], 4000 * p[:4]).pvalue > 0.01
