"""LiRA, U-LiRA and the kernel density: against naive loops, against the truth, and under the null."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import norm

from tasks.attacks.kernel_density import KernelDensity
from tasks.attacks.lira import LiRA, ULiRA
from tasks.contracts.small_views import small_view
from tasks.errors import AuditError
from tasks.metrics.per_example import auc_by_example, balanced_accuracy
from tasks.metrics.two_way import pooled_auc
from tasks.shadows.games import Comparison, PerExampleScores, compare
from tasks.shadows.moments import LeftOut, PooledVariance, balancing_drop, leave_one_out
from tasks.shadows.observations import State
from tests.support.shadow_simulation import make_layout, observe, swapped

Score = Callable[[Comparison], PerExampleScores]


def pooled(scores: PerExampleScores) -> float:
    return pooled_auc(scores).value


def naive_spread(values: np.ndarray, bases: np.ndarray) -> tuple[float, int]:
    shadows = len(set(bases.tolist()))
    return float(((values - values.mean()) ** 2).sum() / (len(values) * (1 - 1 / shadows))), shadows


def naive(comparison: Comparison, variance: str, mode: str, prior: float = 8.0) -> np.ndarray:
    """Explicit loops over runs and examples; every fit sees only the other pairs."""
    phi, label = comparison.block(slice(0, len(comparison.example_ids)))
    pair, runs, examples = comparison.shadow // 2, *label.shape
    pool = np.zeros((runs, 2))
    for run in range(runs):
        for side in (0, 1):
            scatter = freedom = 0.0
            for x in range(examples):
                rows = (label[:, x] == side) & (pair != pair[run])
                spread, shadows = naive_spread(phi[rows, x], comparison.shadow[rows])
                scatter, freedom = scatter + spread * (shadows - 1), freedom + shadows - 1
            pool[run, side] = scatter / freedom
    result = np.zeros(label.shape)
    for run in range(runs):
        for x in range(examples):
            logs = []
            for side in (0, 1):
                rows = (label[:, x] == side) & (pair != pair[run])
                spread, shadows = naive_spread(phi[rows, x], comparison.shadow[rows])
                chosen = {
                    "per_example": max(spread, 1e-3 * pool[run, side]),
                    "shrunk": ((shadows - 1) * spread + prior * pool[run, side]) / (shadows - 1 + prior),
                    "fixed": pool[run].mean(),
                }[variance]
                model = norm(phi[rows, x].mean(), np.sqrt(chosen))
                logs.append(model.logpdf(phi[run, x]))
                if side == 0 and mode == "offline":
                    result[run, x] = norm.isf(model.sf(phi[run, x]))
            if mode == "online":
                result[run, x] = logs[1] - logs[0]
    return np.where(label >= 0, -result if mode == "offline" else result, 0.0)


@pytest.mark.parametrize("draws", [1, 2])
@pytest.mark.parametrize("variance", ["shrunk", "per_example", "fixed"])
@pytest.mark.parametrize("mode", ["online", "offline"])
def test_scores_agree_with_explicit_loops(draws: int, variance: str, mode: str) -> None:
    layout = make_layout(12, 8, 4 // draws, draws)
    game = compare(observe(layout, np.random.default_rng(4), shift=1.0, correlation=0.4), "G2")
    attack = ULiRA(variance=variance, mode=mode, folds=0, balance=False, prior_weight=8.0)  # type: ignore[arg-type]
    expected = naive(game, variance, mode)
    sign = -1 if mode == "offline" else 1
    np.testing.assert_allclose(attack.score(game).score, sign * expected, rtol=2e-4, atol=2e-4)


def test_kernel_density_agrees_with_explicit_loops() -> None:
    game = compare(observe(make_layout(12, 8, 4), np.random.default_rng(4), shift=1.0), "G2")
    phi, label = game.block(slice(0, 8))
    pair = game.shadow // 2
    scores = KernelDensity(folds=0).score(game).score
    for run in range(12):
        for x in range(8):
            if label[run, x] < 0:
                continue
            p0, p1 = (
                norm.pdf(phi[run, x] - phi[(label[:, x] == side) & (pair != pair[run]), x]).mean()
                for side in (0, 1)
            )
            assert scores[run, x] == pytest.approx(np.log(p1) - np.log(p0), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("bandwidth", [3.0, 0.05])
def test_kernels_far_apart_keep_their_odds(bandwidth: float) -> None:
    """Sums of kernels that underflow are formed on the log scale: no tie among the farthest."""
    layout, generator = make_layout(12, 8, 4), np.random.default_rng(51)
    game = compare(observe(layout, generator, shift=40.0), "G2").cross_fitted(0)
    phi, label = game.block(slice(0, 8))
    scores = KernelDensity(folds=0, bandwidth=bandwidth).score(game).score
    for run, x in zip(*np.nonzero(label >= 0), strict=True):
        logs = [
            norm.logpdf(phi[run, x], phi[(label[:, x] == side) & (game.fold != game.fold[run]), x], bandwidth)
            for side in (0, 1)
        ]
        p0, p1 = (np.logaddexp.reduce(values) - np.log(len(values)) for values in logs)
        assert scores[run, x] == pytest.approx(p1 - p0, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize(
    ("attack", "split"),
    [
        (LiRA(), "all"),
        (ULiRA(game="G1"), "forget"),
        (ULiRA(game="G2"), "forget"),
        (ULiRA(game="G3"), "retain"),
    ],
)
def test_rows_of_examples_stand_in_the_split_of_their_game(attack: LiRA | ULiRA, split: str) -> None:
    blocks = attack.measure(small_view(attack)).examples
    assert {name for block in blocks for name in block["split"].tolist()} == {split}


@pytest.mark.parametrize(
    "attack", [ULiRA(), ULiRA(folds=0), KernelDensity()], ids=["folds", "pairs", "density"]
)
@pytest.mark.parametrize("shadows", [8, 16, 64])
def test_swapped_labels_give_one_half(attack: ULiRA | KernelDensity, shadows: int) -> None:
    """Trap 1: scoring the fitted shadows gives .780/.586/.543; cross-fitting gives .50 at any number.

    Strong signal, labels swapped within pairs. 600 examples; tolerance 4 standard errors of independent
    examples, each with an AUC spread below .3 / sqrt(shadows / 8).
    """
    game = compare(observe(make_layout(shadows, 600, 300), np.random.default_rng(5), shift=2.0), "G2")
    scores = attack.score(swapped(game))
    tolerance = 4 * 0.3 / np.sqrt(shadows / 8) / np.sqrt(600)
    assert auc_by_example(scores).mean() == pytest.approx(0.5, abs=tolerance)
    assert balanced_accuracy(scores).mean() == pytest.approx(0.5, abs=tolerance)
    assert pooled(scores) == pytest.approx(0.5, abs=tolerance)


def test_scoring_the_fitted_shadows_would_not_give_one_half() -> None:
    """The trap itself, so that the test above is known to see it."""
    game = compare(observe(make_layout(8, 600, 300), np.random.default_rng(5)), "G2")
    phi, label = game.block(slice(0, 600))
    mean = [np.where(label == side, phi, 0).sum(0) / (label == side).sum(0) for side in (0, 1)]
    spread = [np.sqrt(np.where(label == s, (phi - mean[s]) ** 2, 0).sum(0) / 4) for s in (0, 1)]
    llr = norm.logpdf(phi, mean[1], spread[1]) - norm.logpdf(phi, mean[0], spread[0])
    assert (llr[label == 1][:, None] > llr[label == 0][None, ::7]).mean() > 0.7


def test_draws_of_a_shadow_are_left_out_together() -> None:
    """Trap 2: five draws with rho = .9 give null AUC .56 when runs are folds, .50 when pairs are.

    400 examples; standard error below .01.
    """
    game = compare(observe(make_layout(64, 400, 40, 5), np.random.default_rng(6), correlation=0.9), "G2")
    by_pair = pooled(ULiRA().score(game))
    assert by_pair == pytest.approx(0.5, abs=0.02)
    phi, label = game.block(slice(0, 400))
    runs = np.arange(len(game.shadow))
    fits = [leave_one_out(phi, label == s, runs, shadow=runs) for s in (0, 1)]
    logs = [norm.logpdf(phi, fit.mean, np.sqrt(fit.variance)) for fit in fits]
    llr = logs[1] - logs[0]
    by_run = (llr[label == 1][::5, None] > llr[label == 0][None, ::50]).mean()
    assert by_run > by_pair + 0.03


def test_saturated_examples_keep_bounded_scores() -> None:
    """Trap 8 and 21: with no variance at all the ratio of np.std + 1e-30 reaches 1e3 and more."""
    observed = observe(make_layout(16, 40, 20), np.random.default_rng(7), shift=1.0)
    observed.phi[:, :10] = 5.0
    for variance in ("shrunk", "per_example"):
        scores = ULiRA(variance=variance).score(compare(observed, "G2"))  # type: ignore[arg-type]
        assert np.isfinite(scores.score).all()
        assert np.abs(scores.score[:, :10]).max() < 10


def test_the_size_of_a_fit_does_not_tell_the_label() -> None:
    """Trap 19: every fold's fit has the same number of shadows of a hypothesis, whatever it holds."""
    game = compare(observe(make_layout(16, 40, 10), np.random.default_rng(8)), "G2")
    phi, label = game.block(slice(0, 40))
    pair = game.shadow // 2
    generator = np.random.default_rng(0)
    balanced = leave_one_out(phi, label == 1, pair, shadow=game.shadow, generator=generator)
    unbalanced = leave_one_out(phi, label == 1, pair, shadow=game.shadow)
    assert (np.ptp(unbalanced.num_shadows, axis=0) == 1).any()
    assert (np.ptp(balanced.num_shadows, axis=0) == 0).all()


