"""What a certificate says of one deletion request, as facts: asked, done, found, and what that cannot show.

The page and the JSON are two forms of the same facts; all words are plain text.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from orchestrator.report.certificate_examples import IDS_SHOWN, Exposed, exposed
from orchestrator.report.certificate_finding import Answer, answer, judged_model
from orchestrator.report.directions import set_apart
from orchestrator.report.documents import asked_groups, began, holds_documents
from orchestrator.report.finished import given_files, made_elsewhere, retraining
from orchestrator.report.leaves import finite
from orchestrator.report.subject import Subject
from orchestrator.report.templates import Head, asset, listed, percent, render
from orchestrator.results.evidence import Finding, agreeing, gather
from orchestrator.results.own_queries import ask
from orchestrator.store.json_columns import json_column
from orchestrator.store.purges import purge_line
from tasks.forget_sets.retained_copies import NEAR
from tasks.forget_sets.retained_documents import COMPARED as DOCUMENTS
from tasks.forget_sets.retained_documents import NEAR as NEAR_DOCUMENTS

if TYPE_CHECKING:
    from orchestrator.results.connection import Results

MODELS_SHOWN, CLASSES_SHOWN = 5, 12
"""What the page lists; the JSON has all."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """The deletion request as its owner knows it."""

    reference: str = ""
    """Number or name in the owner's files; empty: not given."""
    date: date | None = None
    """When it was made; None: not given."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What was to be forgotten."""

    reference: str
    date: str
    """ISO 8601; empty where it was not given."""
    forget_set: str
    examples: int
    composition: tuple[str, ...]
    """How many there are of each class, or of how many groups they are; empty where nothing is known."""
    ids: tuple[int, ...]
    digests: tuple[str, ...]
    """Of the ids, one for each choice that the name of the forget set stands for."""
    copies: str
    """Whether copies of them stay; empty where the ids are not recorded."""


@dataclass(frozen=True, kw_only=True)
class MadeModel:
    """One unlearned model."""

    seed: int
    model_id: str
    weights_sha256: str
    finished_at: str


@dataclass(frozen=True, kw_only=True)
class Done:
    """What was done to forget it."""

    method: str
    run_elsewhere: bool
    """Whether its models were given, so that nobody here knows how they were made."""
    parameters: tuple[str, ...]
    scope: str
    changed: str
    """Share of the parameters that the method may change; empty where it is unknown."""
    architecture: str
    base: str
    """What a language model began with; empty of others."""
    models: tuple[MadeModel, ...]
    files: tuple[str, ...]
    """Models that were read from files, a phrase for each."""
    retraining: str
    """What finished models were compared with; empty where none was given."""


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """All that page and JSON say."""

    issued_at: str
    verdict: str
    """Of the view `model_verdicts`: told apart, shown equivalent or undecided."""
    asked: Asked
    done: Done
    finding: Answer
    exposed: Exposed
    limits: tuple[str, ...]
    origin: dict[str, str]


def certify(results: Results, subject: Subject, request: Request | None = None) -> Certificate:
    """Gather what the results say of a model and the request behind it; a number that is not finite is unknown.

    Raises:
        AuditError: nothing was measured of the model that could be compared with retraining.
    """
    evidence = gather(results)
    model = judged_model(evidence, subject)
    found = evidence.judged(model.place, method=subject.method, scope=subject.scope, role=subject.role)
    done, request = _done(results, subject), request or Request()
    certificate = Certificate(
        issued_at=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        verdict=model.verdict,
        asked=_asked(results, subject, request),
        done=done,
        finding=answer(results, evidence, model, subject),
        exposed=exposed(results, subject, model.verdict),
        limits=(*_limits(found, evidence.upper_bounds(found)), *_made_before(done, request)),
        origin=_origin(results),
    )
    return finite(certificate)


