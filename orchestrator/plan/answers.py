"""What an audit declares that it will answer, resolved by the attacks of its plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from orchestrator.config.answers import Answers, Measure
from orchestrator.plan.names import NamedAttack
from tasks import fields
from tasks.errors import AuditError, unknown_name
from tasks.metrics.base import Metric
from tasks.metrics.catalogue import CATALOGUE
from tasks.metrics.documents import TOKEN_ACCURACY
from tasks.metrics.membership import AUC, POPULATION_GAME
from tasks.metrics.utility import ACCURACY

SPLITS = ("forget", "retain", "test", "validation", "all")
"""Values of `MetricValue.split`."""
PLAIN_UTILITY: Mapping[str, Metric] = {"classify": ACCURACY, "language": TOKEN_ACCURACY}
"""By objective, the measure of utility that is primary on every split."""
PLAIN_STATISTIC = "loss_threshold"
"""The statistic of a population attack that is primary: it fits no attacker and draws no folds, so that nothing but the
model and its examples moves it."""


@dataclass(frozen=True, kw_only=True)
class Declared:
    """Primary measures and margins, said before anything was measured."""

    primary: tuple[Measure, ...]
    margins: Mapping[str, float | None]
    """Of every metric that an attack of the plan may report, and of others that were declared; None: without one."""

    def rows(self) -> list[dict[str, Any]]:
        """What was declared, as the view `declared` reads it: each metric with its margin, and each primary measure."""
        primary = dict.fromkeys(self.primary, True)
        measures = {Measure(metric=name): False for name in self.margins} | primary
        return [
            {"place": asdict(measure), "is_primary": is_primary, "margin": self.margins[measure.metric]}
            for measure, is_primary in measures.items()
        ]


def declare(answers: Answers, attacks: Mapping[str, NamedAttack], *, objective: str = "classify") -> Declared:
    """What was declared, and the defaults of what was not.

    Args:
        answers: of the configuration.
        attacks: of the plan, by their text on the axis.
        objective: name of what the models are trained for.

    Raises:
        AuditError: a metric is unknown, a margin is none that its range holds, or no attack of the plan reports a
            primary measure.
    """
    reported = {metric.name: metric for attack in attacks.values() for metric in attack.built.metrics}
    known = {**CATALOGUE, **reported}
    for name, margin in answers.margins.items():
        if name not in known:
            raise unknown_name("metric", name, known, where="answers.margins")
        _check_margin(known[name], margin)
    for text in answers.training_sd:
        name, _, split = text.partition(":")
        if name not in known:
            raise unknown_name("metric", name, known, where="answers.training_sd")
        if split and split not in SPLITS:
            raise unknown_name("split", split, SPLITS, where="answers.training_sd")
    measures = [Measure.parse(text) for text in answers.primary]
    for i, measure in enumerate(measures):
        _check_reported(measure, attacks, known, where=f"answers.primary[{i}]")
    return Declared(
        primary=tuple(measures or _usual(attacks, PLAIN_UTILITY[objective])),
        margins={name: metric.margin for name, metric in reported.items()} | answers.margins,
    )


def is_answered_by(measure: Measure, attack: NamedAttack) -> bool:
    """Whether an attack may report a measure."""
    of_axis = measure.attack in (None, attack.text) and measure.game in (None, attack.built.game)
    return of_axis and measure.metric in _names(attack)


def _check_margin(metric: Metric, margin: float) -> None:
    if not 0 <= margin < metric.high - metric.low:
        raise AuditError(
            f"answers.margins.{metric.name}: expected 0 or more and below {metric.high - metric.low:g}, the width of "
            f"its range, got {margin:g}"
        )


def _check_reported(
    measure: Measure, attacks: Mapping[str, NamedAttack], known: Mapping[str, Metric], *, where: str
) -> None:
    if measure.metric not in known:
        raise unknown_name("metric", measure.metric, known, where=where)
    if measure.split and measure.split not in SPLITS:
        raise unknown_name("split", measure.split, SPLITS, where=where)
    if measure.attack and measure.attack not in attacks:
        raise unknown_name("attack of the plan", measure.attack, attacks, where=where)
    able = [name for name, attack in attacks.items() if measure.metric in _names(attack)]
    if not able:
        raise AuditError(
            f"{where}: no attack of this plan ({', '.join(attacks)}) reports '{measure.metric}'; add one that does to "
            f"axes.attack (--describe attacks)"
        )
    games = {attacks[name].built.game for name in able}
    if measure.game and measure.game not in games:
        raise unknown_name(
            f"game of '{measure.metric}' in this plan", measure.game, games - {""}, where=where
        )
    if not any(is_answered_by(measure, attack) for attack in attacks.values()):
        raise AuditError(
            f"{where}: attack '{measure.attack}' does not report '{measure.metric}'"
            f"{f' in game {measure.game}' if measure.game else ''}; those that do: {', '.join(able)}"
        )


def _usual(attacks: Mapping[str, NamedAttack], utility: Metric) -> Iterator[Measure]:
    """The primary measures of an audit that declares none."""
    if any(utility.name in _names(attack) for attack in attacks.values()):
        yield from (Measure(metric=utility.name, split=split) for split in ("forget", "retain", "test"))
    with_auc = {name: attack.built for name, attack in attacks.items() if AUC.name in _names(attack)}
    for name, built in with_auc.items():
        if built.game == POPULATION_GAME and PLAIN_STATISTIC in fields.to_plain(built).get("statistics", ()):
            yield Measure(
                metric=AUC.name, split="forget", game=built.game, variant=PLAIN_STATISTIC, attack=name
            )
            break
    for name, built in with_auc.items():
        if built.subject == "shadow_models" and built.game in ("G1", "G2") and not built.on_canaries:
            yield Measure(
                metric=AUC.name, split="forget", game=built.game, variant="*:example_mean", attack=name
            )
            break


def _names(attack: NamedAttack) -> set[str]:
    return {metric.name for metric in attack.built.metrics}
