"""What the shadow models of a sweep will cost and how many observations each state will have."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.plan.cells import Cell, Plan, ShadowSubject
from orchestrator.plan.shadows import BASE_METHOD, CANARY_POOL, ShadowGroup, wished
from orchestrator.store.store import Store
from tasks.shadows.budget import observations_per_state, shortfalls
from tasks.shadows.layout import ShadowLayout

if TYPE_CHECKING:
    from tasks.training.strategy import Choice

BYTES_PER_ROW = 18
"""Of `observations` on disk, measured at 32 million rows (tests/benchmarks/observations_scale.py)."""


@dataclass(frozen=True, kw_only=True)
class CanaryCount:
    """Planted training examples."""

    count: int
    canary_kind: str
    images: str
    """Where their images come from, in words."""


@dataclass(frozen=True, kw_only=True)
class ShadowEstimate:
    """Observations, bytes and time of the shadow models of a plan."""

    canaries: CanaryCount | None
    observations_per_state: Mapping[str, Mapping[str, float]]
    """Forget set -> state -> mean observations of a target in one method."""
    not_shown: Sequence[str]
    """Why something that is asked for will be missing from the results, a line for each."""
    observation_rows: int
    """Of a complete sweep, without trajectories."""
    missing_bytes: int
    """Of the observations that a run would write."""
    stages: int
    """Pairs of a method and a shadow model to compute."""
    seconds: float
    """Their time from past costs."""
    stages_without_past_cost: int
    """Those that `seconds` leaves out."""

    @property
    def observation_bytes(self) -> int:
        """Of a complete sweep, without trajectories."""
        return self.observation_rows * BYTES_PER_ROW

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as the plan is printed in JSON."""
        return {
            "canaries": {} if self.canaries is None else asdict(self.canaries),
            "observations_per_state": {k: dict(v) for k, v in self.observations_per_state.items()},
            "not_shown": list(self.not_shown),
            "observation_rows": self.observation_rows,
            "observation_bytes": self.observation_bytes,
            "missing_bytes": self.missing_bytes,
            "stages": self.stages,
            "seconds": self.seconds,
            "stages_without_past_cost": self.stages_without_past_cost,
        }


@dataclass(frozen=True, kw_only=True)
class LockstepEstimate:
    """How shadow models of one architecture are trained fastest."""

    configured: str
    """`[shadows] strategy`."""
    fastest: str
    """The strategy to take."""
    seconds: Mapping[str, float]
    """Strategy -> seconds of a step of one model."""
    not_stacked: str
    """Why only the loop is possible; empty where it is not."""


def shadow_summary(
    plan: Plan,
    store: Store,
    *,
    missing: Iterable[Cell],
    seconds: Mapping[tuple[str, str, str], float],
    forgotten: Set[str] = frozenset(),
) -> ShadowEstimate | None:
    """What the shadow models of a plan take; None where it has none.

    Args:
        plan: the whole grid.
        store: results so far.
        missing: cells that a run would compute.
        seconds: what shadow models took, by architecture, method and scope.
        forgotten: keys of observations that a run would make again.
    """
    if not plan.shadow_sets:
        return None
    waiting = _waiting(plan, missing, store.keys("observations") - forgotten)
    known = [seconds[_kind(group)] for group in waiting if _kind(group) in seconds]
    return ShadowEstimate(
        canaries=_canaries(plan),
        observations_per_state=observations_per_state(_layout(plan)),
        not_shown=_not_shown(plan),
        observation_rows=sum(_rows(plan, group) for group in plan.shadow_groups.values()),
        missing_bytes=sum(_rows_of_one(plan, group) for group in waiting) * BYTES_PER_ROW,
        stages=len(waiting),
        seconds=sum(known),
        stages_without_past_cost=len(waiting) - len(known),
    )


