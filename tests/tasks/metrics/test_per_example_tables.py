"""Statistics of single examples: intervals that cover, calibrated discoveries, risk from base shadows."""

import numpy as np
import pytest
from scipy.stats import norm, rankdata

from tasks.attacks.lira import ULiRA
from tasks.errors import AuditError
from tasks.metrics.audit import (
    select_and_report,
)
from tasks.metrics.per_example import (
    accuracy_interval,
    auc_by_example,
    by_example,
    discoveries,
    example_risk,
)
from tasks.shadows.games import compare
from tasks.shadows.observations import Observations, RunBlock, State
from tasks.statistics.ranks import auc_error
from tests.support.shadow_simulation import make_layout, observe


def test_figures_of_the_document() -> None:
    """guide/games.md#intervals: SE(AUC = .5) = .044 at 64 and 128; 60 % at n = 256 has [.539, .662]."""
    error = auc_error(np.array(0.5), np.array(64), np.array(128))
    assert error == pytest.approx(0.044, abs=5e-4)
    low, high = accuracy_interval(np.array([154 / 256]), np.array([128]), np.array([128]))
    assert low[0] == pytest.approx(0.539, abs=0.001)
    assert high[0] == pytest.approx(0.662, abs=0.001)


@pytest.mark.parametrize(("shadows", "draws", "size"), [(64, 1, 80), (128, 2, 50)])
@pytest.mark.parametrize("shift", [0.0, 1.0, 2.0])
def test_intervals_cover_the_truth(shadows: int, draws: int, size: int, shift: float) -> None:
    """Truth: accuracy Phi(d / 2), AUC Phi(d / sqrt 2); draws of a shadow correlate with .5; 200 examples.

    95 % intervals must cover in at least 91 %: four standard errors of 200 repetitions would be 6 points.
    """
    layout = make_layout(shadows, 200, size, draws, seed=2)
    observed = observe(layout, np.random.default_rng(21), shift=shift, correlation=0.5)
    table = by_example(ULiRA().score(compare(observed, "G2")))
    accuracy, auc = norm.cdf(shift / 2), norm.cdf(shift / np.sqrt(2))
    assert np.mean((table.accuracy_low <= accuracy) & (accuracy <= table.accuracy_high)) >= 0.91
    assert table.accuracy.mean() == pytest.approx(accuracy, abs=0.02)
    assert table.auc.mean() == pytest.approx(auc, abs=0.02)


def test_ranking_across_folds_would_be_biased() -> None:
    """Why an example's AUC compares only within a fold: leave-one-out null AUC is .45 when ranked across."""
    game = compare(observe(make_layout(64, 300, 150), np.random.default_rng(22)), "G2")
    scores = ULiRA(folds=0).score(game)
    ranks = rankdata(np.where(scores.label >= 0, scores.score, np.inf), axis=0)
    positive, negative = (scores.label == 1).sum(0), (scores.label == 0).sum(0)
    across = ((ranks * (scores.label == 1)).sum(0) - positive * (positive + 1) / 2) / (positive * negative)
    assert across.mean() < 0.47
    assert auc_by_example(scores).mean() == pytest.approx(0.5, abs=0.02)


def test_the_best_threshold_in_sample_is_not_used() -> None:
    """Trap 3: the maximum over thresholds has null mean .545 at 64 and 128; the 1/2 rule has .5."""
    game = compare(observe(make_layout(256, 200, 50), np.random.default_rng(23)), "G2")
    phi, label = game.block(slice(0, 200))
    best = []
    for x in range(200):
        cuts = phi[label[:, x] >= 0, x]
        tpr = (phi[label[:, x] == 1, x][:, None] > cuts).mean(0)
        fpr = (phi[label[:, x] == 0, x][:, None] > cuts).mean(0)
        best.append(((tpr - fpr) / 2 + 0.5).max())
    assert np.mean(best) == pytest.approx(0.545, abs=0.01)
    assert by_example(ULiRA().score(game)).accuracy.mean() == pytest.approx(0.5, abs=0.01)


def test_benjamini_hochberg_by_hand() -> None:
    found = discoveries(np.array([0.03, 0.001, 0.2, 0.012]), rate=0.05)
    np.testing.assert_allclose(found.q_value, [0.04, 0.004, 0.2, 0.024])
    assert found.discovered.tolist() == [True, True, False, True]
    assert (found.tested, found.uncorrected) == (4, 3)
    assert found.expected_by_chance == pytest.approx(0.2)
    with pytest.raises(AuditError, match="rate"):
        discoveries(np.array([0.1]), rate=0)


def test_selected_examples_are_reported_by_other_shadows() -> None:
    """Trap 6: with nothing to find, the top tenth looks exposed where it was selected and .50 elsewhere."""
    observed = observe(make_layout(64, 400, 200), np.random.default_rng(26))
    halves = [ULiRA().score(compare(observed.of_half(h), "G2")) for h in (0, 1)]
    chosen = select_and_report(*halves, share=0.1)
    assert len(chosen.example_ids) == 40
    assert chosen.auc_selecting.mean() > 0.62
    assert chosen.mean_reported.value == pytest.approx(0.5, abs=0.05)
    low, high = chosen.mean_reported.interval(0.0, 1.0)
    assert low <= 0.5 <= high
    with pytest.raises(AuditError, match="different halves"):
        select_and_report(halves[0], halves[0], share=0.1)
    with pytest.raises(AuditError, match="share"):
        select_and_report(*halves, share=0.0)


def test_selection_keeps_examples_that_are_vulnerable() -> None:
    shift = np.where(np.arange(400) < 40, 2.0, 0.0)
    observed = observe(make_layout(64, 400, 200), np.random.default_rng(27), shift=shift)
    halves = [ULiRA().score(compare(observed.of_half(h), "G2")) for h in (0, 1)]
    chosen = select_and_report(*halves, share=0.1)
    assert (chosen.example_ids < 40).mean() > 0.8
    assert chosen.mean_reported.interval(0.0, 1.0)[0] > 0.7


def test_memorisation_is_the_difference_of_being_right() -> None:
    """Feldman's score by hand: 4 shadows, in on 0 and 2."""
    state = np.array([[1, 1], [0, 0], [1, 1], [0, 0]], dtype=np.int8)
    correct = np.array([[1, 1], [0, 1], [1, 1], [1, 1]], dtype=np.int8)
    blocks = [
        RunBlock(
            shadow=j,
            draw=0,
            state=state[j],
            phi=np.array([3.0, 2.0]) * state[j] + j * 0.1,
            correct=correct[j],
        )
        for j in range(4)
    ]
    observed = Observations.from_blocks(
        blocks, method="none", scope="s", family="f", example_ids=np.arange(2)
    )
    risk = example_risk(observed)
    np.testing.assert_allclose(risk.memorisation, [0.5, 0.0])
    spread = 2 * np.sqrt(0.02)
    np.testing.assert_allclose(risk.privacy_risk, [(3.0 - 0.1) / spread, (2.0 - 0.1) / spread], rtol=1e-5)


def test_risk_orders_examples_by_their_effect() -> None:
    effect = np.linspace(0, 4, 200)
    observed = observe(make_layout(64, 200, 100), np.random.default_rng(30), base=True, retained=effect)
    risk = example_risk(observed, of="confidence")
    assert np.corrcoef(rankdata(risk.privacy_risk), effect)[0, 1] > 0.95
    assert np.isin(State.NEVER, observed.state)
    with pytest.raises(AuditError, match="of='confidence'"):
        example_risk(observed)
