"""What the measurements say, as the views of the verdict have it: gathered by place and put in plain words."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cached_property
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

from orchestrator.results.own_queries import ask_table
from orchestrator.results.rows import rows_of

if TYPE_CHECKING:
    import pyarrow as pa

    from orchestrator.results.connection import Results

PLACE = ("dataset", "architecture", "forget_set")
"""Columns that say where something was measured."""
SPLITS = {
    "forget": "the forgotten examples",
    "retain": "the retained examples",
    "test": "the test examples",
    "validation": "the validation examples",
}
ROLES = {
    "reference": "retrained",
    "noise_floor": "retrained again",
    "control": "a further retraining",
    "ceiling": "doing nothing",
}
"""How reference and control rows are called; audited rows go by method and scope."""
ROLE_ORDER = (*ROLES, "audited")
APART, EQUIVALENT, UNDECIDED = "told apart", "shown equivalent", "undecided"
"""Values of `verdict`."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where methods compete: the same data, architecture and request."""

    dataset: str
    architecture: str
    forget_set: str

    @property
    def text(self) -> str:
        """One line."""
        return f"{self.architecture}, forget set {self.forget_set}"

    @property
    def slug(self) -> str:
        """The place in a file name."""
        return slug(f"{self.architecture}-{self.forget_set}")


@dataclass(frozen=True, kw_only=True)
class Value:
    """What a model, or both retrained ones, give on one measure: the mean over seeds."""

    dataset: str
    architecture: str
    forget_set: str
    conditions: str
    attack: str
    attack_family: str
    metric: str
    split: str
    variant: str
    param: float | None
    game: str | None
    method: str
    scope: str
    role: str
    seeds: int
    value: float
    value_low: float | None
    """Lowest end of the seeds' own intervals."""
    value_high: float | None

    @cached_property
    def place(self) -> Place:
        """Where it was measured."""
        return Place(dataset=self.dataset, architecture=self.architecture, forget_set=self.forget_set)

    @property
    def model(self) -> tuple[str, str]:
        """Method and scope."""
        return (self.method, self.scope)

    @cached_property
    def measure(self) -> tuple[str, ...]:
        """Identifies the measure."""
        param = "" if self.param is None else f"{self.param:g}"
        return (self.metric, self.split, self.attack, self.variant, param, self.game or "")

    @property
    def words(self) -> str:
        """The measure in plain words."""
        where = SPLITS.get(self.split, self.split)
        attack = f"the {self.attack} attack"
        statistic = f"{self.variant}, {self.game}" if self.variant else f"{self.game}"
        return {
            "accuracy": f"accuracy on {where}",
            "class_accuracy_gap": f"accuracy gap between the best and the worst class on {where}",
            "robust_accuracy": f"robust accuracy on {where} under {self.attack} at eps {self.param or 0:g}",
            "robust_accuracy_area": f"robust accuracy on {where} under {self.attack}, "
            f"mean over eps up to {self.param or 0:g}",
            "auc": f"AUC of {attack} ({statistic})",
            "balanced_accuracy": f"balanced accuracy of {attack} ({statistic})",
            "tpr_at_fpr": f"true positive rate of {attack} at a false positive rate of "
            f"{self.param or 0:.2g} ({statistic})",
            "mia_efficacy": f"share of forgotten examples that {attack} calls unseen ({statistic})",
        }.get(self.metric, f"{self.metric} on {where} ({self.attack})")


@dataclass(frozen=True, kw_only=True)
class Finding(Value):
    """A row of the view `verdicts`, which says what each column is."""

    setting: str
    model_setting: str
    kind: str
    higher_is: str
    retrained: float | None
    again: float | None
    difference: float | None
    difference_low: float | None
    difference_high: float | None
    p_adjusted: float | None
    family: str
    margin: float | None
    declared_after: bool
    sees: bool | None
    masked_gradients: bool | None
    verdict: str
    visible: bool
    settles: str
    setting_label: str | None
    """What sets its setting apart from others at its place; empty where there is one."""

    @property
    def told_apart(self) -> bool:
        """Whether this measure tells the model from retraining."""
        return self.verdict == APART

    @property
    def primary(self) -> bool:
        """Whether the verdict on the model rests on it."""
        return self.family == "primary"


