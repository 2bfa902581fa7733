"""An export is the old one or the new one, whatever happens to whoever writes it."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.purge import main as purge
from orchestrator.query import main as query
from orchestrator.results import replaced
from orchestrator.results.connection import Results
from orchestrator.store.store import Store
from orchestrator.store.unfinished import directory_beside
from tasks.errors import AuditError

ROOT = Path(__file__).parents[3]
KILLS = 5
EXPORTS_FOR_EVER = """
import sys
from pathlib import Path
from orchestrator.results.connection import Results
sessions = [Results(root) for root in sys.argv[2:]]
while True:
    for session in sessions:
        session.export(Path(sys.argv[1]))
    print("both", flush=True)
"""


def results(root: Path, *, rows: int) -> Results:
    store = Store(str(root))
    store.check_ready()
    metric = {"metric": "auc", "split": "all", "variant": "", "n": 1, "higher_is": "worse"}
    store.write("metrics", "k", [metric | {"value": i / rows} for i in range(rows)])
    store.write("examples", "c", [{"example_id": i, "split": "test"} for i in range(rows)], attack="none")
    return Results(store.root)


def content(directory: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in directory.iterdir()}


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Results, Results]]:
    with results(tmp_path / "a", rows=50) as first, results(tmp_path / "b", rows=70) as second:
        yield first, second


def test_a_kill_leaves_the_old_or_the_new(pair: tuple[Results, Results], tmp_path: Path) -> None:
    whole = []
    for session, name in zip(pair, "ab", strict=True):
        session.export(tmp_path / "whole" / name)
        whole.append(content(tmp_path / "whole" / name))
    assert whole[0] != whole[1]
    target, moments = tmp_path / "at" / "export", random.Random(0)
    for _ in range(KILLS):
        command = [sys.executable, "-c", EXPORTS_FOR_EVER, str(target), *(s.store.root for s in pair)]
        writer = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, env=os.environ)
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"both\n"
        time.sleep(moments.uniform(0, 0.3))
        writer.kill()
        writer.communicate()
        assert content(target) in whole
    pair[0].export(target)
    assert content(target) == whole[0]
    assert [path.name for path in target.parent.iterdir()] == ["export"]


def test_what_a_killed_export_left_in_results_is_named_and_removed(
    pair: tuple[Results, Results], capsys: pytest.CaptureFixture[str]
) -> None:
    root = pair[0].store.root
    torn = Path(root, ".export.partial-0123abcd")
    torn.mkdir()
    (torn / "examples.parquet").write_bytes(b"x" * 2_000_000)
    assert query(["--verify", "--results", root]) == 0
    assert "1 unfinished files of killed writers, 2.0 MB: --repair removes them" in capsys.readouterr().err
    with directory_beside(Path(root, "export")) as living:
        (living / "examples.parquet").write_bytes(b"x")
        purge([root, "--yes"])
        assert not torn.exists()
        assert living.exists()


@pytest.mark.parametrize("swaps", [True, False])
def test_an_earlier_export_goes_as_a_whole(
    pair: tuple[Results, Results], tmp_path: Path, swaps: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not swaps:  # a system that cannot exchange two directories
        monkeypatch.setattr(replaced, "EXCHANGE", 1 << 20)
    target = tmp_path / "at" / "export"
    pair[0].export(target)
    (target / "gone.parquet").write_bytes(b"of an earlier version")
    target.chmod(0o700)
    written = pair[1].export(target)
    assert sorted(written) == sorted(target.iterdir())
    assert target.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in target.parent.iterdir()] == ["export"]


def test_an_error_in_the_middle_keeps_the_old(
    pair: tuple[Results, Results], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "at" / "export"
    pair[0].export(target)
    before, real = content(target), pair[1].store.dataset

    def full(table: str) -> Any:
        if table == "layers":
            raise OSError(28, "No space left on device")
        return real(table)

    monkeypatch.setattr(pair[1].store, "dataset", full)
    with pytest.raises(AuditError, match=r"export: cannot write .*: No space left on device"):
        pair[1].export(target)
    assert content(target) == before
    assert [path.name for path in target.parent.iterdir()] == ["export"]


def test_a_link_leads_to_the_new_export(pair: tuple[Results, Results], tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    link = tmp_path / "link"
    link.symlink_to("disk")
    pair[0].export(link)
    assert link.is_symlink()
    assert (tmp_path / "disk" / "metrics.parquet").is_file()


@pytest.mark.parametrize("name", ["notes.txt", "mine.parquet", ".git"])
def test_what_is_no_export_is_not_replaced(pair: tuple[Results, Results], tmp_path: Path, name: str) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / name).write_text("mine")
    with pytest.raises(AuditError, match=rf"holds '{name}': expected a new or empty directory"):
        pair[0].export(tmp_path / "mine")
    assert (tmp_path / "mine" / name).read_text() == "mine"


def test_a_file_in_its_place_is_one_line(pair: tuple[Results, Results], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(AuditError, match=r"export: cannot write .*: Not a directory"):
        pair[0].export(tmp_path / "file")
