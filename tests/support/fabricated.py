"""Settings and plans for hand-made rows of `cells`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
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


def write_plan(store: Store, run_id: str, cells: Iterable[str], **row: Any) -> None:
    """A run that is begun after all that are there, and the cells that it asks for."""
    runs = store.read("runs")["ordinal"].to_pylist()
    begun = {"name": "made", "started_at": datetime(2026, 3, 1, 12, tzinfo=UTC), "config_digest": "0" * 64}
    store.write("plans", run_id, [{"cell_id": cell} for cell in cells])
    store.write("runs", run_id, [begun | {"ordinal": max(runs, default=0) + 1} | row])
