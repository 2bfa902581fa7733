"""Named extension points: what is built in, what a user's package adds, and how text names one."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Callable, Collection, Mapping
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

from tasks import fields
from tasks.errors import AuditError, unknown_name
from tasks.plugged import calling, check_declared, is_own, place_of, told

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
"""What may name an entry: text that `name:key=value` can be split off."""
T = TypeVar("T")
C = TypeVar("C", bound=type)


class Registry(Generic[T]):
    """Frozen dataclasses by name; their fields are the parameters that users set.

    Args:
        kind: what an entry is, in the singular, for messages ("unlearning method").
        contract: the class that every entry inherits from; it declares all that readers use.
        package: the package whose modules hold the built-in entries.
        group: the entry-point group from which installed packages add theirs.
        skip: modules of the package that hold no entries and may be slow to import (torch).
        check: refuses an entry for what it declares, given "kind 'name'" and the class; types are checked before.
    """

    def __init__(
        self,
        kind: str,
        *,
        contract: type[T],
        package: str,
        group: str,
        skip: tuple[str, ...] = (),
        check: Callable[[str, type[T]], None] | None = None,
    ) -> None:
        self.kind, self.contract = kind, contract
        self._check = check
        self._package = package
        self._group = group
        self._skip = skip
        self._entries: dict[str, type[T]] = {}
        self._loaded = False

    def register(self, name: str) -> Callable[[C], C]:
        """Class decorator that adds a frozen dataclass under `name`.

        Raises:
            AuditError: it is none, does not inherit the contract, declares something of another type than that says,
                or the name is none that an axis could hold, or taken.
        """
        if not isinstance(name, str) or not NAME.fullmatch(name):
            got = f"the class {name.__qualname__}" if isinstance(name, type) else repr(name)
            raise AuditError(
                f'{self.kind}: expected a name of letters, digits and _.- in @register("..."), got {got:.80}'
            )

        def add(cls: C) -> C:
            if not isinstance(cls, type):
                raise AuditError(f"{self.kind} '{name}': expected a class, got {cls!r:.80}")
            if not issubclass(cls, self.contract):
                base = f"{self.contract.__module__}.{self.contract.__name__}"
                raise AuditError(
                    f"{self.kind} '{name}': expected a subclass of {base}, got {cls.__qualname__} of "
                    f"{_file_of(cls)}; write class {cls.__name__}({self.contract.__name__})"
                )
            if inspect.isabstract(cls):
                lacking = ", ".join(sorted(cls.__abstractmethods__))  # type: ignore[attr-defined]
                raise AuditError(
                    f"{self.kind} '{name}': {cls.__qualname__} of {_file_of(cls)} does not define {lacking}; "
                    f"see {self.contract.__module__}.{self.contract.__name__}"
                )
            if not dataclasses.is_dataclass(cls) or not cls.__dataclass_params__.frozen:  # type: ignore[attr-defined]
                raise AuditError(
                    f"{self.kind} '{name}' must be a frozen dataclass ({cls.__qualname__}): write @register above "
                    "@dataclass(frozen=True, kw_only=True)"
                )
            check_declared(f"{self.kind} '{name}'", cls, self.contract)
            if not is_own(cls):
                fields.check_defaults(cls, where=f"{self.kind} '{name}'")
            if self._check is not None:
                self._check(f"{self.kind} '{name}'", cls)  # type: ignore[arg-type]
            owner = self._entries.get(name)
            identity = (cls.__module__, cls.__qualname__)
            if owner is not None and (owner.__module__, owner.__qualname__) != identity:
                raise AuditError(
                    f"{self.kind} '{name}' is already defined by {owner.__module__}.{owner.__qualname__}"
                )
            self._entries[name] = cls  # type: ignore[assignment]
            return cls

        return add

    def names(self) -> list[str]:
        """Every known name, sorted."""
        self._load()
        return sorted(self._entries)

    def get(self, name: str, *, where: str = "") -> type[T]:
        """The class registered under `name`."""
        self._load()
        if name not in self._entries:
            raise unknown_name(self.kind, name, self._entries, where=where)
        return self._entries[name]

    def build(self, name: str, values: Mapping[str, Any], *, where: str) -> T:
        """Make the entry `name` with the given parameters, strictly checked."""
        cls = self.get(name, where=where)
        with calling(cls):
            built = fields.build(cls, values, where=where)
        fields.check_plain(fields.to_plain(built), where=where)
        return built

    def _load(self) -> None:
        if self._loaded:
            return
        self._loaded = True  # before the imports: a plug-in may ask for names while it loads
        try:
            self._import_entries()
        except BaseException:
            self._loaded = False
            raise

    def _import_entries(self) -> None:
        package = importlib.import_module(self._package)
        for module in pkgutil.iter_modules(package.__path__):
            if module.name in self._skip:
                continue
            importlib.import_module(f"{self._package}.{module.name}")
        for entry in entry_points(group=self._group):
            entry.load()


def _file_of(cls: type) -> str:
    """The file that defines a class, or its module where there is none (a notebook)."""
    module = sys.modules.get(cls.__module__)
    return str(getattr(module, "__file__", None) or cls.__module__)


def parse_text(text: str, *, where: str, texts: Collection[str] = ()) -> tuple[str, dict[str, Any]]:
    """Split `name:key=value,key=value` into the name and its parameters.

    Values are Python literals; anything else is taken as text, so `file:path=data/ids.csv` needs no quotes.
    A list is written with semicolons: `pgd:eps=0.1;0.2`; of one item, `pgd:eps=0.1;`.

    Args:
        text: what the configuration names.
        where: its key, for messages.
        texts: keys whose values are text whatever they look like: the name of a group may be 17.

    Raises:
        AuditError: a parameter has no value.
    """
    name, _, rest = text.partition(":")
    values: dict[str, Any] = {}
    for item in filter(None, rest.split(",")):
        key, equals, value = item.partition("=")
        if not equals:
            raise AuditError(f"{where}: '{text}': expected key=value after '{name}:', got '{item}'")
        if key.strip() in texts:
            values[key.strip()] = _text(value)
            continue
        items, separator, last = value.rpartition(";")
        parts = [literal(part) for part in (*items.split(";"), *([last] if last.strip() else []))]
        values[key.strip()] = parts if separator else literal(value)
    return name.strip(), values


def _text(value: str) -> str:
    """Text as it stands, without quotes around it."""
    read = literal(value)
    return read if isinstance(read, str) else value.strip()


def literal(text: str) -> Any:
    """Read a number, a boolean or, failing that, text."""
    lowered = text.strip().lower()
    if lowered in ("true", "false"):
        return lowered == "true"
    try:
        value = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError):
        return text.strip()
    return value if isinstance(value, (int, float, str)) else text.strip()


def import_plugins(modules: tuple[str, ...]) -> None:
    """Import the user's modules, whose decorators register what they define.

    Trust boundary: a plug-in is code that runs on every machine of the sweep with the rights of whoever started it.
    A configuration names modules, never files, but a module of the current directory is one: read a configuration
    of somebody else's as you would read their program.

    Raises:
        AuditError: a module cannot be found or fails to import.
    """
    for module in modules:
        if not all(part.isidentifier() for part in module.split(".")):
            file = (
                " without .py, and dots in place of slashes"
                if module.endswith(".py") or "/" in module
                else ""
            )
            raise AuditError(
                f"plugins: expected names of modules, as import takes them{file}, got '{module}'"
            )
        try:
            importlib.import_module(module)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a plug-in may raise anything at import
            raise AuditError(f"plugins: cannot import '{module}': {told(error)}{place_of(error)}") from error