@dataclass(frozen=True, kw_only=True)
class ModelVerdict:
    """A row of the view `model_verdicts`, which says what each column is."""

    dataset: str
    architecture: str
    forget_set: str
    method: str
    scope: str
    role: str
    model_setting: str
    primary_measures: int
    told_apart: int
    shown_equivalent: int
    visible: int
    undecided: int
    explored: int
    discoveries: int | None
    seeds: int
    declared_after: bool | None
    not_measured: str
    verdict: str
    settles: str

    @property
    def place(self) -> Place:
        """Where it competes."""
        return Place(dataset=self.dataset, architecture=self.architecture, forget_set=self.forget_set)

    @property
    def model(self) -> tuple[str, str]:
        """Method and scope."""
        return (self.method, self.scope)


Row = TypeVar("Row", Value, Finding, ModelVerdict)
Measured = TypeVar("Measured", bound=Value)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the report reads of a results directory."""

    findings: tuple[Finding, ...]
    references: tuple[Value, ...]
    """Of the retrained models, which are not judged."""
    models: tuple[ModelVerdict, ...]
    """Controls first."""

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """Where something was measured, in the order of the query."""
        return tuple(self._by_place)

    @cached_property
    def _by_place(self) -> dict[Place, list[Value]]:
        gathered, where = defaultdict[tuple[str, ...], list[Value]](list), attrgetter(*PLACE)
        for value in (*self.findings, *self.references):
            gathered[where(value)].append(value)
        return {values[0].place: values for values in gathered.values()}

    @cached_property
    def roles(self) -> dict[str, str]:
        """How the references and controls are called that are here; the further retraining is not everywhere."""
        here = {m.role for m in self.models}
        return {role: text for role, text in ROLES.items() if role != "control" or role in here}

    @cached_property
    def several_scopes(self) -> bool:
        """Whether a label must name the scope."""
        return len(self.scopes) > 1

    @cached_property
    def methods(self) -> tuple[str, ...]:
        """Audited methods, in alphabetical order: the order of colours."""
        return tuple(sorted({f.method for f in self.findings if f.role == "audited"}))

    @cached_property
    def scopes(self) -> tuple[str, ...]:
        """Audited scopes; `all` first."""
        return tuple(
            sorted({f.scope for f in self.findings if f.role == "audited"}, key=lambda s: (s != "all", s))
        )

    @cached_property
    def primary_attacks(self) -> frozenset[str]:
        """Attacks that a verdict rests on."""
        return frozenset(f.attack for f in self.findings if f.primary)

    def label(self, role: str, method: str, scope: str) -> str:
        """How a model is called in figures and tables."""
        return ROLES.get(role) or (f"{method} / {scope}" if self.several_scopes else method)

    def at(self, place: Place, **fixed: object) -> list[Value]:
        """Values of a place whose fields are as given."""
        return _agreeing(self._by_place.get(place, ()), fixed)

    def judged(self, place: Place, **fixed: object) -> list[Finding]:
        """Findings of a place whose fields are as given."""
        judged = (v for v in self._by_place.get(place, ()) if isinstance(v, Finding))
        return _agreeing(judged, fixed)

    def judged_models(self, place: Place, **fixed: object) -> list[ModelVerdict]:
        """Verdicts on models of a place whose fields are as given."""
        return _agreeing(self._models_by_place.get(place, ()), fixed)

    @cached_property
    def _models_by_place(self) -> dict[Place, list[ModelVerdict]]:
        gathered: dict[Place, list[ModelVerdict]] = {}
        for model in self.models:
            gathered.setdefault(model.place, []).append(model)
        return gathered

    def apart_by(self, model: ModelVerdict) -> str:
        """What sets a model apart from others of its method, scope and place, which differ in their setting; empty
        where there is one."""
        if self._namesakes[(model.place, *_which(model)[:-1])] == 1:
            return ""
        labels = (finding.setting_label for finding in self.of_model(model) if finding.setting_label)
        return next(labels, model.model_setting[:6])

    @cached_property
    def _namesakes(self) -> Counter[tuple[Any, ...]]:
        return Counter((model.place, *_which(model)[:-1]) for model in self.models)

    def upper_bounds(self, findings: Iterable[Finding]) -> str:
        """A sentence on values that masked gradients make upper bounds, plain text; empty where there are none."""
        masked = [f for f in findings if f.masked_gradients]
        if not masked:
            return ""
        attacks = ", ".join(sorted({f.attack for f in masked}))
        models = ", ".join(sorted({self.label(f.role, *f.model) for f in masked}))
        return (
            f"Masked gradients: under {attacks} robust accuracy is only an upper bound, of these models or of the "
            f"retrainings that they are held against: {models}. The gradient that the attack follows vanishes at many "
            "images (zero_gradient_share in robust_drop), or an attack blind to the scale of logits found more: read "
            "its rows. Such a value shows no equivalence."
        )

    def primary(self, model: ModelVerdict) -> list[Finding]:
        """What the verdict on a model rests on."""
        return [finding for finding in self.of_model(model) if finding.primary]

    def of_model(self, model: ModelVerdict) -> list[Finding]:
        """Every finding on a model."""
        return self._by_model.get((model.place, *_which(model)), [])

    def by_measure(self, values: Iterable[Measured]) -> dict[tuple[str, ...], Measured]:
        """A value of each measure on a model: of several, under as many conditions, the finding that its verdict rests
        on, or one under the conditions of such a finding."""
        of = self._rested_on
        found = sorted(values, key=lambda v: (getattr(v, "primary", False), (v.place, v.conditions) in of))
        return {value.measure: value for value in found}

    @cached_property
    def _rested_on(self) -> frozenset[tuple[Place, str]]:
        return frozenset((f.place, f.conditions) for f in self.findings if f.primary)

    @cached_property
    def _by_model(self) -> dict[tuple[Any, ...], list[Finding]]:
        gathered: dict[tuple[Any, ...], list[Finding]] = {}
        for finding in self.findings:
            gathered.setdefault((finding.place, *_which(finding)), []).append(finding)
        return gathered


def _which(model: Finding | ModelVerdict) -> tuple[str, str, str, str]:
    """Which model of its place."""
    return (model.role, model.method, model.scope, model.model_setting)


def _agreeing(rows: Iterable[Row], fixed: dict[str, object]) -> list[Row]:
    """The rows whose fields are as given."""
    if not fixed:
        return list(rows)
    read, wanted = attrgetter(*fixed), tuple(fixed.values())
    return [row for row in rows if read(row) == (wanted if len(wanted) > 1 else wanted[0])]


def gather(results: Results) -> Evidence:
    """Read the verdicts, and the values of the retrained models."""
    return Evidence(
        findings=_rows(Finding, results.query("verdict")),
        references=_rows(Value, ask_table(results, "reference_values")),
        models=_rows(ModelVerdict, results.query("model_verdicts")),
    )


def _rows(kind: type[Row], table: pa.Table) -> tuple[Row, ...]:
    names = [field.name for field in fields(kind)]
    return tuple(_made(kind, row) for row in rows_of(table.select(names)))


def _made(kind: type[Row], values: dict[str, Any]) -> Row:
    """A row of all its fields at once: a frozen dataclass sets each by a call, which takes eight times as long."""
    made = kind.__new__(kind)
    made.__dict__.update(values)
    return made


def slug(text: str) -> str:
    """A text in a file name."""
    kept = (c if c.isalnum() else "-" for c in text)
    return "-".join(part for part in "".join(kept).split("-") if part)


def agreeing(count: int, one: str, others: str) -> str:
    """A word that agrees with a count before it."""
    return one if count == 1 else others


def signed(value: float | None, digits: int = 3) -> str:
    """A difference with its sign; unknown where it is not finite."""
    if value is None or not math.isfinite(value):
        return "unknown"
    rounded = round(value, digits)
    return f"{rounded:{'+' if rounded else ''}z.{digits}f}".replace("-", "\N{MINUS SIGN}")


def interval(low: float | None, high: float | None) -> str:
    """An interval of a difference, which has finite ends."""
    known = all(end is not None and math.isfinite(end) for end in (low, high))
    return f"{signed(low)} to {signed(high)}" if known else "no interval"


def clearest(findings: Iterable[Finding]) -> Finding | None:
    """The finding that tells apart most clearly; None where none does."""
    return min((f for f in findings if f.told_apart), key=lambda f: f.p_adjusted or 0.0, default=None)


def why_told_apart(finding: Finding) -> str:
    """The evidence of one finding in a sentence."""
    reach = interval(finding.difference_low, finding.difference_high)
    return (
        f"{finding.words} differs from retraining by {signed(finding.difference)} ({reach}), "
        f"p {probability(finding.p_adjusted)}"
    )


def probability(p: float | None) -> str:
    """A p-value behind its sign."""
    if p is None:
        return "unknown"
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"
