"""Which examples are worse off after unlearning than before it, over the same shadow models.

A forgotten example is worse off where it is further from what models that never saw it answer, on either side: more
remembered, or forgotten so far that this betrays it. In each pair one shadow model was trained on the example and the
other was not; |phi in - phi out|, in units of how much phi of unseen examples varies between models of that time, is
taken after unlearning and before. A retained example is worse off where phi is lower after than before. Where nothing
changed, before and after are exchangeable in each shadow model: Wilcoxon's signed-rank test, exact, one-sided.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.metrics.audit import beside
from tasks.metrics.base import Metric, MetricValue, Reading
from tasks.metrics.per_example import discoveries
from tasks.metrics.two_way import Estimate, by_pair
from tasks.shadows.games import one_per_shadow
from tasks.shadows.observations import Observations, State
from tasks.statistics.ranks import signed_rank_p

EXAMPLES_WORSE = Metric(
    name="examples_worse_than_before",
    about="single examples that unlearning left worse off than the original model had them, at a false-discovery rate",
    low=0,
    high=float("inf"),
    kind="forgetting",
    higher_is="worse",
    error="none",
    no_interval="the rate bounds the expected share of false ones instead",
    instead={"retain": Reading("utility", "worse", "none")},
    margin=None,
    margin_because="how many there are depends on how many are tested",
)
SHARE_WORSE = Metric(
    name="share_worse_than_before",
    about="share of (shadow model, example) that unlearning left worse off; one half where nothing happened",
    low=0,
    high=1,
    kind="forgetting",
    higher_is="worse",
    error="two_way",
    instead={"retain": Reading("utility", "worse", "two_way")},
    margin=0.05,
    margin_because="one observation in twenty",
)
METRICS = (EXAMPLES_WORSE, SHARE_WORSE)
STATISTIC = "worse_than_before"
_STEP = 0.1
"""Of the logarithm of a unit, to see how the share answers to it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Worsening:
    """How much worse off each example is after than before, one value a shadow model or pair."""

    split: str
    """forget or retain."""
    example_ids: np.ndarray
    """`E`."""
    shadow: np.ndarray
    """`R`."""
    change: np.ndarray
    """`R x E`: above 0 is worse; 0 where `present` is not set."""
    present: np.ndarray
    """`R x E`, bool."""
    scaled: np.ndarray
    """`R x E`: share of each value in what the error of the units adds to that of `share`; 0 without units."""

    @property
    def p_value(self) -> np.ndarray:
        """`E`: that the example is no worse off."""
        return signed_rank_p(self.change, self.present)

    @property
    def mean(self) -> np.ndarray:
        """`E`: mean change."""
        return self.change.sum(0) / np.maximum(self.present.sum(0), 1)

    def share(self) -> Estimate:
        """Share of the observations that are worse, ties one half."""
        worse = np.where(self.present, (self.change > 0) + 0.5 * (self.change == 0), 0.0)
        total = int(self.present.sum())
        value = float(worse.sum()) / max(total, 1)
        deviation = np.where(self.present, worse - value, 0.0) / max(total, 1)
        return by_pair(
            value, deviation + self.scaled, shadow=self.shadow, example_ids=self.example_ids, n=total
        )


