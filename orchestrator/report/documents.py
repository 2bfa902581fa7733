"""What a page says of language models: whether there are any, whose documents, and what the models began with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.results.own_queries import ask
from orchestrator.store.json_columns import json_column

if TYPE_CHECKING:
    from orchestrator.results.connection import Results

BEGAN = {
    (
        "given weights",
        "assumed",
    ): "began with given weights, and so did retraining: that these had never seen what was "
    "forgotten is an assumption, which nobody can check here",
    (
        "public part",
        "checked",
    ): "began with a base that was trained on the public part of the data set; no audited "
    "document is in it, which was checked",
    ("none", "checked"): "began with random weights",
    (
        "unknown",
        "assumed",
    ): "was trained elsewhere, and what its models began with is not known here: that this had never seen what was "
    "forgotten is taken from whoever gave them",
}
"""What models of an architecture began with, by base and by how it is known that it had not seen the forget set
(`orchestrator.plan.bases.Base`)."""


def began(results: Results, architecture: str | None = None) -> list[str]:
    """A sentence for each architecture of language models on what its models began with, plain text; none of images."""
    rows = ask(results, "latest_run")
    found = json_column(rows[0]["bases_json"], list, where="runs.bases_json") if rows else []
    return [
        f"{base['architecture']} {BEGAN[base['base'], base['unseen']]}."
        for base in found
        if architecture in (None, base["architecture"])
    ]


def holds_documents(results: Results) -> bool:
    """Whether the models behind these results are language models."""
    return bool(ask(results, "language_models"))


def asked_groups(provenance_json: str | None) -> int:
    """Of how many groups a forget set holds all documents; 0 where it was not chosen by group."""
    found = json_column(provenance_json or "{}", dict, where="forget_sets.provenance_json").get("groups")
    return len(found) if isinstance(found, list) else 0
