"""What a sweep would do: cells, the distinct models behind them, and choices among the cells.

Imports neither torch nor ray.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, Literal

import numpy as np

from orchestrator.config.settings import SweepConfig
from orchestrator.plan.score_file import RiskScores
from orchestrator.plan.shadows import ShadowGroup, ShadowSet
from tasks.datasets.base import DataSource, Labels
from tasks.datasets.splits import Splits
from tasks.errors import AuditError, unknown_name
from tasks.forget_sets.base import ForgetSet
from tasks.training.recipe import Recipe

Role = Literal["audited", "reference", "noise_floor", "ceiling"]


@dataclass(frozen=True, kw_only=True)
class DataPlan:
    """The data set of a sweep without its pixels."""

    source: DataSource
    digest: str
    labels: Labels
    splits: Splits
    forget_sets: Mapping[str, ForgetSet]
    scores: RiskScores = field(default_factory=RiskScores)
    """Scores of an earlier audit that forget sets and methods rank by."""
    test_split: Literal["test", "validation"] = "test"
    """What models are tested on: tuning selects on the validation set and leaves the test set alone."""


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """Everything that one model is made from; `model_id` is its digest."""

    model_id: str
    kind: Literal["original", "retrained", "unlearned"]
    architecture: str
    recipe: Recipe
    seed: int
    forget_set: str | None = None
    """None for an original that no poison distinguishes."""
    replicate: int = 0
    method: str = ""
    """Name on the method axis, which may be a variant of a registered method."""
    scope: str = "all"
    original_id: str | None = None
    retrained_id: str | None = None
    """The reference that this model is compared with."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One row of the audit: a model under an attack."""

    cell_id: str
    model_id: str
    reference_id: str
    architecture: str
    method: str
    scope: str
    attack: str
    forget_set: str
    seed: int
    role: Role

    @property
    def axes(self) -> dict[str, Any]:
        """The cell's place on every axis."""
        names = ("architecture", "method", "scope", "attack", "forget_set", "seed")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a sweep would do: cells in order, and every distinct model behind them."""

    config: SweepConfig
    data: DataPlan
    cells: tuple[Cell, ...]
    models: Mapping[str, ModelSpec]
    shadow_sets: Mapping[str, ShadowSet]
    """Shadow models by architecture; empty where no attack needs them."""
    shadow_groups: Mapping[str, ShadowGroup]
    """What is unlearned from the shadow models, by group id: the `model_id` of per-example cells."""

    def trained(self) -> list[ModelSpec]:
        """Models trained from scratch: originals first, then retrained ones."""
        order = {"original": 0, "retrained": 1}
        found = [m for m in self.models.values() if m.kind in order]
        return sorted(found, key=lambda m: (order[m.kind], m.model_id))

    def only(self, keep: Iterable[str]) -> Plan:
        """The plan with the given cells alone and the models that they need."""
        wanted = set(keep)
        cells = tuple(c for c in self.cells if c.cell_id in wanted)
        needed = {i for cell in cells for i in self.stages(cell)}
        return replace(
            self,
            cells=cells,
            models={k: v for k, v in self.models.items() if k in needed},
            shadow_groups={k: v for k, v in self.shadow_groups.items() if k in needed},
        )

    def num_shadows(self, cell: Cell) -> int | None:
        """Shadow models behind a cell; None where it rests on one model."""
        if cell.model_id not in self.shadow_groups:
            return None
        return self.shadow_sets[cell.architecture].layout.num_shadows

    def stages(self, cell: Cell) -> set[str]:
        """Ids of the models, or of the groups of shadow models, that a cell needs."""
        if cell.model_id in self.shadow_groups:
            base = self.shadow_sets[cell.architecture].base().group_id
            return {cell.model_id, cell.reference_id, base}
        original = self.models[cell.model_id].original_id
        return {i for i in (cell.model_id, cell.reference_id, original) if i}


def select(plan: Plan, patterns: str, limit: int) -> Plan:
    """Keep the cells that `--only` names (`method=scrub,scope=last-*`) and at most `limit` audited ones.

    References of the kept cells stay.
    """
    rules: dict[str, str] = {}
    for item in filter(None, patterns.split(",")):
        key, equals, pattern = item.partition("=")
        if not equals:
            raise AuditError(f"--only: expected axis=pattern, got '{item}'")
        if key not in plan.cells[0].axes:
            raise unknown_name("axis", key, plan.cells[0].axes, where="--only")
        rules[key] = pattern
    audited = [
        c for c in plan.cells if c.role == "audited" and all(matches(c.axes[k], p) for k, p in rules.items())
    ]
    if not audited:
        for key, pattern in rules.items():
            values = {str(c.axes[key]) for c in plan.cells if c.role == "audited"}
            if not any(matches(value, pattern) for value in values):
                raise unknown_name(key.replace("_", " "), pattern, values, where="--only")
        raise AuditError(f"--only: no cell matches '{patterns}'")
    audited = audited[:limit] if limit else audited
    kept = {c.cell_id for c in audited}
    places = {(c.reference_id, c.attack) for c in audited}
    kept |= {c.cell_id for c in plan.cells if c.role != "audited" and (c.reference_id, c.attack) in places}
    return plan.only(kept)


def forgotten_classes(data: DataPlan, forget_set: str) -> tuple[int, ...]:
    """Classes of which no training example is retained."""
    gone = np.setdiff1d(*train_labels_by_side(data, forget_set))
    return tuple(int(c) for c in gone)


def train_labels_by_side(data: DataPlan, forget_set: str) -> tuple[np.ndarray, np.ndarray]:
    """True labels of the forgotten and of the retained training examples, by id (`nf` and `nr`, int64)."""
    forget = data.forget_sets[forget_set].ids
    retained = np.setdiff1d(data.splits.train, forget)
    return data.labels.labels[forget], data.labels.labels[retained]


def matches(value: Any, pattern: Any) -> bool:
    """Whether a value of an axis fits a pattern with * and ?."""
    return fnmatchcase(str(value), str(pattern))
