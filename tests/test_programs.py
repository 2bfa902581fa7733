"""The default tests need no program but those that `conftest` names."""

import subprocess
import sys
from pathlib import Path

import pytest

OTHER = "uniq"
"""Of coreutils, so every machine has it; no test starts it."""


@pytest.mark.parametrize(
    "command",
    [
        pytest.param([sys.executable, "-c", f"import subprocess; subprocess.run(['{OTHER}'])"], id="python"),
        pytest.param(["bash", "-c", OTHER], id="bash"),
    ],
)
def test_another_program_of_the_machine_cannot_be_started(command, programs):
    if programs is None:
        pytest.skip("slow tests, which may need more programs, run too")
    if (Path(sys.executable).parent / OTHER).exists():
        pytest.skip("the environment of the tests is the machine's own")
    ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert ran.returncode != 0
    assert OTHER in ran.stderr
