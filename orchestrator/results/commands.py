"""The sweep that a report asks for where something is missing: of the configuration that it rests on, and no other."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING

from orchestrator.config.settings import canonical, load
from orchestrator.config.toml_files import presets
from orchestrator.results.own_queries import ask
from orchestrator.store.json_columns import json_column
from tasks import fields

if TYPE_CHECKING:
    from orchestrator.results.connection import Results

PLACEHOLDER = "CONFIGURATION"
"""What the reader puts the name of the file for, which results do not hold."""


def configuration(results: Results) -> str:
    """What `python -m orchestrator.sweep` is to be given to ask for the same again: a preset, or the placeholder.

    Without a configuration it runs the preset `quick`: other data and models than those of a report on anything else,
    whose run would then be the latest in these results. What a machine decides has no part in it.
    """
    for row in ask(results, "latest_run"):
        if row["name"] in presets():
            given = json_column(row["config_json"], dict, where="runs.config_json")
            preset = fields.to_plain(load(row["name"]))
            if all(canonical(given.get(k)) == canonical(v) for k, v in preset.items() if k != "execution"):
                return str(row["name"])
    return PLACEHOLDER


def quoted(value: object) -> str:
    """A value as a shell takes it."""
    text = str(value)
    return text if text and all(c.isalnum() or c in "_-./:=" for c in text) else shlex.quote(text)


def sweep(results: Results, flags: str = "") -> str:
    """The command that computes what is missing, with further flags of the sweep."""
    words = (
        "python -m orchestrator.sweep",
        configuration(results),
        flags,
        f"--out {quoted(results.store.root)}",
    )
    return " ".join(filter(None, words))


def query(results: Results, name: str, params: Mapping[str, object]) -> str:
    """The command by which a reader sees the numbers of a run behind something that is shown."""
    given = "".join(f" {key}={quoted(value)}" for key, value in params.items())
    param = f" --param{given}" if given else ""
    of_run = f" --run {quoted(results.run)}" if results.run else ""
    return f"python -m orchestrator.query {name} --results {quoted(results.store.root)}{of_run}{param}"
