"""What a sweep on a private Ray leaves when it, or a part of Ray, is killed: nothing, and one line that says why."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestrator.backends.on_ray import reaper
from tests.chaos.harness import Run, hit, published
from tests.chaos.processes import left_after
from tests.support.sweeps import write_config

ROOT = Path(__file__).parents[3]
SESSION = """
import subprocess, sys, time
from pathlib import Path
from orchestrator.backends.on_ray import reaper
folder = Path(sys.argv[1])
folder.mkdir()
with reaper.reaped(folder), reaper.marked(folder):
    # As Ray does: a process that starts another once its parent has been killed.
    late = "import os, subprocess, time; time.sleep(0.4); subprocess.Popen(['sleep', '60']); time.sleep(60)"
    subprocess.Popen([sys.executable, "-c", late], start_new_session=True)
    print("started", flush=True)
    time.sleep(float(sys.argv[2]))
"""

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")


def start(folder: Path, seconds: float) -> subprocess.Popen:
    command = [sys.executable, "-c", SESSION, folder, str(seconds)]
    started = subprocess.Popen(list(map(str, command)), cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None
    assert started.stdout.readline() == "started\n"
    return started


def begun(folder: Path) -> dict[int, str]:
    """The members, once there are any: a process that has just been started shows no environment for a moment."""
    deadline = time.monotonic() + 10
    while not (found := reaper.members(folder)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return found


def ended(folder: Path, within: float) -> bool:
    deadline = time.monotonic() + within
    while (reaper.members(folder) or folder.exists()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not reaper.members(folder) and not folder.exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_driver_leaves_no_process_and_no_folder(tmp_path, number):
    folder = tmp_path / "session"
    with start(folder, 60) as driver:
        assert len(begun(folder)) == 1
        driver.send_signal(number)
        driver.wait(timeout=30)
    assert ended(folder, 30)


def test_a_driver_that_ends_well_leaves_nothing_either(tmp_path):
    folder = tmp_path / "session"
    with start(folder, 0.1) as driver:
        assert driver.wait(timeout=30) == 0
    assert reaper.members(folder) == {}
    assert not folder.exists()


def test_processes_of_others_stay(tmp_path):
    with (
        start(tmp_path / "mine", 60) as mine,
        start(tmp_path / "other", 60) as other,
    ):
        mine.kill()
        assert ended(tmp_path / "mine", 30)
        assert len(reaper.members(tmp_path / "other")) >= 1
        other.kill()
        assert ended(tmp_path / "other", 30)
    assert reaper.MARK not in os.environ


def test_a_process_that_hides_its_environment_and_its_name_is_found_by_where_it_prints(tmp_path):
    """As Ray's agents do, whose title overwrites both; a reader of logs and a writer of other files are not found."""
    folder = tmp_path / "session"
    folder.mkdir()
    quiet = {"cwd": "/", "env": {}, "start_new_session": True}
    with (folder / "agent.out").open("w") as log, (folder / "driver.log").open("w") as own:
        hidden = subprocess.Popen(["sleep", "60"], stdout=log, **quiet)
        driver = subprocess.Popen(["sleep", "60"], stdout=own, **quiet)
        with (folder / "agent.out").open() as read:
            reader = subprocess.Popen(["sleep", "60"], stdin=read, **quiet)
    try:
        assert reaper.members(folder) == {hidden.pid: "sleep"}
        (folder / "agent.out").unlink()
        began = time.monotonic()
        reaper.end(folder)
        assert hidden.wait(timeout=30) == -signal.SIGKILL
        assert time.monotonic() - began < 5
        assert (driver.poll(), reader.poll()) == (None, None)
    finally:
        for process in (hidden, driver, reader):
            process.kill()
            process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gcs", "raylet", "driver"])
def test_the_end_of_ray_is_one_line_and_nothing_stays(tmp_path, kind):
    out = tmp_path / "results"
    run = Run(write_config(tmp_path), out, "local")
    while published(out) < 30 and run.driver.poll() is None:
        time.sleep(0.05)
    assert hit(run, kind, random.Random(0))
    code = run.wait(60)
    said = run.log.read_text()
    if kind == "driver":
        assert code == -signal.SIGKILL
    else:
        assert code == 2, said
        (told,) = [line for line in said.splitlines() if line.startswith("error: ")]
        assert "ended while the sweep ran; the same command goes on where it stopped" in told
        assert kind in told
        assert said.endswith(f"{told}\n")
    assert "Traceback" not in said
    assert left_after(run.mark, 5) == []
    again = Run(tmp_path / "audit.toml", out, "inline")
    assert again.wait() == 0, again.log.read_text()
