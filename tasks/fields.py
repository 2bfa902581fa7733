"""Strict construction of frozen dataclasses from plain data (TOML tables, `key=value` text)."""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import itertools
import math
import operator
import sys
import textwrap
import types
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from tasks.errors import AuditError, unknown_name

D = TypeVar("D")

LARGEST = 2**63 - 1
"""Whole numbers up to this size, of either sign, are what results can hold."""


def build(cls: type[D], values: Mapping[str, Any], *, where: str) -> D:
    """Make an instance of the dataclass `cls`, refusing unknown keys and wrong types.

    Args:
        cls: a dataclass; nested dataclasses, tuples, dicts, Literals and optionals are followed.
        values: plain data as TOML gives it.
        where: the key path that errors name, for instance "methods.scrub"; empty at the root.

    Raises:
        AuditError: a key is unknown or missing, or a value has the wrong type.
    """
    known = {f.name: f for f in dataclasses.fields(cls) if f.init}  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            raise unknown_name("key", key, known, where=where)
    hints = _hints_of(cls, where)
    arguments = {key: convert(hints[key], v, where=_join(where, key)) for key, v in values.items()}
    for name, field in known.items():
        absent = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if absent and name not in arguments:
            raise AuditError(_at(where, f"missing key '{name}' ({type_name(hints[name])})"))
        if absent and isinstance(arguments[name], str) and not arguments[name].strip():
            raise AuditError(f"{_join(where, name)}: expected text, got '{arguments[name]}'")
    try:
        return cls(**arguments)
    except AuditError as error:
        raise type(error)(_at(where, str(error))) from None


def check_defaults(cls: type, *, where: str) -> None:
    """Refuse a dataclass with a default of another type than its field says.

    Raises:
        AuditError: there is one; or a type cannot be read.
    """
    for field in dataclasses.fields(cls):
        if field.init and field.default is not dataclasses.MISSING:
            convert(_hints_of(cls, where)[field.name], field.default, where=_join(where, field.name))


def _hints_of(cls: type, where: str) -> dict[str, Any]:
    try:
        return _type_hints(cls)
    except (NameError, TypeError, SyntaxError) as error:  # of a plug-in
        told = f"{cls.__qualname__}: cannot read the types of its fields: {error}"
        raise AuditError(_at(where, told)) from None


def text_fields(cls: type) -> set[str]:
    """Names of the fields of a dataclass that take text alone, or none."""
    hints = _type_hints(cls)
    kinds = {f.name: get_args(hints[f.name]) or (hints[f.name],) for f in dataclasses.fields(cls)}
    return {name for name, kind in kinds.items() if str in kind and set(kind) <= {str, type(None)}}


@functools.cache
def _type_hints(cls: type) -> dict[str, Any]:
    """Resolved annotations; resolving takes longer than building, and a search builds thousands."""
    return get_type_hints(cls)


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _at(where: str, message: str) -> str:
    return f"{where}: {message}" if where else message


