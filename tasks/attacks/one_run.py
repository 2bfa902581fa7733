"""Privacy audit from one training run on canaries (Steinke, Nasr and Jagielski 2023, arXiv:2305.08846).

Each canary is in a model's training set by a fair coin, independently of the others. Game G0 asks of the model
as trained which canaries were in. Game G2 asks it after every canary that was in has been forgotten: training
and unlearning together are one randomised function of the coins. If U(A(D + x), F + x) and U(A(D), F) are
(epsilon, delta)-indistinguishable for every canary x, whatever the others' coins, Theorem 5.2 holds for it as it
does for training alone, and so does the bound. Exact retraining never looks at a coin: its epsilon is 0.
Canaries of G2 are therefore a target pool of their own that is forgotten whole (`forget_size` 0); were only a
part forgotten, what is retained would depend on the coins in a way that no unlearning undoes.

The theorem asks nothing of what a canary looks like: mislabelled and out-of-distribution ones are judged alike,
and each bound is about canaries of its kind (`tasks.shadows.canaries`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from tasks.attacks.base import Measurement, register
from tasks.attacks.per_example import PerExample
from tasks.attacks.views import ShadowView
from tasks.errors import AuditError
from tasks.metrics.audit import RUNS_MISSING
from tasks.metrics.base import Metric, MetricValue
from tasks.metrics.membership import EPSILON_LOWER_BOUND
from tasks.shadows.canaries import Canaries
from tasks.shadows.games import Comparison
from tasks.shadows.observations import named_by
from tasks.statistics.intervals import CONFIDENCE

MAX_EPSILON = 50.0


@dataclass(frozen=True, kw_only=True)
class OneRunBound:
    """What one model shows; epsilon of another model is a separate statement."""

    shadow: int
    draw: int
    epsilon: float
    """Lower bound at the stated confidence; 0 where chance explains the guesses."""
    ceiling: float
    """The bound if every guess were right."""
    guesses: int
    correct: int
    canaries: int


def one_run_p_value(epsilon: float, *, guesses: int, correct: int, canaries: int, delta: float) -> float:
    """Chance of so many correct guesses about an (epsilon, delta)-private model (Theorem 5.2).

    Args:
        epsilon: hypothesis.
        guesses: guesses made, fixed before looking at the answers.
        correct: of these, correct.
        canaries: independently included canaries, guessed or not.
        delta: of the hypothesis.
    """
    from scipy import stats

    rate = 1 / (1 + np.exp(-epsilon))
    tail = float(stats.binom.sf(correct - 1, guesses, rate))
    if delta == 0 or correct == 0:
        return min(tail, 1.0)
    below = stats.binom.pmf(np.arange(correct - 1, -1, -1), guesses, rate).cumsum()
    slope = float((below / np.arange(1, correct + 1)).max())
    return min(tail + 2 * canaries * delta * slope, 1.0)


def one_run_epsilon(*, guesses: int, correct: int, canaries: int, delta: float = 0.0) -> float:
    """Largest epsilon that the guesses refute at 95 %; 0 if none."""
    from scipy import optimize

    def excess(epsilon: float) -> float:
        value = one_run_p_value(epsilon, guesses=guesses, correct=correct, canaries=canaries, delta=delta)
        return value - (1 - CONFIDENCE)

    if excess(0.0) >= 0:
        return 0.0
    if excess(MAX_EPSILON) < 0:
        return MAX_EPSILON
    return float(optimize.brentq(excess, 0.0, MAX_EPSILON, xtol=1e-6))


@register("one_run")
@dataclass(frozen=True, kw_only=True)
class OneRun(PerExample):
    """Guess the canaries with the highest phi as members, the lowest as non-members; needs no shadow."""

    metrics: ClassVar[tuple[Metric, ...]] = (EPSILON_LOWER_BOUND, RUNS_MISSING)
    objectives: ClassVar[frozenset[str]] = frozenset({"classify"})
    games: ClassVar[tuple[str, ...]] = ("G0", "G2")

    game: Literal["G0", "G2"] = "G0"
    """G0: trained on or not; G2: unlearned or never trained on, where every included canary is forgotten."""
    guess_share: float = 0.2
    """Of the canaries, guessed in each direction; fixed in advance, never scanned for the best."""
    delta: float = 0.0
    """Of (epsilon, delta)."""

    def __post_init__(self) -> None:
        if not 0 < self.guess_share <= 0.5:
            raise AuditError(f"guess_share: expected a number in (0, 0.5], got {self.guess_share}")
        if not 0 <= self.delta < 1:
            raise AuditError(f"delta: expected a number in [0, 1), got {self.delta}")

    @property
    def on_canaries(self) -> bool:
        """See `Attack.on_canaries`."""
        return True

    def measure_one(self, view: ShadowView) -> Measurement:
        """Bounds of epsilon over the shadow models.

        Each holds at its confidence for one model: the median is the one to read, the largest is the luckiest of
        many.
        """
        canaries = view.canaries
        if canaries is None:
            raise AuditError("one_run: expected canaries among the training examples, got none")
        comparison = view.comparison()
        values = np.array([bound.epsilon for bound in self.estimate(comparison, canaries)])
        found = {"lowest": values.min(), "median": np.median(values), "largest": values.max()}
        metrics = [
            MetricValue(
                declared=EPSILON_LOWER_BOUND,
                split="forget",
                value=float(value),
                ci_low=float(value),
                ci_high=None,
                n=len(values),
                game=comparison.game,
                variant=f"{named_by('one_run', view.statistic)}:{canaries.kind}:{which}_of_shadows",
            )
            for which, value in found.items()
        ]
        return Measurement(metrics=metrics)

    def estimate(self, comparison: Comparison, canaries: Canaries) -> list[OneRunBound]:
        """Bound epsilon of every run on its own.

        Raises:
            AuditError: inclusion was not independent, a canary is missing, or one is in neither state.
        """
        if comparison.game not in self.games:
            raise AuditError(f"one_run: expected game {' or '.join(self.games)}, got {comparison.game}")
        if canaries.inclusion != "independent":
            raise AuditError(
                "one_run assumes independent inclusion: set canaries.inclusion to 'independent', "
                f"got '{canaries.inclusion}'"
            )
        columns = np.flatnonzero(np.isin(comparison.example_ids, canaries.ids))
        if len(columns) < len(canaries.ids):
            raise AuditError(
                f"one_run: expected observations of all {len(canaries.ids)} canaries, got {len(columns)}"
            )
        phi, label = (
            np.concatenate(parts, axis=1)
            for parts in zip(*((p, y) for _, p, y in comparison.blocks()), strict=True)
        )
        if (label[:, columns] < 0).any():
            raise AuditError(
                f"one_run: game {comparison.game}: a canary is in neither state; "
                "forget every included canary (forget_size 0)"
            )
        return [
            self._bound(comparison, run, phi[run, columns], label[run, columns] == 1)
            for run in range(len(comparison.shadow))
        ]

    def _bound(
        self, comparison: Comparison, run: int, score: np.ndarray, included: np.ndarray
    ) -> OneRunBound:
        each = max(1, int(self.guess_share * len(score)))
        order = np.argsort(score, kind="stable")
        correct = int(included[order[-each:]].sum() + (~included[order[:each]]).sum())
        epsilon, ceiling = (
            one_run_epsilon(
                guesses=2 * each,
                correct=right,
                canaries=len(score),
                delta=self.delta,
            )
            for right in (correct, 2 * each)
        )
        return OneRunBound(
            shadow=int(comparison.shadow[run]),
            draw=int(comparison.draw[run]),
            epsilon=epsilon,
            ceiling=ceiling,
            guesses=2 * each,
            correct=correct,
            canaries=len(score),
        )
