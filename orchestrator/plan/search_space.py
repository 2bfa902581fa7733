"""Where tuning looks: the ranges of a method's fields and the points drawn from them. Imports no torch."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from orchestrator.config.settings import Tuning
from orchestrator.plan.names import NamedMethod
from tasks import fields
from tasks.errors import AuditError, unknown_name
from tasks.registry import parse_text
from tasks.runtime.seeding import numpy_generator
from tasks.unlearn.base import SearchRange, methods

DRAWS_PER_POINT = 50
"""Draws after which a space counts as exhausted: a few choices give fewer distinct points than trials."""


def search_ranges(method: NamedMethod, tuning: Tuning) -> Mapping[str, SearchRange]:
    """The range of each searched field of a method: what travels with it, or [tuning.search.<method>].

    Raises:
        AuditError: a configured range names no field of the method or is no range.
    """
    name = parse_text(method.text, where="methods")[0]
    own = tuning.search.get(name, tuning.search.get(method.base))
    if own is None:
        return method.built.search
    known = [f.name for f in dataclasses.fields(method.built)]  # type: ignore[arg-type]
    for field in own:
        if field not in known:
            raise unknown_name("field", field, known, where=f"tuning.search.{name}")
    return {field: read_range(value, where=f"tuning.search.{name}.{field}") for field, value in own.items()}


def read_range(value: Any, *, where: str) -> SearchRange:
    """A range as TOML writes it: ["loguniform", low, high], ["uniform", low, high] or ["choice", [...]].

    Raises:
        AuditError: it is none of them.
    """
    if isinstance(value, (list, tuple)) and value:
        form, *rest = value
        if form == "choice" and len(rest) == 1 and isinstance(rest[0], (list, tuple)) and rest[0]:
            return "choice", tuple(rest[0])
        numbers = [float(v) for v in rest if isinstance(v, (int, float)) and not isinstance(v, bool)]
        low_enough = form == "uniform" or (form == "loguniform" and numbers and numbers[0] > 0)
        if low_enough and len(rest) == len(numbers) == 2 and numbers[0] < numbers[1]:
            return form, numbers[0], numbers[1]
    forms = '["loguniform", low, high], ["uniform", low, high] or ["choice", [...]]'
    raise AuditError(f"{where}: expected {forms}, got {value}")


def draw(ranges: Mapping[str, SearchRange], generator: np.random.Generator) -> dict[str, Any]:
    """One point; numbers are rounded to four significant digits, so that they can be read and typed."""
    return {field: _draw_field(ranges[field], generator) for field in sorted(ranges)}


def _draw_field(space: SearchRange, generator: np.random.Generator) -> Any:
    if space[0] == "choice":
        return space[1][int(generator.integers(len(space[1])))]
    low, high = float(space[1]), float(space[2])
    if space[0] == "uniform":
        return float(f"{generator.uniform(low, high):.4g}")
    return float(f"{math.exp(generator.uniform(math.log(low), math.log(high))):.4g}")


def points(method: NamedMethod, tuning: Tuning) -> list[dict[str, Any]]:
    """The distinct trials of a method, by searched field: the configured values, then random draws.

    The draws depend on the method and their number alone, so a larger budget holds the trials of a smaller
    one, and architectures and scopes can be compared trial by trial.

    Raises:
        AuditError: no draw gives valid parameters.
    """
    ranges = search_ranges(method, tuning)
    if not ranges:
        return []
    configured = fields.to_plain(method.built)
    found = [{field: configured[field] for field in sorted(ranges)}]
    refused = []
    for number in range(DRAWS_PER_POINT * tuning.trials):
        if len(found) >= tuning.trials:
            break
        point = draw(ranges, numpy_generator("tuning", tuning.seed, method.text, number))
        if point in found or point in refused:
            continue
        try:
            methods.build(method.base, configured | point, where=f"tuning.search.{method.text}")
        except AuditError as error:
            problem = error
            refused.append(point)
        else:
            found.append(point)
    if len(found) == 1 and refused:
        raise problem
    return found
