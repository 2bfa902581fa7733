"""Queries over membership attacks, of a population and of each example."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from tests.queries.recomputed.arithmetic import (
    Row,
    column,
    gathered,
    known,
    less,
    mean,
    most,
    of_correlation,
    over,
    picked,
    rank_correlation,
    wilson,
)
from tests.queries.recomputed.beside_retraining import whole
from tests.queries.recomputed.register import asked_for, recomputed
from tests.queries.recomputed.standing import AT, MODEL, Standing

ENDS = ("difference", "difference_low", "difference_high")


def exposed(at: Standing, cell_id: str | None, split: str) -> dict[tuple[str, int], Row]:
    """By statistic and example: what the attack's runs on that example amount to; those with an AUC alone."""
    found: dict[tuple[str, int], Row] = {}
    for row in at.examples_of(cell_id):
        statistic, _, kind = (row["statistic"] or "").partition(":")
        if kind and row["split"] == split:
            place = found.setdefault((statistic, row["example_id"]), {"label": row["label"]})
            place |= {kind: row["score"], f"{kind}_low": row["score_low"], f"{kind}_high": row["score_high"]}
    return {place: row for place, row in found.items() if row.get("auc") is not None}


def per_example(at: Standing, **wanted: Any) -> list[Row]:
    """Cells of per-example attacks."""
    cells = [cell for cell in at.cells.values() if cell["attack_family"] == "per_example"]
    return [cell for cell in cells if all(asked_for(cell[key], value) for key, value in wanted.items())]


@recomputed(
    {"fdr": 0.125},
    {"split": "retain", "architecture": "resnet18", "forget_set": "random:fraction=0.1", "fdr": 0.05},
)
def example_auc(
    at: Standing,
    split: str = "forget",
    architecture: str | None = None,
    forget_set: str | None = None,
    fdr: float = 0.1,
) -> Iterator[Row]:
    shown = (
        "label",
        *(f"{kind}{end}" for kind in ("auc", "accuracy") for end in ("", "_low", "_high")),
        "p_value",
    )
    for cell in per_example(at, architecture=architecture, forget_set=forget_set):
        beside = exposed(at, at.references.get(cell["cell_id"]), split)
        for (statistic, example), row in exposed(at, cell["cell_id"], split).items():
            theirs = beside.get((statistic, example))
            yield (
                picked(cell, *AT, "attack", *MODEL, "setting_label", "setting")
                | picked(row, *shown)
                | {
                    "statistic": statistic,
                    "example_id": example,
                    "told_apart": row["q_value"] <= fdr,
                    "retrained_auc": theirs and theirs["auc"],
                    "retrained_told_apart": theirs and theirs["q_value"] <= fdr,
                }
            )


@recomputed(
    {"fdr": 0.125},
    {"attack": "rank_test", "forget_set": "random:fraction=0.1", "split": "retain", "fdr": 0.05},
)
def per_example_vulnerability(
    at: Standing,
    attack: str | None = None,
    forget_set: str | None = None,
    split: str = "forget",
    fdr: float = 0.1,
) -> Iterator[Row]:
    for cell in per_example(at, attack=attack, forget_set=forget_set):
        rows = exposed(at, cell["cell_id"], split)
        beside = exposed(at, at.references.get(cell["cell_id"]), split)
        for statistic in {statistic for statistic, _ in rows}:
            some = {example: row for (name, example), row in rows.items() if name == statistic}
            floors = [row["auc"] for (name, _), row in beside.items() if name == statistic]
            yield picked(cell, *AT, "attack", *MODEL, "setting_label", "setting", "cell_id") | {
                "statistic": statistic,
                **_spread(some),
                **_above(list(some.values()), float(np.quantile(floors, 0.95)) if floors else None),
                **_told(list(some.values()), fdr),
            }


