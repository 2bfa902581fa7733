"""What a shadow sweep will cost and can show, before anything runs; refuses what it cannot show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.attacks.competition import epsilon_ceiling
from tasks.errors import AuditError
from tasks.shadows.layout import ShadowLayout

MIN_PER_EXAMPLE = 8
BYTES_PER_OBSERVATION = 9
"""phi and loss in float32, state in int8."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Counts and bytes of a sweep (MEMBERSHIP.md 2.2)."""

    trainings: int
    unlearnings: int
    training_equivalents: float
    """Trainings + unlearnings x their relative cost."""
    observations_per_state: dict[str, dict[str, float]]
    """Pool -> state -> mean observations per target, exact."""
    observations: int
    observation_bytes: int
    mask_bytes: int
    weight_bytes: int


@dataclass(frozen=True, kw_only=True)
class Demands:
    """What the report is asked to show."""

    fpr: tuple[float, ...] = ()
    """False-positive rates of pooled TPR@FPR."""
    per_example: bool = True
    """Accuracy and AUC of single examples."""
    per_example_fpr: tuple[float, ...] = ()
    """False-positive rates of TPR@FPR within single examples."""
    epsilon: float = 0.0
    """The epsilon that a single example must be able to show."""


def budget(
    layout: ShadowLayout,
    *,
    num_methods: int,
    num_examples: int,
    num_tuning: int = 0,
    num_oracles: int = 0,
    unlearning_cost: float = 0.05,
    stored_weight_bytes: int = 0,
) -> Budget:
    """Count the work of a layout.

    trainings = N + N_tune + N_oracle S; unlearnings = N M sum of D_s. A shadow serves all methods.

    Args:
        layout: shadows, pools and draws.
        num_methods: methods (times parameter scopes) that unlearn every draw.
        num_examples: examples scored in each run.
        num_tuning: shadows apart from the report's, for hyper-parameters.
        num_oracles: retrained models per pool (game G1's reference), 0 without.
        unlearning_cost: of one unlearning, in trainings.
        stored_weight_bytes: of one base model, 0 where weights are not kept.
    """
    draws = sum(pool.draws for pool in layout.pools)
    trainings = layout.num_shadows + num_tuning + num_oracles * len(layout.pools)
    unlearnings = layout.num_shadows * num_methods * draws
    runs = layout.num_shadows + unlearnings + num_oracles * len(layout.pools)
    states = {}
    for pool in layout.pools:
        counts = layout.counts(pool.name)
        states[pool.name] = {
            name: float(getattr(counts, name).mean()) for name in ("unlearned", "retained", "never")
        }
    forgotten = sum(layout.num_shadows * pool.draws * pool.forget_size for pool in layout.pools)
    return Budget(
        trainings=trainings,
        unlearnings=unlearnings,
        training_equivalents=trainings + unlearnings * unlearning_cost,
        observations_per_state=states,
        observations=runs * num_examples,
        observation_bytes=runs * num_examples * BYTES_PER_OBSERVATION,
        mask_bytes=layout.num_shadows * -(-len(layout.train_ids) // 8) + 4 * forgotten,
        weight_bytes=stored_weight_bytes * layout.num_shadows,
    )


def check_demands(layout: ShadowLayout, demands: Demands) -> None:
    """Refuse a layout that leaves too few observations for what is asked.

    Raises:
        AuditError: names the pool, the number that is missing and the smallest num_shadows that would do.
    """
    for pool in layout.pools:
        counts = layout.counts(pool.name)
        unlearned, never = int(counts.unlearned_bases.min()), int(counts.never_bases.min())
        # Thresholds come from one half of the pairs and are counted on the other.
        pooled = int(counts.never.sum()) // 2
        for fpr in demands.fpr:
            _need(layout, pool.name, f"TPR at FPR {fpr:g}", pooled, _resolving(fpr), "negatives")
        for fpr in demands.per_example_fpr:
            _need(
                layout,
                pool.name,
                f"TPR at FPR {fpr:g} of one example",
                never // 2,
                _resolving(fpr),
                "negatives",
            )
        if demands.per_example:
            fewest = min(unlearned, never)
            _need(layout, pool.name, "per-example results", fewest, MIN_PER_EXAMPLE, "shadows per state")
        _check_epsilon(layout, pool.name, demands.epsilon, unlearned // 2, never // 2)


def _resolving(fpr: float) -> int:
    """Fewest negatives among which the rate can be seen: more than 1 / fpr."""
    return int(np.floor(1 / fpr)) + 1


def _need(layout: ShadowLayout, pool: str, what: str, have: int, needed: int, unit: str) -> None:
    if have >= needed:
        return
    shadows = 2 * int(np.ceil(layout.num_shadows / 2 * needed / max(have, 1)))
    raise AuditError(
        f"pool '{pool}': {what} needs {needed} {unit}, {layout.num_shadows} shadows give {have}; "
        f"expected [shadows] num of about {shadows} (or more targets or draws)"
    )


def _check_epsilon(layout: ShadowLayout, pool: str, epsilon: float, positives: int, negatives: int) -> None:
    ceiling = float(epsilon_ceiling(np.array(positives), np.array(negatives)))
    if epsilon > ceiling:
        raise AuditError(
            f"pool '{pool}': epsilon {epsilon:g} of one example is above the ceiling {ceiling:.2f} that "
            f"{layout.num_shadows} shadows allow under perfect separation; expected more shadows"
        )
