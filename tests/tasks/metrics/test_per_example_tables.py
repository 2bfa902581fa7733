"""Statistics of single examples: intervals that cover, calibrated discoveries, risk from base shadows."""

import numpy as np
import pytest
from scipy.stats import norm, rankdata

from tasks.attacks.kernel_density import KernelDensity
from tasks.attacks.lira import LiRA, ULiRA
from tasks.attacks.rmia import URMIA
from tasks.errors import AuditError
from tasks.metrics.audit import (
    calibrated_discoveries,
    discovery_metrics,
    select_and_report,
)
from tasks.metrics.harm import harm_games, retain_harm
from tasks.metrics.pair_bootstrap import Estimate
from tasks.metrics.per_example import (
    accuracy_interval,
    auc_by_example,
    by_example,
    discoveries,
    example_risk,
    hanley_mcneil,
)
from tasks.shadows.games import compare
from tasks.shadows.layout import ShadowLayout
from tasks.shadows.observations import Observations, RunBlock, State
from tests.support.shadow_simulation import make_layout, observe


def test_figures_of_the_document() -> None:
    """SE(AUC = .5) = .044 at 64 and 128; 60 % at n = 256 has [.539, .662]."""
    error = hanley_mcneil(np.array(0.5), np.array(64), np.array(128))
    assert error == pytest.approx(0.044, abs=5e-4)
    low, high = accuracy_interval(np.array([154 / 256]), np.array([128]), np.array([128]))
    assert low[0] == pytest.approx(0.539, abs=0.001)
    assert high[0] == pytest.approx(0.662, abs=0.001)


@pytest.mark.parametrize(("shadows", "draws", "size"), [(64, 1, 80), (128, 2, 50)])
@pytest.mark.parametrize("shift", [0.0, 1.0, 2.0])
def test_intervals_cover_the_truth(shadows: int, draws: int, size: int, shift: float) -> None:
    """Truth: accuracy Phi(d / 2), AUC Phi(d / sqrt 2); draws of a shadow correlate with .5; 200 examples.

    95 % intervals must cover in at least 91 %: under the null the fitted direction is itself noise, and
    four standard errors of 200 repetitions would be 6 points.
    """
    layout = make_layout(shadows, 200, size, draws, seed=2)
    observed = observe(layout, np.random.default_rng(21), shift=shift, correlation=0.5)
    table = by_example(ULiRA().score(compare(observed, "G2")))
    accuracy, auc = norm.cdf(shift / 2), norm.cdf(shift / np.sqrt(2))
    assert np.mean((table.accuracy_low <= accuracy) & (accuracy <= table.accuracy_high)) >= 0.91
    assert np.mean((table.auc_low <= auc) & (auc <= table.auc_high)) >= 0.91
    assert table.accuracy.mean() == pytest.approx(accuracy, abs=0.02)
    assert table.auc.mean() == pytest.approx(auc, abs=0.02)


def test_a_weak_signal_is_covered_less_often_than_stated() -> None:
    """d = .3, AUC .58: the docstring owns to .80 to .85; 200 examples, so three standard errors are .09."""
    observed = observe(make_layout(64, 200, 100), np.random.default_rng(24), shift=0.3)
    table = by_example(ULiRA().score(compare(observed, "G2")))
    auc = norm.cdf(0.3 / np.sqrt(2))
    assert 0.71 <= np.mean((table.auc_low <= auc) & (auc <= table.auc_high)) <= 0.94


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


def test_discoveries_are_calibrated_and_find_what_is_there() -> None:
    """Trap 5: 300 examples; null p-values uniform within four standard errors; then 45 real ones."""
    layout = make_layout(64, 300, 150)
    null = compare(observe(layout, np.random.default_rng(24)), "G2")
    result = calibrated_discoveries(ULiRA(), null, repeats=6)
    for level in (0.05, 0.2):
        share = (result.p_value <= level).mean()
        assert share == pytest.approx(level, abs=4 * np.sqrt(level * (1 - level) / 300))
    assert result.found.discovered.sum() <= 3
    shift = np.where(np.arange(300) < 45, 2.0, 0.0)
    real = compare(observe(layout, np.random.default_rng(25), shift=shift), "G2")
    found = calibrated_discoveries(ULiRA(), real, repeats=6).found.discovered
    assert found[:45].sum() >= 40
    assert found[45:].sum() <= 8


