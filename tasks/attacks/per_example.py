"""What attacks on single examples share: games between shadow models, and claims about each target."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from tasks.attacks.base import Attack, Measurement, Need
from tasks.attacks.views import ShadowView
from tasks.errors import AuditError
from tasks.metrics import audit, harm
from tasks.metrics.base import Metric, MetricValue
from tasks.metrics.membership import AUC, SPLIT_OF_GAME
from tasks.metrics.per_example import by_example
from tasks.shadows.games import Comparison, PerExampleScores

SELECTED_SHARE = 0.1
"""Share of the targets that one half of the pairs calls most vulnerable and the other half measures."""
Block = Mapping[str, np.ndarray]


class PerExample(Attack):
    """An attack on single examples, by what shadow models showed of each."""

    family: ClassVar[str] = "per_example"
    subject = "shadow_models"
    needs: ClassVar[frozenset[Need]] = frozenset(("shadows",))
    version: ClassVar[int] = 2


@dataclass(frozen=True, kw_only=True)
class CrossFitted(PerExample):
    """An attack that scores every (run, example) by fits on folds of shadow pairs."""

    metrics: ClassVar[tuple[Metric, ...]] = (*audit.METRICS, *harm.METRICS)

    folds: int = 8
    """Groups of shadow pairs left out together, two pairs each at least where there are so many; 0 leaves out
    single pairs: the largest fits, but an example's AUC then compares only within a pair."""
    fdr: float = 0.1
    """False-discovery rate at which single targets count as told apart (Benjamini-Hochberg over p-values of
    swapped labels); 0 leaves that out."""
    targets: Literal["forget_set", "canaries"] = "forget_set"
    """Whose membership is told: natural examples, and of these the forget set's in detail; or the canaries of the
    shadow models alone (Aerni et al. 2024), of which unlearning then forgets every one."""
    permutations: int = 20
    """Times that labels are swapped and the attack repeated for the p-values. The smallest is about
    1 / (permutations x targets); with fewer than 1 / fdr, one example alone cannot count."""

    def __post_init__(self) -> None:
        if self.folds < 0 or self.folds == 1:
            raise AuditError(f"folds: expected 0 (single pairs) or at least 2, got {self.folds}")
        if self.on_canaries and self.game == "G3":
            raise AuditError("targets: expected forget_set in game G3: no canary is retained, got 'canaries'")
        if not 0 <= self.fdr < 1 or self.permutations < 1:
            raise AuditError(
                f"fdr, permutations: expected in [0, 1) and at least 1, got {self.fdr} and {self.permutations}"
            )

    @property
    def on_canaries(self) -> bool:
        """See `Attack.on_canaries`."""
        return self.targets == "canaries"

    @property
    def rates(self) -> bool:
        """See `Attack.rates`."""
        return self.game in ("G1", "G2")

    @abstractmethod
    def score(self, comparison: Comparison) -> PerExampleScores:
        """Score every (run, example) by a fit that saw no run of its fold; higher means more member-like."""

    def score_permuted(self, comparison: Comparison, seeds: Sequence[int]) -> Iterable[PerExampleScores]:
        """Score the comparison with its labels swapped under each seed: the null of every claim."""
        return (self.score(comparison.permuted(seed)) for seed in seeds)

    def measure(self, view: ShadowView) -> Measurement:
        """Aggregates, the most vulnerable tenth, harm to retained examples, and claims about each target.

        Raises:
            AuditError: observations are missing, or too few.
        """
        settings, comparison = view.settings, view.comparison()
        metrics = [audit.runs_missing(self.game, planned=view.planned, observed=view.observed)]
        scores = self.score(comparison)
        metrics += audit.aggregate(scores, fprs=settings.fprs, repeats=settings.bootstrap, seed=settings.seed)
        metrics += self._selected(view)
        if self.game == "G3":
            metrics += self._harm(view)
        examples = [*_runs(view, scores), *_by_example(view, scores)]
        if self.game != "G3" and self.fdr > 0:
            found = self._discoveries(view, comparison)
            metrics += audit.discovery_metrics(found, scores)
            values = {"p_value": {"score": found.p_value}, "q_value": {"score": found.found.q_value}}
            examples += _single(view, scores, found.example_ids, values)
        return Measurement(metrics=metrics, examples=examples)

    def _selected(self, view: ShadowView) -> list[MetricValue]:
        """AUC of the most vulnerable tenth, chosen on one half of the pairs and measured on the other.

        Left out where the halves hold too few shadows to score anything, or examples to select from.
        """
        if self.game not in ("G1", "G2"):
            return []
        try:
            scores = [self.score(view.comparison(half=half)) for half in (0, 1)]
        except AuditError:
            return []
        if len(np.intersect1d(scores[0].example_ids, scores[1].example_ids)) * SELECTED_SHARE < 1:
            return []
        found = audit.select_and_report(
            *scores, share=SELECTED_SHARE, repeats=view.settings.bootstrap, seed=view.settings.seed
        )
        variant = f"{scores[0].statistic}:most_vulnerable_tenth"
        return [audit.estimated(scores[0], AUC, found.mean_reported, variant=variant)]

    def _harm(self, view: ShadowView) -> list[MetricValue]:
        """Whether this attack tells retained examples apart more easily than before, on different shadows."""
        before, after = harm.harm_games(view.runs(), view.base())
        found = harm.retain_harm(
            self.score,
            (view.audited(before), view.audited(after)),
            repeats=view.settings.bootstrap,
            seed=view.settings.seed,
        )
        return harm.harm_metrics(found)

    def _discoveries(self, view: ShadowView, comparison: Comparison) -> audit.Calibrated:
        """Which targets are told apart at the attack's false-discovery rate.

        G0 is about every training example; only the targets are tested, the same as after unlearning.
        """
        return audit.calibrated_discoveries(
            self,
            comparison.of_examples(view.targets),
            repeats=self.permutations,
            seed=view.settings.seed,
            rate=self.fdr,
        )


