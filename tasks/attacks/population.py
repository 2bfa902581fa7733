"""Membership attacks with one attacker for all examples of one unlearned model; no shadow models.

They overstate protection (Hayes et al. 2024): U-LiRA and RMIA judge each example on its own.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tasks.attacks.base import Attack, Given, Measurement, Need, register
from tasks.attacks.views import ModelView
from tasks.errors import AuditError
from tasks.measure.evaluate import membership_metrics
from tasks.measure.population import USUAL_OF_DOCUMENTS, PopulationScoring
from tasks.metrics import membership
from tasks.metrics.base import Metric
from tasks.metrics.membership import POPULATION_GAME
from tasks.metrics.scores import MembershipScores
from tasks.runtime.seeding import numpy_generator

if TYPE_CHECKING:
    from tasks.training.scoring import Outputs


class PopulationAttack(Attack):
    """One attacker for all examples of one unlearned model: no shadow models."""

    version: ClassVar[int] = 3
    family: ClassVar[str] = "population"
    needs: ClassVar[frozenset[Need]] = frozenset(("outputs",))
    metrics: ClassVar[tuple[Metric, ...]] = membership.METRICS
    games: ClassVar[tuple[str, ...]] = (POPULATION_GAME,)
    game: ClassVar[str] = POPULATION_GAME
    least_forgotten: ClassVar[int] = 2

    @abstractmethod
    def score(
        self, forget: Outputs, retain: Outputs, test: Outputs, *, generator: np.random.Generator
    ) -> Sequence[MembershipScores]:
        """Scores of members and non-members; higher means more member-like."""

    def outputs(self, view: ModelView) -> Mapping[str, Outputs]:
        """What is scored, by split."""
        return view.outputs()

    def measure(self, view: ModelView) -> Measurement:
        """Membership of forget against test examples, by every statistic."""
        outputs = self.outputs(view)
        # Not named after the attack: variants of it are compared under equal folds and subsamples.
        generator = numpy_generator("population", view.settings.seed)
        scores = self.score(outputs["forget"], outputs["retain"], outputs["test"], generator=generator)
        examples = [
            {
                "split": np.where(s.member, "forget", "test"),
                "example_id": s.ids,
                "label": view.labels[s.ids],
                "statistic": np.full(len(s.ids), s.statistic),
                "member": s.member,
                "score": s.score,
            }
            for s in scores
        ]
        return Measurement(metrics=membership_metrics(scores, settings=view.settings), examples=examples)


@register("population")
@dataclass(frozen=True, kw_only=True)
class Population(PopulationScoring, PopulationAttack):
    """Forget examples against test examples of the same classes, under the same unlearned model.

    This is game G2 with the test set as H0, pooled over examples: it sees what the method did to the forget
    set on average, and cannot tell a hard example from a forgotten one. A retrained model gives the floor.
    """

    @classmethod
    def defaults(cls, objective: str) -> Mapping[str, Any]:
        """Of documents the statistics that they have."""
        return {"statistics": USUAL_OF_DOCUMENTS} if objective == "language" else {}

    def check_given(self, given: Given) -> None:
        """Refuse to compare with a base where there is none.

        Raises:
            AuditError: training starts from nothing.
        """
        if "reference" in self.statistics and not given.has_base:
            raise AuditError(
                f"statistics: 'reference' compares with the base that training starts from, and architecture "
                f"'{given.architecture}' has none; add [pretraining], or take an architecture with weights"
            )

    def outputs(self, view: ModelView) -> Mapping[str, Outputs]:
        """Answers, with the statistics that need more than them."""
        found = view.outputs()
        if "zlib" in self.statistics:
            sizes = view.compressed_bytes()
            found = {
                split: part.with_statistic("zlib", -part.loss / sizes[part.ids])
                for split, part in found.items()
            }
        if "reference" in self.statistics:
            base = view.base_outputs()
            found = {
                split: part.with_statistic("reference", base[split].loss - part.loss)
                for split, part in found.items()
            }
        return found