def shadow_lines(estimate: ShadowEstimate | None) -> list[str]:
    """The estimate as lines of text."""
    if estimate is None:
        return []
    lines = []
    if estimate.canaries:
        lines.append("canaries    {count:,} {canary_kind}, {images}".format(**asdict(estimate.canaries)))
    for pool, states in estimate.observations_per_state.items():
        counts = ", ".join(f"{count:.0f} {state}" for state, count in states.items())
        lines.append(f"per target  {pool}: {counts} observations for each method")
    lines += [f"not shown   {problem}" for problem in estimate.not_shown]
    size = estimate.observation_bytes / 2**20
    lines.append(f"observed    {estimate.observation_rows:,} rows, {size:,.0f} MiB without trajectories")
    return lines


def lockstep_summary(measured: Mapping[str, Choice], *, configured: str) -> dict[str, LockstepEstimate]:
    """What a probe has measured, by architecture.

    Args:
        measured: by architecture.
        configured: `[shadows] strategy`.
    """
    return {
        name: LockstepEstimate(
            configured=configured,
            fastest=choice.strategy.name,
            seconds=dict(choice.seconds),
            not_stacked=choice.reason,
        )
        for name, choice in measured.items()
    }


def lockstep_lines(measured: Mapping[str, LockstepEstimate]) -> list[str]:
    """What a probe has measured as lines of text."""
    lines = []
    for name, found in measured.items():
        told = ", ".join(f"{way} {1e3 * seconds:.2f}" for way, seconds in found.seconds.items())
        if found.not_stacked:
            told += f"; only the loop: {found.not_stacked}"
        elif found.fastest != found.configured:
            told += f"; faster than configured: --set shadows.strategy={found.fastest}"
        lines.append(f"lockstep    {name}: ms for a step of one model: {told}")
    return lines


def _layout(plan: Plan) -> ShadowLayout:
    """The same for every architecture: sets differ in nothing but whose models they are."""
    return next(iter(plan.shadow_sets.values())).layout


def _not_shown(plan: Plan) -> list[str]:
    found: dict[str, None] = {}
    for attack in (named.built for named in plan.attacks.values()):
        pools = (CANARY_POOL,) if attack.on_canaries else tuple(plan.data.forget_sets)
        wish = wished(attack, plan.config.evaluation.fprs)
        found |= dict.fromkeys(shortfalls(_layout(plan), wish, pools=pools))
    return list(found)


def _canaries(plan: Plan) -> CanaryCount | None:
    canaries = _layout(plan).canaries
    if canaries is None:
        return None
    shown = canaries.images.provenance["images"] if canaries.images else None
    images = f"images of {shown}" if shown else "with their own images"
    return CanaryCount(count=len(canaries.ids), canary_kind=canaries.kind, images=images)


def _rows(plan: Plan, group: ShadowGroup) -> int:
    return plan.shadow_sets[group.architecture].layout.num_shadows * _rows_of_one(plan, group)


def _rows_of_one(plan: Plan, group: ShadowGroup) -> int:
    layout, splits = plan.shadow_sets[group.architecture].layout, plan.data.splits
    draws = 1 if group.method == BASE_METHOD else layout.pool(group.pool).draws
    return draws * (len(splits.train) + len(splits.test))


def _waiting(plan: Plan, missing: Iterable[Cell], done: Set[str]) -> list[ShadowGroup]:
    """A group for each of its shadow models that a run would complete."""
    needed = {
        stage for cell in missing if isinstance(cell.subject, ShadowSubject) for stage in plan.stages(cell)
    }
    sizes = {name: shadows.layout.num_shadows for name, shadows in plan.shadow_sets.items()}
    return [
        group
        for key, group in plan.shadow_groups.items()
        if key in needed
        for j in range(sizes[group.architecture])
        if group.key(j) not in done
    ]


def _kind(group: ShadowGroup) -> tuple[str, str, str]:
    return group.architecture, group.method, group.scope


def past_shadow_seconds(store: Store) -> dict[tuple[str, str, str], float]:
    """Median seconds of a shadow model's training, or of all its draws under one method and scope."""
    found: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    columns = ["kind", "status", "architecture", "method", "scope", "seconds"]
    for row in store.read("models").select(columns).to_pylist():
        if row["kind"] == "shadow" and row["status"] == "finished" and row["seconds"] is not None:
            found[row["architecture"], row["method"], row["scope"]].append(row["seconds"])
    return {key: statistics.median(values) for key, values in found.items()}
