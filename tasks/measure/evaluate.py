"""From a model's answers to rows of the `metrics` table: pure assembly, no model runs. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tasks.errors import AuditError
from tasks.measure.population import PopulationScoring
from tasks.metrics import documents, membership, reference, robustness, utility
from tasks.metrics.base import MetricValue
from tasks.metrics.robustness import RobustOutputs
from tasks.metrics.scores import MembershipScores
from tasks.runtime.seeding import numpy_generator

if TYPE_CHECKING:
    from tasks.measure.fairness_definitions import Definition
    from tasks.training.scoring import Outputs


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How models are measured and metrics estimated; part of a cell's identity."""

    bootstrap: int = 1000
    """Resamples behind each bootstrap interval: of the attacks with shadow models."""
    seed: int = 0
    """Seed of resampling and of the membership term of the average gap."""
    fprs: tuple[float, ...] = (0.001, 0.01, 0.1)
    """False positive rates at which true positive rates are taken; too low ones are left out."""
    delta: float = 1e-5
    """Delta of the (epsilon, delta) lower bound."""
    mia_term: bool = True
    """Whether to fit SalUn's SVC attack for average_gap_mia and tug_of_war_mia."""
    mia_examples: int = 1000
    """Most examples a side in one fit of that attack."""
    batch_size: int = 1024
    """Examples per call of an adversarial attack."""
    attack_splits: tuple[str, ...] = ("forget", "retain", "test")
    """Splits that adversarial attacks are run on."""
    fairness_split: str = "test"
    """Examples on which the fairness gap of normalisation layers is measured."""
    fairness_definitions: tuple[Definition, ...] = ("norm_sigma",)
    """Which sigma; see `tasks.measure.fairness_definitions`."""

    def __post_init__(self) -> None:
        if self.bootstrap < 2:
            raise AuditError(f"bootstrap: expected at least 2, got {self.bootstrap}")
        if not 0 <= self.delta < 1:
            raise AuditError(f"delta: expected a number in [0, 1), got {self.delta}")
        for fpr in self.fprs:
            if not 0 < fpr < 1:
                raise AuditError(f"fprs: expected numbers in (0, 1), got {fpr}")


@dataclass(frozen=True, kw_only=True)
class Omission:
    """A metric that could not be computed, and why; left out of the table in place of a NaN."""

    metric: str
    reason: str


Rows = list[MetricValue]
Omit = Callable[[Omission], None]


def ignore(_: Omission) -> None:
    """Take no note of omissions."""


def _attempt(rows: Rows, name: str, omit: Omit, compute: Callable[[], Iterable[MetricValue]]) -> None:
    """Add what `compute` gives, or note why it cannot."""
    try:
        rows.extend(compute())
    except AuditError as error:
        omit(Omission(metric=name, reason=str(error)))


def model_metrics(
    outputs: Mapping[str, Outputs],
    retrained: Mapping[str, Outputs] | None,
    *,
    forgotten_classes: Iterable[int] = (),
    settings: Settings = Settings(),
    omit: Omit = ignore,
) -> Rows:
    """Utility of one model and, next to a retrained model, its gaps and distances.

    Args:
        outputs: by split: forget, retain, test and perhaps validation.
        retrained: the same splits and examples under the retrained model; None leaves out what needs it.
        forgotten_classes: classes wholly in the forget set; empty for other kinds of forget sets.
        settings: resamples and seed.
        omit: told what was left out and why.

    Raises:
        AuditError: forget, retain or test is absent, or the models were scored on different examples.
    """
    missing = [split for split in reference.ACCURACY_TERMS if split not in outputs]
    if missing:
        raise AuditError(f"metrics: no outputs for the {missing[0]} split")
    rows: Rows = []
    present = {split: part for split, part in outputs.items() if len(part)}
    for split in outputs.keys() - present.keys():
        omit(Omission(metric="accuracy", reason=f"the {split} split is empty"))
    for split, part in present.items():
        rows += utility.accuracies(split, part)
        _attempt(
            rows,
            "class_accuracy_gap",
            omit,
            lambda split=split, part=part: [utility.class_accuracy_gap(split, part)],  # type: ignore[misc]
        )
    rows += utility.unlearning_accuracies(*(outputs[s] for s in reference.ACCURACY_TERMS))
    forgotten = tuple(forgotten_classes)
    if forgotten:
        rows += utility.accuracy_by_forgetting(outputs["test"], forgotten)
    if retrained is not None:
        rows += _against_retrained(present, retrained, settings, omit)
    return rows


