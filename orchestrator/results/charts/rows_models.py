"""Rows of charts on models: differences, robustness, fairness, scope, harm, seeds, cost."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from operator import itemgetter

from orchestrator.results.charts.answers import (
    Answers,
    Row,
    at,
    in_order,
    least,
    mean,
    most,
    of,
    place_of,
)
from orchestrator.results.charts.colours import unjudged
from orchestrator.results.charts.measures import measures
from orchestrator.results.charts.names import named_apart
from orchestrator.results.evidence import ROLE_ORDER, Place, Value


def numbered(rows: Iterable[Row]) -> list[Row]:
    """The rows, each told its place in the order, which is that of the chart."""
    made = list(rows)
    for order, row in enumerate(made):
        row["order"] = order
    return made


def forest(answers: Answers) -> list[Row]:
    """Differences from retraining, of the measures that each place shows; a choice of `measure`."""
    return [row for place in answers.evidence.places for row in numbered(_differences(answers, place))]


def _differences(answers: Answers, place: Place) -> Iterable[Row]:
    judged = answers.evidence.judged(place)
    for measure in measures(answers.evidence, place):
        found = [
            (ROLE_ORDER.index(f.role), answers.name(f), f)
            for f in judged
            if f.measure == measure.key and f.difference is not None
        ]
        times = Counter(name for _, name, _ in found)
        for _, name, f in sorted(found, key=itemgetter(0, 1)):
            yield at(place) | {
                "measure": measure.heading,
                "label": name if times[name] == 1 else _called(answers, f),
                "method": f.method,
                "scope": f.scope,
                "role": f.role,
                "verdict": f.verdict,
                "value": f.difference,
                "low": f.difference_low,
                "high": f.difference_high,
                "own": f.value,
                "own_low": f.value_low,
                "own_high": f.value_high,
                "retrained": f.retrained,
                "margin": f.margin,
                "p": f.p_adjusted,
                "family": f.family,
                "seeds": f.seeds,
                "note": f.settles or ("a difference within the margin is visible" if f.visible else ""),
            }


def robustness(answers: Answers) -> list[Row]:
    """Robust accuracy on test examples over eps; a choice of `attack`."""
    evidence = answers.evidence
    found: list[Row] = []
    for place in evidence.places:
        values = [
            v for v in evidence.at(place, metric="robust_accuracy", split="test") if v.role != "noise_floor"
        ]
        order = lambda v: (v.attack, ROLE_ORDER.index(v.role), v.method, v.scope, v.param or 0.0)  # noqa: E731
        found += [
            at(place)
            | {
                "attack": v.attack,
                "label": _called(answers, v),
                "method": v.method if v.role == "audited" else "",
                "scope": v.scope,
                "role": v.role,
                "eps": v.param or 0.0,
                "value": v.value,
                "low": v.value_low,
                "high": v.value_high,
                "masked": getattr(v, "masked_gradients", None),
            }
            for v in sorted(values, key=order)
        ]
    return found


def _called(answers: Answers, value: Value) -> str:
    label = answers.evidence.label(value.role, value.method, value.scope)
    setting = getattr(value, "setting_label", None)
    return f"{label} ({setting})" if setting else label


def fairness(answers: Answers) -> list[Row]:
    """Mean gap over layers against robust accuracy, means over seeds and their extremes; a choice of `attack`."""
    groups: dict[tuple[object, ...], list[Row]] = defaultdict(list)
    for row in answers.rows("gap_and_robustness"):
        key = (
            "dataset",
            "architecture",
            "forget_set",
            "attack",
            "definition",
            "role",
            "method",
            "scope",
            "setting",
        )
        groups[tuple(row[name] for name in key)].append(row)
    found = []
    for group in sorted(groups.values(), key=lambda rows: (_definition(rows[0]), in_order(rows[0]))):
        first = group[0]
        gaps, robust = [r["gap"] for r in group], [r["robust_accuracy"] for r in group]
        several = len(group) > 1
        found.append(
            of(first)
            | {
                "attack": f"{first['attack']} at eps {first['eps']:g}, gap {first['definition']}",
                "label": answers.label(first),
                "verdict": unjudged(first["role"]),
                "x": mean(gaps),
                "x_low": min(gaps) if several else None,
                "x_high": max(gaps) if several else None,
                "y": mean(robust),
                "y_low": min(robust) if several else None,
                "y_high": max(robust) if several else None,
                "name": "" if first["role"] in ("noise_floor", "control") else answers.label(first),
                "note": f"{len(group)} seeds"
                + (", masked gradients" if any(r["masked"] for r in group) else ""),
            }
        )
    return named_apart(found, "attack")


def _definition(row: Row) -> tuple[bool, str]:
    return (row["definition"] != "post_norm", row["definition"])


def layers(answers: Answers) -> list[Row]:
    """Rank correlation of each layer's fairness gap with the accuracy lost, over forget sets; a choice of `attack`."""
    found = [r for r in answers.rows("fairness_vs_robustness") if r["rho"] is not None]
    widest: dict[tuple[str, str], float] = {}
    for r in found:
        key = (r["conditions"], r["attack"])
        widest[key] = max(widest.get(key, 0.0), r["eps"])
    kept = [r for r in found if r["eps"] == widest[r["conditions"], r["attack"]]]
    kept.sort(key=lambda r: (_definition(r), r["layer"] == "(mean)"))
    return numbered(
        {
            "dataset": r["dataset"],
            "architecture": r["architecture"],
            "forget_set": None,
            "attack": f"{r['attack']} at eps {r['eps']:g}, gap {r['definition']}",
            "label": r["layer"].removeprefix("body."),
            "verdict": unjudged("audited"),
            "value": r["rho"],
            "low": r["rho_low"],
            "high": r["rho_high"],
            "margin": None,
            "models": r["models"],
            "note": (r["no_interval"] or f"{r['models']} models")
            + (", masked gradients" if r["masked"] else ""),
        }
        for r in kept
    )


