"""What an audit is to answer, declared before it runs: primary measures, margins, and a control."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

from tasks import fields
from tasks.errors import AuditError
from tasks.registry import literal


@dataclass(frozen=True, kw_only=True)
class Measure:
    """Which rows of `metrics` are one question; where a place is None, any value of it is."""

    metric: str
    split: str | None = None
    game: str | None = None
    variant: str | None = None
    """A pattern, in which * stands for any text."""
    attack: str | None = None
    """Value of the attack axis."""
    param: float | None = None
    """What the metric was taken at: eps of an attack, FPR of a TPR."""

    @classmethod
    def parse(cls, text: str) -> Measure:
        """Read "metric", "metric:split" or "metric:split,key=value,...".

        Raises:
            AuditError: it is written otherwise.
        """
        (metric, _, split), *places = (
            part.partition("=" if i else ":") for i, part in enumerate(text.split(","))
        )
        named: dict[str, object] = {"metric": metric.strip()}
        if split:
            named["split"] = split.strip()
        for key, equals, value in places:
            if not equals:
                raise AuditError(f"'{text}': expected key=value after a comma, got '{key}'")
            if key.strip() in named:
                raise AuditError(f"'{text}': {key.strip()} is given twice")
            named[key.strip()] = literal(value) if key.strip() == "param" else value.strip()
        if not metric.strip():
            raise AuditError(f"expected metric:split,key=value,..., got '{text}'")
        return fields.build(cls, named, where=f"'{text}'")

    def is_of(self, metric: str, split: str, game: str | None, variant: str, param: float | None) -> bool:
        """Whether a row of `metrics` is of this measure."""
        return (
            metric == self.metric
            and self.split in (None, split)
            and self.game in (None, game)
            and (self.variant is None or fnmatchcase(variant, self.variant))
            and self.param in (None, param)
        )

    @property
    def text(self) -> str:
        """As a configuration writes it."""
        places = {k: v for k, v in dataclasses.asdict(self).items() if v is not None}
        head = ":".join(str(places.pop(key)) for key in ("metric", "split") if key in places)
        return ",".join((head, *(f"{key}={value}" for key, value in places.items())))


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What the audit is to answer, declared before it runs. No part of any id: to declare anew computes nothing anew,
    and the answers say that it was done after rows were there."""

    primary: tuple[str, ...] = ()
    """Measures that conclusions rest on, which are corrected for their number: "accuracy:forget", or "metric:split"
    with game=, variant= (* for any text), attack= and param= behind commas. Empty: accuracy on the forget, retain and
    test set, AUC of the loss threshold in a population attack, and AUC of single examples in the first attack of the
    axis on shadow models in game G1 or G2."""
    margins: dict[str, float] = field(default_factory=dict)
    """Difference to the retrained model within which a metric counts as equal, in place of the metric's own
    (`--describe metrics.NAME`)."""
    training_sd: dict[str, float] = field(default_factory=dict)
    """Standard deviation between models that differ in their seed alone, by "metric" or "metric:split". What the plan
    says can be decided rests on it, unless rows of a second retrained model are there."""
    control: Literal["none", "models", "all"] = "none"
    """models: a third retrained model, retrain_third, is judged as if it were a method, which shows what the audit says
    of one that has forgotten; a training more for each architecture, forget set and seed. all: shadow models too, each
    of which is retrained once more without each of its draws."""

    def __post_init__(self) -> None:
        measures = []
        for i, text in enumerate(self.primary):
            try:
                measures.append(Measure.parse(text))
            except AuditError as error:
                raise type(error)(f"primary[{i}]: {error}") from None
            if measures[-1] in measures[:-1]:
                raise AuditError(f"primary[{i}]: a measure is listed twice: '{text}'")
        for name, sd in self.training_sd.items():
            if sd < 0:
                raise AuditError(f"training_sd.{name}: expected 0 or more, got {sd:g}")
