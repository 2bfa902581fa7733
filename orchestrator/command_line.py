"""Command lines from frozen dataclasses: fields are flags, strings under them their help, mistakes one line."""

from __future__ import annotations

import argparse
import dataclasses
import textwrap
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

from tasks import fields
from tasks.errors import AuditError, unknown_name

C = TypeVar("C")
COLUMNS = 79
"""Width of the running text of the help."""


@dataclass(frozen=True, kw_only=True)
class Flag:
    """How a field is read and shown; goes into its annotation: `Annotated[int, Flag(value="SECONDS")]`."""

    value: str = ""
    """What stands for its value in the help, with its unit; empty lists the choices."""
    group: str = "options"
    """Heading below which it is listed."""
    otherwise: str = ""
    """What holds where it is left out; empty shows the default."""
    positional: bool = False
    """Whether it is a word without a flag before it."""
    named: bool = False
    """Whether a positional is taken as --NAME too."""
    smallest: float | None = None
    """Numbers below it are refused."""
    largest: float | None = None
    """Numbers above it are refused."""
    repeated: bool = False
    """Given once for each value, in place of once with all values."""


ResultsDirectory = Annotated[str, Flag(value="RESULTS", positional=True, named=True)]
"""The results of commands that take no other word; `--results` as of `query`, whose word is the query."""


class _Parser(argparse.ArgumentParser):
    """Raises an AuditError in place of printing the usage."""

    def error(self, message: str) -> NoReturn:
        raise AuditError(f"{message}; see {self.prog} --help")


