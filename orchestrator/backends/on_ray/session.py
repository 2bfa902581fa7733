"""The connection to Ray: a private one on this machine that leaves nothing behind, or the running cluster."""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import select
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from orchestrator.backends.on_ray.early import TOO_LATE

os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("RAY_worker_niceness", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_PRINT_ALL_TRIAL_ERRORS", "0")
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
os.environ.setdefault(
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0"
)  # below `uv run` workers would run in a copy elsewhere

# Of no effect any more, but Tune ends where they are set.
os.environ.pop("TUNE_RESULT_DIR", None)
os.environ.pop("RAY_AIR_LOCAL_CACHE_DIR", None)

# Ray reads this at import; without it a cluster that wants the token refuses some of its clients.
if "RAY_AUTH_TOKEN" in os.environ or os.path.isfile(os.path.expanduser("~/.ray/auth_token")):
    os.environ.setdefault("RAY_AUTH_MODE", "token")

import ray
from ray._private import ray_constants

from orchestrator.backends.on_ray import reaper
from orchestrator.backends.on_ray.scratch import scratch
from orchestrator.errors import Exit, one_line
from tasks.errors import AuditError

SERVICES = {"raylet", "gcs_server"}
LOOK_SECONDS = 0.3
PATIENCE = "RAY_gcs_rpc_server_reconnect_timeout_s"
"""Environment variable: seconds after which Ray gives up a GCS that does not answer; 60 where it is not set."""
CONNECT_SECONDS, LINK_SECONDS, PAUSE_SECONDS = 2.0, 10.0, 0.2
"""For a service of a cluster to accept a connection, until it is asked for a new one, and in between."""
UNFIT = ("PYTHONWARNINGS",)
"""Variables that Ray's own processes do not bear: one that makes errors of warnings ends its dashboard, and so the
raylet."""
STARTS = 3
"""Tries to start a private Ray: on a machine that is overloaded its processes may not answer in time."""


@contextlib.contextmanager
def connected(address: str, *, slots: int) -> Iterator[Path]:
    """Connect to Ray and disconnect at the end.

    Args:
        address: "local" starts a private Ray and ends it, "auto" joins the running cluster.
        slots: trials that may run at once; on a cluster its head node offers them.

    Yields:
        A directory for the scratch files of this process, removed at the end.

    Raises:
        AuditError: there is no Ray to connect to, or this process is connected already.
    """
    if ray.is_initialized():  # by the caller of the API, or by a sweep in another thread: not ours to end
        raise AuditError(
            "backend: expected a process without a connection to Ray; ray.shutdown() ends the one it has"
        )
    with scratch() as folder:
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "namespace": "lethe"}
        if address != "local":
            with _answering(folder) as watch, _started(address, options):
                watch()
                yield folder
            return
        if TOO_LATE:
            raise AuditError(
                "backend local: Ray was imported before the first run on it; import it afterwards, or set the "
                "environment variable RAY_AUTH_MODE=token before"
            )
        resources = {"trial": slots}
        options |= {"resources": resources, "include_dashboard": False, "_temp_dir": str(folder)}
        _private_token()
        with reaper.reaped(folder), _started(address, options, folder):
            yield folder


@contextlib.contextmanager
def _started(address: str, options: dict[str, Any], folder: Path | None = None) -> Iterator[None]:
    """Ray for a while; processes of a private one carry the mark of its folder, and their end is noticed."""
    for left in reversed(range(STARTS if folder else 1)):
        private = _private(folder) if folder else contextlib.nullcontext()
        watch = _Watch(folder) if folder else None
        try:
            with _own_signals(deaf_children=folder is not None), private:
                ray.init(address=address, **options)
            break
        except BaseException as error:  # Ray raises bare ones where its processes do not answer
            if watch and folder:
                watch.stop()
                ray.shutdown()
                reaper.kill(folder)
            if not isinstance(error, Exception):
                raise
            if not left:
                told = f"backend: cannot connect to Ray ({address}): {one_line(error)}"
                raise AuditError(told) from None
    try:
        yield
    finally:
        if watch:
            watch.stop()
        ray.shutdown()


@contextlib.contextmanager
def _private(folder: Path) -> Iterator[None]:
    """What is started meanwhile carries the mark of its session, has its temporary files there, and listens on loopback
    alone.

    The last Ray does by itself where it knows of no clusters (macOS, Windows); an address in its place it would replace
    by that of a network, and only this one makes its services bind to nothing else.
    """
    several = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        with reaper.marked(folder), _variables({"TMPDIR": str(folder), **dict.fromkeys(UNFIT)}):
            yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = several


@contextlib.contextmanager
def _variables(changes: Mapping[str, str | None]) -> Iterator[None]:
    """What processes that are started meanwhile inherit, such as a TMPDIR whose name Ray can use.

    Args:
        changes: values by name; None: the variable is not there.
    """
    before = {name: os.environ.get(name) for name in changes}
    _set(changes)
    try:
        yield
    finally:
        _set(before)


