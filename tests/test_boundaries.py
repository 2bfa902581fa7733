"""The floors of the house: which room may import which, how large files and folders may be.

Imports go down or stay on their floor, never in a circle. See guide/contributing.md.
"""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.imports import (
    INIT,
    circles,
    import_graph,
    misplaced,
    rooms,
    source_files,
    upward,
)

ROOT = Path(__file__).parents[1]
FLOORS = {
    "orchestrator": [
        ["config", "store", "command_line", "errors"],
        ["plan", "results"],
        ["records", "progress"],
        ["bench"],
        ["backends", "estimate"],
        ["audit"],
        [
            "sweep",
            "query",
            "status",
            "certificate",
            "contents",
            "purge",
            "trackers",
            "notebook",
            "report",
            "scores",
            "outputs",
        ],
        [INIT, "__main__"],
    ],
    "tasks": [
        ["errors", "fields", "plugged", "registry"],
        ["runtime", "statistics"],
        ["images", "text", "objectives"],
        ["datasets", "networks"],
        ["training", "forget_sets"],
        ["unlearn"],
        ["shadows"],
        ["metrics"],
        ["measure"],
        ["attacks"],
        ["contracts"],
        [INIT],
    ],
}
"""Rooms of each package, the ground floor first. A package's own `__init__` is the roof: nothing inside imports it."""
MOST_LINES = 400
MOST_ENTRIES = 26
"""Of what can be seen in orchestrator/: underscores, dot files and py.typed apart."""
HEAVY = ("torch", "ray", "timm", "torchattacks", "sklearn", "pandas")
READ_PARQUET = {"tasks/text/parquet.py", "tasks/datasets/arrow_tables.py"}
"""Text and images are published in Parquet, which nothing but pyarrow reads; it is asked when a file is read."""
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
    admitted = {"pyarrow"} if path.relative_to(ROOT).as_posix() in READ_PARQUET else set()
    assert not imported_names(path) & {"ray", "orchestrator", "duckdb", "pyarrow"} - admitted


@pytest.mark.parametrize("folder", ["text", "datasets", "forget_sets", "metrics"])
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


FILES = source_files(ROOT, FLOORS)
GRAPH = import_graph(FILES)


def lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def test_every_room_has_one_floor():
    assert misplaced(GRAPH, FLOORS) == []


@pytest.mark.parametrize("package", FLOORS)
def test_the_guide_shows_the_floors(package):
    page = (ROOT / "orchestrator" / "guide" / "contributing.md").read_text()
    shown = page.split(f"| `{package}` | holds |\n|---|---|\n")[1].split("\n\n")[0]
    assert [re.findall(r"`(\w+)`", row.split("|")[1]) for row in shown.splitlines()] == FLOORS[package]


def test_no_import_goes_up():
    assert upward(GRAPH, FLOORS) == []


def test_no_files_import_each_other_in_a_circle():
    assert [" ".join(circle) for circle in circles(GRAPH)] == []


def test_no_rooms_import_each_other_in_a_circle():
    assert [" ".join(circle) for circle in circles(rooms(GRAPH))] == []


def test_no_file_is_long():
    long = [path.relative_to(ROOT).as_posix() for path in FILES.values() if lines(path) > MOST_LINES]
    assert long == []


def test_every_file_and_so_every_room_says_what_it_is():
    silent = [name for name, path in FILES.items() if not ast.get_docstring(ast.parse(path.read_text()))]
    folders = {path.parent.relative_to(ROOT).as_posix().replace("/", ".") for path in FILES.values()}
    assert silent + sorted(folders - FILES.keys()) == []


def test_orchestrator_fits_on_one_screen():
    entries = [p.name for p in (ROOT / "orchestrator").iterdir() if not p.name.startswith(("_", "."))]
    assert len({*entries} - {"py.typed"}) <= MOST_ENTRIES


def tree(root: Path, **files: str) -> dict[str, set[str]]:
    """The import graph of a package `house` with these modules; `__` in a name goes into a room."""
    for name, text in files.items():
        path = root / "house" / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.parent / "__init__.py").touch()
        path.write_text(text)
    (root / "house" / "__init__.py").touch()
    return import_graph(source_files(root, ["house"]))


HOUSE = {"house": [["cellar"], ["hall", "kitchen"], [INIT]]}


def test_a_house_in_order_is_in_order(tmp_path):
    graph = tree(
        tmp_path,
        cellar="import os\n",
        hall__door="from house import cellar\nfrom house.kitchen import table\nfrom . import floor\n",
        hall__floor="",
        kitchen__table="from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from house.hall import door\n",
    )
    assert graph["house.hall.door"] == {"house.cellar", "house.kitchen.table", "house.hall.floor"}
    assert rooms(graph)["house.hall"] == {"house.cellar", "house.kitchen"}
    assert (circles(graph), circles(rooms(graph))) == ([], [])
    assert (upward(graph, HOUSE), misplaced(graph, HOUSE)) == ([], [])


@pytest.mark.parametrize(
    "text",
    [
        "import house.hall.door\n",
        "from house.hall import door\n",
        "from house.hall.door import handle\n",
        "from .hall import door\n",
        "def late():\n    from house.hall.door import handle\n",
        "if True:\n    import house.hall.door\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    pass\nelse:\n    import house.hall.door\n",
    ],
)
def test_an_import_upwards_is_seen_however_it_is_written(text, tmp_path):
    graph = tree(tmp_path, cellar=text, hall__door="", kitchen__table="")
    assert upward(graph, HOUSE) == ["house.cellar -> house.hall.door"]


def test_the_package_itself_is_the_roof(tmp_path):
    graph = tree(tmp_path, cellar="from house import key\n", hall__door="", kitchen__table="")
    assert upward(graph, HOUSE) == ["house.cellar -> house"]


def test_a_circle_of_files_in_one_room_is_seen(tmp_path):
    graph = tree(
        tmp_path,
        cellar="",
        hall__door="from house.hall import floor\n",
        hall__floor="from house.hall import wall\n",
        hall__wall="def late():\n    from house.hall.door import handle\n",
        kitchen__table="",
    )
    assert circles(graph) == [["house.hall.door", "house.hall.floor", "house.hall.wall"]]
    assert circles(rooms(graph)) == []


def test_a_circle_of_rooms_on_one_floor_is_seen_where_no_files_form_one(tmp_path):
    graph = tree(
        tmp_path,
        cellar="",
        hall__door="from house.kitchen import table\n",
        hall__floor="",
        kitchen__table="",
        kitchen__stove="from house.hall import floor\n",
    )
    assert (circles(graph), upward(graph, HOUSE)) == ([], [])
    assert circles(rooms(graph)) == [["house.hall", "house.kitchen"]]


def test_a_room_without_a_floor_and_a_floor_without_its_room_are_seen(tmp_path):
    graph = tree(tmp_path, cellar="", hall__door="", attic__trunk="")
    assert misplaced(graph, HOUSE) == ["house.attic", "house.kitchen"]
