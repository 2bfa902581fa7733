"""What a certificate says was found: the answer of the view of verdicts, and the evidence beside its controls."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.report.sentences import (
    apart_in_words,
    equivalence,
    of_further_retrainings,
    power,
    what_settles,
)
from orchestrator.report.subject import Subject, failures
from orchestrator.report.templates import percent
from orchestrator.results.evidence import (
    APART,
    EQUIVALENT,
    Evidence,
    Finding,
    ModelVerdict,
    agreeing,
)
from tasks.errors import AuditError
from tasks.statistics.intervals import CONFIDENCE

if TYPE_CHECKING:
    from orchestrator.results.connection import Results

COVERAGE, ERROR = percent(CONFIDENCE), percent(1 - CONFIDENCE)
NO_POWER = (
    "It is not: the audit lacks power here, and what it leaves undecided says nothing of forgetting. More seeds, more "
    "shadow models for a per-example attack, or a larger forget set would give it power."
)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One primary measure of the model, beside the same of its controls."""

    words: str
    metric: str
    split: str
    attack: str
    variant: str
    game: str | None
    param: float | None
    value: float
    value_low: float | None
    value_high: float | None
    retrained: float | None
    again: float | None
    untouched: float | None
    """Of the model that does nothing."""
    difference: float | None
    difference_low: float | None
    difference_high: float | None
    margin: float | None
    declared_after: bool
    p: float | None
    verdict: str
    visible: bool
    settles: str
    """What would settle it; empty where nothing is open."""
    rests_on: str
    """Seeds, shadow models and examples behind it."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The finding."""

    sentences: tuple[str, ...]
    """The answer first; then what bounds it."""
    measures: tuple[Measured, ...]
    explained: str
    """How the measures are read."""
    failed: tuple[str, ...]
    """Measurements of the model that failed, with reasons."""


def judged_model(evidence: Evidence, subject: Subject) -> ModelVerdict:
    """The verdict on the model of a certificate.

    Raises:
        AuditError: there is none, or there are several.
    """
    which = {
        name: getattr(subject, name) for name in ("architecture", "forget_set", "method", "scope", "role")
    }
    models = [m for m in evidence.models if all(getattr(m, name) == value for name, value in which.items())]
    if not models:
        raise AuditError(
            f"--method: nothing of '{subject.method}' was measured there that compares with retraining: nothing to "
            "certify"
        )
    if len(models) > 1:
        raise AuditError(
            f"--method: '{subject.method}' has {len(models)} settings there, a certificate is about one: expected "
            "--run with the id of a run that has one"
        )
    return models[0]


def answer(results: Results, evidence: Evidence, model: ModelVerdict, subject: Subject) -> Answer:
    """The finding: that of the view `model_verdicts`, in the words of the report."""
    failed = failures(results, subject)
    primary = evidence.primary(model)
    counts = _numbers_behind(results, subject)
    untouched = evidence.by_measure(evidence.judged(model.place, role="ceiling"))
    sentences = (
        _verdict(evidence, model),
        _declared(model),
        *_controls(results, evidence, model),
        _explored(model),
        _incomplete(failed),
    )
    return Answer(
        sentences=tuple(filter(None, sentences)),
        measures=tuple(_measured(f, untouched.get(f.measure), counts.get(f.measure, {})) for f in primary),
        explained=_explained(primary),
        failed=tuple(map(_failed, failed)),
    )


def _verdict(evidence: Evidence, model: ModelVerdict) -> str:
    seeds = f"over {model.seeds} {agreeing(model.seeds, 'seed', 'seeds')}"
    if model.verdict == APART:
        return f"The unlearned model, {seeds}, is {apart_in_words(evidence, model)}."
    if model.verdict == EQUIVALENT:
        return (
            f"The unlearned model, {seeds}, is {equivalence(model)}, within the margins below. This is evidence within "
            "these measures, margins and seeds."
        )
    return (
        f"The unlearned model is neither told from one retrained without the data nor shown to equal it, {seeds}: "
        f"{model.undecided} of {model.primary_measures} primary "
        f"{agreeing(model.primary_measures, 'measure', 'measures')} {agreeing(model.undecided, 'is', 'are')} "
        f"undecided. To settle it: {what_settles(evidence, model)}."
    )


