"""Machines that do not reach themselves: said at once, before Ray starts and before a run is written down."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.backends.on_ray.loopback import check_loopback
from tests.support.commands import ROOT
from tests.support.sweeps import words_of_sweep, write_config

MADE = """
from orchestrator.backends.choose import make_backend
from orchestrator.errors import run_command
raise SystemExit(run_command(lambda: make_backend("local") and None))
"""
TOLD = "error: backend local: Ray's processes talk over 127.0.0.1, and this machine does not reach it "
SECONDS = 60
"""Without the check Ray would be waited for for 97 seconds, or without end."""


def apart(first: str, *command: str) -> tuple[int, str]:
    """Run a command in a network of its own, whose loopback interface is down until `first` has run."""
    words = ["unshare", "-rn", "--fork", "--kill-child", "sh", "-c", f'{first}; exec "$@"', "sh", *command]
    ran = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS)
    return ran.returncode, ran.stderr


@pytest.fixture(autouse=True)
def networks() -> None:
    """Skip where no network of its own can be made."""
    needed = [name for name in ("unshare", "ip") if shutil.which(name) is None]
    if needed:
        pytest.skip(f"needs {' and '.join(needed)}")
    if apart(":", "sh", "-c", "ip link show lo")[0]:
        pytest.skip("this machine makes no network without privileges")


def test_a_loopback_interface_that_is_down(tmp_path: Path) -> None:
    check_loopback()  # here
    code, told = apart(
        ":", *words_of_sweep(write_config(tmp_path), tmp_path / "results"), "--backend", "local"
    )
    assert code == 2
    assert told == (
        f"{TOLD}(Network is unreachable); bring it up (ip link set lo up), or take --backend inline\n"
    )
    assert not list((tmp_path / "results").rglob("*.arrow"))


def test_a_machine_of_ipv6_alone() -> None:
    code, told = apart("ip link set lo up; ip addr del 127.0.0.1/8 dev lo", sys.executable, "-c", MADE)
    assert code == 2
    assert told == (
        f"{TOLD}(Cannot assign requested address); give it that address (ip addr add 127.0.0.1/8 dev lo), or "
        "take --backend inline\n"
    )
