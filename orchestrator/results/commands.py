"""Commands that pages and answers name: the sweep that computes what is missing, and the query behind a number."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

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
    return next((name for row in ask(results, "latest_run") if (name := _preset(row))), PLACEHOLDER)


def configurations(results: Results, asked: Iterable[str]) -> dict[str, str]:
    """What `python -m orchestrator.sweep` is to be given to measure what presets measure: the preset, unless what these
    results rest on is of a configuration of the user's own, and nothing of it is of the preset."""
    found = {_preset(row) for row in ask(results, "asked_runs", run=results.run)}
    return {preset: PLACEHOLDER if "" in found and preset not in found else preset for preset in asked}


def _preset(row: Mapping[str, Any]) -> str:
    """The preset that a run is of, as it ships; empty where it is of another configuration."""
    name = str(row["name"])
    if name not in presets():
        return ""
    given = json_column(row["config_json"], dict, where="runs.config_json")
    shipped = fields.to_plain(load(name))
    same = all(canonical(given.get(k)) == canonical(v) for k, v in shipped.items() if k != "execution")
    return name if same else ""


def quoted(value: object) -> str:
    """A value as a shell takes it."""
    text = str(value)
    return text if text and all(c.isalnum() or c in "_-./:=" for c in text) else shlex.quote(text)


def sweep(results: Results, flags: str = "") -> str:
    """The command that computes what is missing, with further flags of the sweep."""
    return sweeps(results, {"": flags})[""]


def sweeps(results: Results, flags: Mapping[str, str]) -> dict[str, str]:
    """Such a command for each of several things, by name; the configuration of all is looked for once."""
    begin, end = (
        f"python -m orchestrator.sweep {configuration(results)}",
        f"--out {quoted(results.store.root)}",
    )
    return {name: " ".join(filter(None, (begin, own, end))) for name, own in flags.items()}


def query(results: Results, name: str, params: Mapping[str, object]) -> str:
    """The command by which a reader sees the numbers of a run behind something that is shown."""
    given = "".join(f" {key}={quoted(value)}" for key, value in params.items())
    param = f" --param{given}" if given else ""
    of_run = f" --run {quoted(results.run)}" if results.run else ""
    return f"python -m orchestrator.query {name} --results {quoted(results.store.root)}{of_run}{param}"
