"""What an unlearning method is, and the registry that holds them. Imports no torch: `--help` reads it."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from tasks.errors import AuditError, unknown_name
from tasks.objectives.names import check_objectives, require_objective
from tasks.plugged import is_own
from tasks.registry import Registry

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from tasks.unlearn.run import UnlearningRun

SearchRange = (
    tuple[Literal["loguniform", "uniform"], float, float] | tuple[Literal["choice"], tuple[Any, ...]]
)
"""Where tuning looks for a field: the ends of an interval, or the values to choose from."""
FORMS = {"loguniform": 3, "uniform": 3, "choice": 2}
"""Length of each form of a range, its name counted."""


class Method(ABC):
    """A frozen dataclass whose fields are its hyper-parameters.

    It changes `run.model` in place. It reads only what the run offers: the forget, retain and validation
    sets, the original model as teacher, and random streams by name.
    """

    version: ClassVar[int] = 1
    """Raised whenever equal hyper-parameters give other weights, so that older ones are made again."""
    objectives: ClassVar[frozenset[str]] = frozenset()
    """Names of the objectives (`tasks.objectives`) whose models it can unlearn from, by itself; empty: every one."""
    instead: ClassVar[str] = ""
    """Which method to take for models of other objectives; of one that is for some alone."""
    needs_retain: ClassVar[bool] = True
    """Whether it reads the retain set (a privacy engineer may no longer have it)."""
    needs_validation: ClassVar[bool] = False
    """Whether it reads the validation set."""
    needs_recipe: ClassVar[bool] = False
    """Whether it trains by the recipe of the original, which of a finished model is only known if somebody says it."""
    second_model: ClassVar[str] = ""
    """Which further networks it trains or initialises besides the original ("random teacher"); empty: none."""
    from_scratch: ClassVar[bool] = False
    """True for the references alone: trained on the retain set by the recipe, never given an original."""
    replicate: ClassVar[int] = 0
    """Which of the independent retrained models a reference is; part of the seed path of its training."""
    edits_weights: ClassVar[bool] = False
    """Whether it also changes weights outside optimiser steps, so that zero epochs still change the model."""
    passes: ClassVar[str] = ""
    """Examples touched, in terms of E epochs and nf, nr, N examples: "E*nr"."""
    paper: ClassVar[str] = ""
    """Citation with its arXiv id."""
    search: ClassVar[Mapping[str, SearchRange]] = MappingProxyType({})
    """The published search range of each field that is worth tuning; equal budgets draw from it."""
    unidentified: ClassVar[frozenset[str]] = frozenset()
    """Fields that enter no id by themselves: they say where something lies, or stand for `version`."""

    @property
    def needs_scores(self) -> tuple[str, ...]:
        """Names of the stored per-example scores that it ranks by; empty where it reads none."""
        return ()

    @property
    def parts(self) -> tuple[Method, ...]:
        """Methods that it runs within itself: their versions and hyper-parameters decide its weights too."""
        return ()

    @property
    def completions(self) -> tuple[str, ...]:
        """Texts that it has the model say after the prompts of documents, which then must all have one; or none."""
        return ()

    @property
    def file_digests(self) -> Mapping[str, str]:
        """SHA-256 by name of files that decide its weights, such as those of a program; code of a plug-in is none."""
        return {}

    def check_objective(self, name: str) -> None:
        """Refuse models that are trained for another objective, before any work.

        Args:
            name: of the objective.

        Raises:
            AuditError: neither it nor a method that it runs within itself can unlearn from such models.
        """
        for method in (self, *self.parts):
            require_objective(method, name, instead=method.instead)

    def check_scope(self, parameters: Mapping[str, nn.Parameter], model: nn.Module) -> None:
        """Refuse a layer scope, given the parameters of the model that it holds, before any work.

        Raises:
            AuditError: the method cannot do anything under this scope.
        """
        return

    def check_forget(self, forget_labels: np.ndarray, retain_labels: np.ndarray) -> None:
        """Refuse a forget set, given the labels on both sides (`nf` and `nr`, int64), while planning.

        Raises:
            AuditError: the method cannot forget such a set.
        """
        return

    @abstractmethod
    def __call__(self, run: UnlearningRun) -> None:
        """Unlearn `run.forget` from `run.model`, changing nothing outside `run.scope`."""


def _check_declared(name: str, cls: type[Method]) -> None:
    """Refuse unknown objectives, search ranges of what is no field, and a plug-in that would be a reference."""
    check_objectives(name, cls)
    known = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    for field in cls.search:
        if field not in known:
            raise unknown_name("field", str(field), known, where=f"{name}: search")
    for field, space in cls.search.items():
        if not (isinstance(space, (tuple, list)) and space and len(space) == FORMS.get(space[0], 0)):
            raise AuditError(
                f"{name}: search: {field}: expected ('loguniform', low, high), ('uniform', low, high) or "
                f"('choice', (...)), got {space!r:.60}"
            )
    if cls.from_scratch and not is_own(cls):
        raise AuditError(
            f"{name}: from_scratch: expected False: what is trained from scratch is what methods are compared with"
        )


methods: Registry[Method] = Registry(
    "unlearning method",
    contract=Method,  # type: ignore[type-abstract]
    package="tasks.unlearn",
    group="lethe.methods",
    skip=("run",),
    check=_check_declared,
)
register = methods.register


def require(holds: bool, field: str, expected: str, got: object) -> None:
    """Refuse a field's value.

    Raises:
        AuditError: `holds` is false.
    """
    if not holds:
        raise AuditError(f"{field}: expected {expected}, got {got}")