def as_json(certificate: Certificate) -> str:
    """The certificate as JSON, every list in full."""
    return json.dumps(asdict(certificate), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def as_page(certificate: Certificate) -> str:
    """The certificate as one sheet of HTML."""
    asked, done = certificate.asked, certificate.done
    named = (asked.reference, asked.forget_set, done.method, done.scope, done.architecture)
    attacks = (measure.attack for measure in certificate.finding.measures)
    certificate = set_apart(certificate, (*named, *attacks))
    title = f"Deletion audit: {certificate.asked.forget_set}, {certificate.done.method}"
    return render(
        "certificate.html.j2",
        head=Head(title=title, style=asset("certificate.css")),
        certificate=certificate,
        composition=listed(certificate.asked.composition, CLASSES_SHOWN),
        models_shown=MODELS_SHOWN,
    )


def _asked(results: Results, subject: Subject, request: Request) -> Asked:
    rows = ask(results, "asked_examples", **subject.place)
    sizes = ask(results, "forget_set_size", forget_set=subject.forget_set)
    return Asked(
        reference=request.reference,
        date=request.date.isoformat() if request.date else "",
        forget_set=subject.forget_set,
        examples=len(rows) or sizes[0]["n"],
        composition=_composition(results, rows),
        ids=tuple(row["example_id"] for row in rows),
        digests=tuple(sorted({row["forget_digest"] for row in rows})),
        copies=copies(rows) if rows else "",
    )


def _composition(results: Results, rows: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    if holds_documents(results):
        groups = asked_groups(rows[0]["provenance_json"]) if rows else 0
        return (f"all documents of {groups} {agreeing(groups, 'group', 'groups')}",) if groups else ()
    classes = Counter(row["label"] for row in rows)
    return tuple(f"{count} of class {label}" for label, count in sorted(classes.items()))


def copies(rows: Sequence[dict[str, Any]]) -> str:
    """Examples of which an exact or near copy is retained: whether these are forgotten cannot be decided."""
    where = "forget_sets.provenance_json"
    found = json_column(rows[0]["provenance_json"] or "{}", dict, where=where).get("retained_copies")
    found = found if isinstance(found, dict) else {}
    if any(r["retained_distance"] is None for r in rows):
        if "purged" in found:
            return str(found["purged"])
        return f"not looked for: {found.get('not_searched', 'these results are older than the search')}"
    of_documents = found.get("compared") == DOCUMENTS
    bound = NEAR_DOCUMENTS if of_documents else NEAR
    exact = [r["example_id"] for r in rows if r["retained_exact"]]
    near = [r["example_id"] for r in rows if not r["retained_exact"] and r["retained_distance"] < bound]
    if not exact and not near:
        what = (
            f"{DOCUMENTS} of which less than {bound} differ"
            if of_documents
            else f"thumbnails that differ by less than {bound}"
        )
        return f"none found among the retained examples, exact or near ({what})"
    kinds = ((exact, "an exact"), (near, "a near"))
    parts = [f"{len(ids)} with {kind} copy ({listed(ids, IDS_SHOWN)})" for ids, kind in kinds if ids]
    return (
        f"{'; '.join(parts)} among the retained examples: whether these are forgotten cannot be decided, and the "
        "deletion request may have meant the copies too"
    )


def _done(results: Results, subject: Subject) -> Done:
    rows = ask(results, "unlearned_models", **subject.place)
    shares = {
        r["trainable_parameters"] / r["num_parameters"]
        for r in rows
        if r["trainable_parameters"] and r["num_parameters"]
    }
    place = {"architecture": subject.architecture, "forget_set": subject.forget_set, "method": subject.method}
    elsewhere = made_elsewhere(rows)
    parameters = (
        () if elsewhere else tuple(map(_plain_params, sorted({r["params_json"] or "{}" for r in rows})))
    )
    return Done(
        method=subject.method,
        run_elsewhere=elsewhere,
        parameters=parameters,
        scope=subject.scope,
        changed=", ".join(f"{percent(share, 2)} of the parameters" for share in sorted(shares)),
        architecture=subject.architecture,
        base=" ".join(began(results, subject.architecture)),
        models=tuple(
            MadeModel(
                seed=r["seed"],
                model_id=r["model_id"],
                weights_sha256=r["weights_digest"] or "",
                finished_at=f"{r['finished_at']:%Y-%m-%d %H:%M} UTC" if r["finished_at"] else "",
            )
            for r in rows
        ),
        files=tuple(given_files(results, **place)),
        retraining=retraining(results),
    )


def _plain_params(text: str) -> str:
    values = json_column(text, dict, where="cells.method_params_json")
    return ", ".join(f"{name} = {value}" for name, value in values.items()) or "none"


def _limits(found: list[Finding], bounds: str) -> tuple[str, ...]:
    attacks = sorted({f.attack for f in found if f.attack_family != "none"})
    ran = f"run here: {', '.join(attacks)}" if attacks else "no attack was run here"
    limits = [
        f"It does not prove that the data has no influence left: another attack may see what these did not ({ran}).",
        "It says nothing about copies of the data, backups, logs, caches, or models derived before the deletion.",
        "It holds for the models named above, not for the method in general, nor for other requests.",
        "Verdict and intervals come from a limited number of trainings and examples.",
    ]
    if "per_example" not in {f.attack_family for f in found}:
        limits.insert(1, "Averages can hide single examples; no per-example attack stands behind this page.")
    if bounds:
        limits.append(f"{bounds} The query robust_drop has them.")
    return tuple(limits)


def _made_before(done: Done, request: Request) -> tuple[str, ...]:
    """That models were there before their request, which a reader would not expect; a day may be that of any zone."""
    days = [date.fromisoformat(model.finished_at[:10]) for model in done.models if model.finished_at]
    if request.date is None or not days or max(days) + timedelta(days=1) >= request.date:
        return ()
    return (
        f"The models named above are older than the request of {request.date}: they were made without it.",
    )


def _origin(results: Results) -> dict[str, str]:
    rows = ask(results, "latest_run")
    if not rows:
        return {"run": "no run is recorded"}
    row = rows[0]
    commit = row["git_commit"] or "unknown"
    return {
        "run": row["run_id"],
        "started": f"{row['started_at']:%Y-%m-%d %H:%M} UTC",
        "code": commit + (" with uncommitted changes" if row["git_dirty"] else ""),
        "configuration": row["config_digest"] or "unknown",
        "data set": f"{row['dataset'] or 'unknown'} {row['dataset_digest'] or ''}".strip(),
        "deleted since": purge_line(results.store),
    }
