"""Whether what a configuration names is for the examples of its data set: images, or documents. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.config.settings import Data, SweepConfig
from orchestrator.plan.names import NamedAttack, NamedMethod
from orchestrator.plan.sources import saying
from tasks.datasets.base import DataSource, Labels
from tasks.datasets.checks import check_apart
from tasks.errors import AuditError
from tasks.forget_sets.base import ForgetKind
from tasks.objectives.names import EXAMPLES, require_objective


def check_normalisation(data: Data, labels: Labels) -> None:
    """Refuse constants of another number of channels, or constants of pixels where there are none."""
    for name in ("mean", "std"):
        value, count = getattr(data, name), len(getattr(data, name))
        if labels.vocabulary:
            if value != getattr(Data(), name):
                raise AuditError(
                    f"data.{name}: expected none, as '{data.name}' holds documents, got {list(value)}"
                )
        elif count not in (1, labels.image_shape[0]):
            raise AuditError(
                f"data.{name}: expected 1 number, or {labels.image_shape[0]} as there are channels, got {count}"
            )


def check_kind(kind: ForgetKind, labels: Labels, *, where: str) -> None:
    """Refuse a kind of forget sets that is for other examples."""
    with saying(where):
        require_objective(kind, labels.objective)


def check_models(config: SweepConfig, source: DataSource, labels: Labels) -> None:
    """Refuse architectures, recipes and canaries that the examples do not fit."""
    held = EXAMPLES[labels.objective]
    for name in config.axes.architecture:
        table = config.architecture(name)
        if table.objective != labels.objective:
            needed = f'language = "gpt" in [architectures.{name}]' if labels.vocabulary else "a timm model"
            raise AuditError(
                f"axes.architecture: '{name}' is for {EXAMPLES[table.objective]}, and '{config.data.name}' holds "
                f"{held}; expected {needed}"
            )
        if table.objective == "language":
            with saying(f"architectures.{name}{'.options' if table.language else ''}"):
                table.sizes.check(source, labels)
    recipes = {f"architectures.{name}.training": config.recipe(name) for name in config.axes.architecture}
    if config.pretraining is not None:
        if not source.public_digest():
            raise AuditError(
                f"pretraining: expected a data set with a public part, and '{config.data.name}' has none; leave the "
                "table out"
            )
        check_apart(source)
        recipes["pretraining"] = config.pretraining
    for where, recipe in recipes.items():
        if labels.vocabulary and recipe.augmentation != "none":
            raise AuditError(
                f"{where}.augmentation: expected \"none\", as '{config.data.name}' holds documents, got "
                f'"{recipe.augmentation}"'
            )
    unfit = {"shadows.canaries": config.shadows.canaries, "tuning.trials": config.tuning.trials}
    for where, value in unfit.items():
        if labels.vocabulary and value:
            raise AuditError(f"{where}: expected 0, as '{config.data.name}' holds documents, got {value}")


def check_axes(labels: Labels, methods: Iterable[NamedMethod], attacks: Iterable[NamedAttack]) -> None:
    """Refuse methods and attacks that are for models of other examples."""
    for axis, parts in (("method", methods), ("attack", attacks)):
        for part in parts:
            with saying(f"axes.{axis}: '{part.text}'"):
                part.built.check_objective(labels.objective)
