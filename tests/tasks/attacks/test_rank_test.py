"""Examples told apart whatever the attack: false ones are few, and the test sees more than a fitted attack."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tasks.attacks.rank_test import RankTest
from tasks.attacks.views import ShadowView
from tasks.contracts.small_views import SETTINGS, SmallShadows
from tasks.errors import AuditError
from tasks.shadows.games import compare
from tasks.shadows.observations import State
from tests.benchmarks.false_discoveries import told_apart
from tests.support.shadow_simulation import make_layout, observe


@pytest.mark.parametrize("shadows", [32, 64])
def test_false_discoveries_stay_below_the_rate(shadows: int) -> None:
    """Traps 2 and 5: two draws of a shadow correlate with .5; 30 sweeps of 120 examples at q = .1.

    With nothing to find, a sweep claims anything in at most q of the cases (binomial test at 1 in 1,000).
    """
    nothing = told_apart(30, shadows=shadows, true=0.0, shift=0.0)
    assert stats.binomtest(round(30 * nothing.false_share), 30, 0.1, alternative="greater").pvalue > 0.001
    found = told_apart(15, shadows=shadows, true=0.2, shift=2.0)
    assert found.false_share <= 0.15
    assert found.power > 0.85


def test_a_change_of_spread_alone_is_seen() -> None:
    assert told_apart(5, shadows=64, true=0.5, shift=0.0, spread=3.0).power > 0.8


def test_draws_of_a_shadow_do_not_count_as_shadows() -> None:
    """Four draws that are nearly the same: as many observations, four times as many p-values below .05 otherwise."""
    layout = make_layout(32, 120, 12, 4, seed=4)
    low = [
        RankTest().tests(compare(observe(layout, np.random.default_rng(s), correlation=0.95), "G2")).p_value
        for s in range(8)
    ]
    share = float((np.concatenate(low) <= 0.05).mean())
    assert share <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / (8 * 120))


def test_g1_against_the_same_shadow_models_errs_on_the_safe_side() -> None:
    layout, generator = make_layout(32, 300, 150), np.random.default_rng(6)
    retrained = observe(layout, generator, method="retrained")
    tests = RankTest(game="G1").tests(
        compare(retrained, "G1", reference=retrained, reference_state=State.UNLEARNED)
    )
    assert tests.p_value.min() > 0.5


def test_rows_name_every_target_and_count_what_is_below_the_rate() -> None:
    attack = RankTest(fdr=0.2)
    view = ShadowView(attack, SmallShadows(canaries=False), name="rank_test", settings=SETTINGS)
    measured = attack.measure(view)
    columns = {str(block["statistic"][0]): block for block in measured.examples}
    assert set(columns) == {
        f"phi:{name}"
        for name in ("auc", "signed_auc", "p_value", "q_value", "shift_p_value", "spread_p_value")
    }
    auc = columns["phi:auc"]
    assert sorted(auc["example_id"]) == list(range(24))
    assert ((auc["score_low"] <= auc["score"]) & (auc["score"] <= auc["score_high"])).all()
    counts = {value.metric: value for value in measured.metrics}
    assert counts["examples_vulnerable"].value == (columns["phi:q_value"]["score"] <= 0.2).sum()
    assert counts["examples_significant"].value == (columns["phi:p_value"]["score"] <= 0.2).sum()
    assert (counts["examples_tested"].value, counts["examples_vulnerable"].n) == (24, 24)
    with pytest.raises(AuditError, match="fdr"):
        RankTest(fdr=0.0)
