"""The per-example epsilon of the NeurIPS 2023 competition (G1), with the confidence bound that it lacks there.

Triantafillou et al. 2024 (arXiv:2406.09073): for every forget example try decision rules on the statistics of
unlearned and retrained models; epsilon is the larger of log((1 - delta - FPR) / FNR) and its mirror image.
The maximum over rules without a bound gives about 1.5 for identical models: it enters F alone. For the bounds a rule is
chosen on one half of the pairs, and counted on the other with Clopper-Pearson bounds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from tasks.attacks.base import Measurement, register
from tasks.attacks.per_example import PerExample
from tasks.attacks.views import ShadowView
from tasks.errors import AuditError
from tasks.metrics import example_epsilon
from tasks.metrics.audit import RUNS_MISSING
from tasks.metrics.base import Metric
from tasks.metrics.example_epsilon import STATISTIC, ExampleEpsilons, epsilon_metrics
from tasks.shadows.games import Comparison, one_per_shadow
from tasks.shadows.observations import named_by
from tasks.statistics.epsilon import competition_epsilon, epsilon_ceiling, privacy_loss
from tasks.statistics.intervals import CONFIDENCE, clopper_pearson

BLOCK_ELEMENTS = 2_000_000


@register("example_epsilon")
@dataclass(frozen=True, kw_only=True)
class ExampleEpsilon(PerExample):
    """Epsilon per example from thresholds and intervals of phi."""

    version: ClassVar[int] = 3
    metrics: ClassVar[tuple[Metric, ...]] = (*example_epsilon.METRICS, RUNS_MISSING)
    games: ClassVar[tuple[str, ...]] = ("G1", "G2")
    bounds_epsilon: ClassVar[bool] = True

    game: Literal["G1", "G2"] = "G1"
    """G1 is the competition's; G2 removes global shifts of the output."""
    delta: float = 1e-5
    """Of (epsilon, delta)."""
    cuts: int = 65
    """Candidate thresholds per example: quantiles of the choosing half. Odd: one is the median, the only cut between
    two equal groups that stand apart."""
    two_sided: bool = True
    """Also try intervals, for over-unlearned examples; single thresholds otherwise."""

    def __post_init__(self) -> None:
        if self.cuts < 1 or self.cuts % 2 == 0:
            raise AuditError(
                f"cuts: expected an odd number, got {self.cuts}; nearest {max(self.cuts, 0) + 1}"
            )
        if not 0 <= self.delta < 1:
            raise AuditError(f"delta: expected a number in [0, 1), got {self.delta}")

    def measure_one(self, view: ShadowView) -> Measurement:
        """The bound of every target, of the most exposed one, and the competition's F."""
        result = self.estimate(view.comparison(), num_statistics=view.num_statistics)
        block = {
            "split": np.full(len(result.example_ids), "forget"),
            "example_id": result.example_ids,
            "statistic": np.full(len(result.example_ids), f"{named_by(STATISTIC, view.statistic)}:epsilon"),
            "score": result.lower.astype(np.float32),
        }
        return Measurement(metrics=epsilon_metrics(result), examples=[block])

    def estimate(self, comparison: Comparison, *, num_statistics: int = 1) -> ExampleEpsilons:
        """Bound epsilon for every example; one observation per shadow and hypothesis is counted.

        Args:
            comparison: of phi, or of another statistic.
            num_statistics: by how many an example is judged: its bounds hold at 95 % together (Bonferroni).

        Raises:
            AuditError: the game is not offered, or a half of the pairs has no shadow of a hypothesis.
        """
        if comparison.game not in self.games:
            raise AuditError(
                f"example_epsilon: expected game {' or '.join(self.games)}, got {comparison.game}"
            )
        confidence = 1 - (1 - CONFIDENCE) / num_statistics
        width = max(1, BLOCK_ELEMENTS // (len(comparison.shadow) * (self.cuts + 2)))
        parts = []
        for _, phi, label in comparison.blocks(width):
            single = one_per_shadow(label, comparison.shadow)
            parts.append(self._block(phi, single, comparison.fold % 2 == 0, confidence))
        lower, chosen, ceiling, empirical, positives, negatives = np.concatenate(parts, axis=1)
        return ExampleEpsilons(
            game=comparison.game,
            statistic=comparison.statistic,
            example_ids=comparison.example_ids,
            lower=lower,
            chosen=chosen,
            ceiling=ceiling,
            empirical=empirical,
            positives=positives.astype(np.int64),
            negatives=negatives.astype(np.int64),
        )

    def _block(
        self, phi: np.ndarray, label: np.ndarray, choosing: np.ndarray, confidence: float
    ) -> np.ndarray:
        sizes = [[(label[half] == side).sum(0) for side in (1, 0)] for half in (choosing, ~choosing)]
        if min(int(np.min(n)) for pair in sizes for n in pair) < 1:
            raise AuditError(
                "example_epsilon: expected shadows of both hypotheses in each half; raise num_shadows"
            )
        cuts = _quantiles(np.where((label >= 0) & choosing[:, None], phi, np.nan), self.cuts)
        first, second = _below(phi, label, choosing, cuts), _below(phi, label, ~choosing, cuts)
        left, right = self._rules(cuts.shape[0])
        bounds = self._bounds(first, sizes[0], left, right, confidence)
        best = bounds.argmax(0)
        chosen = np.take_along_axis(bounds, best[None], 0)[0]
        counted = self._counted(second, sizes[1], left, right, best, confidence)
        empirical = [
            competition_epsilon(values[side == 1], values[side == 0], delta=self.delta)
            for values, side in zip(phi.T, label.T, strict=True)
        ]
        ceiling = epsilon_ceiling(*sizes[1], delta=self.delta, confidence=confidence)
        return np.stack(
            [np.maximum(counted, 0.0), np.maximum(chosen, 0.0), ceiling, empirical, sizes[1][0], sizes[1][1]]
        )

    def _rules(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Pairs (left, right] of cut positions; -inf is row 0 of the counts, +inf the last."""
        left, right = np.triu_indices(count + 2, k=1)
        keep = (left > 0) | (right < count + 1)
        if not self.two_sided:
            keep &= (left == 0) | (right == count + 1)
        return left[keep], right[keep]

    def _errors(
        self, below: list[np.ndarray], sizes: list[np.ndarray], left: np.ndarray, right: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """False negatives and false positives of both directions of every rule, `2 rules x b`."""
        inside = [counts[right] - counts[left] for counts in below]
        outside = [n - hit for n, hit in zip(sizes, inside, strict=True)]
        return np.concatenate([outside[0], inside[0]]), np.concatenate([inside[1], outside[1]])

    def _bounds(
        self,
        below: list[np.ndarray],
        sizes: list[np.ndarray],
        left: np.ndarray,
        right: np.ndarray,
        confidence: float,
    ) -> np.ndarray:
        missed, false = self._errors(below, sizes, left, right)
        fnr, fpr = (self._upper(*of, confidence) for of in ((missed, sizes[0]), (false, sizes[1])))
        return privacy_loss(fpr, fnr, self.delta)

    def _counted(
        self,
        below: list[np.ndarray],
        sizes: list[np.ndarray],
        left: np.ndarray,
        right: np.ndarray,
        best: np.ndarray,
        confidence: float,
    ) -> np.ndarray:
        missed, false = (
            np.take_along_axis(errors, best[None], 0) for errors in self._errors(below, sizes, left, right)
        )
        fnr, fpr = (self._upper(*of, confidence) for of in ((missed, sizes[0]), (false, sizes[1])))
        return privacy_loss(fpr, fnr, self.delta)[0]

    def _upper(self, errors: np.ndarray, size: np.ndarray, confidence: float) -> np.ndarray:
        """Clopper-Pearson upper bounds, each at half the error budget, by table over the possible counts."""
        result = np.empty(errors.shape)
        for n in np.unique(size):
            table = clopper_pearson(np.arange(n + 1), int(n), confidence=confidence)[1]
            columns = size == n
            result[:, columns] = table[errors[:, columns].astype(np.int64)]
        return result


def _quantiles(values: np.ndarray, count: int) -> np.ndarray:
    """`count x b` thresholds that split the finite values of each column evenly."""
    return np.nanquantile(values, (np.arange(count) + 0.5) / count, axis=0)


def _below(phi: np.ndarray, label: np.ndarray, rows: np.ndarray, cuts: np.ndarray) -> list[np.ndarray]:
    """Runs at or below each cut, for H1 and H0: two arrays `(cuts + 2) x b` from none to all."""
    under = phi[rows][:, None, :] <= cuts[None]
    counts = []
    for side in (1, 0):
        mine = label[rows] == side
        inner = (under & mine[:, None, :]).sum(0)
        counts.append(np.concatenate([np.zeros_like(inner[:1]), inner, mine.sum(0)[None]]))
    return counts