def _set(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


class _Watch:
    """Ends this process with one line when the raylet or the GCS of a private Ray dies.

    Neither can be had back, and Ray would wait for a minute, then end this process with its own words. (Where
    there is no /proc it does.)

    Args:
        folder: of the session, which need not have begun.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._awake, self._stop = os.pipe()
        self._thread = threading.Thread(target=self._wait, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Watch no longer: from now on they are meant to end."""
        os.close(self._stop)
        self._thread.join()
        os.close(self._awake)

    def _wait(self) -> None:
        handles: dict[int, str] = {}
        try:
            while True:
                missing = SERVICES - set(handles.values())
                ready, _, _ = select.select(
                    [self._awake, *handles], [], [], LOOK_SECONDS if missing else None
                )
                if self._awake in ready:
                    return
                if ready:
                    self._end(handles[ready[0]])
                handles |= self._opened(missing)
        finally:
            for handle in handles:
                os.close(handle)

    def _opened(self, wanted: set[str]) -> dict[int, str]:
        """Handles of the services that are there by now."""
        found = {}
        for process, name in reaper.members(self._folder).items() if wanted else ():
            if name in wanted and _is_child(process):  # a raylet that starts a worker is for a moment two
                with contextlib.suppress(OSError):
                    found[os.pidfd_open(process)] = name
        return found

    def _end(self, died: str) -> None:
        _say_last(f"Ray's {died} ended while the sweep ran")
        reaper.end(self._folder)
        os._exit(Exit.BAD_INPUT)


@contextlib.contextmanager
def _answering(folder: Path) -> Iterator[Callable[[], None]]:
    """Ends this process with one line when the raylet of this machine or the GCS of the cluster is lost.

    The GCS is given up little before Ray would end this process with its own words: until then one that is started
    anew, or a network that comes back, is waited for.

    Args:
        folder: scratch files of this process.

    Yields:
        Begins the watch, once this process is connected. It goes on until it is disconnected, for which the
        services are needed too.
    """
    ended = threading.Event()

    def give_up(reason: str) -> None:
        if not ended.is_set():
            _say_last(reason)
            shutil.rmtree(folder, ignore_errors=True)
            os._exit(Exit.BAD_INPUT)

    def watch(address: str, port: int, lost: type[OSError], patience: float, reason: str) -> None:
        _stay_connected((address, port), lost, patience, ended)
        give_up(reason)

    def begin() -> None:
        context = ray.get_runtime_context()
        (node,) = (n for n in ray.nodes() if n["NodeID"] == context.get_node_id())
        raylet = node["NodeManagerAddress"], node["NodeManagerPort"], ConnectionRefusedError, 0.0
        host, _, port = context.gcs_address.rpartition(":")
        gcs = host.strip("[]"), int(port), OSError, 0.75 * float(os.environ.get(PATIENCE, 60))
        for service, reason in (
            (raylet, "Ray's raylet ended while the sweep ran"),
            (gcs, "the GCS of the Ray cluster does not answer"),
        ):
            threading.Thread(target=watch, args=(*service, reason), daemon=True).start()

    try:
        yield begin
    finally:
        ended.set()


def _stay_connected(
    place: tuple[str, int], lost: type[OSError], patience: float, ended: threading.Event
) -> None:
    """Return when a service is lost, or at the end of the watch.

    The connection to a process that dies is closed at once; a machine that is gone is noticed at the next one.

    Args:
        place: host and port.
        lost: the error of a connection that tells that the service is not there.
        patience: seconds without a connection.
        ended: the end of the watch.
    """
    since = math.inf
    while not ended.wait(PAUSE_SECONDS):
        try:
            with socket.create_connection(place, timeout=CONNECT_SECONDS) as link:
                since = math.inf
                link.settimeout(LINK_SECONDS)
                while link.recv(4096):
                    pass
        except lost:
            since = min(since, time.monotonic())
            if time.monotonic() - since >= patience:
                return
        except OSError:
            continue


def _say_last(reason: str) -> None:
    """Print why this process ends, and nothing that it says after that."""
    show_cursor = "\x1b[?25h\n" if sys.stderr.isatty() else ""
    terminal = os.dup(2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # Ray's own words about it follow
    text = f"error: backend: {reason}; the same command goes on where it stopped"
    os.write(terminal, f"{show_cursor}{text}\n".encode())


def _is_child(process: int) -> bool:
    """Whether this process started that one."""
    with contextlib.suppress(OSError, IndexError):
        after_name = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2]
        return int(after_name.split()[1]) == os.getpid()
    return False


def _private_token() -> None:
    """A token of its own for a private Ray, held in memory only: Ray would write one for everyone to read."""
    if os.environ.get("RAY_AUTH_MODE", "token") == "token":
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


@contextlib.contextmanager
def _own_signals(*, deaf_children: bool) -> Iterator[None]:
    """Keep the handlers of this process, which Ray replaces: its own for SIGTERM aborts.

    With `deaf_children` processes that are started meanwhile ignore SIGHUP, which a closing terminal sends to all
    of them; the driver hears it and lets them finish. (Ray itself makes them deaf to Ctrl-C.)

    Outside the main thread nobody may set a handler, Ray neither: there is nothing to keep.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    before = {number: signal.getsignal(number) for number in numbers}
    if deaf_children and len(numbers) == 3:
        signal.signal(numbers[2], signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # native code had its own, which Python cannot put back
                signal.signal(number, handler)
