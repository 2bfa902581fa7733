"""The connection to Ray: a private one on this machine that leaves nothing behind, or the running cluster."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("RAY_worker_niceness", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_PRINT_ALL_TRIAL_ERRORS", "0")
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")

# Ray reads this at import; without it a cluster that wants the token refuses some of its clients.
if "RAY_AUTH_TOKEN" in os.environ or Path("~/.ray/auth_token").expanduser().is_file():
    os.environ.setdefault("RAY_AUTH_MODE", "token")

import ray

from orchestrator.errors import one_line
from tasks.errors import AuditError

PREFIX = "lethe-"


@contextlib.contextmanager
def connected(address: str, *, slots: int) -> Iterator[Path]:
    """Connect to Ray and disconnect at the end.

    Args:
        address: "local" starts a private Ray and ends it, "auto" joins the running cluster.
        slots: trials that may run at once; on a cluster its head node offers them.

    Yields:
        A directory for the scratch files of this process, removed at the end.

    Raises:
        AuditError: there is no Ray to connect to.
    """
    with scratch() as folder:
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "namespace": "lethe"}
        try:
            if address == "local":
                resources = {"trial": slots}
                options |= {"resources": resources, "include_dashboard": False, "_temp_dir": str(folder)}
                _private_token()
            with _own_signals(deaf_children=address == "local"):
                ray.init(address=address, **options)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise AuditError(f"backend: cannot connect to Ray ({address}): {one_line(error)}") from None
        try:
            yield folder
        finally:
            ray.shutdown()


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A directory that is gone afterwards; what killed sweeps of this user left is removed first."""
    base = Path(tempfile.gettempdir())
    for left in base.glob(f"{PREFIX}[0-9]*-*"):
        process = left.name.split("-")[1]
        if process.isdigit() and left.stat().st_uid == os.getuid() and not _running(int(process)):
            shutil.rmtree(left, ignore_errors=True)
    folder = base / f"{PREFIX}{os.getpid()}-{secrets.token_hex(3)}"
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _private_token() -> None:
    """A token of its own for a private Ray, held in memory only: Ray would write one for everyone to read."""
    if os.environ.get("RAY_AUTH_MODE", "token") == "token":
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


@contextlib.contextmanager
def _own_signals(*, deaf_children: bool) -> Iterator[None]:
    """Keep the handlers of this process, which Ray replaces: its own for SIGTERM aborts.

    With `deaf_children` processes that are started meanwhile ignore SIGHUP, which a closing terminal sends to all
    of them; the driver hears it and lets them finish. (Ray itself makes them deaf to Ctrl-C.)
    """
    numbers = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    before = {number: signal.getsignal(number) for number in numbers}
    if deaf_children and len(numbers) == 3:
        signal.signal(numbers[2], signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
