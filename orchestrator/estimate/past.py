"""What finished stages took, in seconds, memory and bytes: the ground of every estimate."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow.fs as pafs

from orchestrator.estimate.shadows import past_shadow_seconds
from orchestrator.plan.cells import Cell, ModelSpec
from orchestrator.store.store import Store

if TYPE_CHECKING:
    from tasks.training.strategy import Choice

Key = tuple[str, ...]


class Spent(NamedTuple):
    """Of one stage, in the mean."""

    seconds: float
    """Wall time."""
    device_seconds: float


@dataclass(frozen=True, kw_only=True)
class Past:
    """Means of finished stages by what they have in common; empty where nothing has run."""

    stages: Mapping[Key, Spent] = field(default_factory=dict)
    cell_overhead: float = 0.0
    """Wall seconds of a cell around its unlearning and its measurement: files, models loaded again."""
    shadows: Mapping[tuple[str, str, str], float] = field(default_factory=dict)
    """Wall seconds of a shadow model's training, or of its unlearnings, by architecture, method and scope."""
    peak_bytes: Mapping[str, int] = field(default_factory=dict)
    """Device -> the most that one process held."""
    model_bytes: float | None = None
    """Stored files of one model."""
    cell_bytes: float | None = None
    """Stored files of one cell."""
    lockstep: Mapping[str, Choice] = field(default_factory=dict)
    """How shadow models of each architecture are trained fastest; only a probe measures it."""
    source: str = "past costs"

    def of_model(self, spec: ModelSpec) -> Spent | None:
        """What a model is expected to take; None where no such model was made. A finished one takes next to nothing."""
        if spec.file is not None:
            return Spent(0.0, 0.0)
        return self.stages.get(model_key(spec))

    def of_cell(self, cell: Cell) -> Spent | None:
        """What a cell is expected to take beside its model; None where no such cell was measured."""
        found = self.stages.get(("cell", cell.architecture, cell.attack))
        return None if found is None else Spent(found.seconds + self.cell_overhead, found.device_seconds)

    def completed(self, other: Past) -> Past:
        """These numbers, and those of another source for what they leave unknown."""
        if not self.stages:
            return replace(other, shadows={**other.shadows, **self.shadows})
        known = self.peak_bytes, other.peak_bytes
        return replace(
            self,
            stages={**other.stages, **self.stages},
            shadows={**other.shadows, **self.shadows},
            lockstep={**other.lockstep, **self.lockstep},
            cell_overhead=self.cell_overhead or other.cell_overhead,
            peak_bytes={d: max(p.get(d, 0) for p in known) for d in known[0].keys() | known[1].keys()},
            model_bytes=other.model_bytes if self.model_bytes is None else self.model_bytes,
            cell_bytes=other.cell_bytes if self.cell_bytes is None else self.cell_bytes,
            source=f"{self.source} and {other.source}",
        )


def model_key(spec: ModelSpec) -> Key:
    """Stages of equal key are expected to cost the same."""
    return (spec.kind, spec.architecture, spec.method if spec.kind == "unlearned" else "", spec.scope)


def read_past(store: Store, *, sizes: bool = True) -> Past:
    """What the finished stages of a results directory took.

    Args:
        store: the results.
        sizes: whether to look at the size of every file too, which only a plan needs.
    """
    if not store.files.usable():
        return Past()
    cells = _finished(store, "cells", ["cell_id", "architecture", "attack", "seconds"])
    names = ["kind", "architecture", "method", "scope", "seconds", "device_seconds", "peak_bytes", "device"]
    models = _finished(store, "models", names)
    costs = (
        store.read("costs")
        .select(["stage_id", "seconds", "device_seconds", "peak_bytes", "device"])
        .to_pylist()
    )
    measured = {row["stage_id"]: row for row in costs}
    single = [cell for cell in cells if cell["cell_id"] in measured]
    found: defaultdict[Key, list[Spent]] = defaultdict(list)
    for row in models:
        if row["seconds"] is None:  # made elsewhere
            continue
        method = row["method"] if row["kind"] == "unlearned" else ""
        found[row["kind"], row["architecture"], method, row["scope"]].append(_spent(row))
    for cell in single:
        found["cell", cell["architecture"], cell["attack"]].append(_spent(measured[cell["cell_id"]]))
    unlearning = math.fsum(row["seconds"] or 0.0 for row in models if row["kind"] == "unlearned")
    inside = unlearning + math.fsum(measured[cell["cell_id"]]["seconds"] for cell in single)
    whole = math.fsum(cell["seconds"] or 0.0 for cell in single)
    stored = _sizes(store) if sizes else None
    return Past(
        stages={key: _mean(values) for key, values in found.items()},
        cell_overhead=max(whole - inside, 0.0) / len(single) if single else 0.0,
        shadows=past_shadow_seconds(store),
        peak_bytes=_peaks([*models, *costs]),
        model_bytes=_each(stored, ("weights", "models", "shared"), len(store.blob_keys("weights"))),
        cell_bytes=_each(stored, ("cells", "metrics", "examples", "layers", "costs"), len(cells)),
    )


def _finished(store: Store, table: str, columns: list[str]) -> list[dict[str, Any]]:
    rows = store.read(table).select([*columns, "status"]).to_pylist()
    return [row for row in rows if row["status"] == "finished"]


def _spent(row: Mapping[str, Any]) -> Spent:
    return Spent(row["seconds"] or 0.0, row["device_seconds"] or 0.0)


def _mean(values: list[Spent]) -> Spent:
    return Spent(*(math.fsum(column) / len(values) for column in zip(*values, strict=True)))


def _peaks(rows: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    peaks: dict[str, int] = {}
    for row in rows:
        if row["device"] and row["peak_bytes"]:
            peaks[row["device"]] = max(peaks.get(row["device"], 0), row["peak_bytes"])
    return peaks


def _sizes(store: Store) -> dict[str, int]:
    """Bytes of the files under each directory of the results."""
    base = store.files.full("")
    selector = pafs.FileSelector(base, recursive=True, allow_not_found=True)
    sizes: defaultdict[str, int] = defaultdict(int)
    for info in store.files.filesystem.get_file_info(selector):
        if info.size:
            sizes[info.path.removeprefix(base).strip("/").split("/")[0]] += info.size
    return sizes


def _each(sizes: Mapping[str, int] | None, directories: Iterable[str], count: int) -> float | None:
    return sum(sizes.get(name, 0) for name in directories) / count if sizes is not None and count else None
