"""Which package may import what; see the README's map of the house."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "ray", "timm", "torchattacks", "sklearn", "pandas")
LIGHT_MODULES = [
    "orchestrator.config.settings",
    "orchestrator.plan.grid",
    "orchestrator.estimate.cost",
    "orchestrator.store.store",
    "orchestrator.query",
    "orchestrator.sweep",
    "tasks.unlearn.base",
    "tasks.attacks.base",
]


def imported_names(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return {name.split(".")[0] for name in names}


def python_files(folder: str) -> list[Path]:
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files or folder == "queries"
    return files


@pytest.mark.parametrize("path", python_files("tasks"), ids=lambda p: p.relative_to(ROOT).as_posix())
def test_tasks_import_no_orchestration(path):
    assert not imported_names(path) & {"ray", "orchestrator", "duckdb", "pyarrow"}


@pytest.mark.parametrize("folder", ["datasets", "forget_sets", "metrics"])
def test_numpy_only_packages_import_no_torch(folder):
    for path in python_files(f"tasks/{folder}"):
        assert not imported_names(path) & {"torch", "timm"}, path


def test_queries_hold_no_python():
    assert not python_files("queries")


@pytest.mark.parametrize("module", LIGHT_MODULES)
def test_light_modules_load_nothing_heavy(module):
    program = (
        f"import sys, {module}\n"
        "from orchestrator.config.describe import REGISTRIES\n"
        "for registry in REGISTRIES.values(): registry.names()\n"
        f"print(sorted(set(sys.modules) & set({HEAVY!r})))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True, timeout=60
    )
    assert shown.stdout.strip() == "[]"


def test_no_module_is_called_utils():
    for folder in ("orchestrator", "tasks"):
        assert not [p for p in python_files(folder) if p.stem in ("utils", "helpers", "common", "misc")]
