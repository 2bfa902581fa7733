"""One page on one deletion request, to be filed: what was asked, done and found, and what that cannot show."""

from __future__ import annotations

from collections import Counter
from html import escape
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from orchestrator.report.certificate_evidence import evidence_table, exposed, finding, listed
from orchestrator.report.documents import asked_groups, began, holds_documents
from orchestrator.report.subject import Subject, failures
from orchestrator.report.templates import Head, asset, render
from orchestrator.results.evidence import Finding, agreeing, gather
from orchestrator.results.own_queries import ask
from orchestrator.store.json_columns import json_column
from orchestrator.store.purges import purge_line
from tasks.forget_sets.retained_copies import NEAR
from tasks.forget_sets.retained_documents import COMPARED as DOCUMENTS
from tasks.forget_sets.retained_documents import NEAR as NEAR_DOCUMENTS

if TYPE_CHECKING:
    from orchestrator.results.connection import Results


def certificate(results: Results, subject: Subject) -> str:
    """The page as HTML."""
    evidence = gather(results)
    which = {"method": subject.method, "scope": subject.scope, "role": subject.role}
    place = next(
        p
        for p in evidence.places
        if (p.architecture, p.forget_set) == (subject.architecture, subject.forget_set)
    )
    (model,) = evidence.judged_models(place, **which)
    found = evidence.judged(place, **which)
    parts = [
        "<header><h1>Record of a deletion audit</h1>"
        "<p class='subtitle'>An audit is evidence, not proof. This page states what was asked, what was "
        "done, what was measured, and what that cannot show.</p></header>",
        _asked(results, subject),
        _done(results, subject),
        finding(results, evidence, model, failures(results, subject)),
        evidence_table(evidence, model),
        exposed(results, subject, model.verdict),
        _limits(found, evidence.upper_bounds(found)),
        _origin(results),
        "<div class='sign'><span>Name and role</span><span>Date and signature</span></div>",
    ]
    title = f"Deletion audit: {subject.forget_set}, {subject.method}"
    head = Head(title=title, style=asset("base.css", "sheet.css"))
    return render("sheet.html.j2", head=head, body=Markup("".join(parts)))


def _list(items: dict[str, str]) -> str:
    return "<dl>" + "".join(f"<dt>{escape(k)}</dt><dd>{v}</dd>" for k, v in items.items() if v) + "</dl>"


def _asked(results: Results, subject: Subject) -> str:
    rows = ask(results, "asked_examples", **subject.place)
    classes = Counter(r["label"] for r in rows)
    by_class = ", ".join(f"{n} of class {label}" for label, n in sorted(classes.items()))
    if holds_documents(results):
        groups = asked_groups(rows[0]["provenance_json"]) if rows else 0
        by_class = f"all documents of {groups} {agreeing(groups, 'group', 'groups')}" if groups else ""
    digests = sorted({r["forget_digest"] for r in rows})
    sizes = ask(results, "forget_set_size", forget_set=subject.forget_set)
    ids = [r["example_id"] for r in rows]
    shown = (
        f"<details class='sql'><summary>all ids</summary><pre>{_wrapped(ids)}</pre></details>" if ids else ""
    )
    return "<h2>What was asked</h2>" + _list(
        {
            "forget set": f"<code>{escape(subject.forget_set)}</code>",
            "examples": f"{len(ids) or sizes[0]['n']}{f' ({by_class})' if by_class else ''}{shown}",
            "digest of the ids": " ".join(f"<code>{escape(d)}</code>" for d in digests)
            or "not recorded in these results",
            "copies that stay": copies(rows) if rows else "",
        }
    )


