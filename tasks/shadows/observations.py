"""What shadow runs showed of each example: dense arrays, one row per run, memory-mapped where large."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np

from tasks.errors import AuditError

COLUMN_BLOCK = 4096
DENSE: dict[str, type] = {"state": np.int8, "phi": np.float32, "loss": np.float32, "correct": np.int8}
"""Arrays of `runs x examples` and how they are stored; loss and correct are optional."""


class State(IntEnum):
    """An example's relation to a run (MEMBERSHIP.md 1.0)."""

    NEVER = 0
    RETAINED = 1
    UNLEARNED = 2
    TEST = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class RunBlock:
    """One run (a base shadow, or one of its unlearnings) on `E` examples."""

    base: int
    """Shadow index; its complementary pair is base // 2."""
    draw: int
    state: np.ndarray
    """`E`, int8 (`State`)."""
    phi: np.ndarray
    """`E`, float32: logit-scaled confidence."""
    loss: np.ndarray | None = None
    correct: np.ndarray | None = None
    """`E`, int8: 1 where the model's answer is right."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Observations:
    """All runs of one (method, scope, forget family): `R` runs x `E` examples."""

    method: str
    """Unlearning method; "none" for the base models, "retrained" for the exact control."""
    scope: str
    family: str
    """Target pool that the forget sets were drawn from."""
    example_ids: np.ndarray
    """`E`, int64, sorted."""
    base: np.ndarray
    """`R`, int32: shadow of each run."""
    draw: np.ndarray
    """`R`, int32."""
    state: np.ndarray
    """`R x E`, int8."""
    phi: np.ndarray
    """`R x E`, float32."""
    loss: np.ndarray | None = None
    """`R x E`, float32."""
    correct: np.ndarray | None = None
    """`R x E`, int8."""

    def __post_init__(self) -> None:
        shape = (len(self.base), len(self.example_ids))
        for name, array in self._arrays().items():
            if array.shape != shape:
                raise AuditError(f"observations: {name}: expected shape {shape}, got {array.shape}")
        keys = set(zip(self.base.tolist(), self.draw.tolist(), strict=True))
        if len(keys) < len(self.base):
            raise AuditError("observations: a (shadow, draw) occurs twice; expected one run for each")

    @property
    def pair(self) -> np.ndarray:
        """`R`: the complementary pair of each run, the unit of every cross-fit."""
        return self.base // 2

    def _arrays(self) -> dict[str, np.ndarray]:
        return {name: getattr(self, name) for name in DENSE if getattr(self, name) is not None}

    @property
    def nbytes(self) -> int:
        """Bytes of the dense arrays."""
        return sum(array.nbytes for array in self._arrays().values())

    @classmethod
    def from_blocks(
        cls, blocks: Iterable[RunBlock], *, method: str, scope: str, family: str, example_ids: np.ndarray
    ) -> Observations:
        """Stack runs in memory, ordered by shadow and draw.

        Raises:
            AuditError: no run, a run of another length, or a statistic that is not finite.
        """
        ordered = sorted(blocks, key=lambda block: (block.base, block.draw))
        if not ordered:
            raise AuditError(
                f"observations of {method}/{scope}/{family}: expected at least one run, got none"
            )
        for block in ordered:
            _check_finite(block)
        arrays: dict[str, Any] = {
            name: np.stack([getattr(block, name) for block in ordered]).astype(kind)
            for name, kind in DENSE.items()
            if all(getattr(block, name) is not None for block in ordered)
        }
        return cls(
            method=method,
            scope=scope,
            family=family,
            example_ids=np.asarray(example_ids, dtype=np.int64),
            base=np.array([block.base for block in ordered], dtype=np.int32),
            draw=np.array([block.draw for block in ordered], dtype=np.int32),
            **arrays,
        )

    @classmethod
    def open(cls, directory: Path) -> Observations:
        """Map a directory that `ObservationsWriter` finished; nothing is read until it is used."""
        header = json.loads((directory / "header.json").read_text())
        arrays = {
            name: np.load(directory / f"{name}.npy", mmap_mode="r")
            for name in DENSE
            if (directory / f"{name}.npy").exists()
        }
        index = np.load(directory / "index.npz")
        return cls(**header, **{name: index[name] for name in ("example_ids", "base", "draw")}, **arrays)

    def of_runs(self, rows: np.ndarray) -> Observations:
        """The given rows (bool or positions)."""
        kept: dict[str, Any] = {name: array[rows] for name, array in self._arrays().items()}
        return replace(self, base=self.base[rows], draw=self.draw[rows], **kept)

    def of_pairs(self, pairs: np.ndarray) -> Observations:
        """The runs of the given pairs: a fold to select on, or to report on."""
        return self.of_runs(np.isin(self.pair, pairs))

    def of_half(self, half: int) -> Observations:
        """The even (0) or odd (1) pairs."""
        return self.of_runs(self.pair % 2 == half)

    def of_examples(self, example_ids: np.ndarray) -> Observations:
        """The given examples, sorted; all must be present."""
        ids = np.unique(example_ids)
        columns = np.searchsorted(self.example_ids, ids)
        if (columns >= len(self.example_ids)).any() or (self.example_ids[columns] != ids).any():
            raise AuditError("observations: an example id was asked for that was not observed")
        kept: dict[str, Any] = {name: array[:, columns] for name, array in self._arrays().items()}
        return replace(self, example_ids=ids, **kept)

    def columns(self, block: int = COLUMN_BLOCK) -> Iterator[slice]:
        """Slices of examples that keep a pass over all runs within some tens of megabytes."""
        for start in range(0, len(self.example_ids), block):
            yield slice(start, min(start + block, len(self.example_ids)))

    def ever(self, *states: State) -> np.ndarray:
        """`E`, int64: in how many distinct shadows each example was in one of the states."""
        bases = np.unique(self.base)
        order = np.argsort(self.base, kind="stable")
        starts = np.searchsorted(self.base[order], bases)
        total = np.zeros(len(self.example_ids), dtype=np.int64)
        for part in self.columns():
            inside = np.isin(self.state[:, part][order], [int(s) for s in states])
            total[part] = np.logical_or.reduceat(inside, starts, axis=0).sum(0)
        return total


def _check_finite(block: RunBlock) -> None:
    if not np.isfinite(block.phi).all():
        raise AuditError(
            f"observations: shadow {block.base}, draw {block.draw}: phi is not finite; expected diverged "
            "runs to be left out and recorded as failed"
        )


@dataclass(eq=False)
class ObservationsWriter:
    """Fill a memory-mapped container run by run: hundreds of runs x tens of thousands of examples."""

    directory: Path
    method: str
    scope: str
    family: str
    example_ids: np.ndarray
    num_runs: int
    optional: tuple[str, ...] = ("loss",)
    """Which of loss and correct are kept."""
    _index: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        types = {name: DENSE[name] for name in ("state", "phi", *self.optional)}
        shape = (self.num_runs, len(self.example_ids))
        self._arrays = {
            name: np.lib.format.open_memmap(
                self.directory / f"{name}.npy", mode="w+", dtype=kind, shape=shape
            )
            for name, kind in types.items()
        }

    def put(self, block: RunBlock) -> None:
        """Write the next run."""
        _check_finite(block)
        if len(self._index) == self.num_runs:
            raise AuditError(f"observations: expected {self.num_runs} runs, got one more")
        row = len(self._index)
        for name, array in self._arrays.items():
            value = getattr(block, name)
            if value is None:
                raise AuditError(f"observations: shadow {block.base}: {name} is missing")
            array[row] = value
        self._index.append((block.base, block.draw))

    def finish(self) -> Observations:
        """Write the index and map the result read-only.

        Raises:
            AuditError: fewer runs were put than announced.
        """
        if len(self._index) < self.num_runs:
            raise AuditError(f"observations: expected {self.num_runs} runs, got {len(self._index)}")
        for array in self._arrays.values():
            array.flush()
        base, draw = np.array(self._index, dtype=np.int32).reshape(-1, 2).T
        np.savez(self.directory / "index.npz", example_ids=self.example_ids, base=base, draw=draw)
        header = {"method": self.method, "scope": self.scope, "family": self.family}
        (self.directory / "header.json").write_text(json.dumps(header))
        return Observations.open(self.directory)
