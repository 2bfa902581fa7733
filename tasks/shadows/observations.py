"""What shadow runs showed of each example: dense arrays, one row per run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

import numpy as np

from tasks.errors import AuditError
from tasks.objectives.names import BESIDE_PHI, PHI

COLUMN_BLOCK = 4096
DENSE: dict[str, type] = {
    "state": np.int8,
    "phi": np.float32,
    "loss": np.float32,
    "correct": np.int8,
    **dict.fromkeys(BESIDE_PHI, np.float32),
}
"""Arrays of `runs x examples` and how they are stored; all but state and phi are optional."""


class State(IntEnum):
    """An example's relation to a run (guide/games.md#states)."""

    NEVER = 0
    RETAINED = 1
    UNLEARNED = 2
    TEST = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class RunBlock:
    """One run (a base shadow, or one of its unlearnings) on `E` examples."""

    shadow: int
    """Shadow index; its complementary pair is shadow // 2."""
    draw: int
    state: np.ndarray
    """`E`, int8 (`State`)."""
    phi: np.ndarray
    """`E`, float32: logit-scaled confidence."""
    loss: np.ndarray | None = None
    correct: np.ndarray | None = None
    """`E`, int8: 1 where the model's answer is right."""
    min_k_pp: np.ndarray | None = None
    """`E`, float32: of documents, as are the next three; see `tasks.objectives.language.Language.statistics`."""
    min_k: np.ndarray | None = None
    token_accuracy: np.ndarray | None = None
    extraction: np.ndarray | None = None


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
    shadow: np.ndarray
    """`R`, int32: shadow of each run."""
    draw: np.ndarray
    """`R`, int32."""
    state: np.ndarray
    """`R x E`, int8."""
    phi: np.ndarray
    """`R x E`, float32: what attacks read, which is phi unless `statistic` says otherwise."""
    loss: np.ndarray | None = None
    """`R x E`, float32."""
    correct: np.ndarray | None = None
    """`R x E`, int8."""
    min_k_pp: np.ndarray | None = None
    """`R x E`, float32, as are the next three."""
    min_k: np.ndarray | None = None
    token_accuracy: np.ndarray | None = None
    extraction: np.ndarray | None = None
    statistic: str = PHI
    """What `phi` holds (`of_statistic`)."""

    def __post_init__(self) -> None:
        shape = (len(self.shadow), len(self.example_ids))
        for name, array in self._arrays().items():
            if array.shape != shape:
                raise AuditError(f"observations: {name}: expected shape {shape}, got {array.shape}")
        keys = set(zip(self.shadow.tolist(), self.draw.tolist(), strict=True))
        if len(keys) < len(self.shadow):
            raise AuditError("observations: a (shadow, draw) occurs twice; expected one run for each")

    @property
    def pair(self) -> np.ndarray:
        """`R`: the complementary pair of each run, the unit of every cross-fit."""
        return self.shadow // 2

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
        ordered = sorted(blocks, key=lambda block: (block.shadow, block.draw))
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
            shadow=np.array([block.shadow for block in ordered], dtype=np.int32),
            draw=np.array([block.draw for block in ordered], dtype=np.int32),
            **arrays,
        )

    def of_runs(self, rows: np.ndarray) -> Observations:
        """The given rows (bool or positions)."""
        kept: dict[str, Any] = {name: array[rows] for name, array in self._arrays().items()}
        return replace(self, shadow=self.shadow[rows], draw=self.draw[rows], **kept)

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
        row = {shadow: number for number, shadow in enumerate(base.shadow.tolist())}
        kept = self.of_runs(np.isin(self.shadow, base.shadow))
        rows = np.array([row[shadow] for shadow in kept.shadow.tolist()], dtype=np.int64)
        told: dict[str, Any] = dict.fromkeys(DENSE)
        told |= {name: array[rows] for name, array in base._arrays().items()}
        return replace(kept, **{**told, "state": kept.state})

    def of_statistic(self, name: str) -> Observations:
        """The same runs with another statistic in the place of phi, which is what attacks read.

        Raises:
            AuditError: it was not recorded of every run.
        """
        if name == self.statistic:
            return self
        values = getattr(self, name, None) if name in BESIDE_PHI else None
        if values is None:
            raise AuditError(f"observations of {self.method}: expected '{name}' of every run, which lack it")
        others: dict[str, Any] = dict.fromkeys(BESIDE_PHI)
        return replace(self, phi=values, statistic=name, **others)

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
        shadows = np.unique(self.shadow)
        order = np.argsort(self.shadow, kind="stable")
        starts = np.searchsorted(self.shadow[order], shadows)
        total = np.zeros(len(self.example_ids), dtype=np.int64)
        for part in self.columns():
            inside = np.isin(self.state[:, part][order], [int(s) for s in states])
            total[part] = np.logical_or.reduceat(inside, starts, axis=0).sum(0)
        return total


def named_by(name: str, statistic: str) -> str:
    """What a row of an attack is called that read a statistic: phi is not said.

    Args:
        name: of the row under phi; may be empty.
        statistic: that was read.
    """
    if statistic == PHI:
        return name
    return f"{name}@{statistic}" if name else statistic


def _check_finite(block: RunBlock) -> None:
    for name in (PHI, *BESIDE_PHI):
        values = getattr(block, name)
        if values is not None and not np.isfinite(values).all():
            raise AuditError(
                f"observations: shadow {block.shadow}, draw {block.draw}: {name} is not finite; expected diverged "
                "runs to be left out and recorded as failed"
            )
