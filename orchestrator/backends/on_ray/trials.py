"""What Tune runs: a trial is a model with all its cells, one trial for each host. Imports no torch."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from ray import tune
from ray.tune.execution import class_cache
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from orchestrator.backends.on_ray.dispatch import HostDied, HostPool, NoHostLeft
from orchestrator.store.files import CannotWrite

# Tune hands these to its actors on their command line, which every user of a machine can read. A trial, which
# only asks a host, needs no key.
class_cache.ENV_VARS_TO_PROPAGATE -= {n for n in class_cache.ENV_VARS_TO_PROPAGATE if n.startswith("AWS_")}

UNWRITTEN = "unwritten"
"""Status of a cell that is not to blame: nothing can be written, or no host is left."""
REPORT_SECONDS = 2.0
"""A trial reports the cells of about so long at once: a report costs the driver milliseconds, whatever it holds."""
SHOWN = ("status", "seconds", "error_type", "error", "memory")


class CellTrial(tune.Trainable):
    """Asks a host for the cells of a model, one after the other; one actor serves many trials (`reuse_actors`).

    Holds no model and no data. `config["work"]` is {"model_id": ..., "cells": [cell ids]} and changes from
    trial to trial.
    """

    def setup(self, config: dict[str, Any], *, pool: HostPool, run_id: str) -> None:
        """Keep the hosts."""
        self._pool = pool
        self._run_id = run_id
        self._position = 0

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next model; the hosts stay."""
        self._position = 0
        return True

    def step(self) -> dict[str, Any]:
        """Run the next cells on a host, until there is enough to report or none may follow."""
        cells = self.config["work"]["cells"]
        rows: list[dict[str, Any]] = []
        began = time.monotonic()
        while self._position < len(cells) and (not rows or time.monotonic() - began < REPORT_SECONDS):
            rows.append(self._measured(cells[self._position]))
            self._position += 1
            if rows[-1]["status"] == UNWRITTEN:
                break
        return {"rows": rows, "done": self._position == len(cells)}

    def _measured(self, cell_id: str) -> dict[str, Any]:
        """What the sweep shows of a cell; one that kills its hosts is failed, one that cannot be written is not."""
        model_id, run_id = self.config["work"]["model_id"], self._run_id
        try:
            row = self._pool.run(
                cell_id, model_id, lambda host: host.run_cell.remote(cell_id, run_id), limit=1
            )
        except HostDied as error:
            row = {"status": "failed", "error_type": "HostDied", "error": str(error)}
        except (CannotWrite, NoHostLeft) as error:
            row = {"status": UNWRITTEN, "error_type": type(error).__name__, "error": str(error)}
        return {"cell_id": cell_id} | {key: row.get(key) for key in SHOWN}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing to save: finished cells are files."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing to load."""


class InOrder(Searcher):
    """Gives Tune the next trial when a host is free.

    A grid search would hold every trial as pending from the start, and copy the whole grid to make each of them:
    time that grows with the square of the grid.

    Args:
        configs: of the trials.
    """

    def __init__(self, configs: Iterable[Mapping[str, Any]]) -> None:
        super().__init__()
        self._waiting = iter(configs)

    def suggest(self, trial_id: str) -> Any:
        """The next configuration."""
        return next(self._waiting, Searcher.FINISHED)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Nothing to learn."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save."""

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its searcher once, before anything runs


class WhenAdded(FIFOScheduler):
    """Starts trials when they are added, as Tune does by itself; FIFO first looks through all that have been."""

    def choose_trial_to_run(self, tune_controller: Any) -> None:
        """No choice of its own."""
