"""Code of the user's behind an architecture: timm knows the functions that build networks by name."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from orchestrator.plan.plugins import plugin_digest, plugin_name


def network_plugin(timm_name: str) -> str:
    """Name of the plug-in that builds an architecture; empty where that is timm."""
    builder = _builder(timm_name)
    return plugin_name(builder) if builder else ""


def network_digest(timm_name: str) -> str:
    """Digest of the plug-in that builds an architecture; empty where that is timm.

    Raises:
        AuditError: its source cannot be read, or is no longer what this process has imported.
    """
    builder = _builder(timm_name)
    return plugin_digest(builder) if builder else ""


def _builder(timm_name: str) -> Callable[..., Any] | None:
    """The user's function; the plan imports no timm, and before a plug-in has done so there is none."""
    models = sys.modules.get("timm.models")
    if models is None or not models.is_model(timm_name):
        return None
    builder: Callable[..., Any] = models.model_entrypoint(timm_name)
    return None if builder.__module__.partition(".")[0] == "timm" else builder
