"""An attack on single examples reads one statistic after the other: each as if it were phi, none mixed with another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from tasks.attacks.base import attacks, check_measurement
from tasks.attacks.example_epsilon import ExampleEpsilon
from tasks.attacks.per_example import PerExample
from tasks.attacks.rank_test import RankTest
from tasks.attacks.views import ShadowView
from tasks.contracts.small_views import SETTINGS, SmallShadows
from tasks.errors import AuditError
from tasks.metrics.per_example import discoveries
from tasks.objectives.names import STATISTICS, USUAL_STATISTICS
from tasks.shadows.observations import Observations, named_by
from tasks.statistics.epsilon import epsilon_ceiling

BOTH = ("phi", "min_k_pp")
GAMES = [
    (name, game)
    for name in ("lira", "u_lira", "rmia", "u_rmia", "kernel_density", "rank_test", "example_epsilon")
    for game in attacks.get(name).games
] + [("klom", ""), ("before_after", "")]
COUNTED = {"examples_vulnerable", "examples_significant", "examples_worse_than_before"}
"""What allows for the number of statistics, as do bounds of epsilon."""


def other(observed: Observations) -> np.ndarray:
    """Another statistic of the same runs, in other units and another order: cubed, every second example mirrored."""
    sign = np.where(observed.example_ids % 2 == 0, 1, -1)
    return (0.01 * sign * observed.phi**3).astype(np.float32)


class Documents(SmallShadows):
    """Simulated shadow models of documents, which have min_k_pp too; `swapped`: in the place of phi."""

    def __init__(self, *, swapped: bool = False) -> None:
        super().__init__(canaries=False)
        self._swapped = swapped

    def _observe(self, method: str, pool: str, *, shift: float) -> Observations:
        observed = super()._observe(method, pool, shift=shift)
        if self._swapped:
            return replace(observed, phi=other(observed))
        return replace(observed, min_k_pp=other(observed))


def measured(attack: PerExample, *, swapped: bool = False):
    """Rows of metrics by place, and values of examples by split and what they are."""
    view = ShadowView(attack, Documents(swapped=swapped), name="a", settings=SETTINGS)
    found = attack.measure(view)
    check_measurement(attack, found, name="a")
    rows = {(m.metric, m.split, m.variant, m.param): (m.value, m.ci_low, m.ci_high) for m in found.metrics}
    examples: dict[tuple[str, str], list[float]] = {}
    for block in found.examples:
        for statistic, split, value in zip(block["statistic"], block["split"], block["score"], strict=True):
            examples.setdefault((str(statistic), str(split)), []).append(float(value))
    return rows, examples


@pytest.mark.parametrize(("name", "game"), GAMES)
def test_every_statistic_is_measured_as_phi_would_be_and_named(name: str, game: str) -> None:
    attack = attacks.build(name, {"game": game} if game else {}, where="test")
    rows, examples = measured(replace(attack, statistics=BOTH))
    alone = {"phi": measured(attack), "min_k_pp": measured(attack, swapped=True)}
    seen: set[tuple] = set()
    for statistic, (own_rows, own_examples) in alone.items():
        for place, value in own_rows.items():
            metric, split, variant, param = place
            if metric == "runs_missing":
                assert rows[place] == value
                continue
            named = variant.replace("phi", statistic) if name == "rank_test" else _named(variant, statistic)
            seen.add((metric, split, named, param))
            if metric not in COUNTED and not metric.startswith("epsilon"):
                assert rows[metric, split, named, param] == value, place
        for (what, split), values in own_examples.items():
            head, _, tail = what.partition(":")
            own = head.replace("phi", statistic) if name == "rank_test" else named_by(head, statistic)
            held = examples[f"{own}:{tail}" if tail else own, split]
            if tail == "q_value":
                np.testing.assert_allclose(held, np.minimum(2 * np.array(values), 1.0), rtol=1e-6)
            elif tail != "epsilon":
                assert held == values
    assert set(rows) == seen | {place for place in rows if place[0] == "runs_missing"}


def _named(variant: str, statistic: str) -> str:
    head, _, tail = variant.partition(":")
    named = named_by(head, statistic)
    return f"{named}:{tail}" if tail else named


def test_bounds_of_epsilon_hold_together() -> None:
    """Each of two statistics has half of the 5 %: bounds are lower, and the ceiling is that of 97.5 %."""
    attack = ExampleEpsilon(game="G2")
    (alone, _), (both, _) = measured(attack), measured(replace(attack, statistics=BOTH))
    place = ("epsilon_ceiling", "forget", "example_epsilon:selected_example", None)
    counts = ShadowView(attack, Documents(), name="a", settings=SETTINGS).comparison()
    found = attack.estimate(counts, num_statistics=2)
    one = int(np.argmax(found.chosen))
    ceiling = epsilon_ceiling(found.positives[one], found.negatives[one], confidence=0.975)
    assert both[place][0] == pytest.approx(float(ceiling))
    assert both[place][0] < alone[place][0]
    assert (found.lower <= attack.estimate(counts).lower + 1e-12).all()


@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_two_statistics_claim_no_more_falsely_than_one_may(correlation: float) -> None:
    """Of 60 examples without a trace, any is claimed by either statistic in at most 10 % of 4,000 audits; without
    allowing for their number in nearly twice as many where they are unlike."""
    generator, audits, rate = np.random.default_rng(3), 4000, 0.1
    shared = generator.normal(size=(audits, 1, 60))
    noise = generator.normal(size=(audits, 2, 60))
    p_value = 2 * stats.norm.sf(np.abs(np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * noise))

    def claims(num_statistics: int) -> int:
        return sum(
            any(discoveries(p, rate=rate, num_statistics=num_statistics).discovered.any() for p in audit)
            for audit in p_value
        )

    assert stats.binomtest(claims(2), audits, rate, alternative="greater").pvalue > 0.001
    if not correlation:
        assert stats.binomtest(claims(1), audits, rate, alternative="greater").pvalue < 1e-6


def test_of_what_either_statistic_names_few_are_false() -> None:
    """12 of 60 examples differ, in one statistic or in the other."""
    generator, shares, found = np.random.default_rng(4), [], []
    for _ in range(500):
        z = generator.normal(size=(2, 60))
        z[generator.integers(2, size=12), np.arange(12)] += 4.0
        p_value = 2 * stats.norm.sf(np.abs(z))
        named = np.any([discoveries(p, rate=0.1, num_statistics=2).discovered for p in p_value], axis=0)
        shares.append(named[12:].sum() / max(named.sum(), 1))
        found.append(named[:12].mean())
    assert np.mean(shares) <= 0.1 + 3 * np.std(shares) / np.sqrt(len(shares))
    assert np.mean(found) > 0.8


def test_what_is_significant_alone_is_counted_before_any_correction() -> None:
    """Under the null a share of `rate` is, however many statistics are read; only discoveries allow for these."""
    p = (np.arange(1000) + 0.5) / 1000
    for number in (1, 2, 5):
        found = discoveries(p, rate=0.1, num_statistics=number)
        assert found.uncorrected == found.expected_by_chance == 100
        assert not found.discovered.any()
    strong = np.array([0.004, 0.9])
    assert discoveries(strong, rate=0.01, num_statistics=1).discovered.tolist() == [True, False]
    assert discoveries(strong, rate=0.01, num_statistics=2).discovered.tolist() == [False, False]


def test_statistics_are_named_by_the_objective_where_nobody_named_them() -> None:
    assert RankTest.defaults("classify") == {"statistics": ("phi",)}
    assert RankTest.defaults("language") == {"statistics": ("phi", "min_k_pp")}
    for objective, usual in USUAL_STATISTICS.items():
        assert set(usual) <= set(STATISTICS[objective])


def test_a_statistic_that_was_not_recorded_is_said() -> None:
    attack = RankTest(statistics=("min_k",))
    view = ShadowView(attack, Documents(), name="a", settings=SETTINGS)
    with pytest.raises(AuditError, match="expected 'min_k' of every run"):
        attack.measure(view)


def test_what_came_before_unlearning_is_of_the_same_statistic() -> None:
    source = Documents()
    base, after = (of.of_statistic("min_k_pp") for of in (source.base(), source.unlearned()))
    before = after.before(base)
    np.testing.assert_array_equal(before.phi, other(source.base()))
    assert before.statistic == "min_k_pp"
    np.testing.assert_array_equal(source.unlearned().before(source.base()).min_k_pp, other(source.base()))
