"""A program that a stage runs: handed over as it is, ended with its whole group, and gone without a trace."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tasks.runtime.program import LINE_LENGTH, TAIL_LINES, ProgramFailed, cleaned, supervised
from tasks.runtime.time_limit import TimeLimit, time_limit

ROOT = Path(__file__).parents[3]
FAST = [sys.executable, "-I", "-S", "-c"]
ON_LINUX = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to tell who lives")
OF_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only the group is ended")
WITH_A_CHILD = """
import subprocess, sys, time, os
child = subprocess.Popen(
    [sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"], start_new_session={apart}
)
open({mark!r}, "w").write(f"{{os.getpid()}} {{child.pid}}")
{then}
"""
OWNER = """
import sys
from tasks.runtime.program import cleaned, supervised
with supervised() as place:
    print(place.folder, flush=True)
    place.run([sys.executable, "-I", "-S", "-c", sys.argv[1]], environment=cleaned(1), most_bytes=1 << 30)
"""


def run(code: str, *arguments: str, most_bytes: int = 1 << 30, threads: int = 1) -> Path:
    """Run a line of Python to its end; returns its folder, which is gone."""
    with supervised() as place:
        place.run([*FAST, code, *arguments], environment=cleaned(threads), most_bytes=most_bytes)
    return place.folder


def eventually(holds: Callable[[], bool]) -> bool:
    end = time.monotonic() + 20
    while not holds() and time.monotonic() < end:
        time.sleep(0.02)
    return holds()


def lives(process: int) -> bool:
    """Whether it runs: one that has ended and that nobody has asked for does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def processes(mark: Path) -> list[int]:
    assert eventually(lambda: mark.exists() and len(mark.read_text().split()) == 2)
    return [int(word) for word in mark.read_text().split()]


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[Path]:
    """A file for the ids of a program and its child, neither of which outlives the test."""
    path = tmp_path / "processes"
    yield path
    for process in map(int, path.read_text().split()):
        if lives(process):
            os.kill(process, signal.SIGKILL)


def test_arguments_reach_the_program_as_they_are_and_no_file_stays(tmp_path: Path) -> None:
    words = ["two words", "$HOME; touch escaped", "", "é\x1b", '{"a": 1}']
    folder = run(
        "import json, os, sys; open(sys.argv[1], 'w').write(json.dumps([sys.argv[2:], os.getcwd(), "
        "os.environ['TMPDIR'], sys.stdin.read()])); open('left', 'w')",
        str(tmp_path / "told"),
        *words,
    )
    told = json.loads((tmp_path / "told").read_text())
    assert told == [words, os.path.realpath(folder), str(folder), ""]
    assert not folder.exists()


def test_variables_that_change_numbers_do_not_reach_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RANK", "ACCELERATE_MIXED_PRECISION", "MKL_CBWR", "OMP_NUM_THREADS", "PYTHONHASHSEED"):
        monkeypatch.setenv(name, "7")
    monkeypatch.setenv("MINE", "kept")
    run(
        "import json, os, sys; json.dump(dict(os.environ), open(sys.argv[1], 'w'))",
        str(tmp_path / "told"),
        threads=3,
    )
    told = json.loads((tmp_path / "told").read_text())
    assert not told.keys() & {"RANK", "ACCELERATE_MIXED_PRECISION", "MKL_CBWR"}
    expected = {"OMP_NUM_THREADS": "3", "OPENBLAS_NUM_THREADS": "3", "PYTHONHASHSEED": "0", "MINE": "kept"}
    assert expected.items() <= told.items()


def test_an_exit_code_comes_with_the_last_lines_of_stderr_made_harmless() -> None:
    code = r"import sys; [sys.stderr.write(f'line {i}\n') for i in range(99)]; sys.exit('\x1b[2Jwiped\r' + 'x' * 999)"
    with pytest.raises(
        ProgramFailed, match="the program ended with exit code 1; its last words: line 96"
    ) as caught:
        run(code)
    assert r" | \x1b[2Jwiped | xxx" in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < TAIL_LINES * (LINE_LENGTH + 10)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import os; os.abort()", f"was ended by signal {int(signal.SIGABRT)}; it wrote nothing to stderr"),
        ("raise SystemExit(3)", "ended with exit code 3; it wrote nothing to stderr"),
    ],
)
def test_a_program_that_ends_badly_says_how(code: str, told: str) -> None:
    with pytest.raises(ProgramFailed, match=told):
        run(code)


