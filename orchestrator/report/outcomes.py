"""Harm to retained examples, seeds and noise floor, cost."""

from __future__ import annotations

from collections import Counter, defaultdict
from html import escape
from typing import Any

from orchestrator.progress.duration import measured_duration
from orchestrator.report.blocks import Block, Context, Figure, Missing, Section, Source, Table
from orchestrator.report.drawing import Panel
from orchestrator.report.plots import Mark, forest
from orchestrator.report.shadows import retain_harm_blocks
from orchestrator.results.evidence import ROLE_ORDER
from orchestrator.results.own_queries import ask


def harm_section(context: Context) -> Section:
    """Retained examples that retraining answers right and a model answers wrong."""
    rows = context.results.query("harm").to_pylist()
    groups: dict[tuple[str, str, str], dict[tuple[str, str, str], list[dict]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for row in rows:
        key = (row["architecture"], row["forget_set"], row["split"])
        groups[key][row["role"], row["method"], row["scope"]].append(row)
    panels = []
    for place in context.drawn():
        for split in ("retain", "test"):
            models = groups.get((place.architecture, place.forget_set, split))
            if models:
                panels.append(_harm_panel(context, place.text, place.slug, split, models))
    blocks: list[Block] = [
        Missing(
            reason="This needs per-example answers of an unlearned and its retrained model (attack none).",
            command=context.sweep("--axes.attack none"),
        )
    ]
    if panels:
        blocks = [
            Figure(
                caption="Share of examples that the retrained model gets right and this model wrong. The row "
                "<em>retrained again</em> is what chance alone harms: only what lies beyond it is the "
                "method's doing. Averages hide this: a model may keep its accuracy and still trade some "
                "examples for others.",
                panels=panels,
                source=Source(query="harm"),
            )
        ]
    blocks += retain_harm_blocks(context)
    return Section(
        anchor="harm",
        title="Harm to examples that were to be kept",
        lead=f"Whom does the deletion hurt besides those who asked for it?{context.omission()}",
        blocks=blocks,
    )


def _harm_panel(context: Context, text: str, slug: str, split: str, models: dict) -> Panel:
    marks = []
    for role, method, scope in sorted(models, key=lambda m: (ROLE_ORDER.index(m[0]), m)):
        found = models[role, method, scope]
        marks.append(
            Mark(
                label=context.evidence.label(role, method, scope),
                value=sum(r["harmed"] for r in found) / len(found),
                low=min(r["harmed_low"] for r in found),
                high=max(r["harmed_high"] for r in found),
                look=context.looks.of(role, method, scope),
            )
        )
    name = {"retain": "retained", "test": "test"}[split]
    return forest(
        f"harm-{slug}-{split}",
        f"{name} examples, {text.split(', forget set ')[0]}\n{text.split(', forget set ')[1]}",
        marks,
        axis=f"share of {name} examples harmed",
        words=f"Harmed {name} examples by model, {text}",
    )


def seeds_section(context: Context) -> Section:
    """Each seed's difference from retraining on the forgotten examples, over the noise floor."""
    rows = [
        r
        for r in context.results.query("gap_to_retrained", metric="accuracy", split="forget").to_pylist()
        if r["role"] != "reference" and r["difference"] is not None and r["attack"] == "none"
    ]
    panels = []
    for place in context.drawn():
        found = [
            r for r in rows if (r["architecture"], r["forget_set"]) == (place.architecture, place.forget_set)
        ]
        found = _repeated(found)
        found.sort(key=lambda r: (ROLE_ORDER.index(r["role"]), r["method"], r["scope"], r["seed"]))
        if not found:
            continue
        marks = [
            Mark(
                label=f"{context.evidence.label(r['role'], r['method'], r['scope'])}, seed {r['seed']}",
                value=r["difference"],
                low=r["difference_low"],
                high=r["difference_high"],
                look=context.looks.of(r["role"], r["method"], r["scope"]),
            )
            for r in found
        ]
        floors = [r["noise_floor"] for r in found if r["noise_floor"] is not None]
        panels.append(
            forest(
                f"seeds-{place.slug}",
                f"{place.architecture}\n{place.forget_set}",
                marks,
                axis="forget accuracy minus retrained",
                band=max(floors) if floors else None,
                words=f"Difference from retraining by seed, {place.text}",
            )
        )
    seeds = {r["seed"] for r in rows}
    few = " One seed was run: the seeds' own spread is unknown. Add <code>--axes.seed 0 1 2</code>."
    blocks: list[Block] = [
        Missing(
            reason="No cell without attack has finished.",
            command=context.sweep("--axes.seed 0 1 2"),
        )
    ]
    if panels:
        blocks = [
            Figure(
                caption="Each row is one seed of a model that ran with several. The grey band reaches as far "
                "as a second retraining ever "
                "lay from the first. Rows of one model that scatter more than their intervals say that the "
                "seed matters as much as the "
                "method." + (few if len(seeds) < 2 else ""),
                panels=panels,
                source=Source(query="gap_to_retrained", params={"metric": "accuracy", "split": "forget"}),
            )
        ]
    return Section(
        anchor="seeds",
        title="Seeds and noise floor",
        lead=f"How much of a difference is chance?{context.omission()}",
        blocks=blocks,
    )


def _repeated(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of the models that ran with several seeds; all rows where none did."""
    seeds = Counter((r["role"], r["method"], r["scope"]) for r in rows)
    several = [r for r in rows if seeds[r["role"], r["method"], r["scope"]] > 1]
    return several or rows


def cost_section(context: Context) -> Section:
    """Seconds and ratio to retraining."""
    rows = context.results.query("unlearning_cost").to_pylist()
    panels = []
    for place in context.drawn():
        found = [
            r
            for r in rows
            if (r["architecture"], r["forget_set"]) == (place.architecture, place.forget_set) and r["ratio"]
        ]
        if not found:
            continue
        retrained = {r["device"]: measured_duration(r["retrained_device_seconds"]) for r in found}
        takes = " and ".join(
            f"{taken} on {device}" if len(retrained) > 1 else taken for device, taken in retrained.items()
        )
        marks = [
            Mark(
                label=f"{context.evidence.label('audited', r['method'], r['scope'])}, "
                f"{measured_duration(r['device_seconds'])}{' on ' + r['device'] if len(retrained) > 1 else ''}",
                value=r["ratio"],
                low=r["ratio_least"],
                high=r["ratio_most"],
                look=context.looks.of("audited", r["method"], r["scope"]),
            )
            for r in sorted(found, key=lambda r: r["ratio"])
        ]
        panels.append(
            forest(
                f"cost-{place.slug}",
                f"{place.architecture}, retraining takes {takes}\n{place.forget_set}",
                marks,
                axis="device seconds, retraining = 1",
                origin=1.0,
                log=True,
                words=f"Cost next to retraining, {place.text}",
            )
        )
    blocks: list[Block] = [
        Missing(
            reason="No model has been unlearned yet.",
            command=context.sweep(),
        )
    ]
    if panels:
        blocks = [
            Figure(
                caption="To the left of 1 a method is cheaper than retraining; a method to the right of it "
                "has no reason to exist here. Bars reach over the seeds.",
                panels=panels,
                source=Source(query="unlearning_cost"),
            ),
        ]
    return Section(
        anchor="cost",
        title="Cost",
        lead=f"What does unlearning cost next to training again without the data?{context.omission()}",
        blocks=[*blocks, *_stages(context)],
    )


def _stages(context: Context) -> list[Block]:
    rows = ask(context.results, "stage_totals")
    if not rows:
        return []
    return [
        Table(
            caption="Where the time of the audit itself went.",
            heading=["stage", "device", "times", "seconds", "device seconds", "peak memory"],
            rows=[
                [
                    escape(r["stage"]),
                    escape(r["device"]),
                    f"{r['stages']:.0f}",
                    measured_duration(r["seconds"]),
                    measured_duration(r["device_seconds"]),
                    "\N{EN DASH}" if not r["peak_bytes"] else f"{r['peak_bytes'] / 2**20:.0f} MiB",
                ]
                for r in rows
            ],
            source=Source(query="cost"),
        )
    ]
