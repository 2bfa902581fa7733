import numpy as np
import pytest
import torch
from scipy.special import log_softmax, logsumexp
from torch import nn

from tasks.training.resident import ResidentData
from tasks.training.scoring import Outputs, score


def outputs(logits, labels=None):
    logits = np.asarray(logits, dtype=np.float32)
    labels = np.arange(len(logits)) % logits.shape[1] if labels is None else np.asarray(labels)
    return Outputs.of_logits(ids=np.arange(len(logits)), labels=labels, logits=logits)


LOGITS = np.random.default_rng(0).normal(0, 4, (30, 5))


def test_statistics_agree_with_scipy():
    out = outputs(LOGITS)
    rows = np.arange(30)
    expected = log_softmax(out.logits.astype(np.float64), axis=1)
    np.testing.assert_allclose(out.log_probabilities, expected, atol=1e-12)
    np.testing.assert_allclose(np.exp(out.log_probabilities).sum(axis=1), 1)
    np.testing.assert_allclose(out.loss, -expected[rows, out.labels], atol=1e-12)
    others = [
        logsumexp(np.delete(z, y)) for z, y in zip(out.logits.astype(np.float64), out.labels, strict=True)
    ]
    np.testing.assert_allclose(out.phi, out.logits[rows, out.labels] - np.array(others), atol=1e-6)
    assert np.array_equal(out.correct, out.logits.argmax(axis=1) == out.labels)


def test_phi_is_the_log_odds_where_that_is_computable():
    out = outputs(LOGITS)
    p = np.exp(out.log_probabilities)[np.arange(30), out.labels]
    np.testing.assert_allclose(out.phi, np.log(p / (1 - p)), atol=1e-6)


def test_extreme_logits_stay_finite():
    out = outputs([[3e4, 0, -3e4], [-3e4, 0, 3e4]], labels=[0, 0])
    assert np.isfinite(out.phi).all()
    assert np.isfinite(out.loss).all()
    assert out.phi.tolist() == [3e4, -6e4]


def test_rows_are_found_by_id():
    out = Outputs.of_logits(
        ids=np.array([9, 2, 5]), labels=np.array([0, 1, 2]), logits=np.eye(3, dtype=np.float32)
    )
    chosen = out.at(np.array([5, 9]))
    assert chosen.labels.tolist() == [2, 0]
    assert np.array_equal(chosen.logits, np.eye(3)[[2, 0]])
    assert len(chosen) == 2


class Probe(nn.Module):
    """Dropout and batch norm, so that a wrong mode shows."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(1)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(16, 3)

    def forward(self, images):
        return self.fc(self.drop(self.norm(images)).flatten(1))


@pytest.mark.parametrize("batch_size", [1, 4, 1024])
def test_scoring_runs_in_eval_mode_and_twice_gives_equal_bits(batch_size):
    """Trap 11 of guide/games.md: an augmented view, or dropout, would feed another phi into every score."""
    model = Probe()
    model.norm.eval()
    images = np.random.default_rng(0).random((11, 1, 4, 4), dtype=np.float32)
    data = ResidentData.put(images, np.arange(11) % 3, 3, torch.device("cpu"))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    subset = data.subset(np.array([7, 3, 10, 0, 1]))
    first, again = (score(model, subset, batch_size=batch_size) for _ in range(2))
    assert np.array_equal(first.logits, again.logits)
    assert first.ids.tolist() == [7, 3, 10, 0, 1]
    assert first.labels.tolist() == [1, 0, 1, 0, 1]
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert model.training
    assert not model.norm.training
    with torch.no_grad():
        expected = model.eval()(torch.from_numpy(images[[7, 3, 10, 0, 1]]))
    np.testing.assert_allclose(first.logits, expected.numpy(), atol=1e-6)
    assert first.logits.dtype == np.float32


@pytest.mark.parametrize("most", [1, 100, 1 << 20])
def test_answers_fetched_in_parts_are_those_of_one_copy(most, monkeypatch):
    generator = np.random.default_rng(3)
    images, labels = generator.random((23, 1, 4, 4), dtype=np.float32), generator.integers(0, 5, 23)
    subset = ResidentData.put(images, labels, 5, torch.device("cpu")).subset(np.arange(22, -1, -1))
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 5))
    whole = score(model, subset, batch_size=4)
    monkeypatch.setattr("tasks.training.scoring.MOST_BYTES", most)
    parts = score(model, subset, batch_size=4)
    for name in ("ids", "labels", "logits"):
        assert np.array_equal(getattr(whole, name), getattr(parts, name))
    assert whole.statistics.keys() == parts.statistics.keys()
    assert all(np.array_equal(whole.statistics[name], parts.statistics[name]) for name in whole.statistics)
