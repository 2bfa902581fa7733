"""Where a private Ray has its files: the user's own place where Ray can work there, and else one that is said."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections import namedtuple
from pathlib import Path

import pytest

from orchestrator.backends.on_ray import scratch as module
from orchestrator.backends.on_ray.scratch import ELSEWHERE, LONGEST_SOCKET, PREFIX, SOCKET, fault, scratch
from tasks.errors import AuditError

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own place, with a path in which Ray can work."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="t") as made:
        monkeypatch.setattr(tempfile, "tempdir", made)
        yield Path(made)


def test_the_users_own_place_is_taken_and_left_empty(short: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with scratch() as folder:
        assert folder.parent == short
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "log").write_text("x")
    assert list(short.iterdir()) == []
    assert capsys.readouterr().err == ""


def test_the_bound_is_that_of_sockets(short: Path) -> None:
    """The longest path that is let through can be bound, and one that is longer by a letter is refused."""
    own = len(f"{short}//{PREFIX}{os.getpid()}-123456/{SOCKET.format(process=os.getpid())}")
    fits, too_long = (short / ("x" * (LONGEST_SOCKET - own + more)) for more in (0, 1))
    for place in (fits, too_long):
        place.mkdir()
    assert fault(fits) == ""
    assert fault(too_long) == "is too long by 1 characters for the names of Ray's sockets"
    path = fits / f"{PREFIX}{os.getpid()}-123456" / SOCKET.format(process=os.getpid())
    path.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))
    with socket.socket(socket.AF_UNIX) as bound, pytest.raises(OSError, match="path too long"):
        bound.bind(f"{path}x")


@pytest.mark.parametrize(
    ("name", "said"), [("x" * 60, "is too long by"), ("Zoé", "has letters beyond ASCII")]
)
def test_another_place_is_found_and_said(
    name: str, said: str, short: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (short / name).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(short / name))
    with scratch() as folder:
        assert str(folder.parent) in ELSEWHERE
    assert not folder.exists()
    error = capsys.readouterr().err
    assert error.startswith(f"note: Ray's files are in {folder.parent}: {short / name} {said}")
    assert error.count("\n") == 1


def test_a_full_disk_is_said_before_ray_meets_it(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda place: Usage(1 << 40, (1 << 40) - 5, 5 << 20))
    monkeypatch.setattr(module, "ELSEWHERE", ())
    with (
        pytest.raises(AuditError, match=f"^TMPDIR: expected .*; {short} has 5 MiB free, of 64 that"),
        scratch(),
    ):
        pass


def test_what_killed_sweeps_left_goes_and_what_runs_stays(short: Path) -> None:
    ended = short / f"{PREFIX}4194999-abcdef"
    running = short / f"{PREFIX}1-abcdef"
    other = short / f"{PREFIX}notes-abc"
    for folder in (ended, running, other):
        folder.mkdir()
    with scratch():
        assert not ended.exists()
        assert running.exists()
        assert other.exists()
