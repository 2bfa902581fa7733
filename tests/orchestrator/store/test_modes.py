"""Results and what is made of them are private whatever the umask, and open to the group where that is asked for."""

from __future__ import annotations

import ast
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.audit.api import run
from orchestrator.certificate import main as certificate
from orchestrator.plan.score_file import write_scores
from orchestrator.query import main as query
from orchestrator.report.__main__ import main as report
from orchestrator.report.write import write_page
from orchestrator.store.modes import create, make_directories
from orchestrator.store.store import Store
from orchestrator.store.verify import repair
from orchestrator.sweep import main as sweep
from tasks.errors import AuditError
from tests.support.sweeps import write_config

ROOT = Path(__file__).parents[3]
WRITERS = {
    "write_text",
    "write_bytes",
    "mkdir",
    "makedirs",
    "savefig",
    "copyfile",
    "open_memmap",
    "to_csv",
    "to_parquet",
}
ALLOWED = {
    ("orchestrator/store/modes.py", "mkdir"),
    ("orchestrator/backends/on_ray/scratch.py", "mkdir"),  # 0700
    ("orchestrator/errors.py", "open"),  # the null device
    ("orchestrator/outputs/files.py", "open"),  # to read
    ("orchestrator/outputs/parquet.py", "open_memmap"),  # in a directory of `tempfile`: 0700
    ("tasks/datasets/arrays.py", "open_memmap"),  # to read
    ("tasks/unlearn/parts/program_files.py", "write_bytes"),  # in a directory of `tempfile`: 0700
    ("tasks/unlearn/parts/program_files.py", "write_text"),
    ("orchestrator/report/drawing.py", "savefig"),  # into what `create` opened, and into memory
    ("tasks/datasets/images.py", "mkdir"),  # 0700
    ("tasks/datasets/images.py", "open_memmap"),  # over a file of mkstemp: 0600
    ("tasks/runtime/costs.py", "write_text"),  # in /proc
}


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes(root: Path) -> dict[str, int]:
    """Mode of everything below a directory, and its own under an empty name."""
    found = {"": root, **{path.relative_to(root).as_posix(): path for path in root.rglob("*")}}
    return {name: stat.S_IMODE(path.lstat().st_mode) for name, path in found.items()}


def others(root: Path, *, file: int = 0o600, directory: int = 0o700) -> dict[str, str]:
    """What is not as open as that."""
    found = modes(root)
    expected = {name: directory if (root / name).is_dir() else file for name in found}
    return {name: oct(mode) for name, mode in found.items() if mode != expected[name]}


def fill(store: Store) -> None:
    """A file of each kind: rows, compacted rows, a blob, a damaged file set aside."""
    store.check_ready()
    for key in ("a", "b"):
        store.write(
            "metrics",
            key,
            [{"metric": "m", "split": "s", "variant": "", "value": 0.0, "n": 1, "higher_is": "-"}],
        )
    store.write("examples", "a", [{"example_id": 1, "split": "forget"}], attack="none")
    store.compact()
    store.write("metrics", "c", [])
    store.put_blob("weights", "w", b"torn")
    repair(store)


def test_everything_in_the_results_is_private_whatever_the_umask(umask: int, tmp_path: Path) -> None:
    fill(Store(str(tmp_path / "new" / "results")))
    assert (tmp_path / "new" / "results" / "_damaged" / "weights" / "w.safetensors").is_file()
    assert others(tmp_path / "new") == {}


def test_the_group_reads_everything_where_that_is_asked_for(umask: int, tmp_path: Path) -> None:
    store = Store(str(tmp_path / "new" / "results"))
    store.check_ready("group")
    fill(Store(store.root))  # as another process does, which knows it from the files
    assert others(tmp_path / "new", file=0o640, directory=0o750) == {}


def test_another_flag_changes_what_is_there_and_loses_nothing(tmp_path: Path) -> None:
    store, root = Store(str(tmp_path / "results")), tmp_path / "results"
    fill(store)
    rows = {name: store.read(name).to_pylist() for name in ("metrics", "examples")}
    for share, file, directory in (("group", 0o640, 0o750), (None, 0o640, 0o750), ("nobody", 0o600, 0o700)):
        Store(str(root)).check_ready(share)
        Store(str(root)).write("metrics", f"later-{share}", [])
        assert others(root, file=file, directory=directory) == {}
        assert {name: store.read(name).to_pylist() for name in rows} == rows


