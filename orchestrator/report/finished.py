"""What a page says of models that were trained elsewhere and given as files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from orchestrator.records.rows import ELSEWHERE
from orchestrator.results.own_queries import ask
from orchestrator.store.json_columns import json_column

if TYPE_CHECKING:
    from orchestrator.results.connection import Results

NONE = (
    "No model that was retrained without the data is known here, and nothing said how to train one: how far the "
    "unlearned model is from retraining cannot be said, and no verdict is possible."
)
BY_RECIPE = (
    "The models before unlearning were trained elsewhere; the retrained ones were trained here, by the recipe of the "
    "configuration, which need not be how the others were: a difference may be one of recipes."
)
ONE = (
    "One retrained model of each seed was given and no second one: how far two trainings lie apart is unknown, and no "
    "verdict is possible."
)
BOTH = "Both retrained models of each seed were given: that they never saw the data is taken from whoever gave them."
CALLED = {"original": ("original",), "retrained": ("retrained", "retrained again"), "unlearned": ("",)}


def given_files(results: Results, **place: str) -> list[str]:
    """A phrase for each model that was read from a file; none where Lethe made all.

    Args:
        results: of an audit.
        place: architecture, forget_set and method; of those that are left out, all.
    """
    return [
        f"{_called(row)}, seed {row['seed']}: {row['file']}, SHA-256 {row['sha256']}"
        for row in ask(results, "given_models", **place)
    ]


def made_elsewhere(models: Sequence[dict[str, Any]]) -> bool:
    """Whether rows of `models` are of models that were made on no machine of ours, so that nobody knows how."""
    return bool(models) and all(row["device"] == ELSEWHERE for row in models)


def _called(row: dict[str, Any]) -> str:
    names = CALLED[row["kind"]]
    return names[min(row["replicate"], len(names) - 1)] or row["method"]


def retraining(results: Results) -> str:
    """What finished models were compared with; empty where none was given."""
    rows = ask(results, "latest_run")
    config = json_column(rows[0]["config_json"], dict, where="runs.config_json") if rows else {}
    given = config.get("given")
    if not isinstance(given, dict):
        return ""
    if not given.get("retrained"):
        return BY_RECIPE if given.get("retrain") else NONE
    return BOTH if given.get("retrained_again") else ONE
