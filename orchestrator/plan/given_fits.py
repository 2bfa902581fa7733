"""Whether finished models fit what is asked of them, and what cannot be said of them. Imports no torch by itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from orchestrator.config.given import Given
from orchestrator.config.settings import SweepConfig
from orchestrator.plan.data import DataPlan
from orchestrator.plan.given_copies import check_apart, told_of_copies
from orchestrator.plan.given_files import GivenFiles
from orchestrator.plan.given_weights import read_files, told_of_lists, weights_of
from orchestrator.plan.names import NamedAttack, NamedMethod, given_methods
from orchestrator.plan.points import CONTROL, ROLES
from tasks.errors import AuditError
from tasks.unlearn.program import Program

OUTPUTS = "python -m orchestrator.outputs takes what shadow models of your own answered"
RECIPE = "say how in [training]"


def check_given(
    config: SweepConfig, data: DataPlan, methods: Iterable[NamedMethod], attacks: Iterable[NamedAttack]
) -> None:
    """Refuse what finished models cannot answer, and what contradicts them.

    Raises:
        AuditError: models would have to be trained and nothing says how, or a method needs what there is not.
    """
    given = config.given
    assert given is not None
    if config.pretraining is not None:
        raise AuditError(
            "pretraining: expected none with [given], whose models began elsewhere; where that is known, weights of "
            "the architecture name what they began with"
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
    read = read_files(config, data, files)
    weights = weights_of(config, data, files, read)
    check_apart(files, weights)
    return (
        *told_of_lists(files, read),
        *_told_of_training(given),
        *_told_of_input(config, data),
        *told_of_copies(files, weights),
        *_told_of_axes(config),
    )


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


def _told_of_axes(config: SweepConfig) -> Iterator[str]:
    """What of the axes is not audited of given methods."""
    names = given_methods(config)
    yield from (
        f"given.unlearned.{name}: not on axes.method, so not audited"
        for name in names
        if name not in config.axes.method
    )
    scopes = [scope for scope in config.axes.scope if scope != "all"]
    there = [name for name in names if name in config.axes.method]
    if scopes and there:
        others = [name for name in config.axes.method if name not in names and name not in ROLES]
        whose = f"is for {', '.join(others)} alone" if others else "takes no part"
        yield (
            f"axes.scope: {', '.join(scopes)} {whose}: nobody here knows which layers the methods of [given.unlearned] "
            f"have changed ({', '.join(there)}), and they stand under scope all"
        )


def _told_of_input(config: SweepConfig, data: DataPlan) -> Iterator[str]:
    """What the models see, and what they are taken to have been trained on."""
    splits, labels = data.splits, data.labels
    yield (
        _told_of_documents(config, data)
        if labels.vocabulary
        else (
            f"given: models see pixels in [0, 1] of {'x'.join(map(str, labels.image_shape))}, less data.mean = "
            f"{list(config.data.mean)}, divided by data.std = {list(config.data.std)}, as they must have in training; "
            f"logit i is class i of {labels.num_classes}"
        )
    )
    kept = len(splits.validation)
    yield (
        f"given: the originals are taken to have been trained on {len(splits.train):,} examples"
        + (f", not on the {kept:,} of data.validation_fraction" if kept else "")
        + f", and not on the {len(splits.test):,} of the test set"
    )
    if not labels.is_test.any():
        example = "test_path of JSONL" if labels.vocabulary else "is_test of an .npz file"
        yield (
            f"data.test_fraction: '{config.data.name}' has no test set of its own, so that one is drawn with "
            "data.split_seed: expected one that says which examples the originals were not trained on, such as "
            + example
        )


def _told_of_documents(config: SweepConfig, data: DataPlan) -> str:
    tokenizer = config.data.options.get("tokenizer") or f"the words of '{config.data.name}'"
    return (
        f"given: models see one document at once, of up to {data.labels.longest:,} tokens by {tokenizer} "
        f"({data.labels.vocabulary:,} words), as they must have in training, with nothing before it; logits at a "
        "position are those of the token after it; what they began with, and whether that had seen what is forgotten, "
        "is not known here"
    )