def forgotten(base: Observations, after: Observations, example_ids: np.ndarray) -> Worsening:
    """Change of the distance from never seen, of unlearned examples; one row for each pair of shadow models.

    Of several draws the first counts in which the example was unlearned, with the same draw of the other model. All
    pairs share the two units: how the share of what is worse answers to their ratio turns the error of the units into
    one of the share (derived here; simulated coverage .96 to .98 where leaving it out gives .89 to .95).

    Args:
        base: of the shadow models as trained.
        after: of the unlearned models.
        example_ids: sorted.
    """
    columns = np.searchsorted(after.example_ids, example_ids)
    before_it = after.before(base)
    after = after.of_runs(np.isin(after.shadow, base.shadow))
    times = [runs.phi[:, columns].astype(np.float64) for runs in (before_it, after)]
    state = after.state[:, columns]
    units, errors = zip(*(_units(phi, state, after.shadow) for phi in times), strict=True)
    pairs, index = np.unique(after.pair, return_inverse=True)
    distance, present = (
        np.zeros((2, len(pairs), len(columns))),
        np.zeros((len(pairs), len(columns)), dtype=bool),
    )
    row = {(int(s), int(d)): i for i, (s, d) in enumerate(zip(after.shadow, after.draw, strict=True))}
    for (shadow, draw), inside in row.items():
        outside = row.get((shadow ^ 1, draw))
        if outside is None:
            continue
        pair = int(np.searchsorted(pairs, shadow // 2))
        new = (state[inside] == State.UNLEARNED) & (state[outside] == State.NEVER) & ~present[pair]
        for part, unit, phi in zip(distance, units, times, strict=True):
            part[pair, new] = unit * np.abs(phi[inside] - phi[outside])[new]
        present[pair] |= new
    before, now = distance
    step = np.exp(_STEP)
    worse = [int((now * ratio > before)[present].sum()) for ratio in (1 / step, step)]
    slope = (worse[1] - worse[0]) / (2 * _STEP * max(int(present.sum()), 1))
    scaled = np.zeros(present.shape)
    np.add.at(scaled, index.reshape(-1), slope * (errors[1] - errors[0]))
    return Worsening(
        split="forget",
        example_ids=example_ids,
        shadow=2 * pairs,
        change=now - before,
        present=present,
        scaled=scaled,
    )


def _units(phi: np.ndarray, state: np.ndarray, shadow: np.ndarray) -> tuple[float, np.ndarray]:
    """One over the standard deviation between models of phi of examples that they never saw.

    Returns:
        It, and the share of each value (`R x E`) in the error of its logarithm.
    """
    single = one_per_shadow(np.where(state == State.NEVER, 0, -1).astype(np.int8), shadow) == 0
    count = single.sum(0)
    free = np.maximum(count - 1, 0)
    mean = (phi * single).sum(0) / np.maximum(count, 1)
    square = ((phi - mean) * single) ** 2
    if not square.any():
        return 1.0, np.zeros(phi.shape)
    variance = square.sum() / free.sum()
    expected = single * free / np.maximum(count, 1)
    return float(1 / np.sqrt(variance)), (expected - square / variance) / (2 * free.sum())


def retained(base: Observations, after: Observations, example_ids: np.ndarray) -> Worsening:
    """Loss of phi, of retained examples; one row for each shadow model, in the first draw that retained the example.

    Args:
        base: of the shadow models as trained.
        after: of the unlearned models.
        example_ids: sorted.
    """
    columns = np.searchsorted(after.example_ids, example_ids)
    before = after.before(base)
    after = after.of_runs(np.isin(after.shadow, base.shadow))
    label = np.where(after.state[:, columns] == State.RETAINED, 1, -1).astype(np.int8)
    single = one_per_shadow(label, after.shadow) == 1
    shadows, row = np.unique(after.shadow, return_inverse=True)
    change = np.zeros((len(shadows), len(columns)), dtype=np.float32)
    present = np.zeros(change.shape, dtype=bool)
    lost = before.phi[:, columns] - after.phi[:, columns]
    for run, shadow in enumerate(row.reshape(-1)):
        change[shadow] += np.where(single[run], lost[run], 0.0)
        present[shadow] |= single[run]
    return Worsening(
        split="retain",
        example_ids=example_ids,
        shadow=shadows,
        change=change,
        present=present,
        scaled=np.zeros(change.shape),
    )


def worse_metrics(
    found: Worsening,
    reference: Worsening | None,
    *,
    rate: float,
    num_statistics: int = 1,
    variant: str = "",
) -> list[MetricValue]:
    """How many examples are worse off, and the share of observations beside the retrained models'.

    Args:
        found: of the unlearned models.
        reference: of the retrained models, against the same original ones.
        rate: false-discovery rate (`param` of the count).
        num_statistics: by how many an example is judged.
        variant: names a statistic that is not phi.
    """
    share, tested = found.share(), len(found.example_ids)
    low, high = share.interval(0.0, 1.0)
    told = discoveries(found.p_value, rate=rate, num_statistics=num_statistics)
    count = int(told.discovered.sum()) if tested else 0
    return [
        MetricValue(
            declared=EXAMPLES_WORSE,
            split=found.split,
            value=float(count),
            ci_low=None,
            ci_high=None,
            n=tested,
            param=rate,
            variant=variant,
        ),
        beside(
            MetricValue(
                declared=SHARE_WORSE,
                split=found.split,
                value=share.value,
                ci_low=low,
                ci_high=high,
                n=share.n,
                variant=variant,
            ),
            share,
            None if reference is None else reference.share(),
        ),
    ]
