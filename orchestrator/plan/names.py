"""What the values of the axes name: methods, attacks and kinds of forget sets, each with its parameters."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.config.settings import SweepConfig, digest
from orchestrator.plan.elsewhere import MadeElsewhere
from orchestrator.plan.plugins import plugin_name
from tasks.attacks.base import Attack, attacks
from tasks.errors import AuditError, unknown_name
from tasks.fields import text_fields
from tasks.forget_sets.base import ForgetKind, forget_kinds
from tasks.registry import Registry, parse_text
from tasks.unlearn.base import Method, methods
from tasks.unlearn.program import PROGRAM, is_program

AXIS = {"methods": "axes.method", "attacks": "axes.attack", "forget_sets": "axes.forget_set"}
"""Axis whose values name the entries of a table."""
OVER_METHODS = "(mean)"
"""What queries of claims call a row that is over several methods."""


@dataclass(frozen=True, kw_only=True, eq=False)
class NamedMethod:
    """A value of the method axis, resolved for a place of the grid."""

    text: str
    """As it stands on the axis: a name, the name of a variant, or `name:key=value,...`."""
    base: str
    """The registered name behind it."""
    built: Method
    """With its hyper-parameters."""
    tuned: bool = False
    """Whether a search chose some of them for this place."""

    @property
    def plugins(self) -> set[str]:
        """Plug-ins and programs that it rests on, those of its parts included."""
        return {plugin_name(type(part)) for part in (self.built, *self.built.parts)} - {""} | set(
            self.programs
        )

    @property
    def programs(self) -> dict[str, str]:
        """Digest of the files of the program that it is or runs, by the name under which messages speak of it."""
        digests = [dict(part.file_digests) for part in (self.built, *self.built.parts) if part.file_digests]
        return {f"program {self.text}": digest(digests)} if digests else {}


@dataclass(frozen=True, kw_only=True, eq=False)
class NamedAttack:
    """A value of the attack axis, resolved."""

    text: str
    """As it stands on the axis."""
    base: str
    """The registered name behind it."""
    built: Attack
    """With its parameters."""

    @property
    def plugins(self) -> set[str]:
        """The plug-in that it is, if it is one."""
        return {plugin_name(type(self.built))} - {""}


def place(architecture: str, method: str, scope: str) -> str:
    """Key of what tuning has chosen for a method there."""
    return f"{architecture}/{method}/{scope}"


def build_method(config: SweepConfig, text: str, architecture: str = "", scope: str = "") -> NamedMethod:
    """The method that an axis value names, with its hyper-parameters; those that were tuned for the place."""
    if text in given_methods(config):
        return NamedMethod(text=text, base=text, built=MadeElsewhere())
    if (name := text.partition(":")[0].strip()) in given_methods(config):
        raise AuditError(
            f"axes.method: '{text}': expected '{name}', whose models [given.unlearned] names: they are made, and no "
            "parameter changes them"
        )
    base, values = _resolve(methods, config.methods, text, where="methods", more=given_methods(config))
    chosen = config.tuning.chosen.get(place(architecture, text, scope))
    built = methods.build(base, values | (chosen or {}), where=f"methods.{text}")
    return NamedMethod(text=text, base=base, built=built, tuned=chosen is not None)


def given_methods(config: SweepConfig) -> tuple[str, ...]:
    """Names of the methods whose models are given."""
    return tuple(config.given.unlearned) if config.given is not None else ()


def build_attack(config: SweepConfig, text: str, *, objective: str) -> NamedAttack:
    """The attack that an axis value names, with its parameters; those that are left out may depend on the objective."""
    base, values = _resolve(attacks, config.attacks, text, where="attacks")
    values = {**attacks.get(base).defaults(objective), **values}
    return NamedAttack(text=text, base=base, built=attacks.build(base, values, where=f"attacks.{text}"))


def build_forget_kind(config: SweepConfig, text: str) -> ForgetKind:
    """The kind of forget set that an axis value names, with its parameters."""
    kind, values = _resolve(forget_kinds, config.forget_sets, text, where="forget_sets", base_key="kind")
    return forget_kinds.build(kind, values, where=f"forget_sets.{text}")


def _resolve(
    registry: Registry,
    tables: Mapping[str, Mapping[str, Any]],
    text: str,
    *,
    where: str,
    base_key: str = "base",
    more: tuple[str, ...] = (),
) -> tuple[str, dict[str, Any]]:
    """Turn a value of an axis into a registered name and its parameters.

    `text` is a name, a name of a table, or `name:key=value,...`; what is written inline wins over the table,
    and a table wins over the defaults of the class. `more` are names that are valid and no part of these.
    """
    name = text.partition(":")[0].strip()
    table = dict(tables.get(name, {}))
    base = table.pop(base_key, PROGRAM if is_program(table) else name)
    if not isinstance(base, str):
        raise AuditError(f"{where}.{name}.{base_key}: expected the name of a {registry.kind}, got {base!r}")
    if base not in registry.names():
        if base != name:  # a variant of a variant has no meaning
            raise unknown_name(registry.kind, base, registry.names(), where=f"{where}.{name}.{base_key}")
        raise unknown_name(registry.kind, base, {*registry.names(), *tables, *more}, where=AXIS[where])
    _, inline = parse_text(text, where=AXIS[where], texts=text_fields(registry.get(base)))
    return base, {**table, **inline}


def check_tables(config: SweepConfig) -> None:
    """Refuse a misspelt table, which would silently do nothing, and one that gives a known name another meaning.

    Raises:
        AuditError: a table is of nothing that is registered and has no base, or a program or variant has the name of
            something that is registered, or one of a method whose models are given.
    """
    _check_given(config)
    for where, registry, base_key in (
        ("methods", methods, "base"),
        ("attacks", attacks, "base"),
        ("forget_sets", forget_kinds, "kind"),
    ):
        tables = getattr(config, where)
        for name, table in tables.items():
            if base_key not in table and name not in registry.names() and not is_program(table):
                raise unknown_name(registry.kind, name, registry.names(), where=where)
            base = table.get(base_key, name)
            if name in registry.names() and base != name and base in registry.names():
                raise AuditError(
                    f"{where}.{name}: expected a name of its own for a variant of '{base}', and '{name}' is a "
                    f"registered {registry.kind}"
                )
    own = {name for name, table in config.methods.items() if is_program(table)} - {PROGRAM}
    taken = sorted(own & set(methods.names()))
    if taken:
        raise AuditError(
            f"methods.{taken[0]}: expected a name of its own for a program, and '{taken[0]}' is a registered method"
        )


def _check_given(config: SweepConfig) -> None:
    """Refuse a method whose models are given under the name of one that is run here, and parameters of it."""
    for name in given_methods(config):
        if name in methods.names():
            raise AuditError(
                f"given.unlearned: expected a name of its own for a method that was run elsewhere, and '{name}' is a "
                "registered method"
            )
    for name, table in config.methods.items():
        base = table.get("base", name)
        if {name, str(base)} & {*given_methods(config)}:
            given = name if name in given_methods(config) else base
            raise AuditError(
                f"methods.{name}: expected no table, as [given.unlearned] names the models of '{given}', which are "
                "made, and no parameter changes them; a program, or a variant of a registered method, takes a name of "
                "its own"
            )


def check_reserved(config: SweepConfig, names: Collection[str]) -> None:
    """Refuse methods under names by which results know shadow models that no method made, or all methods.

    Raises:
        AuditError: the axis or a table has one.
    """
    for text in (*config.axes.method, *config.methods, *given_methods(config)):
        name = text.partition(":")[0]
        if name == OVER_METHODS:
            raise AuditError(f"methods.{name}: expected another name: queries call a mean over methods so")
        if name in names:
            raise AuditError(
                f"methods.{name}: expected another name: results call shadow models '{name}' that no method made"
            )
