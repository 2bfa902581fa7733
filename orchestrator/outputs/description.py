"""What a file of `python -m orchestrator.outputs` says: whose outputs are where, and what is to be asked of them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from orchestrator.config.answers import Answers
from orchestrator.config.settings import Evaluation
from orchestrator.config.toml_files import read_toml
from tasks import fields
from tasks.errors import AuditError, unknown_name

Kind = Literal["logits", "margins", "log_likelihoods"]
"""What an array holds of a model and an example: a logit z for each class; the margin z_y - logsumexp of the other
logits, which is log(p / (1 - p)); or log p; p is the probability of the true label y."""
Role = Literal[
    "original",
    "retrained",
    "retrained_again",
    "unlearned",
    "shadow",
    "shadow_retrained",
    "shadow_unlearned",
]
OF_FORGET_SETS = ("retrained", "retrained_again", "unlearned", "shadow_retrained", "shadow_unlearned")
OF_METHODS = ("unlearned", "shadow_unlearned")
OF_DRAWS = ("shadow_retrained", "shadow_unlearned")
"""Roles whose models forgot a forget set; came of a method; forgot a part of the forget set each."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """The outputs of some models."""

    role: Role
    """original: trained on every training example; retrained: without the forget set; retrained_again: further such
    models; unlearned: originals after a method. shadow: trained on a part each; shadow_retrained, shadow_unlearned:
    shadow models without a part of the forget set, by training or by a method."""
    file: str
    """`models x examples`, of logits `models x examples x classes`: .npy, .npz or .parquet."""
    array: str = ""
    """Its name in a .npz that holds several."""
    forget_set: str = ""
    """Name of what they forgot; of all roles but original and shadow."""
    method: str = ""
    """Name of what they were unlearned by; of unlearned and shadow_unlearned."""
    members: str = ""
    """Of shadow: the examples that each was trained on, bool, `models x examples`."""
    forgotten: str = ""
    """Of shadow_retrained and shadow_unlearned: the examples that each forgot, bool, `models x examples`."""
    shadow: str = ""
    """Of the same: number of the shadow model behind each, integers; without it the i-th is of shadow model i."""

    def __post_init__(self) -> None:
        for name, roles in (
            ("forget_set", OF_FORGET_SETS),
            ("method", OF_METHODS),
            ("members", ("shadow",)),
            ("forgotten", OF_DRAWS),
        ):
            if bool(getattr(self, name)) != (self.role in roles):
                wanted = "a value" if self.role in roles else "none"
                raise AuditError(f"{name}: expected {wanted} with role '{self.role}'")
        if self.shadow and self.role not in OF_DRAWS:
            raise AuditError(f"shadow: expected none with role '{self.role}'")


@dataclass(frozen=True, kw_only=True)
class Description:
    """The table `[outputs]`."""

    kind: Kind
    """What the arrays hold."""
    models: tuple[Given, ...] = ()
    """Whose outputs they are."""
    labels: str = ""
    """True label of each example, integers from 0; logits need it. Without it labels are -1 in every table."""
    test: str = ""
    """Examples that no model was trained on: bool for each example, or ids."""
    validation: str = ""
    """Examples that were kept apart otherwise: bool for each example, or ids."""
    forget_sets: dict[str, str] = field(default_factory=dict)
    """Forget sets by name: bool for each example, or ids."""
    easydub: str = ""
    """Folder of an EasyDUB data set: its pretrain models are originals, its oracles retrained ones."""
    easydub_forget_sets: tuple[int, ...] = ()
    """Numbers of its forget sets; empty: all that there are."""
    dataset: str = "outputs"
    """Name of the data set in the results."""
    architecture: str = "outputs"
    """Name of the architecture in the results."""
    attacks: tuple[str, ...] = ()
    """What is asked; empty: whatever these outputs can answer."""
    seeds: int = 10
    """Most models of each kind that are measured one by one, which needs logits."""

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise AuditError(f"seeds: expected 1 or more, got {self.seeds}")
        if self.kind == "logits" and not self.labels:
            raise AuditError(
                "labels: expected a file: logits say nothing of an example without its true label"
            )
        if self.easydub and (self.kind != "margins" or self.test):
            raise AuditError(
                'easydub: expected kind = "margins" and no test: its validation set is the test set'
            )
        if not self.easydub and not self.test:
            raise AuditError("test: expected a file: examples that no model was trained on")
        if self.easydub_forget_sets and not self.easydub:
            raise AuditError("easydub_forget_sets: expected none without easydub")


@dataclass(frozen=True, kw_only=True)
class Request:
    """A whole file."""

    outputs: Description
    name: str = "outputs"
    """Readable name of the runs."""
    attacks: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Parameters of attacks, and variants of them, as in a sweep."""
    evaluation: Evaluation = field(default_factory=Evaluation)
    """As in a sweep."""
    answers: Answers = field(default_factory=Answers)
    """As in a sweep."""


def read_request(source: str) -> Request:
    """What a TOML file asks for, or the folder of an EasyDUB data set; files that it names are relative to it.

    Raises:
        AuditError: it cannot be read, a key is unknown, or a value is wrong.
    """
    path = Path(source)
    if (path / "margins").is_dir():
        return Request(outputs=Description(kind="margins", easydub=source, dataset="cifar10"))
    if path.suffix != ".toml":
        raise AuditError(
            f"{source}: expected a .toml file with a table [outputs], or a folder with margins/cifar10 (EasyDUB)"
        )
    tables = read_toml(source)
    _check_roles(tables, source)
    if "outputs" not in tables:
        raise AuditError(f"{source}: expected a table [outputs], which says whose outputs are where")
    request = fields.build(Request, tables, where=source)
    return replace(request, outputs=_beside(path.parent, request.outputs))


def _check_roles(tables: Mapping[str, Any], source: str) -> None:
    """Name the roles where one is unknown; the table of a model says more than its number in the file."""
    outputs = tables.get("outputs", {})
    models = outputs.get("models", []) if isinstance(outputs, Mapping) else []
    for number, given in enumerate(models if isinstance(models, list) else []):
        role = given.get("role") if isinstance(given, Mapping) else None
        if isinstance(role, str) and role not in get_args(Role):
            raise unknown_name("role", role, get_args(Role), where=f"{source}: outputs.models[{number}]")


def _beside(folder: Path, outputs: Description) -> Description:
    """The same with every path from where the command runs."""

    def path(text: str) -> str:
        return str(folder / Path(os.path.expanduser(text))) if text else ""

    models = [
        replace(
            given,
            file=path(given.file),
            members=path(given.members),
            forgotten=path(given.forgotten),
            shadow=path(given.shadow),
        )
        for given in outputs.models
    ]
    return replace(
        outputs,
        models=tuple(models),
        labels=path(outputs.labels),
        test=path(outputs.test),
        validation=path(outputs.validation),
        forget_sets={name: path(text) for name, text in outputs.forget_sets.items()},
        easydub=path(outputs.easydub),
    )
