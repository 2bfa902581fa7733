"""Whether what a configuration names is for the examples of its data set: images, or documents. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from orchestrator.config.settings import Data, SweepConfig
from orchestrator.plan.building import built
from orchestrator.plan.names import NamedAttack, NamedMethod
from orchestrator.plan.sources import saying
from tasks.datasets.base import DataSource, Labels, TextSource
from tasks.datasets.checks import check_apart
from tasks.errors import AuditError
from tasks.forget_sets.base import ForgetKind
from tasks.networks.timm_options import check_name, told_of
from tasks.networks.weight_files import weight_file
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
            if labels.vocabulary and config.given is not None:
                needed += ', or config_folder = "FOLDER" of one of the models of [given]'
            raise AuditError(
                f"axes.architecture: '{name}' is for {EXAMPLES[table.objective]}, and '{config.data.name}' holds "
                f"{held}; expected {needed}"
            )
        if table.objective == "language":
            with saying(f"architectures.{name}{'.options' if table.language else ''}"):
                table.sizes.check(source, labels)
        else:
            with saying(f"architectures.{name}" if name in config.architectures else "axes.architecture"):
                check_name(table.timm)
                if table.weights:
                    weight_file(table.weights)
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
    if labels.vocabulary and config.shadows.canaries:
        raise AuditError(
            f"shadows.canaries: expected 0, as '{config.data.name}' holds documents, got {config.shadows.canaries}"
        )


def check_classes(labels: Labels) -> None:
    """Refuse images of one class: whatever a model answers is right.

    Raises:
        AuditError: there is one.
    """
    if labels.objective == "classify" and labels.num_classes < 2:
        raise AuditError(
            f"data: expected two classes or more, got {labels.num_classes}: {labels.class_names}"
        )


def told_of_classes(labels: Labels, train: np.ndarray) -> tuple[str, ...]:
    """What a plan says of classes that nothing is trained on: the numbers of classes may have gaps, or begin at 1."""
    counts = np.bincount(labels.labels[train], minlength=labels.num_classes)
    empty = [labels.class_names[label] for label in np.flatnonzero(counts == 0)]
    if not empty:
        return ()
    named = ", ".join(empty[:10]) + (", ..." if len(empty) > 10 else "")
    return (
        f"data: {len(empty)} of {labels.num_classes} classes have no training example ({named}); models have an output "
        "for each all the same",
    )


def check_prompts(
    config: SweepConfig, source: DataSource, labels: Labels, methods: Iterable[NamedMethod]
) -> None:
    """Refuse methods that answer prompts where documents have none, or the answers do not fit words or context."""
    for method in methods:
        for part in (method.built, *method.built.parts):
            if not part.completions:
                continue
            where = f"axes.method: '{method.text}'"
            if not (labels.prompted and isinstance(source, TextSource)):
                raise AuditError(
                    f"{where}: expected documents that are all a prompt and its completion, as it answers prompts, and "
                    f"'{config.data.name}' holds others; take npo or simnpo"
                )
            with saying(where):
                said = max(len(source.completion(text)) for text in part.completions)
            prompts = source.read_inputs().asked.argmax(axis=1)
            longest = replace(labels, longest=max(labels.longest, int(prompts.max(initial=0)) + said))
            for name in config.axes.architecture:
                with saying(f"{where}: with what it answers: architectures.{name}"):
                    config.architecture(name).sizes.check(source, longest)


def told_of_models(config: SweepConfig, labels: Labels) -> tuple[str, ...]:
    """What a plan says of models of timm that are not as their names say.

    One that starts from weights is built for it, which takes the seconds of importing timm; those of a published
    language model are read.

    Raises:
        AuditError: the weights do not fit, or hold numbers that no trained model has.
    """
    notes: list[str] = []
    for name in config.axes.architecture:
        table = config.architecture(name)
        told = [*_told_of_start(config, name, labels)] if table.weights else []
        if table.timm:
            size = labels.image_shape[1], labels.image_shape[2]
            told += told_of(table.timm, table.options, table.stem, size, weights=bool(table.weights))
        notes += [f"architectures.{name}.{line}" for line in told]
    return tuple(notes)


def _told_of_start(config: SweepConfig, name: str, labels: Labels) -> Iterator[str]:
    from tasks.networks.models import Classifier  # torch and timm: a plan without weights does without
    from tasks.networks.start import check_files

    table = config.architecture(name)
    with saying(f"architectures.{name}"):
        if table.objective == "language":
            check_files(table.sizes.files())
            return
        model = built(config, labels, name, ("plan",))
    assert isinstance(model, Classifier)
    yield from (f"weights: {line}" for line in model.told)


def check_axes(labels: Labels, methods: Iterable[NamedMethod], attacks: Iterable[NamedAttack]) -> None:
    """Refuse methods and attacks that are for models of other examples."""
    for axis, parts in (("method", methods), ("attack", attacks)):
        for part in parts:
            with saying(f"axes.{axis}: '{part.text}'", part.built):
                part.built.check_objective(labels.objective)
