"""Figures on single examples: how far each is from forgotten, which are worst, what attacks make of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from orchestrator.report.blocks import (
    COVERAGE,
    Block,
    Context,
    Figure,
    Gallery,
    Missing,
    Section,
    Source,
    number,
)
from orchestrator.report.documents import ALL_EXAMPLES, exposed_documents, exposed_groups, holds_documents
from orchestrator.report.drawing import MUTED, Look, Panel
from orchestrator.report.exposure import exposure_table
from orchestrator.report.images import read_examples
from orchestrator.report.plots import Line, curves, distribution
from orchestrator.report.shadows import comparison_blocks, stopping_blocks, vulnerability_blocks
from orchestrator.report.tables import shown_measure
from orchestrator.results.evidence import ROLE_ORDER, Finding, Place, Value
from orchestrator.results.own_queries import ask
from tasks.statistics.intervals import clopper_pearson

PER_EXAMPLE = "--axes.attack none population u_lira rank_test"
WORST = 10
"""Examples shown as images for each place."""
PER_EXAMPLE_LABEL = " (per example)"
FPR_GRID = np.logspace(-4, 0, 25)


def examples_section(context: Context) -> Section:
    """Distribution over forgotten examples, the worst ones, ROC curves, exposed examples."""
    blocks: list[Block] = [
        *_distributions(context),
        *_worst(context),
        *vulnerability_blocks(context),
        *_rocs(context),
        *comparison_blocks(context),
        *_exposed(context),
    ]
    return Section(
        anchor="examples",
        title="Single examples",
        lead="Averages reassure; a deletion request is about one example. Which ones are still remembered?"
        + context.omission(),
        blocks=blocks,
    )


def _distributions(context: Context) -> list[Block]:
    panels = [p for place in context.drawn() if (p := _distribution(context, place)) is not None]
    if not panels:
        return [
            Missing(
                reason="The confidence of single examples needs an unlearned and its retrained model "
                "(attack none).",
                command=context.sweep("--axes.attack none"),
            )
        ]
    scope = context.evidence.scopes[0] if context.evidence.scopes else "all"
    return [
        Figure(
            caption="For each forgotten example, how much more confident in its label the model is than "
            "the retrained one (logit of the confidence). Retraining again crosses 0.5 near 0; a curve to "
            "its right still remembers, a curve to its left forgets too well, which betrays the example "
            "just as surely. A long tail to the right is a few examples on which the method failed. Curves "
            f"have no bands: seeds share their examples. Scope {escape(scope)}.",
            panels=panels,
            source=Source(query="excess_confidence"),
            key=context.key(scopes=False),
        )
    ]


def _distribution(context: Context, place: Place) -> Panel | None:
    rows = context.results.query(
        "excess_confidence", architecture=place.architecture, forget_set=place.forget_set
    ).to_pylist()
    parts: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    first = context.evidence.scopes[0] if context.evidence.scopes else "all"
    for row in rows:
        if row["role"] != "audited" or row["scope"] == first:
            parts[row["role"], row["method"], row["scope"]].append(row["excess"])
    if not parts:
        return None
    found = [
        (np.array(parts[role, method, scope]), context.looks.of(role, method, scope))
        for role, method, scope in sorted(parts, key=lambda m: (ROLE_ORDER.index(m[0]), m))
    ]
    return distribution(
        f"excess-{place.slug}",
        f"{place.architecture}\n{place.forget_set}",
        found,
        axis="confidence above the retrained model (logits)",
        words=f"Distribution of excess confidence over forgotten examples, {place.text}",
    )


def _worst(context: Context) -> list[Block]:
    documents = holds_documents(context.results)
    top = ALL_EXAMPLES if documents else WORST
    rows = context.results.query("hardest_examples", top=top).to_pylist()
    if not rows:
        return []
    places = {(p.architecture, p.forget_set) for p in context.drawn()}
    rows = [r for r in rows if (r["architecture"], r["forget_set"]) in places]
    examples = read_examples(context.results, {r["example_id"] for r in rows}, asked=context.examples)
    blocks: list[Block] = []
    for place in context.drawn():
        found = [
            r for r in rows if (r["architecture"], r["forget_set"]) == (place.architecture, place.forget_set)
        ]
        if not found:
            continue
        if documents:
            blocks += [
                exposed_documents(place, found[:WORST], examples),
                *exposed_groups(place, found, examples),
            ]
            continue
        pictures = [
            (
                examples.images.get(r["example_id"], ""),
                f"{examples.caption(r['example_id'], r['label'])}<br>"
                f"{_excess(r['excess'])} logits<br>right: {_percent(r['accuracy'])}<br>"
                f"retrained: {_percent(r['retrained_accuracy'])}",
            )
            for r in found
        ]
        note = f" No images: {escape(examples.why_not)}." if examples.why_not else ""
        blocks.append(
            Gallery(
                caption="Forgotten examples that stay farthest "
                "from what retraining makes of them, over all audited models. Number and class; the mean "
                "confidence in the right class above that of the retrained model, in logits (positive: still "
                "remembered, negative: forgotten too well); the share of unlearned models that answer right, "
                "and of retrained ones." + note,
                images=pictures,
                source=Source(query="hardest_examples", params={"top": WORST}),
                title=place.text,
            )
        )
    return blocks


def _excess(value: float) -> str:
    return f"{'+' if value > 0 else ''}{number(value, 1)}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f}&nbsp;%"


def _rocs(context: Context) -> list[Block]:
    membership = [f for f in context.evidence.findings if f.metric == "auc"]
    if not membership:
        return [
            Missing(
                reason="No membership attack was in the grid.",
                command=context.sweep(PER_EXAMPLE),
            )
        ]
    lines = {place: found for place in context.drawn() if (found := _lines_at(context, place))}
    blocks: list[Block] = []
    if lines:
        blocks.append(
            Figure(
                caption="ROC of membership attacks on log scales: what matters is the left edge, where an "
                "attacker is hardly ever wrong. The straight diagonal is guessing. Solid: the population "
                "attack; dashed: the per-example attack. Where there are several, the one that the verdict rests "
                "on. A curve above that of the retrained model shows "
                "memory; the method drawn is the one that this attack recognises best. Bars are "
                f"{COVERAGE} Clopper-Pearson intervals.",
                panels=[_roc_panel(place, found) for place, found in lines.items()],
                source=Source(query="roc_one_cell", params={"cell_id": "CELL"}),
                key=_roc_key([line for found in lines.values() for line in found]),
            )
        )
    if not any(f.attack_family == "per_example" for f in membership):
        blocks.append(
            Missing(
                reason="Only population attacks were run: one threshold for all examples. Per-example "
                "attacks compare each example with shadow models that did and did not see it, and are far "
                "stronger at low false positive rates; without them, read no membership number here as an "
                "upper bound.",
                command=context.sweep(PER_EXAMPLE),
            )
        )
    return blocks


def _roc_key(lines: Sequence[Line]) -> list[tuple[str, Look]]:
    """What is drawn, each once, and the diagonal."""
    drawn = {line.label.removesuffix(PER_EXAMPLE_LABEL): Look(colour=line.look.colour) for line in lines}
    return [*drawn.items(), ("guessing", Look(colour=MUTED, marker="-"))]


def _lines_at(context: Context, place: Place) -> list[Line]:
    lines: list[Line] = []
    for family in ("population", "per_example"):
        found = [
            v
            for v in context.evidence.at(place, metric="auc", split="forget", attack_family=family)
            if ":" not in v.variant or v.variant.endswith(":pooled")
        ]
        lines += _roc_lines(context, family, found)
    return lines


def _roc_panel(place: Place, lines: Sequence[Line]) -> Panel:
    floor = min(min(line.x) for line in lines)
    rates = [float(x) for x in FPR_GRID if x >= floor * 0.7]
    diagonal = Line(
        label="guessing",
        x=rates,
        y=rates,
        low=[None] * len(rates),
        high=[None] * len(rates),
        look=Look(colour=MUTED, dash=":"),
    )
    return curves(
        f"roc-{place.slug}",
        f"{place.architecture}\n{place.forget_set}",
        [*lines, diagonal],
        x_axis="false positive rate",
        y_axis="true positive rate",
        words=f"ROC curves of membership attacks, {place.text}",
        log=True,
        labelled=False,
    )


def _roc_lines(context: Context, family: str, found: list[Value]) -> list[Line]:
    """Retrained, doing nothing and the most recognised method, under one attack and statistic."""
    measure = shown_measure(context.evidence, (f for f in found if isinstance(f, Finding)))
    same = [v for v in found if v.measure == measure]
    audited = sorted((v for v in same if v.role == "audited"), key=lambda v: -v.value)[:1]
    chosen = [v for v in same if v.role in ("reference", "ceiling")] + audited
    lines = []
    for drawn in chosen:
        roc = _roc(context, drawn)
        if roc is None or not roc["x"]:
            continue
        look = context.looks.of(drawn.role, drawn.method, drawn.scope)
        label = context.evidence.label(drawn.role, drawn.method, drawn.scope)
        lines.append(
            Line(
                label=label if family == "population" else label + PER_EXAMPLE_LABEL,
                **roc,
                look=Look(colour=look.colour, dash="-" if family == "population" else "--"),
            )
        )
    return lines


def _roc(context: Context, value: Value) -> dict[str, Any] | None:
    """The curve on a grid of false positive rates, of the first seed's cell."""
    places = ("dataset", "architecture", "method", "scope", "attack", "forget_set")
    cells = ask(context.results, "first_cell", **{name: getattr(value, name) for name in places})
    if not cells:
        return None
    rows = context.results.query("roc_one_cell", cell_id=cells[0]["cell_id"]).to_pylist()
    rows = [r for r in rows if r["statistic"] == value.variant.partition(":")[0]]
    if not rows:
        return None
    return roc_on_grid(rows)


