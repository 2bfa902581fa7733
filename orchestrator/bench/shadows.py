"""Train a batch of shadow models, unlearn from each with every method, and have written what was observed."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from torch import nn

from orchestrator.errors import one_line
from orchestrator.plan.shadows import (
    BASE_METHOD,
    ShadowGroup,
    ShadowSet,
    batch_of,
)
from orchestrator.records.observations import missing_groups
from orchestrator.records.shadows import ShadowRecords
from tasks.errors import AuditError
from tasks.runtime import weights
from tasks.runtime.memory import MEMORY_ERRORS
from tasks.runtime.time_limit import TimeLimit
from tasks.shadows.runs import ShadowBench, ShadowRun, Unlearning, shadow_runs
from tasks.training.strategy_text import Strategy

if TYPE_CHECKING:
    from orchestrator.bench.workbench import Workbench

ENDS = (TimeLimit, *MEMORY_ERRORS)
"""What a training together may end with. Fewer models together would need less memory, and differ in last bits."""
Draw = tuple[int, str, int]
"""Shadow model, target pool, draw."""


class ShadowWorker:
    """Runs shadow models of one architecture in one process.

    Args:
        workbench: builds models and holds the data.
        architecture: name on the axis.
        told: called whenever a shadow model is done in a group.
    """

    def __init__(
        self, workbench: Workbench, architecture: str, told: Callable[[], None] | None = None
    ) -> None:
        self._stages = workbench.stages
        self.plan, self.store = workbench.plan, workbench.store
        self.shadows: ShadowSet = self.plan.shadow_sets[architecture]
        config, splits = self.plan.config, self.plan.data.splits
        self._build = lambda path: workbench.models.build(architecture, path)
        base = self.shadows.pretrained_id
        self.bench = ShadowBench(
            layout=self.shadows.layout,
            data=workbench.data.for_shadows(self.shadows.layout.canaries),
            recipe=self.shadows.recipe,
            fresh_model=lambda path: workbench.models.initial(base, architecture, path),
            example_ids=np.sort(np.concatenate([splits.train, splits.test])),
            validation_ids=splits.validation,
            engine=workbench.stages.engine,
            strategy=Strategy.parse(config.shadows.strategy),
            augment_unlearning=config.unlearning.augment,
            norm_statistics=config.unlearning.norm_statistics,
            score_batch=config.evaluation.batch_size,
            scores=self.plan.data.scores.values,
        )
        self._records = ShadowRecords(self.plan, self.store, self.shadows, self.bench, told)

    def run(self, numbers: Sequence[int]) -> list[str]:
        """Complete the observations of some shadow models.

        Returns:
            Why runs failed, a line for each; the others are written all the same.
        """
        problems: list[str] = []
        try:
            with self._stages.watched():
                for problem in self._run(numbers):
                    problems.append(problem)  # one by one: an error below keeps what came before it
        except AuditError:
            raise
        except (Exception, SystemExit) as error:  # such as memory; what is not observed fails its cells
            told = ", ".join(map(str, numbers))
            problems.append(f"shadows {told} {self.shadows.architecture}: {type(error).__name__}: {error}")
        return problems

    def _run(self, numbers: Sequence[int]) -> Iterator[str]:
        missing = missing_groups(self.plan, self.store, self.shadows.architecture)
        numbers = [shadow for shadow in numbers if shadow in missing]
        trained = yield from self._trained(numbers)
        yield from self._retrain({shadow: missing[shadow] for shadow in numbers})
        for shadow in numbers:
            if shadow in trained:
                yield from self._unlearn(shadow, trained[shadow], missing[shadow])
            else:
                yield from self._give_up(shadow, missing[shadow])

    def _trained(self, numbers: Sequence[int]) -> Generator[str, None, dict[int, nn.Module]]:
        """The shadow models as trained, from the store or trained now; observed where they were not.

        Without those that have failed, now or before: trying again may cost a time limit each time.
        """
        base = self.shadows.base()
        trained: dict[int, nn.Module] = {}
        absent: list[int] = []
        for shadow in numbers:
            key, observed = self.shadows.shadow_id(shadow), self._records.observed(base, shadow)
            if observed and self.store.has_blob("weights", key):
                model: nn.Module = self._build(("empty",))
                weights.load(model, self.store.get_blob("weights", key))
                trained[shadow] = model.eval()
            elif not (observed and self._records.failure(base, shadow)):
                absent.append(shadow)
        for batch in self._batches(absent):
            trained |= yield from self._train(batch, [shadow for shadow in batch if shadow in absent])
        return trained

    def _train(self, batch: range, wanted: Sequence[int]) -> Generator[str, None, dict[int, nn.Module]]:
        """Train a batch, write what was observed of those that are wanted, and return the sound ones."""
        base = self.shadows.base()

        def record(error: BaseException) -> list[str]:
            run = self._failed(error, BASE_METHOD, together=len(batch))
            problems = []
            for shadow in wanted:
                self._records.write_shadow(shadow, None, run)
                problems += self._records.write(base, shadow, [run])
            return problems

        sound: dict[int, nn.Module] = {}
        try:
            trained = self._stages.with_room(lambda: self._recorded_by(record).train(batch))
        except ENDS as error:
            yield from record(error)
            return sound
        for shadow, (model, run) in zip(batch, trained, strict=True):
            if shadow in wanted:
                self._records.write_shadow(shadow, model, run)
                yield from self._records.write(base, shadow, [run])
                if not run.error:
                    sound[shadow] = model.eval()
        return sound

    def _batches(self, numbers: Iterable[int]) -> list[range]:
        """The whole batches that hold some shadow models."""
        size = self.plan.config.shadows.batch
        return list(dict.fromkeys(batch_of(self.shadows.layout, shadow, size) for shadow in numbers))

    def _retrain(self, missing: dict[int, list[ShadowGroup]]) -> Iterator[str]:
        """The exact control of every draw, once for each that is independent of the others."""
        groups = [
            (shadow, group) for shadow, missed in missing.items() for group in missed if group.from_scratch
        ]
        for method in sorted({group.method for _, group in groups}):
            yield from self._retrain_once({(s, g.pool): g for s, g in groups if g.method == method})

    def _retrain_once(self, wanted: Mapping[tuple[int, str], ShadowGroup]) -> Iterator[str]:
        """One control of some shadow models and pools, as many at a time as shadow models are trained together."""
        runs: dict[tuple[int, str], list[ShadowRun]] = {place: [] for place in wanted}
        for pool in sorted({pool for _, pool in wanted}):
            for part in self._control_batches([shadow for shadow, other in wanted if other == pool], pool):
                for (shadow, _, _), run in zip(part, self._retrain_part(part, wanted, runs), strict=True):
                    if (shadow, pool) in runs:
                        runs[shadow, pool].append(run)
        for (shadow, pool), group in wanted.items():
            yield from self._records.write(group, shadow, runs[shadow, pool])

    def _retrain_part(
        self,
        part: Sequence[Draw],
        wanted: Mapping[tuple[int, str], ShadowGroup],
        runs: Mapping[tuple[int, str], Sequence[ShadowRun]],
    ) -> list[ShadowRun]:
        """Retrain some draws together; what takes too long or too much memory has failed."""

        control = next(iter(wanted.values()))

        def failed(error: BaseException) -> list[ShadowRun]:
            return [
                self._failed(error, control.method, pool=pool, draw=draw, together=len(part))
                for _, pool, draw in part
            ]

        def record(error: BaseException) -> None:
            runs_failed = failed(error)
            for place in wanted.keys() & {(shadow, pool) for shadow, pool, _ in part}:
                mine = [run for (*of, _), run in zip(part, runs_failed, strict=True) if tuple(of) == place]
                self._records.write(wanted[place], place[0], [*runs[place], *mine])

        try:
            bench = self._recorded_by(record)
            return self._stages.with_room(lambda: bench.retrain(part, replicate=control.replicate))
        except ENDS as error:
            return failed(error)

    def _control_batches(self, numbers: Sequence[int], pool: str) -> Iterator[list[Draw]]:
        """Draws that are retrained together, cut alike whatever is left to do."""
        size, draws = self.plan.config.shadows.batch, self.shadows.layout.pool(pool).draws
        for batch in self._batches(numbers):
            every = [(shadow, pool, draw) for shadow in batch for draw in range(draws)]
            parts = [every[start : start + size] for start in range(0, len(every), size)]
            yield from (part for part in parts if any(shadow in numbers for shadow, _, _ in part))

    def _give_up(self, shadow: int, missing: Iterable[ShadowGroup]) -> Iterator[str]:
        """Write that nothing can be unlearned from a shadow model whose training failed."""
        kind, why = self._records.failure(self.shadows.base(), shadow) or ("", "")
        for group in missing:
            if group.unlearns:
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
                yield from self._records.write(group, shadow, [run])

    def _unlearn(self, shadow: int, model: nn.Module, missing: Iterable[ShadowGroup]) -> Iterator[str]:
        """Every method on every draw of one shadow model, draw by draw so that methods share their stages."""
        groups = [g for g in missing if g.unlearns]
        for pool in sorted({g.pool for g in groups}):
            yield from self._unlearn_pool(shadow, model, [g for g in groups if g.pool == pool])

    def _unlearn_pool(self, shadow: int, model: nn.Module, groups: Sequence[ShadowGroup]) -> Iterator[str]:
        draws = self.shadows.layout.pool(groups[0].pool).draws
        work = [
            Unlearning(label=g.group_id, method=g.named_method.built, scope=g.scope, pool=g.pool, draw=draw)
            for draw in range(draws)
            for g in groups
            if g.named_method is not None
        ]
        by_id = {g.group_id: g for g in groups}
        runs: dict[str, list[ShadowRun]] = {key: [] for key in by_id}

        def record(error: BaseException) -> None:
            hung = work[sum(map(len, runs.values()))]
            failed = self._failed(error, hung.label, scope=hung.scope, pool=hung.pool, draw=hung.draw)
            self._records.write(by_id[hung.label], shadow, [*runs[hung.label], failed])

        bench, trajectories = self._recorded_by(record), self.plan.config.shadows.trajectories
        for run in shadow_runs(bench, shadow, model, work, trajectories=trajectories):
            runs[run.method].append(run)
            if len(runs[run.method]) == draws:
                yield from self._records.write(by_id[run.method], shadow, runs[run.method])

    # -- time -----------------------------------------------------------------------------------------------

    def _recorded_by(self, record: Callable[[BaseException], object]) -> ShadowBench:
        """The bench under the time limit; `record` writes what hangs in native code, before the process ends.

        It is called from another thread: nothing of the models that hang can be read then.
        """
        return replace(
            self.bench, limited=lambda: self._stages.limited(record), with_room=self._stages.with_room
        )

    def _failed(
        self,
        error: BaseException,
        method: str,
        *,
        scope: str = "",
        pool: str = "",
        draw: int = 0,
        together: int = 1,
    ) -> ShadowRun:
        """A run that took too long or too much memory, or lost its device, of some that ran together."""
        remedy = "; fewer together need less (shadows.batch)" if isinstance(error, MEMORY_ERRORS) else ""
        return ShadowRun(
            method=method,
            scope=scope,
            pool=pool,
            draw=draw,
            block=None,
            seconds=self.plan.config.execution.stage_timeout / together
            if isinstance(error, TimeLimit)
            else 0.0,
            error=f"{type(error).__name__}: {one_line(error)}{remedy}",
            error_type=type(error).__name__,
        )
