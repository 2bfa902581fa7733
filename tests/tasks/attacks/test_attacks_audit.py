"""Epsilon bounds: the competition's with a confidence bound, and the one-run audit on canaries."""

import numpy as np
import pytest
from scipy.stats import binom

from tasks.attacks.example_epsilon import ExampleEpsilon
from tasks.attacks.one_run import OneRun, one_run_epsilon, one_run_p_value
from tasks.errors import AuditError
from tasks.metrics.example_epsilon import epsilon_metrics, forgetting_scores
from tasks.shadows.canaries import Canaries
from tasks.shadows.games import Comparison, compare, one_per_shadow
from tasks.shadows.layout import ShadowLayout, TargetPool
from tasks.shadows.observations import Observations, RunBlock, State
from tasks.statistics.epsilon import competition_epsilon, epsilon_ceiling, privacy_loss
from tests.support.shadow_simulation import make_layout, observe


def two_sided_game(
    unlearned: np.ndarray, retrained: np.ndarray, *, negative: State = State.UNLEARNED
) -> Comparison:
    """G1 with one fixed forget set: `N x E` values of unlearned and of retrained models."""
    shadows, examples = unlearned.shape
    sides = []
    for values, method in ((unlearned, "m"), (retrained, "retrained")):
        state = np.full(examples, State.UNLEARNED, dtype=np.int8)
        blocks = [RunBlock(shadow=j, draw=0, state=state, phi=values[j]) for j in range(shadows)]
        sides.append(
            Observations.from_blocks(
                blocks, method=method, scope="s", family="f", example_ids=np.arange(examples)
            )
        )
    return compare(sides[0], "G1", reference=sides[1], reference_state=negative)


@pytest.mark.parametrize(
    ("positives", "negatives", "ceiling"),
    [(64, 128, 3.50), (128, 128, 3.53), (512, 512, 4.93), (1024, 1024, 5.62)],
)
def test_ceilings_of_the_document(positives: int, negatives: int, ceiling: float) -> None:
    assert epsilon_ceiling(np.array(positives), np.array(negatives)) == pytest.approx(ceiling, abs=0.006)


def test_the_ceiling_of_one_observation_is_that_of_one() -> None:
    """Of one member nothing under .975 is refuted (Clopper-Pearson, 1 - .025), of 10,000 others 1 - .025^(1/10,000)."""
    missed, alarmed = 0.975, 1 - 0.025 ** (1 / 10_000)
    found = float(epsilon_ceiling(np.array(1), np.array(10_000)))
    assert found == pytest.approx(np.log((1 - missed - 1e-5) / alarmed), rel=1e-6)


def test_identical_models_fool_the_estimator_and_not_the_bound() -> None:
    """Trap 4: without a bound, N = 512 identical Gaussians give epsilon about 1.5 and F about .18-.20.

    100 examples for the estimate, whose median may differ by .2; 200 for the bound.
    """
    generator = np.random.default_rng(1)
    estimates = np.array([competition_epsilon(*generator.normal(size=(2, 512))) for _ in range(100)])
    assert np.median(estimates) == pytest.approx(1.55, abs=0.2)
    assert forgetting_scores(estimates).mean() == pytest.approx(0.19, abs=0.04)
    game = two_sided_game(generator.normal(size=(64, 200)), generator.normal(size=(64, 200)))
    result = ExampleEpsilon().estimate(game)
    assert np.median(result.empirical) > 1.2
    assert np.median(result.lower) == 0.0
    # each bound holds at 95 %: the null allows 5 % above 0, and four standard errors
    assert (result.lower > 0).mean() <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / 200)


def transcribed(unlearned: np.ndarray, retrained: np.ndarray, delta: float) -> float:
    """The competition's estimate, rule by rule as its report and released code describe it."""
    above = np.median(retrained) > np.median(unlearned)
    positive, negative = (retrained, unlearned) if above else (unlearned, retrained)
    if min(np.ptp(positive), np.ptp(negative)) / max(np.ptp(positive), np.ptp(negative)) < 0.01:
        return 50.0
    errors = []
    low, high = np.concatenate([positive, negative]).min(), np.concatenate([positive, negative]).max()
    for cut in np.linspace(low, high, int(np.ceil((high - low) * 100))):
        errors.append(((positive < cut).mean(), (negative >= cut).mean()))
    if np.ptp(positive) >= np.ptp(negative):
        positive, negative = negative, positive
    width = np.ptp(positive)
    for right in np.linspace(positive.min() + width - 2, positive.max() + 2, 400):
        left = np.linspace(right - width - 2, right - width + 2, 400)[:, None]
        inside = [(side >= left) & (side <= right) for side in (positive, negative)]
        errors += zip((~inside[0]).mean(1).tolist(), inside[1].mean(1).tolist(), strict=True)
    found = [50.0 for fnr, fpr in set(errors) if fnr == fpr == 0]
    for fnr, fpr in set(errors):
        if fnr > 0 and fpr > 0:
            found.append(np.log(max((1 - delta - fpr) / fnr, (1 - delta - fnr) / fpr, 1.0)))
    return min(max(found), 50.0)


