"""Worse than before unlearning: by hand, under the null, and where something happened."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from tasks.metrics.before_after import Worsening, forgotten, retained, worse_metrics
from tasks.shadows.observations import Observations, RunBlock, State
from tests.benchmarks.false_discoveries import worse_than_before
from tests.support.shadow_simulation import before_and_after, make_layout

Measure = Callable[[Observations, Observations, np.ndarray], Worsening]
U, R, N = State.UNLEARNED, State.RETAINED, State.NEVER


def runs(rows: list[tuple[int, int, list[int], list[float]]]) -> Observations:
    blocks = [
        RunBlock(shadow=j, draw=d, state=np.array(state, dtype=np.int8), phi=np.array(phi))
        for j, d, state, phi in rows
    ]
    return Observations.from_blocks(blocks, method="m", scope="s", family="f", example_ids=np.arange(2))


BASE = runs([(0, 0, [R, N], [5, 1]), (1, 0, [N, R], [1, 4]), (2, 0, [R, N], [3, 0]), (3, 0, [N, R], [0, 2])])
AFTER = runs(
    [
        (0, 0, [R, N], [9, 9]),
        (0, 1, [U, N], [-8, 3]),
        (1, 0, [N, U], [9, 4]),
        (1, 1, [N, R], [1, 3]),
        (2, 0, [U, N], [2, 0]),
        (2, 1, [U, N], [7, 0]),  # a second draw of it is not asked
        (3, 0, [N, R], [0, 5]),
        (3, 1, [N, R], [0, 9]),
    ]
)


def test_a_forgotten_example_is_compared_with_the_model_that_never_saw_it() -> None:
    found = forgotten(BASE, AFTER, np.arange(2))
    # First draws without each example: it varies by 9 - 0 and 9 - 0 after, by 1 - 0 and 1 - 0 before.
    before, after = np.sqrt(0.5), np.sqrt(40.5)
    expected = [
        [9 / after - 4 / before, 5 / after - 3 / before],
        [2 / after - 3 / before, 0],
    ]
    np.testing.assert_allclose(found.change, expected, rtol=1e-6)
    assert found.present.tolist() == [[True, True], [True, False]]
    assert found.shadow.tolist() == [0, 2]


def test_a_retained_example_is_compared_with_itself_in_its_first_draw() -> None:
    found = retained(BASE, AFTER, np.arange(2))
    np.testing.assert_allclose(found.change, [[5 - 9, 0], [0, 4 - 3], [0, 0], [0, 2 - 5]])
    assert found.present.tolist() == [[True, False], [False, True], [False, False], [False, True]]
    assert found.share().value == pytest.approx(1 / 3)


def test_a_model_that_did_nothing_leaves_nobody_worse_off() -> None:
    layout = make_layout(16, 30, 7, 2)
    base, after = before_and_after(layout, np.random.default_rng(0), unlearned=2.0, kept=2.0, shared=1.0)
    same = after.before(base)
    for found in (forgotten(base, same, layout.pools[0].ids), retained(base, same, layout.pools[0].ids)):
        count, share = worse_metrics(found, None, rate=0.1)
        assert (count.value, count.n, count.param) == (0.0, 30, 0.1)
        assert (share.value, share.ci_low, share.ci_high) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize("measure", [forgotten, retained])
def test_the_examples_that_are_asked_for_are_those_that_are_compared(measure: Measure) -> None:
    layout = make_layout(16, 30, 7, 2)
    base, after = before_and_after(layout, np.random.default_rng(1), unlearned=2.0, kept=1.0, shared=0.5)
    everybody = measure(base, after, after.example_ids)
    asked = after.example_ids[[2, 5, 29]]
    found = measure(base, after, asked)
    assert found.present.tolist() == everybody.present[:, [2, 5, 29]].tolist()
    if measure is retained:  # the other's unit is that of the examples that are asked for
        np.testing.assert_array_equal(found.change, everybody.change[:, [2, 5, 29]])


@pytest.mark.parametrize("split", ["forget", "retain"])
def test_few_false_ones_are_found_and_most_true_ones(split: str) -> None:
    """20 sweeps of 120 examples at a rate of .1: under the null at most 6 claim anything at 1 in 400 (binomial)."""
    nothing = worse_than_before(20, shadows=32, split=split, true=0.0, level=2.0)
    assert stats.binomtest(round(20 * nothing.false_share), 20, 0.1, alternative="greater").pvalue > 0.001
    level = {"forget": 4.0, "retain": 1.0}[split]
    found = worse_than_before(10, shadows=32, split=split, true=0.2, level=level)
    assert found.false_share <= 0.16
    assert found.power > 0.8


def test_forgetting_too_well_counts_as_well_as_remembering_more() -> None:
    assert worse_than_before(4, shadows=32, split="forget", true=0.2, level=-5.0, shared=0.0).power > 0.7
    assert worse_than_before(4, shadows=32, split="forget", true=0.2, level=-1.0, shared=0.0).power < 0.02


def test_the_share_stands_beside_that_of_the_retrained_models() -> None:
    layout, generator = make_layout(32, 60, 15, 2), np.random.default_rng(5)
    base, after = before_and_after(layout, generator, unlearned=2.0, kept=1.0, shared=0.5)
    _, again = before_and_after(layout, generator, unlearned=0.0, kept=2.0, shared=0.0)
    found, reference = (retained(base, o, layout.pools[0].ids) for o in (after, again))
    _, share = worse_metrics(found, reference, rate=0.1)
    assert share.split == "retain"
    assert share.higher_is == "worse"
    assert share.difference == pytest.approx(share.value - reference.share().value)
    assert share.difference_df == 15
    assert share.difference - 2.13 * share.difference_error > 0.1  # type: ignore[operator]


def test_the_error_of_the_share_knows_of_the_units_that_all_pairs_have_in_common() -> None:
    """120 simulations in which nothing changed: without the units the error is .76 of what the share varies by."""
    layout, generator = make_layout(32, 60, 15, 2, seed=3), np.random.default_rng(8)
    shares = [
        forgotten(
            *before_and_after(layout, generator, unlearned=2.0, kept=2.0, shared=0.7), layout.pools[0].ids
        ).share()
        for _ in range(120)
    ]
    assert np.mean([one.error for one in shares]) == pytest.approx(
        1.12 * np.std([one.value for one in shares]), rel=0.2
    )
    assert max(abs(one.deviation.sum()) for one in shares) < 1e-9
