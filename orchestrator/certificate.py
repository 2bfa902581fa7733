"""One page on one deletion request, to be filed: `python -m orchestrator.certificate RESULTS ...`."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from orchestrator.command_line import Flag, parse
from orchestrator.errors import Exit, run_command
from tasks.errors import AuditError, unknown_name
from tasks.forget_sets.retained_copies import NEAR

if TYPE_CHECKING:
    from orchestrator.report.evidence import Evidence, Finding, Place
    from orchestrator.results.connection import Results

EXAMPLES = """examples (after python -m orchestrator.sweep):
  python -m orchestrator.certificate results --forget-set random \\
      --method scrub --architecture resnet_small --scope all
  python -m orchestrator.certificate results --forget-set random \\
      --method scrub --architecture vit_small --scope last-1
  python -m orchestrator.certificate results --forget-set half_of_class_3 \\
      --method salun --architecture vit_small --scope all --output class-3.html
"""
IDS_SHOWN = 25
CHANCE = 0.05
"""Share of examples that a second retraining puts above the threshold of exposure."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """Write one page on one forget set and the method chosen for it: evidence, controls, limits."""

    results: Annotated[str, Flag(value="RESULTS", positional=True)] = "results"
    """Results directory: what the sweep was given as --out."""
    forget_set: Annotated[str, Flag(value="NAME")]
    """The deletion request, as named on the forget_set axis."""
    method: Annotated[str, Flag(value="NAME")]
    """The unlearning method that was applied."""
    architecture: Annotated[str | None, Flag(value="NAME", otherwise="the only one")] = None
    """The architecture, where there are several."""
    scope: Annotated[str | None, Flag(value="SCOPE", otherwise="the only one")] = None
    """The layer scope, where there are several."""
    output: Annotated[Path, Flag(value="FILE")] = Path("certificate.html")
    """File to write."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What the page is about, once every name is known to exist."""

    architecture: str
    forget_set: str
    method: str
    scope: str
    role: str = "audited"
    """ceiling for the control that leaves the original as it is."""

    @property
    def place(self) -> dict[str, str]:
        """The axes as parameters of a query."""
        names = ("architecture", "forget_set", "method", "scope")
        return {name: getattr(self, name) for name in names}


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and write the page."""
    command = parse(Command, arguments, prog="python -m orchestrator.certificate", examples=EXAMPLES)
    from orchestrator.report.write import check_folder, write_text  # matplotlib, duckdb: not for --help
    from orchestrator.results.connection import Results

    check_folder(command.output, flag="--output")
    with Results(command.results) as results:
        page = certificate(results, choose(results, command))
    write_text(command.output, page, flag="--output")
    sys.stderr.write(f"certificate in {command.output}\n")
    return Exit.FINISHED


def choose(results: Results, command: Command) -> Subject:
    """Find the audited model that the flags name, or the control that does nothing.

    Raises:
        AuditError: a name is unknown, several architectures or scopes fit and none was named, or every cell of
            the model has failed.
    """
    rows = results.sql(
        "select forget_set, method, architecture, scope, role, count(*) filter (where status = 'finished') as "
        "finished, any_value(error_type || ': ' || error) as error from cells"
        " where role in ('audited', 'ceiling') group by all"
    ).to_pylist()
    if not any(r["finished"] for r in rows):
        raise AuditError(
            f"{command.results}: no audited cell has finished; python -m orchestrator.sweep computes them"
        )
    chosen: dict[str, str] = {}
    for name in ("forget_set", "method", "architecture", "scope"):
        valid = sorted({r[name] for r in rows})
        given = getattr(command, name)
        flag = f"--{name.replace('_', '-')}"
        if given is None and len(valid) > 1:
            raise AuditError(f"{flag}: expected one of {', '.join(valid)}")
        value = valid[0] if given is None else given
        if value not in valid:
            raise unknown_name(name.replace("_", " "), value, valid, where=flag)
        chosen[name] = value
        rows = [r for r in rows if r[name] == value]
    if not rows[0]["finished"]:
        raise AuditError(
            f"--method: every cell of '{command.method}' has failed there ({rows[0]['error']}): nothing to certify"
        )
    return Subject(**chosen, role=rows[0]["role"])


def certificate(results: Results, subject: Subject) -> str:
    """The page as HTML."""
    from orchestrator.report.evidence import gather
    from orchestrator.report.page import document

    evidence = gather(results)
    place = next(
        p
        for p in evidence.places
        if (p.architecture, p.forget_set) == (subject.architecture, subject.forget_set)
    )
    found = [
        f
        for f in evidence.at(place, method=subject.method, scope=subject.scope, role=subject.role)
        if f.group is not None
    ]
    parts = [
        "<header><h1>Record of a deletion audit</h1>"
        "<p class='subtitle'>An audit is evidence, not proof. This page states what was asked, what was "
        "done, what was measured, and what that cannot show.</p></header>",
        _asked(results, subject),
        _done(results, subject),
        _found(evidence, place, found, failures(results, subject)),
        _evidence(evidence, place, found),
        _exposed(results, subject),
        _limits(found),
        _origin(results),
        "<div class='sign'><span>Name and role</span><span>Date and signature</span></div>",
    ]
    title = f"Deletion audit: {subject.forget_set}, {subject.method}"
    return document(title, f'<div class="sheet">{"".join(parts)}</div>')


def _list(items: dict[str, str]) -> str:
    return "<dl>" + "".join(f"<dt>{escape(k)}</dt><dd>{v}</dd>" for k, v in items.items() if v) + "</dl>"


def _asked(results: Results, subject: Subject) -> str:
    rows = results.sql(
        "select forget_sets.* from forget_sets where forget_set = $forget_set and forget_digest in"
        " (select forget_digest from cells where forget_set = $forget_set and architecture = $architecture"
        " and method = $method and scope = $scope) order by example_id",
        **subject.place,
    ).to_pylist()
    classes = Counter(r["label"] for r in rows)
    by_class = ", ".join(f"{n} of class {label}" for label, n in sorted(classes.items()))
    digests = sorted({r["forget_digest"] for r in rows})
    sizes = results.sql(
        "select max(forget_size) as n from cells where forget_set = $forget_set",
        forget_set=subject.forget_set,
    ).to_pylist()
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
            "copies that stay": _copies(rows) if rows else "",
        }
    )


def _copies(rows: list[dict[str, Any]]) -> str:
    """Examples of which an exact or near copy is retained: whether these are forgotten cannot be decided."""
    if any(r["retained_distance"] is None for r in rows):
        found = json.loads(rows[0]["provenance_json"] or "{}").get("retained_copies", {})
        return (
            f"not looked for: {escape(found.get('not_searched', 'these results are older than the search'))}"
        )
    exact = [r["example_id"] for r in rows if r["retained_exact"]]
    near = [r["example_id"] for r in rows if not r["retained_exact"] and r["retained_distance"] < NEAR]
    if not exact and not near:
        return f"none found among the retained examples, exact or near (thumbnails that differ by less than {NEAR})"
    kinds = ((exact, "an exact"), (near, "a near"))
    parts = [f"{len(ids)} with {kind} copy ({_listed(ids)})" for ids, kind in kinds if ids]
    return (
        f"<strong>{'; '.join(parts)}</strong> among the retained examples: whether these are forgotten cannot be "
        "decided, and the deletion request may have meant the copies too"
    )


def _listed(ids: list[int]) -> str:
    more = f" and {len(ids) - IDS_SHOWN} more" if len(ids) > IDS_SHOWN else ""
    return ", ".join(map(str, ids[:IDS_SHOWN])) + more


def _wrapped(ids: list[int]) -> str:
    return "\n".join(" ".join(map(str, ids[i : i + 16])) for i in range(0, len(ids), 16))


def _done(results: Results, subject: Subject) -> str:
    rows = results.sql(
        "select distinct models.model_id, models.weights_digest, models.params_json, models.seed, "
        "models.device_seconds, models.trainable_parameters, models.num_parameters, models.finished_at"
        " from models join cells on cells.model_id = models.model_id"
        " where cells.forget_set = $forget_set and cells.architecture = $architecture"
        " and cells.method = $method and cells.scope = $scope and cells.status = 'finished' order by "
        "models.seed",
        **subject.place,
    ).to_pylist()
    params = sorted({r["params_json"] or "{}" for r in rows})
    shares = {
        r["trainable_parameters"] / r["num_parameters"]
        for r in rows
        if r["trainable_parameters"] and r["num_parameters"]
    }
    changed = ", ".join(f"{share:.0%} of the parameters" for share in sorted(shares))
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
            "models": models,
        }
    )


def _plain_params(text: str) -> str:
    return ", ".join(f"{name} = {value}" for name, value in json.loads(text).items()) or "none"


def failures(results: Results, subject: Subject) -> list[dict[str, Any]]:
    """Attacks whose cells of the subject failed, and why."""
    return results.sql(
        "select attack, error_type, error, count(*) as times from cells where status = 'failed' and forget_set ="
        " $forget_set and architecture = $architecture and method = $method and scope = $scope"
        " group by all order by attack, error",
        **subject.place,
    ).to_pylist()


def _found(evidence: Evidence, place: Place, found: list[Finding], failed: list[dict[str, Any]]) -> str:
    from orchestrator.report.evidence import clearest, unnoticed, why_told_apart

    best = clearest(found)
    apart = sum(f.told_apart for f in found)
    of_untouched = [f for fs in evidence.measured(place, "ceiling").values() for f in fs]
    controls = [f for f in of_untouched if f.measure in {g.measure for g in found}]
    seen = sum(f.told_apart for f in controls)
    if best is not None:
        text = (
            "The unlearned model <strong>can be told from</strong> a model retrained without the data, on "
            f"{apart} of {len(found)} measures. Most clearly: {escape(why_told_apart(best))}."
        )
        if apart == 1 and len(found) > 1:
            text += " One measure alone is weak evidence: by chance 1 interval in 20 misses."
    elif controls and not seen:
        text = (
            "<strong>No finding.</strong> The unlearned model was not told from a retrained one, but "
            "neither was the untouched original: this audit could not have seen a failure, and should be "
            "repeated with more power."
        )
    else:
        text = (
            f"On none of {len(found)} measures was the unlearned model told from one retrained without the "
            f"data; {escape(unnoticed(found))}. This is absence of evidence within these limits."
        )
    power = f" The untouched original is told from retraining on {seen} of the same {len(controls)} measures."
    if not controls:
        power = " The control 'doing nothing' is missing, so what this audit could have seen is unknown."
    elif any(f.role == "ceiling" for f in found):
        power = " This model is itself the control that does nothing: it must be told from retraining."
    absent = len({f.measure for f in of_untouched} - {g.measure for g in found})
    if absent:
        power += f" {absent} measures of that control were not taken of this model."
    return f"<h2>Finding</h2><div class='verdict'><p>{text}{power}</p>{_failed(failed)}</div>"


def _failed(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return ""
    reasons = "; ".join(
        f"{escape(r['attack'])}: {escape(r['error_type'] or '')}: {escape(r['error'] or '')}"
        + (f" ({r['times']} times)" if r["times"] > 1 else "")
        for r in rows
    )
    count = sum(r["times"] for r in rows)
    what = "measurement of this model has" if count == 1 else "measurements of this model have"
    return (
        f"<p><strong>Incomplete.</strong> {count} {what} failed, so the finding rests on what is left. "
        f"{reasons}.</p>"
    )


def _evidence(evidence: Evidence, place: Place, found: list[Finding]) -> str:
    from orchestrator.report.blocks import measured, number
    from orchestrator.report.tables import telling_measure

    rows = []
    for group, split in dict.fromkeys((f.group, f.split) for f in found):
        same = [f for f in found if (f.group, f.split) == (group, split)]
        telling = {telling_measure(evidence, place, f.metric, split) for f in same}
        pick = max(same, key=lambda f: (f.told_apart, f.measure in telling, f.clearness))
        others = {
            role: next((f for f in evidence.at(place, role=role) if f.measure == pick.measure), None)
            for role in ("reference", "noise_floor", "ceiling")
        }
        cells = [
            measured(f.value, f.value_low, f.value_high) if f else "&ndash;" for f in (pick, *others.values())
        ]
        low, high = number(pick.difference_low, 2), number(pick.difference_high, 2)
        difference = f"{number(pick.difference)}<span class='ci'>{low} to {high}</span>"
        mark = f"<span class='{'apart' if pick.told_apart else 'same'}'>{escape(pick.verdict)}</span>"
        rows.append([escape(pick.words), *cells, difference, number(pick.noise_floor), mark])
    heading = (
        "measure",
        "unlearned",
        "retrained",
        "retrained again",
        "doing nothing",
        "difference",
        "noise",
        "",
    )
    head = "".join(f"<th>{h}</th>" for h in heading)
    body = "".join(f"<tr>{''.join(f'<td>{c}</td>' for c in row)}</tr>" for row in rows)
    seeds = max((f.seeds for f in found), default=0)
    return (
        "<h2>Evidence and controls</h2>"
        f"<div class='scroll'><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        f"<p class='ci' style='white-space: normal'>Means over {seeds} seed{'s' if seeds != 1 else ''} "
        "with 95 % intervals. Difference: unlearned minus retrained. Noise: how far a second retraining "
        "lay from the first. Told apart: the interval of the difference lies wholly beyond the noise. Of "
        f"several attacks or statistics the one that speaks most against the model is shown.{_games(found)}</p>"
    )


def _games(found: list[Finding]) -> str:
    """What the games of the membership measures compare."""
    from tasks.shadows.games import GAMES

    used = sorted({f.game for f in found if f.game in GAMES})
    return "".join(f" {game}: {escape(GAMES[game])}." for game in used)


def exposed_examples(rows: list[dict[str, Any]], subject: Subject) -> tuple[list[int], float, int]:
    """Forget examples whose confidence stays above what a second retraining explains, in every seed.

    Args:
        rows: of queries/excess_confidence.sql.
        subject: the model.

    Returns:
        Ids by falling mean excess, the threshold in logits, and how many examples were judged.
    """
    noise = [r["excess"] for r in rows if r["role"] == "noise_floor"]
    excess: dict[int, list[float]] = {}
    for r in rows:
        if r["role"] == subject.role and (r["method"], r["scope"]) == (subject.method, subject.scope):
            excess.setdefault(r["example_id"], []).append(r["excess"])
    if not noise or not excess:
        return [], float("nan"), len(excess)
    threshold = float(np.quantile(noise, 1 - CHANCE))
    above = [i for i, values in excess.items() if min(values) > threshold]
    return sorted(above, key=lambda i: -sum(excess[i]) / len(excess[i])), threshold, len(excess)


def _exposed(results: Results, subject: Subject) -> str:
    rows = results.query(
        "excess_confidence", architecture=subject.architecture, forget_set=subject.forget_set
    ).to_pylist()
    ids, threshold, judged = exposed_examples(rows, subject)
    if not judged or threshold != threshold:
        text = (
            "Single examples cannot be judged: answers of this model or of a second retraining are missing."
        )
        return f"<h2>Examples that remain exposed</h2><p>{text}</p>"
    text = (
        f"{len(ids)} of {judged} examples keep a confidence that lies more than {threshold:.1f} logits "
        f"above the retrained model in every seed; under a second retraining {CHANCE:.0%} do by chance in "
        "one seed. " + _recognised(results, subject)
    )
    return f"<h2>Examples that remain exposed</h2><p>{text}</p>" + (
        f"<p>Ids, most exposed first: {_listed(ids)}.</p>" if ids else ""
    )


def _recognised(results: Results, subject: Subject) -> str:
    """Which examples each per-example attack tells apart, beside the same in the retrained model."""
    from orchestrator.report.exposure import FALSE_DISCOVERIES

    rows = [
        r
        for r in results.query(
            "example_auc",
            architecture=subject.architecture,
            forget_set=subject.forget_set,
            fdr=FALSE_DISCOVERIES,
        ).to_pylist()
        if (r["role"], r["method"], r["scope"]) == (subject.role, subject.method, subject.scope)
        and r["told_apart"] is not None
    ]
    if not rows:
        return "No per-example membership attack tested single examples."
    parts = []
    for attack in sorted({r["attack"] for r in rows}):
        mine = [r for r in rows if r["attack"] == attack]
        found = sorted((r for r in mine if r["told_apart"]), key=lambda r: -r["auc"])
        control = [r["retrained_told_apart"] for r in mine if r["retrained_told_apart"] is not None]
        named = f" ({_listed([r['example_id'] for r in found])})" if found else ""
        against = f"; in the retrained model {sum(control)}" if control else ""
        parts.append(f"{escape(attack)} {len(found)} of {len(mine)} examples{named}{against}")
    return (
        f"Per-example attacks tell apart, where {FALSE_DISCOVERIES:.0%} of the examples that each calls so are "
        f"expected to be false: {'; '.join(parts)}."
    )


def _limits(found: list[Finding]) -> str:
    attacks = sorted({f.attack for f in found if f.attack_family != "none"})
    items = [
        "It does not prove that the data has no influence left: another attack may see what these did not"
        + (f" (run here: {escape(', '.join(attacks))})" if attacks else " (no attack was run here)")
        + ".",
        "It says nothing about copies of the data, backups, logs, caches, or models derived before the "
        "deletion.",
        "It holds for the models named above, not for the method in general, nor for other requests.",
        "Noise floor and intervals come from a limited number of retrainings and examples.",
    ]
    if "per_example" not in {f.attack_family for f in found}:
        items.insert(1, "Averages can hide single examples; no per-example attack stands behind this page.")
    return "<h2>What this does not show</h2><ul>" + "".join(f"<li>{i}</li>" for i in items) + "</ul>"


def _origin(results: Results) -> str:
    rows = results.sql(
        "select run_id, git_commit, git_dirty, config_digest, dataset, dataset_digest from runs"
        " order by started_at desc limit 1"
    ).to_pylist()
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
        }
    )


if __name__ == "__main__":
    sys.exit(run_command(main))