def convert(annotation: Any, value: Any, *, where: str) -> Any:
    """Check `value` against a type annotation and return it in that type."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is Any:
        check_plain(value, where=where)
        return value
    if origin in (Union, types.UnionType):
        return _convert_union(arguments, value, where)
    if origin is Literal:
        if value not in arguments:
            raise unknown_name("value", str(value), map(str, arguments), where=where)
        return value
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise _mismatch(annotation, value, where)
        items = arguments[:1] * len(value) if arguments[1:] == (...,) else arguments
        if len(items) != len(value):
            raise _mismatch(annotation, value, where)
        return tuple(
            convert(a, v, where=f"{where}[{i}]") for i, (a, v) in enumerate(zip(items, value, strict=True))
        )
    if origin in (dict, Mapping):
        if not isinstance(value, Mapping):
            raise _mismatch(annotation, value, where)
        return {str(k): convert(arguments[1], v, where=f"{where}.{k}") for k, v in value.items()}
    if dataclasses.is_dataclass(annotation):
        if isinstance(value, annotation):  # type: ignore[arg-type]
            return value
        if not isinstance(value, Mapping):
            raise _mismatch(annotation, value, where)
        return build(annotation, value, where=where)  # type: ignore[arg-type]
    return _convert_scalar(annotation, value, where)


def _convert_union(options: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in options:
        return None
    failures: list[AuditError] = []
    for option in options:
        if option is type(None):
            continue
        try:
            return convert(option, value, where=where)
        except AuditError as error:
            failures.append(error)
    if len(failures) > 1:  # what is wrong within a list or a table says more than that it is none of them
        within = [error for error in failures if not str(error).startswith(f"{where}: ")]
        raise within[-1] if within else _mismatch(functools.reduce(operator.or_, options), value, where)
    raise failures[-1]


def _convert_scalar(annotation: Any, value: Any, where: str) -> Any:
    if annotation is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        check_plain(value, where=where)
        return float(value)
    if annotation in (int, str, bool) and type(value) is annotation:
        check_plain(value, where=where)
        return value
    raise _mismatch(annotation, value, where)


def check_plain(value: Any, *, where: str) -> None:
    """Refuse what neither an id nor a result can hold: JSON has no dates and no numbers that are not finite.

    Args:
        value: as TOML or Python gives it; lists and tables are followed.
        where: its key, for messages.

    Raises:
        AuditError: there is such a value; its key is named.
    """
    if isinstance(value, Mapping):
        for key, one in value.items():
            check_plain(one, where=_join(where, str(key)))
    elif isinstance(value, (list, tuple)):
        for place, one in enumerate(value):
            check_plain(one, where=f"{where}[{place}]")
    elif isinstance(value, int) and not -LARGEST <= value <= LARGEST:
        raise AuditError(f"{where}: expected a whole number below 2^63, got one of {_digits(value)} digits")
    elif isinstance(value, float) and not math.isfinite(value):
        raise AuditError(f"{where}: expected a finite number, got {value}")
    elif not isinstance(value, (bool, int, float, str, type(None))):
        raise AuditError(
            f"{where}: expected text, a number, true or false, a list or a table, got {value!r:.60}"
        )


def _digits(value: int) -> int:
    return len(str(abs(value))) if value.bit_length() < 1 << 13 else int(math.log10(abs(value))) + 1


def _mismatch(annotation: Any, value: Any, where: str) -> AuditError:
    return AuditError(f"{where}: expected {type_name(annotation)}, got {value!r}")


def type_name(annotation: Any) -> str:
    """A short readable name of an annotation for messages and `--describe`."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is tuple:
        count = "" if arguments[1:] == (...,) else f"{len(arguments)} "
        return f"a list of {count}{type_name(arguments[0])}"
    if origin in (dict, Mapping):
        return "a table"
    if origin is Literal:
        return "one of " + ", ".join(map(str, arguments))
    if origin in (Union, types.UnionType):
        return " or ".join("none" if a is type(None) else type_name(a) for a in arguments)
    if dataclasses.is_dataclass(annotation):
        return "a table"
    return str(getattr(annotation, "__name__", annotation))


def to_plain(value: Any) -> Any:
    """Turn a dataclass tree into JSON-ready data; tuples become lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(k): to_plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(v) for v in value]
    return value


def class_doc(cls: type) -> str:
    """The docstring of a class; from its source where `python -OO` left it out, and dataclasses put another there."""
    held = cls.__doc__ or ""
    if sys.flags.optimize < 2 and not held.startswith(f"{cls.__name__}("):
        return inspect.cleandoc(held)
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    except (OSError, TypeError, SyntaxError):
        return inspect.cleandoc(held)
    body = tree.body[0] if tree.body else None
    return (ast.get_docstring(body) or "") if isinstance(body, ast.ClassDef) else ""


def field_docs(cls: type) -> dict[str, str]:
    """The string literal under each field of a dataclass, by field name."""
    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__[:-1]):
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(base)))
        except (OSError, TypeError):
            continue
        body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
        for statement, following in itertools.pairwise(body):
            if not (isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)):
                continue
            if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
                docs[statement.target.id] = " ".join(str(following.value.value).split())
    return docs
