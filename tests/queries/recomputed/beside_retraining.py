"""Queries over the leaderboard: each model beside the retrained one."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np

from orchestrator.results.metric_declarations import metric_declarations
from tests.queries.recomputed.arithmetic import (
    Row,
    column,
    gathered,
    known,
    mean,
    not_below_zero,
    of_seeds,
    of_seeds_or_own,
    picked,
    spread,
    total,
)
from tests.queries.recomputed.register import asked_for, recomputed
from tests.queries.recomputed.standing import AT, MODEL, Standing

WHERE = ("attack", "metric", "split", "variant", "param")
BESIDE = ("difference", "difference_low", "difference_high", "noise_floor")
OWN = ("value", "ci_low", "ci_high")
IDENTITY = ("setting_label", "setting", "conditions")
COMPARES = {row["metric"] for row in metric_declarations().to_pylist() if row["compares"]}
"""Metrics that are distances to the retrained model in themselves."""
RANGES = {row["metric"]: (row["low"], row["high"]) for row in metric_declarations().to_pylist()}


def whole(at: Standing) -> Iterator[Row]:
    """Rows that are not by class."""
    return (row for row in at.leaderboard if row["label"] is None)


@recomputed()
def leaderboard_view(at: Standing) -> Iterator[Row]:
    yield from at.leaderboard


@recomputed({"metric": "accuracy", "split": "forget", "attack": "none", "forget_set": "random:fraction=0.1"})
def leaderboard(
    at: Standing,
    metric: str | None = None,
    split: str | None = None,
    attack: str | None = None,
    forget_set: str | None = None,
) -> Iterator[Row]:
    wanted = {"metric": metric, "split": split, "attack": attack, "forget_set": forget_set}
    rows = [
        row for row in at.view("verdicts") if all(asked_for(row[key], value) for key, value in wanted.items())
    ]
    for _, rivals in gathered(rows, *AT, "conditions", *WHERE, "game", "role"):
        ends = [_ends(row) for row in rivals]
        for row, (nearest, farthest) in zip(rivals, ends, strict=True):
            same = (*AT, *WHERE, "game", "method", "scope", "role", "value", "retrained", "distance")
            more = ("distance_low", "distance_high", "verdict", "higher_is", "setting", "conditions")
            yield picked(row, *same, *more, *BESIDE) | {
                "seeds": row["seeds"] or row["seeds_measured"],
                "rank": 1 + sum(high < nearest for _, high in ends),
                "ties": sum(high >= nearest and farthest >= low for low, high in ends) - 1,
                "setting_label": at.labels.get(row["setting"]),
            }


def _ends(row: Row) -> tuple[float, float]:
    low, high = row["distance_low"], row["distance_high"]
    return (0.0 if low is None else low, math.inf if high is None else high)


@recomputed()
def verdict_counts(at: Standing) -> Iterator[Row]:
    controls = [
        row
        for row in at.view("verdicts")
        if (row["role"], row["family"], row["kind"]) == ("ceiling", "primary", "forgetting")
    ]
    places = []
    for place, models in gathered(
        (row for row in at.view("model_verdicts") if row["role"] == "audited"), *AT
    ):
        sees = known(row["sees"] for row in controls if picked(row, *AT) == place)
        compared = [
            row
            for row in at.view("verdicts")
            if (row["role"], row["family"]) == ("audited", "primary") and picked(row, *AT) == place
        ]
        seen = {"forgetting": len(sees), "seeing": sum(sees) if sees else None, "measures": len(compared)}
        places.append(place | _counted(models) | seen)
    yield from (place | {"places": 1, "blind": int(not place["seeing"])} for place in places)
    summed = {key for place in places for key in place} - {*AT, "fewest_seeds", "most_seeds"}
    yield {
        **dict.fromkeys(AT),
        **{key: total(column(places, key)) for key in summed},
        "places": len(places),
        "blind": sum(not place["seeing"] for place in places),
        "fewest_seeds": min(column(places, "fewest_seeds")),
        "most_seeds": max(column(places, "most_seeds")),
    }


def _counted(models: list[Row]) -> Row:
    shown = [row for row in models if row["verdict"] == "shown equivalent"]
    return {
        "models": len(models),
        "told_apart": sum(row["verdict"] == "told apart" for row in models),
        "shown_equivalent": len(shown),
        "visible": sum(row["visible"] > 0 for row in shown),
        "undecided": sum(row["verdict"] == "undecided" for row in models),
        "declared_after": sum(row["declared_after"] for row in models),
        "fewest_seeds": min(column(models, "seeds")),
        "most_seeds": max(column(models, "seeds")),
    }


@recomputed({"metric": "accuracy", "split": "forget", "method": "scrub"})
def gap_to_retrained(
    at: Standing, metric: str | None = None, split: str | None = None, method: str | None = None
) -> Iterator[Row]:
    for row in whole(at):
        if all(
            (
                asked_for(row["metric"], metric),
                asked_for(row["split"], split),
                asked_for(row["method"], method),
            )
        ):
            ends = row["difference_low"], row["difference_high"]
            far = row["noise_floor"], row["difference"]
            yield picked(
                row, *AT, *WHERE, "game", *MODEL, *OWN, "retrained", *BESIDE, "n", "higher_is", "cell_id"
            ) | {
                **picked(row, *IDENTITY),
                "differs": None if None in ends else ends[0] > 0 or ends[1] < 0,
                "beyond_noise": None if None in far else abs(far[1]) > far[0],
            }


@recomputed({"metric": "robust_accuracy", "split": "forget", "method": "finetune"})
def per_class(
    at: Standing, metric: str = "accuracy", split: str = "test", method: str | None = None
) -> Iterator[Row]:
    shown = (*AT, *WHERE, *MODEL, *OWN, "label", "retrained", *BESIDE, "n", "higher_is", *IDENTITY)
    for row in at.leaderboard:
        place = row["label"] is not None and (row["metric"], row["split"]) == (metric, split)
        if place and asked_for(row["method"], method):
            yield picked(row, *shown)


@recomputed({"metric": "auc", "split": "retain"})
def seed_variance(at: Standing, metric: str | None = None, split: str | None = None) -> Iterator[Row]:
    rows = [row for row in whole(at) if asked_for(row["metric"], metric) and asked_for(row["split"], split)]
    model = ("method", "scope", "role", "higher_is")
    for key, some in gathered(rows, *AT, *WHERE, "game", *model, *IDENTITY):
        values = column(some, "value")
        low, high = of_seeds_or_own(values, column(some, "ci_low"), column(some, "ci_high"))
        if low is None and key["metric"] not in COMPARES and spread(values):
            low, high = of_seeds(values, [], [])
        if low is not None and high is not None and key["metric"] in RANGES:
            low, high = np.clip([low, high], *RANGES[key["metric"]]).tolist()
        if len(some) < 3:
            low, high = None, None
        yield key | {
            "seeds": len(some),
            "mean": mean(values),
            "mean_low": low,
            "mean_high": high,
            "sd": spread(values),
            "least": min(values),
            "most": max(values),
            "half_width_within": mean(
                None if row["ci_low"] is None else (row["ci_high"] - row["ci_low"]) / 2 for row in some
            ),
        }


def _distances_of(rows: list[Row]) -> tuple[float | None, float | None, float | None]:
    """Mean distance to the retrained model, and the mean ends of its intervals; None where one has none."""
    ends = [(row["difference_low"], row["difference_high"]) for row in rows]
    complete = all(low is not None for low, _ in ends)
    return (
        mean(abs(row["difference"]) for row in rows),
        mean(max(low, -high, 0.0) for low, high in ends) if complete else None,
        mean(max(-low, high) for low, high in ends) if complete else None,
    )


@recomputed({"metric": "auc"}, {"metric": "robust_accuracy", "split": "test"})
def forget_set_difficulty(at: Standing, metric: str = "accuracy", split: str = "forget") -> Iterator[Row]:
    rows = [
        row
        for row in whole(at)
        if (row["metric"], row["split"], row["role"]) == (metric, split, "audited")
        and row["difference"] is not None
    ]
    for key, some in gathered(rows, *AT, "attack", "variant", "param", "game", "conditions"):
        seeds = [_distances_of(rows_of_seed) for _, rows_of_seed in gathered(some, "seed")]
        low, high = of_seeds_or_own(*zip(*seeds, strict=True))
        if len({tuple(sorted(column(of_seed, "setting"))) for _, of_seed in gathered(some, "seed")}) > 1:
            low = high = None
        yield key | {
            "setting_label": at.labels.get(key["conditions"]),
            "forget_size": max(column(some, "forget_size")),
            "seeds": len(seeds),
            "models": len(some),
            "gap": mean(gap for gap, _, _ in seeds),
            "gap_low": not_below_zero(low),
            "gap_high": high,
            "largest_gap": max(abs(row["difference"]) for row in some),
            "hardest_for": max(some, key=lambda row: abs(row["difference"]))["method"],
            "share_differing": mean(
                row["difference_low"] > 0 or row["difference_high"] < 0
                for row in some
                if row["difference_low"] is not None
            ),
            "noise_floor": mean(
                mean(column(rows_of_seed, "noise_floor")) for _, rows_of_seed in gathered(some, "seed")
            ),
        }


@recomputed({"row_set": "salun_table1_random10", "method": "finetune", "scope": "last"})
def published_vs_ours(
    at: Standing, row_set: str | None = None, method: str | None = None, scope: str = "all"
) -> Iterator[Row]:
    printed = [_printed(row) for row in at.table("published") if _fit_to_compare(row)]
    printed = [row for row in printed if asked_for(row["row_set"], row_set)]
    gold = {(row["row_set"], row["metric"]): row["value"] for row in printed if row["method"] == "retrain"}
    measured: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for ours in whole(at):
        if ours["scope"] == scope and ours["variant"] != "svc_loss":
            measured[ours["metric"], ours["method"].split(":")[0]].append(ours)
    for row in printed:
        if not asked_for(row["method"], method):
            continue
        for ours in measured[row["metric"], row["method"]]:
            retrained = gold.get((row["row_set"], row["metric"]))
            yield {
                **picked(row, "row_set", "paper", "mark", "method", "metric", "note"),
                **picked(ours, "ci_low", "ci_high", "seed", "cell_id", "setting", "setting_label"),
                **{key: ours[key] for key in AT},
                **{f"published_{key}": row[key] for key in (*AT, "spread")},
                "published": row["value"],
                "published_retrained": retrained,
                "published_difference": None if retrained is None else row["value"] - retrained,
                "our_method": ours["method"],
                "ours": ours["value"],
                "ours_retrained": ours["retrained"],
                "ours_difference": ours["difference"],
                "same_setting": picked(ours, *AT) == picked(row, *AT),
            }


def _fit_to_compare(row: Row) -> bool:
    of_one_attack = ("auc", "tpr", "balanced_accuracy")
    return (
        not row["misprint"] and row["unit"] in ("percent", "fraction") and row["metric"] not in of_one_attack
    )


def _printed(row: Row) -> Row:
    by = 100 if row["unit"] == "percent" else 1
    value: Any = row["value"] / by
    spread_of = None if row["spread"] is None else row["spread"] / by
    forgotten = row["metric"] == "fa"
    return row | {
        "metric": "ua" if forgotten else row["metric"],
        "value": 1 - row["value"] / 100 if forgotten else value,
        "spread": spread_of,
    }
