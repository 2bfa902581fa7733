"""Merging small files while processes die, write, read and merge at the same time: every row stays, once."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs
import pytest

from orchestrator.audit.compute import tidy
from orchestrator.results.connection import Results
from orchestrator.store.files import CannotWrite
from orchestrator.store.remote_files import RemoteFiles
from orchestrator.store.store import SMALL_FILES, Store
from orchestrator.store.verify import verify
from tests.support.commands import ROOT
from tests.support.sweeps import content, sweep, write_config

ROW = {"metric": "auc", "split": "forget", "variant": "", "n": 3, "higher_is": "worse"}
CHANGES = {"open", "os.rename", "os.remove", "os.mkdir", "os.scandir"}
KILLED_WHILE_MERGING = """
import os, signal, sys
from orchestrator import sweep
from orchestrator.audit import api, compute
from orchestrator.errors import run_command
left, compute.SMALL_FILES, merge = int(sys.argv.pop(1)), 2, compute.tidy
def tidy(*arguments):
    def step(event, values):
        global left
        if event in ("os.rename", "os.remove"):
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(step)
    merge(*arguments)
api.tidy = tidy
sys.exit(run_command(sweep.main))
"""


def write(store: Store, key: str, value: float, count: int = 3) -> None:
    store.write("metrics", key, [ROW | {"value": value} for _ in range(count)])
    store.write("layers", key, [{"layer": "norm", "definition": "norm_sigma", "gap": value}] * count)


def values(store: Store, table: str = "metrics", column: str = "value") -> Counter[tuple[str, float]]:
    found = store.read(table)
    return Counter(zip(found["cell_id"].to_pylist(), found[column].to_pylist(), strict=True))


def in_a_process(action: Callable[[], object]) -> int:
    """Fork, act, and return the process id; the child never comes back."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        action()
        code = 0
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def dies_at(step: int, action: Callable[[], object]) -> bool:
    """Whether a process that acts reaches so many changes of files, and is killed there."""

    def act() -> None:
        left = step

        def hook(event: str, arguments: object) -> None:
            nonlocal left
            if event in CHANGES:
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        action()

    _, status = os.waitpid(in_a_process(act), 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def test_a_process_killed_at_any_step_of_a_merge_loses_doubles_and_revives_nothing(tmp_path: Path) -> None:
    """Of k0 to k3 older rows are in a merged file; the newer ones must win at every instant."""
    template = Store(str(tmp_path / "template"))
    template.check_ready()
    for k in range(6):
        write(template, f"k{k}", -1.0)
    template.compact()
    for k in range(4):
        write(template, f"k{k}", float(k))
    expected = Counter({(f"k{k}", float(k) if k < 4 else -1.0): 3 for k in range(6)})
    for step in range(200):
        root = str(tmp_path / f"step-{step}")
        shutil.copytree(template.root, root)
        died = dies_at(step, lambda root=root: Store(root).compact())
        for _ in range(2):  # as the kill left it, then merged to its end
            store = Store(root)
            assert values(store) == expected, step
            assert values(store, "layers", "gap") == expected, step
            assert store.keys("metrics") == {f"k{k}" for k in range(6)}
            assert all(store.has("layers", f"k{k}") for k in range(6))
            assert verify(store) == []
            with Results(root) as results:
                assert results.sql("select count(*) as n from metrics").to_pylist() == [{"n": 18}]
            store.compact(at_least=1)
        if not died:
            break
    assert 20 < step < 199
    assert [p.name for p in Path(root, "metrics").iterdir()] == ["_compacted"]


def test_rows_that_are_written_again_during_a_merge_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, other = Store(str(tmp_path)), Store(str(tmp_path))
    for k in range(4):
        write(store, f"k{k}", 0.0)
    real = store.arrow_files.load_whole

    def load(table, file):
        found = real(table, file)
        if "k2" in file:
            write(other, "k2", 1.0, count=2)
        return found

    monkeypatch.setattr(store.arrow_files, "load_whole", load)
    store.compact()
    for reader in (store, other, Store(str(tmp_path))):
        assert values(reader) == {("k0", 0.0): 3, ("k1", 0.0): 3, ("k2", 1.0): 2, ("k3", 0.0): 3}
    other.compact(at_least=1)
    assert values(Store(str(tmp_path))) == {("k0", 0.0): 3, ("k1", 0.0): 3, ("k2", 1.0): 2, ("k3", 0.0): 3}


def test_two_processes_merge_while_one_writes_and_one_reads(tmp_path: Path) -> None:
    root, count = str(tmp_path / "results"), 150
    Store(root).check_ready()

    def write_all() -> None:
        for k in range(count):
            write(Store(root), f"k{k}", float(k))

    def merge() -> None:
        for _ in range(25):
            Store(root).compact()

    children = [in_a_process(action) for action in (write_all, merge, merge)]
    seen: list[Counter[tuple[str, float]]] = []
    while children:
        store = Store(root)
        finished = {f"k{k}" for k in range(count) if store.has("metrics", f"k{k}")}
        seen.append(values(store))
        assert finished <= {key for key, _ in seen[-1]} <= store.keys("metrics")
        with Results(root) as results:
            assert results.sql("select count(distinct cell_id) as n from metrics").to_pylist()[0]["n"] >= len(
                finished
            )
        ended, status = os.waitpid(-1, os.WNOHANG)
        assert status == 0
        children = [child for child in children if child != ended]
    assert all(set(found.values()) <= {3} for found in seen)
    assert values(Store(root)) == {(f"k{k}", float(k)): 3 for k in range(count)}
    assert verify(Store(root)) == []


def test_an_object_store_merges_the_same(tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    memory = pafs.PyFileSystem(pafs.FSSpecHandler(fsspec.filesystem("memory")))
    store = Store("unused")
    store.arrow_files.files = RemoteFiles(
        memory, f"bucket/{tmp_path.name}", f"memory://bucket/{tmp_path.name}"
    )
    for k in range(40):
        write(store, f"k{k}", 0.0)
    store.compact()
    write(store, "k7", 1.0)
    assert store.compact(["metrics"], at_least=1) == 1
    assert values(store) == {(f"k{k}", float(k == 7)): 3 for k in range(40)}
    assert len(list(store.files.names("metrics"))) == 0


# -- whole sweeps -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    assert sweep(write_config(folder), "--out", folder / "results").returncode == 0
    return folder


def test_a_small_sweep_keeps_its_files(finished: Path) -> None:
    assert len(list((finished / "results" / "cells").glob("*.arrow"))) == 21 < SMALL_FILES
    compacted = [path.parent.name for path in (finished / "results").rglob("_compacted")]
    assert compacted == ["settings"]  # written whole by each run


@pytest.mark.parametrize("step", [0, 30])
def test_a_sweep_killed_while_it_merges_is_whole_and_the_same_command_ends_it(
    finished: Path, tmp_path: Path, step: int
) -> None:
    results = tmp_path / "results"
    shutil.copytree(finished / "results", results)
    arguments = [finished / "audit.toml", "--out", results]
    died = subprocess.run(
        [sys.executable, "-c", KILLED_WHILE_MERGING, str(step), *map(str, arguments), "--no-report"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert content(results) == content(finished / "results")
    assert verify(Store(str(results))) == []
    again = sweep(*arguments)
    assert again.returncode == 0, again.stderr
    assert "21 of 21 cells finished" in again.stderr
    assert len(Store(str(results)).keys("runs")) == 1
    assert content(results) == content(finished / "results")


def test_merged_cells_resume_and_can_be_computed_again(finished: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    shutil.copytree(finished / "results", results)
    store = Store(str(results))
    assert store.compact() > 60
    arguments = [finished / "audit.toml", "--out", results]
    again = sweep(*arguments, "--only", "method=finetune", "--rerun", "all")
    assert again.returncode == 0, again.stderr
    assert len(list((results / "cells").glob("*.arrow"))) >= 6
    assert content(results) == content(finished / "results")
    store.delete("metrics", sorted(store.keys("metrics"))[0])
    again = sweep(*arguments)
    assert again.returncode == 0, again.stderr
    assert content(results) == content(finished / "results")


def test_a_merge_that_cannot_be_written_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(str(tmp_path))
    for k in range(SMALL_FILES):
        store.write("metrics", f"k{k}", [ROW | {"value": 0.0}])

    def full(path: str, data: bytes | pa.Buffer) -> None:
        raise CannotWrite("results: cannot write there: No space left on device")

    monkeypatch.setattr(store.files, "write", full)
    notes: list[str] = []
    tidy(store, "r", lambda event: notes.append(event.name), threading.Event())
    full_disk = "results: cannot write there: No space left on device"
    assert notes == [f"what there is is not listed: {full_disk}", f"small files are not merged: {full_disk}"]
    notes.clear()
    monkeypatch.undo()
    interrupted = threading.Event()
    interrupted.set()
    tidy(store, "r", lambda event: notes.append(event.name), interrupted)
    assert notes == []
    tidy(store, "r", lambda event: notes.append(event.name), threading.Event())
    assert notes == [f"merged {SMALL_FILES} small files"]
    assert len(Store(str(tmp_path)).keys("metrics")) == SMALL_FILES
