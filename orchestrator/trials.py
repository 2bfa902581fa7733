"""The Tune trainable: a trial is a cell, and asks the host that holds its model. Imports no torch."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import ray
from ray import tune
from ray.actor import ActorHandle

from orchestrator.store import Store


class CellTrial(tune.Trainable):
    """Holds no model and no data; one actor serves many trials (`reuse_actors`)."""

    def setup(
        self,
        config: dict[str, Any],
        *,
        hosts: list[ActorHandle],
        dispatcher: ActorHandle,
        root: str,
    ) -> None:
        """Keep the handles; `config["cell"]`, a row of `cells`, changes from trial to trial."""
        self._hosts = hosts
        self._dispatcher = dispatcher
        self._store = Store(root)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next cell; the handles stay."""
        return True

    def step(self) -> dict[str, Any]:
        """Run the cell on a host.

        Ray restarts a host that dies and asks again; when it keeps dying the cell becomes a failed row.
        """
        cell = self.config["cell"]
        index = ray.get(self._dispatcher.acquire.remote(cell["model_id"]))
        try:
            row = ray.get(self._hosts[index].run_cell.remote(cell["cell_id"], cell["run_id"]))
        except ray.exceptions.RayError as error:
            row = self._failed(cell, error)
        finally:
            self._dispatcher.release.remote(index, cell["model_id"])
        keys = ("cell_id", "status", "seconds", "error_type", "error")
        return {**{f"cell_{k.removeprefix('cell_')}": row.get(k) for k in keys}, "done": True}

    def _failed(self, cell: dict[str, Any], error: Exception) -> dict[str, Any]:
        reason = " ".join(str(error).split())[:500]
        row = cell | {
            "status": "failed",
            "error_type": "HostDied",
            "error": f"the host process ended while it ran this cell (out of memory?): {reason}",
            "finished_at": datetime.now(UTC),
        }
        self._store.write("cells", cell["cell_id"], [row])
        return row

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing to save: finished cells are files."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing to load."""
