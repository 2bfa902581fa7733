"""Configuration files and the presets that ship with Lethe, as tables."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from orchestrator.config.paths import home
from tasks.errors import AuditError, unknown_name

LONGEST = 1 << 20
"""Bytes of a configuration file."""


def presets() -> list[str]:
    """Names of the sweeps that ship with the package."""
    folder = resources.files("orchestrator") / "presets"
    return sorted(p.name.removesuffix(".toml") for p in folder.iterdir() if p.name.endswith(".toml"))


def read_toml(source: str) -> dict[str, Any]:
    """Read a TOML file or a shipped preset.

    Raises:
        AuditError: the file does not exist, is no preset, or is not TOML.
    """
    if source in presets():
        text = (resources.files("orchestrator") / "presets" / f"{source}.toml").read_text()
    else:
        path = Path(home(source))
        try:
            _check_there(path, source)
        except OSError as error:  # a name that is too long, a folder of somebody else's
            raise AuditError(f"configuration: '{source:.80}': {error.strerror}") from None
        text = _read_text(path)
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a number of thousands of digits is a plain ValueError
        raise AuditError(f"{source}: not valid TOML: {error!s:.200}") from None


def _check_there(path: Path, source: str) -> None:
    if not source or path.is_dir():
        got = f"the directory {source}" if source else "nothing"
        raise AuditError(f"configuration: expected a TOML file or the name of a preset, got {got}")
    if not path.is_file():
        if path.suffix == ".toml" or "/" in source:
            raise AuditError(f"configuration file not found: {source}")
        raise unknown_name("preset or configuration file", source, presets())


def _read_text(path: Path) -> str:
    if path.stat().st_size > LONGEST:
        raise AuditError(
            f"{path}: expected a configuration of at most {LONGEST} bytes, got {path.stat().st_size}"
        )
    try:
        return path.read_text(encoding="utf-8-sig")  # some editors of Windows begin with a mark
    except UnicodeDecodeError:
        raise AuditError(f"{path}: not valid TOML: expected UTF-8 text") from None
    except OSError as error:
        raise AuditError(f"{path}: cannot read this configuration: {error.strerror}") from None
