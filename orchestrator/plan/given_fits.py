"""Whether finished models fit what is asked of them, and what cannot be said of them. Imports no torch by itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from orchestrator.config.architectures import Architecture
from orchestrator.config.given import Given
from orchestrator.config.settings import SweepConfig
from orchestrator.plan.data import DataPlan
from orchestrator.plan.given_copies import check_apart, told_of_copies
from orchestrator.plan.given_files import GivenFile, GivenFiles
from orchestrator.plan.names import NamedAttack, NamedMethod, given_methods
from orchestrator.plan.points import CONTROL
from orchestrator.plan.sources import saying
from tasks.errors import AuditError
from tasks.networks.timm_options import is_small
from tasks.networks.weight_files import weight_file
from tasks.unlearn.program import Program

OUTPUTS = "python -m orchestrator.outputs takes what shadow models of your own answered"
RECIPE = "say how in [training]"


def check_given(
    config: SweepConfig, data: DataPlan, methods: Iterable[NamedMethod], attacks: Iterable[NamedAttack]
) -> None:
    """Refuse what finished models cannot answer, and what contradicts them.

    Raises:
        AuditError: the data are documents, models would have to be trained and nothing says how, or a method needs
            what there is not.
    """
    given = config.given
    assert given is not None
    if data.labels.vocabulary:
        raise AuditError(
            f"given: expected a data set of images, and '{config.data.name}' holds documents; finished language "
            "models are audited by what they answered: python -m orchestrator.outputs"
        )
    if config.tuning.trials:
        raise AuditError(
            f"tuning.trials: expected 0 with [given], got {config.tuning.trials}: a search trains originals of its own"
        )
    for name, forget in data.forget_sets.items():
        if forget.poisons:
            raise AuditError(
                f"axes.forget_set: '{name}' changes what originals are trained on, and those of [given] are trained"
            )
    if (given.retrained or not given.retrain) and (
        config.answers.control != "none" or CONTROL in config.axes.method
    ):
        told = "retrained models are given" if given.retrained else f"nothing says how to train one: {RECIPE}"
        raise AuditError(
            f'answers.control: expected "none", as a third retrained model is trained here, and {told}'
        )
    for attack in attacks:
        if attack.built.subject == "shadow_models" and not given.retrain:
            raise AuditError(
                f"axes.attack: '{attack.text}' needs shadow models, which are trained, and nothing says how: "
                f"{RECIPE}; or {OUTPUTS}"
            )
    for method in methods:
        _check_method(method, given, data)


def _check_method(method: NamedMethod, given: Given, data: DataPlan) -> None:
    parts = (method.built, *method.built.parts)
    if not given.retrain and any(part.needs_recipe for part in parts):
        raise AuditError(
            f"axes.method: '{method.text}' trains by the recipe of the original, and nothing says which: {RECIPE}"
        )
    reads = [part for part in parts if part.needs_validation and not _ignores_validation(part)]
    if reads and not len(data.splits.validation):
        raise AuditError(
            f"axes.method: '{method.text}' reads a validation set, on which the originals were not trained, and there "
            "is none: data.validation_fraction says which share of the training examples was kept apart"
        )


def _ignores_validation(method: object) -> bool:
    """Whether a program is not even told which examples these are."""
    return isinstance(method, Program) and "validation_ids" not in method.handed


def told_of_files(config: SweepConfig, data: DataPlan, files: GivenFiles | None) -> tuple[str, ...]:
    """What a plan says of finished models, each of whose files is read for it.

    Raises:
        AuditError: a file cannot be read, does not fit the architecture, or holds numbers that are not
            finite, or one model is given as two that have to differ.
    """
    given = config.given
    if given is None or files is None:
        return ()
    weights: dict[str, str] = {}
    told = tuple(_told_of_each(config, data, files, weights))
    check_apart(files, weights)
    return (
        *told,
        *_told_of_training(given),
        *_told_of_input(config, data),
        *told_of_copies(files, weights),
        *(
            f"given.unlearned.{name}: not on axes.method, so not audited"
            for name in given_methods(config)
            if name not in config.axes.method
        ),
    )


def _told_of_each(
    config: SweepConfig, data: DataPlan, files: GivenFiles, weights: dict[str, str]
) -> Iterator[str]:
    """Every list of files, and what was converted in reading them; `weights` gets the digest of what each holds."""
    from tasks.networks.finished import load_finished  # torch and timm: a plan without files does without
    from tasks.networks.models import build
    from tasks.runtime.fingerprint import fingerprint

    (name,) = config.axes.architecture
    table = config.architecture(name)
    model = build(
        table.timm,
        table.options,
        image_shape=data.labels.image_shape,
        num_classes=data.labels.num_classes,
        mean=config.data.mean,
        std=config.data.std,
        seed_path=("plan",),
        weights=weight_file(table.weights) if table.weights else None,
        stem=table.stem,
    )
    for key, found in files.lists():
        told: dict[str, None] = {}
        for file in found:
            with saying(file.key):
                try:
                    told |= dict.fromkeys(load_finished(model, file.path))
                except AuditError as error:
                    raise AuditError(f"{error}{_of_stem(table, data, str(error))}") from None
            weights[file.digest] = fingerprint(model)
        yield f"{key}: {', '.join(map(_shown, found))}{''.join(f'; {line}' for line in told)}"


def _of_stem(table: Architecture, data: DataPlan, message: str) -> str:
    """What may be meant where shapes differ and Lethe has made the stem for small images."""
    _, height, width = data.labels.image_shape
    small = table.stem == "auto" and is_small(table.stem, (height, width), weights=bool(table.weights))
    fits = small and "of another shape" in message
    return '; the stem is made for small images here: stem = "timm" keeps timm\'s' if fits else ""


def _shown(file: GivenFile) -> str:
    return f"{file.path} (SHA-256 {file.digest[:12]})"


def _told_of_training(given: Given) -> Iterator[str]:
    """What can be said, by what retrained models there are."""
    if not given.retrained and not given.retrain:
        yield (
            "given.retrained: none is given and nothing says how to train one, so nothing is said of the distance to "
            "retraining: no gap, no verdict, and no certificate that is decided; what needs no retrained model is "
            f"measured. Such models stand in given.retrained and given.retrained_again; or {RECIPE}"
        )
    elif not given.retrained:
        yield (
            "given.retrained: none is given, so models are retrained by [training], which need not be how the "
            "originals were trained: a difference may be one of recipes"
        )
    elif not given.retrained_again:
        yield (
            "given.retrained_again: none is given, so nobody knows how far two trainings lie apart: gaps are measured, "
            "and every verdict is undecided"
        )
    if given.retrain and given.retrained:
        yield "training: given models are not retrained by it; shadow models, and methods that train, follow it"


def _told_of_input(config: SweepConfig, data: DataPlan) -> Iterator[str]:
    """What the models see, and what they are taken to have been trained on."""
    splits, settings = data.splits, config.data
    yield (
        f"given: models see pixels in [0, 1] of {'x'.join(map(str, data.labels.image_shape))}, less "
        f"data.mean = {list(settings.mean)}, divided by data.std = {list(settings.std)}, as they must have in "
        f"training; logit i is class i of {data.labels.num_classes}"
    )
    kept = len(splits.validation)
    yield (
        f"given: the originals are taken to have been trained on {len(splits.train):,} examples"
        + (f", not on the {kept:,} of data.validation_fraction" if kept else "")
        + f", and not on the {len(splits.test):,} of the test set"
    )
    if not data.labels.is_test.any():
        yield (
            f"data.test_fraction: '{settings.name}' has no test set of its own, so that one is drawn with "
            "data.split_seed: expected one that says which examples the originals were not trained on, such as "
            "is_test of an .npz file"
        )
