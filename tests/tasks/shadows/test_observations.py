"""The container of observations and the games played on it."""

import numpy as np
import pytest

from tasks.attacks.lira import ULiRA
from tasks.errors import AuditError, UnknownName
from tasks.metrics.per_example import auc_by_example
from tasks.shadows.games import compare
from tasks.shadows.observations import Observations, RunBlock, State
from tests.support.shadow_simulation import make_layout, observe


@pytest.fixture
def observed() -> Observations:
    return observe(make_layout(16, 40, 10, 2), np.random.default_rng(0), tests=5)


def test_nine_bytes_an_observation(observed: Observations) -> None:
    assert observed.nbytes == 9 * observed.phi.size


def test_diverged_and_duplicate_runs_are_refused() -> None:
    good = RunBlock(shadow=0, draw=0, state=np.zeros(2, np.int8), phi=np.zeros(2))
    bad = RunBlock(shadow=1, draw=0, state=np.zeros(2, np.int8), phi=np.array([0, np.nan]))
    names = {"method": "m", "scope": "s", "family": "f", "example_ids": np.arange(2)}
    with pytest.raises(AuditError, match="shadow 1, draw 0: phi is not finite"):
        Observations.from_blocks([good, bad], **names)
    with pytest.raises(AuditError, match="occurs twice"):
        Observations.from_blocks([good, good], **names)


def test_halves_partition_the_pairs(observed: Observations) -> None:
    halves = [observed.of_half(h) for h in (0, 1)]
    assert sum(len(h.shadow) for h in halves) == len(observed.shadow)
    assert not np.intersect1d(halves[0].pair, halves[1].pair).size


def test_ever_counts_shadows_and_not_draws(observed: Observations) -> None:
    layout = make_layout(16, 40, 10, 2)
    counts = layout.counts("t")
    np.testing.assert_array_equal(observed.ever(State.NEVER)[:40], counts.never_bases)
    np.testing.assert_array_equal(observed.ever(State.UNLEARNED)[:40], counts.unlearned_bases)


@pytest.mark.parametrize(("game", "positive"), [("G0", {1, 2}), ("G2", {2}), ("G3", {1})])
def test_labels_follow_the_states(observed: Observations, game: str, positive: set[int]) -> None:
    comparison = compare(observed, game)
    _, label = comparison.block(slice(0, 40))
    state = observed.state[:, np.isin(observed.example_ids, comparison.example_ids)]
    np.testing.assert_array_equal(label == 1, np.isin(state, list(positive)))
    np.testing.assert_array_equal(label == 0, state == State.NEVER)
    assert not np.isin(comparison.example_ids, observed.example_ids[40:]).any()


def test_a_global_shift_is_seen_by_g1_and_not_by_g2() -> None:
    """Trap 23, and why G2 is needed: raising everyone's loss is not forgetting x."""
    layout, generator = make_layout(64, 60, 30), np.random.default_rng(1)
    unlearned = observe(layout, generator, offset=-2.0)
    base = observe(layout, generator, base=True, method="none")
    within = auc_by_example(ULiRA(game="G2").score(compare(unlearned, "G2")))
    against = auc_by_example(ULiRA(game="G1").score(compare(unlearned, "G1", reference=base)))
    assert within.mean() == pytest.approx(0.5, abs=0.03)
    assert against.mean() > 0.85


def test_g1_against_retrained_models_compares_the_same_examples() -> None:
    layout, generator = make_layout(32, 60, 30), np.random.default_rng(2)
    retrained = observe(layout, generator, method="retrained")
    unlearned = observe(layout, generator, shift=1.5)
    game = compare(unlearned, "G1", reference=retrained, reference_state=State.UNLEARNED)
    _, label = game.block(slice(0, 60))
    np.testing.assert_array_equal(label[:32] == 1, unlearned.state == State.UNLEARNED)
    np.testing.assert_array_equal(label[32:] == 0, retrained.state == State.UNLEARNED)


def test_games_are_refused_where_they_make_no_sense(observed: Observations) -> None:
    with pytest.raises(UnknownName, match="membership game"):
        compare(observed, "G7")
    with pytest.raises(AuditError, match="needs reference"):
        compare(observed, "G1")
    with pytest.raises(AuditError, match="takes no reference"):
        compare(observed, "G2", reference=observed)
    with pytest.raises(AuditError, match="at least 20 shadows"):
        compare(observed, "G2", min_shadows=20)


def test_examples_with_too_few_shadows_are_named() -> None:
    observed = observe(make_layout(8, 40, 5), np.random.default_rng(0))
    counts = make_layout(8, 40, 5).counts("t").unlearned
    comparison = compare(observed, "G2", min_shadows=1)
    np.testing.assert_array_equal(comparison.example_ids, np.flatnonzero(counts >= 1))
    assert len(compare(observe(make_layout(16, 40, 7), np.random.default_rng(0)), "G2").excluded) == int(
        (make_layout(16, 40, 7).counts("t").unlearned < 3).sum()
    )
