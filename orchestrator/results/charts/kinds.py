"""The charts by name: what each asks, what is to be seen in it, its rows and its specification."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.results.charts import curves, marks, rows_examples, rows_models
from orchestrator.results.charts.answers import Answers, Row
from orchestrator.results.charts.colours import Spec
from tasks.errors import unknown_name

PER_EXAMPLE = "--axes.attack none population u_lira rank_test"
"""Flags of the sweep by which attacks on single examples are run."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A chart: one drawing for each place and each value of its choices."""

    name: str
    title: str
    question: str
    """What it answers."""
    caption: str
    """What is to be seen in it, and what its intervals are."""
    rows: Callable[[Answers], list[Row]]
    """Of all places and choices."""
    spec: Callable[[], Spec]
    """Of one place and choice, in a page; where there are panels, of one panel, which the parameter `who` names."""
    on_paper: Callable[[], Spec] | None = None
    """Of one place and choice with all its panels; None is the same."""
    facets: Callable[[Sequence[Row]], list[Row]] = list
    """The rows as a drawing on paper takes them."""
    choices: tuple[str, ...] = ()
    """Columns of which a drawing has one value each."""
    query: str
    """The query that ships behind it, by which a reader sees the numbers."""
    params: Mapping[str, Any] = field(default_factory=dict)
    missing: str
    """Why there may be nothing to draw."""
    flags: str = ""
    """Flags of the sweep that would give it rows."""


def _panels_of_methods(rows: Sequence[Row]) -> list[Row]:
    """All rows once for each audited method, whose panel they stand in."""
    panels = list(dict.fromkeys(r["method"] for r in rows if r["role"] == "audited"))
    return [r | {"panel": panel, "panel_order": i} for i, panel in enumerate(panels) for r in rows]


def _panels_in_order(rows: Sequence[Row]) -> list[Row]:
    panels = list(dict.fromkeys(r["panel"] for r in rows))
    return [r | {"panel_order": panels.index(r["panel"])} for r in rows]


