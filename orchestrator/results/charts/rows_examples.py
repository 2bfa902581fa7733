"""Rows of charts on single examples and on shadow models: exposure, ROC, averages, harm to those who stay, stopping."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow as pa

from orchestrator.results.charts.answers import Answers, Row, at, in_order, mean, of, place_of
from orchestrator.results.charts.colours import unjudged
from orchestrator.results.charts.measures import shown_measure
from orchestrator.results.charts.rows_models import numbered
from orchestrator.results.charts.swarm import swarm
from orchestrator.results.evidence import PLACE, Finding, Place, Value
from orchestrator.results.rows import tuples_of
from tasks.objectives.names import BESIDE_PHI, PHI
from tasks.statistics.intervals import clopper_pearson

CONFIDENCE = "confidence"
"""The statistic of an example where no attack of its own was run: logits above the retrained model."""
FPR_GRID = np.logspace(-4, 0, 25)
ROW_OF_DOTS = (*PLACE, "statistic", "label", "scope")
"""Columns of what stands on one line of the chart `exposure`."""
DOT = (*PLACE, "role", "method", "scope", "setting", "setting_label", "example_id")
"""Columns of an example under a model."""
Groups = dict[tuple[Any, ...], list[Row]]


def exposure(answers: Answers) -> list[Row]:
    """How exposed each forgotten example still is under each model; choices of `statistic` and `scope`."""
    found = [*_by_attacks(answers), *_by_confidence(answers)]
    numbers: dict[tuple[Any, ...], int] = {}
    lines = [numbers.setdefault(line, len(numbers)) for line in map(itemgetter(*ROW_OF_DOTS), found)]
    of_logits = np.array([row["statistic"] == CONFIDENCE for row in found], bool)
    values = np.array([row["value"] for row in found], float)
    drawn = np.where(of_logits, np.arcsinh(values), values)  # on the scale of each
    for row, offset in zip(found, swarm(drawn, lines, np.where(of_logits, 0.055, 0.011)), strict=True):
        row["swarm"] = offset
    return numbered(found)


def _by_attacks(answers: Answers) -> list[Row]:
    """Each example's own AUC over shadow models, mean over seeds: of rank tests alone where there are any."""
    rows = answers.rows("example_auc")
    ranked = [r for r in rows if r["statistic"] in (PHI, *BESIDE_PHI)]
    groups: Groups = defaultdict(list)
    of_example = itemgetter(*PLACE, "attack", "statistic", "role", "method", "scope", "setting", "example_id")
    for row in ranked or rows:
        groups[of_example(row)].append(row)
    return [
        of(first)
        | {
            "scope": first["scope"] if first["role"] == "audited" else None,
            "statistic": f"{first['attack']}: {first['statistic']}",
            "label": answers.label(first),
            "example": first["example_id"],
            "class": first["label"],
            "value": mean([r["auc"] for r in (first, *others)]),
            "told": any(r["told_apart"] for r in (first, *others)),
            "cut": None,
            "without": first["retrained_auc"],
        }
        for first, *others in sorted(groups.values(), key=lambda group: in_order(group[0]))
    ]


def _by_confidence(answers: Answers) -> list[Row]:
    """The logit of the confidence above that of the retrained model, mean over seeds.

    `cut` is what 95 % of the examples stay below under a second retraining, and `told` what lies beyond it, on either
    side: a yardstick of chance, no test.
    """
    dots = tuples_of(_over_seeds(answers.results.query("excess_confidence"), DOT, "excess"))
    lines = [
        (dict(zip(DOT, key, strict=False)), [dot[len(key) :] for dot in line])
        for key, line in groupby(dots, itemgetter(slice(len(DOT) - 1)))
    ]
    chance: dict[Place, list[float]] = defaultdict(list)
    for model, line in lines:
        if model["role"] == "noise_floor":
            chance[place_of(model)] += [abs(excess) for _, _, excess in line]
    cuts = {place: float(np.quantile(values, 0.95)) for place, values in chance.items()}
    found = []
    for model, line in sorted(lines, key=lambda line: in_order(line[0])):
        cut = cuts.get(place_of(model))
        named = of(model) | {
            "scope": model["scope"] if model["role"] == "audited" else None,
            "statistic": CONFIDENCE,
            "label": answers.label(model),
        }
        found += [
            {
                **named,
                "example": example,
                "class": label,
                "value": excess,
                "told": cut is not None and abs(excess) > cut,
                "cut": cut,
                "without": None,
            }
            for example, label, excess in line
        ]
    return found


