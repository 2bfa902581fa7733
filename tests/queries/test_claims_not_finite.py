"""Claims on values that are no finite numbers: nothing is decided by them, and the sentence says so."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestrator.results.claims import answers
from orchestrator.results.connection import Results
from orchestrator.store.store import Store
from tests.support.claim_results import SHADOWED, claim_results

Spoil = Callable[[Store, float], None]
"""Puts a value into results."""


def _spoilt(store: Store, table: str, key: str, of: Mapping[str, Any], bad: Mapping[str, float]) -> None:
    """A file of a table written again with these values in all its rows, which have in common what `of` says."""
    rows = [row for row in store.read(table).to_pylist() if of.items() <= row.items()]
    path = [name for name in ("architecture", "method", "scope") if table == "observations"]
    changed = [{name: value for name, value in (row | bad).items() if name not in path} for row in rows]
    store.write(table, key, changed, **{name: rows[0][name] for name in path})


def _metric(cell: str, *columns: str) -> Spoil:
    return lambda store, value: _spoilt(
        store, "metrics", cell, {"cell_id": cell}, dict.fromkeys(columns, value)
    )


def _phi(store: Store, value: float) -> None:
    key = {"method": SHADOWED[0], "shadow": 0}
    _spoilt(store, "observations", f"work-{SHADOWED[0]}-0", key, {"phi": value})


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize(
    ("letter", "spoil"),
    [
        ("b", _metric("finetune-all-apgd-0", "value")),
        ("c", _metric("finetune-all-none-0", "value")),
        ("d", _phi),
        ("e", _metric("scrub-all-before_after-0", "difference")),
        ("f", _phi),
        ("g", _phi),
        ("h", _metric("rsu-all-none-0", "value")),
        ("i", _metric("twin-all-none-0", "value")),
        ("i", _metric("scrub-all-none-0", "value")),
    ],
)
def test_nothing_is_decided_by_values_that_are_not_finite(
    tmp_path: Path, letter: str, spoil: Spoil, value: float
) -> None:
    store = Store(str(shutil.copytree(claim_results("effect").root, tmp_path / "results")))
    spoil(store, value)
    with Results(store.root, "all") as results:
        (one,) = answers(results, claim=letter)
    assert (one.verdict, one.low, one.high) == ("undecided", None, None), one.sentence
    assert one.sentence.endswith("undecided (no finite values).")
    assert not re.search(r"\b(nan|inf|None)\b", one.sentence), one.sentence


def test_a_model_whose_robust_accuracy_is_not_finite_has_no_rank(tmp_path: Path) -> None:
    store = Store(str(shutil.copytree(claim_results("effect").root, tmp_path / "results")))

    def models() -> int:
        with Results(store.root, "all") as results:
            (row,) = (
                r for r in results.query("fairness_vs_robustness").to_pylist() if r["layer"] == "(mean)"
            )
        return int(row["models"])

    before = models()
    _metric("finetune-all-apgd-0", "value")(store, math.nan)
    assert models() == before - 1
