"""What the measurements say: findings against retraining, gathered by place and put in plain words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from orchestrator.results.connection import Results

Group = Literal["forgetting", "accuracy", "robustness", "fairness", "membership"]
GROUPS: dict[Group, str] = {
    "forgetting": "answers on the forgotten examples",
    "accuracy": "accuracy on what is kept",
    "robustness": "robust accuracy",
    "fairness": "evenness over classes",
    "membership": "membership attacks",
}
MEASURES: dict[tuple[str, str], Group] = {
    ("accuracy", "forget"): "forgetting",
    ("accuracy", "retain"): "accuracy",
    ("accuracy", "test"): "accuracy",
    ("robust_accuracy_area", "forget"): "robustness",
    ("robust_accuracy_area", "retain"): "robustness",
    ("robust_accuracy_area", "test"): "robustness",
    ("class_accuracy_gap", "retain"): "fairness",
    ("class_accuracy_gap", "test"): "fairness",
    ("auc", "forget"): "membership",
    ("auc", "retain"): "membership",
    ("balanced_accuracy", "forget"): "membership",
    ("balanced_accuracy", "retain"): "membership",
    ("tpr_at_fpr", "forget"): "membership",
    ("tpr_at_fpr", "retain"): "membership",
    ("mia_efficacy", "forget"): "membership",
}
"""What the verdict rests on. Other metrics restate these (ua is 1 - accuracy) or are 0 for retraining."""
SPLITS = {
    "forget": "the forgotten examples",
    "retain": "the retained examples",
    "test": "the test examples",
    "validation": "the validation examples",
}
ROLES = {
    "reference": "retrained",
    "noise_floor": "retrained again",
    "control": "retrained a third time",
    "ceiling": "doing nothing",
}
"""How reference rows are called; audited rows go by method and scope."""
ROLE_ORDER = ("reference", "noise_floor", "control", "ceiling", "audited")


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
        kept = (c if c.isalnum() else "-" for c in f"{self.architecture}-{self.forget_set}")
        return "-".join(part for part in "".join(kept).split("-") if part)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One row of queries/verdict.sql: a model, over seeds, on one measure."""

    dataset: str
    architecture: str
    forget_set: str
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
    value_high: float | None
    retrained: float | None
    difference: float | None
    difference_low: float | None
    difference_high: float | None
    noise_floor: float | None
    verdict: str
    n: int
    higher_is: str

    @cached_property
    def place(self) -> Place:
        """Where it was found."""
        return Place(dataset=self.dataset, architecture=self.architecture, forget_set=self.forget_set)

    @property
    def model(self) -> tuple[str, str]:
        """Method and scope."""
        return (self.method, self.scope)

    @property
    def group(self) -> Group | None:
        """The kind of measure; None for one that the verdict does not rest on."""
        return MEASURES.get((self.metric, self.split))

    @property
    def measure(self) -> tuple[str, ...]:
        """Identifies the measure."""
        param = "" if self.param is None else f"{self.param:g}"
        return (self.metric, self.split, self.attack, self.variant, param, self.game or "")

    @property
    def told_apart(self) -> bool:
        """Whether the interval of the difference lies wholly beyond the noise floor."""
        return self.verdict == "told apart"

    @property
    def clearness(self) -> float:
        """How far the interval's near end lies beyond the noise floor, in half widths."""
        if self.difference_low is None or self.difference_high is None or self.noise_floor is None:
            return float("-inf")
        near = max(self.difference_low, -self.difference_high)
        return (near - self.noise_floor) / max(self.half_width or 0.0, 1e-9)

    @property
    def half_width(self) -> float | None:
        """Half the width of the interval of the difference."""
        if self.difference_low is None or self.difference_high is None:
            return None
        return (self.difference_high - self.difference_low) / 2

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


@dataclass(frozen=True)
class Evidence:
    """All findings of a results directory."""

    findings: tuple[Finding, ...]

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """Where there is something to compare, in the order of the query."""
        return tuple(self._by_place)

    @cached_property
    def _by_place(self) -> dict[Place, list[Finding]]:
        found: dict[Place, list[Finding]] = {}
        for finding in self.findings:
            found.setdefault(finding.place, []).append(finding)
        return found

    @cached_property
    def several_scopes(self) -> bool:
        """Whether a label must name the scope."""
        return len({f.scope for f in self.findings if f.role == "audited"}) > 1

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

    def label(self, role: str, method: str, scope: str) -> str:
        """How a model is called in figures and tables."""
        if role in ROLES:
            return ROLES[role]
        return f"{method} / {scope}" if self.several_scopes else method

    def at(self, place: Place, **fixed: object) -> list[Finding]:
        """Findings of a place whose fields have the given values."""
        return [
            f
            for f in self._by_place.get(place, ())
            if all(getattr(f, name) == value for name, value in fixed.items())
        ]

    def measured(self, place: Place, role: str) -> dict[tuple[str, str], list[Finding]]:
        """What the verdict rests on, by method and scope."""
        found: dict[tuple[str, str], list[Finding]] = {}
        for finding in self.at(place, role=role):
            if finding.group is not None:
                found.setdefault(finding.model, []).append(finding)
        return found


def gather(results: Results) -> Evidence:
    """Read the findings."""
    names = [field.name for field in fields(Finding)]
    rows = results.query("verdict").to_pylist()
    return Evidence(tuple(Finding(**{name: row[name] for name in names}) for row in rows))


def signed(value: float | None) -> str:
    """A difference with its sign, three decimals."""
    if value is None:
        return "unknown"
    rounded = round(value, 3)
    return f"{rounded:+.3f}".replace("-", "\N{MINUS SIGN}") if rounded else "0.000"


def interval(low: float | None, high: float | None) -> str:
    """An interval of a difference."""
    return "no interval" if low is None or high is None else f"{signed(low)} to {signed(high)}"


def clearest(findings: Iterable[Finding]) -> Finding | None:
    """The finding that tells apart most clearly; None where none does."""
    apart = [f for f in findings if f.told_apart]
    return max(apart, key=lambda f: f.clearness) if apart else None


def why_told_apart(finding: Finding) -> str:
    """The evidence of one finding in a sentence."""
    reach = interval(finding.difference_low, finding.difference_high)
    if finding.attack_family == "per_example":
        control = "the control is many retrained models"
    else:
        control = f"retraining again differs by up to {finding.noise_floor or 0:.3f}"
    return f"{finding.words} differs from retraining by {signed(finding.difference)} ({reach}); {control}"


def unnoticed(findings: Sequence[Finding]) -> str:
    """How large a difference in forget accuracy the audit would have missed."""
    for finding in findings:
        if (
            finding.group == "forgetting"
            and finding.half_width is not None
            and finding.noise_floor is not None
        ):
            size = finding.half_width + finding.noise_floor
            return f"a difference below about {size:.3f} in {finding.words} would have gone unnoticed"
    return "how large a difference would have gone unnoticed is unknown"
