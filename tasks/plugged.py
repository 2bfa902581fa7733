"""Classes of somebody else's: what they declare is of the promised type, and what their code raises is one line."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import traceback
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, get_args, get_origin, get_type_hints

from tasks.errors import AuditError

OWN = ("tasks", "orchestrator")
"""Packages whose own mistakes keep their traceback."""
MACHINERY = (
    *(Path(__file__).parents[1] / package for package in OWN),
    Path(importlib.__file__).parent,
    Path(contextlib.__file__),
)
"""Code between a command and a plug-in."""
KINDS: Mapping[type, tuple[type, ...]] = {
    frozenset: (frozenset, set),
    tuple: (tuple, list),
    Mapping: (Mapping,),
}
"""Types that stand for one that a contract names; of all others, the type itself."""


def check_declared(name: str, cls: type, contract: type) -> None:
    """Refuse a class whose attributes are of another type than the contract says.

    Args:
        name: kind and name of the entry, for messages ("attack 'mine'").
        cls: the class, a dataclass whose fields may stand in the place of an attribute.
        contract: the class that it inherits, which annotates its attributes (`ClassVar`) and properties.

    Raises:
        AuditError: an attribute is of another type.
    """
    fields = {field.name for field in dataclasses.fields(cls)} if dataclasses.is_dataclass(cls) else set()
    for attribute, annotation in promised(contract).items():
        value = getattr(cls, attribute, None)
        if attribute in fields or not hasattr(cls, attribute) or isinstance(value, property):
            continue
        if hasattr(value, "__get__") and not isinstance(value, type):  # computed when it is asked for
            continue
        problem = _misfit(value, annotation)
        if problem:
            raise AuditError(f"{name}: {attribute}: {problem}")


def promised(contract: type) -> dict[str, Any]:
    """Type of every attribute that a contract declares, and of what its properties give."""
    hints = get_type_hints(contract)
    declared = {key: get_args(hint)[0] for key, hint in hints.items() if get_origin(hint) is ClassVar}
    computed = {
        key: get_type_hints(value.fget)["return"]
        for base in reversed(contract.__mro__)
        for key, value in vars(base).items()
        if isinstance(value, property) and value.fget is not None
    }
    return declared | computed


def _misfit(value: Any, annotation: Any) -> str:
    """What is wrong with a value; empty where it is of the type."""
    kind = get_origin(annotation) or annotation
    kind = kind if isinstance(kind, type) else str  # one of some words, which who reads it checks
    if not isinstance(value, KINDS.get(kind, (kind,))) or (kind is int and isinstance(value, bool)):
        return f"expected a {kind.__name__.lower()}, got {value!r:.60}"
    item = next((item for item in get_args(annotation) if isinstance(item, type)), object)
    held = value if isinstance(value, Iterable) and kind in (tuple, frozenset) else ()
    strange = [one for one in held if not isinstance(one, item)]
    place = "" if item.__module__ == "builtins" else f"{item.__module__}."
    return f"expected {place}{item.__name__}, got {strange[0]!r:.60}" if strange else ""


@contextlib.contextmanager
def calling(*owners: object) -> Iterator[None]:
    """Make whatever code of a plug-in raises one line; what Lethe's own raises stays as it is.

    Args:
        owners: what may be a plug-in, or its class; nothing is caught where all are Lethe's own.

    Raises:
        AuditError: a plug-in raised something.
    """
    try:
        yield
    except AuditError:
        raise
    except Exception as error:
        classes = (owner if isinstance(owner, type) else type(owner) for owner in owners)
        foreign = [cls.__name__ for cls in classes if not is_own(cls)]
        if not foreign:
            raise
        raise AuditError(f"{', '.join(foreign)}: {told(error)}{place_of(error)}") from error


def is_own(cls: type) -> bool:
    """Whether a class is one of Lethe's."""
    return cls.__module__.partition(".")[0] in OWN


def told(error: BaseException) -> str:
    """Type and words of an error, in one line of bounded length."""
    try:
        words = " ".join(str(error).split())
    except Exception:  # its own __str__ may raise
        words = ""
    return f"{type(error).__name__}: {words:.300}" if words else type(error).__name__


def place_of(error: BaseException) -> str:
    """File and line where it came from, in parentheses: the last that is neither Lethe's nor of the import system."""
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<frozen")
        and not any(Path(frame.filename).is_relative_to(folder) for folder in MACHINERY)
    ]
    return f" ({own[-1].filename}, line {own[-1].lineno})" if own else ""
