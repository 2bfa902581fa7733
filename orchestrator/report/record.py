"""Failures and provenance: what did not work, and where the numbers come from."""

from __future__ import annotations

import json
from html import escape
from typing import Any

from orchestrator.report.blocks import Block, Context, Missing, Section, Source, Table, Text, code
from orchestrator.report.documents import began
from orchestrator.report.finished import given_files, retraining
from orchestrator.results.own_queries import ask
from orchestrator.store.json_columns import json_column

FAILURES_SHOWN = 40
IDS_SHOWN = 12


def failures_section(context: Context) -> Section:
    """Every failed cell or model with its reason, equal reasons together."""
    rows = ask(context.results, "failure_kinds")
    blocks: list[Block] = [Text(html="<p>Nothing failed.</p>")]
    if rows:
        more = f" {len(rows) - FAILURES_SHOWN} more kinds." if len(rows) > FAILURES_SHOWN else ""
        blocks = [
            Table(
                caption="Equal reasons are counted together, with one place where each happened. Failed "
                "cells are absent from every figure above. Compute them again with "
                f"{code(context.sweep('--rerun failed'))}.{more}",
                heading=["times", "what", "error", "message", "such as"],
                rows=[
                    [
                        str(r["times"]),
                        escape(r["what"]),
                        code(r["error_type"] or "unknown"),
                        escape(r["error"] or ""),
                        escape(_where(r)),
                    ]
                    for r in rows[:FAILURES_SHOWN]
                ],
                source=Source(query="failures"),
            )
        ]
    return Section(anchor="failures", title="Failures", lead="What did not work, and why?", blocks=blocks)


def _where(row: dict[str, Any]) -> str:
    names = ("architecture", "method", "scope", "attack", "forget_set", "seed")
    return ", ".join(str(row[name]) for name in names if row[name] not in (None, ""))


def provenance_section(context: Context) -> Section:
    """Commit, configuration, packages, host, seeds of every run behind the plan."""
    rows = ask(context.results, "plan_runs")
    blocks: list[Block] = [Missing(reason="No run is recorded.", command=context.sweep())]
    if rows:
        started = [*began(context.results), *filter(None, [retraining(context.results)])]
        files = given_files(context.results)
        blocks = [
            Text(html="".join(_run(row, last=row is rows[-1]) for row in rows)),
            *([Text(html=f"<p>{escape(' '.join(started))}</p>")] if started else []),
            *([Text(html=f"<p>{escape('Read from files: ' + '; '.join(files))}.</p>")] if files else []),
            *_copies(context),
        ]
    return Section(
        anchor="provenance",
        title="Provenance",
        lead="Where do these numbers come from, and can they be had again?",
        blocks=blocks,
    )


def _copies(context: Context) -> list[Block]:
    """Forget sets of which copies stay in the retain set."""
    rows = [r for r in context.results.query("retained_copies").to_pylist() if r["exact"] or r["near"]]
    if not rows:
        return []
    return [
        Table(
            caption="Forget sets of which exact or near copies stay in the retain set: whether these examples are "
            "forgotten cannot be decided.",
            heading=["forget set", "examples", "exact", "near", "ids"],
            rows=[
                [
                    code(r["forget_set"]),
                    *(str(r[name]) for name in ("examples", "exact", "near")),
                    escape(", ".join(map(str, r["example_ids"][:IDS_SHOWN])))
                    + (" ..." if len(r["example_ids"]) > IDS_SHOWN else ""),
                ]
                for r in rows
            ],
            source=Source(query="retained_copies"),
        )
    ]


def _run(row: dict[str, Any], *, last: bool) -> str:
    plan = json_column(row["plan_json"], dict, where="runs.plan_json")
    notes = plan.pop("notes", [])
    facts = {
        "started": f"{row['started_at']:%Y-%m-%d %H:%M:%S} UTC",
        "planned": escape(", ".join(f"{count} {name}" for name, count in plan.items())),
        "the plan said": escape("; ".join(map(str, notes if isinstance(notes, list) else []))),
        "commit": _commit(row),
        "configuration": code((row["config_digest"] or "unknown")[:16]),
        "data set": f"{escape(row['dataset'] or 'unknown')} {code((row['dataset_digest'] or '')[:16])}, "
        f"split {code((row['splits_digest'] or '')[:16])}",
        "seeds": escape(", ".join(map(str, json_column(row["seeds_json"], list, where="runs.seeds_json")))),
        "host": escape(_listed(row["host_json"])),
        "devices": escape(_listed(row["devices_json"])),
        "packages": escape(_listed(row["packages_json"])),
    }
    items = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts.items() if value)
    config = json.dumps(json_column(row["config_json"], dict, where="runs.config_json"), indent=1)
    shown = (
        f"<details class='sql'><summary>resolved configuration</summary><pre>{escape(config)}</pre></details>"
    )
    return (
        f"<details class='run'{' open' if last else ''}><summary>{escape(row['run_id'])}</summary>"
        f"<dl>{items}</dl>{shown}</details>"
    )


def _commit(row: dict[str, Any]) -> str:
    if not row["git_commit"]:
        return "unknown: the code was not in a git checkout with a commit"
    dirty = ""
    if row["git_dirty"]:
        dirty = f", with changes of SHA-256 {code((row['diff_sha256'] or '')[:16])}"
    return code(row["git_commit"]) + dirty


def _listed(text: str | None) -> str:
    found = json_column(text, (dict, list), where="runs")
    if isinstance(found, dict):
        shown = {k: ", ".join(map(str, v)) if isinstance(v, list) else v for k, v in found.items()}
        return ", ".join(f"{name} {value}" for name, value in shown.items() if value not in (None, ""))
    return ", ".join(map(str, found))
