"""Scores of all kinds that are asked for, and one provenance of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from orchestrator.scores.risk import shadow_scores
from tasks.errors import AuditError

Kind = Literal["risk", "features"]


def collect(
    root: str,
    *,
    kinds: Sequence[Kind],
    architecture: str,
    half: int | None,
    of: Literal["correct", "confidence"],
    seed: int | None,
    run: str | None = None,
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The scores of all kinds and one provenance of them; torch is imported for features alone.

    Args:
        root: the results directory.
        kinds: at least one.
        architecture: whose models are asked.
        half: see `shadow_scores`.
        of: see `shadow_scores`.
        seed: see `feature_scores`.
        run: id of the run whose models are asked; None: the latest that has such models.
    """
    if not kinds:
        raise AuditError("--kinds: expected risk, features or both, got none")
    scores: dict[str, np.ndarray] = {}
    provenance: dict[str, Any] = {"sha256": {}}
    for kind in dict.fromkeys(kinds):
        if kind == "risk":
            found, origin = shadow_scores(root, architecture=architecture, half=half, of=of, run=run)
        else:
            from orchestrator.scores.features import feature_scores

            found, origin = feature_scores(root, architecture=architecture, seed=seed, run=run)
        digests = {**provenance["sha256"], **origin["sha256"]}
        scores |= found
        provenance |= {**origin, "sha256": digests}
    return scores, provenance


def summary(scores: Mapping[str, np.ndarray], provenance: Mapping[str, Any]) -> str:
    """What was found, in a line."""
    parts = []
    if "memorisation" in scores:
        known = int(np.isfinite(scores["memorisation"]).sum())
        parts.append(
            f"memorisation and privacy_risk of {known} examples, {provenance['num_shadows']} shadow models"
        )
    if "features" in scores:
        known = int(np.isfinite(scores["features"]).all(axis=1).sum())
        origin = provenance["features"]
        parts.append(f"{origin['dimensions']} features of {known} examples, seed {origin['seed']}")
    return ", ".join(parts)