@pytest.mark.parametrize("game", ["G1", "G2"])
@pytest.mark.parametrize(("shadows", "draws", "size"), [(32, 2, 24), (32, 4, 12)])
def test_false_discoveries_stay_below_the_rate(game: str, shadows: int, draws: int, size: int) -> None:
    """Traps 2 and 5: draws of a shadow correlate with .9; 25 sweeps of 96 examples at q = .1.

    With nothing to find, a sweep claims anything in at most q of the cases: 25 sweeps give at most 7 at 99 %
    (binomial). With 24 real examples, the mean share of false claims is at most q plus .04, two standard
    errors of 25 sweeps.
    """
    layout = make_layout(shadows, 96, size, draws, seed=4)
    claimed, false_share, found = 0, [], []
    for repeat in range(25):
        for real in (0, 24):
            generator = np.random.default_rng([31, repeat, real])
            shift = np.where(np.arange(96) < real, 2.5, 0.0)
            unlearned = observe(layout, generator, shift=shift, correlation=0.9)
            retrained = observe(layout, generator, correlation=0.9, method="retrained")
            comparison = (
                compare(unlearned, "G2")
                if game == "G2"
                else compare(unlearned, "G1", reference=retrained, reference_state=State.UNLEARNED)
            )
            result = calibrated_discoveries(ULiRA(game=game), comparison, repeats=10, rate=0.1).found
            if real == 0:
                claimed += bool(result.discovered.any())
            else:
                false_share.append(result.discovered[real:].sum() / max(result.discovered.sum(), 1))
                found.append(result.discovered[:real].mean())
    assert claimed <= 7
    assert np.mean(false_share) <= 0.1 + 0.04
    assert np.mean(found) > 0.5


def test_discoveries_are_counted_with_what_chance_would_give() -> None:
    layout = make_layout(32, 60, 30)
    shift = np.where(np.arange(60) < 20, 2.5, 0.0)
    comparison = compare(observe(layout, np.random.default_rng(33), shift=shift), "G2")
    scores = ULiRA().score(comparison)
    result = calibrated_discoveries(ULiRA(), comparison, rate=0.1)
    rows = {row.metric: row for row in discovery_metrics(result, scores)}
    assert set(rows) == {"examples_vulnerable", "examples_significant"}
    assert rows["examples_vulnerable"].value == (result.found.q_value <= 0.1).sum() >= 15
    assert rows["examples_significant"].value == (result.p_value <= 0.1).sum()
    assert {(r.n, r.param, r.variant, r.split) for r in rows.values()} == {
        (60, 0.1, "u_lira_online", "forget")
    }


def test_selected_examples_are_reported_by_other_shadows() -> None:
    """Trap 6: with nothing to find, the top tenth looks exposed where it was selected and .50 elsewhere."""
    observed = observe(make_layout(64, 400, 200), np.random.default_rng(26))
    halves = [ULiRA().score(compare(observed.of_half(h), "G2")) for h in (0, 1)]
    chosen = select_and_report(*halves, share=0.1, repeats=50)
    assert len(chosen.example_ids) == 40
    assert chosen.auc_selecting.mean() > 0.62
    assert chosen.mean_reported.value == pytest.approx(0.5, abs=0.05)
    assert chosen.mean_reported.low <= 0.5 <= chosen.mean_reported.high
    with pytest.raises(AuditError, match="different halves"):
        select_and_report(halves[0], halves[0], share=0.1)
    with pytest.raises(AuditError, match="share"):
        select_and_report(*halves, share=0.0)


def test_selection_keeps_examples_that_are_vulnerable() -> None:
    shift = np.where(np.arange(400) < 40, 2.0, 0.0)
    observed = observe(make_layout(64, 400, 200), np.random.default_rng(27), shift=shift)
    halves = [ULiRA().score(compare(observed.of_half(h), "G2")) for h in (0, 1)]
    chosen = select_and_report(*halves, share=0.1, repeats=50)
    assert (chosen.example_ids < 40).mean() > 0.8
    assert chosen.mean_reported.low > 0.7


HARM_ATTACKS = [
    ULiRA(game="G3"),
    ULiRA(game="G3", mode="offline", variance="fixed", folds=4, balance=False),
    ULiRA(game="G3", variance="per_example", folds=0),
    URMIA(game="G3", mode="offline"),
    KernelDensity(game="G3", bandwidth=0),
]


def harmed(layout: ShadowLayout, seed: int, *, before: float, after: float, **more: float) -> tuple:
    generator = np.random.default_rng(seed)
    base = observe(layout, generator, base=True, retained=before, method="none", tests=50, **more)
    return harm_games(observe(layout, generator, retained=after, tests=50, **more), base)


def holds(estimate: Estimate, truth: float) -> bool:
    assert estimate.low <= estimate.value <= estimate.high
    return estimate.low <= truth <= estimate.high


