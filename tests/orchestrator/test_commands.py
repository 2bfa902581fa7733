"""`python -m orchestrator`: the commands, a line each; and what `import orchestrator` loads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator import __main__ as listing
from tasks.errors import AuditError
from tests.orchestrator.test_command_line import COMMANDS

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "ray", "vl_convert", "timm", "duckdb", "pyarrow", "numpy"}


def python(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_every_command_has_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert listing.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    told = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines if line.startswith("  ")}
    assert {*COMMANDS} <= told.keys() == listing.commands().keys()
    assert told["sweep"] == "Plan an audit, run what is missing, and show what came out."
    assert all(text[0].isupper() and text.endswith(".") for text in told.values())
    assert max(map(len, lines)) <= 120


def test_the_program_lists_without_loading_anything_heavy() -> None:
    shown = python("-X", "importtime", "-m", "orchestrator")
    assert shown.returncode == 0
    assert "  sweep " in shown.stdout
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in shown.stderr.splitlines()}
    assert not loaded & HEAVY


def test_an_unknown_command_is_one_line() -> None:
    ran = python("-m", "orchestrator", "swep")
    assert (ran.returncode, ran.stdout) == (2, "")
    (line,) = ran.stderr.splitlines()
    assert line.startswith("error: no command 'swep'. Did you mean 'sweep'? Valid: certificate, ")


def test_a_command_is_not_a_word_of_another() -> None:
    with pytest.raises(AuditError, match=r"expected python -m orchestrator\.query, got"):
        listing.main(["query", "leaderboard"])


def test_the_package_is_light_until_run_is_asked_for() -> None:
    program = (
        "import sys, orchestrator\n"
        f"assert not set(sys.modules) & {HEAVY!r}\n"
        "from orchestrator import run\n"
        "assert callable(run) and not set(sys.modules) & {'torch', 'ray', 'timm', 'vl_convert'}\n"
        "try:\n"
        "    orchestrator.walk\n"
        "except AttributeError as error:\n"
        "    print(error)\n"
    )
    shown = python("-c", program)
    assert shown.stdout == "module 'orchestrator' has no attribute 'walk'\n", shown.stderr