@pytest.mark.parametrize(
    ("shift", "spread"), [(0.0, 1.0), (1.5, 1.0), (0.0, 0.15), (0.5, 3.0), (10.0, 1.0), (0.0, 0.004)]
)
def test_the_estimate_is_the_published_one(shift: float, spread: float) -> None:
    generator = np.random.default_rng(7)
    unlearned, retrained = generator.normal(shift, spread, 24), generator.normal(0, 1, 24)
    found = competition_epsilon(unlearned, retrained, delta=1e-3)
    assert found == pytest.approx(transcribed(unlearned, retrained, 1e-3), abs=1e-9)
    assert competition_epsilon(retrained, unlearned, delta=1e-3) == found
    assert (found == 50) == (shift == 10 or spread < 0.01)


def test_equal_samples_of_one_value_have_no_epsilon() -> None:
    assert competition_epsilon(np.full(8, 2.0), np.full(8, 2.0)) == 0.0


@pytest.mark.parametrize("epsilon", [0.5, 1.5, 3.0])
def test_bounds_stay_below_a_known_epsilon(epsilon: float) -> None:
    """Randomised response: the statistic is a bit that is right with e^eps / (1 + e^eps); 300 examples.

    At 95 % confidence at most 5 % may exceed the truth, within four standard errors.
    """
    generator = np.random.default_rng(2)
    right = np.exp(epsilon) / (1 + np.exp(epsilon))
    values = [
        (generator.random((256, 300)) < rate) + 0.01 * generator.normal(size=(256, 300))
        for rate in (right, 1 - right)
    ]
    result = ExampleEpsilon().estimate(two_sided_game(*values))
    assert (result.lower > epsilon).mean() <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / 300)
    if epsilon >= 1.5:
        assert result.lower.mean() > epsilon / 3
    assert (result.lower <= result.ceiling).all()


def test_without_intervals_only_single_thresholds_are_tried() -> None:
    """Low, middle, high: a tenth, 6 and 3 of the unlearned; a tenth, 2 and 7 of the retrained; cuts lie between.

    The best threshold has odds of 7 to 3, the interval of the middle of 6 to 2.
    """
    shadows = 2000
    tenths = np.array([[0] + 6 * [1] + 3 * [2], [0] + 2 * [1] + 7 * [2]])[:, np.arange(shadows) // 4 % 10]
    values = tenths + 0.01 * np.random.default_rng(0).normal(size=(2, shadows))
    game = two_sided_game(*values[:, :, None])
    single, both = (ExampleEpsilon(cuts=5, two_sided=two).estimate(game).lower[0] for two in (False, True))
    assert 0 < single < np.log(7 / 3) < both < np.log(6 / 2)


def test_perfect_separation_reaches_the_ceiling() -> None:
    generator = np.random.default_rng(3)
    result = ExampleEpsilon().estimate(
        two_sided_game(10 + generator.random((64, 5)), generator.random((64, 5)))
    )
    np.testing.assert_allclose(result.lower, result.ceiling)
    np.testing.assert_allclose(result.ceiling, epsilon_ceiling(result.positives, result.negatives))
    assert (result.positives == 32).all()
    assert (result.empirical == 50).all()


def test_intervals_find_what_thresholds_miss() -> None:
    generator = np.random.default_rng(4)
    game = two_sided_game(
        generator.choice([-3, 3], (256, 20)) + generator.normal(size=(256, 20)) * 0.3,
        generator.normal(size=(256, 20)) * 0.3,
    )
    both, single = (ExampleEpsilon(two_sided=t).estimate(game).lower.mean() for t in (True, False))
    # one tail misses half of the members: at most log(.5 / FPR+), .7 below the ceiling
    assert both > single + 0.3


def test_a_deterministic_unlearner_gets_no_infinite_claim() -> None:
    """Trap 21: zero variance within an origin; here each shadow is one origin and the bound stays finite."""
    generator = np.random.default_rng(5)
    result = ExampleEpsilon().estimate(two_sided_game(np.full((64, 4), 2.0), generator.normal(size=(64, 4))))
    assert np.isfinite(result.lower).all()
    assert (result.lower <= result.ceiling).all()


def test_one_observation_of_each_shadow_is_counted() -> None:
    base = np.array([0, 0, 1, 1])
    label = np.array([[1, 0], [1, 0], [0, 1], [-1, 1]], dtype=np.int8)
    np.testing.assert_array_equal(one_per_shadow(label, base), [[1, 0], [-1, -1], [0, 1], [-1, -1]])


def test_privacy_loss_is_the_larger_direction() -> None:
    value = privacy_loss(np.array([0.1, 0.2]), np.array([0.2, 0.1]), 0.0)
    np.testing.assert_allclose(value, np.log([0.8 / 0.1, 0.8 / 0.1]))


def test_forgetting_quality_counts_bins() -> None:
    found = forgetting_scores(np.array([0.0, 0.49, 0.5, 6.49, 6.5, 50.0]))
    assert found.tolist() == [1.0, 1.0, 0.5, 2.0 / 2**13, 2.0 / 2**14, 0.0]


def test_the_reported_example_was_chosen_on_the_other_half() -> None:
    """Trap 6: over 40 null repetitions the selected example's bound is above 0 in at most 5 % + 4 SE."""
    above = 0
    for seed in range(40):
        generator = np.random.default_rng(seed)
        result = ExampleEpsilon(cuts=17).estimate(
            two_sided_game(generator.normal(size=(64, 20)), generator.normal(size=(64, 20)))
        )
        rows = epsilon_metrics(result)
        assert rows[0].metric == "epsilon_lower_bound"
        above += rows[0].value > 0
    assert above / 40 <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / 40)


