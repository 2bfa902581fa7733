"""Queries that go into one thing: two methods beside each other, a class, an example over epochs."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tests.queries.recomputed.arithmetic import Row, column, gathered, mean, spread, student, wilson
from tests.queries.recomputed.beside_retraining import AT, COMPARES, RANGES, of_seeds_or_own
from tests.queries.recomputed.register import asked_for, recomputed
from tests.queries.recomputed.shadow_models import PLACE, observed
from tests.queries.recomputed.standing import Standing

MODEL = ("method", "scope", "model_setting")
MEASURE = (*AT, "conditions", "attack", "metric", "split", "variant", "param", "game")


def _labels(at: Standing) -> dict[str, str]:
    """Of the settings of models, as the view has them, which `Standing.labels` recomputes for other settings."""
    return {row["setting"]: row["label"] for row in at.view("setting_labels")}


def _model_setting(at: Standing) -> dict[str, str]:
    return {row["setting"]: row["of_method"] for row in at.view("model_settings")}


def _ends(values: Sequence[float], rows: Sequence[tuple[Any, Any]], metric: str = "") -> tuple[Any, Any]:
    """The interval of a mean difference over seeds, none of fewer than three."""
    if len(values) < 3:
        return None, None
    low, high = of_seeds_or_own(values, [row[0] for row in rows], [row[1] for row in rows])
    if low is None and metric not in COMPARES and spread(values):
        low, high = student(values)
    if low is not None and high is not None and metric in RANGES:
        lowest, highest = RANGES[metric]
        low, high = np.clip([low, high], lowest - highest, highest - lowest).tolist()
    return low, high


@recomputed({"most": 3}, {"method": "finetune", "other": "scrub", "metric": "auc"})
def method_pairs(
    at: Standing,
    forget_set: str | None = None,
    method: str | None = None,
    other: str | None = None,
    metric: str | None = None,
    most: int | None = None,
) -> Iterator[Row]:
    known, labels = _model_setting(at), _labels(at)
    rows = [
        row | {"model_setting": known.get(row["setting"], "")}
        for row in at.leaderboard
        if row["role"] == "audited" and row["label"] is None and asked_for(row["forget_set"], forget_set)
    ]
    models = {tuple(place.values()): len({*map(_model, some)}) for place, some in gathered(rows, *AT)}
    for key, some in gathered(rows, *MEASURE, "higher_is"):
        if not asked_for(key["metric"], metric) or (most and models[tuple(key[n] for n in AT)] > most):
            continue
        by_model = {_model(mine[0]): mine for _, mine in gathered(some, *MODEL)}
        for one, two in itertools.combinations(sorted(by_model), 2):
            names = [one[0], two[0]]
            if (method and method not in names) or (other and other not in names):
                continue
            if method and other and sorted(names) != sorted([method, other]):
                continue
            for row in _pair(at, key, one, two, by_model):
                named = {"setting_label": labels.get(one[2]), "other_setting_label": labels.get(two[2])}
                yield row | named


def _model(row: Row) -> tuple[str, str, str]:
    return tuple(row[name] for name in MODEL)  # type: ignore[return-value]


def _pair(at: Standing, key: Row, one: Any, two: Any, by_model: Any) -> Iterator[Row]:
    theirs = {row["seed"]: row for row in by_model[two]}
    both = [(row, theirs[row["seed"]]) for row in by_model[one] if row["seed"] in theirs]
    if not both:
        return
    differences = [ours["value"] - other["value"] for ours, other in both]
    low, high = _ends(differences, [at.of_difference(*pair) for pair in both], key["metric"])
    count = len(both)
    few = f"it takes 3 seeds, here {'is 1' if count == 1 else f'are {count}'}"
    yield key | {
        "method": one[0],
        "scope": one[1],
        "setting": one[2],
        "other_method": two[0],
        "other_scope": two[1],
        "other_setting": two[2],
        "seeds": count,
        "value": mean(ours["value"] for ours, _ in both),
        "other_value": mean(other["value"] for _, other in both),
        "difference": mean(differences),
        "difference_low": low,
        "difference_high": high,
        "no_interval": few if count < 3 else None if low is not None else "a seed has none",
    }


@recomputed({"method": "scrub", "split": "test"})
def class_confusion(
    at: Standing, forget_set: str | None = None, method: str | None = None, split: str | None = None
) -> Iterator[Row]:
    seeds = []
    for cell in at.cells.values():
        beside = at.references.get(cell["cell_id"])
        if not beside or cell["role"] == "reference" or cell["attack_family"] != "none":
            continue
        if asked_for(cell["forget_set"], forget_set) and asked_for(cell["method"], method):
            ours, theirs = _answers(at, cell["cell_id"]), _answers(at, beside)
            seeds.append(cell | {"ours": ours, "theirs": theirs})
    for key, cells in gathered(seeds, *AT, "role", "method", "scope", "setting"):
        given = {answer for cell in cells for answer in (*cell["ours"], *cell["theirs"])}
        for where, label, predicted in sorted(given):
            shares = _shares(cells, where, label, predicted)
            if shares is not None and asked_for(where, split):
                named = {"setting_label": at.labels.get(key["setting"]), "split": where, "label": label}
                yield key | named | {"predicted": predicted} | shares


def _answers(at: Standing, cell_id: str) -> Counter[tuple[str, int, int]]:
    return Counter(
        (row["split"], row["label"], row["predicted"])
        for row in at.examples_of(cell_id)
        if row["label"] is not None and row["predicted"] is not None
    )


def _shares(cells: list[Row], split: str, label: int, predicted: int) -> Row | None:
    """Of the seeds at which both have examples of the class; None of none."""
    found = []
    for cell in cells:
        sides = [_side(cell[side], split, label, predicted) for side in ("ours", "theirs")]
        if None not in sides:
            found.append(sides)
    if not found:
        return None
    differences = [ours["value"] - theirs["value"] for ours, theirs in found]
    low, high = _ends(differences, [Standing.of_difference(ours, theirs) for ours, theirs in found])
    return {
        "seeds": len(found),
        "examples": max(ours["n"] for ours, _ in found),
        "share": mean(ours["value"] for ours, _ in found),
        "retrained": mean(theirs["value"] for _, theirs in found),
        "difference": mean(differences),
        "difference_low": None if low is None else max(low, -1.0),
        "difference_high": None if high is None else min(high, 1.0),
    }


def _side(answers: Counter[tuple[str, int, int]], split: str, label: int, predicted: int) -> Row | None:
    n = sum(times for (where, true, _), times in answers.items() if (where, true) == (split, label))
    if not n:
        return None
    share = answers[split, label, predicted] / n
    low, high = wilson(share, n)
    return {"value": share, "ci_low": low, "ci_high": high, "n": n}


@recomputed({"architecture": "resnet18", "forget_set": "class", "method": "finetune", "example": 1})
def example_history(
    at: Standing,
    architecture: str | None = None,
    forget_set: str | None = None,
    method: str | None = None,
    example: int | None = None,
) -> Iterator[Row]:
    rows = [
        row
        for row in observed(at)
        if asked_for(row["architecture"], architecture)
        and asked_for(row["forget_set"], forget_set)
        and asked_for(row["method"], method)
        and asked_for(row["example_id"], example)
        and row["state"] in ("unlearned", "never")
    ]
    for key, some in gathered(rows, *PLACE, "example_id", "epoch"):
        apart = []
        for _, pair in gathered(some, lambda row: row["shadow"] // 2):
            sides = []
            for state in ("unlearned", "never"):
                shadows = gathered((row for row in pair if row["state"] == state), "shadow")
                sides.append([mean(column(mine, "phi")) for _, mine in shadows])
            if all(sides):
                apart.append(mean(sides[0]) - mean(sides[1]))
        if apart:
            low, high = student(apart) if len(apart) >= 4 else (None, None)
            yield key | {
                "setting_label": at.labels.get(key["setting"]),
                "pairs": len(apart),
                "separation": mean(apart),
                "separation_low": low,
                "separation_high": high,
                "no_interval": None
                if low is not None
                else f"it takes 4 pairs of shadow models, here are {len(apart)}",
                **dict.fromkeys(("retrained", "retrained_low", "retrained_high")),
            }
