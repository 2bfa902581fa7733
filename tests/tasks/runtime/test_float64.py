"""Apple's GPU has no float64: whatever asks for it asks the CPU, or says why the values are not on such a device."""

from __future__ import annotations

import ast
from pathlib import Path

import torch

from tasks.runtime.devices import off_mps

TASKS = Path(__file__).parents[3] / "tasks"
ELSEWHERE = {
    "tasks/measure/fairness.py": {
        "mean.double()",  # statistics are kept off that GPU
        "self.mean[rows].double()",
        "self.second[rows].double()",
        "self.values[definition][rows].double()",
        "self._weights(inverse).double()",
    },
    "tasks/objectives/language.py": {
        "(right & (wrong_after == 0)).sum(dim=1).double()",  # what is known of each token is moved to the host
        "likelihood.double()",
        "right.sum(dim=1).double()",
        "standardised.double()",
    },
}


def asks(path: Path) -> set[str]:
    """Calls of `.double()` on what need not be on the CPU."""
    calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    doubled = (c for c in calls if isinstance(c.func, ast.Attribute) and c.func.attr in ("double", "float64"))
    return {ast.unparse(c) for c in doubled if not _moved(c.func.value)}  # type: ignore[attr-defined]


def _moved(value: ast.expr) -> bool:
    told = ast.unparse(value)
    return told.endswith(".cpu()") or told.startswith("off_mps(")


def test_nothing_asks_a_device_for_float64() -> None:
    found = {str(path.relative_to(TASKS.parent)): asks(path) for path in TASKS.rglob("*.py")}
    assert {name: calls for name, calls in found.items() if calls} == ELSEWHERE


def test_values_stay_where_float64_is_to_be_had() -> None:
    here = torch.ones(2)
    assert off_mps(here) is here
    assert off_mps(torch.ones(2, device="meta")).device.type == "meta"