def scope(answers: Answers) -> list[Row]:
    """Device seconds next to retraining against the difference in accuracy on the forgotten examples."""
    evidence = answers.evidence
    judged = {
        (model.place, answers.name(model)): f
        for model in evidence.models
        for f in evidence.by_measure(evidence.of_model(model)).values()
        if (f.metric, f.split, f.attack_family, f.role) in FORGOTTEN and f.difference is not None
    }
    found = []
    for r in answers.rows("unlearning_cost"):
        row = r | {"role": "audited"}
        f = judged.get((place_of(r), answers.judged_name(row, answers.label(row))))
        if f is None or not r["ratio"]:
            continue
        found.append(
            of(row)
            | {
                "label": f"{answers.label(row)}, {r['device']}",
                "verdict": f.verdict,
                "x": r["ratio"],
                **_extremes(r, "x_low", "x_high"),
                "y": f.difference,
                "y_low": f.difference_low,
                "y_high": f.difference_high,
                "name": answers.label(row),
                "note": f.verdict + ("" if r["ratio_least"] else NOTHING),
            }
        )
    return named_apart(found, log_x=True)


NOTHING = "; a seed took nothing: no bar"
"""What a drawing of costs says of a seed that stands nowhere on its log scale."""


def _extremes(row: Row, least: str, most: str) -> Row:
    """The least and the most that a seed took next to retraining, as these columns; neither where one took nothing, for
    0 stands nowhere on a log scale."""
    return (
        {least: row["ratio_least"], most: row["ratio_most"]}
        if row["ratio_least"]
        else {least: None, most: None}
    )


FORGOTTEN = {(metric, "forget", "none", "audited") for metric in ("accuracy", "token_accuracy")}


def harm(answers: Answers) -> list[Row]:
    """Share of examples that retraining gets right and a model wrong; a choice of `examples`."""
    groups: dict[tuple[object, ...], list[Row]] = defaultdict(list)
    for row in answers.rows("harm"):
        names = ("dataset", "architecture", "forget_set", "split", "role", "method", "scope", "setting")
        groups[tuple(row[name] for name in names)].append(row)
    return numbered(
        of(group[0])
        | {
            "examples": {"retain": "retained", "test": "test"}[group[0]["split"]],
            "label": answers.label(group[0]),
            "verdict": unjudged(group[0]["role"]),
            "value": mean([r["harmed"] for r in group]),
            "low": least([r["harmed_low"] for r in group]),
            "high": most([r["harmed_high"] for r in group]),
            "margin": None,
            "helped": mean([r["helped"] for r in group]),
            "note": f"{len(group)} {'seed' if len(group) == 1 else 'seeds'}",
        }
        for group in sorted(groups.values(), key=lambda rows: (rows[0]["split"], in_order(rows[0])))
    )


def seeds(answers: Answers) -> list[Row]:
    """Each seed's difference from retraining on the forgotten examples, of models that ran with several."""
    rows = [
        r
        for metric in ("accuracy", "token_accuracy")
        for r in answers.rows("gap_to_retrained", metric=metric, split="forget")
        if r["role"] != "reference" and r["difference"] is not None and r["attack"] == "none"
    ]
    count = Counter(_model(r) for r in rows)
    several = [r for r in rows if count[_model(r)] > 1] or rows
    floors: dict[Place, float] = defaultdict(float)
    for r in several:
        floors[place_of(r)] = max(floors[place_of(r)], r["noise_floor"] or 0.0)
    return numbered(
        of(r)
        | {
            "label": f"{answers.label(r)}, seed {r['seed']}",
            "verdict": unjudged(r["role"]),
            "value": r["difference"],
            "low": r["difference_low"],
            "high": r["difference_high"],
            "margin": floors[place_of(r)] or None,
            "note": "beyond the noise floor" if r["beyond_noise"] else "",
        }
        for r in sorted(several, key=lambda r: (in_order(r), r["seed"]))
    )


def _model(row: Row) -> tuple[object, ...]:
    return (place_of(row), row["role"], row["method"], row["scope"], row["setting"])


def cost(answers: Answers) -> list[Row]:
    """Device seconds next to retraining, cheapest first."""
    rows = [r | {"role": "audited"} for r in answers.rows("unlearning_cost") if r["ratio"]]
    devices = {r["device"] for r in rows}
    return numbered(
        of(r)
        | {
            "label": answers.label(r) + (f", {r['device']}" if len(devices) > 1 else ""),
            "verdict": unjudged("audited"),
            "value": r["ratio"],
            **_extremes(r, "low", "high"),
            "margin": None,
            "device": r["device"],
            "seconds": r["device_seconds"],
            "retrained_seconds": r["retrained_device_seconds"],
            "note": f"{r['device_seconds']:.3g} s, retraining {r['retrained_device_seconds']:.3g} s on {r['device']}"
            + ("" if r["ratio_least"] else NOTHING),
        }
        for r in sorted(rows, key=lambda r: (r["dataset"], r["architecture"], r["forget_set"], r["ratio"]))
    )
