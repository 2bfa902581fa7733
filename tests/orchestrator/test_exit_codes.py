from __future__ import annotations

import errno
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.errors import Exit, one_line, run_command
from tasks.errors import AuditError

ROOT = Path(__file__).parents[2]


def raising(error: BaseException):
    def main() -> int:
        raise error

    return main


def test_what_main_returns_is_the_exit_code() -> None:
    assert run_command(lambda: Exit.CELLS_FAILED) == 1
    assert run_command(lambda: None) == 0


def test_a_users_error_is_one_line_and_two(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(raising(AuditError("lr: expected\n  a number,\tgot 'x'"))) == 2
    assert capsys.readouterr().err == "error: lr: expected a number, got 'x'\n"


def test_an_interrupt_is_130(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(raising(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        run_command(raising(ZeroDivisionError()))


@pytest.mark.parametrize("number", [errno.ENAMETOOLONG, errno.EACCES, errno.ELOOP, errno.EROFS, errno.EIO])
def test_a_file_that_cannot_be_looked_at_is_named(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever met it, and whether or not it was thought of there."""
    assert run_command(raising(OSError(number, os.strerror(number), "a/b\nc"))) == 2
    assert capsys.readouterr().err == f"error: a/b c: {os.strerror(number)}\n"


@pytest.mark.parametrize(
    "error", [FileNotFoundError(2, "No such file", "x"), OSError(errno.EACCES, "denied"), OSError("x")]
)
def test_what_may_be_a_bug_of_files_keeps_its_traceback(error: OSError) -> None:
    with pytest.raises(OSError, match=r"\w") as caught:
        run_command(raising(error))
    assert caught.value is error


@pytest.mark.parametrize(
    "command", ["sweep", "query 1 --results", "status", "report", "certificate --forget-set a --method b"]
)
def test_a_name_that_is_too_long_is_one_line_of_every_command(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    name, *words = command.split()
    module = importlib.import_module(f"orchestrator.{name}{'.__main__' if name == 'report' else ''}")
    assert run_command(lambda: module.main([*words, "a" * 300])) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "File name too long" in line


def test_a_directory_that_was_removed_below_the_shell_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """DuckDB, which is asked for no file there, needs it too."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert run_command(lambda: 0) == 2
    assert capsys.readouterr().err == "error: the current directory is gone; cd to one that is there\n"


def test_one_line() -> None:
    assert one_line(ValueError(" a\n\n b ")) == "a b"


def test_a_closed_pipe_is_silent() -> None:
    code = (
        "import sys; from orchestrator.errors import run_command\n"
        "sys.exit(run_command(lambda: [print('x' * 1000) for _ in range(10_000)] and None))"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 141
