"""From a description to checked arrays: what every role has, and of which examples."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from orchestrator.config.settings import digest
from orchestrator.outputs.description import OF_DRAWS, Description, Given, Kind
from orchestrator.outputs.easydub import EasyDub, read_easydub
from orchestrator.outputs.examples import plan_examples
from orchestrator.outputs.files import ChosenRows, Files, Rows, common
from orchestrator.outputs.masks import Drawn, check_same_draws, drawn_of, members_of
from orchestrator.outputs.values import check_shape, check_values
from orchestrator.plan.data import DataPlan
from orchestrator.plan.sources import saying
from tasks.errors import AuditError

V = TypeVar("V")
Key = tuple[str, str]
"""A method, or `retrained` and `retrained_again`, and a forget set."""
RETRAINED, AGAIN = "retrained", "retrained_again"


@dataclass(frozen=True, kw_only=True, eq=False)
class Sources:
    """Everything that was given."""

    kind: Kind
    data: DataPlan
    architecture: str
    original: Rows | None = None
    models: Mapping[Key, Rows] = field(default_factory=dict)
    """Retrained, further retrained and unlearned models."""
    shadow: Rows | None = None
    members: np.ndarray | None = None
    """`shadow models x N`, bool: what each was trained on."""
    drawn: Mapping[Key, Drawn] = field(default_factory=dict)
    """Models that came of shadow models."""
    notes: tuple[str, ...] = ()
    """What was decided in the user's place, a line for each."""

    def methods(self) -> list[str]:
        """Names of the unlearning methods, in the order in which they were given."""
        named = [method for method, _ in (*self.models, *self.drawn)]
        return list(dict.fromkeys(name for name in named if name not in (RETRAINED, AGAIN)))

    def versions(self) -> dict[str, str]:
        """Digests of the files: of the originals, of the retrained models, of the shadow models, of each method."""
        found: dict[str, list[str]] = {"original": [], RETRAINED: [], "shadow": []}
        if self.original is not None:
            found["original"].append(self.original.digest)
        # Where there are no shadow models the originals stand for them.
        found["shadow"] = found["original"] if self.shadow is None else [self.shadow.digest]
        for (method, forget_set), rows in sorted(self.models.items(), key=lambda item: item[0]):
            role = RETRAINED if method == AGAIN else method
            found.setdefault(role, []).append(f"{method} {forget_set} {rows.digest}")
        for (method, forget_set), drawn in sorted(self.drawn.items(), key=lambda item: item[0]):
            masks = drawn.shadow.astype("<i8").tobytes() + np.packbits(drawn.forgotten).tobytes()
            told = f"{forget_set} {drawn.rows.digest} {hashlib.sha256(masks).hexdigest()}"
            found.setdefault(method, []).append(told)
        return {role: digest(parts) for role, parts in found.items()}


def read_sources(given: Description, files: Files) -> Sources:
    """Open every file, and read each number once.

    Raises:
        AuditError: a file cannot be read, two do not fit each other, or one holds what it cannot.
    """
    column = "logits" if given.kind == "logits" else "value"
    opened = [(model, files.rows(model.file, array=model.array, column=column)) for model in given.models]
    dub = read_easydub(Path(given.easydub), given.easydub_forget_sets) if given.easydub else None
    known = [] if dub is None else [dub.original, *dub.retrained.values()]
    every = [*known, *(rows for _, rows in opened)]
    if not every:
        raise AuditError("outputs.models: expected at least one table [[outputs.models]], or easydub")
    for rows in every:
        check_shape(given.kind, rows)
    shape = common([(rows.name, rows.shape[1:]) for rows in every])
    for rows in every:
        check_values(given.kind, rows)
    data = _examples(given, files, dub, shape)
    return _by_role(given, files, opened, dub, data)


def _examples(given: Description, files: Files, dub: EasyDub | None, shape: tuple[int, ...]) -> DataPlan:
    num_examples = shape[0]
    forget_sets: dict[str, np.ndarray] = {} if dub is None else dict(dub.forget_sets)
    for name, path in given.forget_sets.items():
        if name in forget_sets:
            raise AuditError(
                f"outputs.forget_sets.{name}: easydub has a forget set of this name; expected another"
            )
        forget_sets[name] = _chosen(files, path, num_examples)
    if not forget_sets:
        raise AuditError("outputs.forget_sets: expected at least one forget set")
    labels = None
    if given.labels:
        labels = files.vector(given.labels, kinds="iu", what="integers, a label for each example")
    none = np.empty(0, dtype=np.int64)
    return plan_examples(
        num_examples=num_examples,
        labels=labels,
        num_classes=shape[1] if given.kind == "logits" else 0,
        test=_chosen(files, given.test, num_examples)
        if dub is None
        else np.arange(dub.num_train, num_examples),
        validation=_chosen(files, given.validation, num_examples) if given.validation else none,
        forget_sets=forget_sets,
        named_by={name: given.forget_sets.get(name, given.easydub) for name in forget_sets}
        | {"labels": given.labels},
    )


