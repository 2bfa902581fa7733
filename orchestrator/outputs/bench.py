"""Cells of an audit of outputs: the workbench of a sweep, whose models are files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.backends.inline import InlineBackend
from orchestrator.bench.cells import CellBench
from orchestrator.bench.shadow_source import CellShadows, StoredObservations
from orchestrator.bench.workbench import Workbench
from orchestrator.outputs.plan import Prepared
from orchestrator.outputs.record import example_ids
from orchestrator.plan.cells import Cell
from orchestrator.plan.shadows import ShadowGroup
from orchestrator.records.observations import path_of, run_blocks
from tasks.shadows.observations import Observations
from tasks.training.scoring import Outputs

if TYPE_CHECKING:
    from orchestrator.backends.work import Work

HELD_BYTES = 1 << 28
"""Of observations that are kept for the next cell; those of one cell are held whatever they take."""


class OutputsBackend(InlineBackend):
    """This process, without models.

    Args:
        prepared: what is measured.
    """

    def __init__(self, prepared: Prepared) -> None:
        self._prepared = prepared

    def workbench(self, work: Work) -> Workbench:
        """See `InlineBackend.workbench`."""
        return OutputsWorkbench(self._prepared, work)


class OutputsWorkbench(Workbench):
    """Measures cells by outputs.

    Args:
        prepared: what is measured.
        work: the same plan, and where rows are written.
    """

    def __init__(self, prepared: Prepared, work: Work) -> None:
        self._prepared = prepared
        super().__init__(work.plan, work.store)

    def cell_bench(self) -> CellBench:
        """See `Workbench.cell_bench`."""
        return OutputsCells(self._prepared, self.plan, self.store, self.stages, self.data, self.models)


class OutputsCells(CellBench):
    """Reads what the bench of a sweep would compute.

    Args:
        prepared: what is measured.
        args: as of `CellBench`.
    """

    def __init__(self, prepared: Prepared, *args: Any) -> None:
        super().__init__(*args)
        self._prepared = prepared
        self.observations = GivenObservations(prepared, self.plan, self.store)

    def model(self, model_id: str) -> None:
        """None: there is no model."""
        return

    def shadows(self, cell: Cell) -> CellShadows:
        """See `CellBench.shadows`."""
        return GivenShadows(self._prepared, self.observations, cell)

    def scored(self, model_id: str) -> Outputs:
        """The given logits of a model."""
        rows, number = self._prepared.models[model_id]
        labels = np.array(self.plan.data.labels.labels)  # torch warns of what may not be written
        return Outputs.of_logits(ids=np.arange(len(labels)), labels=labels, logits=np.array(rows.row(number)))


class GivenObservations(StoredObservations):
    """Observations without what no attack on single examples reads, read one shadow model at a time.

    Args:
        prepared: tells how many runs a group has.
        args: as of `StoredObservations`.
    """

    def __init__(self, prepared: Prepared, *args: Any) -> None:
        super().__init__(*args)
        self._prepared = prepared

    def of(self, group: ShadowGroup) -> Observations:
        """See `StoredObservations.of`: phi and states alone, five bytes for each run and example."""
        if group.group_id not in self._held:
            self._held[group.group_id] = self._read(group)
        self._held.move_to_end(group.group_id)
        while len(self._held) > 1 and sum(held.nbytes for held in self._held.values()) > HELD_BYTES:
            self._held.popitem(last=False)
        return self._held[group.group_id]

    def _read(self, group: ShadowGroup) -> Observations:
        runs, ids = self._prepared.runs[group.group_id], example_ids(self._prepared)
        phi = np.empty((len(runs), len(ids)), dtype=np.float32)
        state = np.empty(phi.shape, dtype=np.int8)
        places: list[tuple[int, int]] = []
        for shadow in sorted({run.shadow for run in runs}):
            for block in run_blocks(
                shadow, self.store.read("observations", group.key(shadow), **path_of(group))
            ):
                phi[len(places)], state[len(places)] = block.phi, block.state
                places.append((block.shadow, block.draw))
        return Observations(
            method=group.method,
            scope=group.scope,
            family=group.pool,
            example_ids=ids,
            shadow=np.array([shadow for shadow, _ in places], dtype=np.int32),
            draw=np.array([draw for _, draw in places], dtype=np.int32),
            state=state,
            phi=phi,
        )


class GivenShadows(CellShadows):
    """Shadow models none of which failed: what is not among the outputs was never planned here.

    Args:
        prepared: tells how many runs there are.
        stored: their observations.
        cell: the cell.
    """

    def __init__(self, prepared: Prepared, stored: StoredObservations, cell: Cell) -> None:
        super().__init__(stored, cell)
        base = prepared.plan.shadow_sets[cell.architecture].base_id
        about = base if cell.named_attack.built.game == "G0" else cell.subject.id
        self._number = len(prepared.runs[about])

    @property
    def planned(self) -> tuple[int, int]:
        """As many as there are, counted as one draw each: shadow models differ in the number of draws."""
        return self._number, 1