def test_games_and_parameters_are_checked() -> None:
    game = compare(observe(make_layout(16, 40, 10), np.random.default_rng(0)), "G3")
    with pytest.raises(AuditError, match="G1 or G2, got G3"):
        ExampleEpsilon().estimate(game)
    with pytest.raises(AuditError, match="cuts: expected an odd number, got 64; nearest 65"):
        ExampleEpsilon(cuts=64)
    with pytest.raises(AuditError, match="nearest 1"):
        ExampleEpsilon(cuts=0)
    with pytest.raises(AuditError, match="guess_share"):
        OneRun(guess_share=0.7)


def test_one_run_p_value_without_delta_is_a_binomial_tail() -> None:
    value = one_run_p_value(1.0, guesses=100, correct=80, canaries=1000, delta=0.0)
    assert value == pytest.approx(binom.sf(79, 100, np.e / (1 + np.e)))


def test_delta_only_raises_the_p_value() -> None:
    values = [
        one_run_p_value(1.0, guesses=100, correct=85, canaries=1000, delta=d) for d in (0.0, 1e-6, 1e-4, 1e-2)
    ]
    assert values == sorted(values)
    assert values[-1] > values[0]


def test_one_run_bound_inverts_the_p_value() -> None:
    bound = one_run_epsilon(guesses=200, correct=180, canaries=1000)
    assert one_run_p_value(bound, guesses=200, correct=180, canaries=1000, delta=0) == pytest.approx(
        0.05, rel=1e-3
    )
    assert one_run_epsilon(guesses=200, correct=100, canaries=1000) == 0.0


@pytest.mark.parametrize("epsilon", [0.5, 2.0])
def test_one_run_covers_randomised_response(epsilon: float) -> None:
    """2,000 models whose every guess is right with e^eps / (1 + e^eps): at most 5 % may exceed the truth."""
    generator = np.random.default_rng(6)
    correct = generator.binomial(200, np.exp(epsilon) / (1 + np.exp(epsilon)), 2000)
    bounds = {c: one_run_epsilon(guesses=200, correct=int(c), canaries=500) for c in np.unique(correct)}
    above = np.mean([bounds[c] > epsilon for c in correct])
    assert above <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / 2000)


def canary_layout(inclusion: str) -> ShadowLayout:
    ids = np.arange(300)
    canaries = Canaries(ids=ids[:100], labels=ids[:100] % 3, inclusion=inclusion)  # type: ignore[arg-type]
    pool = TargetPool(name="t", ids=ids[:100], forget_size=0)
    return ShadowLayout(
        train_ids=ids, labels=ids % 3, num_shadows=16, pools=(pool,), canaries=canaries, seed=1
    )


@pytest.mark.parametrize("game", ["G0", "G2"])
@pytest.mark.parametrize(("effect", "low", "high"), [(0.0, 0.0, 0.6), (8.0, 1.5, 3.0)])
def test_one_run_audit_of_canaries(game: str, effect: float, low: float, high: float) -> None:
    layout = canary_layout("independent")
    observed = observe(layout, np.random.default_rng(7), shift=effect, retained=effect, base=game == "G0")
    attack = OneRun(game=game)  # type: ignore[arg-type]
    bounds = attack.estimate(compare(observed, game), layout.canaries)  # type: ignore[arg-type]
    assert len(bounds) == 16
    assert low <= np.mean([b.epsilon for b in bounds]) <= high
    assert all(b.epsilon <= b.ceiling and b.guesses == 40 for b in bounds)


def test_one_run_refuses_balanced_inclusion() -> None:
    layout = canary_layout("balanced")
    game = compare(observe(layout, np.random.default_rng(8), base=True), "G0")
    with pytest.raises(AuditError, match="independent inclusion"):
        OneRun().estimate(game, layout.canaries)  # type: ignore[arg-type]
