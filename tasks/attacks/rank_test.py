"""Which examples can be told apart at all: rank tests of phi over shadow models, whatever the attack.

Every attack on single examples reads the same phi of the same shadow models. Whether its two distributions differ is
asked once, without a fit: Mann and Whitney's test of a shift and Mood's of a spread, one value a shadow model (draws of
one are alike, and their means would be less noisy on the side that has more), Benjamini and Hochberg over examples.
Simulated with 32 shadow models, 24 of 240 examples shifted by 1.5 standard deviations, at a false-discovery rate of .1:
.07 are false, .87 of the true are found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import numpy as np

from tasks.attacks.base import Measurement, register
from tasks.attacks.per_example import Targeted, single_examples
from tasks.attacks.views import ShadowView
from tasks.errors import AuditError
from tasks.metrics import audit
from tasks.metrics.base import Metric
from tasks.metrics.membership import SPLIT_OF_GAME
from tasks.metrics.per_example import discoveries
from tasks.shadows.games import Comparison, one_per_shadow
from tasks.statistics.ranks import RankTests, auc_interval, folded, rank_tests


class Of(NamedTuple):
    """What rows are named after (`tasks.metrics.audit.Played`)."""

    statistic: str
    game: str


@register("rank_test")
@dataclass(frozen=True, kw_only=True)
class RankTest(Targeted):
    """Which targets differ in phi between the two hypotheses, and by how much."""

    metrics: ClassVar[tuple[Metric, ...]] = audit.DISCOVERIES
    games: ClassVar[tuple[str, ...]] = ("G0", "G1", "G2")
    version: ClassVar[int] = 2

    game: Literal["G0", "G1", "G2"] = "G2"
    """Hypotheses (guide/games.md#games). G0 is about models that did not unlearn: the ceiling."""
    fdr: float = 0.1
    """False-discovery rate at which single targets count as told apart (Benjamini-Hochberg)."""

    def __post_init__(self) -> None:
        if not 0 < self.fdr < 1:
            raise AuditError(f"fdr: expected a number in (0, 1), got {self.fdr}")
        super().__post_init__()

    def measure_one(self, view: ShadowView) -> Measurement:
        """How many targets are told apart, and the AUC of each with its interval.

        Raises:
            AuditError: observations are missing, or too few.
        """
        comparison = view.comparison().of_examples(view.targets)
        tests = self.tests(comparison)
        found = discoveries(tests.p_value, rate=self.fdr, num_statistics=view.num_statistics)
        low, high = auc_interval(tests)
        names = ("score", "score_low", "score_high")
        values = {
            "auc": dict(zip(names, folded(tests.auc, low, high), strict=True)),
            "signed_auc": dict(zip(names, (tests.auc, low, high), strict=True)),
            "shift_p_value": {"score": tests.shift},
            "spread_p_value": {"score": tests.spread},
            "p_value": {"score": tests.p_value},
            "q_value": {"score": found.q_value},
        }
        split, of = SPLIT_OF_GAME.get(self.game, "all"), Of(view.statistic, self.game)
        return Measurement(
            metrics=[
                *audit.discovery_metrics(found, of),
                audit.counted(of, audit.EXAMPLES_TESTED, len(comparison.example_ids)),
                audit.counted(of, audit.EXAMPLES_EXCLUDED, len(comparison.excluded)),
            ],
            examples=list(single_examples(view, view.statistic, split, comparison.example_ids, values)),
        )

    def tests(self, comparison: Comparison) -> RankTests:
        """Test every example of a comparison.

        In G1 both hypotheses hold values of the same shadow models; where these are alike the tests err on the safe
        side.
        """
        blocks = [
            rank_tests(phi, one_per_shadow(label, comparison.shadow)) for _, phi, label in comparison.blocks()
        ]
        return RankTests(
            **{name: np.concatenate([vars(block)[name] for block in blocks]) for name in vars(blocks[0])}
        )
