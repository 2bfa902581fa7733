"""Configurations and lists of whomever are bounded in length and depth before they are parsed."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.config.settings import parse_assignment
from orchestrator.config.toml_files import LONGEST, read_toml
from tasks.errors import AuditError
from tasks.forget_sets import request_files
from tasks.forget_sets.listed import Listed
from tests.tasks.forget_sets.test_forget_sets_drawn import REQUEST


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x = " + "[" * 100_000, "recursion"),
        ("x = " + "{a=" * 2000 + "1" + "}" * 2000, "recursion"),
        ("x = " + "9" * 10_000, "4300 digits"),
        ("#" * (LONGEST + 1), "at most 1048576 bytes"),
    ],
    ids=["arrays", "tables", "digits", "length"],
)
def test_a_configuration_is_bounded(text: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(AuditError, match=rf"a\.toml: .*{reason}") as caught:
        read_toml(str(tmp_path / "a.toml"))
    assert len(str(caught.value)) < 400


def test_a_configuration_may_come_from_windows(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes("\ufeffname = 'Prüfung'\r\n[data]\r\n".encode())
    assert read_toml(str(tmp_path / "a.toml")) == {"name": "Prüfung", "data": {}}


def test_an_assignment_is_bounded() -> None:
    with pytest.raises(AuditError, match="--set: x: nested too deeply"):
        parse_assignment("x=" + "[" * 100_000)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.csv", "example_id\n1".encode("utf-32-le"), "expected text in UTF-8, UTF-16"),
        ("a.csv", b"example_id\n" + b"9" * 200_000, "field larger than field limit"),
        ("a.txt", b"9" * 5000, "line 1: expected an example id"),
        ("a.txt", b"99999999999999999999", "line 1: expected an example id"),
        ("a.txt", "\N{ARABIC-INDIC DIGIT ONE}".encode(), "line 1: expected an example id"),
        ("a.csv", b"example_id\n1\0\n", "expected text in UTF-8"),
        ("a.csv", b",".join(b"c%d" % n for n in range(10_000)), "no column 'example_id'"),
        ("a.txt", b"1\n" * 60, "a list of at most 100 bytes, got 120"),
    ],
)
def test_a_list_is_bounded(name: str, content: bytes, reason: str, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / name).write_bytes(content)
    if "at most" in reason:
        monkeypatch.setattr(request_files, "_LARGEST", 100)
    with pytest.raises(AuditError, match=reason) as caught:
        Listed(path=str(tmp_path / name)).select(REQUEST)
    assert len(str(caught.value)) < 500
