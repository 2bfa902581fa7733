"""A page that follows a sweep: rewritten while cells come in, whole at any time, and at rest in the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestrator.report.__main__ import main
from orchestrator.report.watch import replace_page, watch
from orchestrator.store.store import Store
from tasks.errors import AuditError
from tests.support.audited import write_cell, write_run

ROOT = Path(__file__).parents[3]
REFRESH = '<meta http-equiv="refresh" content="7">'


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path / "made"))
    write_run(store, cells=2)
    return store


def test_the_page_follows_and_comes_to_rest(store: Store, tmp_path: Path, monkeypatch, capsys) -> None:
    """Two cells come in one by one, between them nothing: three pages, the last of which does not refresh."""
    made: list[int | None] = []
    cells = iter([None, "finetune", None, "scrub"])

    def make(refresh: int | None) -> str:
        made.append(refresh)
        return f"page {len(made)}"

    def sleep(seconds: float) -> None:
        assert seconds == 7
        assert list(tmp_path.glob(".page*")) == []  # nothing half-written is left
        if (method := next(cells)) is not None:
            write_cell(store, method)

    monkeypatch.setattr("time.sleep", sleep)
    assert watch(make, store.root, None, output=tmp_path / "page.html", every=7) == 0
    assert made == [7, 7, None]
    assert (tmp_path / "page.html").read_text() == "page 3"
    told = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1].split(" cells")[0] for line in told] == ["0 of 2", "1 of 2", "2 of 2"]


def test_a_failed_cell_is_told_by_the_exit_code(store: Store, tmp_path: Path) -> None:
    for method in ("finetune", "scrub"):
        write_cell(store, method, status="failed", error_type="Diverged", error="loss is nan")
    assert watch(lambda _: "", store.root, None, output=tmp_path / "page.html", every=7) == 1


def test_an_interrupt_leaves_a_page_at_rest(store: Store, tmp_path: Path) -> None:
    words = [store.root, "--watch", "--every", "7", "--output", str(tmp_path / "page.html")]
    command = [sys.executable, "-m", "orchestrator.report", *words]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith(f"{tmp_path / 'page.html'}: 0 of 2 cells")
        assert REFRESH in (tmp_path / "page.html").read_text()
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        told = process.stderr.read()
        assert process.wait() == 130
    assert told.startswith(f"no longer watched: report in {tmp_path / 'page.html'} (0 of 2 cells")
    assert told.count("\n") == 1
    assert 'http-equiv="refresh"' not in (tmp_path / "page.html").read_text()


def test_a_page_that_is_there_keeps_its_mode_and_its_place(tmp_path: Path) -> None:
    page, link = tmp_path / "page.html", tmp_path / "link.html"
    page.write_text("old")
    page.chmod(0o640)
    link.symlink_to(page)
    replace_page(link, "new")
    assert (page.read_text(), page.stat().st_mode & 0o777, link.is_symlink()) == ("new", 0o640, True)
    with pytest.raises(AuditError, match="--output: cannot write"):
        replace_page(tmp_path / "absent" / "page.html", "new")
    assert sorted(os.listdir(tmp_path)) == ["link.html", "page.html"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--every", "5"], "--every: expected together with --watch"),
        (["--watch", "--every", "0"], "--every: expected 1 or more, got 0"),
        (["--watch", "--figures", "figures"], "--figures: expected without --watch"),
        (["--watch"], "no directory 'absent'"),
    ],
)
def test_bad_flags_are_one_line(flags: list[str], message: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AuditError, match=message):
        main(["absent", *flags])
