"""What the audit of a plan can decide: which differences it tells apart, and whether it can show equivalence."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.config.answers import Measure
from orchestrator.plan.answers import is_answered_by
from orchestrator.plan.cells import Cell, Plan, ShadowSubject
from orchestrator.plan.data import train_labels_by_side
from orchestrator.store.store import Store
from tasks.metrics.base import Metric
from tasks.statistics.power import difference_told_apart, equivalence_power

POWER = 0.8
LEVEL = 0.05
"""Of all primary measures of a model together, which Holm's procedure corrects, and of each test of equivalence."""
GUESSED_SHARE = 0.9
"""Of right answers, where nothing says how many there will be."""


class Spread(NamedTuple):
    """How far models that differ in their seed alone lie apart."""

    sd: float | None
    source: str


@dataclass(frozen=True, kw_only=True)
class Decidable:
    """What can be decided of a measure in one place of the grid."""

    measure: str
    architecture: str
    forget_set: str
    scope: str
    methods: Sequence[str]
    seeds: int
    margin: float | None
    level: float
    """Of the test of a difference."""
    sd: float | None
    sd_from: str
    difference: float | None
    """That is told apart with a power of .8; None with one seed, where no sd is known, or beyond what is possible."""
    equivalence: float | None
    """Probability that equivalence within the margin is shown where nothing differs."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self) | {"methods": list(self.methods), "power": POWER}


def decidable(plan: Plan, store: Store) -> list[Decidable]:
    """What can be decided, for each primary measure, architecture, forget set, scope and number of seeds.

    Where models are not retrained twice nothing can be, but by attacks on shadow models.

    Args:
        plan: with the primary measures.
        store: results so far: rows of its second retrained models say how far trainings lie apart.
    """
    seeds: defaultdict[tuple[Measure, str, str, str, str], set[int]] = defaultdict(set)
    by_attack = {
        text: [measure for measure in plan.answers.primary if is_answered_by(measure, named)]
        for text, named in plan.attacks.items()
    }
    on_shadows = {cell.attack for cell in plan.cells if isinstance(cell.subject, ShadowSubject)}
    twice = {(c.architecture, c.forget_set) for c in plan.cells if c.role == "noise_floor"}
    for cell in plan.cells:
        if cell.role in ("audited", "control") and (
            isinstance(cell.subject, ShadowSubject) or (cell.architecture, cell.forget_set) in twice
        ):
            for measure in by_attack[cell.attack]:
                seeds[measure, cell.architecture, cell.forget_set, cell.scope, cell.method].add(cell.seed)
    together: defaultdict[tuple[Measure, str, str, str, int], list[str]] = defaultdict(list)
    for (*place, method), found in seeds.items():
        together[*place, len(found)].append(method)  # type: ignore[index]
    metrics = {metric.name: metric for named in plan.attacks.values() for metric in named.built.metrics}
    spread = _Spreads(plan, store, metrics, on_shadows)
    level = LEVEL / max(1, len(plan.answers.primary))
    return [
        _decidable(
            plan, metrics[place[0].metric], *place, methods=methods, level=level, spread=spread.of(*place[:3])
        )
        for place, methods in together.items()
    ]


def _decidable(
    plan: Plan,
    metric: Metric,
    measure: Measure,
    architecture: str,
    forget_set: str,
    scope: str,
    seeds: int,
    *,
    methods: Sequence[str],
    level: float,
    spread: Spread,
) -> Decidable:
    margin, sd = plan.answers.margins[metric.name], spread.sd
    difference = equivalence = None
    if sd is not None and seeds > 1:
        told_apart = difference_told_apart(sd, seeds, level=level, power=POWER)
        difference = told_apart if told_apart < metric.high - metric.low else None
        if margin is not None:
            equivalence = equivalence_power(sd, seeds, margin, level=LEVEL)
    return Decidable(
        measure=measure.text,
        architecture=architecture,
        forget_set=forget_set,
        scope=scope,
        methods=methods,
        seeds=seeds,
        margin=margin,
        level=level,
        sd=sd,
        sd_from=spread.source,
        difference=difference,
        equivalence=equivalence,
    )


class _Spreads:
    """Standard deviations between trainings: from rows, as declared, or of sampling alone."""

    def __init__(self, plan: Plan, store: Store, metrics: Mapping[str, Metric], on_shadows: set[str]) -> None:
        self._plan, self._metrics, self._on_shadows = plan, metrics, on_shadows
        self._differences = _differences(plan, store)

    def of(self, measure: Measure, architecture: str, forget_set: str) -> Spread:
        """Of one measure in one place."""
        if measure.attack in self._on_shadows:
            return Spread(None, "known once shadow models have run")
        metric = self._metrics[measure.metric]
        seen = self._differences.get((measure, architecture, forget_set))
        if seen:
            # Two models that spread alike differ by twice the variance of one; several rows: the widest.
            sd = max(math.sqrt(math.fsum(d.squares) / len(d.squares) / 2) for d in seen.values())
            width, count = metric.high - metric.low, max(len(d.squares) for d in seen.values())
            if math.isfinite(width):  # as in the verdict: equal values do not show that there is no spread
                sd = max(sd, width / max(d.n for d in seen.values()))
            return Spread(sd, f"{count} difference{'s' * (count > 1)} of retrain_again")
        declared = self._plan.config.answers.training_sd
        for name in (f"{measure.metric}:{measure.split}", measure.metric):
            if name in declared:
                return Spread(declared[name], "answers.training_sd")
        return self._sampling(measure, forget_set)

    def _sampling(self, measure: Measure, forget_set: str) -> Spread:
        """What drawing other examples would move; models may lie nearer to each other, or farther apart."""
        data, unknown = self._plan.data, Spread(None, "unknown: declare answers.training_sd")
        forget, retain = train_labels_by_side(data, forget_set)
        test = data.labels.labels[data.splits.test]
        sizes = {"forget": len(forget), "retain": len(retain), "test": len(test)}
        if measure.split not in sizes:
            return unknown
        error = self._metrics[measure.metric].reading(measure.split, measure.game).error
        if error == "auc":
            members, others = len(forget), int(np.isin(test, forget).sum())
            sd = math.sqrt((members + others + 1) / (12 * members * max(1, others)))  # Mann-Whitney at 0.5
            return Spread(sd, "sampling error alone, at an AUC of 0.5")
        if error == "binomial":
            sd = math.sqrt(GUESSED_SHARE * (1 - GUESSED_SHARE) / sizes[measure.split])
            return Spread(sd, f"binomial sampling error alone, at {GUESSED_SHARE}")
        return unknown


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """Squared differences between the two retrained models of each seed, and the examples behind their values."""

    n: int
    squares: list[float]


_Differences = dict[tuple[Measure, str, str], dict[tuple[Any, ...], _Seen]]


def _differences(plan: Plan, store: Store) -> _Differences:
    """What the results show of the second retrained models next to the first, by row of a measure."""
    found: _Differences = {}
    if not store.files.usable():
        return found
    floors = [cell for cell in plan.cells if cell.role == "noise_floor"]
    firsts = {c.beside: c for c in plan.cells if c.role == "reference"}
    rows = _rows(store, [*floors, *firsts.values()])
    for cell in floors:
        first = rows.get(firsts[cell.beside].cell_id, {})
        measures = [m for m in plan.answers.primary if is_answered_by(m, cell.named_attack)]
        for row, (value, n) in rows.get(cell.cell_id, {}).items():
            for measure in measures:
                if row in first and measure.is_of(*row):
                    place = found.setdefault((measure, cell.architecture, cell.forget_set), {})
                    place.setdefault(row, _Seen(n=n, squares=[])).squares.append((value - first[row][0]) ** 2)
    return found


_PLACE = ("metric", "split", "game", "variant", "param")


def _rows(store: Store, cells: Iterable[Cell]) -> Mapping[str, Mapping[tuple[Any, ...], tuple[float, int]]]:
    """Values of whole splits with the examples behind them, by cell and place."""
    table = store.read("metrics").select(["cell_id", "label", "value", "n", *_PLACE])
    wanted = sorted(cell.cell_id for cell in cells)
    table = table.filter(
        pc.and_(pc.is_null(table["label"]), pc.is_in(table["cell_id"], pa.array(wanted, pa.string())))
    )
    found: defaultdict[str, dict[tuple[Any, ...], tuple[float, int]]] = defaultdict(dict)
    for row in table.to_pylist():
        found[row["cell_id"]][tuple(row[key] for key in _PLACE)] = row["value"], row["n"]
    return found


def decidable_lines(found: Sequence[Decidable]) -> list[str]:
    """A line for each measure and number of seeds, over all places; one for what a single seed leaves open."""
    groups: defaultdict[tuple[str, int], list[Decidable]] = defaultdict(list)
    for each in found:
        if each.sd is None or each.seeds > 1:
            groups[each.measure, each.seeds].append(each)
    lines = [f"{measure}, {_seeds(count)}: {_told(group)}" for (measure, count), group in groups.items()]
    single = [each for each in found if each.seeds == 1 and each.sd is not None]
    if single:
        scopes = ", ".join(dict.fromkeys(each.scope for each in single))
        measures = ", ".join(dict.fromkeys(each.measure for each in single))
        lines.append(f"nothing on {measures} in scope {scopes}: one seed")
    return [f"decides     {line}" for line in lines]


def _told(group: Sequence[Decidable]) -> str:
    sources = ", ".join(dict.fromkeys(each.sd_from for each in group))
    if group[0].sd is None:
        return sources
    differences = [each.difference for each in group if each.difference is not None]
    told = f"tells {_range(differences)} apart" if differences else "tells nothing apart that is possible"
    parts = [f"{told} (power {POWER:g}, level {group[0].level:.2g})"]
    chances = [each.equivalence for each in group if each.equivalence is not None]
    if chances:
        parts.append(f"shows equivalence within {group[0].margin:g} with a chance of {_range(chances)}")
    deviations = _range([each.sd for each in group if each.sd is not None])
    return "; ".join((*parts, f"sd {deviations}: {sources}"))


def _seeds(count: int) -> str:
    return "one seed" if count == 1 else f"{count} seeds"


def _range(values: Sequence[float]) -> str:
    low, high = (f"{value:.3f}" for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"
