"""A program as a method: a command that is given the original, ids and a seed, and writes the unlearned model.

The command is a list of arguments, never a shell's line. In them `{name}` stands for what is handed over
(`tasks.unlearn.parts.handed`): paths of files in a private folder in which the program runs and which is removed
afterwards, or text. What the program writes is checked (`tasks.unlearn.parts.program_files`), and the layer scope as
that of every method.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from tasks.errors import AuditError, unknown_name
from tasks.unlearn.base import Method, register, require
from tasks.unlearn.parts.handed import FORM, HANDED, PLACEHOLDER
from tasks.unlearn.parts.named_content import Content, content_digest, content_of, edited

if TYPE_CHECKING:
    from tasks.unlearn.run import UnlearningRun

SCRIPTS = {".jl", ".js", ".pl", ".py", ".r", ".rb", ".sh"}
"""Endings by which the argument behind an interpreter is known to be its script."""
PROGRAM = "program"
"""Name of the method, and of the key by which a table of a configuration is known to be one."""


def is_program(table: Mapping[str, Any]) -> bool:
    """Whether the table of a method describes a program without saying so by `base`."""
    return PROGRAM in table


@register(PROGRAM)
@dataclass(frozen=True, kw_only=True)
class Program(Method):
    """A command of yours that reads the original's weights and writes the unlearned model's."""

    program: tuple[str, ...]
    """The program and its arguments. {original}, {unlearned}, {forget_ids}, {retain_ids}, {validation_ids}, {data} and
    {trainable} become paths, {scope}, {seed} and {device} text; an argument that names a file or folder becomes its
    full path."""
    version: str = ""  # type: ignore[misc, assignment]  # of the program, in place of the class's own
    """Yours to raise when what the program gives changes, and neither its arguments do nor what they name."""
    folder: str = ""
    """Where relative names of files in `program` start: the folder of the configuration, unless it says another."""

    names: Literal["lethe", "own"] = "lethe"
    """What parameters are called in {original}, {unlearned} and {trainable}. lethe: as in results, body. before those
    of the network, and normalise.mean and .std; own: as in the network's own state dict, without normalisation."""

    unidentified: ClassVar[frozenset[str]] = frozenset({"folder", "names", "version"})
    needs_validation: ClassVar[bool] = True
    passes: ClassVar[str] = "what the program does"
    edits_weights: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require(bool(self.program), "program", "a program and its arguments", "none")
        for place, argument in enumerate(self.program):
            require("\0" not in argument, f"program[{place}]", "text without NUL", repr(argument))
            for name in PLACEHOLDER.findall(argument):
                if name not in HANDED:
                    raise unknown_name("placeholder", name, HANDED, where=f"program[{place}]")
        if "unlearned" not in self.handed:
            raise AuditError(
                "program: expected an argument with {unlearned}, where the model is to be written"
            )
        self._planned  # noqa: B018 - reads the files, so that one that is not there is known while planning

    @property
    def handed(self) -> set[str]:
        """Names of the placeholders that occur in the arguments."""
        return {name for argument in self.program for name in PLACEHOLDER.findall(argument)}

    @cached_property
    def file_digests(self) -> Mapping[str, str]:
        """See `Method.file_digests`: SHA-256 of every file and folder that the arguments name, by place among them.

        Raises:
            AuditError: the program or its script is not there or cannot be run, a file cannot be read, or a folder
                holds more than is looked at.
        """
        digests = {f"program[{place}]": content_digest(held) for place, held in self._planned.items()}
        return self._form | digests

    def arguments(self, values: Mapping[str, str]) -> list[str]:
        """The command with what is handed over in place of the placeholders.

        Args:
            values: by placeholder.
        """
        named = {place: self._full(self.program[place]) for place, _ in self._named()}
        return [
            named[place] if place in named else PLACEHOLDER.sub(lambda found: values[found[1]], argument)
            for place, argument in enumerate(self.program)
        ]

    def __call__(self, run: UnlearningRun) -> None:
        """Run the program and take the weights that it wrote.

        Raises:
            ProgramFailed: it failed, or what it wrote is not a model of this architecture.
            AuditError: a file that its arguments name was edited since planning, if by itself.
        """
        from tasks.unlearn.parts.program_files import run_on_files

        self._check_same("after planning; run the same command again")
        run_on_files(run, self.handed, self.arguments, own_names=self.names == "own")
        self._check_same("while the program ran")

    @property
    def _form(self) -> dict[str, str]:
        """What is handed over, and by which names: as it was before there was a choice, where these are Lethe's."""
        return {"form": FORM} if self.names == "lethe" else {"form": FORM, "names": self.names}

    def _check_found(self) -> None:
        """Refuse a program, or the script behind an interpreter, that is not there."""
        name = self.program[0]
        if os.sep not in name:
            if shutil.which(name) is None:
                is_here = (self._folder / name).is_file()
                remedy = f"; for the one in {self._folder} write ./{name}" if is_here else ""
                raise AuditError(f"program[0]: expected a program, and PATH has no '{name}'{remedy}")
        elif not PLACEHOLDER.search(name):
            path = self._folder / name
            require(
                path.is_file(), "program[0]", "a program", f"'{name}', and there is none in {self._folder}"
            )
            require(
                os.access(path, os.X_OK), "program[0]", "a file that may be executed", f"'{name}' (chmod +x)"
            )
        script = self.program[1] if len(self.program) > 1 else ""
        is_script = Path(script).suffix.lower() in SCRIPTS and not PLACEHOLDER.search(script)
        if is_script and not (self._folder / script).is_file():
            near = [found.name for found in self._folder.glob(f"*{Path(script).suffix}")]
            raise unknown_name(f"file in {self._folder}", script, near, where="program[1]")

    @property
    def _folder(self) -> Path:
        return Path(self.folder).absolute()

    def _named(self) -> Iterator[tuple[int, Path]]:
        """Place of every argument that names something that is there, and what; `--flag=name` too."""
        for place, argument in enumerate(self.program):
            path = self._folder / _value(argument)
            if place == 0 and os.sep not in argument:
                continue
            if _value(argument) and not PLACEHOLDER.search(argument) and path.exists():
                yield place, path

    @cached_property
    def _planned(self) -> dict[int, Content]:
        """What the arguments named while planning, by place among them."""
        self._check_found()
        return self._contents()

    def _contents(self) -> dict[int, Content]:
        try:
            return {place: content_of(path) for place, path in self._named()}
        except OSError as error:
            raise AuditError(f"program: cannot read {error.filename}: {error.strerror}") from None

    def _check_same(self, when: str) -> None:
        """Refuse files that are not what the ids say."""
        now = self._contents()
        for place in sorted(self._planned.keys() | now.keys()):
            file = edited(self._planned.get(place, {}), now.get(place, {}))
            if file is not None:
                raise AuditError(
                    f"program[{place}]: {os.path.join(_value(self.program[place]), file).rstrip(os.sep)} was edited "
                    f"{when} (what the program writes belongs in the folder in which it runs)"
                )

    def _full(self, argument: str) -> str:
        value = _value(argument)
        return argument.removesuffix(value) + str(self._folder / value)


def _value(argument: str) -> str:
    """What may name a file in an argument: what stands behind `=` of a flag, or all of it."""
    return argument.partition("=")[2] if argument.startswith("-") else argument
