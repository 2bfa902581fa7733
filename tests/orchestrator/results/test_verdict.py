"""The verdict against scipy and a plain recomputation, and what it must and must not say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy import special, stats

from orchestrator.results.catalogue import find_query
from orchestrator.results.metric_declarations import metric_declarations
from tasks.metrics.two_way import Estimate
from tests.benchmarks.verdict_power import Truth, shares
from tests.support.verdict_session import MASKING, PLANS, REFERENCES, SETTINGS, declared, judge

LEADERBOARD = pa.schema(
    [
        *(
            (name, pa.string())
            for name in ("cell_id", "dataset", "architecture", "forget_set", "method", "scope", "role")
        ),
        *((name, pa.string()) for name in ("setting", "conditions", "attack", "attack_family", "metric")),
        *((name, pa.string()) for name in ("split", "variant", "game", "higher_is", "group_id")),
        *((name, pa.int64()) for name in ("seed", "num_shadows", "label", "n")),
        *((name, pa.float64()) for name in ("param", "value", "ci_low", "ci_high", "retrained")),
        *((name, pa.float64()) for name in ("difference", "difference_error", "difference_df")),
    ]
)
USUAL = {
    "dataset": "d",
    "architecture": "a",
    "forget_set": "f",
    "scope": "all",
    "setting": "s",
    "conditions": "c",
    "attack": "none",
    "attack_family": "none",
    "metric": "accuracy",
    "split": "forget",
    "variant": "",
    "higher_is": "closer_to_retrained",
    "n": 1000,
}
ROLES = {"no_op": "ceiling", "retrain_again": "noise_floor", "retrain_third": "control"}
PRIMARY = {"metric": "accuracy", "is_primary": True, "margin": 0.02}
RETRAINED = (0.900, 0.905, 0.896)
AGAIN = (0.903, 0.899, 0.902)
NO_OP = (0.980, 0.985, 0.982)
ENDS = ("difference_low", "difference_high", "distance_low", "distance_high")


def rows(
    models: Mapping[str, Sequence[float]], retrained: Sequence[float] = RETRAINED, **more: Any
) -> list[dict[str, Any]]:
    """One row per model and seed, of one measure."""
    return [
        USUAL
        | {"method": method, "role": ROLES.get(method, "audited"), "seed": seed, "value": value}
        | {"retrained": retrained[seed], "difference": value - retrained[seed]}
        | more
        for method, values in models.items()
        for seed, value in enumerate(values)
    ]


def ask(
    taken: list[dict[str, Any]],
    *said: Mapping[str, Any],
    view: str = "verdicts",
    settings: Sequence[Mapping[str, str]] = (),
    more: Mapping[str, pa.Table] | None = None,
) -> list[dict[str, Any]]:
    tables = {
        "leaderboard": pa.Table.from_pylist(taken, schema=LEADERBOARD),
        "declared": declared(*(said or (PRIMARY,))),
        "settings": pa.Table.from_pylist(list(settings), schema=SETTINGS),
        **(more or {}),
    }
    found: list[dict[str, Any]] = judge(tables, f"from {view}").to_pylist()
    return found


def verdict_of(
    taken: list[dict[str, Any]], *said: Mapping[str, Any], method: str = "m", **where: Any
) -> dict[str, Any]:
    """The one row of a method, where it is so."""
    (row,) = [
        r for r in ask(taken, *said) if r["method"] == method and all(r[k] == v for k, v in where.items())
    ]
    return row


def controls(**more: Any) -> list[dict[str, Any]]:
    """A second retraining, and a model that does nothing and is seen."""
    return rows({"retrain_again": AGAIN, "no_op": NO_OP}, **more)


def satterthwaite(sm: float, sr: float, sr_df: float, seeds: int) -> float:
    df = (sm + sr) ** 2 / (sm**2 / (seeds - 1) + sr**2 / sr_df)
    return seeds - 1 + (1 - 1 / seeds) * (df - seeds + 1)


def test_students_t_agrees_with_scipy_at_real_degrees_of_freedom() -> None:
    at = np.concatenate([-np.geomspace(1e-3, 50, 40), [0], np.geomspace(1e-3, 1e4, 60)])
    places = [1, 1.01, 1.5, 2, 2.7, 3.3, 5, 9.1, 30.5, 100, 331.3, 1000]
    t, df = (grid.ravel() for grid in np.meshgrid(at, places))
    tables = {"leaderboard": LEADERBOARD.empty_table(), "declared": declared()}
    given = tables | {"given": pa.table({"t": t, "df": df})}
    text = """
        select
            t_two_sided(t, df, t_deviate(t, df)) as p,
            t_tail(t, df, t_deviate(t, df)) as tail,
            t975(df) as a,
            t95(df) as b
        from given
    """
    found = judge(given, text).to_pydict()
    np.testing.assert_allclose(found["p"], 2 * stats.t.sf(abs(t), df), rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(found["tail"], stats.t.sf(t, df), rtol=0, atol=1e-7)
    np.testing.assert_allclose(found["a"], stats.t.ppf(0.975, df), rtol=1e-6)
    np.testing.assert_allclose(found["b"], stats.t.ppf(0.95, df), rtol=1e-6)


@pytest.mark.parametrize("seeds", [2, 3])
def test_the_statistic_is_that_of_separate_variances(seeds: int) -> None:
    model = np.array([0.931, 0.925, 0.940])[:seeds]
    retrained, again = np.array(RETRAINED)[:seeds], np.array(AGAIN)[:seeds]
    taken = rows({"m": model, "retrain_again": again, "no_op": NO_OP[:seeds]})
    row = verdict_of(taken)
    sm, sr = model.var(ddof=1), ((retrained - again) ** 2).mean() / 2 / 2
    error, df = np.sqrt((sm + sr) / seeds), satterthwaite(sm, sr, seeds, seeds)
    difference = (model - (retrained + again) / 2).mean()
    assert (row["difference"], row["difference_error"], row["difference_df"]) == pytest.approx(
        (difference, error, df)
    )
    assert row["p"] == pytest.approx(2 * stats.t.sf(difference / error, df))
    ends = stats.t.interval(0.95, df, loc=difference, scale=error)
    assert (row["difference_low"], row["difference_high"]) == pytest.approx(ends, abs=1e-7)
    assert row["p_equivalent"] == pytest.approx(stats.t.sf((0.02 - difference) / error, df))
    assert (row["model_sd"], row["retraining_sd"]) == pytest.approx((np.sqrt(sm), np.sqrt(2 * sr)))
    assert row["distance"] == pytest.approx(abs(model - retrained).mean())
    error, df = np.sqrt((sm + 2 * sr) / seeds), satterthwaite(sm, 2 * sr, seeds, seeds)
    low, high = stats.t.interval(0.95, df, loc=row["distance"], scale=error)
    assert (row["distance_low"], row["distance_high"]) == pytest.approx((max(low, 0), high), abs=1e-7)


def test_where_seeds_move_all_models_alike_the_differences_are_compared() -> None:
    moved = np.array([0.0, 0.1, -0.1])
    model, retrained, again = (np.array(v) + moved for v in ((0.931, 0.925, 0.940), RETRAINED, AGAIN))
    row = verdict_of(rows({"m": model, "retrain_again": again}, retrained=retrained))
    found = stats.ttest_1samp(model - (retrained + again) / 2, 0)
    assert (row["p"], row["difference_df"]) == pytest.approx((found.pvalue, 2))


def test_a_metric_that_compares_with_the_retrained_model_is_held_against_the_second_one() -> None:
    gaps = {"m": (0.03, 0.05, 0.04), "retrain_again": (0.01, 0.02, 0.01), "no_op": (0.2, 0.2, 0.2)}
    row = verdict_of(
        rows(gaps, retrained=(0, 0, 0), metric="average_gap"), PRIMARY | {"metric": "average_gap"}
    )
    assert row["difference"] == pytest.approx(0.04 - 0.04 / 3)
    ours, theirs = np.var(gaps["m"], ddof=1), np.var(gaps["retrain_again"], ddof=1)
    assert row["difference_df"] == pytest.approx(satterthwaite(ours, theirs, 2, 3))


def test_the_distance_of_a_metric_that_compares_is_never_within_the_mean_ends_of_the_seeds() -> None:
    gaps = {"m": (0.04, 0.04, 0.0401), "retrain_again": (0.01, 0.02, 0.01), "no_op": (0.2, 0.2, 0.2)}
    asked = PRIMARY | {"metric": "average_gap"}
    taken = rows(gaps, retrained=(0, 0, 0), metric="average_gap", ci_low=0.01, ci_high=0.07)
    row = verdict_of(taken, asked)
    assert (row["distance_low"], row["distance_high"]) == pytest.approx((0.01, 0.07))
    taken[0]["ci_low"] = None
    assert verdict_of(taken, asked)["distance_low"] is None


def test_one_seed_is_undecided_however_far_off() -> None:
    taken = rows({"m": (0.2,), "retrain_again": AGAIN[:1], "no_op": NO_OP[:1]})
    row = verdict_of(taken)
    assert (row["verdict"], row["reason"], row["p"]) == ("undecided", "one seed", None)


def test_only_seeds_that_all_three_have_count() -> None:
    two = {"retrain_again": AGAIN[:2], "no_op": NO_OP}
    taken = rows(two | {"m": (0.93, 0.95, 0.1)}) + rows(two | {"m": (0.93, 0.95)}, forget_set="short")
    found = {r["forget_set"]: r for r in ask(taken) if r["method"] == "m"}
    assert (found["f"]["seeds"], found["f"]["seeds_measured"]) == (2, 3)
    for name in ("value", "again", "retrained", "difference", "p", "distance"):
        assert found["f"][name] == found["short"][name]


UNDECIDED: dict[str, dict[str, Sequence[float]]] = {
    "no second retraining": {"m": (0.9, 0.9, 0.9), "no_op": NO_OP},
    "no shared seeds": {"m": (0.9, 0.9, 0.9), "retrain_again": AGAIN[:1], "no_op": NO_OP},
    "no control that does nothing": {"m": (0.9, 0.901, 0.902), "retrain_again": AGAIN},
    "doing nothing is not told apart": {
        "m": (0.9, 0.901, 0.902),
        "retrain_again": AGAIN,
        "no_op": (0.9, 0.91, 0.89),
    },
    "too much spread": {"m": (0.93, 0.97, 0.85), "retrain_again": AGAIN, "no_op": NO_OP},
}
"""By reason."""


def test_undecided_says_what_would_settle_it() -> None:
    taken = [row for reason, models in UNDECIDED.items() for row in rows(models, forget_set=reason)]
    found = [r for r in ask(taken) if r["method"] == "m"]
    assert len(found) == len(UNDECIDED)
    for row in found:
        assert (row["verdict"], row["reason"]) == ("undecided", row["forget_set"])
        assert row["settles"]
        assert (row["seeds_needed"] is not None) == (row["reason"] == "too much spread")
        if row["difference_error"] is None:
            assert row["p"] is row["p_adjusted"] is row["difference_low"] is row["distance_low"] is None


def test_doing_nothing_that_is_not_told_apart_says_that_power_is_lacking_and_how_many_seeds_give_it() -> None:
    nothing = rows({"retrain_again": AGAIN, "no_op": (0.93, 0.97, 0.85), "m": (0.5, 0.501, 0.502)})
    untouched, told = (verdict_of(nothing, method=method) for method in ("no_op", "m"))
    alike = verdict_of(rows({"retrain_again": AGAIN, "m": (0.93, 0.97, 0.85), "no_op": NO_OP}))
    assert untouched["reason"] == "doing nothing is not told apart"
    assert untouched["seeds_needed"] == alike["seeds_needed"] > 3
    assert "lacks power" in untouched["settles"]
    assert f"about {untouched['seeds_needed']} seeds in place of 3" in untouched["settles"]
    assert told["verdict"] == "told apart"
    assert (told["reason"], told["settles"], told["seeds_needed"]) == ("", "", None)
    (without,) = (r for r in ask(nothing, {**PRIMARY, "margin": None}) if r["method"] == "no_op")
    assert (without["seeds_needed"], "lacks power; more seeds" in without["settles"]) == (None, True)


def test_without_a_margin_nothing_is_equivalent() -> None:
    row = verdict_of(controls() + rows({"m": (0.9, 0.901, 0.902)}), {**PRIMARY, "margin": None})
    assert (row["verdict"], row["reason"]) == ("undecided", "no margin")


def test_equal_values_do_not_show_that_there_is_no_spread() -> None:
    """121 examples: one wrong answer in every seed against none is not beyond what a seed may change."""
    ones, right = {"retrain_again": (1.0,) * 3, "no_op": (1.0,) * 3}, {"m": (1.0,) * 3}
    taken = [
        row
        for name, models, n in (
            ("one wrong", {"m": (120 / 121,) * 3}, 121),
            ("121", right, 121),
            ("50", right, 50),
        )
        for row in rows(ones | models, retrained=(1.0,) * 3, n=n, split="test", forget_set=name)
    ]
    found = {r["forget_set"]: r for r in ask(taken) if r["method"] == "m"}
    assert found["one wrong"]["difference_error"] == pytest.approx(np.sqrt(1.5 / 3) / 121)
    assert found["one wrong"]["p"] > 0.05
    assert (found["121"]["p"], found["121"]["verdict"]) == (1.0, "shown equivalent")
    assert found["50"]["verdict"] == "undecided"


def test_no_interval_reaches_beyond_what_the_range_of_the_metric_allows() -> None:
    """Seeds that are 0 and 1 by turns: Student's t alone would have accuracies differ by more than 1."""
    found = verdict_of(rows({"m": (0.0, 1.0, 0.0), "retrain_again": AGAIN}))
    assert [found[name] for name in ENDS] == [-1.0, pytest.approx(0.8, abs=0.3), 0.0, 1.0]
    shift, reach = found["difference"], found["difference_error"] * stats.t.ppf(0.975, found["difference_df"])
    assert shift - reach < -1 < shift + reach == pytest.approx(found["difference_high"], abs=1e-5)
    unbounded = verdict_of(
        rows({"m": (0.0, 9.0, 0.0), "retrain_again": AGAIN}, metric="mine"), PRIMARY | {"metric": "mine"}
    )
    assert unbounded["difference_high"] > 9


