"""What attacks on single examples share: games between shadow models, and claims about each target."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from tasks.attacks.base import Attack, Measurement, Need
from tasks.attacks.views import ShadowView
from tasks.errors import AuditError, unknown_name
from tasks.metrics import audit, harm
from tasks.metrics.audit import runs_missing
from tasks.metrics.base import Metric, MetricValue
from tasks.metrics.membership import AUC, SPLIT_OF_GAME
from tasks.metrics.per_example import by_example
from tasks.objectives.names import EXAMPLES, PHI, STATISTICS, USUAL_STATISTICS
from tasks.shadows.games import Comparison, PerExampleScores, compare

SELECTED_SHARE = 0.1
"""Share of the targets that one half of the pairs calls most vulnerable and the other half measures."""
Block = Mapping[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class PerExample(Attack):
    """An attack on single examples, by what shadow models showed of each; once for each statistic that it reads."""

    family: ClassVar[str] = "per_example"
    subject = "shadow_models"
    needs: ClassVar[frozenset[Need]] = frozenset(("shadows",))
    version: ClassVar[int] = 2
    added: ClassVar[Mapping[str, object]] = {"statistics": (PHI,)}

    statistics: tuple[str, ...] = ()
    """What is read of each example, and reported apart; none: phi of images, phi and min_k_pp of documents. Claims that
    count examples allow for their number."""

    def check_objective(self, name: str) -> None:
        """See `Attack.check_objective`; it may also read what examples of the objective do not have."""
        super().check_objective(name)
        for statistic in self.statistics:
            if statistic not in STATISTICS[name]:
                raise unknown_name(
                    f"statistic of {EXAMPLES[name]}", statistic, STATISTICS[name], where="statistics"
                )
        if len(set(self.statistics)) < len(self.statistics):
            raise AuditError(f"statistics: expected different names, got {', '.join(self.statistics)}")

    @classmethod
    def defaults(cls, objective: str) -> Mapping[str, Any]:
        """The usual statistics of the objective."""
        return {"statistics": USUAL_STATISTICS[objective]}

    def measure(self, view: ShadowView) -> Measurement:
        """What it finds in each statistic, and how many runs are in none of it.

        Raises:
            AuditError: observations are missing, or too few.
        """
        metrics = [runs_missing(self.game, planned=view.planned, observed=view.observed)]
        examples: list[Block] = []
        for one in view.of_each(self.statistics or (PHI,)):
            found = self.measure_one(one)
            metrics += found.metrics
            examples += found.examples
        return Measurement(metrics=metrics, examples=examples)

    @abstractmethod
    def measure_one(self, view: ShadowView) -> Measurement:
        """What it finds in one statistic, which the view shows; rows are called by `named_by` of it.

        Raises:
            AuditError: observations are missing, or too few.
        """


@dataclass(frozen=True, kw_only=True)
class Targeted(PerExample):
    """An attack on the forget set, or on the canaries of the shadow models."""

    targets: Literal["forget_set", "canaries"] = "forget_set"
    """Whose membership is told: natural examples, and of these the forget set's in detail; or the canaries of the
    shadow models alone (Aerni et al. 2024), of which unlearning then forgets every one."""

    def __post_init__(self) -> None:
        if self.on_canaries and self.game == "G3":
            raise AuditError("targets: expected forget_set in game G3: no canary is retained, got 'canaries'")

    def check_objective(self, name: str) -> None:
        """See `PerExample.check_objective`; canaries are images."""
        super().check_objective(name)
        if self.on_canaries and name != "classify":
            raise AuditError(
                f"targets: expected forget_set, as there are no canaries of {EXAMPLES[name]}, got canaries"
            )

    @property
    def on_canaries(self) -> bool:
        """See `Attack.on_canaries`."""
        return self.targets == "canaries"


@dataclass(frozen=True, kw_only=True)
class CrossFitted(Targeted):
    """An attack that scores every (run, example) by fits on folds of shadow pairs."""

    needs: ClassVar[frozenset[Need]] = frozenset(("shadows", "reference_shadows"))
    metrics: ClassVar[tuple[Metric, ...]] = (*audit.AGGREGATES, *harm.METRICS)
    version: ClassVar[int] = 4

    folds: int = 8
    """Groups of shadow pairs left out together, two pairs each at least where there are so many; 0 leaves out
    single pairs: the largest fits, but an example's AUC then compares only within a pair."""

    def __post_init__(self) -> None:
        if self.folds < 0 or self.folds == 1:
            raise AuditError(f"folds: expected 0 (single pairs) or at least 2, got {self.folds}")
        super().__post_init__()

    @property
    def rates(self) -> bool:
        """See `Attack.rates`."""
        return self.game in ("G1", "G2")

    @abstractmethod
    def score(self, comparison: Comparison) -> PerExampleScores:
        """Score every (run, example) by a fit that saw no run of its fold; higher means more member-like."""

    def measure_one(self, view: ShadowView) -> Measurement:
        """Aggregates, the most vulnerable tenth, harm to retained examples, and each target.

        Raises:
            AuditError: observations are missing, or too few.
        """
        scores, beside = self.score(view.comparison()), view.reference_comparison()
        reference = None if beside is None else self.score(beside)
        metrics = audit.aggregate(scores, reference, fprs=view.settings.fprs)
        metrics += self._selected(view)
        if self.game == "G3":
            before = view.audited(compare(view.runs().before(view.base()), "G3"))
            metrics.append(harm.retain_harm(self.score, before, view.comparison(), beside))
        return Measurement(metrics=metrics, examples=[*_runs(view, scores), *_by_example(view, scores)])

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
        found = audit.select_and_report(*scores, share=SELECTED_SHARE)
        variant = f"{scores[0].statistic}:most_vulnerable_tenth"
        return [audit.estimated(scores[0], AUC, found.mean_reported, variant=variant)]