def parse(command: type[C], arguments: list[str] | None, *, prog: str, examples: str) -> C:
    """Make the dataclass `command` from the command line; `--help` prints it with the examples and leaves.

    Args:
        command: a dataclass whose docstring says what the command does; a nested one is a group of flags.
        arguments: words of the command line; None takes those of the process.
        prog: how the command is called.
        examples: lines that work as they are.

    Raises:
        AuditError: a flag is unknown or missing, or its value is not of its type.
    """
    about = " ".join(fields.class_doc(command).split())
    parser = _Parser(
        prog=prog,
        description=f"{textwrap.fill(about, COLUMNS)}\n\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    groups: dict[str, Any] = {"options": parser}
    _add_flags(command, parser, groups, prefix="")
    parser.usage = _usage(parser)
    known, unknown = parser.parse_known_args(arguments)
    if unknown:
        _refuse(unknown[0], parser)
    return _collect(command, vars(known), prefix="")


def flags_of(command: type, group: str) -> list[str]:
    """Names of the fields of a command whose flags stand in a group of its help."""
    hints = get_type_hints(command, include_extras=True)
    return [
        field.name for field in dataclasses.fields(command) if _split(hints[field.name])[1].group == group
    ]


def _add_flags(cls: type, parser: _Parser, groups: dict[str, Any], *, prefix: str) -> None:
    hints, docs = get_type_hints(cls, include_extras=True), fields.field_docs(cls)
    for item in dataclasses.fields(cls):
        annotation, shown = _split(hints[item.name])
        if dataclasses.is_dataclass(annotation):
            groups[item.name] = parser.add_argument_group(item.name, fields.class_doc(annotation))  # type: ignore[arg-type]
            _add_flags(annotation, parser, groups, prefix=f"{item.name}.")  # type: ignore[arg-type]
            continue
        heading = prefix.rstrip(".") or shown.group
        if heading not in groups:
            groups[heading] = parser.add_argument_group(heading)
        name = f"{prefix}{item.name}" if shown.positional else f"--{prefix}{item.name.replace('_', '-')}"
        options = _options(item, annotation, shown, name=name, doc=docs.get(item.name, ""))
        if shown.named:
            flag = {key: value for key, value in options.items() if key != "nargs"}
            parser.add_argument(f"--{name}", **flag | {"dest": f"--{name}", "help": argparse.SUPPRESS})
            options["help"] += f"; also as --{name}"
        groups[heading].add_argument(name, **options)


def _split(hint: Any) -> tuple[Any, Flag]:
    """The annotation without None and its Flag."""
    shown = Flag()
    if get_origin(hint) is Annotated:
        hint, shown = get_args(hint)[0], next(a for a in get_args(hint)[1:] if isinstance(a, Flag))
    if get_origin(hint) in (Union, types.UnionType):
        hint = next(a for a in get_args(hint) if a is not type(None))
    return hint, shown


def _options(item: Any, annotation: Any, shown: Flag, *, name: str, doc: str) -> dict[str, Any]:
    """Keyword arguments of argparse for one field."""
    required = item.default is dataclasses.MISSING
    default = None if required else item.default
    default = " ".join(map(str, default)) if isinstance(default, tuple) else default
    note = "required" if required else f"default: {shown.otherwise or default}"
    options: dict[str, Any] = {"default": None, "help": f"{doc} ({note})".replace("%", "%%")}
    if annotation is bool:
        action = argparse.BooleanOptionalAction if default else "store_true"
        return options | {"action": action, "help": f"{doc} (default: {'yes' if default else 'no'})"}
    if get_origin(annotation) is tuple:
        annotation = get_args(annotation)[0]
        options |= {"action": "append"} if shown.repeated else {"nargs": "+", "action": "extend"}
    if shown.positional:
        options |= {} if required else {"nargs": "?"}
    elif required:
        options["required"] = True
    choices = get_args(annotation) if get_origin(annotation) is Literal else ()
    metavar = shown.value or "{" + ",".join(map(str, choices)) + "}"
    return options | {"metavar": metavar, "type": _reader(annotation, shown, name)}


def _reader(annotation: Any, shown: Flag, name: str) -> Callable[[str], Any]:
    """A function from the text of a value to the value; its errors name the flag."""
    expected: Mapping[type, str] = {int: "a whole number", float: "a number"}

    def read(text: str) -> Any:
        if get_origin(annotation) is Literal:
            if text not in get_args(annotation):
                raise unknown_name("value", text, get_args(annotation), where=name)
            return text
        try:
            value = annotation(text)
        except ValueError:
            raise AuditError(f"{name}: expected {expected[annotation]}, got '{text}'") from None
        if shown.smallest is not None and not value >= shown.smallest:
            raise AuditError(f"{name}: expected {shown.smallest:g} or more, got {text}")
        if shown.largest is not None and not value <= shown.largest:
            raise AuditError(f"{name}: expected {shown.largest:g} or less, got {text}")
        return value

    return Path if annotation is Path else read


def _usage(parser: _Parser) -> str:
    """The command with what it needs; the other flags are listed below it."""
    shown = [parser.prog]
    optional = False
    for action in parser._actions:
        if not action.option_strings:
            shown.append(f"[{action.metavar}]" if action.nargs == "?" else str(action.metavar))
        elif action.required:
            shown.append(f"{action.option_strings[0]} {action.metavar}")
        else:
            optional = True
    text = " ".join([*shown, "[flags]"] if optional else shown).replace("%", "%%")
    return textwrap.fill(text, COLUMNS - len("usage: "), subsequent_indent=" " * 4, break_on_hyphens=False)


def _refuse(word: str, parser: _Parser) -> NoReturn:
    if not word.startswith("-"):
        raise AuditError(f"expected no further word, got '{word}'; see {parser.prog} --help")
    valid = [name for action in parser._actions for name in action.option_strings if name.startswith("--")]
    raise unknown_name("flag", word.partition("=")[0], valid)


def _collect(cls: type[C], values: Mapping[str, Any], *, prefix: str) -> C:
    """The dataclass from argparse's values, lists as tuples."""
    hints = get_type_hints(cls)
    made: dict[str, Any] = {}
    for item in dataclasses.fields(cls):  # type: ignore[arg-type]
        if dataclasses.is_dataclass(hints[item.name]):
            made[item.name] = _collect(hints[item.name], values, prefix=f"{item.name}.")
            continue
        name = f"{prefix}{item.name}"
        value, named = values[name], values.get(f"--{name}")
        if None not in (value, named):
            raise AuditError(f"--{name}: expected one {name}, got '{value}' and '{named}'")
        value = named if value is None else value
        if value is not None:
            made[item.name] = tuple(value) if isinstance(value, list) else value
    return cls(**made)