def document_metrics(
    outputs: Mapping[str, Outputs],
    retrained: Mapping[str, Outputs] | None,
    *,
    apart: Mapping[str, np.ndarray] | None = None,
    omit: Omit = ignore,
) -> Rows:
    """Utility of one model of documents, and how far it is from the retrained one.

    Args:
        outputs: by split: forget, retain, test and perhaps validation.
        retrained: the same of the retrained model; None leaves the gap to it out.
        apart: Jensen-Shannon divergence from the retrained model on each document, of some splits.
        omit: told what was left out and why.
    """
    rows: Rows = []
    for split, part in outputs.items():
        if not len(part):
            omit(Omission(metric="token_accuracy", reason=f"the {split} split is empty"))
            continue
        rows += [documents.token_accuracy(split, part), documents.perplexity(split, part)]
        if split in ("retain", "test"):
            rows += documents.token_accuracy_by_group(split, part)
        if apart and split in apart:
            rows.append(reference.js_to_retrained(split, apart[split], part.groups))
    if retrained is not None:
        for split in documents.COMPARED:
            reference.check_paired(split, outputs[split], retrained[split])
        empty = [split for split in documents.COMPARED if not len(outputs[split])]
        if empty:
            omit(Omission(metric="average_token_gap", reason=f"the {empty[0]} split is empty"))
        else:
            rows.append(documents.average_token_gap(outputs, retrained))
    return rows


def _against_retrained(
    outputs: Mapping[str, Outputs], retrained: Mapping[str, Outputs], settings: Settings, omit: Omit
) -> Rows:
    rows: Rows = []
    for split, part in outputs.items():
        if split in retrained:
            reference.check_paired(split, part, retrained[split])
    empty = [s for s in reference.ACCURACY_TERMS if s not in outputs or s not in retrained]
    if empty:
        omit(Omission(metric="average_gap", reason=f"no examples of the {empty[0]} split under both models"))
    else:
        pairs = reference.accuracy_pairs(outputs, retrained)
        if settings.mia_term:
            try:
                pairs["mia"] = _called_non_member(outputs, settings), _called_non_member(retrained, settings)
            except AuditError as error:
                omit(Omission(metric="average_gap_mia", reason=str(error)))
        rows += reference.signed_gaps(pairs)
        rows += reference.summary_gaps(pairs)
    for split in ("forget", "test"):
        if split in outputs and split in retrained:
            rows += reference.output_distances(split, outputs[split], retrained[split])
    return rows


def _called_non_member(outputs: Mapping[str, Outputs], settings: Settings) -> np.ndarray:
    """Forget examples that the SVC on confidence calls non-members, `n`, bool; equal draws for all models."""
    attack = PopulationScoring(statistics=("svc_confidence",), draws=1, svc_examples=settings.mia_examples)
    generator = numpy_generator("metrics", settings.seed, "mia_term")
    (scores,) = attack.score(outputs["forget"], outputs["retain"], outputs["test"], generator=generator)
    return scores.score[scores.member] <= 0.0


def robust_metrics(
    attacked: Mapping[str, RobustOutputs],
    retrained: Mapping[str, RobustOutputs] | None = None,
    *,
    omit: Omit = ignore,
) -> Rows:
    """Robust accuracy by split, radius and class, the area under its curve, and gaps to the retrained model.

    Beside it the share that gradient attacks could not try.

    `param` is eps; eps = 0 is clean accuracy on the same examples. `robust_accuracy_area` is the mean robust
    accuracy over [0, largest eps] by the trapezoidal rule. `robust_accuracy_gap` is unlearned minus
    retrained.
    """
    rows: Rows = []
    for split, part in attacked.items():
        if not len(part.ids):
            omit(Omission(metric="robust_accuracy", reason=f"the {split} split is empty"))
            continue
        rows += robustness.robust_accuracies(split, part)
        rows += robustness.zero_gradient_shares(split, part)
        if len(part.eps) < 2:
            omit(Omission(metric="robust_accuracy_area", reason="needs a radius above 0"))
        else:
            rows.append(robustness.robust_area(split, part))
        if retrained is not None and split in retrained:
            rows += robustness.robust_gaps(split, part, retrained[split])
    return rows


def membership_metrics(
    scored: Sequence[MembershipScores],
    *,
    settings: Settings = Settings(),
    omit: Omit = ignore,
) -> Rows:
    """AUC, accuracies, TPR at low FPR, epsilon bounds and MIA-efficacy of each statistic, under its game."""
    rows: Rows = []
    for scores in scored:
        for name, compute in _membership_parts(scores, settings).items():
            _attempt(rows, f"{name}:{scores.statistic}", omit, compute)
    return rows


def _membership_parts(
    scores: MembershipScores, settings: Settings
) -> dict[str, Callable[[], Iterable[MetricValue]]]:

    def stream(name: str) -> np.random.Generator:
        return numpy_generator("metrics", settings.seed, name, scores.statistic)

    parts: dict[str, Callable[[], Iterable[MetricValue]]] = {
        "auc": lambda: [membership.auc(scores)],
        "epsilon_lower_bound": lambda: membership.epsilon_lower_bound(
            scores, generator=stream("epsilon"), delta=settings.delta
        ),
    }
    if scores.threshold is not None:
        parts["balanced_accuracy"] = lambda: [membership.balanced_accuracy(scores)]
    if scores.statistic.startswith("svc_"):
        parts["mia_efficacy"] = lambda: [membership.mia_efficacy(scores)]
    if scores.statistic == "loss_threshold":
        parts["cross_validated_accuracy"] = lambda: [
            membership.cross_validated_accuracy(scores, generator=stream("cross-validation"))
        ]
    for fpr in settings.fprs:
        parts[f"tpr_at_fpr={fpr}"] = lambda fpr=fpr: membership.tpr_at_fpr(  # type: ignore[misc]
            scores, fpr
        )
    return parts
