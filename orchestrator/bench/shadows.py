"""Train a batch of shadow models, unlearn from each with every method, and have written what was observed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from torch import nn

from orchestrator.plan.grid import build_method
from orchestrator.plan.shadows import (
    BASE_METHOD,
    RETRAINED_METHOD,
    ShadowGroup,
    ShadowSet,
    batch_of,
    missing_groups,
)
from orchestrator.records.shadows import ShadowRecords
from tasks.errors import AuditError
from tasks.runtime import weights
from tasks.runtime.time_limit import TimeLimit
from tasks.shadows.runs import ShadowBench, ShadowRun, Unlearning, shadow_runs
from tasks.training.strategy_text import Strategy

if TYPE_CHECKING:
    from orchestrator.bench.workbench import Workbench

Draw = tuple[int, str, int]
"""Shadow model, target pool, draw."""


class ShadowWorker:
    """Runs shadow models of one architecture in one process.

    Args:
        workbench: builds models and holds the data.
        architecture: name on the axis.
    """

    def __init__(self, workbench: Workbench, architecture: str) -> None:
        self._limited = workbench.stages.limited
        self.plan, self.store = workbench.plan, workbench.store
        self.shadows: ShadowSet = self.plan.shadow_sets[architecture]
        config, splits = self.plan.config, self.plan.data.splits
        self._build = lambda path: workbench.models.build(architecture, path)
        self.bench = ShadowBench(
            layout=self.shadows.layout,
            data=workbench.data.for_shadows(self.shadows.layout.canaries),
            recipe=self.shadows.recipe,
            fresh_model=self._build,
            example_ids=np.sort(np.concatenate([splits.train, splits.test])),
            validation_ids=splits.validation,
            engine=workbench.stages.engine,
            strategy=Strategy.parse(config.shadows.strategy),
            augment_unlearning=config.unlearning.augment,
            norm_statistics=config.unlearning.norm_statistics,
            score_batch=config.evaluation.batch_size,
            scores=self.plan.data.scores.values,
        )
        self._records = ShadowRecords(self.plan, self.store, self.shadows, self.bench)

    def run(self, numbers: Sequence[int]) -> list[str]:
        """Complete the observations of some shadow models.

        Returns:
            Why runs failed, a line for each; the others are written all the same.
        """
        problems: list[str] = []
        try:
            self._run(numbers, problems)
        except AuditError:
            raise
        except (Exception, SystemExit) as error:  # such as memory; what is not observed fails its cells
            told = ", ".join(map(str, numbers))
            problems.append(f"shadows {told} {self.shadows.architecture}: {type(error).__name__}: {error}")
        return problems

    def _run(self, numbers: Sequence[int], problems: list[str]) -> None:
        missing = missing_groups(self.plan, self.store, self.shadows.architecture)
        numbers = [j for j in numbers if j in missing]
        trained = self._trained(numbers, problems)
        self._retrain({j: missing[j] for j in numbers}, problems)
        for j in numbers:
            if j in trained:
                self._unlearn(j, trained[j], missing[j], problems)
            else:
                self._give_up(j, missing[j], problems)

    def _trained(self, numbers: Sequence[int], problems: list[str]) -> dict[int, nn.Module]:
        """The shadow models as trained, from the store or trained now; observed where they were not.

        Without those that have failed, now or before: trying again may cost a time limit each time.
        """
        base = self.shadows.base()
        found: dict[int, nn.Module] = {}
        absent: list[int] = []
        for j in numbers:
            key, observed = self.shadows.shadow_id(j), self._records.observed(base, j)
            if observed and self.store.has_blob("weights", key):
                model: nn.Module = self._build(("empty",))
                weights.load(model, self.store.get_blob("weights", key))
                found[j] = model.eval()
            elif not (observed and self._records.failure(base, j)):
                absent.append(j)
        for batch in self._batches(absent):
            found |= self._train(batch, [j for j in batch if j in absent], problems)
        return found

    def _train(self, batch: range, wanted: Sequence[int], problems: list[str]) -> dict[int, nn.Module]:
        """Train a batch, write what was observed of those that are wanted, and return the sound ones."""
        base = self.shadows.base()

        def record(error: TimeLimit) -> None:
            run = self._overdue(error, BASE_METHOD, together=len(batch))
            for j in wanted:
                self._records.write_shadow(j, None, run)
                self._records.write(base, j, [run], problems)

        found: dict[int, nn.Module] = {}
        try:
            trained = self._recorded_by(record).train(batch)
        except TimeLimit as error:
            record(error)
            return found
        for j, (model, run) in zip(batch, trained, strict=True):
            if j in wanted:
                self._records.write_shadow(j, model, run)
                self._records.write(base, j, [run], problems)
                if not run.error:
                    found[j] = model.eval()
        return found

    def _batches(self, numbers: Iterable[int]) -> list[range]:
        """The whole batches that hold some shadow models."""
        size = self.plan.config.shadows.batch
        return list(dict.fromkeys(batch_of(self.shadows.layout, j, size) for j in numbers))

    def _retrain(self, missing: dict[int, list[ShadowGroup]], problems: list[str]) -> None:
        """The exact control of every draw, as many at a time as shadow models are trained together."""
        wanted = {(j, g.pool): g for j, groups in missing.items() for g in groups if _is_control(g)}
        runs: dict[tuple[int, str], list[ShadowRun]] = {place: [] for place in wanted}
        for pool in sorted({pool for _, pool in wanted}):
            for part in self._control_batches([j for j, other in wanted if other == pool], pool):
                for (j, _, _), run in zip(
                    part, self._retrain_part(part, wanted, runs, problems), strict=True
                ):
                    if (j, pool) in runs:
                        runs[j, pool].append(run)
        for (j, pool), group in wanted.items():
            self._records.write(group, j, runs[j, pool], problems)

    def _retrain_part(
        self,
        part: Sequence[Draw],
        wanted: Mapping[tuple[int, str], ShadowGroup],
        runs: Mapping[tuple[int, str], Sequence[ShadowRun]],
        problems: list[str],
    ) -> list[ShadowRun]:
        """Retrain some draws together; what takes too long has failed, with the earlier runs where it hangs."""

        def overdue(error: TimeLimit) -> list[ShadowRun]:
            return [
                self._overdue(error, RETRAINED_METHOD, pool=pool, draw=draw, together=len(part))
                for _, pool, draw in part
            ]

        def record(error: TimeLimit) -> None:
            failed = overdue(error)
            for place in wanted.keys() & {(j, pool) for j, pool, _ in part}:
                mine = [run for (*of, _), run in zip(part, failed, strict=True) if tuple(of) == place]
                self._records.write(wanted[place], place[0], [*runs[place], *mine], problems)

        try:
            return self._recorded_by(record).retrain(part)
        except TimeLimit as error:
            return overdue(error)

    def _control_batches(self, numbers: Sequence[int], pool: str) -> Iterator[list[Draw]]:
        """Draws that are retrained together, cut alike whatever is left to do."""
        size, draws = self.plan.config.shadows.batch, self.shadows.layout.pool(pool).draws
        for batch in self._batches(numbers):
            every = [(j, pool, d) for j in batch for d in range(draws)]
            parts = [every[start : start + size] for start in range(0, len(every), size)]
            yield from (part for part in parts if any(j in numbers for j, _, _ in part))

    def _give_up(self, shadow: int, missing: Iterable[ShadowGroup], problems: list[str]) -> None:
        """Write that nothing can be unlearned from a shadow model whose training failed."""
        kind, why = self._records.failure(self.shadows.base(), shadow) or ("", "")
        for group in missing:
            if group.method not in (BASE_METHOD, RETRAINED_METHOD):
                run = ShadowRun(
                    method=group.method,
                    scope=group.scope,
                    pool=group.pool,
                    draw=0,
                    block=None,
                    seconds=0.0,
                    error=f"the shadow model failed: {why}",
                    error_type=kind,
                )
                self._records.write(group, shadow, [run], problems)

    def _unlearn(
        self, shadow: int, model: nn.Module, missing: Iterable[ShadowGroup], problems: list[str]
    ) -> None:
        """Every method on every draw of one shadow model, draw by draw so that methods share their stages."""
        groups = [g for g in missing if g.method not in (BASE_METHOD, RETRAINED_METHOD)]
        for pool in sorted({g.pool for g in groups}):
            self._unlearn_pool(shadow, model, [g for g in groups if g.pool == pool], problems)

    def _unlearn_pool(
        self, shadow: int, model: nn.Module, groups: Sequence[ShadowGroup], problems: list[str]
    ) -> None:
        methods = [build_method(self.plan.config, g.method, g.architecture, g.scope)[1] for g in groups]
        draws = self.shadows.layout.pool(groups[0].pool).draws
        work = [
            Unlearning(label=g.group_id, method=method, scope=g.scope, pool=g.pool, draw=draw)
            for draw in range(draws)
            for g, method in zip(groups, methods, strict=True)
        ]
        by_id = {g.group_id: g for g in groups}
        runs: dict[str, list[ShadowRun]] = {key: [] for key in by_id}

        def record(error: TimeLimit) -> None:
            hung = work[sum(map(len, runs.values()))]
            failed = self._overdue(error, hung.label, scope=hung.scope, pool=hung.pool, draw=hung.draw)
            self._records.write(by_id[hung.label], shadow, [*runs[hung.label], failed], problems)

        bench, trajectories = self._recorded_by(record), self.plan.config.shadows.trajectories
        for run in shadow_runs(bench, shadow, model, work, trajectories=trajectories):
            runs[run.method].append(run)
            if len(runs[run.method]) == draws:
                self._records.write(by_id[run.method], shadow, runs[run.method], problems)

    # -- time -----------------------------------------------------------------------------------------------

    def _recorded_by(self, record: Callable[[TimeLimit], None]) -> ShadowBench:
        """The bench under the time limit; `record` writes what hangs in native code, before the process ends.

        It is called from another thread: nothing of the models that hang can be read then.
        """
        return replace(self.bench, limited=lambda: self._limited(record))

    def _overdue(
        self,
        error: TimeLimit,
        method: str,
        *,
        scope: str = "",
        pool: str = "",
        draw: int = 0,
        together: int = 1,
    ) -> ShadowRun:
        """A run that took too long, of some that ran together."""
        return ShadowRun(
            method=method,
            scope=scope,
            pool=pool,
            draw=draw,
            block=None,
            seconds=self.plan.config.execution.stage_timeout / together,
            error=f"{type(error).__name__}: {error}",
            error_type=type(error).__name__,
        )


def _is_control(group: ShadowGroup) -> bool:
    return group.method == RETRAINED_METHOD