def _runs(view: ShadowView, scores: PerExampleScores) -> Iterator[Block]:
    """Scores of the targets in every run, for ROC curves.

    Games over the whole training set (G0, G3) keep the runs of the targets alone: with every example they
    would outgrow the observations.
    """
    run, column = np.nonzero((scores.label >= 0) & np.isin(scores.example_ids, view.targets))
    ids = scores.example_ids[column]
    yield {
        **_named(view, scores.statistic, _split(scores), ids),
        "member": scores.label[run, column] == 1,
        "score": scores.score[run, column].astype(np.float32),
    }


def _split(scores: PerExampleScores) -> str:
    return SPLIT_OF_GAME.get(scores.game, "all")


def _named(view: ShadowView, statistic: str, split: str, ids: np.ndarray) -> Block:
    return {
        "split": np.full(len(ids), split),
        "example_id": ids,
        "label": view.labels(ids),
        "statistic": np.full(len(ids), statistic),
    }


def _by_example(view: ShadowView, scores: PerExampleScores) -> Iterator[Block]:
    """Each example's AUC, and its accuracy with an interval."""
    found = by_example(scores)
    values = {
        "auc": {"score": found.auc},
        "accuracy": {
            "score": found.accuracy,
            "score_low": found.accuracy_low,
            "score_high": found.accuracy_high,
        },
    }
    return single_examples(view, scores.statistic, _split(scores), found.example_ids, values)


def single_examples(
    view: ShadowView,
    statistic: str,
    split: str,
    ids: np.ndarray,
    values: Mapping[str, Mapping[str, np.ndarray]],
) -> Iterator[Block]:
    """Rows of `examples`: one for each example and kind of value, which is named after the attack's own statistic."""
    for name, columns in values.items():
        yield {
            **_named(view, f"{statistic}:{name}", split, ids),
            **{column: array.astype(np.float32) for column, array in columns.items()},
        }