def test_the_dropped_shadow_is_one_that_has_the_hypothesis() -> None:
    present = np.random.default_rng(0).random((9, 50)) < 0.5
    present[0] = True
    drop = balancing_drop(present, np.random.default_rng(1))
    assert (drop[present] == -1).all()
    rows, columns = np.nonzero(~present)
    assert present[drop[rows, columns], columns].all()


def test_online_beats_offline_beats_a_global_threshold() -> None:
    """The published demo's order at 16 shadows; 800 examples of very different difficulty and effect."""
    generator = np.random.default_rng(9)
    layout = make_layout(16, 800, 400)
    effect = generator.exponential(1.0, 800)
    game = compare(observe(layout, generator, base=True, retained=effect), "G0")
    phi, label = game.block(slice(0, 800))
    online, offline = (pooled(LiRA(mode=mode).score(game)) for mode in ("online", "offline"))  # type: ignore[arg-type]
    values = LiRA().score(game)
    global_threshold = pooled(
        PerExampleScores(**{**vars(values), "score": phi.astype(np.float32), "label": label})
    )
    assert online > offline + 0.005
    assert offline > global_threshold + 0.02


def test_shrinking_helps_with_few_shadows() -> None:
    game = compare(observe(make_layout(16, 600, 300), np.random.default_rng(10), shift=1.0), "G2")
    shrunk, alone = (pooled(ULiRA(variance=v).score(game)) for v in ("shrunk", "per_example"))  # type: ignore[arg-type]
    assert shrunk > alone + 0.01


