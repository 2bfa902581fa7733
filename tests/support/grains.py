"""What the rows of each table are told apart by, and which columns say nothing about the numbers.

Not read from the schema, on purpose: results of older code are compared with those of newer code, whose schema may be
another. The names are those of the older code; a comparison is told of newer ones (`--renamed`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MEASURED: Mapping[str, str] = {
    "seconds": "time, measured",
    "device_seconds": "time, measured",
    "peak_bytes": "memory, measured",
    "started_at": "time stamp",
    "finished_at": "time stamp",
    "run_id": "holds a time stamp",
    "host": "where it ran",
    "attempt": "how often it was interrupted",
    "ordinal": "how many runs were begun before",
}
"""Columns that differ between two runs of the same code on machines of one kind, and why."""

DESCRIBED: Mapping[str, str] = {
    **dict.fromkeys(("device", "devices_json", "host_json"), "where it ran"),
    **dict.fromkeys(("git_commit", "git_dirty", "diff_sha256", "packages_json"), "the code that ran"),
    **dict.fromkeys(("schema_version", "config_json", "config_digest"), "gains an entry with every option"),
    **dict.fromkeys(("forget_digest", "in_digest"), "a digest; the examples themselves are compared"),
    **dict.fromkeys(("dataset_digest", "splits_digest"), "a digest; all numbers rest on what it stands for"),
    **dict.fromkeys(
        ("record_id", "search_id", "pair_id", "shadow_set"), "an identity; the axes are compared"
    ),
    **dict.fromkeys(("setting", "conditions", "unversioned"), "a digest; its entries are compared"),
}
"""Columns that another version of the code or another machine may fill differently, and why."""

VOLATILE: Mapping[str, str] = {**MEASURED, **DESCRIBED}
"""Columns that are never compared. `weights_digest` is: it is of the numbers of a model."""


@dataclass(frozen=True)
class Grain:
    """What one row of a table is about."""

    key: str
    """The identity that names the file."""
    axes: tuple[str, ...]
    """Columns that tell its rows apart, what is long last; identities among them stand for the axes of their rows."""


MODEL = ("kind", "dataset", "architecture", "forget_set", "method", "scope", "seed")
CELL = ("dataset", "architecture", "forget_set", "method", "scope", "attack", "seed", "role", "num_shadows")
PLACE = ("dataset", "architecture", "method", "scope")
RUN = ("architecture", "method", "scope", "forget_set", "pool", "shadow", "draw", "epoch", "step")

GRAINS: Mapping[str, Grain] = {
    "runs": Grain("run_id", ("name", "dataset")),
    "plans": Grain("run_id", ("cell_id",)),
    "settings": Grain("setting", ("key", "value")),
    "models": Grain("model_id", (*MODEL, "replicate", "shadow", "params_json")),
    "cells": Grain("cell_id", (*CELL, "method_params_json", "attack_params_json")),
    "metrics": Grain("cell_id", ("cell_id", "metric", "split", "variant", "label", "param", "game")),
    "examples": Grain("cell_id", ("cell_id", "split", "example_id", "statistic", "member", "eps")),
    "layers": Grain("cell_id", ("cell_id", "layer", "definition", "label")),
    "shadows": Grain("shadow_id", ("dataset", "architecture", "seed", "in_mask")),
    "canaries": Grain("canaries_id", ("dataset", "canary_kind", "example_id")),
    "observations": Grain("stage_id", (*RUN, "example_id")),
    "costs": Grain("stage_id", ("stage", "stage_id", "model_id", "cell_id")),
    "tuning": Grain("search_id", (*PLACE, "trial")),
    "forget_sets": Grain("record_id", ("dataset", "forget_set", "example_id")),
    "weights": Grain("file", ("model_id",)),
}
"""By table; `weights` is made of the files of that name."""

OF_FILES = {"inventory", "losses"}
"""Tables about files, not about numbers: never compared."""

REFERENCES = (
    "cell_id",
    "model_id",
    "group_id",
    "reference_id",
    "retrained_id",
    "parent_id",
    "shadow_id",
    "canaries_id",
    "stage_id",
)
"""Columns that name a row of another table by its identity; they are compared by the axes of that row."""

NAMED: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("cells", "cell_id", GRAINS["cells"].axes),
    ("models", "model_id", GRAINS["models"].axes),
    ("shadows", "shadow_id", GRAINS["shadows"].axes),
    ("canaries", "canaries_id", ("dataset", "canary_kind")),
    ("models", "parent_id", (*MODEL, "params_json")),
)
"""Where the axes of an identity are found: table, column, axes; an earlier place goes before a later one.

The last is for groups of shadow models, which have no row of their own: their members have.
"""