def test_what_is_not_ours_keeps_its_modes_and_is_told(tmp_path: Path) -> None:
    root = tmp_path / "results"
    root.mkdir(mode=0o755)
    root.chmod(0o2755)
    (root / "notes.txt").touch(0o644)
    (root / "cells").symlink_to(tmp_path)
    tmp_path.chmod(0o755)
    store = Store(str(root))
    store.check_ready()
    assert "has mode 0755, as it was found" in store.files.open_root()
    assert stat.S_IMODE(root.stat().st_mode) == 0o2755
    store.check_ready("group")
    assert store.files.open_root() == ""
    assert {name: oct(mode) for name, mode in modes(root).items()} == {
        "": "0o2750",
        "notes.txt": "0o644",
        "store.json": "0o640",
        "cells": oct(stat.S_IMODE((root / "cells").lstat().st_mode)),
    }
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_a_root_that_is_a_link_is_opened_where_it_leads(umask: int, tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir(mode=0o700)
    (tmp_path / "results").symlink_to(real)
    store = Store(str(tmp_path / "results"))
    store.check_ready("group")
    fill(store)
    assert others(real, file=0o640, directory=0o750) == {}
    store.check_ready("nobody")
    assert others(real) == {}


@pytest.mark.parametrize("share", ["group", "nobody"])
@pytest.mark.parametrize("damage", [Path.unlink, lambda marker: marker.write_bytes(b"torn")])
def test_a_repaired_marker_is_as_open_as_the_results_are(umask: int, tmp_path: Path, share, damage) -> None:
    store = Store(str(tmp_path / "results"))
    store.check_ready(share)
    fill(store)
    store.write("plans", "r", [{"cell_id": "c"}])
    damage(tmp_path / "results" / "store.json")
    repair(store)
    store.write("metrics", "later", [])
    file, directory = (0o640, 0o750) if share == "group" else (0o600, 0o700)
    assert others(tmp_path / "results", file=file, directory=directory) == {}


def test_an_object_store_has_no_modes(tmp_path: Path) -> None:
    from pyarrow.fs import LocalFileSystem

    from orchestrator.store.remote_files import RemoteFiles

    remote = RemoteFiles(LocalFileSystem(), str(tmp_path), "s3://bucket/audit")
    with pytest.raises(AuditError, match="--share: s3://bucket/audit has no file modes"):
        remote.share("nobody", [])


def test_a_file_that_is_there_keeps_its_mode(umask: int, tmp_path: Path) -> None:
    path = tmp_path / "answer.csv"
    path.touch()
    path.chmod(0o644)
    with create(path) as sink:
        sink.write(b"1")
    assert (stat.S_IMODE(path.stat().st_mode), path.read_bytes()) == (0o644, b"1")
    make_directories(tmp_path / "a" / "b")
    assert others(tmp_path / "a") == {}


def test_answers_and_exports_are_private(umask: int, tmp_path: Path) -> None:
    fill(Store(str(tmp_path / "results")))
    words = ["--results", str(tmp_path / "results")]
    assert query(["select 1 as one", *words, "--output", str(tmp_path / "answer.csv")]) == 0
    assert query(["--export", str(tmp_path / "export"), *words]) == 0
    write_page(tmp_path / "page.html", "page", flag="--output")
    write_scores(tmp_path / "risk.npz", {}, {})
    assert modes(tmp_path).keys() >= {"answer.csv", "export/cells.parquet", "export/views.sql"}
    tmp_path.chmod(0o700)
    assert others(tmp_path) == {}


@pytest.mark.slow
def test_a_sweep_and_all_that_is_made_of_its_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = os.umask(0o000)
    try:
        assert (
            sweep(
                [str(write_config(tmp_path)), "--out", "made/results", "--only", "scope=all,method=finetune"]
            )
            == 0
        )
        assert report(["made/results", "--output", "made/page.html", "--figures", "made/figures"]) == 0
        words = [
            "--forget-set",
            "random:fraction=0.2",
            "--method",
            "finetune",
            "--output",
            "made/certificate.html",
        ]
        assert certificate(["made/results", *words]) in (0, 3, 4)
        assert query(["leaderboard", "--results", "made/results", "--output", "made/answer.csv"]) == 0
        assert query(["--export", "made/export", "--results", "made/results"]) == 0
    finally:
        os.umask(before)
    names = modes(tmp_path / "made")
    assert names.keys() >= {
        "results/report.html",
        "page.html",
        "certificate.html",
        "answer.csv",
        "export/cells.parquet",
    }
    assert any(name.endswith(".pdf") for name in names)
    assert others(tmp_path / "made") == {}


def test_the_flag_is_checked(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match="share: no value 'everybody'"):
        run("quick", out=tmp_path / "results", share="everybody")  # type: ignore[arg-type]


def test_no_module_writes_in_another_way() -> None:
    """Whoever writes a file or makes a directory does it through `orchestrator.store.modes`, or says here why not."""
    found = set()
    for folder in ("orchestrator", "tasks"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call):
                    name = (
                        node.func.attr
                        if isinstance(node.func, ast.Attribute)
                        else getattr(node.func, "id", "")
                    )
                    modes_given = [
                        a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)
                    ]
                    opens = name == "open" and any(set("wax+") & set(m) and len(m) < 4 for m in modes_given)
                    if name in WRITERS or opens:
                        found.add((path.relative_to(ROOT).as_posix(), name))
    assert found <= ALLOWED | {("orchestrator/store/modes.py", "open")}
