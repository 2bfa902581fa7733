"""What shadow runs showed of each example: dense arrays, one row per run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

import numpy as np

from tasks.errors import AuditError

COLUMN_BLOCK = 4096
DENSE: dict[str, type] = {"state": np.int8, "phi": np.float32, "loss": np.float32, "correct": np.int8}
"""Arrays of `runs x examples` and how they are stored; loss and correct are optional."""


class State(IntEnum):
    """An example's relation to a run."""

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

    def before(self, base: Observations) -> Observations:
        """The same runs in the same states, with what their models answered before they unlearned.

        Args:
            base: runs of the base models on the same examples; runs whose shadow it lacks are left out.
        """
        if not np.array_equal(self.example_ids, base.example_ids):
            raise AuditError(f"observations of {self.method}: expected the examples of the base models")
        row = {shadow: number for number, shadow in enumerate(base.base.tolist())}
        kept = self.of_runs(np.isin(self.base, base.base))
        rows = np.array([row[shadow] for shadow in kept.base.tolist()], dtype=np.int64)
        loss, correct = (None if v is None else v[rows] for v in (base.loss, base.correct))
        return replace(kept, phi=base.phi[rows], loss=loss, correct=correct)

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