def test_told_apart_within_the_margin_is_equivalent_and_visible() -> None:
    row = verdict_of(controls() + rows({"m": (0.910, 0.911, 0.9105)}))
    assert (row["verdict"], row["visible"]) == ("shown equivalent", True)
    assert row["p_adjusted"] < 0.05
    wider = verdict_of(controls() + rows({"m": (0.910, 0.911, 0.9105)}), {**PRIMARY, "margin": 0.005})
    assert (wider["verdict"], wider["visible"]) == ("told apart", False)


def test_a_measure_that_does_not_see_doing_nothing_shows_equivalence_of_utility_alone() -> None:
    same = {"m": (0.9, 0.901, 0.902), "retrain_again": AGAIN, "no_op": (0.901, 0.9, 0.902)}
    found = [r for r in ask(rows(same) + rows(same, split="test")) if r["method"] == "m"]
    assert {r["split"]: r["verdict"] for r in found} == {"forget": "undecided", "test": "shown equivalent"}


def test_doing_nothing_within_the_margin_shows_no_forgetting() -> None:
    """Told apart, but by less than the margin: within it no one can be told to have forgotten."""
    found = ask(rows({"m": (0.9, 0.901, 0.902), "retrain_again": AGAIN, "no_op": (0.912, 0.9125, 0.912)}))
    assert {r["method"] for r in found} == {"m", "no_op"}
    for row in found:
        assert row["verdict"] != "shown equivalent"
        assert row["sees"] is False
    assert "lies within the margin" in next(r["settles"] for r in found if r["method"] == "m")


