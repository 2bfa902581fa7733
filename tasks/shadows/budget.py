"""What a layout of shadow models can show, before anything runs; refuses what it cannot show at all."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass

import numpy as np

from tasks.errors import AuditError
from tasks.shadows.layout import ShadowLayout, StateCounts
from tasks.statistics.epsilon import epsilon_ceiling

MIN_PER_EXAMPLE = 8


@dataclass(frozen=True, kw_only=True)
class Demands:
    """What the report is asked to show."""

    games: tuple[str, ...] = ("G2",)
    """G1 counts false positives among retrained models, G2 among models that never saw the example."""
    fpr: tuple[float, ...] = ()
    """False-positive rates of pooled TPR@FPR."""
    per_example: bool = True
    """Accuracy and AUC of single examples."""
    epsilon: float = 0.0
    """The epsilon that a single example must be able to show."""


def observations_per_state(layout: ShadowLayout) -> dict[str, dict[str, float]]:
    """Mean observations of a target under one method, exact: pool -> state -> number."""
    counts = {pool.name: layout.counts(pool.name) for pool in layout.pools}
    states = ("unlearned", "retained", "never")
    return {name: {s: float(getattr(found, s).mean()) for s in states} for name, found in counts.items()}


def check_demands(layout: ShadowLayout, demands: Demands) -> None:
    """Refuse a layout that leaves too few observations for what is asked.

    Raises:
        AuditError: the first of `shortfalls`.
    """
    for problem in shortfalls(layout, demands):
        raise AuditError(f"{problem}; expected more [shadows] num, or more targets or draws")


def shortfalls(
    layout: ShadowLayout, demands: Demands, *, pools: Container[str] | None = None
) -> Iterator[str]:
    """What a layout cannot show of some pools, or of all, a line for each.

    A line names the pool, the number that is missing and, where it can be computed, the smallest num_shadows
    that would do.
    """
    for pool in layout.pools:
        if pools is not None and pool.name not in pools:
            continue
        counts = layout.counts(pool.name)
        unlearned, never = int(counts.unlearned_bases.min()), int(counts.never_bases.min())
        if demands.per_example:
            yield from _short(
                layout, pool.name, "a per-example result", min(unlearned, never), MIN_PER_EXAMPLE
            )
        for game in demands.games:
            for fpr in demands.fpr:
                # Thresholds come from one half of the pairs and are counted on the other.
                pooled = int(_negatives(counts, game).sum()) // 2
                yield from _short(layout, pool.name, f"{game} TPR at FPR {fpr:g}", pooled, _resolving(fpr))
            yield from _low_ceiling(layout, pool.name, game, demands.epsilon, unlearned // 2, never // 2)


def _negatives(counts: StateCounts, game: str) -> np.ndarray:
    """Observations of each target under the hypothesis that it was not learned, or unlearned exactly."""
    return counts.unlearned if game == "G1" else counts.never


def _resolving(fpr: float) -> int:
    """Fewest negatives among which the rate can be seen: more than 1 / fpr."""
    return int(np.floor(1 / fpr)) + 1


def _short(layout: ShadowLayout, pool: str, what: str, have: int, needed: int) -> Iterator[str]:
    if have < needed:
        shadows = 2 * int(np.ceil(layout.num_shadows / 2 * needed / max(have, 1)))
        unit = "shadows per state" if needed == MIN_PER_EXAMPLE else "negatives"
        yield (
            f"pool '{pool}': {what} needs {needed:,} {unit}, {layout.num_shadows} shadows give {have:,}; "
            f"about {shadows:,} would do"
        )


def _low_ceiling(
    layout: ShadowLayout, pool: str, game: str, epsilon: float, positives: int, never: int
) -> Iterator[str]:
    negatives = positives if game == "G1" else never
    ceiling = float(epsilon_ceiling(np.array(positives), np.array(negatives)))
    if epsilon > ceiling:
        yield (
            f"pool '{pool}': {game} epsilon of one example shows at most {ceiling:.2f} with "
            f"{layout.num_shadows} shadows, even under perfect separation; {epsilon:g} needs more"
        )
