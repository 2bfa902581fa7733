"""Per-example membership cells: from the observations of shadow models to scores, metrics and rows."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import pyarrow as pa

from orchestrator.plan import Cell, Plan
from orchestrator.shadow_plan import RETRAINED_METHOD, ShadowGroup
from orchestrator.shadow_rows import read_run_blocks
from orchestrator.store import Store
from tasks.attacks.base import CrossFitted
from tasks.attacks.lira import LiRA
from tasks.errors import AuditError
from tasks.evaluate import Settings
from tasks.metrics import audit
from tasks.metrics.base import Metric
from tasks.metrics.membership import SPLIT_OF_GAME
from tasks.metrics.per_example import by_example
from tasks.shadows.games import Comparison, PerExampleScores, compare
from tasks.shadows.observations import Observations, State

RESIDENT_GROUPS = 6
"""Groups of observations that a process keeps: the cells of one model follow each other."""
SELECTED_SHARE = 0.1
"""Share of the targets that one half of the pairs calls most vulnerable and the other half measures."""


class ShadowCells:
    """Measures per-example cells of one plan.

    Args:
        plan: the plan of the sweep.
        store: holds the observations.
    """

    def __init__(self, plan: Plan, store: Store) -> None:
        self.plan = plan
        self.store = store
        self._held: OrderedDict[str, Observations] = OrderedDict()

    def measure(self, cell: Cell, attack: Any, settings: Settings) -> tuple[list[Metric], pa.Table]:
        """Metrics of a cell, and the rows of its examples.

        Raises:
            AuditError: observations are missing, or too few for the attack.
        """
        comparison = self._comparison(cell, attack.game)
        if hasattr(attack, "estimate"):
            return self._estimated(cell, attack, comparison)
        scores = attack.score(comparison)
        metrics = audit.aggregate(
            scores,
            fprs=settings.fprs,
            repeats=settings.bootstrap,
            seed=settings.seed,
            confidence=settings.confidence,
        )
        metrics += self._selected(cell, attack, settings)
        if attack.game == "G3":
            metrics += self._harm(cell, attack, settings)
        tables = [self._rows(cell, scores, settings)]
        if attack.game != "G3" and isinstance(attack, CrossFitted) and attack.fdr > 0:
            found = self._discoveries(cell, attack, comparison, settings)
            metrics += audit.discovery_metrics(found, scores)
            tables += self._p_values(scores, found)
        return metrics, pa.concat_tables(tables, promote_options="default")

    def _comparison(self, cell: Cell, game: str, *, half: int | None = None) -> Comparison:
        """The two hypotheses of a game; of one half of the shadow pairs where one is named."""
        if game == "G0":
            return compare(self._base(cell, half), "G0")
        observations = self._observations(self.plan.shadow_groups[cell.model_id], half)
        if game != "G1":
            return compare(observations, game)
        group = self.plan.shadow_groups[cell.reference_id]
        if group.group_id == cell.model_id:
            # The floor: retrained without x against retrained models that never saw it. Base models would
            # differ by the size of their training set alone.
            return compare(observations, "G1", reference=observations, reference_state=State.NEVER)
        if group.method != RETRAINED_METHOD:
            return compare(observations, "G1", reference=self._base(cell, half), reference_state=State.NEVER)
        reference = self._observations(group, half)
        return compare(observations, "G1", reference=reference, reference_state=State.UNLEARNED)

    def _selected(self, cell: Cell, attack: Any, settings: Settings) -> list[Metric]:
        """AUC of the most vulnerable tenth, chosen on one half of the pairs and measured on the other.

        Left out where the halves hold too few shadows to score anything.
        """
        if attack.game not in ("G1", "G2"):
            return []
        try:
            scores = [attack.score(self._comparison(cell, attack.game, half=half)) for half in (0, 1)]
            found = audit.select_and_report(
                *scores,
                share=SELECTED_SHARE,
                repeats=settings.bootstrap,
                seed=settings.seed,
                confidence=settings.confidence,
            )
        except AuditError:
            return []
        return [
            Metric(
                metric="auc",
                split="forget",
                value=found.mean_reported.value,
                ci_low=found.mean_reported.low,
                ci_high=found.mean_reported.high,
                n=found.mean_reported.n,
                higher_is="closer_to_retrained",
                game=attack.game,
                variant=f"{scores[0].statistic}:most_vulnerable_tenth",
            )
        ]

    def _harm(self, cell: Cell, attack: Any, settings: Settings) -> list[Metric]:
        """Whether retained examples are told apart more easily than before, on different shadows."""
        harm = audit.retain_harm(
            LiRA().score(self._comparison(cell, "G0", half=0)),
            attack.score(self._comparison(cell, "G3", half=1)),
            repeats=settings.bootstrap,
            seed=settings.seed,
            confidence=settings.confidence,
        )
        found = (("retain_harm_share_worse", harm.share_worse), ("retain_harm_auc_change", harm.mean_change))
        return [
            Metric(
                metric=name,
                split="retain",
                value=estimate.value,
                ci_low=estimate.low,
                ci_high=estimate.high,
                n=len(harm.example_ids),
                higher_is="worse",
                game="G3",
            )
            for name, estimate in found
        ]

    def _estimated(self, cell: Cell, attack: Any, comparison: Comparison) -> tuple[list[Metric], pa.Table]:
        """Attacks that bound epsilon directly and score no example."""
        canaries = self.plan.shadow_sets[cell.architecture].layout.canaries
        if hasattr(attack, "cuts"):
            result = attack.estimate(comparison)
            table = pa.table(
                {
                    "split": np.full(len(result.example_ids), "forget"),
                    "example_id": result.example_ids,
                    "statistic": np.full(len(result.example_ids), "competition:epsilon"),
                    "score": result.lower.astype(np.float32),
                }
            )
            return audit.epsilon_metrics(result), table
        if canaries is None:
            raise AuditError("one_run: needs canaries; set shadows.canaries")
        bounds = attack.estimate(comparison.of_examples(canaries.ids), canaries)
        values = np.array([bound.epsilon for bound in bounds])
        metric = Metric(
            metric="epsilon_lower_bound",
            split="forget",
            value=float(np.median(values)),
            ci_low=float(values.min()),
            ci_high=float(values.max()),
            n=len(values),
            higher_is="worse",
            game=comparison.game,
            variant="one_run:median_of_shadows",
        )
        return [metric], pa.table(
            {"split": pa.array([], pa.string()), "example_id": pa.array([], pa.int32())}
        )

    def _rows(self, cell: Cell, scores: PerExampleScores, settings: Settings) -> pa.Table:
        """Scores of the targets in every run, for ROC curves, then each example's AUC with its interval.

        Games over the whole training set (G0, G3) keep the runs of the targets alone: with every example they
        would outgrow the observations.
        """
        targets = self.plan.data.forget_sets[cell.forget_set].ids
        base, column = np.nonzero((scores.label >= 0) & np.isin(scores.example_ids, targets))
        split = SPLIT_OF_GAME.get(scores.game, "all")
        labels = self.plan.data.labels.labels
        ids = scores.example_ids[column]
        runs = pa.table(
            {
                "split": np.full(len(ids), split),
                "example_id": ids,
                "label": labels[ids],
                "statistic": np.full(len(ids), scores.statistic),
                "member": scores.label[base, column] == 1,
                "score": scores.score[base, column].astype(np.float32),
            }
        )
        found = by_example(scores, confidence=settings.confidence)
        ids = found.example_ids
        single = pa.table(
            {
                "split": np.full(len(ids), split),
                "example_id": ids,
                "label": labels[ids],
                "statistic": np.full(len(ids), f"{scores.statistic}:auc"),
                "score": found.auc.astype(np.float32),
                "score_low": found.auc_low.astype(np.float32),
                "score_high": found.auc_high.astype(np.float32),
            }
        )
        return pa.concat_tables([runs, single], promote_options="default")

    def _discoveries(
        self, cell: Cell, attack: Any, comparison: Comparison, settings: Settings
    ) -> audit.Calibrated:
        """Which targets are told apart at the attack's false-discovery rate.

        G0 is about every training example; only the targets are tested, the same as after unlearning.
        """
        targets = self.plan.data.forget_sets[cell.forget_set].ids
        return audit.calibrated_discoveries(
            attack.score,
            comparison.of_examples(targets),
            repeats=attack.permutations,
            seed=settings.seed,
            rate=attack.fdr,
        )

    def _p_values(self, scores: PerExampleScores, found: audit.Calibrated) -> list[pa.Table]:
        """Each target's p-value, and the smallest false-discovery rate at which it counts (q-value)."""
        ids = found.example_ids
        columns = {
            "split": np.full(len(ids), SPLIT_OF_GAME.get(scores.game, "all")),
            "example_id": ids,
            "label": self.plan.data.labels.labels[ids],
        }
        values = {"p_value": found.p_value, "q_value": found.found.q_value}
        return [
            pa.table(
                {
                    **columns,
                    "statistic": np.full(len(ids), f"{scores.statistic}:{name}"),
                    "score": value.astype(np.float32),
                }
            )
            for name, value in values.items()
        ]

    # -- observations ---------------------------------------------------------------------------------------

    def _base(self, cell: Cell, half: int | None = None) -> Observations:
        return self._observations(self.plan.shadow_sets[cell.architecture].base(), half)

    def _observations(self, group: ShadowGroup, half: int | None = None) -> Observations:
        whole = self._whole(group)
        return whole if half is None else whole.of_half(half)

    def _whole(self, group: ShadowGroup) -> Observations:
        if group.group_id not in self._held:
            layout = self.plan.shadow_sets[group.architecture].layout
            splits = self.plan.data.splits
            self._held[group.group_id] = Observations.from_blocks(
                read_run_blocks(self.store, group, layout.num_shadows),
                method=group.method,
                scope=group.scope,
                family=group.pool,
                example_ids=np.sort(np.concatenate([splits.train, splits.test])),
            )
            while len(self._held) > RESIDENT_GROUPS:
                self._held.popitem(last=False)
        self._held.move_to_end(group.group_id)
        return self._held[group.group_id]
