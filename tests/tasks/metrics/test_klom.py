"""KLoM against a loop, against the divergence of two known densities, and against every exchange of few models."""

from itertools import pairwise, product

import numpy as np
import pytest
from scipy.stats import norm

from tasks.metrics.klom import Klom, Margins, klom, klom_metrics
from tasks.statistics.binned_divergence import bin_members, divergence


def looped(first, second):
    """The published definition, a bin at a time: the joint range in 20, the second sample floored at 1e-5."""
    first, second = (np.clip(np.asarray(values, dtype=float), -100, 100) for values in (first, second))
    low, high = min(first.min(), second.min()), max(first.max(), second.max())
    if low == high:
        high = low + 1
    edges, total = np.linspace(low, high, 21), 0.0
    for i, (start, end) in enumerate(pairwise(edges)):
        shares = []
        for values in (first, second):
            shares.append(np.mean((values >= start) & ((values < end) | (i == 19))))
        p, q = shares
        if p > 0:
            total += p * np.log(p / max(q, 1e-5))
    return total


def margins(first, second, inside=None, pair=None):
    first, second = np.asarray(first), np.asarray(second)
    return Margins(
        split="forget",
        example_ids=np.arange(first.shape[1]),
        pair=np.arange(len(first)) if pair is None else pair,
        unlearned=first,
        retrained=second,
        inside=np.ones(first.shape, dtype=bool) if inside is None else inside,
    )


def measured(of, *, seed=0, exchanges=50, repeats=50) -> Klom:
    return klom(of, exchanges=exchanges, repeats=repeats, generator=np.random.default_rng(seed))


def divergences(first, second):
    return divergence(*(members.sum(0) for members in bin_members(first, second, np.full(first.shape, True))))


def test_divergences_equal_a_loop_over_examples_and_bins():
    generator = np.random.default_rng(0)
    first, second = generator.normal(2, 3, (40, 30)), generator.normal(0, 2, (40, 30))
    first[:, 0] *= 100  # beyond the clip
    first[:, 1] = second[:, 1] = 7.0  # one value alone
    first[:, 2], second[:, 2] = 5.0, 1.0  # nothing shared: log(1 / 1e-5)
    inside = generator.random(first.shape) < 0.5
    found = measured(margins(first, second, inside)).divergence
    wanted = [looped(a[kept], b[kept]) for a, b, kept in zip(first.T, second.T, inside.T, strict=True)]
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert found[2] == pytest.approx(np.log(1e5))
    assert found[1] == 0


@pytest.mark.parametrize(("shift", "spread"), [(0.5, 1.0), (1.0, 0.7), (-2.0, 1.0)])
def test_many_models_give_the_divergence_of_the_densities(shift, spread):
    generator = np.random.default_rng(1)
    first, second = generator.normal(shift, spread, (400_000, 1)), generator.normal(0, 1, (400_000, 1))
    edges = np.linspace(min(first.min(), second.min()), max(first.max(), second.max()), 21)
    p, q = np.diff(norm.cdf(edges, shift, spread)), np.diff(norm.cdf(edges))
    wanted = np.sum(p * np.log(p / np.maximum(q, 1e-5)))
    assert divergences(first, second)[0] == pytest.approx(wanted, rel=0.03)
    unbinned = np.log(1 / spread) + (spread**2 + shift**2) / 2 - 0.5
    assert wanted == pytest.approx(unbinned, rel=0.1)


def test_what_is_by_chance_is_the_mean_over_every_exchange():
    generator = np.random.default_rng(2)
    first, second = generator.normal(1, 1, (6, 8)), generator.normal(0, 1, (6, 8))
    every = []
    for coins in product((False, True), repeat=6):
        swapped = np.array(coins)[:, None]
        one, other = np.where(swapped, second, first), np.where(swapped, first, second)
        every.append([looped(a, b) for a, b in zip(one.T, other.T, strict=True)])
    found = measured(margins(first, second), exchanges=8000, repeats=2)
    np.testing.assert_allclose(found.by_chance, np.mean(every, axis=0), atol=0.03)
    assert found.value_by_chance == pytest.approx(np.quantile(every, 0.95, axis=1).mean(), abs=0.03)


def simulated(generator, *, models, shift, examples=120):
    """Margins that share what their training sets have in common, and an effect of each model on all examples."""
    shared, difficulty = generator.normal(size=(models, examples)), generator.normal(0, 2, examples)
    sides = [
        np.sqrt(0.5) * shared
        + np.sqrt(0.3) * generator.normal(size=(models, examples))
        + np.sqrt(0.2) * generator.normal(size=(models, 1))
        for _ in range(2)
    ]
    return margins(difficulty + sides[0] + shift, difficulty + sides[1])


def test_few_equal_models_are_far_apart_and_nothing_is_in_excess():
    """16 models of either kind give about 5.8; over 30 repetitions the excess is 0 within four standard errors."""
    generator = np.random.default_rng(3)
    found = [measured(simulated(generator, models=16, shift=0.0), seed=seed) for seed in range(30)]
    excess = np.array([one.value - one.value_by_chance for one in found])
    assert 5.5 < np.mean([one.value for one in found]) < 6.1
    assert abs(excess.mean()) < 4 * excess.std() / np.sqrt(30)
    assert np.mean([abs(one) <= other.half_width for one, other in zip(excess, found, strict=True)]) >= 0.93


def test_a_shift_is_in_excess_beyond_its_interval():
    found = measured(simulated(np.random.default_rng(4), models=64, shift=1.0))
    rows = {row.metric: row for row in klom_metrics(found)}
    assert rows["klom_excess"].ci_low > 0.2
    assert rows["klom"].value - rows["klom_by_chance"].value == pytest.approx(rows["klom_excess"].value)
    assert rows["klom"].ci_low > rows["klom_by_chance"].value
    assert rows["klom"].value == pytest.approx(np.quantile(found.divergence, 0.95))


def test_pairs_are_left_out_whole():
    """Copies of a model in the place of its pair add nothing: the interval is that of half as many."""
    single = simulated(np.random.default_rng(5), models=16, shift=1.0)
    doubled = margins(*(np.repeat(side, 2, axis=0) for side in (single.unlearned, single.retrained)))
    paired = margins(doubled.unlearned, doubled.retrained, pair=np.repeat(np.arange(16), 2))
    widths = [measured(one, repeats=1000).half_width for one in (single, paired, doubled)]
    assert widths[1] == pytest.approx(widths[0], rel=0.1)
    assert widths[2] < 0.9 * widths[0]