def _over_seeds(table: pa.Table, names: Sequence[str], value: str) -> pa.Table:
    """The mean of a value over the rows that agree in the columns of these names, in the order of the rows.

    Returns:
        these columns, the label and the value.
    """
    rows = table.append_column("row", pa.array(np.arange(table.num_rows))).group_by(names, use_threads=False)
    means = rows.aggregate([("label", "first"), (value, "mean"), ("row", "min")]).sort_by("row_min")
    return means.select([*names, "label_first", f"{value}_mean"])


def roc(answers: Answers) -> list[Row]:
    """Of each family of attacks the curves of retraining, of doing nothing and of the method it recognises best, of the
    first seed's cell each."""
    drawn = [pair for place in answers.evidence.places for pair in _drawn_rocs(answers, place)]
    names = ("dataset", "architecture", "forget_set", "method", "scope", "attack")
    cells = {tuple(row[name] for name in names): row["cell_id"] for row in answers.own("first_cells")}
    wanted = [(cells.get(tuple(getattr(value, name) for name in names)), value, row) for value, row in drawn]
    curves: Groups = defaultdict(list)
    for point in answers.own("rocs", cell_ids=sorted({cell for cell, _, _ in wanted if cell})):
        curves[point["cell_id"], point["statistic"]].append(point)
    found = [(curves.get((cell, value.variant.partition(":")[0])), row) for cell, value, row in wanted]
    return [row | point for curve, row in found if curve for point in roc_on_grid(curve)]


def _drawn_rocs(answers: Answers, place: Place) -> list[tuple[Value, Row]]:
    """The values whose curves are drawn at a place, each with what its curve is called by."""
    found: list[tuple[Value, Row]] = []
    for family in ("population", "per_example"):
        values = [
            v
            for v in answers.evidence.at(place, metric="auc", split="forget", attack_family=family)
            if ":" not in v.variant or v.variant.endswith(":pooled")
        ]
        measure = shown_measure(answers.evidence, (v for v in values if isinstance(v, Finding)))
        same = [v for v in values if v.measure == measure]
        audited = sorted((v for v in same if v.role == "audited"), key=lambda v: -v.value)[:1]
        for drawn in [v for v in same if v.role in ("reference", "ceiling")] + audited:
            label = answers.evidence.label(drawn.role, drawn.method, drawn.scope)
            more = {
                "label": label if family == "population" else f"{label} (per example)",
                "method": drawn.method if drawn.role == "audited" else "",
                "attack": drawn.attack,
                "family": family,
                "tone": drawn.role,
            }
            found.append((drawn, at(place) | more))
    return found


def roc_on_grid(rows: list[Row]) -> list[Row]:
    """True positives at each rate of the grid that the non-members can resolve, with exact intervals.

    Args:
        rows: of one curve of queries/rocs.sql, from the strictest threshold to the loosest.
    """
    negatives, positives = rows[0]["non_members"], rows[0]["members"]
    fp = np.array([0, *(r["false_positives"] for r in rows)])
    tp = np.array([0, *(r["true_positives"] for r in rows)])
    grid = FPR_GRID[1 / negatives * 0.999 <= FPR_GRID]
    hits = np.array([tp[fp <= rate * negatives + 1e-9].max() for rate in grid])
    grid, hits = grid[hits > 0], hits[hits > 0]
    low, high = clopper_pearson(hits, np.full(len(hits), positives))
    columns = (grid.tolist(), (hits / positives).tolist(), low.tolist(), high.tolist())
    return [
        dict(zip(("fpr", "value", "low", "high"), point, strict=True)) for point in zip(*columns, strict=True)
    ]


ALL = "all examples"


