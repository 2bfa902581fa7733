"""Memorisation and privacy risk from the stored observations of shadow models; imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from orchestrator.config.plugins import without_code_of
from orchestrator.config.settings import SweepConfig
from orchestrator.plan.score_file import score_digest
from orchestrator.plan.shadows import BASE_METHOD
from orchestrator.plan.sources import read_source
from orchestrator.records.observations import run_blocks
from orchestrator.store.json_columns import json_column
from orchestrator.store.runs import candidates, planned_cells, runs
from orchestrator.store.store import Store, existing
from tasks import fields
from tasks.errors import AuditError, unknown_name
from tasks.metrics.per_example import example_risk
from tasks.shadows.observations import Observations, RunBlock


def shadow_scores(
    root: str,
    *,
    architecture: str,
    half: int | None = None,
    of: Literal["correct", "confidence"] = "correct",
    run: str | None = None,
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Scores of every example of the data set and where they came from.

    Args:
        root: results of a sweep whose shadow models have finished.
        architecture: name on its axis.
        half: the pairs to use, 0 (even) or 1 (odd); None for all. Who reports on the chosen examples with
            the same shadow models should choose by one half (winner's curse).
        of: what memorisation counts, see `tasks.metrics.per_example.example_risk`.
        run: id of the run whose shadow models are asked; None: the latest that has some.

    Returns:
        Scores by name, each `N` float64 and NaN where too few shadow models know, or where they learnt a
        canary in the place of the example; provenance.

    Raises:
        AuditError: there are no results, no shadow models of this architecture, or too few of them.
    """
    store = existing(root)
    shadows = _asked_set(store, architecture, run)
    observations = _base_observations(store, architecture, shadows[0]["shadow_set"])
    if half is not None:
        observations = observations.of_half(half)
    risk = example_risk(observations, of=of)
    run_ids, num_examples = _runs_of(store, shadows[0]["dataset_digest"])
    scores = {}
    for name in ("memorisation", "privacy_risk"):
        scores[name] = np.full(num_examples, np.nan)
        scores[name][risk.example_ids] = getattr(risk, name)
        scores[name][_canaries(store, shadows)] = np.nan
    provenance = {
        "results": root,
        "run_ids": run_ids,
        "architecture": architecture,
        "shadow_set": shadows[0]["shadow_set"],
        "num_shadows": len(np.unique(observations.shadow)),
        "half": half,
        "memorisation_of": of,
        "dataset_digest": shadows[0]["dataset_digest"],
        "sha256": {name: score_digest(values) for name, values in scores.items()},
    }
    return scores, provenance


def config_of(run: Mapping[str, Any]) -> SweepConfig:
    """The configuration of a row of `runs`."""
    return fields.build(
        SweepConfig, json_column(run["config_json"], dict, where="runs.config_json"), where="runs.config_json"
    )


def _asked_set(store: Store, architecture: str, run_id: str | None) -> list[dict[str, Any]]:
    """Rows of the shadow models of the named run, or of the latest that has some."""
    rows = store.read("cells").select(["cell_id", "architecture", "shadow_set"]).to_pylist()
    resting = {row["cell_id"]: row for row in rows if row["shadow_set"]}
    for run in candidates(store, run_id):
        asked = [resting[cell] for cell in (planned_cells(store, run) or set()) & resting.keys()]
        sets = {row["shadow_set"] for row in asked if row["architecture"] == architecture}
        if sets:
            shadows = store.read("shadows").to_pylist()
            return [
                row for row in shadows if row["shadow_set"] in sets
            ]  # a plan has one of each architecture
    known = {row["architecture"] for row in resting.values()} - {architecture}
    if known:
        raise unknown_name("architecture with shadow models", architecture, known)
    raise AuditError(
        f"results: {store.root} holds no shadow models{f' of the run {run_id}' if run_id else ''}; a sweep with a "
        "per-example attack (lira, u_lira, ...) on its attack axis trains them"
    )


def _canaries(store: Store, shadows: Sequence[Mapping[str, Any]]) -> list[int]:
    """Examples in whose place the shadow models learnt a canary."""
    planted = {row["canaries_id"] for row in shadows}
    rows = store.read("canaries").select(["canaries_id", "example_id"]).to_pylist()
    return [row["example_id"] for row in rows if row["canaries_id"] in planted]


def _base_observations(store: Store, architecture: str, shadow_set: str) -> Observations:
    """Of the shadow models as trained; of two sizes of the batches that they were scored in, one."""
    path = {"architecture": architecture, "method": BASE_METHOD, "scope": "all"}
    models = store.read("models").select(["model_id", "method", "shadow_set", "parent_id"]).to_pylist()
    base = [row for row in models if (row["method"], row["shadow_set"]) == (BASE_METHOD, shadow_set)]
    group = min((row["parent_id"] for row in base), default=None)
    blocks: list[RunBlock] = []
    ids: np.ndarray | None = None
    for row in base:
        if row["parent_id"] != group or not store.has("observations", row["model_id"], **path):
            continue
        table = store.read("observations", row["model_id"], **path)
        if not table.num_rows:
            continue
        blocks += run_blocks(table["shadow"][0].as_py(), table)
        ids = np.sort(table["example_id"].to_numpy()) if ids is None else ids
    if ids is None:
        raise AuditError(f"results: {store.root} holds no observations of shadow models of '{architecture}'")
    return Observations.from_blocks(blocks, method=BASE_METHOD, scope="", family="", example_ids=ids)


def _runs_of(store: Store, dataset_digest: str) -> tuple[Sequence[str], int]:
    """Runs on this data, and how many examples it has; the data set itself knows."""
    on_data = [run for run in runs(store) if run.row["dataset_digest"] == dataset_digest]
    if not on_data:
        raise AuditError(f"results: {store.root} names no run on the data of its shadow models")
    config = config_of(on_data[-1].row)
    data = config.data
    with without_code_of(store.root, config.plugins):
        _, labels = read_source(
            data.name,
            data.options,
            name_at="data.name",
            options_at="data.options",
            limit=data.limit,
            seed=data.split_seed,
        )
    return sorted(run.run_id for run in on_data), len(labels.labels)