@pytest.mark.parametrize("attack", HARM_ATTACKS, ids=repr)
def test_retain_harm_is_nil_where_nothing_happened_and_found_where_it_did(attack: ULiRA) -> None:
    """Trap 5: half of the examples "got worse" when nothing happened, under any attack and options.

    A quarter of the member targets is unlearned in each of two draws, so H1 rests on fewer shadows than in G0.
    With true AUCs of Phi(d / sqrt 2) the change is known; attackers that learn from 24 shadows miss some of the
    weak signal before and less of the strong one after.
    """
    layout = make_layout(96, 200, 25, draws=2)
    nothing = retain_harm(attack.score, harmed(layout, 28, before=1.0, after=1.0), repeats=60)
    assert holds(nothing.share_worse, 0.5)
    assert holds(nothing.mean_change, 0.0)
    assert abs(nothing.mean_change.value) < 0.03
    worse = retain_harm(attack.score, harmed(layout, 29, before=0.8, after=1.8), repeats=60)
    truth = norm.cdf(1.8 / np.sqrt(2)) - norm.cdf(0.8 / np.sqrt(2))
    assert worse.share_worse.low > 0.7
    assert 0.7 * truth < worse.mean_change.value < 1.3 * truth


@pytest.mark.parametrize(
    "attack", [ULiRA(game="G3", mode="offline"), URMIA(game="G3")], ids=lambda attack: type(attack).__name__
)
def test_default_lira_before_would_mistake_its_options_for_harm(attack: ULiRA) -> None:
    """Members vary less than strangers and nothing happens: only the choice of the attack can differ.

    The mismatch (G0 by default LiRA on one half, G3 by this attack on the other) reports a change; the same
    attack on both reports none.
    """
    layout, generator = make_layout(96, 200, 25, draws=2), np.random.default_rng(31)
    base = observe(layout, generator, base=True, retained=0.7, spread=0.3, method="none", tests=50)
    after = observe(layout, generator, retained=0.7, spread=0.3, tests=50)
    mismatched = (
        auc_by_example(attack.score(compare(after.of_half(1), "G3"))).mean()
        - auc_by_example(LiRA().score(compare(base.of_half(0), "G0"))).mean()
    )
    matched = retain_harm(attack.score, harm_games(after, base), repeats=60)
    assert holds(matched.mean_change, 0.0)
    assert abs(mismatched) > 3 * abs(matched.mean_change.value)
    assert not matched.mean_change.low <= mismatched <= matched.mean_change.high


def test_harm_games_differ_in_nothing_but_the_statistic() -> None:
    layout = make_layout(18, 40, 5, draws=2)
    generator = np.random.default_rng(32)
    base, after = observe(layout, generator, base=True), observe(layout, generator)
    first, second = harm_games(after, base)
    assert (first.game, second.game) == ("G3", "G3")
    assert len(np.unique(first.base // 2)) == len(np.unique(second.base // 2)) == 4  # of nine pairs
    before = after.before(base)
    np.testing.assert_array_equal(before.state, after.state)
    np.testing.assert_array_equal(before.phi, base.phi[after.base])
    assert len(after.before(base.of_half(0)).base) == 2 * len(base.of_half(0).base)
    with pytest.raises(AuditError, match="the examples of the base models"):
        after.before(base.of_examples(after.example_ids[:10]))


def test_retain_harm_refuses_shared_shadows_and_other_games() -> None:
    layout, generator = make_layout(16, 40, 10), np.random.default_rng(29)
    observed = observe(layout, generator)
    game = compare(observed, "G3")
    with pytest.raises(AuditError, match="different halves"):
        retain_harm(ULiRA(game="G3").score, (game, game))
    with pytest.raises(AuditError, match="expected game G3, got G2, G3"):
        retain_harm(ULiRA(game="G3").score, (compare(observed, "G2"), game))


def test_memorisation_is_the_difference_of_being_right() -> None:
    """Feldman's score by hand: 4 shadows, in on 0 and 2."""
    state = np.array([[1, 1], [0, 0], [1, 1], [0, 0]], dtype=np.int8)
    correct = np.array([[1, 1], [0, 1], [1, 1], [1, 1]], dtype=np.int8)
    blocks = [
        RunBlock(
            base=j, draw=0, state=state[j], phi=np.array([3.0, 2.0]) * state[j] + j * 0.1, correct=correct[j]
        )
        for j in range(4)
    ]
    observed = Observations.from_blocks(
        blocks, method="none", scope="s", family="f", example_ids=np.arange(2)
    )
    risk = example_risk(observed)
    np.testing.assert_allclose(risk.memorisation, [0.5, 0.0])
    np.testing.assert_allclose(risk.memorisation_error, [np.sqrt(0.5 / 2), 0.0])
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
