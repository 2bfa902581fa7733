"""What an installed Lethe has beside its modules: the wheel is built and opened."""

from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[1]
SHIPPED = (
    "orchestrator/guide/*.md",
    "orchestrator/presets/*.toml",
    "orchestrator/clusters/*",
    "orchestrator/report/assets/*",
    "orchestrator/report/pages/*.j2",
    "orchestrator/results/*.sql",
    "orchestrator/py.typed",
    "tasks/py.typed",
    "queries/*.sql",
    "queries/published.csv",
)


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """Paths inside of the wheel."""
    wheel = pytest.importorskip("hatchling.builders.wheel", reason="the extra test installs hatchling")
    built = list(wheel.WheelBuilder(str(ROOT)).build(directory=str(tmp_path_factory.mktemp("wheel"))))
    with ZipFile(built[0]) as archive:
        return set(archive.namelist())


@pytest.mark.parametrize("pattern", SHIPPED)
def test_the_wheel_has_every_file_of_a_pattern(pattern, names):
    files = {path.relative_to(ROOT).as_posix() for path in ROOT.glob(pattern) if path.is_file()}
    assert files
    assert files <= names


def test_the_wheel_has_every_module_and_no_test(names):
    modules = {
        path.relative_to(ROOT).as_posix()
        for package in ("orchestrator", "tasks")
        for path in (ROOT / package).rglob("*.py")
    }
    assert modules <= names
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {
        "orchestrator",
        "tasks",
        "queries",
    }
    assert not [name for name in names if "__pycache__" in name]
