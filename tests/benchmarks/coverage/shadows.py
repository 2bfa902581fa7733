"""Estimates over shadow models: drawn as pairs of shadows that share examples."""

from __future__ import annotations

from tests.benchmarks.coverage.case import Case

FAMILY = "shadows"
CASES: tuple[Case, ...] = ()
WITHOUT = {
    "forgetting_quality": "F of the NeurIPS 2023 competition is a mean of estimates of epsilon that are biased by an "
    "amount that depends on the number of models: it has no interval",
    "retain_harm_auc_change": "no case yet",
    "retain_harm_share_worse": "no case yet",
}
"""Estimates of this family for which no coverage can be measured, and why."""
