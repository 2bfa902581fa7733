"""What the answer to a claim lacks of the cells that were asked for: who is missing, and did it fail or never run.

A query of a claim pools what there is. A method, an original or a shadow model without its cells drops out of it, which
the numbers alone do not show.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from orchestrator.results.claim_register import Claim
from orchestrator.results.claim_sentences import Row, Rows
from orchestrator.results.own_queries import ask

if TYPE_CHECKING:
    from orchestrator.results.connection import Results

REFERENCE = "the retrained model"
AS_TRAINED = "none"
"""Method of shadow models before unlearning."""


def missing(results: Results, claim: Claim, row: Row, rows: Rows, params: Mapping[str, Any]) -> list[str]:
    """Names, each with how much of it is missing and why; empty where the answer rests on all that was asked for.

    Args:
        results: the session that gave the answer.
        claim: the claim.
        row: of its query, which carries it.
        rows: all of them.
        params: the values of all parameters.
    """
    if claim.of_shadows:
        return list(_shadows(results, claim, row, rows, params))
    return list(_models(results, claim, row, params))


def _models(results: Results, claim: Claim, row: Row, params: Mapping[str, Any]) -> Iterator[str]:
    scope = params["scope"]
    rivals, own = claim.letter == "i", row.get("setting")
    found = ask(
        results,
        "claim_models",
        **_place(row),
        attack=row["attack"] if "attack" in row else params["attack"],
        scopes=[scope, "all"] if claim.letter == "c" else [scope],
        needs=[own] if rivals else None,
        sequences=claim.letter == "h",
        controls=claim.letter == "a",
    )
    counted = {row["method"], *(row["unmeasured"] or "").split(", ")} if rivals else None
    for one in found:
        rest = one["wanted"] - one["finished"] - one["failed"] - one["not_run"]
        # Each original has its own ranks: a model that nobody asked for is missing in no layout.
        unasked = 0 if claim.letter == "a" else rest
        lost = one["failed"] + one["not_run"] + unasked
        if lost and (one["role"] == "reference" or counted is None or one["method"] in counted):
            yield (
                f"{_name(one, with_scope=claim.letter == 'c')} "
                f"({lost} of {one['wanted']} models: {_why(one['failed'], one['not_run'], unasked)})"
            )


def _shadows(
    results: Results, claim: Claim, row: Row, rows: Rows, params: Mapping[str, Any]
) -> Iterator[str]:
    found = ask(
        results,
        "claim_shadows",
        **_place(row),
        scope=params["scope"],
        forget_set=row["forget_set"],
        attack="before_after" if claim.letter == "e" else None,
        trajectories=claim.letter == "f",
    )
    place = ("dataset", "architecture", "conditions", "forget_set")
    for one in found:
        answered = {
            other["setting_label"]
            for other in rows
            if other["method"] == one["method"] and all(other[name] == row[name] for name in place)
        }
        if one["shadows_failed"]:
            out = "" if answered or one["method"] == AS_TRAINED else ", so that it is left out"
            name = "the models as trained" if one["method"] == AS_TRAINED else one["method"]
            yield f"{name} ({one['shadows_failed']} shadow models failed{out})"
        elif len(answered) < one["settings"]:
            several = f"{one['settings'] - len(answered)} of {one['settings']} settings: "
            why = _why(one["failed"], one["not_run"], 0) or "no shadow model was observed"
            yield f"{one['method']} ({several if one['settings'] > 1 else ''}{why})"


def _place(row: Row) -> dict[str, Any]:
    return {name: row[name] for name in ("dataset", "architecture", "conditions")}


def _name(one: Row, *, with_scope: bool) -> str:
    if one["role"] == "reference":
        return REFERENCE
    scope = f" in scope {one['scope']}" if with_scope else ""
    label = f" [{one['label']}]" if one["label"] else ""
    return f"{one['method']}{scope}{label}"


def _why(failed: int, not_run: int, unasked: int) -> str:
    counts = {"failed": failed, "not run": not_run, "asked for by no run": unasked}
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count)
