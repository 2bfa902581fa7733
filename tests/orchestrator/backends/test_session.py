"""The watch over the services of a cluster: what counts as lost, and what is waited for."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.backends.on_ray.session import _private, _stay_connected


class Service:
    """Accepts connections on a port of this machine until it is closed, and again once it is reopened."""

    def __init__(self) -> None:
        self.place = ("127.0.0.1", 0)
        self.open()

    def open(self) -> None:
        self._socket = socket.create_server(self.place)
        self.place = self._socket.getsockname()
        self._links: list[socket.socket] = []
        threading.Thread(target=self._accept, args=(self._socket,), daemon=True).start()

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                self._links.append(listening.accept()[0])
            except OSError:
                return

    def close(self) -> None:
        with contextlib.suppress(OSError):  # closed before
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for link in self._links:
            link.close()


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    yield made
    made.close()


def watch(service: Service, patience: float) -> tuple[threading.Thread, threading.Event]:
    ended = threading.Event()
    thread = threading.Thread(target=_stay_connected, args=(service.place, OSError, patience, ended))
    thread.start()
    return thread, ended


def test_a_process_that_dies_is_noticed_at_once() -> None:
    service = Service()
    began = time.monotonic()
    thread, _ = watch(service, 0.0)
    time.sleep(0.5)
    assert thread.is_alive()
    service.close()
    thread.join(timeout=30)
    assert not thread.is_alive()
    assert time.monotonic() - began < 8  # long before the next connection is due


def test_a_service_that_comes_back_is_waited_for(service: Service) -> None:
    thread, ended = watch(service, 30.0)
    time.sleep(0.5)
    service.close()
    time.sleep(1.0)
    service.open()
    time.sleep(1.0)
    assert thread.is_alive()
    ended.set()
    service.close()  # wakes it
    thread.join(timeout=30)
    assert not thread.is_alive()


def test_patience_ends(service: Service) -> None:
    service.close()
    began = time.monotonic()
    _stay_connected(service.place, OSError, 1.0, threading.Event())
    assert 1.0 <= time.monotonic() - began < 20


def test_other_errors_are_no_loss(service: Service) -> None:
    service.close()
    ended = threading.Event()
    began = time.monotonic()
    threading.Timer(1.0, ended.set).start()
    _stay_connected(service.place, TimeoutError, 0.0, ended)  # refused, which does not count here
    assert time.monotonic() - began >= 1.0


def test_processes_of_a_private_ray_bear_no_variable_that_ends_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    monkeypatch.delenv("TMPDIR", raising=False)
    told = [sys.executable, "-c", "import os; print(os.environ.get('PYTHONWARNINGS'), os.environ['TMPDIR'])"]
    with _private(tmp_path):
        assert subprocess.run(told, capture_output=True, text=True).stdout == f"None {tmp_path}\n"
    assert os.environ["PYTHONWARNINGS"] == "error"
    assert "TMPDIR" not in os.environ