def _by_role(
    given: Description, files: Files, opened: list[tuple[Given, Rows]], dub: EasyDub | None, data: DataPlan
) -> Sources:
    originals: dict[Key, Rows] = {} if dub is None else {("original", ""): dub.original}
    models: dict[Key, Rows] = (
        {} if dub is None else {(RETRAINED, name): rows for name, rows in dub.retrained.items()}
    )
    shadows: dict[Key, Rows] = {}
    members: np.ndarray | None = None
    for number, (model, rows) in enumerate(opened):
        with saying(f"outputs.models[{number}]"):
            if model.forget_set and model.forget_set not in data.forget_sets:
                known = ", ".join(data.forget_sets)
                raise AuditError(f"forget_set: expected one of {known}, got '{model.forget_set}'")
            if model.role == "original":
                _put(originals, ("original", ""), rows)
            elif model.role == "shadow":
                _put(shadows, ("shadow", ""), rows)
                members = members_of(files, model, rows, data)
            elif model.role not in OF_DRAWS:
                _put(models, (model.method or model.role, model.forget_set), rows)
    drawn: dict[Key, Drawn] = {}
    for number, (model, rows) in enumerate(opened):
        if model.role in OF_DRAWS:
            with saying(f"outputs.models[{number}]"):
                if members is None:
                    raise AuditError(f"role '{model.role}' needs the models behind it, of role 'shadow'")
                found = drawn_of(files, model, rows, members, data)
                _put(drawn, (model.method or RETRAINED, model.forget_set), found)
    check_same_draws(drawn, RETRAINED)
    _require_retrained(models)
    models, notes = _halved(models)
    return Sources(
        kind=given.kind,
        data=data,
        architecture=dub.architecture
        if dub is not None and given.architecture == "outputs"
        else given.architecture,
        original=originals.get(("original", "")),
        models=models,
        shadow=shadows.get(("shadow", "")),
        members=members,
        drawn=drawn,
        notes=(*_assumed(given), *notes),
    )


def _require_retrained(models: Mapping[Key, Rows]) -> None:
    for method, forget_set in models:
        if (RETRAINED, forget_set) not in models:
            raise AuditError(
                f"outputs.models: '{method}' of forget set '{forget_set}' has no retrained model beside it: without "
                "one nothing can be said of a gap to retraining, KLoM or a verdict; give some as role 'retrained'"
            )


def _halved(models: Mapping[Key, Rows]) -> tuple[dict[Key, Rows], list[str]]:
    """The models, and a line for each forget set whose retrained models serve twice."""
    found, notes = dict(models), []
    for (method, forget_set), rows in models.items():
        if method == RETRAINED and (AGAIN, forget_set) not in models and rows.shape[0] > 1:
            half = (rows.shape[0] + 1) // 2
            found[RETRAINED, forget_set] = ChosenRows(rows=rows, numbers=range(half))
            found[AGAIN, forget_set] = ChosenRows(rows=rows, numbers=range(half, rows.shape[0]))
            notes.append(
                f"outputs: of {rows.shape[0]} models retrained without '{forget_set}' the last {rows.shape[0] - half} "
                "stand as retrained again, beside which numbers are read; role 'retrained_again' names others"
            )
    return found, notes


def _assumed(given: Description) -> list[str]:
    notes = []
    if given.kind == "margins":
        notes.append(
            "outputs: margins are taken for z_y - logsumexp of the other logits, which is log(p / (1 - p))"
        )
    if not given.labels:
        notes.append("outputs: no labels are given: they are -1 in every table")
    return notes


def _put(found: dict[Key, V], key: Key, value: V) -> None:
    if key in found:
        of = f" of forget set '{key[1]}'" if key[1] else ""
        raise AuditError(f"'{key[0]}'{of} is given twice; stack its models in one file")
    found[key] = value


def _chosen(files: Files, path: str, num_examples: int) -> np.ndarray:
    """Ids from ids, or from a bool for each example."""
    found = files.vector(path, kinds="iub", what=f"ids, or bool of shape ({num_examples},)")
    if found.dtype == np.bool_:
        if len(found) != num_examples:
            raise AuditError(f"{path}: expected {num_examples} bool as there are examples, got {len(found)}")
        return np.flatnonzero(found)
    outside = found[(found < 0) | (found >= num_examples)]
    if len(outside) or len(np.unique(found)) < len(found):
        told = f"{outside[0]}" if len(outside) else "one twice"
        raise AuditError(f"{path}: expected distinct ids from 0 to {num_examples - 1}, got {told}")
    return found.astype(np.int64)
