"""Unlearning in sequence: rank the forget set, split it into groups, unlearn group after group.

    D_f = G_1 + ... + G_K by score;  theta_k = U_k(theta_{k-1}; forget G_k, retain D \\ D_f)

RUM (Zhao et al., NeurIPS 2024, arXiv 2406.01257): homogeneous groups by memorisation or entanglement, from
low to high, each with the method that suits it. The retain set of every stage is D without the *whole*
D_f, so what is already forgotten, and what is still to be forgotten, is in neither set [C RUM@f593c9d].
One base method for all groups is the paper's refinement-only variant; `group_methods` gives each group its
own ("no_op" leaves one as it is: low memorisation needs no unlearning); `order = "shuffled"` is the
control, the same number of groups of the same examples at random.

RSU (arXiv 2410.06446, withdrawn in its second version): only the abstract is known, which ranks by privacy
risk and unlearns in sequence. `rsu` is that ordering over this machinery [inf]; no reproduction is
claimed.

Each stage is a run of its own: its original is the model that the previous stage left, its streams are
derived from this run's seed and the stage's number, and all stages share this run's scope and meter.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from tasks.errors import AuditError
from tasks.runtime.seeding import derive_seed, numpy_generator
from tasks.unlearn.base import Method, SearchRange, methods, register, require

if TYPE_CHECKING:
    from torch import nn

    from tasks.unlearn.run import UnlearningRun

COMPUTED_RANKINGS = (
    "calibrated_loss",
    "confidence",
    "curvature",
    "entanglement",
    "holdout_kl",
    "learning_events",
)
"""Rankings that need no stored scores (`parts.risk.PROXIES`); other names are scores that the run offers."""
OF_DOCUMENTS = ("calibrated_loss", "confidence")
"""Those of them that need neither classes nor pixels."""


@dataclass(frozen=True, kw_only=True)
class SequentialUnlearning(Method):
    """Rank, split, and unlearn group after group with a base method."""

    base_method: str = "random_labels"
    """Name of the unlearning method that each group gets."""
    base_params: dict[str, Any] = field(default_factory=dict)
    """Hyper-parameters of `base_method`; what is absent keeps its default."""
    group_methods: tuple[str, ...] = ()
    """One method per group from the lowest score to the highest, instead of `base_method`; no_op skips a group."""
    group_params: dict[str, Any] = field(default_factory=dict)
    """Hyper-parameters of the methods in `group_methods`, one table per method name."""
    groups: int = 3
    """Number of groups K, of equal size to within one example."""
    ranking: str = "confidence"
    """calibrated_loss, confidence, curvature, entanglement, holdout_kl, learning_events, or stored scores."""
    order: Literal["low_to_high", "high_to_low", "shuffled"] = "low_to_high"
    """Which group goes first; shuffled: random groups of the same examples (the control)."""
    proxy_epochs: int = 3
    """Epochs from scratch for the rankings that train a model."""
    proxy_lr: float = 0.05
    """Learning rate of that training (sgd)."""

    needs_retain: ClassVar[bool] = True
    needs_validation: ClassVar[bool] = True
    passes: ClassVar[str] = "sum of the base method over the groups, and the ranking"
    search: ClassVar[Mapping[str, SearchRange]] = {"groups": ("choice", (2, 3, 5))}

    def __post_init__(self) -> None:
        require(self.groups >= 1, "groups", "at least 1", self.groups)
        require(self.proxy_epochs >= 1, "proxy_epochs", "at least 1", self.proxy_epochs)
        require(self.proxy_lr > 0, "proxy_lr", "a positive number", self.proxy_lr)
        if self.group_methods and len(self.group_methods) != self.groups:
            raise AuditError(
                f"group_methods: expected one method for each of {self.groups} groups, "
                f"got {len(self.group_methods)}"
            )
        for name in self.group_params:
            require(name in self.group_methods, f"group_params.{name}", "a method of group_methods", name)
        self.stages()

    @property
    def needs_scores(self) -> tuple[str, ...]:
        """Names of the stored per-example scores it reads."""
        computed = self.order == "shuffled" or self.ranking in COMPUTED_RANKINGS
        return () if computed else (self.ranking,)

    @property
    def parts(self) -> tuple[Method, ...]:
        """See `Method.parts`."""
        return tuple(self.stages())

    def stages(self) -> list[Method]:
        """The method of each group, from the lowest score to the highest.

        Raises:
            AuditError: an unknown method or hyper-parameter, a sequence inside a sequence, or a retraining.
        """
        names = self.group_methods or (self.base_method,) * self.groups
        return [self._method(name) for name in names]

    def check_objective(self, name: str) -> None:
        """Refuse what the method of a group refuses, and rankings by classes or pixels where there are none."""
        super().check_objective(name)
        computed = self.order != "shuffled" and self.ranking in COMPUTED_RANKINGS
        if name != "classify" and computed and self.ranking not in OF_DOCUMENTS:
            raise AuditError(
                f"ranking: expected {' or '.join(OF_DOCUMENTS)}, or stored scores, as examples have no classes or "
                f"pixels, got '{self.ranking}'"
            )

    def check_scope(self, parameters: Mapping[str, nn.Parameter], model: nn.Module) -> None:
        """Refuse a scope that the method of a group refuses."""
        for method in self.stages():
            method.check_scope(parameters, model)

    def __call__(self, run: UnlearningRun) -> None:
        """Unlearn the groups in their order."""
        stages = list(zip(self.split(run), self.stages(), strict=True))
        if self.order == "high_to_low":
            stages.reverse()
        for number, (rows, method) in enumerate(stages):
            if len(rows):
                self._unlearn_group(run, number, rows, method)

    def split(self, run: UnlearningRun) -> list[np.ndarray]:
        """Rows of `run.forget` by group, from the lowest score to the highest; ties go by example id."""
        ids = run.forget.ids.cpu().numpy()
        if self.order == "shuffled":
            ranked = numpy_generator("unlearn", run.seed, "sequence", "shuffled").permutation(len(ids))
        else:
            from tasks.unlearn.parts.risk import risk_scores, short_recipe

            recipe = short_recipe(self.proxy_epochs, self.proxy_lr)
            ranked = np.lexsort((ids, risk_scores(run, self.ranking, recipe)))
        return [np.sort(rows) for rows in np.array_split(ranked, self.groups)]

    def _method(self, name: str) -> Method:
        where = "group_methods" if self.group_methods else "base_method"
        cls = methods.get(name, where=where)
        if issubclass(cls, SequentialUnlearning) or cls.from_scratch:
            raise AuditError(f"{where}: expected a method that changes an original model, got '{name}'")
        if not self.group_methods:
            return methods.build(name, self.base_params, where="base_params")
        params = self.group_params.get(name, {})
        require(isinstance(params, Mapping), f"group_params.{name}", "a table", params)
        return methods.build(name, params, where=f"group_params.{name}")

    def _unlearn_group(self, run: UnlearningRun, number: int, rows: np.ndarray, method: Method) -> None:
        import torch

        stage = dataclasses.replace(
            run,
            forget=run.forget.at(torch.from_numpy(rows).to(run.device)),
            seed=derive_seed("sequence", run.seed, number),
            fresh_model=lambda purpose: run.fresh_model(("sequence", run.seed, number, *purpose)),
            shared=None,  # what is stored under a name belongs to the whole forget set
            on_epoch=None if run.on_epoch is None else lambda _epoch, _model: run.end_epoch(),
            notes={},
        )
        method(stage)
        for name, value in stage.notes.items():
            run.note(f"group{number}_{name}", value)


@register("rum")
@dataclass(frozen=True, kw_only=True)
class Rum(SequentialUnlearning):
    """Refined unlearning: groups of like memorisation or entanglement, low first."""

    paper: ClassVar[str] = "Zhao et al. 2024, arXiv 2406.01257"


@register("rsu")
@dataclass(frozen=True, kw_only=True)
class Rsu(SequentialUnlearning):
    """Sequential unlearning by privacy risk, the riskiest group first (no reproduction is claimed)."""

    ranking: str = "calibrated_loss"
    """calibrated_loss is a cheap risk; privacy_risk takes stored scores of a shadow-model attack."""
    order: Literal["low_to_high", "high_to_low", "shuffled"] = "high_to_low"
    """Which group goes first; shuffled: random groups of the same examples (the control)."""

    second_model: ClassVar[str] = "proxy model"
    paper: ClassVar[str] = "arXiv 2410.06446 (abstract; withdrawn)"