def test_the_prior_of_the_variances_is_recovered() -> None:
    """Scaled inverse chi-squared variances with 6 degrees of freedom around 2; 20,000 examples."""
    generator = np.random.default_rng(13)
    true = 2.0 * 6 / generator.chisquare(6, 20_000)
    seen = true * generator.chisquare(15, 20_000) / 15
    pooled = PooledVariance(1)
    pooled.add(LeftOut(num_shadows=np.full((1, 20_000), 16.0), mean=seen[None], variance=seen[None]))
    freedom, variance = pooled.prior()
    assert freedom[0] == pytest.approx(6, rel=0.1)
    assert variance[0] == pytest.approx(2, rel=0.05)


def test_equal_variances_give_a_dominant_prior() -> None:
    seen = 3.0 * np.random.default_rng(14).chisquare(15, 20_000) / 15
    pooled = PooledVariance(1)
    pooled.add(LeftOut(num_shadows=np.full((1, 20_000), 16.0), mean=seen[None], variance=seen[None]))
    freedom, variance = pooled.prior()
    assert freedom[0] > 200
    assert variance[0] == pytest.approx(3, rel=0.03)


def test_a_wide_kernel_loses_where_the_spread_differs() -> None:
    """Trap 14: bandwidth 1.0 ties for shifts of unit spread, loses to the Gaussian for narrow examples."""
    generator = np.random.default_rng(11)
    spread = np.where(np.arange(200) < 100, 0.2, 1.5)
    game = compare(
        observe(
            make_layout(64, 200, 100), generator, shift=spread * 0.8, spread=spread, never_spread=spread * 1.6
        ),
        "G2",
    )
    gaussian, wide = (balanced_accuracy(a.score(game)).mean() for a in (ULiRA(), KernelDensity()))
    assert gaussian > wide + 0.01


def test_two_sided_evidence_finds_over_unlearned_examples() -> None:
    game = compare(observe(make_layout(64, 200, 100), np.random.default_rng(12), shift=-2.0), "G2")
    assert auc_by_example(ULiRA().score(game)).mean() > 0.85


@pytest.mark.parametrize("attack", [ULiRA(folds=2), KernelDensity(folds=2)], ids=["gaussian", "density"])
def test_a_fit_without_shadows_says_nothing(attack: ULiRA | KernelDensity) -> None:
    """Where all shadows of a hypothesis lie in one fold, the other fold's fit has none to go by."""
    observed = observe(make_layout(16, 40, 20), np.random.default_rng(15), shift=1.0)
    observed.state[observed.pair % 2 == 1, 0] = State.NEVER
    scores = attack.score(compare(observed, "G2"))
    lonely = scores.score[observed.pair % 2 == 0, 0]
    assert (lonely == 0).all()
    assert np.isfinite(scores.score).all()


def test_an_attack_refuses_another_game() -> None:
    game = compare(observe(make_layout(16, 40, 20), np.random.default_rng(0)), "G2")
    with pytest.raises(AuditError, match="expected game G0, got G2"):
        LiRA().score(game)


@pytest.mark.parametrize("values", [{"folds": 1}, {"prior_weight": -1.0}])
def test_parameters_are_checked(values: dict[str, float]) -> None:
    with pytest.raises(AuditError):
        ULiRA(**values)  # type: ignore[arg-type]
