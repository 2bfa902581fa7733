"""Reading results runs no code that they name: plug-ins come from the user's configuration or `--plugins` alone."""

from __future__ import annotations

import ast
import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.store.store import Store
from tasks.errors import AuditError
from tasks.networks.models import build
from tests.support.shadow_sweeps import TEXT

ROOT = Path(__file__).parents[1]
PLUGIN = """
import dataclasses, os, pathlib
pathlib.Path(os.environ["MARKS"], __name__).touch()
from tasks.datasets.base import register
from tasks.datasets.synthetic import Synthetic

@register("mine")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Mine(Synthetic):
    "The synthetic images under a name of the plug-in."
"""
SMALL = {
    'attack = ["u_lira_g1", "u_lira_g2", "retain_harm"]': 'attack = ["none", "u_lira_g1"]',
    "epochs = 12": "epochs = 1",
    "[8, 8, 16, 16]": "[4, 4, 4, 4]",
    "trajectories = true\n": "",
    "batch = 8": "batch = 16",
    "grouped:8": "grouped:16",
}
SCORES = ["orchestrator.scores", "results", "--architecture", "net", "--output", "scores.npz"]
READING = {
    "query": ["orchestrator.query", "leaderboard", "--results", "results"],
    "status": ["orchestrator.status", "results"],
    "report": ["orchestrator.report", "results"],
    "certificate": [
        "orchestrator.certificate",
        "results",
        "--method",
        "finetune",
        "--forget-set",
        "random:fraction=0.3",
    ],
    "trackers": ["orchestrator.trackers", "results", "--to", "tensorboard"],
    "notebook": ["orchestrator.notebook"],
    "contents": ["orchestrator.contents", "audit.toml", "--ids", "1"],
    "scores": [*SCORES, "--kinds", "risk", "features", "--of", "confidence"],
    "plan": ["orchestrator.sweep", "audit.toml", "--out", "results", "--dry-run"],
    "resume": ["orchestrator.sweep", "audit.toml", "--out", "results", "--rerun", "failed"],
}
SLOW = {"resume", "trackers", "notebook", "contents", "status", "certificate", "plan"}
"""Left to the slow tests: none has read a configuration from results so far."""


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command in the folder, where the plug-ins can be imported."""
    paths = os.pathsep.join(map(str, (folder, ROOT)))
    marks = {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "MARKS": str(folder / "marks")}
    command = [sys.executable, "-m", *words]
    return subprocess.run(
        command, cwd=folder, env={**os.environ, **marks}, capture_output=True, text=True, timeout=240
    )


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with finished results of plain and shadow models; only to be copied."""
    folder = tmp_path_factory.mktemp("audited")
    text = TEXT
    for old, new in SMALL.items():
        assert old in text, old
        text = text.replace(old, new)
    (folder / "audit.toml").write_text(text)
    for module in ("named_by_results.py", "results/inside_results.py"):
        (folder / module).parent.mkdir(exist_ok=True)
        (folder / module).write_text(PLUGIN)
    (folder / "marks").mkdir()
    ran = run(folder, "orchestrator.sweep", "audit.toml", "--out", "results", "--no-report")
    assert ran.returncode == 0, ran.stderr
    return folder


def name_plugins(folder: Path) -> Path:
    """Let the recorded configuration of the results in a folder name both plug-ins."""
    store = Store(str(folder / "results"))
    (row,) = store.read("runs").to_pylist()
    config = json.loads(row["config_json"]) | {"plugins": ["named_by_results", "results.inside_results"]}
    store.write("runs", row["run_id"], [row | {"config_json": json.dumps(config)}])
    return folder


