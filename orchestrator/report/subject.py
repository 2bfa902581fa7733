"""The model that a certificate is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.results.commands import sweep
from orchestrator.results.own_queries import ask
from tasks.errors import AuditError, unknown_name

if TYPE_CHECKING:
    from orchestrator.results.connection import Results


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What the page is about, once every name is known to exist."""

    architecture: str
    forget_set: str
    method: str
    scope: str
    role: str = "audited"
    """ceiling for the control that leaves the original as it is."""

    @property
    def place(self) -> dict[str, str]:
        """The axes as parameters of a query."""
        names = ("architecture", "forget_set", "method", "scope")
        return {name: getattr(self, name) for name in names}


def choose(
    results: Results,
    *,
    forget_set: str,
    method: str,
    architecture: str | None = None,
    scope: str | None = None,
) -> Subject:
    """Find the audited model of these names, or the control that does nothing; None stands for the only one.

    Raises:
        AuditError: a name is unknown, several architectures or scopes fit and none was named, or every cell of
            the model has failed.
    """
    rows = ask(results, "audited_models")
    if not any(r["finished"] for r in rows):
        why = next((r["error"] for r in rows if r["error"]), "")
        what, remedy = (
            (f"every audited cell has failed ({why})", "--rerun failed")
            if why
            else (
                "no audited cell has finished",
                "",
            )
        )
        raise AuditError(f"{results.store.root}: {what}; {sweep(results, remedy)} computes them")
    chosen: dict[str, str] = {}
    asked = {"forget_set": forget_set, "method": method, "architecture": architecture, "scope": scope}
    for name, given in asked.items():
        valid = sorted({r[name] for r in rows})
        flag = f"--{name.replace('_', '-')}"
        if given is None and len(valid) > 1:
            raise AuditError(f"{flag}: expected one of {', '.join(valid)}")
        value = valid[0] if given is None else given
        if value not in valid:
            raise unknown_name(name.replace("_", " "), value, valid, where=flag)
        chosen[name] = value
        rows = [r for r in rows if r[name] == value]
    if not rows[0]["finished"]:
        raise AuditError(
            f"--method: every cell of '{method}' has failed there ({rows[0]['error']}): nothing to certify"
        )
    return Subject(**chosen, role=rows[0]["role"])


def failures(results: Results, subject: Subject) -> list[dict[str, Any]]:
    """Attacks whose cells of the subject failed, and why."""
    return ask(results, "model_failures", **subject.place)
