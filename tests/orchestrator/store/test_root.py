"""Where results lie: names that a shell leaves as they are, that Arrow reads as something else, and that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.results.connection import Results
from orchestrator.store.root import files_at
from orchestrator.store.store import Store
from tasks.errors import AuditError
from tests.support.audited import write_cell, write_run


@pytest.mark.parametrize(
    ("root", "lies_at"),
    [
        ("~/deep/x", "deep/x"),
        ("a:b/x", "a:b/x"),
        ("run:1", "run:1"),
        ("~x", "~x"),
        ("é ü", "é ü"),
        ("$HOME", "$HOME"),
    ],
)
def test_any_name_of_a_directory_is_written_merged_and_read(
    root: str, lies_at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arrow takes ~ for the home directory, where the system does not, and a:b for a URI."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    store = Store(root)
    write_run(store)
    cells = {write_cell(store, method) for method in ("retrain", "finetune")}
    assert (tmp_path / lies_at / "cells").is_dir()
    assert store.compact(at_least=2)
    assert store.keys("cells") == cells
    with Results(root) as results:
        assert set(results.sql("select cell_id from cells")["cell_id"].to_pylist()) == cells
    assert [path.name for path in tmp_path.iterdir()] == [lies_at.partition("/")[0]]


@pytest.mark.parametrize(
    ("root", "told"),
    [
        ("a" * 300, "results: 'aaa.*': File name too long; expected another directory"),
        ("loop", "results: 'loop': Too many levels of symbolic links; expected another directory"),
        ("loop/x", "results: 'loop/x': Too many levels"),
        ("a\0b", r"results: expected a path without NUL, got 'a.x00b'"),
        ("s3:/bucket/x", "results: expected a directory, or a URI with two slashes, got 's3:/bucket/x'"),
        ("s3://", "results: expected a bucket or a folder behind 's3://', got none"),
    ],
    ids=["long", "loop", "below a loop", "NUL", "one slash", "no bucket"],
)
def test_what_can_be_no_directory_is_refused(
    root: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(AuditError, match=told):
        files_at(root)
    assert [path.name for path in tmp_path.iterdir()] == ["loop"]
