"""Harm to retained examples: nil where nothing happened, seen where it did, and paired with retraining."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from tasks.attacks.kernel_density import KernelDensity
from tasks.attacks.lira import ULiRA
from tasks.attacks.rmia import URMIA
from tasks.errors import AuditError
from tasks.metrics.harm import retain_harm
from tasks.shadows.games import compare
from tests.support.shadow_simulation import make_layout, observe

ATTACKS = [
    ULiRA(game="G3"),
    ULiRA(game="G3", mode="offline", variance="fixed", folds=4, balance=False),
    ULiRA(game="G3", variance="per_example", folds=0),
    URMIA(game="G3", mode="offline"),
    KernelDensity(game="G3", bandwidth=0),
]


@pytest.mark.parametrize("attack", ATTACKS, ids=repr)
def test_retain_harm_is_nil_where_nothing_happened_and_found_where_it_did(attack: ULiRA) -> None:
    """Trap 5, under any attack and options: a quarter of the member targets is unlearned in each of two draws.

    With true AUCs of Phi(d / sqrt 2) the change is known; attackers that learn from 24 shadows miss some of the weak
    signal before and less of the strong one after.
    """
    layout, generator = make_layout(96, 100, 12, draws=2), np.random.default_rng(28)
    base = observe(layout, generator, base=True, retained=0.8, method="none", tests=50)
    same, worse, again = (
        compare(observe(layout, generator, retained=level, tests=50), "G3") for level in (0.8, 1.8, 0.8)
    )
    before = compare(observe(layout, generator, retained=0.8, tests=50).before(base), "G3")
    nothing = retain_harm(attack.score, before, same)
    assert nothing.ci_low is not None
    assert nothing.ci_high is not None
    assert nothing.ci_low <= 0.0 <= nothing.ci_high
    assert abs(nothing.value) < 0.03
    found = retain_harm(attack.score, before, worse, again)
    truth = norm.cdf(1.8 / np.sqrt(2)) - norm.cdf(0.8 / np.sqrt(2))
    assert found.ci_low is not None
    assert found.ci_low > 0.5 * truth
    assert 0.7 * truth < found.value < 1.3 * truth
    assert found.difference == pytest.approx(found.value - retain_harm(attack.score, before, again).value)


def test_what_before_and_after_share_is_no_part_of_the_error() -> None:
    layout, generator = make_layout(32, 60, 10, draws=2), np.random.default_rng(3)
    base = observe(layout, generator, base=True, retained=0.8, method="none")
    after = observe(layout, generator, retained=0.8)
    before = after.before(base)
    moved = replace(before, phi=before.phi + 0.1 * after.phi)
    score = ULiRA(game="G3").score
    paired = retain_harm(score, compare(before, "G3"), compare(moved, "G3"))
    alone = retain_harm(score, compare(before, "G3"), compare(after, "G3"))
    widths = [row.ci_high - row.ci_low for row in (paired, alone)]  # type: ignore[operator]
    assert widths[0] < 0.6 * widths[1]
    still = retain_harm(score, compare(before, "G3"), compare(before, "G3"))
    assert (still.value, still.ci_low, still.ci_high) == (0.0, 0.0, 0.0)


def test_other_games_and_other_shadow_models_are_refused() -> None:
    observed = observe(make_layout(16, 40, 10), np.random.default_rng(29))
    game, score = compare(observed, "G3"), ULiRA(game="G3").score
    with pytest.raises(AuditError, match="expected game G3, got G2, G3"):
        retain_harm(score, compare(observed, "G2"), game)
    with pytest.raises(AuditError, match="the same shadow models"):
        retain_harm(score, compare(observed.of_half(0), "G3"), game)


def test_before_is_the_same_runs_in_the_same_states() -> None:
    layout, generator = make_layout(18, 40, 5, draws=2), np.random.default_rng(32)
    base, after = observe(layout, generator, base=True), observe(layout, generator)
    before = after.before(base)
    np.testing.assert_array_equal(before.state, after.state)
    np.testing.assert_array_equal(before.phi, base.phi[after.shadow])
    assert len(after.before(base.of_half(0)).shadow) == 2 * len(base.of_half(0).shadow)
    with pytest.raises(AuditError, match="the examples of the base models"):
        after.before(base.of_examples(after.example_ids[:10]))
