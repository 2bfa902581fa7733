"""What a row of a claim's query says, in one sentence."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]
Rows = Sequence[Row]
MOST_DECIMALS = 5
ESTIMATES = ("gap", "gap_shuffled", "population", "per_example", "share", "control_share")
"""Columns beside the effect that sentences have with as many decimals."""
SPLITS = {"forget": "forgotten", "retain": "retained"}


def nothing(row: Row, rows: Rows) -> str:
    """No clause."""
    del row, rows
    return ""


@dataclass(frozen=True, kw_only=True)
class Wording:
    """The words of one claim; each is a pattern over the columns of its query."""

    supported: str
    """What is so."""
    contradicted: str
    """What is so instead."""
    measure: str
    """What the effect is."""
    beside: Callable[[Row, Rows], str] = nothing
    """A clause on what stands beside the effect, of the row and all rows of the answer."""


def sentence(name: str, place: str, row: Row, rows: Rows, missing: Sequence[str] = ()) -> str:
    """What a row says: place, what is so, effect with interval and margin, what is beside it, what is missing, verdict.

    Args:
        name: of the query.
        place: data set, architecture and what else, in words.
        row: the one that carries the claim.
        rows: all rows of the answer.
        missing: of what was asked for, each with how much and why.
    """
    wording = SENTENCES[name]
    said = {
        "supported": wording.supported,
        "contradicted": wording.contradicted,
        "undecided": f"it is open whether {wording.supported}",
    }[row["verdict"]]
    shown = {key: "-" if value is None else value for key, value in row.items()} | _in_words(row)
    digits = decimals(row["margin"], row["effect"], row["effect_low"], row["effect_high"])
    shown |= {name: _number(row[name], digits=digits) for name in ESTIMATES if name in row}
    parts = [
        f"{place}: {said.format(**shown)}",
        f"{wording.measure.format(**shown)}: {_estimate(row, 'effect')}, margin {row['margin']:g}",
        wording.beside(row, rows),
        f"missing: {', '.join(missing)}" if missing else "",
        f"{row['verdict']}{_because(row)}",
    ]
    return "; ".join(part for part in parts if part) + "."


def _in_words(row: Row) -> dict[str, str]:
    words = {}
    if "split" in row:
        words["which"] = SPLITS[row["split"]]
    if "suffices" in row:
        farther = row["effect_low"] is not None and row["effect_low"] > row["margin"]
        words["fails"] = (
            "is farther from retraining than all layers" if farther else "is no cheaper than all layers"
        )
    if "settings" in row:
        more = row["settings"] > row["methods"]
        words["pooled"] = (
            f"{row['settings']} settings of {row['methods']} methods" if more else f"{row['methods']} methods"
        )
    return words


def _because(row: Row) -> str:
    """Why there is no interval, or why one above 0 supports nothing."""
    reason = row["no_interval"]
    if not reason and row.get("unmeasured") and row["verdict"] == "undecided" and row["effect_low"] > 0:
        reason = f"all rivals have to be beaten, and not all were measured: {row['unmeasured']}"
    return f" ({reason})" if reason else ""


def decimals(margin: float, *values: float | None) -> int:
    """Decimals of an estimate and its ends: three, more where its margin has more, or where one that is not 0 would
    look like it.

    Args:
        margin: that what is estimated is held against.
        values: the estimate and its ends; None: unknown.
    """
    least = max(3, 1 - math.floor(math.log10(margin))) if margin > 0 else 3
    shown = (n for n in range(least, MOST_DECIMALS) if not any(_lost(v, n) for v in values if v is not None))
    return next(shown, MOST_DECIMALS)


def _lost(value: float, digits: int) -> bool:
    return round(value, digits) == 0 != round(value, MOST_DECIMALS)


def _estimate(row: Row, name: str) -> str:
    """A number with its interval, with its sign."""
    value, low, high = (row[key] for key in (name, f"{name}_low", f"{name}_high"))
    digits = decimals(row["margin"], value, low, high)
    if not (_known(low) and _known(high)):
        return f"{_number(value, '+', digits)} without an interval"
    return f"{_number(value, '+', digits)} [{_number(low, '', digits)}, {_number(high, '', digits)}]"


def _number(value: float | None, sign: str = "", digits: int = 3) -> str:
    return f"{value:{sign}z.{digits}f}" if _known(value) else "unknown"


def _known(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _layers(row: Row, rows: Rows) -> str:
    alone = [one for one in rows if not one["is_claim"] and one["conditions"] == row["conditions"]]
    found = [one["layer"] for one in alone if one["verdict"] == "supported"]
    named = f" ({', '.join(found)})" if found else ""
    return f"layer by layer {len(found)} of {len(alone)} after Holm{named}"


def _scopes(row: Row, rows: Rows) -> str:
    del rows
    close = "not shown to suffice"
    if row["suffices"]:
        close = (
            "equivalent within the margin"
            if row["is_equivalent"]
            else "nearer or equivalent within the margin"
        )
    return f"{close}; device seconds by those of all layers {_estimate(row, 'cost_ratio').removeprefix('+')}"


def _worse(row: Row, rows: Rows) -> str:
    place = ("dataset", "architecture", "conditions", "forget_set", "statistic", "method")
    siblings = [one for one in rows if all(one[key] == row[key] for key in place)]
    counts = [
        f"{one['worse']} of {one['tested']} {SPLITS[one['split']]} examples found worse off, beside {one['control']} "
        f"after retraining, share {_estimate(one, 'effect')}"
        for one in sorted(siblings, key=lambda one: not one["is_claim"])
    ]
    return "; ".join(counts) + f" ({row['methods']} methods)"


def _stopping(row: Row, rows: Rows) -> str:
    del rows
    return f"an epoch of each example's own, chosen on other shadow models, would take {_estimate(row, 'gain')} off it"


def _risk(row: Row, rows: Rows) -> str:
    del rows
    return (
        f"removed {_number(row['removed_high'])} of what there was at high risk and {_number(row['removed_low'])} at "
        "low; "
        f"without taking that out, what is left at low risk less that at high {_estimate(row, 'left_effect')}"
    )


def _order(row: Row, rows: Rows) -> str:
    key = ("dataset", "architecture", "conditions", "sequence", "ranking")
    reverse = [one for one in rows if not one["is_claim"] and all(one[name] == row[name] for name in key)]
    return (
        f"the riskiest group last {_estimate(reverse[0], 'effect')}"
        if reverse
        else "no reverse order was measured"
    )


def _standing(row: Row, rows: Rows) -> str:
    del rows
    if row["standing"] is None:
        return f"its place among {row['methods']} is unknown"
    return f"place {row['standing']} of {row['methods']}, from {row['standing_low']} to {row['standing_high']} at 5 %"


SENTENCES: Mapping[str, Wording] = {
    "claim_fairness_and_robustness": Wording(
        supported="models whose layers treat classes less evenly lose more accuracy under {attack} at radius {eps:.3g}",
        contradicted="models whose layers treat classes less evenly do not lose more accuracy under {attack} at radius "
        "{eps:.3g} by what matters",
        measure="rank correlation of {definition} and accuracy lost in {strata} strata of {originals} originals",
        beside=_layers,
    ),
    "claim_robust_loss": Wording(
        supported="unlearned models have less robust accuracy than retrained ones under {attack} at radius {eps:.3g}",
        contradicted="unlearned models lose no robust accuracy that matters against retrained ones under {attack} at "
        "radius {eps:.3g}",
        measure="loss over {pooled} and {originals} originals, {set_aside} methods with masked gradients set aside",
    ),
    "claim_scopes": Wording(
        supported="{scope} suffices and is cheaper than all layers",
        contradicted="{scope} {fails}",
        measure="distance to retraining less that of all layers over {pooled} and {originals} originals",
        beside=_scopes,
    ),
    "claim_per_example": Wording(
        supported="an attack on each example is stronger than a threshold on the loss",
        contradicted="an attack on each example is not stronger than a threshold on the loss by what matters",
        measure="AUC {per_example} beside {population}, difference over {methods} methods and "
        "{pairs} pairs of shadow models",
    ),
    "claim_worse_off": Wording(
        supported="unlearning leaves {which} examples worse off than before more often than retraining does",
        contradicted="unlearning does not leave {which} examples worse off than before more often than retraining "
        "does, by what matters",
        measure="share worse off {share} beside {control_share} after retraining, difference "
        "paired by shadow model",
        beside=_worse,
    ),
    "claim_stopping": Wording(
        supported="examples are still told apart at the best common epoch, so that there is none to stop at for all",
        contradicted="there is a common epoch after which what tells examples apart does not matter",
        measure="mean squared separation there over {methods} methods and {folds} folds of shadow models",
        beside=_stopping,
    ),
    "claim_risk": Wording(
        supported="of examples of high risk unlearning removes a larger share",
        contradicted="of examples of high risk unlearning does not remove a share that is larger by what matters",
        measure="left at low risk beyond the share that is left at high, by what there was, over {methods} methods and "
        "{pairs} pairs of shadow models",
        beside=_risk,
    ),
    "claim_order": Wording(
        supported="unlearning the riskiest group first comes closer to retraining than groups at random",
        contradicted="unlearning the riskiest group first comes no closer to retraining than groups at random, by what "
        "matters",
        measure="distance of random groups {gap_shuffled} less {gap} by {ranking}, over "
        "{originals} originals",
        beside=_order,
    ),
    "claim_closest": Wording(
        supported="{method} is closest to retraining",
        contradicted="{method} is not closest to retraining by what matters",
        measure="lead over {closest_rival}, the closest of its rivals, over {originals} originals",
        beside=_standing,
    ),
}
