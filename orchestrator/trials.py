"""The Tune trainable: a trial is a cell, or all cells of a model. Imports no torch."""

from __future__ import annotations

from typing import Any

from ray import tune

from orchestrator.dispatch import HostDied, HostPool

QUEUE = 1
"""Trials for each host. With more, short cells starve the extra ones: Tune hands every pending trial to an actor
that has just become free and throws away the worker it was starting, without end (half of two cores)."""


class CellTrial(tune.Trainable):
    """Asks a host for one cell in each step; one actor serves many trials (`reuse_actors`).

    Holds no model and no data. `config["work"]` is {"model_id": ..., "cells": [cell ids]} and changes from
    trial to trial.
    """

    def setup(self, config: dict[str, Any], *, pool: HostPool, run_id: str) -> None:
        """Keep the hosts."""
        self._pool = pool
        self._run_id = run_id
        self._position = 0

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next cells; the hosts stay."""
        self._position = 0
        return True

    def step(self) -> dict[str, Any]:
        """Run the next cell on a host; a cell that kills its hosts is reported as failed."""
        work, run_id = self.config["work"], self._run_id
        cell_id = work["cells"][self._position]
        self._position += 1
        try:
            row = self._pool.run(
                cell_id, work["model_id"], lambda host: host.run_cell.remote(cell_id, run_id), limit=QUEUE
            )
        except HostDied as error:
            row = {"status": "failed", "error_type": "HostDied", "error": f"{error} (out of memory?)"}
        keys = ("status", "seconds", "error_type", "error")
        shown = {f"cell_{key}": row.get(key) for key in keys}
        return {"cell_id": cell_id, **shown, "done": self._position == len(work["cells"])}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing to save: finished cells are files."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing to load."""
