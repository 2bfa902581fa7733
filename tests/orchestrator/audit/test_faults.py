"""Faults of the world: each becomes one clear line or a failed row, and nothing that was finished is lost."""

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from orchestrator import query
from orchestrator.store.store import Store
from orchestrator.store.verify import repair, verify
from tests.chaos.processes import left_after, start
from tests.support.commands import ROOT, here
from tests.support.shadow_sweeps import TEXT as SHADOWS
from tests.support.sweeps import BAD_METHODS, changed, content, started_sweep, sweep, words_of_sweep

PLUGIN = """
_method("raises", _raises)
_method("exits", lambda: os._exit(3))
_method("leaves", lambda: sys.exit(3))
_method("segfaults", lambda: ctypes.string_at(0))
_method("killed", lambda: os.kill(os.getpid(), signal.SIGKILL))
_method("hangs", lambda: time.sleep(1000))
"""
ONLY_ON_THE_DRIVER = 'if "default_worker" in sys.argv[0]: raise ImportError("not installed on this machine")'
SMALL = {'["all", "head"]': '["all"]', '["none", "fgsm", "population"]': '["none"]'}
QUICK = {'["none", "fgsm", "population"]': '["none", "fgsm"]'}
"""Without the attack that takes most of a tiny sweep."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "audit.toml").write_text(changed(QUICK))
    assert sweep(folder / "audit.toml", "--out", folder / "results").returncode == 0
    return folder


@pytest.fixture
def disk(tmp_path):
    """A file system of its own; `disk(size)` mounts or resizes it."""
    if shutil.which("mount") is None:
        pytest.skip("needs mount")
    place = tmp_path / "disk"
    place.mkdir()

    def resize(options):
        flags = ["-o", f"remount,{options}"] if os.path.ismount(place) else ["-o", options]
        made = subprocess.run(
            ["mount", "-t", "tmpfs", *flags, "tmpfs", place], capture_output=True, check=False
        )
        if made.returncode:
            pytest.skip(f"cannot mount: {made.stderr.decode().strip()}")
        return place

    yield resize
    subprocess.run(["umount", place], capture_output=True, check=False)


def one_error(ran):
    lines = [line for line in ran.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, ran.stderr
    assert "Traceback" not in ran.stderr
    return lines[0]


def write_plugin(folder, body=""):
    (folder / "bad_methods.py").write_text(BAD_METHODS + body + PLUGIN)
    return {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}


@pytest.mark.parametrize("backend", ["inline", pytest.param("local", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "size",
    [
        pytest.param("64k", marks=pytest.mark.slow, id="while training"),
        pytest.param("320k", id="while measuring"),
    ],
)
def test_a_full_disk_ends_the_sweep_in_one_line_and_more_space_completes_it(undisturbed, disk, backend, size):
    results = disk(f"size={size}") / "results"
    ran = started_sweep(undisturbed / "audit.toml", "--out", results, "--backend", backend)
    assert ran.returncode == 2, ran.stderr
    told = one_error(ran)
    assert re.search(
        r"cannot write \S+: No space left on device \(\S+ of \S+ MiB are free\); .* same command goes on$",
        told,
    )
    assert str(results) in told
    assert not [p for p in results.rglob(".*") if p.is_file()]
    store = Store(str(results))
    for table in ("cells", "models"):
        assert "failed" not in store.read(table)["status"].to_pylist()
    assert verify(store) == []
    disk("size=64m")
    ran = sweep(undisturbed / "audit.toml", "--out", results)
    assert ran.returncode == 0, ran.stderr
    assert content(results) == content(undisturbed / "results")


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["inline", "local"])
def test_a_disk_that_is_full_of_shadow_models_ends_the_sweep_in_one_line(disk, tmp_path, backend):
    results = disk("size=256k") / "results"
    (tmp_path / "audit.toml").write_text(SHADOWS.replace("epochs = 12", "epochs = 1"))
    ran = started_sweep(tmp_path / "audit.toml", "--out", results, "--backend", backend)
    assert ran.returncode == 2, ran.stderr
    assert "No space left on device" in one_error(ran)
    store = Store(str(results))
    assert "failed" not in store.read("models")["status"].to_pylist()
    assert store.keys("cells") == set()


@pytest.mark.parametrize("backend", ["inline", pytest.param("local", marks=pytest.mark.slow)])
def test_a_directory_that_becomes_read_only_ends_the_sweep_in_one_line(undisturbed, disk, backend):
    results = disk("size=64m") / "results"
    command = words_of_sweep(undisturbed / "audit.toml", results)
    with subprocess.Popen(
        [*command, "--backend", backend],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        while run.poll() is None and not list(results.glob("cells/*.arrow")):
            time.sleep(0.01)
        # A file system with a file that is open for writing refuses to become read-only: try again.
        while subprocess.run(
            ["mount", "-o", "remount,ro", results.parent], capture_output=True, check=False
        ).returncode:
            assert run.poll() is None
        _, errors = run.communicate(timeout=240)
    assert run.returncode == 2, errors
    (told,) = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert "Read-only file system; once it can be written the same command goes on" in told
    assert "Traceback" not in errors
    disk("rw")
    assert "failed" not in Store(str(results)).read("cells")["status"].to_pylist()
    assert sweep(undisturbed / "audit.toml", "--out", results).returncode == 0
    assert content(results) == content(undisturbed / "results")


def test_a_directory_that_cannot_be_written_is_one_line(undisturbed, disk):
    results = disk("size=1m") / "results"
    disk("ro")
    ran = sweep(undisturbed / "audit.toml", "--out", results)
    assert ran.returncode == 2
    assert str(results) in one_error(ran)


@pytest.mark.parametrize("table", ["cells", "metrics", "examples", "models"])
def test_a_truncated_file_is_named_moved_aside_and_computed_again(undisturbed, tmp_path, table):
    results = tmp_path / "results"
    subprocess.run(["cp", "-r", undisturbed / "results", results], check=True)
    damaged = sorted((results / table).rglob("*.arrow"))[3]
    os.truncate(damaged, damaged.stat().st_size // 2)
    told = here(query.main, "--results", results, "--verify")
    assert damaged.relative_to(results).as_posix() in told.stdout + told.stderr
    assert told.returncode == 1
    assert here(query.main, "--results", results, "--repair").returncode == 0
    assert not damaged.exists()
    ran = sweep(undisturbed / "audit.toml", "--out", results)
    assert ran.returncode == 0, ran.stderr
    assert content(results) == content(undisturbed / "results")


def test_truncated_weights_are_named_moved_aside_and_made_again(undisturbed, tmp_path):
    results = tmp_path / "results"
    subprocess.run(["cp", "-r", undisturbed / "results", results], check=True)
    store = Store(str(results))
    model = next(r for r in store.read("models").to_pylist() if r["kind"] == "original")
    damaged = results / "weights" / f"{model['model_id']}.safetensors"
    os.truncate(damaged, damaged.stat().st_size - 100)
    found = repair(store)
    assert [d.file for d in found] == [f"weights/{damaged.name}"]
    assert not damaged.exists()
    cell = next(r for r in store.read("cells").to_pylist() if r["model_id"] == model["model_id"])
    store.delete("cells", cell["cell_id"])
    ran = sweep(undisturbed / "audit.toml", "--out", results)
    assert ran.returncode == 0, ran.stderr
    assert content(results) == content(undisturbed / "results")


def test_an_older_schema_is_refused_in_one_line(undisturbed, tmp_path):
    (tmp_path / "store.json").write_text('{"schema_version": 0}')
    ran = sweep(undisturbed / "audit.toml", "--out", tmp_path)
    assert ran.returncode == 2
    assert "schema version 0" in one_error(ran)
    assert [p.name for p in tmp_path.iterdir()] == ["store.json"]


def test_a_name_cannot_leave_the_results_directory(tmp_path):
    path = tmp_path / "audit.toml"
    path.write_text(changed({'name = "tiny"': 'name = "../../escaped"'}))
    ran = sweep(path, "--out", tmp_path / "deep" / "results", "--limit", "1")
    assert ran.returncode == 0, ran.stderr
    (row,) = Store(str(tmp_path / "deep" / "results")).read("runs").to_pylist()
    assert row["name"] == "../../escaped"
    assert "/" not in row["run_id"]
    assert {p.name for p in tmp_path.iterdir()} == {"audit.toml", "deep"}
    assert {p.name for p in (tmp_path / "deep").iterdir()} == {"results"}
    assert not list(tmp_path.parent.glob("*escaped*"))


def test_unfinished_files_of_killed_writers_go_and_hidden_files_of_others_stay(tmp_path):
    store = Store(str(tmp_path))
    store.check_ready()
    (tmp_path / "cells").mkdir()
    stale, fresh = tmp_path / "cells" / ".a.arrow.0123abcd", tmp_path / "cells" / ".b.arrow.0123abcd"
    foreign = [tmp_path / ".gitignore", tmp_path / "cells" / ".notes"]
    for path in (stale, fresh, *foreign):
        path.write_text("x")
    for path in (stale, *foreign):
        os.utime(path, (0, 0))
    store.check_ready()
    assert not stale.exists()
    assert fresh.exists()
    assert all(path.exists() for path in foreign)


def test_a_clock_that_jumps_removes_nothing_that_is_young(tmp_path):
    """The clock went back, so the file of a living writer is from the future."""
    store = Store(str(tmp_path))
    store.check_ready()
    young = tmp_path / ".b.arrow.0123abcd"
    young.write_text("x")
    os.utime(young, (time.time() + 86_400, time.time() + 86_400))
    store.check_ready()
    assert young.exists()


@pytest.mark.slow
def test_methods_that_raise_exit_crash_or_hang_are_failed_rows(tmp_path):
    methods = ["raises", "exits", "leaves", "segfaults", "killed", "hangs"]
    listed = ", ".join(f'"{m}"' for m in ["finetune", *methods])
    path = tmp_path / "audit.toml"
    path.write_text(
        changed(
            {
                **SMALL,
                '["finetune", "gradient_ascent"]': f"[{listed}]",
                'name = "tiny"': 'name = "tiny"\nplugins = ["bad_methods"]',
                'backend = "inline"': 'backend = "local"\nstage_timeout = 30.0',
            }
        )
    )
    ran = started_sweep(path, "--out", tmp_path / "results", timeout=280, **write_plugin(tmp_path))
    assert ran.returncode == 1, ran.stderr
    rows = Store(str(tmp_path / "results")).read("cells").to_pylist()
    errors = {r["method"]: r["error_type"] for r in rows}
    died = dict.fromkeys(["exits", "segfaults", "killed"], "HostDied")
    whole = dict.fromkeys(["retrain", "retrain_again", "no_op", "finetune"])
    told = {"raises": "RuntimeError", "leaves": "SystemExit", "hangs": "TimeLimit"}
    assert errors == {**told, **died, **whole}
    assert "the plug-in's own words" in next(r["error"] for r in rows if r["method"] == "raises")


@pytest.mark.slow
def test_a_plugin_that_workers_do_not_have_is_one_line(tmp_path):
    path = tmp_path / "audit.toml"
    path.write_text(changed({**SMALL, 'name = "tiny"': 'name = "tiny"\nplugins = ["bad_methods"]'}))
    environment = write_plugin(tmp_path, ONLY_ON_THE_DRIVER)
    ran = started_sweep(path, "--out", tmp_path / "results", "--backend", "local", **environment)
    assert ran.returncode == 2, ran.stderr
    assert "cannot import 'bad_methods'" in one_error(ran)
    assert "not installed on this machine" in one_error(ran)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "group", "times"),
    [
        (signal.SIGTERM, False, 1),
        (signal.SIGHUP, True, 1),
        (signal.SIGINT, True, 1),
        (signal.SIGINT, True, 2),
    ],
    ids=["SIGTERM", "terminal closed", "Ctrl-C", "Ctrl-C twice"],
)
def test_signals_on_ray_leave_a_state_to_resume_and_no_process(undisturbed, tmp_path, number, group, times):
    results, mark = tmp_path / "results", f"signal-{os.getpid()}-{time.monotonic_ns()}"
    command = words_of_sweep(undisturbed / "audit.toml", results)
    with start([*command, "--backend", "local"], mark, stderr=subprocess.PIPE) as run:
        while run.poll() is None and len(list(results.glob("cells/*.arrow"))) < 2:
            time.sleep(0.05)
        for _ in range(times):
            (os.killpg if group else os.kill)(run.pid, number)
            time.sleep(0.3)
        began = time.monotonic()
        _, errors = run.communicate(timeout=120)
    assert run.returncode == 130, errors
    assert "finishing what runs" in errors
    assert "Traceback" not in errors
    if times == 2:
        assert time.monotonic() - began < 30
    assert left_after(mark, 60) == []
    assert not list(results.rglob(".*.arrow*")) or times == 2
    ran = sweep(undisturbed / "audit.toml", "--out", results)
    assert ran.returncode == 0, ran.stderr
    assert content(results) == content(undisturbed / "results")


def test_a_terminal_that_goes_away_drains(undisturbed, tmp_path):
    """Every write to the terminal fails from then on; the sweep must neither die of that nor spin."""
    import pty

    results = tmp_path / "results"
    master, slave = pty.openpty()
    command = words_of_sweep(undisturbed / "audit.toml", results)
    with subprocess.Popen(
        command, cwd=ROOT, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    ) as run:
        os.close(slave)
        os.set_blocking(master, False)
        while run.poll() is None and len(list(results.glob("cells/*.arrow"))) < 2:
            drained(master)
            time.sleep(0.02)
        os.close(master)
        run.send_signal(signal.SIGHUP)
        assert run.wait(timeout=60) == 130
    assert sweep(undisturbed / "audit.toml", "--out", results).returncode == 0
    assert content(results) == content(undisturbed / "results")


def drained(descriptor):
    try:
        return os.read(descriptor, 65_536)
    except BlockingIOError:
        return b""


def test_nohup_is_respected(undisturbed, tmp_path):
    results = tmp_path / "results"
    command = words_of_sweep(undisturbed / "audit.toml", results)
    with subprocess.Popen(
        ["nohup", *map(str, command)], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as run:
        while run.poll() is None and not list(results.glob("cells/*.arrow")):
            time.sleep(0.02)
        run.send_signal(signal.SIGHUP)
        assert run.wait(timeout=120) == 0
    assert Path(results).is_dir()
