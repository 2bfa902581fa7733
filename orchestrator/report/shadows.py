"""What shadow models add: exposure of each example, stopping, and harm to each retained example."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from html import escape
from typing import Any

import numpy as np

from orchestrator.plan.shadows import CANARY_POOL
from orchestrator.report.blocks import Block, Context, Figure, Gallery, Source, number
from orchestrator.report.drawing import PALETTE, Look, Panel
from orchestrator.report.images import read_examples
from orchestrator.report.plots import Line, Mark, curves, distribution, forest
from orchestrator.report.tables import shown_measure
from orchestrator.results.evidence import ROLE_ORDER, Place, slug
from tasks.objectives.names import BESIDE_PHI, PHI

Row = dict[str, Any]
MOST_EXPOSED = 10
"""Examples shown as images for each place."""
REMEMBERED, OVERFORGOTTEN = PALETTE[1], PALETTE[0]


def vulnerability_blocks(context: Context) -> list[Block]:
    """Distribution of the examples' own AUC, and the most exposed ones as images."""
    panels: list[Panel] = []
    galleries: list[Block] = []
    for place in context.drawn():
        asked = {"architecture": place.architecture, "forget_set": place.forget_set}
        for rows in _by_attack(context.results.query("example_auc", **asked).to_pylist()):
            panels.append(_vulnerability_panel(context, place, rows))
            galleries.append(_gallery(context, place, rows))
    if not panels:
        return []
    figure = Figure(
        caption="Each forgotten example has its own AUC: how well an attacker tells models that unlearned "
        "it from models that never saw it (or were retrained without it), over shadow models. 0.5 is no "
        "trace. The curve <em>retrained</em> is exact retraining: its spread is chance. A method has forgotten "
        "when its curve lies on that one; a tail to the right is the examples for which it failed. Curves have no "
        "bands: examples share their shadow models.",
        panels=panels,
        source=Source(query="example_auc"),
        key=context.key(),
    )
    return [figure, *galleries]


def _by_attack(rows: list[Row]) -> list[list[Row]]:
    """The rows of each attack and statistic; of the rank tests alone where there are any."""
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row["attack"], row["statistic"]].append(row)
    ranked = [found for (_, statistic), found in groups.items() if statistic in (PHI, *BESIDE_PHI)]
    return ranked or list(groups.values())


def _attack_of(rows: list[Row]) -> str:
    """The attack, with the statistic that it read where that is not phi."""
    attack, statistic = rows[0]["attack"], rows[0]["statistic"]
    return (
        f"{attack} ({statistic})" if statistic.partition("@")[2] or statistic in BESIDE_PHI else str(attack)
    )


def _vulnerability_panel(context: Context, place: Place, rows: list[Row]) -> Panel:
    groups: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    first = context.evidence.scopes[0] if context.evidence.scopes else "all"
    for row in rows:
        if row["role"] != "audited" or row["scope"] == first:
            groups[row["role"], row["method"], row["scope"]].append(row["auc"])
    parts = [
        (np.array(groups[model]), context.looks.of(*model))
        for model in sorted(groups, key=lambda m: (ROLE_ORDER.index(m[0]), m))
    ]
    return distribution(
        f"vulnerability-{place.slug}-{slug(rows[0]['attack'])}-{slug(rows[0]['statistic'])}",
        f"{place.architecture}, {_attack_of(rows)}\n{place.forget_set}",
        parts,
        axis="AUC of the single example",
        origin=0.5,
        words=f"Distribution of the forgotten examples' own AUC, {place.text}",
    )


def _gallery(context: Context, place: Place, rows: list[Row]) -> Gallery:
    """The examples that stay most exposed over all audited models, beyond the retrained control."""
    groups: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        if row["role"] == "audited":
            groups[row["example_id"]].append(row)
    means = {i: float(np.mean([r["auc"] for r in found])) for i, found in groups.items()}
    worst = sorted(means, key=lambda i: (-means[i], i))[:MOST_EXPOSED]
    examples = read_examples(context.results, worst, asked=context.examples)
    if place.forget_set == CANARY_POOL:
        why = "a canary need not look like the example in whose place it stands"
        examples = replace(examples, images={}, documents={}, why_not=why)
    images = []
    for i in worst:
        top = max(groups[i], key=lambda r: r["auc"])
        control = f", retrained {number(top['retrained_auc'], 2)}" if top["retrained_auc"] is not None else ""
        label = context.evidence.label("audited", top["method"], top["scope"])
        text = f"{examples.caption(i, top['label'])}<br>AUC {number(means[i], 2)}{control}"
        images.append(
            (examples.images.get(i, ""), f"{text}<br>worst: {escape(label)} {number(top['auc'], 2)}")
        )
    note = f" No images: {escape(examples.why_not)}." if examples.why_not else ""
    return Gallery(
        caption="Forgotten examples that are recognised best, by the mean of their AUC "
        "over audited models; beside it the AUC after exact retraining, and the method that hides the "
        "example worst. The highest of many noisy numbers look worse than they are." + note,
        images=images,
        source=Source(query="example_auc", params={"forget_set": place.forget_set}),
        title=f"{place.text}: most exposed under {_attack_of(rows)}",
    )


def comparison_blocks(context: Context) -> list[Block]:
    """Whether the attack on averages vouches for a method that the attack on each example convicts."""
    rows = context.results.query("population_vs_per_example").to_pylist()
    panels = [panel for place in context.drawn() for panel in _comparison_panels(context, place, rows)]
    if not panels:
        return []
    return [
        Figure(
            caption="AUC by the population attack and, below it, by the per-example attack on the tenth of "
            "examples that it finds most vulnerable (found on one half of the shadow models, measured on "
            "the other), a panel for each such attack. Where the upper point lies near 0.5 and the lower one "
            "far to the right, the average hides the victims.",
            panels=panels,
            source=Source(query="population_vs_per_example"),
        )
    ]


