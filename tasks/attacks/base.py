"""What an attack is, and the registry. Imports no torch: `--help` and the plan read it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar, get_args

from tasks.errors import AuditError, unknown_name
from tasks.metrics.base import Metric, MetricValue
from tasks.metrics.catalogue import CATALOGUE
from tasks.objectives.names import check_objectives, require_objective
from tasks.registry import Registry

if TYPE_CHECKING:
    import numpy as np

    from tasks.measure.fairness import LayerGap

C = TypeVar("C", bound=type)
Need = Literal["outputs", "gradients", "copy", "generation", "shadows", "reference_shadows"]
"""outputs: what the model and the retrained one answer on every split, and what their normalisation layers see;
gradients: the model itself with its parameters frozen, and images; copy: a copy of the model to change, and images;
generation: a language model itself, and documents; shadows: what shadow models showed of each example;
reference_shadows: what the reference's models showed that came from the same shadow models."""
NEEDS: tuple[Need, ...] = get_args(Need)
Subject = Literal["model", "shadow_models"]
SLACK = 1e-6
"""By which a value may leave the range of its metric: rounding of a mean in single precision."""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What an attack found."""

    metrics: Sequence[MetricValue]
    """Each of a metric that the attack declares."""
    examples: Iterable[Mapping[str, np.ndarray]] = ()
    """Rows of the `examples` table in blocks: columns of equal length by name, of which a block may lack some."""
    layers: Sequence[LayerGap] | None = None
    """Fairness gaps of normalisation layers, where they were measured."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """What a plan knows of the data and of the model that an attack is to measure."""

    objective: str
    """Name of what the model is trained for."""
    num_classes: int
    """That the model tells apart; of documents 1."""
    architecture: str
    """On the axis."""
    has_base: bool
    """Whether training starts from a base: one that was pre-trained, or weights that are given."""
    split: Callable[[str], np.ndarray]
    """Ids of the examples of a split: forget, retain, test or validation."""
    tokens: Callable[[], np.ndarray]
    """Of documents: how many tokens are asked for, by example id, int64."""
    alternatives: Callable[[], np.ndarray]
    """Of documents: ids of those that come with other answers, int64."""


class Attack(ABC):
    """A frozen dataclass whose fields are its parameters.

    What it declares is all that planning, memory and reports know of it: an attack of a new family is one file.
    """

    family: ClassVar[str]
    """Which attacks it is compared with; a plug-in may name a new family."""
    needs: ClassVar[frozenset[Need]]
    """What it asks of its view; asking for anything else fails the cell."""
    metrics: ClassVar[tuple[Metric, ...]]
    """All that it may report; reporting anything else fails the cell."""
    version: ClassVar[int] = 1
    """Raised whenever equal parameters give other numbers, so that older cells are measured again."""
    objectives: ClassVar[frozenset[str]] = frozenset()
    """Names of the objectives (`tasks.objectives`) whose models it can measure; empty: every one."""
    added: ClassVar[Mapping[str, object]] = {}
    """Parameters that came when there were results already, each with the value that stands for what was measured
    until then: with it they enter no id."""
    subject: ClassVar[Subject] = "model"
    """What it is run against: the model of a cell, or a group of shadow models."""
    games: ClassVar[tuple[str, ...]] = ()
    """The games that it can play; empty: it gives no membership numbers."""
    least_forgotten: ClassVar[int] = 1
    """Fewest examples of a forget set of which it can say anything; cells of smaller ones are not planned."""
    bounds_epsilon: ClassVar[bool] = False
    """Whether it bounds the epsilon of single examples by counting shadow models, of which too few show nothing."""

    def check_objective(self, name: str) -> None:
        """Refuse models that are trained for another objective, before any work.

        Args:
            name: of the objective.

        Raises:
            AuditError: it cannot measure such models.
        """
        require_objective(self, name)

    @classmethod
    def defaults(cls, objective: str) -> Mapping[str, Any]:
        """Parameters that are other than the fields say where an audit of this objective gives none."""
        return {}

    def check_given(self, given: Given) -> None:  # noqa: B027 - most can say something of whatever is given
        """Refuse data or a model that it can say nothing of, before any work.

        Args:
            given: of one forget set and architecture.

        Raises:
            AuditError: it would fail there.
        """

    @property
    def reads_alternatives(self) -> bool:
        """Whether its numbers depend on other answers that a data set brings, which are no part of its examples."""
        return False

    @property
    def game(self) -> str:
        """Which two hypotheses its membership numbers compare (G0 to G3); empty: it gives none."""
        return ""

    @property
    def on_canaries(self) -> bool:
        """Whether it is about canaries alone; the others are about every example but them."""
        return False

    @property
    def forgets_canaries(self) -> bool:
        """Whether it judges the forgetting of all canaries, whatever the forget set of its cell."""
        return self.on_canaries and self.game != "G0"

    @property
    def rates(self) -> bool:
        """Whether it reports rates whose thresholds some shadow models set and others judge, of the forget set."""
        return False

    @property
    def most_examples(self) -> int:
        """Most examples of each attacked split that it looks at; 0: all."""
        return 0

    @abstractmethod
    def measure(self, view: Any) -> Measurement:
        """Measure a model (`view` is a `ModelView`) or a group of shadow models (a `ShadowView`).

        Random numbers come from the view's generators alone, and the model is left to the last bit as it was.

        Raises:
            AuditError: the model or the data do not allow what is to be measured.
        """


def _check_declared(name: str, cls: type[Attack]) -> None:
    check_objectives(name, cls)
    declared = {key: value for base in reversed(cls.__mro__) for key, value in vars(base).items()}
    for attribute in ("family", "needs", "metrics"):
        if not declared.get(attribute):
            raise AuditError(
                f"{name}: {cls.__qualname__} declares no {attribute}; see {Attack.__module__}.Attack"
            )
    if cls.subject not in get_args(Subject):
        raise unknown_name("subject", cls.subject, get_args(Subject), where=name)
    if cls.least_forgotten < 1:
        raise AuditError(f"{name}: least_forgotten: expected 1 or more, got {cls.least_forgotten}")
    for need in cls.needs:
        if need not in NEEDS:
            raise unknown_name("need", need, NEEDS, where=name)
    names: set[str] = set()
    for metric in cls.metrics:
        if not isinstance(metric, Metric):
            raise AuditError(f"{name}: metrics: expected tasks.metrics.base.Metric, got {metric!r}")
        if metric.name in names or CATALOGUE.get(metric.name, metric) != metric:
            raise AuditError(
                f"{name}: metrics: '{metric.name}' is already declared, and otherwise; choose another name"
            )
        names.add(metric.name)


attacks: Registry[Attack] = Registry(
    "attack",
    contract=Attack,  # type: ignore[type-abstract]
    package="tasks.attacks",
    group="lethe.attacks",
    check=_check_declared,
)
register = attacks.register


def check_measurement(attack: Attack, measurement: Measurement, *, name: str) -> None:
    """Refuse what an attack did not declare.

    Args:
        attack: that measured.
        measurement: what its `measure` returned.
        name: of the attack on its axis, for messages.

    Raises:
        AuditError: it is no measurement, or holds a metric that is not among `attack.metrics`, a value out of the
            range of its metric, or one twice.
    """
    if not isinstance(measurement, Measurement):
        raise AuditError(f"attack '{name}': measure: expected a Measurement, got {measurement!r:.60}")
    if not isinstance(measurement.metrics, Sequence):
        raise AuditError(
            f"attack '{name}': Measurement.metrics: expected a list, got {measurement.metrics!r:.60}"
        )
    places = set()
    for value in measurement.metrics:
        if not isinstance(value, MetricValue):
            raise AuditError(f"attack '{name}': Measurement.metrics: expected MetricValue, got {value!r:.60}")
        if value.declared not in attack.metrics:
            raise AuditError(
                f"attack '{name}' reports '{value.metric}', which {type(attack).__name__}.metrics does not declare; "
                "add it there"
            )
        low, high = value.declared.low, value.declared.high
        if not low - SLACK <= value.value <= high + SLACK:  # nor is NaN
            raise AuditError(
                f"attack '{name}' reports {value.value} as '{value.metric}' ({value.split}), whose range is "
                f"[{low}, {high}]"
            )
        place = (value.metric, value.split, value.param, value.label, value.game, value.variant)
        if place in places:
            raise AuditError(f"attack '{name}' reports '{value.metric}' ({value.split}) twice")
        places.add(place)
