"""Small sweeps for the tests: one TOML text, and runs of it in this process."""

import json
import os
import subprocess
import sys
from pathlib import Path

from orchestrator import sweep as sweep_command
from orchestrator.store.store import Store
from tests.support.commands import ROOT, here, started
from tests.support.grains import MEASURED

TABLES = ("cells", "metrics", "layers", "examples", "models", "forget_sets")
TINY = """
name = "tiny"
[data]
name = "synthetic"
options = { num_train = 120, num_test = 40, num_classes = 3, channels = 1, height = 8, width = 8, seed = 1 }
[axes]
architecture = ["net"]
method = ["finetune", "gradient_ascent"]
scope = ["all", "head"]
attack = ["none", "fgsm", "population"]
forget_set = ["random:fraction=0.2"]
seed = [0]
[training]
epochs = 2
batch_size = 32
[evaluation]
bootstrap = 20
[architectures.net]
timm = "resnet18"
options = { layers = [1, 1, 1, 1], channels = [4, 4, 4, 4] }
[methods.finetune]
epochs = 1
[methods.gradient_ascent]
epochs = 1
[attacks.fgsm]
eps = [0.05]
[execution]
backend = "inline"
device = "cpu"
"""
BAD_METHODS = """
import ctypes, dataclasses, os, signal, sys, time
from tasks.unlearn.base import Method, register

def _method(name, act):
    @register(name)
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Bad(Method):
        def __call__(self, run):
            act()
    Bad.__name__ = name
    return Bad

def _raises():
    raise RuntimeError("the plug-in's own words")
"""
"""How a plug-in of methods that misbehave begins; it then names them with `_method`."""


def write_config(folder: Path, text: str = TINY, **changes: str) -> Path:
    """Write the tiny sweep, each `old` replaced by its `new`, and return its path."""
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    path = folder / "audit.toml"
    path.write_text(text)
    return path


SYNTHETIC_DATA = TINY.split("[data]\n")[1].split("[axes]")[0]
"""What the tiny sweep says of its data."""


def changed(replacements: dict[str, str]) -> str:
    """The tiny sweep with pieces of its text replaced; each must occur."""
    text = TINY
    for old, new in replacements.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


def sweep(*arguments: object, report: bool = False) -> subprocess.CompletedProcess[str]:
    """Run a sweep to its end in this process; the report, which takes longer, is left out unless asked for."""
    return here(sweep_command.main, *arguments, *([] if report else ["--no-report"]))


def words_of_sweep(config: Path, results: Path) -> list[str]:
    """The words of a sweep without a report, for tests that start and end its process themselves."""
    return [sys.executable, "-m", "orchestrator.sweep", str(config), "--out", str(results), "--no-report"]


def started_sweep(
    *arguments: object, report: bool = False, timeout: float = 240, **environment: str
) -> subprocess.CompletedProcess[str]:
    """The same in a process of its own, with more variables in its environment."""
    words = [*arguments, *([] if report else ["--no-report"])]
    return started("orchestrator.sweep", *words, timeout=timeout, **environment)


SEVERAL = """
import json, sys
from orchestrator.errors import run_command
from orchestrator.sweep import main
codes = [run_command(lambda: main(words)) for words in json.loads(sys.argv[1])]
print("exit codes", *codes, file=sys.stderr)
"""


def started_sweeps(
    *words: list[str], timeout: float = 240, **environment: str
) -> tuple[list[int], subprocess.CompletedProcess[str]]:
    """Several sweeps without a report one after the other in one new process, which takes long to start.

    Returns their exit codes, and what they said in all.
    """
    asked = json.dumps([[*each, "--no-report"] for each in words])
    ran = subprocess.run(
        [sys.executable, "-c", SEVERAL, asked],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, **environment},
    )
    told, _, codes = ran.stderr.rpartition("exit codes")
    assert ran.returncode == 0, told or codes
    return [int(code) for code in codes.split()], ran


def content(folder: Path) -> dict[str, list[str]]:
    """Every row of every table as text, without what may differ between two runs."""
    found = {}
    for table in TABLES:
        rows = Store(str(folder)).read(table).to_pylist()
        kept = [json.dumps({k: v for k, v in r.items() if k not in MEASURED}, default=str) for r in rows]
        found[table] = sorted(kept)
        assert len(set(kept)) == len(kept), f"{table}: a row occurs twice"
    return found
