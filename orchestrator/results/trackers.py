"""Copies of results in experiment trackers: TensorBoard, MLflow, Weights & Biases.

TensorBoard needs tensorboardX (Ray brings it), MLflow and Weights & Biases need their own packages.
"""

from __future__ import annotations

import hashlib
import importlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from tasks.errors import AuditError

if TYPE_CHECKING:
    from orchestrator.results.connection import Results

TrackerName = Literal["tensorboard", "mlflow", "wandb"]
AXES = ("dataset", "architecture", "method", "scope", "forget_set", "seed")
MEASURED = Path(__file__).with_name("trackers.sql")
MLFLOW_BATCH = 900
"""MLflow takes at most 1000 metrics in one request."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a tracker is told of one model."""

    key: str
    """Model, forget set and seed: letters, digits and dashes."""
    name: str
    config: Mapping[str, Any]
    metrics: Mapping[str, float]


class Tracker(Protocol):
    """A place outside that keeps numbers."""

    def has(self, key: str) -> bool:
        """Whether the record was logged before; False where the tracker cannot tell and replaces instead."""
        ...

    def log(self, record: Record) -> None:
        """Keep a record."""
        ...


def copy(found: list[Record], tracker: Tracker) -> int:
    """Log what the tracker does not have; returns how many that were."""
    new = [record for record in found if not tracker.has(record.key)]
    for record in new:
        tracker.log(record)
    return len(new)


def records(results: Results) -> Iterator[Record]:
    """One record for each model, forget set and seed, with the metrics of all its cells."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in results.query(str(MEASURED)).to_pylist():
        groups.setdefault((row["subject_id"], *(row[axis] for axis in AXES)), []).append(row)
    for rows in groups.values():
        first = rows[0]
        metrics: dict[str, float] = {}
        for row in rows:
            name = metric_name(row)
            for suffix, column in (("", "value"), ("/low", "ci_low"), ("/high", "ci_high")):
                if row[column] is not None:
                    metrics[name + suffix] = row[column]
        config = {axis: first[axis] for axis in AXES} | {
            "role": first["role"],
            "subject_id": first["subject_id"],
            "params": first["method_params_json"] or "{}",
        }
        places = "-".join(str(first[axis]) for axis in ("architecture", "method", "scope", "forget_set"))
        yield Record(
            key=re.sub(r"[^A-Za-z0-9]+", "-", f"{first['subject_id']}-{places}-{first['seed']}"),
            name=f"{first['architecture']} {first['method']} {first['scope']} {first['forget_set']} "
            f"seed {first['seed']}",
            config=config,
            metrics=metrics,
        )


def metric_name(row: Mapping[str, Any]) -> str:
    """`attack/split/metric`, with variant and parameter, in the letters that every tracker takes."""
    name = f"{row['attack']}/{row['split']}/{row['metric']}"
    name += f".{row['variant']}" if row["variant"] else ""
    name += "" if row["param"] is None else f".{row['param']:g}"
    return re.sub(r"[^A-Za-z0-9_./ -]", "_", name)


def _require(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise AuditError(f"--to: needs the package {package}: pip install {package}") from error


class TensorBoard:
    """A directory of event files, one below it for each record."""

    def __init__(self, at: str, project: str) -> None:
        self._writer = _require("tensorboardX", "tensorboardX").SummaryWriter
        self._root = Path(at or "runs") / project

    def has(self, key: str) -> bool:
        """Whether its directory holds events."""
        return any((self._root / key).glob("events.*"))

    def log(self, record: Record) -> None:
        """Write scalars at step 0, and the configuration as text."""
        try:
            writer = self._writer(logdir=str(self._root / record.key))
            for name, value in record.metrics.items():
                writer.add_scalar(name, value, 0)
            writer.add_text("config", "\n".join(f"    {k}: {v}" for k, v in record.config.items()))
            writer.close()
        except OSError as error:
            raise AuditError(f"--at: cannot write {self._root}: {error.strerror}") from error


class MLflow:
    """An MLflow experiment; the tag lethe.key tells what is there."""

    def __init__(self, at: str, project: str) -> None:
        _require("mlflow", "mlflow")
        from mlflow.entities import Metric, Param
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient

        self._metric, self._param = Metric, Param
        try:
            self._client = MlflowClient(tracking_uri=at or None)
            found = self._client.get_experiment_by_name(project)
            self._experiment = found.experiment_id if found else self._client.create_experiment(project)
        except MlflowException as error:
            raise AuditError(f"--at: MLflow cannot use '{at}': {error}") from error

    def has(self, key: str) -> bool:
        """Whether a run carries the key."""
        return bool(
            self._client.search_runs([self._experiment], f"tags.`lethe.key` = '{key}'", max_results=1)
        )

    def log(self, record: Record) -> None:
        """Create a run, log in batches, end it; the key is set last, so that half a run is logged again."""
        run = self._client.create_run(self._experiment, run_name=record.name).info.run_id
        params = [self._param(name, str(value)[:6000]) for name, value in record.config.items()]
        self._client.log_batch(run, params=params)
        metrics = [self._metric(name, value, 0, 0) for name, value in record.metrics.items()]
        for start in range(0, len(metrics), MLFLOW_BATCH):
            self._client.log_batch(run, metrics=metrics[start : start + MLFLOW_BATCH])
        self._client.set_tag(run, "lethe.key", record.key)
        self._client.set_terminated(run)


class WandB:
    """A Weights & Biases project; a record's key is its run id, so logging again replaces."""

    def __init__(self, at: str, project: str) -> None:
        if at:
            raise AuditError("--at: wandb takes its place from its own settings (WANDB_DIR, WANDB_MODE, ...)")
        self._wandb = _require("wandb", "wandb")
        self._project = project

    def has(self, key: str) -> bool:
        """Offline it cannot be known."""
        return False

    def log(self, record: Record) -> None:
        """Write the summary of a run."""
        run = self._wandb.init(
            project=self._project,
            id=hashlib.sha256(record.key.encode()).hexdigest()[:32],
            name=record.name,
            config=dict(record.config),
            resume="allow",
            reinit="finish_previous",
        )
        run.summary.update(dict(record.metrics))
        run.finish()


TRACKERS: Mapping[TrackerName, Callable[[str, str], Tracker]] = {
    "tensorboard": TensorBoard,
    "mlflow": MLflow,
    "wandb": WandB,
}