EQUAL = {"m": (0.9, 0.901, 0.902), "retrain_again": AGAIN, "no_op": NO_OP}
RADII = (0.1, 0.2)
ROBUST = ("robust_accuracy", "robust_accuracy_gap", "robust_accuracy_area")


def under_attack(
    masked: Mapping[tuple[str, float], bool] | None,
    models: Mapping[str, Sequence[float]] = EQUAL,
    margin: float = 0.02,
) -> dict[tuple[str, float], dict[str, Any]]:
    """What is said of `m` under an attack, by metric and radius.

    Args:
        masked: by cell and radius, whether a scale-free attack found more; no other cell is masked. None: none was run.
        models: robust accuracies by method, at each radius the same.
        margin: of each metric.
    """
    places = [(metric, eps) for metric in ROBUST for eps in RADII if (metric, eps) != (ROBUST[-1], RADII[0])]
    taken = [
        row | {"cell_id": f"{row['method']}-{row['seed']}"}
        for metric, eps in places
        for row in rows(models, metric=metric, param=eps, split="test", attack="pgd")
    ]
    cells = {row["cell_id"] for row in taken} | {f"retrain-{seed}" for seed in range(3)}
    flags = [
        {"cell_id": c, "split": "test", "eps": eps}
        | {"masked_gradients": None if masked is None else masked.get((c, eps), False)}
        for c in cells
        for eps in RADII
    ]
    paired = [{"cell_id": c, "reference_cell_id": f"retrain-{c.split('-')[1]}"} for c in cells]
    more = {
        "gradient_masking": pa.Table.from_pylist(flags, schema=MASKING),
        "plan_references": pa.Table.from_pylist(paired, schema=REFERENCES),
    }
    said = [{"metric": metric, "is_primary": True, "margin": margin} for metric in ROBUST]
    found = ask(taken, *said, more=more)
    return {(r["metric"], r["param"]): r for r in found if r["method"] == "m"}