def _comparison_panels(context: Context, place: Place, rows: list[Row]) -> list[Panel]:
    found = [
        r for r in rows if (r["architecture"], r["forget_set"]) == (place.architecture, place.forget_set)
    ]
    judged = context.evidence.judged(place, metric="auc", split="forget", attack_family="population")
    measure = shown_measure(context.evidence, judged)
    average = [r for r in found if measure and (r["attack"], r["variant"]) == (measure[2], measure[3])]
    tenths: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in found:
        if row["variant"].endswith(":most_vulnerable_tenth") and row["value"] is not None:
            tenths[row["attack"], row["variant"]].append(row)
    return [_comparison_panel(context, place, average, tenth) for tenth in tenths.values() if average]


def _comparison_panel(context: Context, place: Place, average: list[Row], tenth: list[Row]) -> Panel:
    marks = []
    models = {(r["role"], r["method"], r["scope"]) for r in tenth}
    for role, method, scope in sorted(models, key=lambda m: (ROLE_ORDER.index(m[0]), m)):
        look = context.looks.of(role, method, scope)
        for kind, source in (("all", average), ("worst tenth", tenth)):
            row = next(
                (r for r in source if (r["role"], r["method"], r["scope"]) == (role, method, scope)), None
            )
            if row is not None:
                marks.append(
                    Mark(
                        label=f"{context.evidence.label(role, method, scope)}, {kind}",
                        value=row["value"],
                        low=row["value_low"],
                        high=row["value_high"],
                        look=Look(colour=look.colour, marker=look.marker, hollow=kind == "all"),
                    )
                )
    return forest(
        f"population-per-example-{place.slug}-{slug(tenth[0]['attack'])}-{slug(tenth[0]['variant'])}",
        f"{place.architecture}, {tenth[0]['attack']} ({tenth[0]['variant'].partition(':')[0]})\n"
        f"{place.forget_set}",
        marks,
        axis="AUC",
        origin=0.5,
        words=f"AUC of population and per-example attacks by model, {place.text}",
    )


def stopping_blocks(context: Context) -> list[Block]:
    """Shares of examples still remembered and forgotten too well, by epoch."""
    groups: dict[tuple[str, str, str, str], list[Row]] = defaultdict(list)
    for row in context.results.query("stopping").to_pylist():
        groups[row["architecture"], row["method"], row["scope"], row["forget_set"]].append(row)
    panels = [_stopping_panel(context, key, rows) for key, rows in sorted(groups.items()) if len(rows) > 1]
    if not panels:
        return []
    return [
        Figure(
            caption="Share of forgotten examples that are still remembered, and that are forgotten too "
            "well, after each epoch of unlearning (each more than two standard errors from never seen; "
            "2 to 4&nbsp;% do so by chance; no intervals: they share their shadow models). Where the "
            "curves cross high, no single stopping point protects every example.",
            panels=panels,
            source=Source(query="stopping"),
        )
    ]


def _stopping_panel(context: Context, key: tuple[str, str, str, str], rows: list[Row]) -> Panel:
    architecture, method, scope, forget_set = key
    rows = sorted(rows, key=lambda r: r["epoch"])
    lines = []
    for name, label, colour in (
        ("remembered", "remembered", REMEMBERED),
        ("overforgotten", "forgotten too well", OVERFORGOTTEN),
    ):
        lines.append(
            Line(
                label=label,
                x=[r["epoch"] for r in rows],
                y=[r[name] for r in rows],
                low=[None] * len(rows),
                high=[None] * len(rows),
                look=Look(colour=colour),
            )
        )
    return curves(
        f"stopping-{architecture}-{method}-{scope}-{forget_set}".replace(":", "-").replace("=", "-"),
        f"{architecture}, {context.evidence.label('audited', method, scope)}\n{forget_set}",
        lines,
        x_axis="epoch of unlearning",
        y_axis="share of examples",
        words=f"Shares remembered and forgotten too well by epoch, {architecture} {method} {scope}",
        limits=(0, 1),
    )


def retain_harm_blocks(context: Context) -> list[Block]:
    """How much more exposed retained examples are after unlearning than before."""
    rows = context.results.query("retain_harm").to_pylist()
    panels = []
    for place in context.drawn():
        found = [
            r for r in rows if (r["architecture"], r["forget_set"]) == (place.architecture, place.forget_set)
        ]
        if not found:
            continue
        marks = [
            Mark(
                label=context.evidence.label(r["role"], r["method"], r["scope"]),
                value=r["value"],
                low=r["value_low"],
                high=r["value_high"],
                look=context.looks.of(r["role"], r["method"], r["scope"]),
            )
            for r in sorted(found, key=lambda r: (ROLE_ORDER.index(r["role"]), r["method"], r["scope"]))
        ]
        panels.append(
            forest(
                f"retain-harm-{place.slug}",
                f"{place.architecture}, {found[0]['attack']}\n{place.forget_set}",
                marks,
                axis="change of the AUC of retained examples",
                origin=0.0,
                words=f"Retained examples more exposed after unlearning, {place.text}",
            )
        )
    if not panels:
        return []
    return [
        Figure(
            caption="Privacy of those who stay: by how much a per-example attack recognises retained examples "
            "better after unlearning than before, as the mean change of their AUC. 0 is no change; compare with "
            "the retrained row.",
            panels=panels,
            source=Source(query="retain_harm"),
        )
    ]
