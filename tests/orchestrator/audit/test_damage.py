"""Any damage to one file is named, set aside, and computed again, or named as lost."""

import random
import shutil
from pathlib import Path

import pytest

from orchestrator import run
from orchestrator.query import main as query
from orchestrator.store import inventory
from orchestrator.store.paths import SEARCH
from orchestrator.store.store import Store
from orchestrator.store.tables import TABLES
from orchestrator.store.verify import nested, verify
from tests.support.damages import KINDS, alike, result_files
from tests.support.grains import MEASURED

TEXT = """
name = "small"
[data]
name = "synthetic"
options = { num_train = 80, num_test = 30, num_classes = 2, channels = 1, height = 8, width = 8, seed = 1 }
[axes]
architecture = ["net"]
method = ["salun"]
attack = ["none", "u_lira", "one_run"]
forget_set = ["random:fraction=0.3"]
[training]
epochs = 1
batch_size = 32
augmentation = "none"
[evaluation]
bootstrap = 20
[architectures.net]
timm = "resnet18"
options = { layers = [1, 1, 1, 1], channels = [4, 4, 4, 4] }
[methods.salun]
epochs = 1
[shadows]
num = 16
batch = 4
forget_fraction = 0.5
keep_weights = true
canaries = 20
canary_kind = "out_of_distribution"
[tuning]
trials = 1
[execution]
backend = "inline"
device = "cpu"
keep_unlearned = true
"""
HARMLESS = {("delete", "inventory"), ("delete", "shared"), ("stray", "store.json")}
"""What leaves the results whole: the next sweep lists them again, tensors that save time, a stranger at the root."""
HISTORY = {"runs", "plans", "inventory", "losses", "purges"}
"""Tables of what happened once."""


def swept(folder: Path) -> Path:
    config = folder / "audit.toml"
    config.write_text(TEXT)
    run(config, out=folder / "results")
    return folder / "results"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Finished results, some of whose tables are merged."""
    results = swept(tmp_path_factory.mktemp("undisturbed"))
    assert Store(str(results)).compact(["metrics", "costs", "models"]) > 20
    return results


def content(results: Path) -> dict[str, list[str]]:
    rows = {}
    for root in (results, results / SEARCH):
        for table in TABLES.keys() - HISTORY:
            found = Store(str(root)).read(table).to_pylist()
            kept = sorted(str({k: v for k, v in row.items() if k not in MEASURED}) for row in found)
            rows[f"{root.name}/{table}"] = kept
        rows[f"{root.name}/weights"] = sorted(Store(str(root)).blob_keys("weights"))
    return rows


def found(results: Path) -> list[str]:
    """Every line of `--verify`."""
    store = Store(str(results))
    return [
        f"{place.root}/{damage.file} {damage.reason} {' '.join(sorted(damage.keys))}"
        for place in (store, *nested(store))
        for damage in verify(place)
    ]


def names(told: list[str], file: Path) -> bool:
    """Whether some line names a file, or the key that it had; what was merged is named as rows of its table."""
    if file.parent.name == "_compacted" and not file.exists():
        return any(line.startswith(f"{file.parents[1]} missing") for line in told)
    key = file.parent.name.partition("=")[2] if file.name == "part.arrow" else file.stem
    return any(str(file) in line or key in line for line in told)


def test_undisturbed_results_hold_every_table_and_no_damage(undisturbed: Path) -> None:
    store = Store(str(undisturbed))
    assert {table for table in TABLES if not store.read(table).num_rows} == {"losses", "purges"}
    assert found(undisturbed) == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_damage_to_any_file_is_named(undisturbed: Path, tmp_path: Path, kind: str) -> None:
    results = tmp_path / "results"
    shutil.copytree(undisturbed, results)
    files, rng = result_files(results), random.Random(kind)
    seen = set()
    for file in rng.sample(files, len(files)):
        parts = file.relative_to(results).parts
        table = (*parts[: 1 + (SEARCH in parts)], "_compacted" in parts)
        unnoticed = (kind, file.name if file.name == "store.json" else file.parent.name) in HARMLESS
        if table in seen or unnoticed:
            continue
        seen.add(table)
        kept = {path: path.read_bytes() for path in files}
        touched = KINDS[kind](file, alike(file, files), rng)
        told = found(results)
        assert all(names(told, path) for path in touched), (kind, file, told)
        for path in touched - kept.keys():
            path.unlink()
        for path, before in kept.items():
            if not path.exists() or path.read_bytes() != before:
                path.write_bytes(before)
    assert len(seen) > 15
    assert found(results) == []


def disturbed(undisturbed: Path, folder: Path, seed: int) -> None:
    """Damage a file, repair, sweep again, and compare."""
    shutil.copytree(undisturbed.parent, folder, dirs_exist_ok=True)
    results, rng = folder / "results", random.Random(seed)
    files = result_files(results)
    table = rng.choice(sorted({path.parent for path in files}))
    file = rng.choice([path for path in files if path.parent == table])
    kind = rng.choice(sorted(KINDS))
    KINDS[kind](file, alike(file, files), rng)
    where = f"seed {seed}: {kind} {file.relative_to(results)}"
    query(["--repair", "--results", str(results)])
    assert found(results) == [], where
    outcome = run(folder / "audit.toml", out=results)
    assert outcome.finished, where
    assert content(results) == content(undisturbed), where
    assert found(results) == [], where
    for root in (results, results / SEARCH):
        lost = inventory.still_lost(Store(str(root)))
        assert {part for part, _ in lost} <= HISTORY, where


@pytest.mark.parametrize("seed", range(4))
def test_any_damage_is_repaired_and_computed_again(undisturbed: Path, tmp_path: Path, seed: int) -> None:
    disturbed(undisturbed, tmp_path, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4, 150))
def test_more_damage_is_repaired_and_computed_again(undisturbed: Path, tmp_path: Path, seed: int) -> None:
    disturbed(undisturbed, tmp_path, seed)
