"""Files for a user are whole or not there: what a full disk stops leaves the older file, or none."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from orchestrator.plan.score_file import write_scores
from orchestrator.report.write import write_page
from orchestrator.results.answer import write
from orchestrator.store.whole_file import whole_file
from tasks.errors import AuditError

LONG = 1 << 16
NUMBERS = np.random.default_rng(0).random(LONG)
WRITERS: dict[str, Callable[[Path], object]] = {
    "answer.csv": lambda path: write(pa.table({"a": NUMBERS}), "csv", path),
    "report.html": lambda path: write_page(path, "x" * LONG, flag="--output"),
    "scores.npz": lambda path: write_scores(path, {"memorisation": NUMBERS}, {}),
}


@pytest.fixture
def full_disk():
    """No file of this process grows beyond some bytes: a write fails in its middle, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("older", [True, False])
def test_a_full_disk_leaves_the_older_file_or_none(tmp_path: Path, name: str, older: bool, full_disk) -> None:
    path = tmp_path / name
    if older:
        path.write_text("older")
    with pytest.raises(AuditError, match=f"--output: cannot write .*{name}: File too large"):
        WRITERS[name](path)
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == ({name: "older"} if older else {})


@pytest.mark.parametrize("name", WRITERS)
def test_a_new_file_is_its_owners_and_one_that_is_replaced_hands_on_its_mode(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    WRITERS[name](path)
    assert path.stat().st_mode & 0o777 == 0o600
    written = path.read_bytes()
    path.write_text("older")
    path.chmod(0o644)
    WRITERS[name](path)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (written, 0o644)


def test_links_and_pipes_are_written_through(tmp_path: Path) -> None:
    target, link, pipe = tmp_path / "target", tmp_path / "link", tmp_path / "pipe"
    target.write_text("older")
    link.symlink_to(target)
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    for path in (link, pipe):
        with whole_file(path) as sink:
            sink.write(b"new")
    assert (link.is_symlink(), target.read_text(), os.read(reader, 9)) == (True, "new", b"new")
    os.close(reader)
