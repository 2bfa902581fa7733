"""Rows of what was measured, and of where it was measured."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from orchestrator.config.settings import digest, load
from orchestrator.records import provenance
from orchestrator.records.rows import canary_rows, examples_table, layer_rows
from orchestrator.store.store import Store
from tasks.errors import AuditError
from tasks.measure.fairness import LayerGap
from tasks.shadows.canaries import Canaries

IDS = np.array([4, 7])
LABELS = np.array([2, 0])
PLAN: Any = SimpleNamespace(
    config=SimpleNamespace(data=SimpleNamespace(name="digits")),
    data=SimpleNamespace(labels=SimpleNamespace(labels=np.arange(10))),
)


def test_blocks_of_examples_stand_one_under_another() -> None:
    first = {"split": np.array(["forget"]), "example_id": np.array([3]), "loss": np.array([0.5])}
    second = {"split": np.array(["test", "test"]), "example_id": np.array([8, 9])}
    table = examples_table([first, second])
    assert table["example_id"].to_pylist() == [3, 8, 9]
    assert table["loss"].to_pylist() == [0.5, None, None]
    nothing = examples_table([])
    assert (nothing.num_rows, nothing.column_names) == (0, ["split", "example_id"])


def test_a_layer_has_a_row_and_one_for_each_of_its_classes() -> None:
    gap = LayerGap(
        layer="bn",
        index=1,
        kind="batchnorm",
        definition="norm_sigma",
        gap=0.3,
        gap_low=0.2,
        gap_high=0.4,
        relative_gap=0.5,
        baseline_gap=0.1,
        classes=(0, 2),
        sigma_by_class=(0.7, 1.0),
        n=12,
    )
    rows = layer_rows("c", [gap, replace(gap, layer="ln", classes=(), sigma_by_class=())])
    assert [(row["layer"], row.get("label"), row.get("sigma")) for row in rows] == [
        ("bn", None, None),
        ("bn", 0, 0.7),
        ("bn", 2, 1.0),
        ("ln", None, None),
    ]
    assert {row["gap"] for row in rows} == {0.3}


def test_canaries_say_in_whose_places_they_stand() -> None:
    plain = canary_rows(PLAN, Canaries(ids=IDS, labels=LABELS))
    assert [(r["example_id"], r["label"], r["original_label"], r["image_id"]) for r in plain] == [
        (4, 2, 4, None),
        (7, 0, 7, None),
    ]
    assert {row["images"] for row in plain} == {None}
    images: Any = SimpleNamespace(provenance={"images": "noise"}, image_ids=np.array([11, 12]))
    drawn = canary_rows(PLAN, Canaries(ids=IDS, labels=LABELS, kind="out_of_distribution", images=images))
    assert [(row["images"], row["image_id"]) for row in drawn] == [("noise", 11), ("noise", 12)]
    assert {json.loads(row["provenance_json"])["canary_kind"] for row in drawn} == {"out_of_distribution"}


def test_accelerators_are_read_in_the_order_of_their_places(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor : 0\nmodel name : Abacus 9\nmodel name : other\n")
    for number in (3, 14, 0, 9, 15, 1, 8, 12, 2, 11, 5, 4, 13, 6, 10, 7):
        folder = tmp_path / f"driver/nvidia/gpus/0000:{number:02x}:00.0"
        folder.mkdir(parents=True)
        (folder / "information").write_text(f"Model: \t card {number}\nIRQ: 7\n")
    found = provenance.devices(tmp_path)
    assert found == {"cpu": "Abacus 9", "gpus": [f"card {number}" for number in range(16)]}


@pytest.mark.parametrize(("mine", "refused"), [("a" * 64, False), ("b" * 64, True)])
def test_another_copy_of_a_plug_in_is_refused(mine: str, refused: bool, tmp_path: Path) -> None:
    config = load("quick")
    store = Store(str(tmp_path / "results"))
    row = {"ordinal": 1, "name": "q", "started_at": "2026-01-01", "config_digest": digest(config, 64)}
    other = {**row, "ordinal": 2, "config_digest": "0" * 64}
    store.write("runs", "r1", [_run(row, {"method toy": "a" * 64})])
    store.write("runs", "r2", [_run(other, {"method toy": mine})])
    plan: Any = SimpleNamespace(config=config, plugins={"method toy": mine})
    if refused:
        with pytest.raises(AuditError, match="another copy of 'method toy'"):
            provenance.check_plugins(plan, store)
    else:
        provenance.check_plugins(plan, store)


def _run(row: dict[str, Any], plugins: dict[str, str]) -> dict[str, Any]:
    began = datetime.fromisoformat(row["started_at"]).replace(tzinfo=UTC)
    return {**row, "started_at": began, "plugins_json": json.dumps(plugins)}
