"""Finished models: what `[given]` holds, and what a configuration with it leaves unsaid."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tasks.errors import AuditError

Files = str | tuple[str, ...]
"""One file, or one for each original, in their order."""
FilesByForgetSet = str | tuple[str, ...] | dict[str, str | tuple[str, ...]]
NAME = re.compile(r"[^\s:,=/*?\[\]]+")
"""What may name a method: the rest has a meaning on the axis, in patterns or in paths."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """Finished models, trained and unlearned elsewhere: files of safetensors, by paths from the folder of the
    configuration. Each file is one model of the one architecture; of several seeds the files stand in a list."""

    original: Files
    """The model before unlearning; a list: one for each seed, trained independently of each other."""
    retrained: FilesByForgetSet | None = None
    """Trained without the forget set, one for each original; of several forget sets a table of such lists."""
    retrained_again: FilesByForgetSet | None = None
    """The same, trained once more, independently: how far trainings lie apart, without which no verdict stands."""
    unlearned: dict[str, FilesByForgetSet] = field(default_factory=dict)
    """The originals after unlearning, by a name for the method, which stands on axes.method; one for each original."""
    retrain: bool = False
    """Whether [training] says how models are trained that are not given: retrained models, where none is, and shadow
    models. Left out: whether the configuration says anything of training."""

    def __post_init__(self) -> None:
        for name, files in self.lists():
            if not files or not all(files):
                raise AuditError(f"{name}: expected a file, or a list of files, got {list(files)}")
        if self.retrained_again and not self.retrained:
            raise AuditError(
                "retrained_again: expected `retrained` beside it, got none: it is the second of two retrained models"
            )
        for name in self.unlearned:
            if not NAME.fullmatch(name):
                raise AuditError(f"unlearned: expected names without space : , = / * ? [ ], got '{name}'")

    @property
    def originals(self) -> tuple[str, ...]:
        """Files of the originals, one for each seed."""
        return as_list(self.original)

    def roles(self) -> Iterator[tuple[str, FilesByForgetSet]]:
        """What of a configuration names files, by its key; roles of which none is given are left out."""
        yield "original", self.original
        trained = {"retrained": self.retrained, "retrained_again": self.retrained_again}
        yield from ((role, files) for role, files in trained.items() if files is not None)
        for method, files in self.unlearned.items():
            yield f"unlearned.{method}", files

    def lists(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Every list of files, by its key."""
        for role, files in self.roles():
            if isinstance(files, dict):
                if not files:
                    yield role, ()
                for forget_set, of_set in files.items():
                    yield f"{role}.{forget_set}", as_list(of_set)
            else:
                yield role, as_list(files)


def as_list(files: Files) -> tuple[str, ...]:
    """The files of all seeds."""
    return (files,) if isinstance(files, str) else files


def completed(tables: Mapping[str, Any]) -> dict[str, Any]:
    """The tables of a configuration; with `[given]` what they leave out is what the files say, not what a sweep takes.

    Every training example was seen by the original, seeds are as many as originals, the methods are those that are
    given, and nothing is trained unless something says how.

    Args:
        tables: as TOML gives them, right or wrong.
    """
    given = tables.get("given")
    if not isinstance(given, Mapping):
        return dict(tables)
    architectures = tables.get("architectures")
    own = architectures.values() if isinstance(architectures, Mapping) else ()
    stated = "training" in tables or any(isinstance(one, Mapping) and "training" in one for one in own)
    original, unlearned = given.get("original"), given.get("unlearned")
    axes: dict[str, Any] = {}
    if isinstance(unlearned, Mapping) and unlearned:
        axes["method"] = list(unlearned)
    if isinstance(original, (list, tuple)) and original:
        axes["seed"] = list(range(len(original)))
    left_out: dict[str, dict[str, Any]] = {
        "given": {"retrain": stated},
        "data": {"validation_fraction": 0.0},
        "axes": axes,
    }
    found = dict(tables)
    for name, values in left_out.items():
        if isinstance(table := found.get(name, {}), Mapping):
            found[name] = {**values, **table}
    return found
