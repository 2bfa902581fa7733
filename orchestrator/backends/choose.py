"""Three ways to run one plan, by name; Ray is imported only where it is used."""

from __future__ import annotations

from orchestrator.backends.inline import InlineBackend
from orchestrator.backends.on_ray.loopback import check_loopback
from orchestrator.backends.work import Backend
from tasks.errors import AuditError


def make_backend(name: str) -> Backend:
    """The backend of that name: inline, local or cluster.

    Raises:
        AuditError: Ray cannot be imported, or could not start on this machine.
    """
    if name == "inline":
        return InlineBackend()
    if name == "local":
        check_loopback()
    try:
        from orchestrator.backends.on_ray.backend import RayBackend
    except ImportError as error:
        raise AuditError(f"backend {name}: Ray cannot be imported ({error}); use --backend inline") from None
    return RayBackend(address="local" if name == "local" else "auto")