def roc_on_grid(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """True positives at each rate of the grid that the non-members can resolve, with exact intervals.

    Args:
        rows: of queries/roc_one_cell.sql, from the strictest threshold to the loosest.
    """
    negatives, positives = rows[0]["non_members"], rows[0]["members"]
    fp = np.array([0, *(r["false_positives"] for r in rows)])
    tp = np.array([0, *(r["true_positives"] for r in rows)])
    grid = FPR_GRID[1 / negatives * 0.999 <= FPR_GRID]
    hits = np.array([tp[fp <= rate * negatives + 1e-9].max() for rate in grid])
    grid, hits = grid[hits > 0], hits[hits > 0]
    low, high = clopper_pearson(hits, np.full(len(hits), positives))
    return {"x": grid.tolist(), "y": (hits / positives).tolist(), "low": low.tolist(), "high": high.tolist()}


def _exposed(context: Context) -> list[Block]:
    """How many forgotten examples a per-example attack tells apart, by model."""
    table = exposure_table(context)
    return [table] if table is not None else []


def order_section(context: Context) -> Section:
    """Confidence over epochs of unlearning, from shadow models."""
    rows = context.results.query("forgetting_order").to_pylist()
    epochs = {r["epoch"] for r in rows}
    blocks: list[Block] = [
        Missing(
            reason="The order of forgetting is read from shadow models that are observed after each epoch "
            "of unlearning; none are stored here.",
            command=context.sweep(f"{PER_EXAMPLE} --set shadows.trajectories=true"),
        )
    ]
    if len(epochs) > 1:
        blocks = [
            Figure(
                caption="Mean confidence of unlearned, retained and never-seen examples over the epochs of "
                "unlearning. The place to stop is where the unlearned meet the never-seen ones; beyond it "
                "they are forgotten too well.",
                panels=_order_panels(context, rows),
                source=Source(query="forgetting_order"),
            ),
            *stopping_blocks(context),
        ]
    return Section(
        anchor="order",
        title="Order of forgetting, and when to stop",
        lead="When does a method let go, and would it have been better to stop earlier?",
        blocks=blocks,
    )


def _order_panels(context: Context, rows: list[dict[str, Any]]) -> list[Panel]:
    groups: dict[tuple[str, str, str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["architecture"], row["method"], row["scope"], row["forget_set"] or ""].append(row)
    dashes = {"unlearned": "-", "never": "--", "retained": "-.", "test": ":"}
    panels = []
    for (architecture, method, scope, forget_set), found in sorted(groups.items()):
        if len({r["epoch"] for r in found}) < 2:
            continue
        colour = context.looks.of("audited", method, scope).colour
        lines = []
        for state in dashes:
            here = [r for r in found if r["state"] == state]
            if here:
                lines.append(
                    Line(
                        label=state,
                        x=[r["epoch"] for r in here],
                        y=[r["phi"] for r in here],
                        low=[r["phi_low"] for r in here],
                        high=[r["phi_high"] for r in here],
                        look=Look(colour=colour if state == "unlearned" else MUTED, dash=dashes[state]),
                    )
                )
        panels.append(
            curves(
                f"order-{architecture}-{method}-{scope}-{forget_set}".replace(":", "-").replace("=", "-"),
                f"{architecture}, {context.evidence.label('audited', method, scope)}\n{forget_set}",
                lines,
                x_axis="epoch of unlearning",
                y_axis="confidence (logits)",
                words=f"Confidence over epochs of unlearning, {architecture} {method} {scope}",
            )
        )
    return panels