@pytest.mark.parametrize("cell", ["m-1", "retrain-1", "retrain_again-1"])
def test_values_that_masked_gradients_bound_show_no_equivalence(cell: str) -> None:
    """Masked in one seed, at the smaller radius: the area reaches over it, the larger radius does not."""
    found = under_attack({(cell, 0.1): True})
    bounded = {(metric, 0.1) for metric in ROBUST[:2]} | {(ROBUST[-1], 0.2)}
    assert len(found) == 5
    for place, row in found.items():
        assert row["masked_gradients"] is (place in bounded)
        answer = row["verdict"], row["reason"], row["settles"]
        if place in bounded:
            remedy = "gradients vanish, or a scale-free attack found more: read its rows"
            assert answer == ("undecided", "masked gradients", remedy)
            assert row["seeds_needed"] is None
        else:
            assert answer == ("shown equivalent", "", "")


def test_masked_gradients_count_in_the_seeds_that_count() -> None:
    models = EQUAL | {"retrain_again": AGAIN[:2]}
    for seed, masked in ((1, True), (2, False)):
        assert under_attack({(f"m-{seed}", 0.1): True}, models)[ROBUST[0], 0.1]["masked_gradients"] is masked


def test_what_nothing_could_tell_and_other_metrics_are_not_masked() -> None:
    for row in under_attack(None).values():
        assert (row["masked_gradients"], row["verdict"]) == (None, "shown equivalent")
    assert verdict_of(controls() + rows({"m": (0.9, 0.901, 0.902)}))["masked_gradients"] is None