def _runs(view: ShadowView, scores: PerExampleScores) -> Iterator[Block]:
    """Scores of the targets in every run, for ROC curves.

    Games over the whole training set (G0, G3) keep the runs of the targets alone: with every example they
    would outgrow the observations.
    """
    run, column = np.nonzero((scores.label >= 0) & np.isin(scores.example_ids, view.targets))
    ids = scores.example_ids[column]
    yield {
        "split": np.full(len(ids), SPLIT_OF_GAME.get(scores.game, "all")),
        "example_id": ids,
        "label": view.labels(ids),
        "statistic": np.full(len(ids), scores.statistic),
        "member": scores.label[run, column] == 1,
        "score": scores.score[run, column].astype(np.float32),
    }


def _by_example(view: ShadowView, scores: PerExampleScores) -> Iterator[Block]:
    """Each example's AUC and accuracy with intervals."""
    found = by_example(scores)
    values = {
        "auc": {"score": found.auc, "score_low": found.auc_low, "score_high": found.auc_high},
        "accuracy": {
            "score": found.accuracy,
            "score_low": found.accuracy_low,
            "score_high": found.accuracy_high,
        },
    }
    return _single(view, scores, found.example_ids, values)


def _single(
    view: ShadowView,
    scores: PerExampleScores,
    ids: np.ndarray,
    values: Mapping[str, Mapping[str, np.ndarray]],
) -> Iterator[Block]:
    """A row for each example and kind of value, which the statistic names after the attack's own."""
    shared = {
        "split": np.full(len(ids), SPLIT_OF_GAME.get(scores.game, "all")),
        "example_id": ids,
        "label": view.labels(ids),
    }
    for name, columns in values.items():
        yield {
            **shared,
            "statistic": np.full(len(ids), f"{scores.statistic}:{name}"),
            **{column: array.astype(np.float32) for column, array in columns.items()},
        }
