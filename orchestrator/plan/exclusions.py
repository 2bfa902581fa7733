"""[[exclude]]: combinations that are taken out of a grid, and what is wrong with a rule, or idle in it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from orchestrator.config.settings import Axes, SweepConfig
from orchestrator.plan.names import given_methods
from tasks.attacks.base import attacks
from tasks.errors import AuditError, unknown_name
from tasks.networks.scope_text import check_text
from tasks.registry import Registry
from tasks.unlearn.base import methods

PATTERN = frozenset("*?[")
"""Characters of a pattern, which may fit anything."""


def check_exclusions(config: SweepConfig) -> None:
    """Refuse a rule that says nothing, and a value that no grid can have.

    Raises:
        AuditError: a rule names no axis, or none of its values; or a value is misspelt, or not of its axis's type.
    """
    for place, rule in enumerate(config.exclude):
        where = f"exclude[{place}]"
        if not rule:
            raise AuditError(f"{where}: expected axis = value or a list of values, got an empty table")
        for axis, given in rule.items():
            values = listed(given)
            if not values:
                raise AuditError(f"{where}.{axis}: expected a value or a list of values, got none")
            for value in values:
                _check_value(config, axis, value, where=f"{where}.{axis}")


def _check_value(config: SweepConfig, axis: str, value: Any, *, where: str) -> None:
    kind = int if axis == "seed" else str
    is_pattern = isinstance(value, str) and bool(PATTERN & set(value))
    if type(value) is not kind and not is_pattern:
        raise AuditError(f"{where}: expected {kind.__name__}, got {value!r:.60}")
    if is_pattern:
        return
    registries: Mapping[str, tuple[Registry[Any], Collection[str]]] = {
        "method": (methods, (*config.methods, *given_methods(config))),
        "attack": (attacks, config.attacks),
    }
    if axis in registries:
        registry, more = registries[axis]
        if str(value).partition(":")[0] not in (*registry.names(), *more):
            raise unknown_name(registry.kind, str(value), (*registry.names(), *more), where="exclude")
    elif axis == "scope":
        check_text(str(value), where=where)


def idle(config: SweepConfig) -> Iterator[str]:
    """What a plan says of values that are on no axis, and so take nothing out."""
    for place, rule in enumerate(config.exclude):
        for axis, given in rule.items():
            there = on_axis(config.axes, axis)
            for value in listed(given):
                if not any(fits(one, value) for one in there):
                    held = ", ".join(map(str, there))
                    yield f"exclude[{place}].{axis}: {value!r} takes nothing out: axes.{axis} holds {held:.200}"


def on_axis(axes: Axes, axis: str) -> tuple[Any, ...]:
    """Values of an axis."""
    values: tuple[Any, ...] = getattr(axes, axis)
    return values


def listed(value: Any) -> list[Any]:
    """The values that a rule gives for an axis: one, or a list of them."""
    return list(value) if isinstance(value, (list, tuple)) else [value]


def fits(value: Any, pattern: Any) -> bool:
    """Whether a value of an axis fits a pattern with * and ?."""
    return fnmatchcase(str(value), str(pattern))


def excluded(config: SweepConfig, unaudited: Callable[[str], bool]) -> Callable[[Mapping[str, Any]], bool]:
    """Whether a point of the grid is taken out.

    Args:
        config: the audit.
        unaudited: whether a method stands beside the audited ones. Of these only a rule that names neither method nor
            scope takes one out: it leaves nothing there to compare.
    """
    rules = [{axis: listed(value) for axis, value in rule.items()} for rule in config.exclude]

    def is_excluded(point: Mapping[str, Any]) -> bool:
        return any(
            all(any(fits(point[axis], value) for value in values) for axis, values in rule.items())
            for rule in rules
            if not (rule.keys() & {"method", "scope"} and unaudited(point["method"]))
        )

    return is_excluded
