"""What can be named in a configuration, from the registries and the dataclasses themselves; and the guide."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from importlib import resources
from typing import Any, get_type_hints

from orchestrator.config.settings import SweepConfig
from tasks import fields
from tasks.attacks.base import Attack, attacks
from tasks.datasets.base import datasets
from tasks.errors import unknown_name
from tasks.forget_sets.base import forget_kinds
from tasks.metrics.catalogue import CATALOGUE
from tasks.registry import Registry
from tasks.unlearn.base import methods

SHOWN = {
    "methods": ("paper", "passes", "needs_retain", "needs_validation", "second_model"),
    "attacks": ("family", "subject", "needs", "games"),
}
"""What a class declares beside its fields that `--describe` tells."""
REGISTRIES: Mapping[str, Registry[Any]] = {
    "methods": methods,
    "attacks": attacks,
    "datasets": datasets,
    "forget_sets": forget_kinds,
}


def describe(topic: str) -> list[str]:
    """Lines about `methods`, `methods.scrub`, ..., `metrics`, `config`, one of its tables, or `guide.games`.

    Raises:
        UnknownName: there is no such topic or entry.
    """
    kind, _, name = topic.partition(".")
    if kind == "config":
        return _table_lines(name) if name else _config_lines(SweepConfig, "")
    if kind == "guide":
        return _page_lines(name) if name else _guide_lines()
    if kind == "metrics":
        return _metric_lines(name) if name else [f"{n:24} {m.about}" for n, m in sorted(CATALOGUE.items())]
    if kind not in REGISTRIES:
        raise unknown_name("topic", kind, [*REGISTRIES, "metrics", "config", "guide"], where="--describe")
    registry = REGISTRIES[kind]
    if name:
        return _entry_lines(kind, name, registry.get(name, where="--describe"))
    return [f"{entry:24} {_summary(registry.get(entry))}" for entry in registry.names()]


def guide() -> dict[str, str]:
    """The pages of the guide by name, as Markdown."""
    folder = resources.files("orchestrator") / "guide"
    pages = sorted(
        (page for page in folder.iterdir() if page.name.endswith(".md")), key=lambda page: page.name
    )
    return {page.name.removesuffix(".md"): page.read_text(encoding="utf-8") for page in pages}


def _guide_lines() -> list[str]:
    """The pages, each with the question that its first sentence says it answers."""
    questions = {name: text.split("\n\n")[1].partition(": ")[2] for name, text in guide().items()}
    return [f"guide.{name:18} {' '.join(question.split())}" for name, question in questions.items()]


def _page_lines(name: str) -> list[str]:
    pages = guide()
    if name not in pages:
        raise unknown_name("page", name, pages, where="--describe guide")
    return pages[name].splitlines()


def _summary(cls: type) -> str:
    return fields.class_doc(cls).partition("\n")[0]


def _entry_lines(kind: str, name: str, cls: type) -> list[str]:
    lines = [f"{name}: {_summary(cls)}"]
    for attribute in SHOWN.get(kind, ()):
        value = getattr(cls, attribute)
        lines.append(
            f"  {attribute}: {', '.join(sorted(value)) if isinstance(value, (frozenset, tuple)) else value}"
        )
    if issubclass(cls, Attack):
        lines.append(f"  metrics: {', '.join(metric.name for metric in cls.metrics)}")
    return lines + _field_lines(cls, "  ")


def _metric_lines(name: str) -> list[str]:
    """What a metric declares."""
    if name not in CATALOGUE:
        raise unknown_name("metric", name, CATALOGUE, where="--describe metrics")
    metric = CATALOGUE[name]
    margin = "none" if metric.margin is None else f"{metric.margin:g}"
    return [
        f"{name}: {metric.about}",
        f"  range: {metric.low:g} to {metric.high:g}",
        f"  kind: {metric.kind}; higher is {metric.higher_is.replace('_', ' ')}",
        *(
            f"  {place}: {r.kind}; higher is {r.higher_is.replace('_', ' ')}"
            for place, r in metric.instead.items()
        ),
        f"  interval: {metric.error}{f' ({metric.no_interval})' if metric.no_interval else ''}",
        f"  margin: {margin} ({metric.margin_because})",
    ]


def _field_lines(cls: type, indent: str) -> list[str]:
    hints, docs = get_type_hints(cls), fields.field_docs(cls)
    lines = []
    for item in dataclasses.fields(cls):
        default = "required" if item.default is dataclasses.MISSING else repr(item.default)
        if item.default_factory is not dataclasses.MISSING:
            default = repr(item.default_factory())
        lines.append(f"{indent}{item.name} = {default}   ({fields.type_name(hints[item.name])})")
        if item.name in docs:
            lines.append(f"{indent}    {docs[item.name]}")
    return lines


def _table_lines(name: str) -> list[str]:
    """One table of the configuration."""
    hints = get_type_hints(SweepConfig)
    tables = {f.name: hints[f.name] for f in dataclasses.fields(SweepConfig)}
    tables = {key: cls for key, cls in tables.items() if dataclasses.is_dataclass(cls)}
    if name not in tables:
        raise unknown_name("table", name, tables, where="--describe config")
    return [f"[{name}]", *_field_lines(tables[name], "  ")]


def _config_lines(cls: type, prefix: str) -> list[str]:
    hints, docs = get_type_hints(cls), fields.field_docs(cls)
    lines = []
    for item in dataclasses.fields(cls):
        if dataclasses.is_dataclass(hints[item.name]):
            lines += ["", f"[{prefix}{item.name}]"]
            lines += _field_lines(hints[item.name], "  ")
        else:
            lines.append(f"{item.name}   ({fields.type_name(hints[item.name])})  {docs.get(item.name, '')}")
    return lines
