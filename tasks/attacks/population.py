"""Membership attacks with one attacker for all examples of one unlearned model; no shadow models.

They overstate protection (Hayes et al. 2024): U-LiRA and RMIA judge each example on its own.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from tasks.attacks.base import Attack, Measurement, Need, register
from tasks.attacks.views import ModelView
from tasks.measure.evaluate import membership_metrics
from tasks.measure.population import PopulationScoring
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

    def measure(self, view: ModelView) -> Measurement:
        """Membership of forget against test examples, by every statistic."""
        outputs = view.outputs()
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
