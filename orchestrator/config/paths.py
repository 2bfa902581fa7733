"""Paths that a configuration file names start from the file's own folder, wherever the command is run.

What the command line names starts from the shell's directory, and is left as it is; so are absolute paths, `~` and
addresses. Options of plug-ins are known to be paths by their names.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from tasks.unlearn.program import is_program

NAMES = ("path", "root", "folder", "file", "cache", "weights", "scores")
"""Keys that hold a path; others end in one of these behind an underscore (test_path)."""
TOKENIZER = "tokenizer"
"""A path unless it is one of the names that Lethe knows."""
NO_PATHS = ("", "bytes")


def home(path: str) -> str:
    """The path with the home directory for `~`, which a shell leaves in `--flag=~/x` and Python leaves everywhere."""
    return os.path.expanduser(path)


def anchored(tables: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """The tables of a configuration with every relative path in it below a folder.

    Args:
        tables: as TOML gives them, right or wrong.
        folder: of the file, as it was named; empty: the shell's.
    """
    if os.path.realpath(folder) == os.path.realpath(os.curdir):  # names stay as short as they are written
        return dict(tables)
    found = dict(tables)
    for name, keys in (("data", ("options",)), ("shadows", ("canary_options",))):
        if isinstance(found.get(name), Mapping):
            table = _of(found[name], folder)
            table |= {key: _of(table[key], folder) for key in keys if isinstance(table.get(key), Mapping)}
            found[name] = {**table, **_named(table, ("name", "canary_images"), folder)}
    for name in ("forget_sets", "architectures"):
        if isinstance(found.get(name), Mapping):
            found[name] = {
                key: _of(one, folder) if isinstance(one, Mapping) else one for key, one in found[name].items()
            }
    if isinstance(found.get("given"), Mapping):
        found["given"] = {key: _everywhere(value, folder) for key, value in found["given"].items()}
    methods = found.get("methods")
    if isinstance(methods, Mapping):
        programs = {
            k: v for k, v in methods.items() if isinstance(v, Mapping) and is_program(v) and "folder" in v
        }
        found["methods"] = {
            **methods,
            **{k: {**v, "folder": _below("folder", v["folder"], folder)} for k, v in programs.items()},
        }
    axes = found.get("axes")
    if isinstance(axes, Mapping) and isinstance(axes.get("forget_set"), list):
        found["axes"] = {**axes, "forget_set": [_inline(text, folder) for text in axes["forget_set"]]}
    return found


def _of(table: Mapping[str, Any], folder: str) -> dict[str, Any]:
    return {key: _below(key, value, folder) for key, value in table.items()}


def _everywhere(value: Any, folder: str) -> Any:
    """Paths in lists and tables of any depth."""
    if isinstance(value, Mapping):
        return {key: _everywhere(inner, folder) for key, inner in value.items()}
    return (
        [_everywhere(inner, folder) for inner in value]
        if isinstance(value, list)
        else _below("file", value, folder)
    )


def _named(table: Mapping[str, Any], keys: tuple[str, ...], folder: str) -> dict[str, Any]:
    return {key: _inline(table[key], folder) for key in keys if key in table}


def _inline(text: Any, folder: str) -> Any:
    """`name:key=value,...` with the paths among its values below the folder."""
    if not isinstance(text, str) or ":" not in text:
        return text
    name, _, rest = text.partition(":")
    pairs = [item.partition("=") for item in rest.split(",")]
    return f"{name}:" + ",".join(f"{k}{sign}{_below(k.strip(), v, folder)}" for k, sign, v in pairs)


def _below(key: str, value: Any, folder: str) -> Any:
    named = key.rpartition("_")[2] in NAMES or (key == TOKENIZER and value not in NO_PATHS)
    if not named or not isinstance(value, str) or not value or value.startswith("~") or "://" in value:
        return value
    return os.path.join(folder, value)
