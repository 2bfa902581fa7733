"""Queries about the work itself: what failed, was searched, replaced or asked for; and those of pages and trackers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.queries.recomputed.arithmetic import Row, column, gathered, known, least, mean, most, picked
from tests.queries.recomputed.beside_retraining import whole
from tests.queries.recomputed.register import asked_for, recomputed
from tests.queries.recomputed.standing import AT, Standing

QUOTE = '"'
MADE = ("forget_set", "architecture", "method", "scope")


def failed_model(at: Standing) -> Row:
    """Place of a model of which cells failed."""
    return picked(next(row for row in at.asked if row["status"] == "failed"), *MADE)


def finished_model(at: Standing) -> Row:
    """Place of an audited model."""
    return picked(next(row for row in at.cells.values() if row["role"] == "audited"), *MADE)


def of_two_choices(at: Standing) -> Row:
    """Place of a model whose forget set has a name of two choices of examples."""
    return picked(next(row for row in at.cells.values() if row["forget_set"].startswith("class (")), *MADE)


def any_forget_set(at: Standing) -> Row:
    """Its name."""
    return picked(finished_model(at), "forget_set")


def of(rows: list[Row], **place: Any) -> list[Row]:
    """Rows of a place."""
    return [row for row in rows if all(row[key] == value for key, value in place.items())]


@recomputed()
def failures(at: Standing) -> Iterator[Row]:
    yield from at.failures


@recomputed()
def failures_view(at: Standing) -> Iterator[Row]:
    yield from at.failures


@recomputed({"method": "scrub", "chosen_only": True})
def tuning(at: Standing, method: str | None = None, chosen_only: bool = False) -> Iterator[Row]:
    for _, rows in gathered(at.table("tuning"), "search_id"):
        [first] = [row["value"] for row in rows if row["trial"] == 0]
        for row in rows:
            if asked_for(row["method"], method) and (row["chosen"] or not chosen_only):
                hidden = ("forget_digest", "reference_id", "cell_id")
                gain = None if row["value"] is None else first - row["value"]
                yield {key: value for key, value in row.items() if key not in hidden} | {"gain": gain}


@recomputed()
def superseded(at: Standing) -> Iterator[Row]:
    for older, newer in at.superseded:
        before, after = at.entries[older["setting"]], at.entries[newer["setting"]]
        changes = [
            key + ": " + before[key].strip(QUOTE) + " -> " + after[key].strip(QUOTE)
            for key in sorted(before.keys() & after.keys())
            if before[key] != after[key]
        ]
        yield picked(older, *AT, "attack", "method", "scope", "seed", "cell_id") | {
            "differs": ", ".join(changes),
            "last_run_id": at.places_of_runs[older["cell_id"]][1],
            "replaced_in": at.places_of_runs[newer["cell_id"]][1],
            "replaced_by": newer["cell_id"],
        }


@recomputed({"threshold": 0.015})
def retained_copies(at: Standing, threshold: float | None = None) -> Iterator[Row]:
    for key, rows in gathered(at.table("forget_sets"), "dataset", "forget_set", "forget_digest"):
        search = json.loads(rows[0]["provenance_json"] or "{}").get("retained_copies", {})
        bound = search.get("near") if threshold is None else threshold
        searched = [row for row in rows if row["retained_distance"] is not None]
        exact = {row["example_id"] for row in searched if row["retained_exact"] > 0}
        near = {row["example_id"] for row in searched if bound and row["retained_distance"] < bound} - exact
        closest = min(searched, key=lambda row: (row["retained_distance"], row["example_id"]))
        yield key | {
            "examples": len(rows),
            "searched": len(searched),
            "threshold": bound,
            "exact": len(exact) if searched else None,
            "near": len(near) if searched else None,
            "example_ids": sorted(exact | near),
            "smallest_distance": closest["retained_distance"],
            "closest_example": closest["example_id"],
            "closest_retained": closest["retained_nearest"],
        }


@recomputed(failed_model, finished_model, of_two_choices)
def asked_examples(at: Standing, **place: Any) -> Iterator[Row]:
    cells = {row["cell_id"] for row in of(at.asked, **place)}
    named = {
        (row["forget_set"], row["forget_digest"]) for row in at.table("cells") if row["cell_id"] in cells
    }
    yield from (row for row in at.table("forget_sets") if (row["forget_set"], row["forget_digest"]) in named)


@recomputed()
def audited_models(at: Standing) -> Iterator[Row]:
    rows = [row for row in at.asked if row["role"] in ("audited", "ceiling")]
    for key, some in gathered(rows, *MADE, "role"):
        errors = {f"{row['error_type']}: {row['error']}" for row in some if row["error"]}
        yield key | {"finished": len(of(some, status="finished")), "error": errors or {None}}


@recomputed()
def counts(at: Standing) -> Iterator[Row]:
    yield {
        "finished": len(of(at.asked, status="finished")),
        "failed": len(of(at.asked, status="failed")),
        "methods": len(set(column(of(at.asked, role="audited"), "method"))),
        "architectures": len(set(column(at.asked, "architecture"))),
        "forget_sets": len(set(column(at.asked, "forget_set"))),
        "seeds": len(set(column(at.asked, "seed"))),
    }


@recomputed()
def failure_kinds(at: Standing) -> Iterator[Row]:
    for key, rows in gathered(at.failures, "error_type", "error", "what"):
        places = {name: set(column(rows, name)) for name in (*MADE, "attack", "seed")}
        yield key | {"times": len(rows), **places}


@recomputed()
def first_cells(at: Standing) -> Iterator[Row]:
    for key, rows in gathered(list(at.cells.values()), "dataset", *MADE, "attack"):
        yield key | picked(min(rows, key=lambda row: (row["seed"], row["cell_id"])), "cell_id")


@recomputed({"forget_set": None}, any_forget_set)
def forget_set_size(at: Standing, forget_set: str | None = None) -> Iterator[Row]:
    for key, rows in gathered(
        [row for row in at.asked if asked_for(row["forget_set"], forget_set)], "forget_set"
    ):
        yield key | {"n": most(column(rows, "forget_size"))}


@recomputed()
def latest_run(at: Standing) -> Iterator[Row]:
    yield from of(at.table("runs"), run_id=at.run)


def this_run(at: Standing) -> Row:
    """The run that the answers rest on, or all."""
    return {"run": at.run}


@recomputed({"run": None}, {"run": "all"}, this_run)
def asked_runs(at: Standing, run: str | None = None) -> Iterator[Row]:
    for row in at.table("runs"):
        if run in (None, "all", row["run_id"]):
            yield picked(row, "name", "config_json")


@recomputed()
def claim_ground(at: Standing) -> Iterator[Row]:
    robust = "robust_accuracy" in column(at.table("metrics"), "metric")
    cells = list(at.cells.values())
    orders = (json.loads(row["params_json"] or "{}").get("order") for row in at.models)
    names = ({cell["method"], json.loads(at.entries[cell["setting"]]["method.name"])} for cell in cells)
    yield {
        "a": robust and bool(at.table("layers")),
        "b": robust,
        "c": "intermediate+last" in column(cells, "scope"),
        "h": any(order is not None for order in orders),
        "i": any("twin" in both for both in names),
    }


@recomputed(failed_model)
def model_failures(at: Standing, **place: Any) -> Iterator[Row]:
    rows = of(at.asked, status="failed", **place)
    for key, some in gathered(rows, "attack", "error_type", "error"):
        yield key | {"times": len(some)}


@recomputed()
def plan_runs(at: Standing) -> Iterator[Row]:
    behind = {*column(at.asked, "run_id"), at.run}
    yield from (row for row in at.table("runs") if row["run_id"] in behind)


@recomputed()
def reference_values(at: Standing) -> Iterator[Row]:
    rows = [row for row in whole(at) if row["role"] in ("reference", "noise_floor")]
    measure = ("attack", "attack_family", "metric", "split", "variant", "param", "game")
    for key, some in gathered(rows, *AT, "conditions", *measure, "method", "scope", "role"):
        yield key | {
            "seeds": len(set(column(some, "seed"))),
            "value": mean(column(some, "value")),
            "value_low": least(column(some, "ci_low")),
            "value_high": most(column(some, "ci_high")),
        }


@recomputed(finished_model)
def unlearned_models(at: Standing, **place: Any) -> Iterator[Row]:
    shown = (
        "weights_digest",
        "params_json",
        "device",
        "seed",
        "trainable_parameters",
        "num_parameters",
        "finished_at",
    )
    for model_id in set(known(column(of(list(at.cells.values()), **place), "model_id"))):
        yield picked(at.models_by_id[model_id], "model_id", *shown)


@recomputed()
def trackers(at: Standing) -> Iterator[Row]:
    about = ("role", *AT, "method", "scope", "seed", "method_params_json", "attack")
    for row in whole(at):
        subject = {"subject_id": row["model_id"] or row["group_id"]}
        yield subject | picked(
            row, *about, "metric", "split", "variant", "param", "value", "ci_low", "ci_high"
        )