def _spread(some: dict[int, Row]) -> Row:
    scores = {example: row["auc"] for example, row in some.items()}
    points = {"q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95}
    return {
        "n": len(scores),
        "mean": mean(scores.values()),
        **{name: float(np.quantile(list(scores.values()), point)) for name, point in points.items()},
        "highest": max(scores.values()),
        "highest_example": max(scores, key=lambda example: scores[example]),
    }


def _above(rows: list[Row], floor: float | None) -> Row:
    share = None if floor is None else mean(row["auc"] > floor for row in rows)
    half = mean(None if row["auc_low"] is None else row["auc_low"] > 0.5 for row in rows)
    return {"floor_q95": floor, "above_floor": share, "above_half": half}


def _told(rows: list[Row], fdr: float) -> Row:
    tested = known(row["q_value"] for row in rows)
    untested = dict.fromkeys(("vulnerable", "vulnerable_share", "significant", "significant_by_chance"))
    if not tested:
        return {"tested": 0, **untested}
    vulnerable = sum(q <= fdr for q in tested)
    return {
        "tested": len(tested),
        "vulnerable": vulnerable,
        "vulnerable_share": vulnerable / len(tested),
        "significant": sum(row["p_value"] <= fdr for row in rows),
        "significant_by_chance": len(tested) * fdr,
    }


@recomputed({"metric": "tpr_at_fpr"}, {"split": "retain", "forget_set": "random:fraction=0.1"})
def population_vs_per_example(
    at: Standing, metric: str = "auc", split: str = "forget", forget_set: str | None = None
) -> Iterator[Row]:
    rows = [
        row
        for row in whole(at)
        if row["attack_family"] in ("population", "per_example")
        and (row["metric"], row["split"]) == (metric, split)
        and asked_for(row["forget_set"], forget_set)
    ]
    measure = ("attack", "variant", "game", "param")
    for _, some in gathered(rows, *AT, "seed", *measure, "conditions"):
        before = [row for row in some if row["role"] == "ceiling"]
        top = most(column(before, "value"))
        for row in some:
            yield picked(
                row, *AT, *MODEL, "setting_label", "setting", "attack_family", *measure, "value", "n", *ENDS
            ) | {
                "value_low": row["ci_low"],
                "value_high": row["ci_high"],
                "floor": row["retrained"],
                "floor_low": row["retrained_low"],
                "floor_high": row["retrained_high"],
                "ceiling": top,
                "ceiling_low": most(column(before, "ci_low")),
                "ceiling_high": most(column(before, "ci_high")),
                "position": over(less(row["value"], row["retrained"]), less(top, row["retrained"])),
            }


@recomputed({"split": "test"})
def attack_agreement(at: Standing, split: str = "forget") -> Iterator[Row]:
    scored: list[Row] = []
    for cell in at.cells.values():
        if cell["attack_family"] not in ("population", "per_example"):
            continue
        for key, rows in gathered(
            (row for row in at.examples_of(cell["cell_id"]) if _of_an_example(cell, row, split)), "statistic"
        ):
            scores = {
                place["example_id"]: mean(column(some, "score"))
                for place, some in gathered(rows, "example_id")
            }
            scored.append(cell | {"attack": f"{cell['attack']}/{key['statistic']}", "scores": scores})
    for _, some in gathered(scored, *AT, *MODEL, "surroundings", "method_part"):
        for one in some:
            for other in some:
                if one["attack"] < other["attack"]:
                    both = sorted(one["scores"].keys() & other["scores"].keys())
                    rho = rank_correlation(
                        *([row["scores"][example] for example in both] for row in (one, other))
                    )
                    alone = "per_example" not in (one["attack_family"], other["attack_family"])
                    low, high = of_correlation(rho, len(both)) if alone else (None, None)
                    yield picked(one, *AT, *MODEL, "setting_label", "setting", "attack") | {
                        **{f"other_{key}": other[key] for key in ("setting_label", "setting", "attack")},
                        "n": len(both),
                        "rho": rho,
                        "rho_low": low,
                        "rho_high": high,
                    }


def _of_an_example(cell: Row, row: Row, split: str) -> bool:
    of_example = cell["attack_family"] == "population" or row["member"] is None
    return (
        row["split"] == split
        and row["score"] is not None
        and of_example
        and not row["statistic"].endswith((":p_value", ":q_value"))
    )


@recomputed({"forget_set": "random:fraction=0.1"})
def retain_harm(at: Standing, forget_set: str | None = None) -> Iterator[Row]:
    for row in whole(at):
        if row["metric"] == "retain_harm_auc_change" and asked_for(row["forget_set"], forget_set):
            low = row["difference_low"]
            yield picked(
                row, *AT, "attack", "metric", *MODEL, "setting_label", "setting", "value", "cell_id", *ENDS
            ) | {
                "statistic": row["variant"] or "phi",
                "value_low": row["ci_low"],
                "value_high": row["ci_high"],
                "control": row["retrained"],
                "control_low": row["retrained_low"],
                "control_high": row["retrained_high"],
                "worse": None if low is None else low > 0,
                "examples": row["n"],
            }


@recomputed({"split": "retain", "forget_set": "random:fraction=0.1"})
def worse_than_before(at: Standing, split: str | None = None, forget_set: str | None = None) -> Iterator[Row]:
    shares = {
        (row["cell_id"], row["split"], row["variant"]): row
        for row in whole(at)
        if row["metric"] == "share_worse_than_before"
    }
    for row in whole(at):
        chosen = asked_for(row["split"], split) and asked_for(row["forget_set"], forget_set)
        if row["metric"] == "examples_worse_than_before" and chosen:
            share = shares[row["cell_id"], row["split"], row["variant"]]
            yield picked(row, *AT, "split", *MODEL, "setting_label", "setting", "cell_id") | {
                "statistic": row["variant"] or "phi",
                "tested": row["n"],
                "worse": round(row["value"]),
                "control": None if row["retrained"] is None else round(row["retrained"]),
                "fdr": row["param"],
                "share": share["value"],
                "share_low": share["ci_low"],
                "share_high": share["ci_high"],
                "control_share": share["retrained"],
                **{f"share_{key}": share[key] for key in ENDS},
            }


def one_cell(at: Standing) -> Row:
    """Of the parameters of the query below: the id of a cell."""
    return {"cell_id": min(cell["cell_id"] for cell in at.cells.values() if cell["attack"] == "quantile")}


@recomputed(one_cell)
def roc_one_cell(at: Standing, cell_id: str) -> Iterator[Row]:
    scored = [row for row in at.examples_of(cell_id) if None not in (row["member"], row["score"])]
    for key, rows in gathered(scored, "statistic"):
        members = sum(row["member"] for row in rows)
        for threshold in {row["score"] for row in rows}:
            hits = sum(row["member"] for row in rows if row["score"] >= threshold)
            alarms = sum(not row["member"] for row in rows if row["score"] >= threshold)
            yield key | {
                "threshold": threshold,
                "true_positives": hits,
                "false_positives": alarms,
                "members": members,
                "non_members": len(rows) - members,
                "tpr": hits / members,
                "fpr": alarms / (len(rows) - members),
            }


def two_cells(at: Standing) -> Row:
    """Of the parameters of the query below: the ids of two cells."""
    return {
        "cell_ids": sorted(cell["cell_id"] for cell in at.cells.values() if cell["attack"] == "quantile")[:2]
    }


@recomputed(two_cells)
def rocs(at: Standing, cell_ids: list[str]) -> Iterator[Row]:
    for cell_id in cell_ids:
        for row in roc_one_cell(at, cell_id):
            yield {"cell_id": cell_id} | {
                name: value for name, value in row.items() if name not in ("tpr", "fpr")
            }


@recomputed({"split": "retain"})
def harm(at: Standing, split: str | None = None) -> Iterator[Row]:
    for cell, beside in _pairs(at):
        for name in ("retain", "test"):
            both = [(ours, theirs) for ours, theirs in beside if ours["split"] == name]
            if both and asked_for(name, split) and cell["role"] != "reference":
                harmed = mean(theirs["correct"] and not ours["correct"] for ours, theirs in both)
                low, high = wilson(harmed, len(both))
                yield picked(cell, *AT, *MODEL, "setting_label", "setting", "cell_id") | {
                    "split": name,
                    "n": len(both),
                    "harmed": harmed,
                    "harmed_low": low,
                    "harmed_high": high,
                    "helped": mean(ours["correct"] and not theirs["correct"] for ours, theirs in both),
                }


def _pairs(at: Standing) -> Iterator[tuple[Row, list[tuple[Row, Row]]]]:
    """Cells without attack, with their examples beside those of the retrained model."""
    for cell in at.cells.values():
        if cell["attack_family"] == "none":
            theirs = {
                (row["split"], row["example_id"]): row
                for row in at.examples_of(at.references.get(cell["cell_id"]))
            }
            ours = at.examples_of(cell["cell_id"])
            places = [(row["split"], row["example_id"]) for row in ours]
            pairs = [(row, theirs[place]) for row, place in zip(ours, places, strict=True) if place in theirs]
            yield cell, pairs


def _finite(*rows: Row) -> bool:
    return all(row["phi"] is not None and math.isfinite(row["phi"]) for row in rows)


@recomputed({"architecture": "resnet18", "forget_set": "random:fraction=0.1"})
def excess_confidence(
    at: Standing, architecture: str | None = None, forget_set: str | None = None
) -> Iterator[Row]:
    for cell, pairs in _pairs(at):
        chosen = asked_for(cell["architecture"], architecture) and asked_for(cell["forget_set"], forget_set)
        for ours, theirs in pairs if chosen and cell["role"] != "reference" else ():
            if ours["split"] == "forget" and _finite(ours, theirs):
                yield picked(cell, *AT, *MODEL, "setting_label", "setting") | {
                    **picked(ours, "example_id", "label", "phi"),
                    "retrained_phi": theirs["phi"],
                    "excess": float(np.float32(ours["phi"]) - np.float32(theirs["phi"])),
                }


@recomputed({"top": 2, "method": "scrub"})
def hardest_examples(at: Standing, top: int = 20, method: str | None = None) -> Iterator[Row]:
    rows = [
        picked(cell, *AT, "conditions", "role", "method")
        | {"example_id": ours["example_id"], "ours": ours, "theirs": theirs}
        for cell, pairs in _pairs(at)
        for ours, theirs in pairs
        if ours["split"] == "forget" and _finite(ours, theirs)
    ]
    for place, some in gathered(rows, *AT, "conditions"):
        found = [_example(key["example_id"], of_one, method) for key, of_one in gathered(some, "example_id")]
        found = sorted(
            (row for row in found if row["models"]), key=lambda row: (-row["distance"], row["example_id"])
        )
        for rank, row in enumerate(found[:top], start=1):
            yield place | row | {"rank": rank, "setting_label": at.labels.get(place["conditions"])}


def _example(example_id: int, rows: list[Row], method: str | None) -> Row:
    audited = [row for row in rows if row["role"] == "audited" and asked_for(row["method"], method)]
    again = [row for row in rows if row["role"] == "noise_floor"]

    def apart(row: Row) -> float:
        return float(np.float32(row["ours"]["phi"]) - np.float32(row["theirs"]["phi"]))

    return {
        "example_id": example_id,
        "label": rows[0]["ours"]["label"],
        "models": len(audited),
        "distance": mean(abs(apart(row)) for row in audited),
        "noise_distance": mean(abs(apart(row)) for row in again),
        "excess": mean(map(apart, audited)),
        "accuracy": mean(row["ours"]["correct"] for row in audited),
        "retrained_accuracy": mean(row["theirs"]["correct"] for row in audited),
    }
