"""Figures on models: trade-off, layers, robustness curves, scope, harm, seeds, cost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from html import escape
from typing import TypeVar

from orchestrator.report.blocks import COVERAGE, Block, Context, Figure, Missing, Section, Source, Text, code
from orchestrator.report.drawing import INK, MUTED, Look, Panel
from orchestrator.report.plots import Dot, Line, Mark, curves, forest, points
from orchestrator.report.tables import prices, shown_measure
from orchestrator.results.evidence import ROLE_ORDER, Place, Value

TRADE_OFF = (
    ("accuracy", "forget", "Forgetting", "forget accuracy minus retrained"),
    ("accuracy", "test", "Accuracy", "test accuracy minus retrained"),
    ("robust_accuracy_area", "test", "Robustness", "robust test accuracy minus retrained"),
    ("class_accuracy_gap", "test", "Fairness", "best minus worst class, minus retrained"),
)


Kind = TypeVar("Kind", bound=Value)


def ordered(values: Sequence[Kind]) -> list[Kind]:
    """Controls first, then audited models by name."""
    return sorted(values, key=lambda v: (ROLE_ORDER.index(v.role), v.method, v.scope))


def trade_off_section(context: Context) -> Section:
    """Four differences from retraining side by side, with the margins."""
    blocks: list[Block] = []
    for place in context.drawn():
        panels = [p for spec in TRADE_OFF if (p := _difference_panel(context, place, *spec)) is not None]
        if panels:
            blocks.append(
                Figure(
                    caption="Each row is a model, the line at 0 is the mean of both retrained ones, the grey "
                    f"band the margin within which a difference counts as equal. Bars are {COVERAGE} intervals over "
                    "seeds; one seed has none. A method that forgets and costs nothing keeps all its bars within "
                    "the bands; one that buys forgetting with accuracy, robustness or evenness leaves them to the "
                    "left (to the right for fairness).",
                    panels=panels,
                    source=Source(query="verdict", params={"forget_set": place.forget_set}),
                    title=place.text,
                )
            )
    return Section(
        anchor="trade-off",
        title="Forgetting, accuracy, robustness, fairness",
        lead=f"What does each method pay for what it forgets?{context.omission()}",
        blocks=blocks or [_no_cells(context)],
    )


def _difference_panel(
    context: Context, place: Place, metric: str, split: str, title: str, axis: str
) -> Panel | None:
    judged = context.evidence.judged(place, metric=metric, split=split)
    measure = shown_measure(context.evidence, judged)
    found = [f for f in judged if f.measure == measure and f.difference is not None]
    if not found:
        return None
    marks = [
        Mark(
            label=context.evidence.label(f.role, f.method, f.scope),
            value=f.difference or 0.0,
            low=f.difference_low,
            high=f.difference_high,
            look=context.looks.of(f.role, f.method, f.scope),
        )
        for f in ordered(found)
    ]
    attack = f" ({found[0].attack})" if found[0].attack_family == "adversarial" else ""
    return forest(
        f"trade-off-{place.slug}-{title.lower()}",
        f"{title}{attack}",
        marks,
        axis=axis,
        band=found[0].margin,
        words=f"{title}: differences from retraining by model, {place.text}",
    )


def layers_section(context: Context) -> Section:
    """Fairness gap against robust accuracy, layer by layer."""
    rows = [r for r in context.results.query("fairness_vs_robustness").to_pylist() if r["rho"] is not None]
    groups: dict[tuple[str, str, str], list[dict]] = defaultdict(list)
    for row in rows:
        groups[row["architecture"], row["definition"], row["attack"]].append(row)
    panels = [
        _layer_panel(architecture, attack, groups[architecture, definition, attack])
        for (architecture, definition), attack in _strongest_attack(groups).items()
    ]
    blocks: list[Block] = []
    if panels:
        definition = next(iter(_strongest_attack(groups)))[1]
        blocks = [
            Figure(
                caption="Each row is a normalisation layer, from input to output; the point is Spearman's "
                "rank correlation, over the models of one seed and forget set, of the layer's fairness gap with "
                "the accuracy lost to the attack. To the right of 0: where a layer treats classes less evenly, "
                "more robustness is lost. The interval is over original models, that is seeds, and needs four of "
                "them; one that contains 0 says that they do not decide it. Gap by definition "
                f"{code(definition)}; the SQL has the others.{_marked(any(r['masked'] for r in rows))}",
                panels=panels,
                source=Source(query="fairness_vs_robustness"),
            ),
            *_gap_figure(context, definition),
        ]
    return Section(
        anchor="layers",
        title="Fairness gap against robust accuracy, by layer",
        lead="Do models whose layers treat classes unevenly lose more accuracy under attack?",
        blocks=blocks
        or [
            Missing(
                reason="This needs several models of one original measured both without attack "
                "and under an adversarial attack.",
                command=context.sweep("--axes.attack none pgd"),
            )
        ],
    )


def _strongest_attack(groups: dict[tuple[str, str, str], list[dict]]) -> dict[tuple[str, str], str]:
    """For each architecture one definition and the attack that costs most accuracy."""
    definitions = sorted({definition for _, definition, _ in groups})
    if not definitions:
        return {}
    definition = "post_norm" if "post_norm" in definitions else definitions[0]
    chosen: dict[tuple[str, str], tuple[float, str]] = {}
    for (architecture, found, attack), rows in groups.items():
        if found == definition:
            drop = max(r["mean_robust_drop"] for r in rows)
            chosen[architecture, definition] = max(
                chosen.get((architecture, definition), (-1.0, "")), (drop, attack)
            )
    return {key: attack for key, (_, attack) in chosen.items()}


def _layer_panel(architecture: str, attack: str, rows: list[dict]) -> Panel:
    eps = max(r["eps"] for r in rows)
    rows = [r for r in rows if r["eps"] == eps]
    marks = [
        Mark(
            label=r["layer"].removeprefix("body."),
            value=r["rho"],
            low=r["rho_low"],
            high=r["rho_high"],
            look=Look(colour=INK) if r["layer"] == "(mean)" else Look(colour=MUTED),
        )
        for r in sorted(rows, key=lambda r: r["layer"] == "(mean)")
    ]
    return forest(
        f"layers-{architecture}-{attack}",
        f"{architecture}, {attack} at eps {eps:g}\n{rows[0]['models']} models",
        marks,
        axis="correlation of gap and accuracy lost",
        words=f"Correlation by layer of {architecture}",
    )


def _gap_figure(context: Context, definition: str) -> list[Block]:
    """Mean gap over layers against robust accuracy, a dot for each model and seed."""
    dots: dict[tuple[str, str, float], list[Dot]] = defaultdict(list)
    rows = context.results.query("gap_and_robustness", definition=definition).to_pylist()
    for row in rows:
        dots[row["architecture"], row["attack"], row["eps"]].append(
            Dot(
                x=row["gap"],
                y=row["robust_accuracy"],
                x_low=row["gap_low"],
                x_high=row["gap_high"],
                y_low=row["robust_accuracy_low"],
                y_high=row["robust_accuracy_high"],
                look=context.looks.of(row["role"], row["method"], row["scope"]),
            )
        )
    panels = [
        points(
            f"gap-robust-{architecture}-{attack}-{eps:g}",
            f"{architecture}, {attack} at eps {eps:g}",
            found,
            x_axis="fairness gap, mean over layers",
            y_axis="robust accuracy, test",
            words=f"Fairness gap against robust accuracy, {architecture}, {attack}",
        )
        for (architecture, attack, eps), found in dots.items()
    ]
    if not panels:
        return []
    return [
        Figure(
            caption="A dot is a model of one seed. Dots that fall to the right and downwards go with the "
            f"claim that uneven layers are fragile ones.{_marked(any(r['masked'] for r in rows))}",
            panels=panels,
            source=Source(query="gap_and_robustness", params={"definition": definition}),
            key=context.key(),
        )
    ]


def _marked(masked: bool) -> str:
    """What a caption says where gradients are masked."""
    if not masked:
        return ""
    return (
        " Some models seem more robust here than they are: gradients vanish, or an attack blind to the scale of logits "
        "found more (masked gradients, the column <code>masked</code>)."
    )


def robustness_section(context: Context) -> Section:
    """Robust accuracy over eps."""
    panels = []
    for place in context.drawn():
        found = context.evidence.at(place, metric="robust_accuracy", split="test")
        for attack in sorted({f.attack for f in found}):
            panels.append(_curve_panel(context, place, attack, [f for f in found if f.attack == attack]))
    blocks: list[Block] = [
        Missing(
            reason="No adversarial attack was in the grid.",
            command=context.sweep("--axes.attack none fgsm pgd"),
        )
    ]
    if panels:
        scope = context.evidence.scopes[0] if context.evidence.scopes else "all"
        source = Source(query="robust_drop", params={"split": "test"})
        blocks = [
            Figure(
                caption="Accuracy on test examples that an attacker may move by eps (in pixels of range 0 "
                "to 1). Curves below the retrained one are less robust than retraining; the dashed curve is a "
                f"second retraining. Bars are {COVERAGE} intervals. Methods at scope {code(scope)}.",
                panels=panels,
                source=source,
                key=context.key(scopes=False),
            )
        ]
        drawn = (f for place in context.drawn() for f in context.evidence.judged(place, split="test"))
        if bounds := context.evidence.upper_bounds(drawn):
            blocks.append(Text(html=f"<p>{escape(bounds)}</p>", sources=(source,)))
    return Section(
        anchor="robustness",
        title="Robust accuracy over eps",
        lead=f"Does unlearning leave a model easier to fool than retraining?{context.omission()}",
        blocks=blocks,
    )


def _curve_panel(context: Context, place: Place, attack: str, found: list[Value]) -> Panel:
    lines = []
    first = context.evidence.scopes[0] if context.evidence.scopes else "all"
    models = {(f.role, f.method, f.scope): None for f in ordered(found)}
    for role, method, scope in models:
        if role == "audited" and scope != first:
            continue
        rows = sorted(
            (f for f in found if (f.role, f.method, f.scope) == (role, method, scope)),
            key=lambda f: f.param or 0.0,
        )
        lines.append(
            Line(
                label=method if role == "audited" else context.evidence.label(role, method, scope),
                x=[f.param or 0.0 for f in rows],
                y=[f.value for f in rows],
                low=[f.value_low for f in rows],
                high=[f.value_high for f in rows],
                look=context.looks.of(role, method, scope),
            )
        )
    return curves(
        f"robust-{place.slug}-{attack}",
        f"{place.architecture}, {attack}\n{place.forget_set}",
        lines,
        x_axis="eps",
        y_axis="accuracy, test",
        words=f"Robust accuracy over eps under {attack}, {place.text}",
        limits=(0, 1.02),
        labelled=False,
    )


def scope_section(context: Context) -> Section:
    """Distance to retraining against cost, by scope."""
    cost = prices(context)
    panels = []
    for place in context.drawn():
        dots = []
        for f in context.evidence.judged(place, metric="accuracy", split="forget", role="audited"):
            if f.difference is None or f.attack_family != "none":
                continue
            dots += [
                Dot(
                    x=row["ratio"],
                    y=f.difference,
                    x_low=row["ratio_least"],
                    x_high=row["ratio_most"],
                    y_low=f.difference_low,
                    y_high=f.difference_high,
                    look=context.looks.of("audited", f.method, f.scope),
                )
                for row in cost.get((place.architecture, place.forget_set, f.method, f.scope), ())
                if row["ratio"] is not None
            ]
        if dots:
            panels.append(
                points(
                    f"scope-{place.slug}",
                    f"{place.architecture}\n{place.forget_set}",
                    dots,
                    x_axis="device seconds, retraining = 1",
                    y_axis="forget accuracy minus retrained",
                    words=f"Cost against distance to retraining by layer scope, {place.text}",
                    log_x=True,
                )
            )
    blocks: list[Block] = [_no_cells(context)]
    if panels:
        alone = "" if context.evidence.several_scopes else " Only one scope was in the grid."
        blocks = [
            Figure(
                caption="Left is cheap, the height of 0 is retraining. Shapes are layer scopes: compare "
                "the shapes of one colour to see what touching fewer layers saves and costs. Horizontal "
                "bars reach over the seeds." + alone,
                panels=panels,
                source=Source(query="unlearning_cost"),
                key=context.key(roles=False),
            )
        ]
    return Section(
        anchor="scope",
        title="Layer scope against cost",
        lead="What does unlearning fewer layers save, and what does it leave behind?",
        blocks=blocks,
    )


def _no_cells(context: Context) -> Missing:
    return Missing(
        reason="No audited cell has finished beside its retrained model.",
        command=context.sweep(),
    )
