"""What a metric is, declared once and before anything is measured; and one measured value of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args

from tasks.errors import AuditError, unknown_name

Direction = Literal["better", "worse", "closer_to_retrained"]
Kind = Literal["forgetting", "utility", "cost"]
SamplingError = Literal[
    "binomial", "paired_binomial", "spread", "mean", "auc", "two_way", "band", "bound", "none"
]
"""How the 95 % interval is got. binomial: Wilson, Newcombe or Clopper-Pearson over independent examples;
paired_binomial: Newcombe over the same examples under two models; spread: of the largest difference between
independent groups; mean: of a mean over examples, bounded or corrected for skewness; auc: of an area over independent
examples (of documents of persons or authors these are the examples: tasks.statistics.groups); two_way: errors that
shadow models and examples share (tasks.metrics.two_way); band: of a distance of distributions, from how far a bootstrap
strays anywhere; bound: the value is the interval's own end; none: there is no interval, for a stated reason."""


class Reading(NamedTuple):
    """How a value is read."""

    kind: Kind
    higher_is: Direction
    error: SamplingError


@dataclass(frozen=True, kw_only=True)
class Metric:
    """The declaration of a metric; an attack names all that it may report in `Attack.metrics`.

    Raises:
        AuditError: an empty name or range, an unknown way of reading it, a margin that the range does not hold, or no
            interval without a reason.
    """

    name: str
    """In the field's own words ("accuracy", "robust_accuracy", "auc")."""
    about: str
    """What it says, in one line."""
    low: float
    """Smallest value that is possible."""
    high: float
    """Largest value that is possible; infinity where there is none."""
    kind: Kind
    higher_is: Direction
    error: SamplingError
    instead: Mapping[str, Reading] = field(default_factory=dict)
    """How it is read on a split, or in a game, where that is not as above."""
    no_interval: str = ""
    """Why there is no interval, where `error` is none."""
    compares: bool = False
    """Whether it is itself of the unlearned and the retrained model (a gap, a distance): of the retrained model alone
    it says nothing."""
    margin: float | None
    """Difference to the retrained model within which it counts as equal, unless an audit declares another; None where
    no such difference makes sense."""
    margin_because: str
    """Why this margin, or why none."""

    def __post_init__(self) -> None:
        where = f"metric '{self.name}'"
        if not self.name or not self.low < self.high:
            raise AuditError(f"{where}: expected a name and low < high, got {self.low} and {self.high}")
        for reading in (Reading(self.kind, self.higher_is, self.error), *self.instead.values()):
            for (key, value), known in zip(
                reading._asdict().items(), (Kind, Direction, SamplingError), strict=True
            ):
                if value not in get_args(known):
                    raise unknown_name(key, str(value), get_args(known), where=where)
        if self.margin is not None and not 0 < self.margin < self.high - self.low:
            raise AuditError(
                f"{where}: margin: expected within (0, {self.high - self.low}), got {self.margin}"
            )
        errors = {self.error, *(reading.error for reading in self.instead.values())}
        if ("none" in errors) != bool(self.no_interval) or not self.margin_because:
            raise AuditError(f"{where}: expected no_interval exactly where error is none, and margin_because")

    def reading(self, split: str, game: str | None = None) -> Reading:
        """How a value on this split, in this game, is read."""
        usual = Reading(self.kind, self.higher_is, self.error)
        return self.instead.get(game or "", self.instead.get(split, usual))


@dataclass(frozen=True, kw_only=True)
class MetricValue:
    """One measured value with its interval: a row of the `metrics` table, without its cell."""

    declared: Metric
    split: str
    """forget, retain, test, validation, or "all" where the metric is not of one split."""
    value: float
    ci_low: float | None
    """Lower end of the 95 % interval; None only for exact counts, measured costs, the open side of a bound, and F of
    the NeurIPS 2023 competition."""
    ci_high: float | None
    n: int
    """Examples (or observations) behind the value."""
    param: float | None = None
    """What the metric was taken at: eps of an attack, FPR of a TPR."""
    label: int | None = None
    """The class, for values by class; of documents the number of the person or author."""
    game: str | None = None
    """Which hypotheses a membership number compares: G0 to G3."""
    variant: str = ""
    """Definition id where several exist (fairness gap), or the statistic of an attack."""
    difference: float | None = None
    """Value minus the retrained models', where both were measured on the same shadow models; None elsewhere."""
    difference_error: float | None = None
    """Its standard error, which knows of what the two share."""
    difference_df: float | None = None
    """Degrees of freedom of that."""

    @property
    def metric(self) -> str:
        """Name of the metric."""
        return self.declared.name

    @property
    def higher_is(self) -> Direction:
        """How to read a larger value."""
        return self.declared.reading(self.split, self.game).higher_is

    def row(self) -> dict[str, Any]:
        """Columns of the `metrics` table."""
        own = {name: value for name, value in vars(self).items() if name != "declared"}
        return {"metric": self.metric, **own, "higher_is": self.higher_is}
