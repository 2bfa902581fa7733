"""What numbers rest on besides a seed and a forget set, key by key, and its digests; made by `identity.py` alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from orchestrator.config.settings import canonical, digest

OF_THE_METHOD = re.compile(r"(method|unlearning)\.|scope$|shadows\.trajectories$")
"""Keys that tell methods, scopes and ways of unlearning apart: what is compared, not under what conditions."""
VERSION = re.compile(r"(pretrained\.)?code$|(?!.*\.(options|params)\.).*\.((version|plugin)$|file_digests\.)")
"""Keys of code that was edited, somebody's program too; options and parameters of such a name are none."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Setting:
    """All that an id holds but seed and forget set."""

    entries: Mapping[str, str]
    """JSON text by dotted key (`method.lr`, `training.epochs`, `code`)."""

    @cached_property
    def setting(self) -> str:
        """Digest of all entries: rows of different settings never meet in one number."""
        return digest(self.entries)

    @cached_property
    def conditions(self) -> str:
        """Digest of what two methods must share to be ranked or divided by each other."""
        return digest({k: v for k, v in self.entries.items() if not OF_THE_METHOD.match(k)})

    @cached_property
    def unversioned(self) -> str:
        """Digest of all but versions: equal where one setting is what another was before code was edited."""
        return digest({k: v for k, v in self.entries.items() if not VERSION.match(k)})

    def rows(self) -> list[dict[str, Any]]:
        """The rows of `settings`."""
        whole = {"conditions": self.conditions, "unversioned": self.unversioned}
        return [
            {**whole, "key": key, "value": value, "is_version": bool(VERSION.match(key))}
            for key, value in sorted(self.entries.items())
        ]


def flatten(content: Mapping[str, Any]) -> dict[str, str]:
    """Nested tables as dotted keys with JSON text; an empty table stays one entry."""
    flat: dict[str, str] = {}
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            flat |= {f"{key}.{inner}": text for inner, text in flatten(value).items()}
        else:
            flat[key] = canonical(value)
    return flat