def test_what_is_told_apart_stays_so_with_masked_gradients_and_what_is_visible_does_not() -> None:
    """A difference within the margin, told apart: equivalent and visible without masks, and no reason to blame it."""
    masked = {("m-1", eps): True for eps in RADII}
    far, near = EQUAL | {"m": (0.8, 0.801, 0.802)}, EQUAL | {"m": (0.910, 0.911, 0.9105)}
    for models, verdicts in ((far, ("told apart", "told apart")), (near, ("shown equivalent", "undecided"))):
        for flags, verdict in zip(({}, masked), verdicts, strict=True):
            row = under_attack(flags, models)[ROBUST[0], 0.1]
            assert (row["verdict"], row["p_adjusted"] < 0.05) == (verdict, True)


def shadow_row(method: str, difference: float, error: float | None, df: float, **more: Any) -> dict[str, Any]:
    (row,) = rows({method: (0.5 + difference,)}, retrained=(0.5,), metric="auc", game="G2", group_id="g")
    paired = {"difference_error": error, "difference_df": df, "num_shadows": 64}
    return row | {"attack": "u_lira", "attack_family": "per_example"} | paired | more


def test_a_row_over_shadow_models_is_decided_by_its_own_error_with_one_seed() -> None:
    models = {
        "off": (0.1, 0.03),
        "same": (0.0, 0.02),
        "wide": (0.0, 0.06),
        "bare": (0.1, None),
        "no_op": (0.3, 0.02),
    }
    taken = [shadow_row(method, difference, error, 15) for method, (difference, error) in models.items()]
    found = {r["method"]: r for r in ask(taken, {"metric": "auc", "is_primary": True, "margin": 0.05})}
    assert found["off"]["verdict"] == "told apart"
    assert found["off"]["p"] == pytest.approx(2 * stats.t.sf(0.1 / 0.03, 15))
    assert found["same"]["verdict"] == "shown equivalent"
    wide = found["wide"]
    assert (wide["reason"], wide["seeds_needed"]) == ("too much spread", None)
    reach = (
        stats.t.ppf(0.95, 15) + 1.281552 + 0.846586 / 15
    )  # of 16 folds, however many shadow models they are of
    assert wide["shadows_needed"] == 2 * np.ceil(32 * reach**2 * (0.06 / 0.05) ** 2)
    assert (found["bare"]["verdict"], found["bare"]["reason"]) == ("undecided", "no paired difference")


