"""Per-example membership cells: from the observations of shadow models to scores, metrics and rows."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from orchestrator.plan.cells import Cell, Plan
from orchestrator.plan.shadows import RETRAINED_METHOD, ShadowGroup
from orchestrator.records.observations import read_run_blocks
from orchestrator.store.store import Store
from tasks.attacks.base import CrossFitted
from tasks.errors import AuditError
from tasks.measure.evaluate import Settings
from tasks.metrics import audit
from tasks.metrics.base import Metric
from tasks.metrics.membership import SPLIT_OF_GAME
from tasks.metrics.per_example import by_example
from tasks.shadows.canaries import Canaries
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
        comparison = self._comparison(cell, attack)
        missing = self._runs_missing(cell, attack)
        if hasattr(attack, "estimate"):
            metrics, table = self._estimated(cell, attack, comparison)
            return [*metrics, missing], table
        scores = attack.score(comparison)
        metrics = [missing]
        metrics += audit.aggregate(
            scores,
            fprs=settings.fprs,
            repeats=settings.bootstrap,
            seed=settings.seed,
        )
        metrics += self._selected(cell, attack, settings)
        if attack.game == "G3":
            metrics += self._harm(cell, attack, settings)
        tables = [self._rows(cell, attack, scores, settings)]
        if attack.game != "G3" and isinstance(attack, CrossFitted) and attack.fdr > 0:
            found = self._discoveries(cell, attack, comparison, settings)
            metrics += audit.discovery_metrics(found, scores)
            tables += self._p_values(cell, scores, found)
        return metrics, pa.concat_tables(tables, promote_options="default")

    def _runs_missing(self, cell: Cell, attack: Any) -> Metric:
        """Runs of the shadow models that failed: they are in no other number of the cell."""
        shadows, group = self.plan.shadow_sets[cell.architecture], self.plan.shadow_groups[cell.subject.id]
        observed = self._base(cell) if attack.game == "G0" else self._observations(group)
        draws = 1 if attack.game == "G0" else shadows.layout.pool(group.pool).draws
        planned = shadows.layout.num_shadows * draws
        return Metric(
            metric="runs_missing",
            split=SPLIT_OF_GAME.get(attack.game, "all"),
            value=float(planned - len(observed.base)),
            ci_low=None,
            ci_high=None,
            n=planned,
            higher_is="worse",
            game=attack.game,
        )

    def _comparison(self, cell: Cell, attack: Any, *, half: int | None = None) -> Comparison:
        """The two hypotheses of an attack's game; of one half of the shadow pairs where one is named."""
        return self._audited(cell, attack, self._hypotheses(cell, attack.game, half))

    def _audited(self, cell: Cell, attack: Any, comparison: Comparison) -> Comparison:
        """The canaries alone for an attack on them; for any other the natural examples alone."""
        canaries = self._canaries(cell)
        if canaries is None:
            return comparison
        ids = np.concatenate([comparison.example_ids, comparison.excluded])
        return comparison.of_examples(ids[np.isin(ids, canaries.ids) == attack.on_canaries])

    def _canaries(self, cell: Cell) -> Canaries | None:
        return self.plan.shadow_sets[cell.architecture].layout.canaries

    def _targets(self, cell: Cell, attack: Any) -> np.ndarray:
        """Examples of which every run is kept, and each is tested."""
        canaries = self._canaries(cell)
        if canaries is not None and attack.on_canaries:
            return canaries.ids
        return self.plan.data.forget_sets[cell.forget_set].ids

    def _labels(self, cell: Cell, ids: np.ndarray) -> np.ndarray:
        """The labels that shadow models learn."""
        labels, canaries = self.plan.data.labels.labels, self._canaries(cell)
        if canaries is not None:
            labels = labels.copy()
            labels[canaries.ids] = canaries.labels
        return labels[ids]

    def _hypotheses(self, cell: Cell, game: str, half: int | None) -> Comparison:
        if game == "G0":
            return compare(self._base(cell, half), "G0")
        observations = self._observations(self.plan.shadow_groups[cell.subject.id], half)
        if game != "G1":
            return compare(observations, game)
        group = self.plan.shadow_groups[cell.reference.id]
        if cell.reference == cell.subject:
            # The floor: retrained without x against retrained models that never saw it. Base models would
            # differ by the size of their training set alone.
            return compare(observations, "G1", reference=observations, reference_state=State.NEVER)
        if group.method != RETRAINED_METHOD:
            return compare(observations, "G1", reference=self._base(cell, half), reference_state=State.NEVER)
        reference = self._observations(group, half)
        return compare(observations, "G1", reference=reference, reference_state=State.UNLEARNED)

    def _selected(self, cell: Cell, attack: Any, settings: Settings) -> list[Metric]:
        """AUC of the most vulnerable tenth, chosen on one half of the pairs and measured on the other.

        Left out where the halves hold too few shadows to score anything, or examples to select from.
        """
        if attack.game not in ("G1", "G2"):
            return []
        try:
            scores = [attack.score(self._comparison(cell, attack, half=half)) for half in (0, 1)]
        except AuditError:
            return []
        if len(np.intersect1d(scores[0].example_ids, scores[1].example_ids)) * SELECTED_SHARE < 1:
            return []
        found = audit.select_and_report(
            *scores,
            share=SELECTED_SHARE,
            repeats=settings.bootstrap,
            seed=settings.seed,
        )
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
        """Whether this attack tells retained examples apart more easily than before, on different shadows."""
        observations = self._observations(self.plan.shadow_groups[cell.subject.id])
        before, after = audit.harm_games(observations, self._base(cell))
        harm = audit.retain_harm(
            attack.score,
            (self._audited(cell, attack, before), self._audited(cell, attack, after)),
            repeats=settings.bootstrap,
            seed=settings.seed,
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
        """Attacks that bound epsilon directly and score no example.

        A one-run bound holds at its confidence for one model: of the bounds of all shadow models the median is
        the one to read, the largest is the luckiest of many.
        """
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
        canaries = self._canaries(cell)
        assert canaries is not None
        bounds = attack.estimate(comparison, canaries)
        values = np.array([bound.epsilon for bound in bounds])
        found = {"lowest": values.min(), "median": np.median(values), "largest": values.max()}
        metrics = [
            Metric(
                metric="epsilon_lower_bound",
                split="forget",
                value=float(value),
                ci_low=float(value),
                ci_high=None,
                n=len(values),
                higher_is="worse",
                game=comparison.game,
                variant=f"one_run:{canaries.kind}:{which}_of_shadows",
            )
            for which, value in found.items()
        ]
        return metrics, pa.table({"split": pa.array([], pa.string()), "example_id": pa.array([], pa.int32())})

    def _rows(self, cell: Cell, attack: Any, scores: PerExampleScores, settings: Settings) -> pa.Table:
        """Scores of the targets in every run, for ROC curves, then each example's AUC and accuracy with intervals.

        Games over the whole training set (G0, G3) keep the runs of the targets alone: with every example they
        would outgrow the observations.
        """
        targets = self._targets(cell, attack)
        base, column = np.nonzero((scores.label >= 0) & np.isin(scores.example_ids, targets))
        split = SPLIT_OF_GAME.get(scores.game, "all")
        ids = scores.example_ids[column]
        runs = pa.table(
            {
                "split": np.full(len(ids), split),
                "example_id": ids,
                "label": self._labels(cell, ids),
                "statistic": np.full(len(ids), scores.statistic),
                "member": scores.label[base, column] == 1,
                "score": scores.score[base, column].astype(np.float32),
            }
        )
        found = by_example(scores)
        single = {
            "auc": {"score": found.auc, "score_low": found.auc_low, "score_high": found.auc_high},
            "accuracy": {
                "score": found.accuracy,
                "score_low": found.accuracy_low,
                "score_high": found.accuracy_high,
            },
        }
        tables = self._single(cell, scores, found.example_ids, single)
        return pa.concat_tables([runs, *tables], promote_options="default")

    def _single(
        self,
        cell: Cell,
        scores: PerExampleScores,
        ids: np.ndarray,
        values: Mapping[str, Mapping[str, np.ndarray]],
    ) -> list[pa.Table]:
        """A row for each example and kind of value, which the statistic names after the attack's own."""
        shared = {
            "split": np.full(len(ids), SPLIT_OF_GAME.get(scores.game, "all")),
            "example_id": ids,
            "label": self._labels(cell, ids),
        }
        return [
            pa.table(
                {
                    **shared,
                    "statistic": np.full(len(ids), f"{scores.statistic}:{name}"),
                    **{column: array.astype(np.float32) for column, array in columns.items()},
                }
            )
            for name, columns in values.items()
        ]

    def _discoveries(
        self, cell: Cell, attack: Any, comparison: Comparison, settings: Settings
    ) -> audit.Calibrated:
        """Which targets are told apart at the attack's false-discovery rate.

        G0 is about every training example; only the targets are tested, the same as after unlearning.
        """
        targets = self._targets(cell, attack)
        return audit.calibrated_discoveries(
            attack,
            comparison.of_examples(targets),
            repeats=attack.permutations,
            seed=settings.seed,
            rate=attack.fdr,
        )

    def _p_values(self, cell: Cell, scores: PerExampleScores, found: audit.Calibrated) -> list[pa.Table]:
        """Each target's p-value, and the smallest false-discovery rate at which it counts (q-value)."""
        values = {"p_value": {"score": found.p_value}, "q_value": {"score": found.found.q_value}}
        return self._single(cell, scores, found.example_ids, values)

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