def averages(answers: Answers) -> list[Row]:
    """AUC by the population attack beside that of the per-example attack on its most vulnerable tenth."""
    return numbered(row for place in answers.evidence.places for row in _averages(answers, place))


def _averages(answers: Answers, place: Place) -> list[Row]:
    here = [r for r in answers.rows_at(place, "population_vs_per_example") if r["value"] is not None]
    judged = answers.evidence.judged(place, metric="auc", split="forget", attack_family="population")
    measure = shown_measure(answers.evidence, judged)
    average = [r for r in here if measure and (r["attack"], r["variant"]) == (measure[2], measure[3])]
    tenths = [r for r in here if r["variant"].endswith(":most_vulnerable_tenth")]
    models = {(r["role"], r["method"], r["scope"]) for r in tenths}
    if not average:
        return []
    found = []
    for kind, source in ((ALL, average), ("worst tenth", tenths)):
        groups: Groups = defaultdict(list)
        for r in source:
            if (r["role"], r["method"], r["scope"]) in models:
                groups[r["attack"], r["variant"], in_order(r)].append(r)
        for group in groups.values():
            first = group[0]
            by = "" if kind == ALL else f" by {first['attack']} ({first['variant'].partition(':')[0]})"
            found.append(
                of(first)
                | {
                    "label": f"{answers.label(first)}, {kind}{by}",
                    "verdict": unjudged(first["role"]),
                    "value": mean([r["value"] for r in group]),
                    "low": min(r["value_low"] for r in group),
                    "high": max(r["value_high"] for r in group),
                    "margin": None,
                    "note": f"{first['attack']}, {first['variant']}",
                }
            )
    return sorted(found, key=lambda row: (*in_order(row), row["label"]))


def retain_harm(answers: Answers) -> list[Row]:
    """Change of the AUC of retained examples from before to after unlearning; a choice of `statistic`."""
    return numbered(
        of(r)
        | {
            "statistic": f"{r['attack']}: {r['statistic']}",
            "label": f"{answers.label(r)}, seed {r['seed']}",
            "verdict": unjudged(r["role"]),
            "value": r["value"],
            "low": r["value_low"],
            "high": r["value_high"],
            "margin": None,
            "note": "worse than retraining does" if r["worse"] else "",
        }
        for r in sorted(
            answers.rows("retain_harm"), key=lambda r: (r["attack"], r["statistic"], in_order(r), r["seed"])
        )
    )


TONES = {"unlearned": "apart", "never": "control", "retained": "undecided", "test": "faint"}


def order(answers: Answers) -> list[Row]:
    """Mean confidence over epochs of unlearning of examples by what became of them, a panel for each model."""
    rows = [r | {"role": "audited"} for r in answers.rows("forgetting_order") if r["state"] in TONES]
    return [
        of(r)
        | {
            "panel": answers.label(r),
            "label": r["state"],
            "tone": TONES[r["state"]],
            "epoch": r["epoch"],
            "value": r["phi"],
            "low": r["phi_low"],
            "high": r["phi_high"],
        }
        for r in _over_epochs(rows)
    ]


def stopping(answers: Answers) -> list[Row]:
    """Shares of forgotten examples that are remembered and that are forgotten too well, by epoch."""
    rows = [r | {"role": "audited"} for r in answers.rows("stopping")]
    kinds = (("remembered", "remembered", "apart"), ("overforgotten", "forgotten too well", "undecided"))
    return [
        of(r)
        | {
            "panel": answers.label(r),
            "label": words,
            "tone": tone,
            "epoch": r["epoch"],
            "value": r[field],
            "low": None,
            "high": None,
        }
        for field, words, tone in kinds
        for r in _over_epochs(rows)
    ]


def _over_epochs(rows: list[Row]) -> list[Row]:
    """The rows of models that have several epochs."""
    epochs = defaultdict(set)
    for r in rows:
        epochs[place_of(r), r["method"], r["scope"], r["setting"]].add(r["epoch"])
    return [r for r in rows if len(epochs[place_of(r), r["method"], r["scope"], r["setting"]]) > 1]
