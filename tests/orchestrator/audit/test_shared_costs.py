"""What a model costs does not depend on which cell came first: shared stages are counted once, and apart."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from orchestrator import run
from orchestrator.store.paths import SEARCH
from orchestrator.store.store import Store
from tests.support.sweeps import changed, write_config

SCOPES = ("all", "last-1", "norm-only")
TRAIN, FORGET = 108, 22
PLAIN = {
    '["finetune", "gradient_ascent"]': '["ssd", "salun"]',
    '["none", "fgsm", "population"]': '["none"]',
    "[methods.finetune]\nepochs = 1\n[methods.gradient_ascent]\n": "[methods.salun]\n",
    "[attacks.fgsm]\neps = [0.05]\n": "",
}
Counts = tuple[int, int]
"""Samples and forward samples."""


def sweep(folder: Path, scopes: Iterable[str] = SCOPES, **options: Any) -> Path:
    """Run SSD and SalUn in this process; the folder of the results."""
    folder.mkdir(exist_ok=True)
    text = changed(PLAIN | {'["all", "head"]': json.dumps(list(scopes))})
    assert run(write_config(folder, text), out=folder / "results", **options).finished
    return folder / "results"


def costs(results: Path) -> dict[str, tuple[Counts, dict[str, Counts]]]:
    """Own work, and work of the stages that it rests on, of every unlearned model by id."""
    store = Store(str(results))
    stages = {row["stage_id"]: row for row in store.read("costs").to_pylist()}
    found = {}
    for row in store.read("models").to_pylist():
        if row["kind"] == "unlearned":
            shared = {key: stages[key] for key in json.loads(row["rests_on_json"])}
            assert all(stage["stage"] == "share" for stage in shared.values())
            found[row["model_id"]] = _counts(row), {key: _counts(stage) for key, stage in shared.items()}
    return found


def _counts(row: dict[str, Any]) -> Counts:
    return row["samples"], row["forward_samples"]


@pytest.fixture(scope="module")
def in_order(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sweep with the widest scope first."""
    return sweep(tmp_path_factory.mktemp("shared"))


def test_samples_are_those_of_the_method_and_of_its_stages(in_order: Path) -> None:
    store = Store(str(in_order))
    found = costs(in_order)
    names = {row["model_id"]: row["method"] for row in store.read("models").to_pylist()}
    by_method: dict[str, set[Any]] = {}
    for key, (own, shared) in found.items():
        by_method.setdefault(names[key], set()).add((own, *sorted(shared.values())))
    assert by_method["ssd"] == {((0, 0), (FORGET, 0), (TRAIN, 0))}
    assert by_method["salun"] == {((TRAIN, 0), (FORGET, 0))}
    assert len(found) == 2 * len(SCOPES)


def test_another_order_of_scopes_and_a_sweep_that_goes_on_cost_the_same(
    in_order: Path, tmp_path: Path
) -> None:
    sweep(tmp_path, only="scope=norm-only")
    assert len(costs(tmp_path / "results")) < len(costs(in_order))
    assert costs(sweep(tmp_path, reversed(SCOPES))) == costs(in_order)


def test_trials_of_a_search_cost_what_models_cost(tmp_path: Path) -> None:
    results = sweep(tmp_path, ("norm-only",), tune=2)
    trials, audited = costs(results / SEARCH), costs(results)
    assert {own for own, _ in trials.values()} == {own for own, _ in audited.values()}
    for found in (trials, audited):
        assert sorted(len(shared) for _, shared in found.values())[-1] == 2