def copies(rows: list[dict[str, Any]]) -> str:
    """Examples of which an exact or near copy is retained: whether these are forgotten cannot be decided."""
    where = "forget_sets.provenance_json"
    found = json_column(rows[0]["provenance_json"] or "{}", dict, where=where).get("retained_copies")
    found = found if isinstance(found, dict) else {}
    if any(r["retained_distance"] is None for r in rows):
        if "purged" in found:
            return escape(str(found["purged"]))
        return f"not looked for: {escape(str(found.get('not_searched', 'these results are older than the search')))}"
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
    parts = [f"{len(ids)} with {kind} copy ({listed(ids)})" for ids, kind in kinds if ids]
    return (
        f"<strong>{'; '.join(parts)}</strong> among the retained examples: whether these are forgotten cannot be "
        "decided, and the deletion request may have meant the copies too"
    )


def _wrapped(ids: list[int]) -> str:
    return "\n".join(" ".join(map(str, ids[i : i + 16])) for i in range(0, len(ids), 16))


def _done(results: Results, subject: Subject) -> str:
    rows = ask(results, "unlearned_models", **subject.place)
    params = sorted({r["params_json"] or "{}" for r in rows})
    shares = {
        r["trainable_parameters"] / r["num_parameters"]
        for r in rows
        if r["trainable_parameters"] and r["num_parameters"]
    }
    changed = ", ".join(f"{share:.2%} of the parameters" for share in sorted(shares))
    models = "<br>".join(
        f"seed {r['seed']}: <code>{escape(r['model_id'])}</code>, weights SHA-256 "
        f"<code>{escape((r['weights_digest'] or 'unknown')[:32])}</code>"
        + (f", {r['finished_at']:%Y-%m-%d %H:%M} UTC" if r["finished_at"] else "")
        for r in rows
    )
    return "<h2>What was done</h2>" + _list(
        {
            "method": f"<code>{escape(subject.method)}</code>, parameters "
            + "; ".join(escape(_plain_params(p)) for p in params),
            "layer scope": f"<code>{escape(subject.scope)}</code>{f': {changed}' if changed else ''}",
            "architecture": f"<code>{escape(subject.architecture)}</code>",
            "base": escape(" ".join(began(results, subject.architecture))),
            "models": models,
        }
    )


def _plain_params(text: str) -> str:
    return (
        ", ".join(
            f"{name} = {value}"
            for name, value in json_column(text, dict, where="cells.method_params_json").items()
        )
        or "none"
    )


def _limits(found: list[Finding], bounds: str) -> str:
    attacks = sorted({f.attack for f in found if f.attack_family != "none"})
    items = [
        "It does not prove that the data has no influence left: another attack may see what these did not"
        + (f" (run here: {escape(', '.join(attacks))})" if attacks else " (no attack was run here)")
        + ".",
        "It says nothing about copies of the data, backups, logs, caches, or models derived before the "
        "deletion.",
        "It holds for the models named above, not for the method in general, nor for other requests.",
        "Verdict and intervals come from a limited number of trainings and examples.",
    ]
    if "per_example" not in {f.attack_family for f in found}:
        items.insert(1, "Averages can hide single examples; no per-example attack stands behind this page.")
    if bounds:
        items.append(f"{escape(bounds)} The query <code>robust_drop</code> has them.")
    return "<h2>What this does not show</h2><ul>" + "".join(f"<li>{i}</li>" for i in items) + "</ul>"


def _origin(results: Results) -> str:
    rows = ask(results, "latest_run")
    if not rows:
        return "<h2>Origin</h2><p>No run is recorded.</p>"
    row = rows[0]
    commit = f"<code>{escape(row['git_commit'])}</code>" if row["git_commit"] else "unknown"
    return "<h2>Origin</h2>" + _list(
        {
            "run": escape(row["run_id"]),
            "code": commit + (" with uncommitted changes" if row["git_dirty"] else ""),
            "configuration": f"<code>{escape((row['config_digest'] or 'unknown')[:32])}</code>",
            "data set": f"{escape(row['dataset'] or 'unknown')} "
            f"<code>{escape((row['dataset_digest'] or '')[:32])}</code>",
            "deleted since": escape(purge_line(results.store)),
        }
    )
