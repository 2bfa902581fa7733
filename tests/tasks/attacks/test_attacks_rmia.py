"""RMIA and its unlearning form against naive loops, ties, and the blind spot."""

import numpy as np
import pytest
from scipy.special import expit

from tasks.attacks.lira import ULiRA
from tasks.attacks.rmia import RMIA, URMIA
from tasks.errors import AuditError
from tasks.metrics.per_example import auc_by_example, balanced_accuracy
from tasks.shadows.games import Comparison, compare
from tests.support.shadow_simulation import make_layout, observe


def naive(game: Comparison, population: np.ndarray, *, mode: str, gamma: float, a: float) -> np.ndarray:
    """Pr_z over the full n x Z matrix, one run at a time, references from other pairs only."""
    phi, label = game.block(slice(0, len(game.example_ids)))
    p, z = expit(phi), expit(population)
    pair = game.shadow // 2
    result = np.zeros(label.shape)
    for run in range(len(pair)):
        others = pair != pair[run]
        for x in range(label.shape[1]):
            if label[run, x] < 0:
                continue
            never = p[others & (label[:, x] == 0), x].mean()
            member = p[others & (label[:, x] == 1), x].mean()
            expected_z = z[others].mean(0)
            if mode == "online":
                expected_x = (never + member) / 2
            else:
                expected_x = ((1 + a) * never + 1 - a) / 2
                expected_z = ((1 + a) * expected_z + 1 - a) / 2
            ratio = (p[run, x] / expected_x) / (z[run] / expected_z)
            result[run, x] = (ratio >= gamma).mean()
    return result


@pytest.mark.parametrize("mode", ["online", "offline"])
@pytest.mark.parametrize("gamma", [1.0, 2.0])
def test_scores_agree_with_the_full_matrix(mode: str, gamma: float) -> None:
    observed = observe(make_layout(12, 10, 5), np.random.default_rng(1), shift=1.0, tests=50)
    game = compare(observed, "G2")
    attack = URMIA(mode=mode, gamma=gamma, folds=0, balance=False, break_ties=False)  # type: ignore[arg-type]
    expected = naive(game, observed.phi[:, 10:].astype(float), mode=mode, gamma=gamma, a=0.3)
    np.testing.assert_allclose(attack.score(game).score, expected, atol=1e-6)


def test_ties_are_broken_without_changing_any_other_order() -> None:
    observed = observe(make_layout(32, 200, 100), np.random.default_rng(2), base=True, tests=8)
    game = compare(observed, "G0")
    plain, broken = (RMIA(break_ties=b).score(game).score for b in (False, True))
    assert len(np.unique(plain)) <= 9 < len(np.unique(broken)) / 100
    for run in range(4):
        order = np.argsort(broken[run], kind="stable")
        assert (np.diff(plain[run][order]) >= 0).all()
    scores = [auc_by_example(RMIA(break_ties=b).score(game)).mean() for b in (False, True)]
    assert scores[1] > scores[0]


def test_a_trained_example_is_found() -> None:
    game = compare(observe(make_layout(32, 200, 100), np.random.default_rng(3), base=True, tests=200), "G0")
    scores = RMIA().score(game)
    assert auc_by_example(scores).mean() > 0.9
    # no 1/2 rule: the threshold comes from the other half of the folds
    assert scores.threshold is None
    assert balanced_accuracy(scores).mean() > 0.8
    with pytest.raises(AuditError, match="no 1/2 rule"):
        _ = scores.decision


def test_over_unlearned_examples_score_as_non_members() -> None:
    """U-RMIA is monotone in confidence; the likelihood ratio of U-LiRA is not."""
    game = compare(observe(make_layout(32, 200, 100), np.random.default_rng(4), shift=-2.0, tests=200), "G2")
    assert auc_by_example(URMIA().score(game)).mean() < 0.3
    assert auc_by_example(ULiRA().score(game)).mean() > 0.8


def test_null_is_one_half() -> None:
    """400 examples, 32 shadows: four standard errors of .15 / sqrt(400)."""
    game = compare(observe(make_layout(32, 400, 200), np.random.default_rng(5), tests=100), "G2")
    assert auc_by_example(URMIA().score(game)).mean() == pytest.approx(0.5, abs=0.03)


def test_g1_takes_the_reference_of_each_side_from_its_own_models() -> None:
    """A global drop in confidence moves x and z alike, so the ratio to z hides it; U-LiRA in G1 does not."""
    layout, generator = make_layout(32, 200, 100), np.random.default_rng(6)
    unlearned = observe(layout, generator, offset=-2.0, tests=200)
    base = observe(layout, generator, base=True, tests=200)
    game = compare(unlearned, "G1", reference=base)
    relative = auc_by_example(URMIA(game="G1").score(game)).mean()
    absolute = auc_by_example(ULiRA(game="G1").score(game)).mean()
    assert abs(relative - 0.5) < 0.15 < absolute - 0.5


def test_a_population_is_required() -> None:
    game = compare(observe(make_layout(16, 40, 20), np.random.default_rng(0)), "G2")
    with pytest.raises(AuditError, match="population Z"):
        URMIA().score(game)


@pytest.mark.parametrize("values", [{"gamma": 0.0}, {"offline_a": 1.5}, {"folds": 1}])
def test_parameters_are_checked(values: dict[str, float]) -> None:
    with pytest.raises(AuditError):
        RMIA(**values)  # type: ignore[arg-type]
