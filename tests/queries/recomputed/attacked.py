"""Queries over adversarial attacks, and over the evenness of layers."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import stats

from orchestrator.results.metric_declarations import metric_declarations
from tests.queries.recomputed.arithmetic import Row, column, gathered, mean, picked, total
from tests.queries.recomputed.beside_retraining import BESIDE, IDENTITY, OWN, whole
from tests.queries.recomputed.register import asked_for, recomputed
from tests.queries.recomputed.standing import AT, MODEL, Standing


def robust(at: Standing) -> list[Row]:
    """Robust accuracy, without classes, with that of the same cell and split at eps 0."""
    rows = [row for row in whole(at) if row["metric"] == "robust_accuracy"]
    clean = {(row["cell_id"], row["split"]): row["value"] for row in rows if row["param"] == 0}
    return [row | {"clean": clean[row["cell_id"], row["split"]], "eps": row["param"]} for row in rows]


@recomputed({"split": "forget", "attack": "apgd"})
def robust_drop(at: Standing, split: str | None = None, attack: str | None = None) -> Iterator[Row]:
    masking = {(row["cell_id"], row["split"], row["eps"]): row for row in gradient_masking(at)}
    for row in robust(at):
        if asked_for(row["split"], split) and asked_for(row["attack"], attack):
            told = masking[row["cell_id"], row["split"], row["eps"]]
            shown = (*AT, "attack", "split", "variant", "eps", *MODEL, *OWN, "retrained", *BESIDE, *IDENTITY)
            yield picked(row, *shown, "n", "higher_is") | {
                "robust_drop": row["clean"] - row["value"],
                **picked(told, "zero_gradient_share", "masked_gradients"),
            }


RIVALS = ("model_id", "forget_digest", "seed", "split", "attack_params_json", "eps")
"""What attacks share that are compared; their parameters are a norm here."""


@recomputed()
def gradient_masking(at: Standing) -> Iterator[Row]:
    zero = {
        (row["cell_id"], row["split"], row["param"]): row["value"]
        for row in at.leaderboard
        if row["metric"] == "zero_gradient_share"
    }
    rows = robust(at)
    free = {
        tuple(place.values()): rivals
        for place, rivals in gathered((row for row in rows if row["scale_free"]), *RIVALS)
    }
    for row in rows:
        norm = row["attack_params_json"]
        rivals = free.get(tuple(row[key] for key in RIVALS), [])
        best = min(rivals, key=lambda other: other["value"], default=None)
        share = zero.get((row["cell_id"], row["split"], row["eps"]))
        yield picked(
            row, "cell_id", "model_id", "split", "eps", "attack", "scale_free", "ci_low", "ci_high"
        ) | {
            "norm": "L2" if "L2" in norm else "Linf",
            "robust_accuracy": row["value"],
            "zero_gradient_share": share,
            "lowest_attack": best and best["attack"],
            "lowest": best and best["value"],
            "lowest_low": best and best["ci_low"],
            "lowest_high": best and best["ci_high"],
            "masked_gradients": _masked(at, row, best, share),
        }


CATALOGUE_MARGIN = next(
    row["margin"] for row in metric_declarations().to_pylist() if row["metric"] == "robust_accuracy"
)


def _masked(at: Standing, row: Row, best: Row | None, share: float | None) -> bool | None:
    if share is None:
        return False
    if row["eps"] > 0 and share > CATALOGUE_MARGIN:
        return True
    low = at.of_difference(row, best)[0] if best else None
    return None if low is None else low > 0


@recomputed({"definition": "norm_sigma", "split": "forget"})
def gap_and_robustness(at: Standing, definition: str | None = None, split: str = "test") -> Iterator[Row]:
    even: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    masked = _masked_cells(at)
    for cell in at.cells.values():
        for row in at.layers.get(cell["cell_id"], []):
            if asked_for(row["definition"], definition) and math.isfinite(row["gap"]):
                even[_stands(cell), row["definition"]].append(row)
    for row in robust(at):
        if row["split"] != split or row["eps"] != (0.3 if row["attack"] == "apgd" else 0.2):
            continue
        for (place, found), layers in even.items():
            if place == _stands(row):
                yield picked(row, *AT, "attack", "eps", *MODEL, "setting_label", "setting") | {
                    "definition": found,
                    "gap": mean(column(layers, "gap")),
                    "gap_low": mean(column(layers, "ci_low")),
                    "gap_high": mean(column(layers, "ci_high")),
                    "robust_accuracy": row["value"],
                    "robust_accuracy_low": row["ci_low"],
                    "robust_accuracy_high": row["ci_high"],
                    "masked": masked[row["cell_id"], row["split"], row["eps"]],
                }


def _masked_cells(at: Standing) -> dict[tuple[str, str, float], bool | None]:
    return {
        (row["cell_id"], row["split"], row["eps"]): row["masked_gradients"] for row in gradient_masking(at)
    }


def _stands(cell: Row) -> tuple[Any, ...]:
    return cell["model_id"], cell["forget_set"], cell["surroundings"]


@recomputed({"split": "forget", "scope": None, "role": "audited"})
def fairness_vs_robustness(
    at: Standing, split: str = "test", scope: str | None = "all", role: str | None = None
) -> Iterator[Row]:
    gaps: dict[tuple[Any, str, str], list[float]] = defaultdict(list)
    for cell in at.cells.values():
        for row in at.layers.get(cell["cell_id"], []):
            for layer in (row["layer"], "(mean)") if math.isfinite(row["gap"]) else ():
                gaps[_stands(cell), row["definition"], layer].append(row["gap"])
    masked = _masked_cells(at)
    pairs = []
    for row in robust(at):
        if (
            row["eps"] > 0
            and row["split"] == split
            and asked_for(row["scope"], scope)
            and asked_for(row["role"], role)
        ):
            for (model, definition, layer), some in gaps.items():
                if model == _stands(row):
                    more = {"definition": definition, "layer": layer, "gap": mean(some)}
                    more |= {"masked": masked[row["cell_id"], split, row["eps"]]}
                    pairs.append(row | more | {"drop": row["clean"] - row["value"]})
    axes = ("conditions", "dataset", "architecture", "definition", "layer", "attack", "eps")
    for key, rows in gathered(pairs, *axes):
        originals = [
            [stratum for _, stratum in gathered(some, "forget_set")] for _, some in gathered(rows, "seed")
        ]
        products = np.array(
            [np.sum([_products(stratum) for stratum in strata], axis=0) for strata in originals]
        )
        yield (
            key
            | _correlated(products)
            | {
                "setting_label": at.labels.get(key["conditions"]),
                "originals": len(originals),
                "strata": sum(map(len, originals)),
                "models": len(rows),
                "masked": total(column(rows, "masked")),
                "mean_gap": mean(column(rows, "gap")),
                "mean_robust_drop": mean(column(rows, "drop")),
            }
        )


def _products(stratum: list[Row]) -> list[float]:
    """Sums of products of the centred ranks, as shares of the stratum: of both, of gaps, of drops."""
    one, other = (
        stats.rankdata(np.round(column(stratum, key), 12)) / len(stratum) for key in ("gap", "drop")
    )
    one, other = one - one.mean(), other - other.mean()
    return [float(one @ other), float(one @ one), float(other @ other)]


def _correlated(products: np.ndarray) -> Row:
    """Of `originals x 3` sums: the correlation, and its interval by leaving out one original at a time."""
    found: Row = dict.fromkeys(("rho", "rho_low", "rho_high", "no_interval"))
    xy, xx, yy = products.sum(axis=0)
    number = len(products)
    if xx <= 0 or yy <= 0:
        return found | {"no_interval": "equal values in every stratum"}
    found["rho"] = xy / math.sqrt(xx * yy)
    if number < 4:
        return found | {"no_interval": "an interval needs 4 originals (seeds)"}
    rests = products.sum(axis=0) - products
    if abs(found["rho"]) > 1 - 1e-9 or any(b * c <= a**2 * (1 + 1e-9) for a, b, c in rests):
        return found | {"no_interval": "equal order in every stratum, with or without one original"}
    without = np.arctanh(rests[:, 0] / np.sqrt(rests[:, 1] * rests[:, 2]))
    half = stats.t.ppf(0.975, number - 1) * (number - 1) / math.sqrt(number) * without.std(ddof=1)
    return found | {
        "rho_low": math.tanh(math.atanh(found["rho"]) - half),
        "rho_high": math.tanh(math.atanh(found["rho"]) + half),
    }