@pytest.mark.parametrize("error", [0.03, 0.06])
def test_shadows_needed_give_the_power_that_they_promise(error: float) -> None:
    """The two-way variance at the advised number, of pairs that move all examples and examples that move alone."""
    shadows, examples, margin = 16, 40, 0.05
    taken = [
        shadow_row("m", 0.0, error, shadows / 2 - 1, num_shadows=shadows),
        shadow_row("no_op", 0.3, 0.02, 15),
    ]
    (row,) = (
        r for r in ask(taken, {"metric": "auc", "is_primary": True, "margin": margin}) if r["method"] == "m"
    )
    needed = row["shadows_needed"]
    assert f"{needed} shadow models in place of {shadows}" in row["settles"]
    generator = np.random.default_rng(3)

    def power(pairs: int) -> float:
        """With half of the variance from pairs and half from single examples in them."""
        sd, shown = error * np.sqrt(shadows / 4), 0
        for _ in range(600):
            one = generator.normal(0, sd, (pairs, 1)) + generator.normal(
                0, sd * np.sqrt(examples), (pairs, examples)
            )
            estimate = Estimate(
                value=one.mean(),
                n=one.size,
                units=np.arange(pairs),
                example_ids=np.arange(examples),
                deviation=(one - one.mean()) / one.size,
            )
            shown += abs(estimate.value) + special.stdtrit(estimate.df, 0.95) * estimate.error < margin
        return shown / 600

    assert 0.75 < power(needed // 2) < 0.92
    assert power(round(needed / 2 / 1.4)) < 0.75


def shadow_measures(p_of: Sequence[float], method: str = "m") -> list[dict[str, Any]]:
    """Rows whose p-values are given, each a measure of its own."""
    return [
        shadow_row(method, float(stats.t.isf(p / 2, 20)) / 100, 0.01, 20, variant=f"v{i}")
        for i, p in enumerate(p_of)
    ]


def test_holm_over_the_primary_measures_of_a_model_and_benjamini_hochberg_over_the_others() -> None:
    p = np.array([0.03, 0.001, 0.2, 0.012, 0.6, 0.04])
    taken = shadow_measures(p) + shadow_measures([0.04] * 6, method="other")
    said = [{"metric": "auc", "variant": f"v{i}", "is_primary": True, "margin": 1e-4} for i in range(3)]
    by = {r["variant"]: r for r in ask(taken, *said) if r["method"] == "m"}
    assert {v: r["family"] for v, r in by.items()} == {
        f"v{i}": "primary" if i < 3 else "exploratory" for i in range(6)
    }
    adjusted = [by[f"v{i}"]["p_adjusted"] for i in range(6)]
    assert adjusted[:3] == pytest.approx([0.06, 0.003, 0.2], rel=1e-5)
    assert adjusted[3:] == pytest.approx(stats.false_discovery_control(p[3:]).tolist(), rel=1e-5)
    assert [by[f"v{i}"]["verdict"] == "told apart" for i in range(6)] == [
        False,
        True,
        False,
        True,
        False,
        False,
    ]


def test_two_settings_of_one_method_are_two_models_and_two_attacks_on_one_are_one() -> None:
    taken = [
        row | {"setting": setting, "attack": attack}
        for setting, attack in (("x1", "u"), ("x2", "v"), ("y1", "u"))
        for row in shadow_measures([0.03])
    ]
    entries = [
        {"setting": setting, "key": key, "value": value}
        for setting in ("x1", "x2", "y1")
        for key, value in (
            ("method.lr", setting[0]),
            ("attack.name", setting[1]),
            ("evaluation.bootstrap", setting[1]),
        )
    ]
    said = {"metric": "auc", "is_primary": True, "margin": 0.05}
    found = {r["setting"]: r for r in ask(taken, said, settings=entries)}
    assert found["x1"]["p_adjusted"] == pytest.approx(0.06, rel=1e-5)
    assert found["y1"]["p_adjusted"] == pytest.approx(0.03, rel=1e-5)
    assert found["x1"]["model_setting"] == found["x2"]["model_setting"] != found["y1"]["model_setting"]


def test_of_two_numbers_of_shadow_models_that_of_the_newest_plan_is_primary() -> None:
    """Both are rows of one model: as two primary rows Holm's procedure would count the measure twice."""
    taken, entries = [], []
    for shadows, p in ((60, 0.03), (70, 0.04)):
        setting = f"s{shadows}"
        more = {"setting": setting, "conditions": setting, "num_shadows": shadows, "cell_id": setting}
        taken += [row | more for row in shadow_measures([p])]
        entries += [
            {"setting": setting, "key": key, "value": str(value)}
            for key, value in (("method.lr", 1), ("shadows.num", shadows))
        ]
    said = {"metric": "auc", "is_primary": True, "margin": 0.05}
    for newest, p in (("s60", 0.03), ("s70", 0.04)):
        places = [{"cell_id": s, "place": 1 + (s == newest), "run_id": s} for s in ("s60", "s70")]
        more = {"last_plans": pa.Table.from_pylist(places, schema=PLANS)}
        found = ask(taken, said, settings=entries, more=more)
        (primary,) = (r for r in found if r["family"] == "primary")
        assert (primary["setting"], primary["p_adjusted"]) == (newest, pytest.approx(p, rel=1e-5))
        (model,) = ask(taken, said, settings=entries, more=more, view="model_verdicts")
        assert (model["primary_measures"], model["explored"]) == (1, 1)


def test_a_control_is_one_model_whether_it_is_trained_or_runs_as_a_method_on_shadow_models() -> None:
    taken = controls() + [
        row | {"method": "no_op", "role": "ceiling", "setting": "shadows"} for row in shadow_measures([0.3])
    ]
    entries = [
        {"setting": setting, "key": key, "value": value}
        for setting, kind in (("s", "original"), ("shadows", "unlearned"))
        for key, value in (("training.epochs", "8"), ("method.kind", kind), ("shadows.num", kind))
    ]
    (model,) = (r for r in ask(taken, view="model_verdicts", settings=entries) if r["role"] == "ceiling")
    assert model["primary_measures"] + model["explored"] == 2


def test_of_several_margins_the_closest_restriction_counts_and_variants_are_patterns() -> None:
    said = [
        {"metric": "auc", "margin": 0.05},
        {"metric": "auc", "game": "G2", "margin": 0.04},
        {
            "metric": "auc",
            "game": "G2",
            "variant": "v*",
            "attack": "u_lira",
            "is_primary": True,
            "margin": 0.03,
        },
        {"metric": "auc", "split": "retain", "is_primary": True, "margin": 0.01, "declared_after": True},
    ]
    taken = [
        *shadow_measures([0.5]),
        shadow_row("m", 0, 0.1, 9, variant="w"),
        shadow_row("m", 0, 0.1, 9, game="G1"),
    ]
    found = {
        (r["variant"], r["game"]): (r["margin"], r["family"], r["declared_after"]) for r in ask(taken, *said)
    }
    assert found == {
        ("v0", "G2"): (0.03, "primary", False),
        ("w", "G2"): (0.04, "exploratory", False),
        ("", "G1"): (0.05, "exploratory", False),
    }


def test_the_verdict_on_a_model_rests_on_its_primary_measures() -> None:
    said = [{"metric": "auc", "variant": v, "is_primary": True, "margin": 0.05} for v in ("a", "b")]
    models = {
        "apart": (0.2, 0.0, 0.0),
        "equal": (0.0, 0.0, 0.2),
        "half": (0.0, 0.06, 0.0),
        "mixed": (0.2, 0.06, 0.0),
        "no_op": (0.4, 0.4, 0.4),
    }
    taken = [
        shadow_row(method, difference, 0.06 if difference == 0.06 else 0.01, 30, variant=variant)
        for method, differences in models.items()
        for variant, difference in zip("abc", differences, strict=True)
    ]
    found = {r["method"]: r for r in ask(taken, *said, view="model_verdicts")}
    assert {m: r["verdict"] for m, r in found.items()} == {
        "apart": "told apart",
        "equal": "shown equivalent",
        "half": "undecided",
        "mixed": "told apart",
        "no_op": "told apart",
    }
    assert (found["equal"]["discoveries"], found["equal"]["explored"]) == (1, 1)
    assert "auc on forget b (u_lira): " in found["half"]["settles"]
    assert found["half"]["shadows_needed"] > 64
    assert not found["equal"]["settles"]
    told = found["mixed"]  # of a model that is told apart no further measure need be settled
    assert (told["undecided"], told["settles"], told["shadows_needed"]) == (1, "", None)
    (bare,) = ask(taken[:1], {"metric": "auc"}, view="model_verdicts")
    assert (bare["verdict"], bare["settles"]) == ("undecided", "no primary measure was taken")


@pytest.mark.parametrize(
    ("asked", "remedy"),
    [
        ({"metric": "auc", "attack": "population"}, "auc (population): not measured"),
        ({"metric": "accuracy", "split": "validation"}, "accuracy on validation: not measured"),
        ({"metric": "accuracy", "param": 0.5}, "accuracy at 0.5: not measured"),
    ],
)
def test_a_primary_measure_without_a_row_leaves_a_model_undecided(asked: dict[str, Any], remedy: str) -> None:
    met = controls() + rows({"m": (0.9, 0.901, 0.899), "retrain_third": (0.901, 0.904, 0.899)})
    others = [r | {"metric": "auc", "attack": "population"} for r in met if r["method"] != "m"]
    said = (PRIMARY | {"split": "forget"}, {**PRIMARY, **asked})
    found = {r["method"]: r for r in ask(met + others, *said, view="model_verdicts")}
    without = found["m"]
    assert (without["verdict"], without["settles"]) == ("undecided", remedy)
    assert (without["primary_measures"], without["undecided"], without["shown_equivalent"]) == (2, 1, 1)
    assert found["retrain_third"]["verdict"] == "shown equivalent"
    assert not found["retrain_third"]["not_measured"]


def test_doing_nothing_of_two_settings_judges_a_model_once() -> None:
    taken = controls() + rows({"m": (0.9, 0.901, 0.899)})
    assert verdict_of(taken + rows({"no_op": NO_OP}, setting="s2"))["verdict"] == "shown equivalent"
    unseen = verdict_of(taken + rows({"no_op": AGAIN}, setting="s2"))
    assert (unseen["verdict"], unseen["reason"]) == ("undecided", "doing nothing is not told apart")


def test_doing_nothing_of_one_seed_is_not_called_unseen() -> None:
    taken = rows({"m": (0.9, 0.901, 0.899), "retrain_again": AGAIN, "no_op": NO_OP[:1]})
    found = verdict_of(taken)
    assert (found["sees"], found["reason"]) == (None, "no control that does nothing")


@pytest.mark.parametrize("values", [(0.9, float("inf"), 0.9), (float("inf"),) * 3, (1e200, 2e200, 3e200)])
def test_values_without_bounds_are_undecided_and_no_test(values: tuple[float, ...]) -> None:
    taken = controls(metric="loss") + rows({"m": values}, metric="loss")
    found = verdict_of(taken, {**PRIMARY, "metric": "loss"})
    assert (found["verdict"], found["reason"], found["p"]) == ("undecided", "no finite values", None)
    assert [found[end] for end in ENDS] == [None] * 4


def test_values_without_any_spread_have_no_interval_and_no_rank_by_it() -> None:
    """A lower bound of 0 in every training says nothing of its error, and nothing against who has it."""
    still = {"retrain_again": (0.0,) * 3, "no_op": (0.0,) * 3, "still": (0.0,) * 3}
    taken = rows(still | {"moves": (0.2, 0.9, 0.5)}, retrained=(0.0,) * 3, metric="epsilon_lower_bound")
    found = {r["method"]: r for r in ask(taken, {**PRIMARY, "metric": "epsilon_lower_bound"})}
    assert (found["still"]["verdict"], found["still"]["reason"]) == ("undecided", "no spread")
    assert [found["still"][end] for end in (*ENDS, "difference_error", "difference_df")] == [None] * 6
    assert found["moves"]["distance_low"] < found["moves"]["distance"] < found["moves"]["distance_high"]
    ranks = leaderboard(taken)
    assert {m: (r["rank"], r["ties"]) for m, r in ranks.items()} == {"still": (1, 1), "moves": (1, 1)}


def test_a_third_retraining_is_judged_and_the_second_is_not() -> None:
    found = ask(controls() + rows({"retrain_third": (0.901, 0.904, 0.899)}))
    assert {r["role"] for r in found} == {"ceiling", "control"}


def test_other_conditions_do_not_meet() -> None:
    taken = controls() + rows({"m": (0.93, 0.94, 0.95)}, conditions="other")
    assert verdict_of(taken)["reason"] == "no second retraining"
    taken += rows({"retrain_again": AGAIN, "still": (0.9, 0.901, 0.899)}, conditions="other")
    found = verdict_of(taken, method="still")
    assert (found["sees"], found["reason"]) == (None, "no control that does nothing")


def test_seeds_needed_give_the_power_that_they_promise() -> None:
    row = verdict_of(controls() + rows({"m": (0.885, 0.915, 0.900)}))
    needed = row["seeds_needed"]
    generator = np.random.Generator(np.random.PCG64(5))
    m = generator.normal(0, row["model_sd"], (20_000, needed))
    a, r = generator.normal(0, row["retraining_sd"], (2, 20_000, needed))
    sm, sr = m.var(axis=1, ddof=1), ((a - r) ** 2).mean(axis=1) / 4
    df = satterthwaite(sm, sr, needed, needed)
    error = np.sqrt((sm + sr) / needed)
    difference = (m - (a + r) / 2).mean(axis=1)
    shown = (np.abs(difference) + stats.t.ppf(0.95, df) * error < 0.02).mean()
    assert 0.75 < shown < 0.97


def leaderboard(taken: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    query = find_query("leaderboard")
    tables = {
        "leaderboard": pa.Table.from_pylist(taken, schema=LEADERBOARD),
        "declared": declared(PRIMARY),
    }
    found = judge(tables, query.text, params=query.bind({})).to_pylist()
    return {r["method"]: r for r in found if r["role"] == "audited"}


def test_differences_of_opposite_sign_do_not_rank_first() -> None:
    found = leaderboard(controls() + rows({"m": (0.619, 1.0, 0.615), "near": (0.897, 0.904, 0.899)}))
    assert (found["near"]["rank"], found["m"]["distance"] > 0.2) == (1, True)


def test_models_tie_unless_one_is_surely_closer() -> None:
    models = {"near": (0.9, 0.901, 0.902), "alike": (0.902, 0.9, 0.905), "far": (0.5, 0.501, 0.502)}
    found = leaderboard(controls() + rows(models) + rows({"once": (0.7,)}))
    assert {m: r["rank"] for m, r in found.items()} == {"near": 1, "alike": 1, "far": 3, "once": 1}
    assert {m: r["ties"] for m, r in found.items()} == {"near": 2, "alike": 2, "far": 1, "once": 3}


def test_every_reading_of_a_metric_is_declared() -> None:
    table = metric_declarations().to_pylist()
    kinds = {(r["metric"], r["reading"]): r["kind"] for r in table}
    assert kinds["accuracy", ""] == "utility"
    assert kinds["accuracy", "forget"] == "forgetting"
    assert len(kinds) == len(table)
    compare = {r["metric"] for r in table if r["compares"]}
    assert {"ua_gap", "average_gap", "tug_of_war", "js_to_retrained", "prediction_agreement"} <= compare
    assert "robust_accuracy_gap" in compare
    assert not compare & {"accuracy", "auc", "ua", "robust_accuracy"}


def test_the_level_holds_at_every_spread_and_power_grows_with_seeds() -> None:
    """Exact binomial tests on 300 audits each: beyond what a level of .06, a power of .8 would give in 1 of 10,000."""
    audits = 300
    null = {f"{k} seeds, spread x {r:g}": Truth(seeds=k, ratio=r) for k in (2, 3, 5) for r in (0.3, 1, 4)}
    null |= {"all right": Truth(n=121, rate=1, sd=0), "all wrong": Truth(n=121, rate=0, sd=0)}
    null |= {"121 at .999": Truth(n=121, rate=0.999, sd=0), "one seed": Truth(seeds=1)}
    null |= {"seeds differ": Truth(seed_sd=0.02, ratio=2)}
    off = {str(k): Truth(seeds=k, off=4) for k in (2, 3, 5)}
    found = shares({**null, **{f"off, {k}": truth for k, truth in off.items()}}, audits=audits)
    for name in null:
        alarms = round(found[name]["told_apart"] * audits)
        assert stats.binomtest(alarms, audits, 0.06, alternative="greater").pvalue > 1e-4, name
    power = [found[f"off, {k}"]["told_apart"] for k in off]
    assert power[0] < power[1] < power[2]
    assert stats.binomtest(round(power[1] * audits), audits, 0.8, alternative="less").pvalue > 1e-4
    assert found["one seed"]["told_apart"] == 0
    equal = found["3 seeds, spread x 1"]["equivalent"]
    assert stats.binomtest(round(equal * audits), audits, 0.8, alternative="less").pvalue > 1e-4