_ALL = (
    Kind(
        name="forest",
        title="Differences from retraining",
        question="What does each method leave behind, and what does it cost in accuracy, robustness and evenness?",
        caption=(
            "Each row is a model, the line at 0 is the mean of two retrainings. Shaded is the margin within "
            "which a difference counts as equal. Bars are 95 % intervals over seeds; one seed has none. Colour "
            "and shape judge this one measure."
        ),
        rows=rows_models.forest,
        spec=lambda: marks.intervals("difference from retraining", verdicts=True),
        choices=("measure",),
        query="verdict",
        missing="No audited cell has finished beside its retrained model.",
    ),
    Kind(
        name="robustness",
        title="Robust accuracy over eps",
        question="Does unlearning leave a model easier to fool than retraining?",
        caption=(
            "Accuracy on test examples that an attacker may move by eps (pixels of range 0 to 1). A panel for "
            "each method: the method in blue (one line a scope) before retraining in black with its interval "
            "shaded, doing nothing dashed, the other methods in grey. Bars are 95 % intervals."
        ),
        rows=rows_models.robustness,
        spec=curves.robustness,
        on_paper=lambda: curves.robustness(facet=True),
        facets=_panels_of_methods,
        choices=("attack",),
        query="robust_drop",
        params={"split": "test"},
        missing="No adversarial attack was in the grid.",
        flags="--axes.attack none fgsm pgd",
    ),
    Kind(
        name="fairness",
        title="Fairness gap against robust accuracy",
        question="Do models that treat classes less evenly lose more accuracy under attack?",
        caption=(
            "A dot is a model, mean over its seeds: to the right its layers treat classes less evenly, further "
            "down it is easier to fool. Shaded is what the two retrainings span. Lines under the pointer reach "
            "over the seeds; they are no intervals."
        ),
        rows=rows_models.fairness,
        spec=lambda: marks.points("fairness gap, mean over layers", "robust accuracy, test"),
        choices=("attack",),
        query="gap_and_robustness",
        missing="This needs models measured both without attack and under an adversarial attack.",
        flags="--axes.attack none pgd",
    ),
    Kind(
        name="layers",
        title="Fairness gap and robustness, layer by layer",
        question="In which layers does unevenness go with lost robustness?",
        caption=(
            "Each row is a normalisation layer from input to output: Spearman's rank correlation, over the "
            "models of one seed and forget set, of its fairness gap with the accuracy lost. To the right of 0 "
            "uneven layers go with fragile models. The interval is over original models (seeds) and needs four;"
            " one that holds 0 decides nothing."
        ),
        rows=rows_models.layers,
        spec=lambda: marks.intervals("correlation of gap and accuracy lost"),
        choices=("attack",),
        query="fairness_vs_robustness",
        missing=(
            "This needs several models of one original measured both without attack and under an adversarial "
            "attack."
        ),
        flags="--axes.attack none pgd",
    ),
    Kind(
        name="exposure",
        title="Exposure of single examples",
        question="Averages reassure; a deletion request is about one example. Which are still remembered?",
        caption=(
            "A dot is a forgotten example, a row a model; orange are the examples that stand out. By attacks on"
            " single examples: the example's own AUC over shadow models, 0.5 is no trace, orange is told apart "
            "at a false-discovery rate of 10 %. By confidence: logits above the retrained model, orange lies "
            "beyond what retraining again passes for one example in twenty (dashed), a yardstick and no test; "
            "to the left an example is forgotten too well, which betrays it just as surely. Dots have no "
            "intervals: examples share their models."
        ),
        rows=rows_examples.exposure,
        spec=marks.exposure,
        choices=("statistic", "scope"),
        query="excess_confidence",
        missing="The confidence of single examples needs an unlearned and its retrained model (attack none).",
        flags="--axes.attack none",
    ),
    Kind(
        name="roc",
        title="ROC of membership attacks",
        question="How many members does an attacker find who is hardly ever wrong?",
        caption=(
            "On log scales, for the left edge matters. Solid: the population attack, dashed: the per-example "
            "attack; where there are several, the one that the verdict rests on. Black is retraining, grey "
            "doing nothing, orange the method that this attack recognises best; dotted is guessing. Bars are 95"
            " % Clopper-Pearson intervals, of the first seed."
        ),
        rows=rows_examples.roc,
        spec=curves.roc,
        query="roc_one_cell",
        params={"cell_id": "CELL"},
        missing="No membership attack that guesses by a threshold was in the grid.",
        flags=PER_EXAMPLE,
    ),
    Kind(
        name="averages",
        title="Average and worst tenth",
        question="Does an attack on averages vouch for a method that an attack on each example convicts?",
        caption=(
            "AUC of the population attack over all examples, and of the per-example attack on the tenth of "
            "examples that it finds most vulnerable (found on one half of the shadow models, measured on the "
            "other). Where the first lies near 0.5 and the second far to the right, the average hides the "
            "victims. Bars reach from the lowest to the highest end of the seeds' 95 % intervals."
        ),
        rows=rows_examples.averages,
        spec=lambda: marks.intervals("AUC", origin=0.5),
        query="population_vs_per_example",
        missing=(
            "This takes a population attack and one on each example. Population attacks have one threshold for "
            "all examples; attacks that compare each with shadow models are far stronger at low false positive "
            "rates, so read no number of the former as an upper bound."
        ),
        flags=PER_EXAMPLE,
    ),
    Kind(
        name="harm",
        title="Harm to examples that were to be kept",
        question="Whom does the deletion hurt besides those who asked for it?",
        caption=(
            "Share of examples that the retrained model gets right and this model wrong. The row retrained "
            "again is what chance alone harms: only what lies beyond it is the method's doing. A model may keep"
            " its accuracy and still trade some examples for others. Bars reach from the lowest to the highest "
            "end of the seeds' 95 % intervals."
        ),
        rows=rows_models.harm,
        spec=lambda: marks.intervals("share of examples harmed"),
        choices=("examples",),
        query="harm",
        missing="This needs per-example answers of an unlearned and its retrained model (attack none).",
        flags="--axes.attack none",
    ),
    Kind(
        name="retain_harm",
        title="Privacy of those who stay",
        question="Does unlearning expose the examples that were to be kept?",
        caption=(
            "By how much a per-example attack recognises retained examples better after unlearning than before:"
            " the mean change of their AUC, with its 95 % interval. 0 is no change; compare with the row of "
            "retraining."
        ),
        rows=rows_examples.retain_harm,
        spec=lambda: marks.intervals("change of the AUC of retained examples"),
        choices=("statistic",),
        query="retain_harm",
        missing="No per-example attack compared retained examples before and after unlearning.",
        flags=PER_EXAMPLE,
    ),
    Kind(
        name="order",
        title="Order of forgetting",
        question="When does a method let go?",
        caption=(
            "Mean confidence (logits) of unlearned, retained and never-seen examples over the epochs of "
            "unlearning. The place to stop is where the unlearned meet the never-seen; beyond it they are "
            "forgotten too well. Bars are 95 % intervals over shadow models."
        ),
        rows=rows_examples.order,
        spec=lambda: curves.epochs("confidence (logits)"),
        on_paper=lambda: curves.epochs("confidence (logits)", facet=True),
        facets=_panels_in_order,
        query="forgetting_order",
        missing=(
            "The order of forgetting is read from shadow models that are observed after each epoch of "
            "unlearning; none are stored here."
        ),
        flags=f"{PER_EXAMPLE} --set shadows.trajectories=true",
    ),
    Kind(
        name="stopping",
        title="When to stop",
        question="Would it have been better to stop earlier?",
        caption=(
            "Share of forgotten examples that are still remembered, and that are forgotten too well, after each"
            " epoch (more than two standard errors from never seen; 2 to 4 % do so by chance; no intervals: "
            "they share their shadow models). Where the curves cross high, no single stopping point protects "
            "every example."
        ),
        rows=rows_examples.stopping,
        spec=lambda: curves.epochs("share of examples", share=True),
        on_paper=lambda: curves.epochs("share of examples", share=True, facet=True),
        facets=_panels_in_order,
        query="stopping",
        missing=(
            "This is read from shadow models that are observed after each epoch of unlearning; none are stored "
            "here."
        ),
        flags=f"{PER_EXAMPLE} --set shadows.trajectories=true",
    ),
    Kind(
        name="seeds",
        title="Seeds and noise floor",
        question="How much of a difference is chance?",
        caption=(
            "Each row is one seed of a model that ran with several, its difference from retraining in accuracy "
            "on the forgotten examples with its 95 % interval. Shaded: as far as a second retraining ever lay "
            "from the first. Rows of one model that scatter more than their intervals say that the seed matters"
            " as much as the method."
        ),
        rows=rows_models.seeds,
        spec=lambda: marks.intervals("accuracy on forgotten examples minus retrained"),
        query="gap_to_retrained",
        params={"metric": "accuracy", "split": "forget"},
        missing="No cell without attack has finished.",
        flags="--axes.seed 0 1 2",
    ),
    Kind(
        name="scope",
        title="Layer scope against cost",
        question="What does unlearning fewer layers save, and what does it leave behind?",
        caption=(
            "Left is cheap (device seconds, retraining is 1), the height of 0 is retraining. Shapes are layer "
            "scopes, colours the verdict on this measure. Under the pointer: the 95 % interval of the "
            "difference, and the cost of the cheapest and dearest seed."
        ),
        rows=rows_models.scope,
        spec=lambda: marks.points(
            "device seconds, retraining = 1", "forget accuracy minus retrained", log_x=True, shapes=True
        ),
        query="unlearning_cost",
        missing="No model has been unlearned and priced yet.",
    ),
    Kind(
        name="cost",
        title="Cost",
        question="What does unlearning cost next to training again without the data?",
        caption=(
            "To the left of 1 a method is cheaper than retraining; to the right of it it has no reason to exist"
            " here. Bars reach from the cheapest to the dearest seed: a cost is measured, not estimated."
        ),
        rows=rows_models.cost,
        spec=lambda: marks.intervals("device seconds, retraining = 1", origin=1.0, log=True),
        query="unlearning_cost",
        missing="No model has been unlearned yet.",
    ),
)
KINDS: Mapping[str, Kind] = {kind.name: kind for kind in _ALL}
"""Every chart by its name, in the order of the report."""


def kind_of(name: str, *, where: str = "") -> Kind:
    """The chart of a name.

    Raises:
        AuditError: there is none; the message names the nearest.
    """
    if name not in KINDS:
        raise unknown_name("chart", name, KINDS, where=where)
    return KINDS[name]