def test_what_cannot_be_started_says_why(tmp_path: Path) -> None:
    (tmp_path / "no_program").write_text("nothing of the kind")
    (tmp_path / "no_program").chmod(0o755)
    with (
        supervised() as place,
        pytest.raises(ProgramFailed, match=r"could not be started: .*Exec format error"),
    ):
        place.run([str(tmp_path / "no_program")], environment=cleaned(1), most_bytes=1 << 20)


def test_a_program_that_fills_the_disk_is_ended() -> None:
    code = (
        "import time\nf = open('big', 'wb')\nwhile True: f.write(bytes(1 << 20)); f.flush(); time.sleep(0.01)"
    )
    with pytest.raises(ProgramFailed, match=r"filled its folder with .* bytes, expected at most 8,388,608"):
        run(code, most_bytes=8 << 20)


@ON_LINUX
@pytest.mark.parametrize("apart", [False, pytest.param(True, marks=OF_LINUX)])
def test_what_a_program_leaves_running_ends_with_it(apart: bool, mark: Path) -> None:
    with supervised() as place:
        code = WITH_A_CHILD.format(mark=str(mark), apart=apart, then="")
        place.run([*FAST, code], environment=cleaned(1), most_bytes=1 << 30)
        # Before its folder is looked at: nobody is to write there any more.
        assert eventually(lambda: not any(map(lives, processes(mark))))


@ON_LINUX
def test_the_time_limit_ends_the_whole_group(mark: Path) -> None:
    def unexpected(error: TimeLimit) -> None:
        raise AssertionError(error)

    code = WITH_A_CHILD.format(mark=str(mark), apart=False, then="time.sleep(600)")
    began = time.monotonic()
    with supervised() as place, pytest.raises(TimeLimit), time_limit(1.0, hung=unexpected):
        place.run([*FAST, code], environment=cleaned(1), most_bytes=1 << 30)
    assert time.monotonic() - began < 15
    assert eventually(lambda: not any(map(lives, processes(mark))))
    assert not place.folder.exists()


@ON_LINUX
@pytest.mark.parametrize("apart", [False, pytest.param(True, marks=OF_LINUX)])
def test_a_killed_owner_leaves_neither_processes_nor_files(apart: bool, mark: Path) -> None:
    code = WITH_A_CHILD.format(mark=str(mark), apart=apart, then="time.sleep(600)")
    owner = subprocess.Popen([sys.executable, "-c", OWNER, code], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert owner.stdout is not None
    folder = Path(owner.stdout.readline().strip())
    running = processes(mark)
    assert folder.is_dir()
    assert all(map(lives, running))
    owner.kill()
    owner.communicate()
    assert eventually(lambda: not any(map(lives, running)))
    assert eventually(lambda: not folder.exists())


@ON_LINUX
@OF_LINUX
def test_a_daemon_of_a_daemon_is_found_and_those_that_end_before_are_no_trouble(mark: Path) -> None:
    """A double fork leaves the group and its parent, and starts another in a session of its own."""
    code = f"""
import os, sys, time
for _ in range(3):
    if os.fork() == 0:
        if os.fork() == 0:
            time.sleep(0.05)
        os._exit(0)
time.sleep(0.2)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        below = os.fork()
        if below == 0:
            os.setsid()
            time.sleep(600)
        open({str(mark)!r}, "w").write(f"{{os.getpid()}} {{below}}")
        time.sleep(600)
    os._exit(0)
while not os.path.exists({str(mark)!r}):
    time.sleep(0.01)
sys.exit(3)
"""
    with supervised() as place, pytest.raises(ProgramFailed, match="ended with exit code 3"):
        place.run([*FAST, code], environment=cleaned(1), most_bytes=1 << 30)
    assert not any(map(lives, processes(mark)))


def signalled(number: int) -> list[str]:
    """A program that sends a signal to its supervisor, and a word to its folder if it lives on; what is left there."""
    code = f"import os, sys, time; os.kill(os.getppid(), {int(number)}); time.sleep(0.3); open('said', 'w').write('x')"
    with supervised() as place:
        place.run([*FAST, code], environment=cleaned(1), most_bytes=1 << 30)
        left = sorted(path.name for path in place.folder.iterdir())
    assert not place.folder.exists()
    return left


def test_a_signal_to_every_process_of_a_job_is_left_to_the_owner() -> None:
    assert signalled(signal.SIGTERM) == signalled(signal.SIGHUP) == ["said"]


def test_a_killed_supervisor_leaves_no_file() -> None:
    with supervised() as place:
        os.kill(place._process.pid, signal.SIGKILL)
        with pytest.raises((ProgramFailed, OSError)):
            place.run([*FAST, "pass"], environment=cleaned(1), most_bytes=1 << 30)
    assert not place.folder.exists()