def _declared(model: ModelVerdict) -> str:
    if not model.primary_measures:
        return ""
    if model.declared_after:
        return (
            "A primary measure or its margin was declared after rows of it were there, "
            "which may have shaped the choice."
        )
    return "Primary measures and margins were declared before anything was measured."


def _controls(results: Results, evidence: Evidence, model: ModelVerdict) -> tuple[str, ...]:
    """What the same test says of a model that has forgotten, and of one that has not."""
    if model.role == "ceiling":
        told = "It is." if model.verdict == APART else NO_POWER
        return (
            f"This model is itself the control that does nothing, and must be told from retraining. {told}",
        )
    place = model.place
    counts = next(
        (
            row
            for row in results.query("verdict_counts").to_pylist()
            if (row["dataset"], row["architecture"], row["forget_set"])
            == (place.dataset, place.architecture, place.forget_set)
        ),
        {"forgetting": 0, "seeing": 0},
    )
    return (
        of_further_retrainings(evidence, place),
        power(evidence, place, forgetting=counts["forgetting"], seeing=counts["seeing"]),
    )


def _explored(model: ModelVerdict) -> str:
    if not model.explored:
        return ""
    return (
        f"Exploratory, Benjamini-Hochberg at {ERROR}: {model.discoveries} of {model.explored} other "
        f"{agreeing(model.explored, 'measure', 'measures')} {agreeing(model.discoveries or 0, 'tells', 'tell')} it "
        "apart; the finding does not rest on them."
    )


def _incomplete(failed: Iterable[dict[str, Any]]) -> str:
    count = sum(row["times"] for row in failed)
    if not count:
        return ""
    what = "measurement of this model has" if count == 1 else "measurements of this model have"
    return f"Incomplete: {count} {what} failed, so the finding rests on what is left."


def _failed(row: dict[str, Any]) -> str:
    times = f" ({row['times']} times)" if row["times"] > 1 else ""
    return f"{row['attack']}: {row['error_type'] or ''}: {row['error'] or ''}{times}"


def _numbers_behind(results: Results, subject: Subject) -> dict[tuple[str, ...], dict[str, Any]]:
    """Seeds, examples and shadow models behind each measure."""
    rows = results.query("verdict", forget_set=subject.forget_set, method=subject.method).to_pylist()
    return {
        _measure(row): row
        for row in rows
        if (row["architecture"], row["scope"], row["role"])
        == (subject.architecture, subject.scope, subject.role)
        and row["family"] == "primary"
    }


def _measure(row: dict[str, Any]) -> tuple[str, ...]:
    """As `Value.measure` has it."""
    param = "" if row["param"] is None else f"{row['param']:g}"
    return (row["metric"], row["split"], row["attack"], row["variant"], param, row["game"] or "")


def _measured(finding: Finding, untouched: Finding | None, behind: dict[str, Any]) -> Measured:
    names = (
        *(
            "metric",
            "split",
            "attack",
            "variant",
            "game",
            "param",
            "words",
            "value",
            "value_low",
            "value_high",
        ),
        *(
            "retrained",
            "again",
            "difference",
            "difference_low",
            "difference_high",
            "margin",
            "declared_after",
        ),
        *("verdict", "visible", "settles"),
    )
    return Measured(
        **{name: getattr(finding, name) for name in names},
        untouched=untouched.value if untouched else None,
        p=finding.p_adjusted,
        rests_on=_rests_on(behind),
    )


def _rests_on(row: dict[str, Any]) -> str:
    counts = (
        (row.get("num_shadows"), "shadow model", "shadow models"),
        (None if row.get("num_shadows") else row.get("seeds_measured"), "seed", "seeds"),
        (row.get("n"), "example", "examples"),
    )
    return ", ".join(f"{count} {agreeing(count, one, others)}" for count, one, others in counts if count)


def _explained(primary: list[Finding]) -> str:
    """How the table is read."""
    from tasks.shadows.games import GAMES

    used = sorted({f.game for f in primary if f.game in GAMES})
    return (
        f"Values are means over seeds, with the lowest to the highest end of the seeds' own {COVERAGE} intervals. "
        f"Difference: unlearned minus the mean of both retrainings, with its {COVERAGE} interval over trainings. "
        "Margin: the difference that counts as equal. p: Student's t, Holm over the primary measures; told apart below "
        f"{ERROR}. Shown equivalent: two one-sided tests at {ERROR} within the margin."
        + "".join(f" {game}: {GAMES[game]}." for game in used)
    )
