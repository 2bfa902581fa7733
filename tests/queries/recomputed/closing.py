"""The closing tables of a sweep: several attacks on one model in one row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.queries.recomputed.arithmetic import (
    Row,
    column,
    gathered,
    known,
    least,
    mean,
    most,
    not_below_zero,
    of_seeds_or_own,
    over,
    picked,
)
from tests.queries.recomputed.beside_retraining import whole
from tests.queries.recomputed.register import asked_for, recomputed
from tests.queries.recomputed.standing import AT, Standing

PLACE = ("dataset", "architecture", "forget_set", "surroundings")


def plain_values(at: Standing, cell: Row) -> Row:
    """Accuracies and gap of a cell without attack."""
    rows = {(row["metric"], row["split"]): row for row in at.metrics[cell["cell_id"]] if row["label"] is None}
    gap = rows.get(("average_gap", ""), dict.fromkeys(("value", "ci_low", "ci_high")))
    answered = {
        split: rows.get(("accuracy", split)) or rows["token_accuracy", split]
        for split in ("forget", "retain", "test")
    }
    return {
        **{f"{split}_accuracy": row["value"] for split, row in answered.items()},
        "average_gap": gap["value"],
        "gap_low": gap["ci_low"],
        "gap_high": gap["ci_high"],
        "js_forget": rows.get(("js_to_retrained", "forget"), {}).get("value"),
    }


def same_model(cell: Row) -> tuple[Any, ...]:
    """What the cells of one model in one setting of data and evaluation share."""
    return cell["model_id"], cell["forget_digest"], cell["surroundings"]


def membership(at: Standing) -> dict[tuple[Any, ...], float]:
    """AUC of the loss threshold, of each model: under the attack and setting that most models at a place have met."""
    rows = [row for row in whole(at) if (row["metric"], row["variant"]) == ("auc", "loss_threshold")]
    return {
        (key["architecture"], key["forget_set"], *same_model(row)): row["value"]
        for key, some in gathered(rows, *PLACE)
        for row in _most_met(some, "attack", "conditions", "split", "game")
    }


def _most_met(rows: list[Row], *measured: str) -> list[Row]:
    """Those of the measurement that most models have; of several as many the first."""
    met = [(key, some) for key, some in gathered(rows, *measured)]
    least_of = [(-len(set(column(some, "model_id"))), tuple(key.values()), some) for key, some in met]
    return min(least_of, key=lambda one: one[:2])[2]


def extraction(at: Standing) -> dict[tuple[Any, ...], float]:
    """Strength of extraction of the forgotten documents, of each model: of the first attack and setting."""
    found: dict[tuple[Any, ...], Row] = {}
    for row in whole(at):
        if (row["metric"], row["split"]) == ("extraction_strength", "forget"):
            known_row = found.setdefault(same_model(row), row)
            found[same_model(row)] = min(known_row, row, key=lambda r: (r["attack"], r["setting"]))
    return {model: row["value"] for model, row in found.items()}


def price(at: Standing, cell: Row, *, absolute: bool = False) -> float | None:
    """Device seconds of a model with the stages that it rests on; the original costs nothing.

    Unless `absolute` by those of the retrained model, on the same kind of device.
    """
    if cell["role"] == "ceiling":
        return 0.0
    made, retrained = (at.cost_of.get(cell[key], UNPRICED) for key in ("model_id", "reference_id"))
    if absolute:
        return made["device_seconds"]
    alike = made["device"] == retrained["device"]
    return over(made["device_seconds"], retrained["device_seconds"]) if alike else None


UNPRICED = dict.fromkeys(("device", "device_seconds"))
"""Where a model, or that which it is compared with, has failed."""


def whole_verdicts(at: Standing) -> dict[tuple[Any, ...], str]:
    """Verdict of the whole model, by place, model and setting of a cell; of none that is not judged."""
    judged = (*AT, "method", "scope", "role")
    of_model = {
        tuple(row[key] for key in (*judged, "model_setting")): row["verdict"]
        for row in at.view("model_verdicts")
    }
    return {
        tuple(row[key] for key in JUDGED): of_model[tuple(row[key] for key in (*judged, "model_setting"))]
        for row in at.view("verdicts")
    }


JUDGED = (*AT, "method", "scope", "role", "setting")
"""Whose verdict that of a whole model is."""


def _strongest(at: Standing) -> dict[tuple[Any, ...], float]:
    """Of each model the least robust accuracy on tests, at the largest eps of each attack that all of its place met."""
    rows = [row for row in whole(at) if row["attack_family"] == "adversarial"]
    found: dict[tuple[Any, ...], float] = {}
    for _, here in gathered(rows, *PLACE):
        for _, some in gathered(here, "attack", "conditions"):
            if set(column(some, "model_id")) == set(column(here, "model_id")):
                shown = [row for row in some if (row["metric"], row["split"]) == ("robust_accuracy", "test")]
                for _, of_cell in gathered(shown, "cell_id"):
                    farthest = max(column(of_cell, "param"))
                    for row in of_cell:
                        if row["param"] == farthest:
                            model = same_model(row)
                            found[model] = min(found.get(model, row["value"]), row["value"])
    return found


def _gap_interval(role: str, rows: list[Row]) -> tuple[float | None, float | None]:
    """The reference is no distance from itself, and not by chance."""
    gaps = column(rows, "average_gap")
    if role == "reference":
        return mean(gaps), mean(gaps)
    return of_seeds_or_own(gaps, column(rows, "gap_low"), column(rows, "gap_high"))


@recomputed({"forget_set": "random:fraction=0.1", "architecture": "wide"})
def scoreboard(at: Standing, forget_set: str | None = None, architecture: str | None = None) -> Iterator[Row]:
    robust, mia, verdicts = _strongest(at), membership(at), whole_verdicts(at)
    extracted = extraction(at)
    rows = []
    for cell in at.cells.values():
        chosen = asked_for(cell["forget_set"], forget_set) and asked_for(cell["architecture"], architecture)
        if cell["attack_family"] == "none" and chosen:
            gaps = [row for row in at.layers[cell["cell_id"]] if row["definition"] == "norm_sigma"]
            measured = {
                "robust": robust.get(same_model(cell)),
                "mia_auc": mia.get((cell["architecture"], cell["forget_set"], *same_model(cell))),
                "extraction": extracted.get(same_model(cell)),
                "fairness": mean(column(gaps, "relative_gap")),
                "cost": price(at, cell),
            }
            rows.append(cell | plain_values(at, cell) | measured)
    for key, some in gathered(rows, *AT, "method", "scope", "role", "tuning_trials", "setting"):
        low, high = _gap_interval(key["role"], some)
        means = ("forget_accuracy", "retain_accuracy", "test_accuracy", "average_gap", "js_forget")
        more = ("mia_auc", "extraction", "robust", "fairness", "cost")
        yield (
            key
            | {name: mean(column(some, name)) for name in (*means, *more)}
            | {
                "setting_label": at.labels.get(key["setting"]),
                "verdict": verdicts.get(tuple(key[name] for name in JUDGED)),
                "seeds": len(set(column(some, "seed"))),
                "gap_low": not_below_zero(low),
                "gap_high": high,
            }
        )


@recomputed(
    {"scope": "last", "architecture": "resnet18", "forget_set": "random:fraction=0.1"},
    {"per_example": "rank_test"},
)
def method_table(
    at: Standing,
    scope: str = "all",
    architecture: str | None = None,
    forget_set: str | None = None,
    per_example: str = "u_lira_g2",
) -> Iterator[Row]:
    mia, verdicts = membership(at), whole_verdicts(at)
    cells = [
        cell
        for cell in at.cells.values()
        if (cell["scope"] == scope or cell["role"] != "audited")
        and asked_for(cell["architecture"], architecture)
    ]
    said = {row["method"]: row for row in at.table("methods")}
    rows = [
        cell
        | plain_values(at, cell)
        | {
            "seconds": price(at, cell, absolute=True),
            "ratio": price(at, cell),
            "device": at.cost_of.get(cell["model_id"], UNPRICED)["device"]
            if cell["role"] != "ceiling"
            else None,
            "mia_auc": mia.get((cell["architecture"], cell["forget_set"], *same_model(cell))),
        }
        for cell in cells
        if cell["attack_family"] == "none" and asked_for(cell["forget_set"], forget_set)
    ]
    risks = _risks(at, cells, per_example)
    for key, some in gathered(rows, *JUDGED, "surroundings", "method_part"):
        low, high = _gap_interval(key["role"], some)
        about = said.get(key["method"], {})
        kept = (
            "retain" if about.get("needs_retain") else "",
            "validation" if about.get("needs_validation") else "",
        )
        risk = risks.get(tuple(key[name] for name in RISK), {})
        yield {name: key[name] for name in (*AT, "method", "setting")} | {
            "setting_label": at.labels.get(key["setting"]),
            "paper": about.get("paper"),
            "passes": about.get("passes"),
            "needs": ", ".join(filter(None, (*kept, about.get("second_model")))),
            "seeds": len(set(column(some, "seed"))),
            "verdict": verdicts.get(tuple(key[name] for name in JUDGED)),
            "gap_low": _rounded(not_below_zero(low), 4),
            "gap_high": _rounded(high, 4),
            "average_gap": _rounded(mean(column(some, "average_gap")), 4),
            "ratio": _rounded(mean(column(some, "ratio")), 2),
            "seconds": None
            if len(set(known(column(some, "device")))) > 1
            else _rounded(mean(column(some, "seconds")), 2),
            **{
                name: _rounded(mean(column(some, name)), 3)
                for name in ("forget_accuracy", "test_accuracy", "mia_auc")
            },
            **{name: _rounded(risk.get(name), 3) for name in ("risk_auc", "risk_low", "risk_high")},
        }


RISK = ("dataset", "architecture", "method", "surroundings", "method_part")
ALIKE = ("conditions", "variant", "game", "split")


def _risks(at: Standing, cells: list[Row], attack: str) -> dict[tuple[Any, ...], Row]:
    """Mean AUC over examples under a per-example attack in one setting, over forget sets and seeds."""
    chosen = {cell["cell_id"] for cell in cells if cell["attack"] == attack}
    rows = [
        row
        for row in whole(at)
        if row["cell_id"] in chosen and row["metric"] == "auc" and row["variant"].endswith(":example_mean")
    ]
    found = {}
    for _, at_place in gathered(rows, "dataset", "architecture", "surroundings"):
        of_settings = gathered(at_place, *RISK, "setting", *ALIKE)
        alike = gathered([key for key, _ in of_settings], *ALIKE)
        chosen = min(alike, key=lambda one: (-len(one[1]), *one[0].values()))[0]
        same = [row for row in at_place if picked(row, *ALIKE) == chosen]
        for key, some in gathered(same, *RISK):
            first = min(column(some, "setting"))
            mine = [row for row in some if row["setting"] == first]
            found[tuple(key[name] for name in RISK)] = {
                "risk_auc": mean(column(mine, "value")),
                "risk_low": least(column(mine, "ci_low")),
                "risk_high": most(column(mine, "ci_high")),
            }
    return found


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