@pytest.fixture(scope="module")
def hostile(audited: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results that name plug-ins without need."""
    return name_plugins(
        Path(shutil.copytree(audited, tmp_path_factory.mktemp("hostile"), dirs_exist_ok=True))
    )


@pytest.fixture(scope="module")
def foreign(audited: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results on the data set of a plug-in, whose code is part of every id."""
    folder = tmp_path_factory.mktemp("foreign")
    (folder / "results").mkdir()
    (folder / "marks").mkdir()
    for module in ("named_by_results.py", "results/inside_results.py"):
        (folder / module).write_text(PLUGIN)
    text = (audited / "audit.toml").read_text().replace('name = "synthetic"', 'name = "mine"')
    (folder / "own.toml").write_text(f'plugins = ["named_by_results"]\n{text}')
    ran = run(folder, "orchestrator.sweep", "own.toml", "--out", "results", "--no-report")
    assert ran.returncode == 0, ran.stderr
    marks(folder)
    return name_plugins(folder)


def marks(folder: Path) -> set[str]:
    """Plug-ins that ran since the last look."""
    found = {path.name for path in (folder / "marks").iterdir()}
    for name in found:
        (folder / "marks" / name).unlink()
    return found


@pytest.mark.parametrize(
    "words", [pytest.param(READING[n], marks=pytest.mark.slow if n in SLOW else (), id=n) for n in READING]
)
def test_no_command_imports_what_results_name(hostile: Path, words: list[str]) -> None:
    ran = run(hostile, *words)
    assert marks(hostile) == set()
    assert ran.returncode in ({0, 3, 4} if words[0] == "orchestrator.certificate" else {0}), ran.stderr


def test_scores_of_a_plugins_data_set_ask_for_the_plugin(foreign: Path) -> None:
    words = [*SCORES, "--kinds", "risk", "features"]
    ran = run(foreign, *words)
    assert (ran.returncode, marks(foreign)) == (2, set()), ran.stderr
    (line,) = ran.stderr.splitlines()
    assert "no data set 'mine'" in line
    assert line.endswith("--plugins named_by_results results.inside_results")
    allowed = run(foreign, *words, "--plugins", "named_by_results")
    assert allowed.returncode == 0, allowed.stderr
    assert marks(foreign) == {"named_by_results"}
    assert "importing the plug-in 'named_by_results' that --plugins names" in allowed.stderr


def test_a_report_shows_images_of_a_plugins_data_set_on_demand(foreign: Path) -> None:
    ran = run(foreign, "orchestrator.report", "results")
    page = (foreign / "report.html").read_text()
    assert (ran.returncode, marks(foreign)) == (0, set()), ran.stderr
    assert "data:image/png;base64" not in page
    assert "--plugins named_by_results results.inside_results" in page
    allowed = run(foreign, "orchestrator.report", "results", "--plugins", "named_by_results")
    assert (allowed.returncode, marks(foreign)) == (0, {"named_by_results"}), allowed.stderr
    assert "data:image/png;base64" in (foreign / "report.html").read_text()


@pytest.mark.parametrize("words", [READING["plan"], READING["contents"]], ids=["sweep", "contents"])
def test_plugins_of_the_users_configuration_are_named_on_screen(audited: Path, tmp_path, words) -> None:
    folder = Path(shutil.copytree(audited, tmp_path, dirs_exist_ok=True))
    text = (folder / "audit.toml").read_text()
    (folder / "audit.toml").write_text(f'plugins = ["named_by_results"]\n{text}')
    ran = run(folder, *words)
    assert (ran.returncode, marks(folder)) == (0, {"named_by_results"}), ran.stderr
    assert "importing the plug-in 'named_by_results' that audit.toml names" in ran.stderr


def test_results_name_no_checkpoint_for_timm_to_load() -> None:
    """Older timm reads such a file as a pickle, which runs what is in it."""
    with pytest.raises(AuditError, match=r"options\.checkpoint_path: expected none"):
        build(
            "resnet18",
            {"checkpoint_path": "results/evil.pth"},
            image_shape=(1, 8, 8),
            num_classes=2,
            mean=0.5,
            std=0.5,
            seed_path=("a",),
        )


@functools.cache
def names_by_file() -> dict[str, set[str]]:
    """What each file of Lethe uses by name."""
    found = {}
    for path in (p for folder in ("orchestrator", "tasks") for p in (ROOT / folder).rglob("*.py")):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        names = {n.attr for n in nodes if isinstance(n, ast.Attribute)}
        found[path.relative_to(ROOT).as_posix()] = names | {n.id for n in nodes if isinstance(n, ast.Name)}
    return found


def using(*wanted: str) -> set[str]:
    """Files of Lethe in which one of some names is used."""
    return {file for file, names in names_by_file().items() if names & set(wanted)}


def test_modules_are_imported_by_name_in_few_places() -> None:
    """Whatever imports a module by a name that it was given; a new place must take it from the user alone."""
    found = using("import_module", "import_plugins", "__import__", "run_path", "run_module", "exec_module")
    drivers = {"orchestrator/config/plugins.py", "tasks/registry.py"}
    assert found == drivers | {"orchestrator/bench/workbench.py", "orchestrator/results/trackers.py"}


def test_programs_are_started_by_their_method_alone() -> None:
    """Which a plan takes from the user's configuration; a new place must take it from there too."""
    assert using("supervised") == {"tasks/unlearn/parts/program_files.py"}
    assert using("run_on_files") == {"tasks/unlearn/program.py"}
