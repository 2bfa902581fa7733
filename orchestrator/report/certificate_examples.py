"""What a certificate says of single examples, which its verdict does not rest on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.report.exposure import FALSE_DISCOVERIES
from orchestrator.report.subject import Subject
from orchestrator.report.templates import listed, percent
from orchestrator.results.evidence import APART, agreeing

if TYPE_CHECKING:
    from orchestrator.results.connection import Results

IDS_SHOWN = 25
CHANCE = 0.05
"""Share of examples that a second retraining puts above the threshold of exposure."""


@dataclass(frozen=True, kw_only=True)
class Exposed:
    """Examples that may still be exposed."""

    sentences: tuple[str, ...]
    ids: tuple[int, ...]
    """Whose confidence stays above what a second retraining explains, most exposed first."""
    judged: int | None
    """Examples that were looked at; None where none could be."""
    by_attack: dict[str, tuple[int, ...]]
    """Examples that each per-example attack tells apart, most clearly first."""


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """Forget examples whose confidence stays above what a second retraining explains, in every seed."""

    ids: list[int]
    """By falling mean excess."""
    threshold: float
    """Excess over the retrained model, in logits: at most a share CHANCE of the second retraining's lies above; not
    below 0, where an example is less exposed than under the retrained model."""
    judged: int
    """Examples that were looked at."""
    seeds: int
    """In which each of them was, at least."""
    by_chance: int | None
    """Those of the second retraining, which sets the threshold; None where it has another number of seeds."""
    control: int | None
    """Those of the further retraining, which does not; None where there is none of as many seeds."""


def exposed_examples(rows: list[dict[str, Any]], subject: Subject) -> Exposure | None:
    """The exposure of a model beside that of its controls; None where its answers or a second retraining's are missing.

    Args:
        rows: of queries/excess_confidence.sql.
        subject: the model.
    """
    noise = [r["excess"] for r in rows if r["role"] == "noise_floor"]
    excess = _by_example(
        r
        for r in rows
        if r["role"] == subject.role and (r["method"], r["scope"]) == (subject.method, subject.scope)
    )
    if not noise or not excess:
        return None
    threshold = max(0.0, float(np.quantile(noise, 1 - CHANCE)))
    ids = _above(excess, threshold)
    seeds = min(map(len, excess.values()))
    by_chance, control = (
        len(_above(beside, threshold)) if beside and min(map(len, beside.values())) == seeds else None
        for beside in (
            _by_example(r for r in rows if r["role"] == role) for role in ("noise_floor", "control")
        )
    )
    return Exposure(
        ids=sorted(ids, key=lambda i: -sum(excess[i]) / len(excess[i])),
        threshold=threshold,
        judged=len(excess),
        seeds=seeds,
        by_chance=by_chance,
        control=control,
    )


def _by_example(rows: Iterable[dict[str, Any]]) -> dict[int, list[float]]:
    excess: dict[int, list[float]] = {}
    for r in rows:
        excess.setdefault(r["example_id"], []).append(r["excess"])
    return excess


def _above(excess: dict[int, list[float]], threshold: float) -> list[int]:
    return [i for i, values in excess.items() if min(values) > threshold]


def exposed(results: Results, subject: Subject, verdict: str) -> Exposed:
    """Which single examples may still be exposed, beside the same of the controls."""
    rows = results.query(
        "excess_confidence", architecture=subject.architecture, forget_set=subject.forget_set
    ).to_pylist()
    exposure = exposed_examples(rows, subject)
    recognised, by_attack = _recognised(results, subject)
    if exposure is None:
        missing = (
            "Confidences of single examples cannot be judged: answers of this model or of a second retraining are "
            "missing."
        )
        return Exposed(sentences=(missing, recognised), ids=(), judged=None, by_attack=by_attack)
    return Exposed(
        sentences=(_kept_confidence(exposure), recognised, _reconciled(verdict)),
        ids=tuple(exposure.ids),
        judged=exposure.judged,
        by_attack=by_attack,
    )


def _kept_confidence(exposure: Exposure) -> str:
    ids, seeds = exposure.ids, exposure.seeds
    every = agreeing(seeds, "in the one seed", f"in each of {seeds} seeds")
    beside = "; ".join(
        f"{model}: {count if count is not None else 'not measured in as many seeds'}"
        for model, count in (
            ("of a further retraining, which has forgotten", exposure.control),
            ("of the second retraining, so by chance", exposure.by_chance),
        )
    )
    named = f" (ids, most exposed first: {listed(ids, IDS_SHOWN)})" if ids else ""
    return (
        f"{len(ids)} of {exposure.judged} {agreeing(exposure.judged, 'example', 'examples')} "
        f"{agreeing(len(ids), 'keeps', 'keep')} a confidence that lies more than {exposure.threshold:.1f} logits above "
        f"the retrained model {every}{named}. The same count, {every}, {beside}. (The threshold is what at most "
        f"{percent(CHANCE)} of the examples of the second retraining exceed in one seed.)"
    )


def _reconciled(verdict: str) -> str:
    """What counts of single examples say beside the verdict on the model."""
    rests = (
        f"The verdict, {verdict}, rests on the primary measures above and not on these counts, which describe single "
        "examples and are no test of the model"
    )
    if verdict == APART:
        return f"{rests}: they show where the difference may lie."
    return (
        f"{rests}: where they are far above those of the further retraining, single examples may still be exposed "
        "although no primary measure tells the model apart; a per-example attack over shadow models, declared primary, "
        "would test that."
    )


def _recognised(results: Results, subject: Subject) -> tuple[str, dict[str, tuple[int, ...]]]:
    """Which examples each per-example attack tells apart, beside the same in the retrained model."""
    asked = {"architecture": subject.architecture, "forget_set": subject.forget_set, "fdr": FALSE_DISCOVERIES}
    rows = [
        r
        for r in results.query("example_auc", **asked).to_pylist()
        if (r["role"], r["method"], r["scope"]) == (subject.role, subject.method, subject.scope)
        and r["told_apart"] is not None
    ]
    if not rows:
        return "No per-example membership attack tested single examples.", {}
    parts, by_attack = [], {}
    for attack in sorted({r["attack"] for r in rows}):
        mine = sorted((r for r in rows if r["attack"] == attack), key=lambda r: -r["auc"])
        tested = {r["example_id"] for r in mine}  # by several statistics: each count allows for their number
        found = list(dict.fromkeys(r["example_id"] for r in mine if r["told_apart"]))
        judged = [r for r in mine if r["retrained_told_apart"] is not None]
        control = {r["example_id"] for r in judged if r["retrained_told_apart"]}
        named = f" ({listed(found, IDS_SHOWN)})" if found else ""
        against = f"; in the retrained model {len(control)}" if judged else ""
        parts.append(f"{attack} {len(found)} of {len(tested)} examples{named}{against}")
        by_attack[attack] = tuple(found)
    told = (
        f"Per-example attacks tell apart, where {percent(FALSE_DISCOVERIES)} of the examples that each calls so are "
        f"expected to be false: {'; '.join(parts)}."
    )
    return told, by_attack
