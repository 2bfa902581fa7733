"""Settings for hand-made rows of `cells`, and the rows of `settings` that say what they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.config.settings import canonical
from orchestrator.plan.setting import Setting
from orchestrator.store.store import Store


def fabricated_setting(row: Mapping[str, Any], **more: Any) -> dict[str, str]:
    """The columns `setting` and `conditions` of a hand-made cell: what its axes say, and `more` by dotted key.

    Args:
        row: the cell.
        more: entries besides, such as `{"method.lr": 0.2}`.
    """
    made = setting_of(row, **more)
    return {"setting": made.setting, "conditions": made.conditions}


def setting_of(row: Mapping[str, Any], **more: Any) -> Setting:
    """The setting of a hand-made cell."""
    entries = {
        "architecture.timm": row.get("architecture"),
        "attack.name": row["attack"],
        "attack.params": row.get("attack_params_json"),
        "method.name": row.get("method"),
        "method.params": row.get("method_params_json"),
        "scope": row.get("scope"),
        "shadows.num": row.get("num_shadows"),
        **more,
    }
    return Setting(entries={key: canonical(value) for key, value in entries.items()})


def write_setting(store: Store, setting: Setting) -> None:
    """Its rows of `settings`."""
    store.write("settings", setting.setting, setting.rows())
