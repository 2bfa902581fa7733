"""KLoM (Georgiev et al. 2024, arXiv:2410.23232): are margins distributed as those of retrained models?

The shadow models that a method made to forget stand against the same shadow models retrained without what they forgot:
nothing is trained for it. Of each shadow model the first draw counts that has the example in the state of its split.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tasks.attacks.base import Measurement, Need, register
from tasks.attacks.per_example import Block, PerExample
from tasks.attacks.views import ShadowView
from tasks.errors import AuditError
from tasks.metrics import klom as metric
from tasks.metrics.audit import RUNS_MISSING
from tasks.metrics.base import Metric, MetricValue
from tasks.metrics.klom import Margins, klom, klom_metrics
from tasks.shadows.observations import Observations, State, named_by

RETRAINED = "retrained"
"""What observations of the exact control are of."""
STATES = {"forget": State.UNLEARNED, "retain": State.RETAINED, "test": State.TEST}
Side = tuple[Observations, State]


@register("klom")
@dataclass(frozen=True, kw_only=True)
class Klom(PerExample):
    """KL divergence of margins to those of retrained models, and what of it is by chance."""

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Need]] = frozenset(("shadows", "reference_shadows"))
    metrics: ClassVar[tuple[Metric, ...]] = (*metric.METRICS, RUNS_MISSING)

    exchanges: int = 100
    """Times that unlearned and retrained models are exchanged at random to see what is by chance."""

    def __post_init__(self) -> None:
        if self.exchanges < 1:
            raise AuditError(f"exchanges: expected at least 1, got {self.exchanges}")

    def measure_one(self, view: ShadowView) -> Measurement:
        """KLoM of the forgotten, the retained and the test examples; canaries are none of them.

        The retrained models themselves stand against further retrained ones, where the shadow models hold such: on the
        forget set those that never saw an example, elsewhere those of another draw.

        Raises:
            AuditError: there are no retrained models.
        """
        metrics: list[MetricValue] = []
        examples: list[Block] = []
        for margins in _splits(view):
            found = klom(
                margins,
                exchanges=self.exchanges,
                repeats=view.settings.bootstrap,
                generator=view.generator("klom", margins.split),
            )
            metrics += klom_metrics(found, variant=named_by("", view.statistic))
            examples += _rows(view, found)
        return Measurement(metrics=metrics, examples=examples)


def _splits(view: ShadowView) -> Iterator[Margins]:
    runs, reference = view.runs(), view.reference_runs()
    retrained = runs if reference is None else reference
    if retrained.method != RETRAINED:
        raise AuditError(
            f"klom: expected retrained shadow models to compare with, got those of '{retrained.method}'; "
            "set shadows.retrain_control = true"
        )
    for split, ids in _examples(view, runs).items():
        sides = _further(runs, split) if reference is None else _matched(runs, retrained, split)
        margins = _margins(sides, split=split, ids=ids, by_pair=reference is None and split == "forget")
        if len(margins.example_ids):
            yield margins


def _examples(view: ShadowView, runs: Observations) -> dict[str, np.ndarray]:
    """Ids of the examples of each split."""
    tests = runs.example_ids[runs.state[0] == State.TEST]
    outside = np.concatenate([view.targets, tests])
    if view.canaries is not None:
        outside = np.concatenate([outside, view.canaries.ids])
    return {"forget": view.targets, "retain": np.setdiff1d(runs.example_ids, outside), "test": tests}


def _matched(runs: Observations, retrained: Observations, split: str) -> tuple[Side, Side]:
    """Both models of every draw; draws of which one failed are left out."""
    keys = [list(zip(one.shadow.tolist(), one.draw.tolist(), strict=True)) for one in (runs, retrained)]
    common = set(keys[0]) & set(keys[1])
    first, second = (
        one.of_runs(np.array([key in common for key in own], dtype=bool))
        for one, own in zip((runs, retrained), keys, strict=True)
    )
    return (first, STATES[split]), (second, STATES[split])


def _further(retrained: Observations, split: str) -> tuple[Side, Side]:
    """Two groups of retrained models that had the example alike."""
    if split == "forget":
        return (retrained, State.UNLEARNED), (retrained, State.NEVER)
    first, second = (retrained.of_runs(rows) for rows in (retrained.draw == 0, retrained.draw == 1))
    return (first, STATES[split]), (second, STATES[split])


def _margins(sides: tuple[Side, Side], *, split: str, ids: np.ndarray, by_pair: bool) -> Margins:
    """Margins of the two sides, matched by shadow model, or by pair of these; examples with two matches or more."""
    units = [one.pair if by_pair else one.shadow for one, _ in sides]
    numbers = np.intersect1d(units[0], units[1])
    (first, has_first), (second, has_second) = (
        _first_of_each(side, unit, numbers, ids) for side, unit in zip(sides, units, strict=True)
    )
    inside = has_first & has_second
    enough = inside.sum(0) > 1
    return Margins(
        split=split,
        example_ids=ids[enough],
        pair=numbers if by_pair else numbers // 2,
        unlearned=first[:, enough],
        retrained=second[:, enough],
        inside=inside[:, enough],
    )


def _first_of_each(
    side: Side, unit: np.ndarray, numbers: np.ndarray, ids: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Phi of each example in the first run of a unit that has it in a state, and whether there is one: `U x E` twice.

    Args:
        side: runs, ordered by shadow and draw, and the state.
        unit: of each run.
        numbers: `U`, the units that are asked for.
        ids: `E`.
    """
    runs, state = side
    columns = np.searchsorted(runs.example_ids, ids)
    phi = np.zeros((len(numbers), len(ids)), dtype=np.float32)
    present = np.zeros(phi.shape, dtype=bool)
    for row, number in enumerate(numbers):
        for run in np.flatnonzero(unit == number):
            new = (runs.state[run, columns] == state) & ~present[row]
            phi[row, new] = runs.phi[run, columns[new]]
            present[row] |= new
    return phi, present


def _rows(view: ShadowView, found: metric.Klom) -> Iterator[Block]:
    """Each example's divergence, and its mean over exchanges."""
    ids = found.example_ids
    named = named_by("klom", view.statistic)
    for name, values in ((named, found.divergence), (f"{named}:by_chance", found.by_chance)):
        yield {
            "split": np.full(len(ids), found.split),
            "example_id": ids,
            "label": view.labels(ids),
            "statistic": np.full(len(ids), name),
            "score": values.astype(np.float32),
        }
