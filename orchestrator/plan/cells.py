"""What a sweep would do: cells, the distinct models behind them, and choices among the cells.

Imports neither torch nor ray.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from orchestrator.config.settings import SweepConfig
from orchestrator.plan.answers import Declared
from orchestrator.plan.bases import Base
from orchestrator.plan.data import DataPlan
from orchestrator.plan.exclusions import fits
from orchestrator.plan.given_files import GivenFile
from orchestrator.plan.names import NamedAttack, NamedMethod
from orchestrator.plan.plugins import architecture_builder, plugin_name
from orchestrator.plan.setting import Setting
from orchestrator.plan.shadows import ShadowGroup, ShadowSet
from tasks.errors import AuditError, unknown_name
from tasks.training.recipe import Recipe

Role = Literal["audited", "reference", "noise_floor", "ceiling", "control"]
_STAGES = {"pretrained": "pretrain", "original": "train", "retrained": "retrain", "unlearned": "unlearn"}
TRAINED = ("pretrained", "original", "retrained")
"""Kinds of models that no method made, in the order in which they are trained."""


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """Everything that one model is made from; `model_id` is its digest."""

    model_id: str
    kind: Literal["pretrained", "original", "retrained", "unlearned"]
    architecture: str
    recipe: Recipe
    seed: int
    forget_set: str | None = None
    """None for an original that no poison distinguishes."""
    replicate: int = 0
    named_method: NamedMethod | None = None
    """None for an original."""
    scope: str = "all"
    original_id: str | None = None
    retrained_id: str | None = None
    """The reference that this model is compared with."""
    pretrained_id: str | None = None
    """The base that its training, or whatever a method initialises anew, starts from; None: random weights."""
    file: GivenFile | None = None
    """Where a finished model is read from; None for one that is made here."""

    @property
    def method(self) -> str:
        """Name on the method axis, which may be a variant of a registered method; empty for an original."""
        return self.named_method.text if self.named_method else ""

    @property
    def stage(self) -> str:
        """Name in `costs` of what makes it."""
        return _STAGES[self.kind]


@dataclass(frozen=True, slots=True)
class ModelSubject:
    """A model, which a cell measures or compares with."""

    model_id: str

    @property
    def id(self) -> str:
        """Of the stage that makes it."""
        return self.model_id


@dataclass(frozen=True, slots=True)
class ShadowSubject:
    """A group of shadow models, which a cell measures or compares with."""

    group_id: str

    @property
    def id(self) -> str:
        """Of the stage that makes it."""
        return self.group_id


Subject = ModelSubject | ShadowSubject


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One point of the grid: a subject under an attack, next to the reference that it is compared with."""

    cell_id: str
    subject: Subject
    reference: Subject | None
    """Of the same type as the subject; None where no retrained model is known, so that no difference is."""
    architecture: str
    named_method: NamedMethod
    scope: str
    named_attack: NamedAttack
    forget_set: str
    seed: int
    role: Role

    @property
    def method(self) -> str:
        """Value of the method axis."""
        return self.named_method.text

    @property
    def attack(self) -> str:
        """Value of the attack axis."""
        return self.named_attack.text

    @property
    def reference_id(self) -> str | None:
        """Of what it is compared with; None where there is nothing."""
        return self.reference.id if self.reference is not None else None

    @property
    def beside(self) -> tuple[Any, ...]:
        """What cells share that stand beside each other: reference, place and attack."""
        return self.reference_id, self.architecture, self.forget_set, self.seed, self.attack

    @property
    def axes(self) -> dict[str, Any]:
        """The cell's place on every axis."""
        names = ("architecture", "method", "scope", "attack", "forget_set", "seed")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a sweep would do: cells in order, and every distinct model behind them."""

    config: SweepConfig
    """With the device that `auto` stands for."""
    data: DataPlan
    cells: tuple[Cell, ...]
    models: Mapping[str, ModelSpec]
    shadow_sets: Mapping[str, ShadowSet]
    """Shadow models by architecture; empty where no attack needs them."""
    shadow_groups: Mapping[str, ShadowGroup]
    """What is unlearned from the shadow models, by group id."""
    methods: Mapping[str, NamedMethod]
    """Every value of the method axis, and the references, as configured: without what was tuned for a place."""
    attacks: Mapping[str, NamedAttack]
    """Every value of the attack axis."""
    plugins: Mapping[str, str]
    """Name and digest of every plug-in that the plan rests on."""
    settings: Mapping[str, Setting]
    """What each cell, model and group of shadow models holds besides seed and forget set, by its id."""
    answers: Declared
    """Primary measures and margins."""
    bases: tuple[Base, ...] = ()
    """What language models start from."""
    notes: tuple[str, ...] = field(default=())
    """What was decided in the user's place, a line for each."""

    def trained(self) -> list[ModelSpec]:
        """Models that no method made: what all others start from first, then originals, then retrained ones."""
        trained = [m for m in self.models.values() if m.kind in TRAINED]
        return sorted(trained, key=lambda m: (TRAINED.index(m.kind), m.model_id))

    def only(self, keep: Iterable[str]) -> Plan:
        """The plan with the given cells alone and the models that they need."""
        kept = set(keep)
        cells = tuple(c for c in self.cells if c.cell_id in kept)
        needed = {i for cell in cells for i in self.stages(cell)}
        return replace(
            self,
            cells=cells,
            models={k: v for k, v in self.models.items() if k in needed},
            shadow_groups={k: v for k, v in self.shadow_groups.items() if k in needed},
        )

    def num_shadows(self, cell: Cell) -> int | None:
        """Shadow models behind a cell; None where it rests on one model."""
        if isinstance(cell.subject, ModelSubject):
            return None
        return self.shadow_sets[cell.architecture].layout.num_shadows

    def stages(self, cell: Cell) -> set[str]:
        """Ids of the models, or of the groups of shadow models, that a cell needs."""
        needed = {cell.subject.id} | _known(cell.reference_id)
        if isinstance(cell.subject, ShadowSubject):
            shadows = self.shadow_sets[cell.architecture]
            return needed | {shadows.base().group_id} | _known(shadows.pretrained_id)
        spec = self.models[cell.subject.model_id]
        return needed | _known(spec.original_id, spec.pretrained_id)

    def resting_on(self, plugin: str) -> list[Cell]:
        """Cells whose numbers a plug-in can change."""
        if plugin in self.data.plugins:
            return list(self.cells)
        built = {name for name in self.config.axes.architecture if self._builder(name) == plugin}
        return [
            cell
            for cell in self.cells
            if cell.architecture in built or plugin in cell.named_method.plugins | cell.named_attack.plugins
        ]

    def _builder(self, architecture: str) -> str:
        builder = architecture_builder(self.config.architecture(architecture).timm)
        return plugin_name(builder) if builder else ""


def _known(*ids: str | None) -> set[str]:
    return {i for i in ids if i}


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
        c for c in plan.cells if c.role == "audited" and all(fits(c.axes[k], p) for k, p in rules.items())
    ]
    if not audited:
        for key, pattern in rules.items():
            values = {str(c.axes[key]) for c in plan.cells if c.role == "audited"}
            if not any(fits(value, pattern) for value in values):
                raise unknown_name(key.replace("_", " "), pattern, values, where="--only")
        raise AuditError(f"--only: no cell matches '{patterns}'")
    audited = audited[:limit] if limit else audited
    kept = {c.cell_id for c in audited}
    places = {c.beside for c in audited}
    kept |= {c.cell_id for c in plan.cells if c.role != "audited" and c.beside in places}
    return plan.only(kept)
