"""What per-example attacks look at: observations of shadow models, read from the store and kept for a while."""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

import numpy as np

from orchestrator.plan.cells import Cell, Plan
from orchestrator.plan.shadows import RETRAINED_METHOD, ShadowGroup
from orchestrator.records.observations import read_run_blocks
from orchestrator.store.store import Store
from tasks.shadows.canaries import Canaries
from tasks.shadows.observations import Observations

RESIDENT_GROUPS = 6
"""Groups of observations that a process keeps: the cells of one model follow each other."""


class StoredObservations:
    """Observations of one plan.

    Args:
        plan: the plan of the sweep.
        store: holds the observations.
    """

    def __init__(self, plan: Plan, store: Store) -> None:
        self.plan, self.store = plan, store
        self._held: OrderedDict[str, Observations] = OrderedDict()

    def of(self, group: ShadowGroup) -> Observations:
        """Every run of a group.

        Raises:
            AuditError: none is stored.
        """
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


class CellShadows:
    """The shadow models of one cell, as `tasks.attacks.sources.ShadowSource` describes.

    Args:
        stored: observations of the plan.
        cell: the cell.
    """

    def __init__(self, stored: StoredObservations, cell: Cell) -> None:
        plan = stored.plan
        self._stored, self._shadows = stored, plan.shadow_sets[cell.architecture]
        self._group, self._groups = plan.shadow_groups[cell.subject.id], plan.shadow_groups
        assert cell.reference is not None  # of shadow models there is always one
        self._reference_id = cell.reference.id
        self.forget_ids: np.ndarray = plan.data.forget_sets[cell.forget_set].ids
        self.labels: np.ndarray = plan.data.labels.labels

    @property
    def canaries(self) -> Canaries | None:
        """Planted in the training sets of the shadow models."""
        return self._shadows.layout.canaries

    @property
    def planned(self) -> tuple[int, int]:
        """Shadow models, and draws of each."""
        layout = self._shadows.layout
        return layout.num_shadows, layout.pool(self._group.pool).draws

    @property
    def reference(self) -> Literal["itself", "retrained", "base"]:
        """What the models of the cell are compared with."""
        if self._reference_id == self._group.group_id:
            return "itself"
        return "retrained" if self._groups[self._reference_id].method == RETRAINED_METHOD else "base"

    def base(self) -> Observations:
        """Of the shadow models as trained."""
        return self._stored.of(self._shadows.base())

    def unlearned(self) -> Observations:
        """Of the models of the cell."""
        return self._stored.of(self._group)

    def retrained(self) -> Observations:
        """Of the retrained models."""
        return self._stored.of(self._groups[self._reference_id])
