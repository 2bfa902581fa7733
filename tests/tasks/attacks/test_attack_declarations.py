"""What an attack must declare to be registered, and what planning reads of it."""

import re
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest

from tasks.attacks.base import Attack, Measurement, attacks, check_measurement, register
from tasks.errors import AuditError, UnknownName
from tasks.metrics.base import MetricValue
from tasks.metrics.utility import ACCURACY


class Whole(Attack):
    family: ClassVar[str] = "mine"
    needs: ClassVar[frozenset] = frozenset({"copy"})
    metrics: ClassVar[tuple] = (ACCURACY,)

    def measure(self, view):
        return Measurement(metrics=[])


class Idle(Attack):
    family: ClassVar[str] = "mine"
    needs: ClassVar[frozenset] = frozenset({"copy"})
    metrics: ClassVar[tuple] = (ACCURACY,)


def frozen(base, **attributes):
    return dataclass(frozen=True, kw_only=True)(type("Given", (base,), attributes))


def test_an_attack_without_measure_is_refused():
    with pytest.raises(
        AuditError, match=r"attack 'idle': Given of .* does not define measure; see tasks.attacks.base"
    ):
        register("idle")(frozen(Idle))


@pytest.mark.parametrize("attribute", ["family", "needs", "metrics"])
def test_an_attack_that_declares_too_little_is_refused(attribute):
    with pytest.raises(
        AuditError, match=f"attack 'silent': Given declares no {attribute}; see tasks.attacks.base"
    ):
        register("silent")(frozen(Whole, **{attribute: type(getattr(Whole, attribute))()}))
    assert "silent" not in attacks.names()


def test_an_unknown_need_names_the_nearest():
    with pytest.raises(
        UnknownName, match=re.escape("attack 'm': no need 'gradient'. Did you mean 'gradients'?")
    ):
        register("m")(frozen(Whole, needs=frozenset({"gradient"})))


def test_metrics_are_declarations_not_names():
    with pytest.raises(
        AuditError, match=r"attack 'm': metrics: expected tasks.metrics.base.Metric, got 'accuracy'"
    ):
        register("m")(frozen(Whole, metrics=("accuracy",)))


SECOND = replace(ACCURACY, name="second_accuracy")


@pytest.mark.parametrize(
    ("attribute", "value", "told"),
    [
        ("family", 3, "family: expected a str, got 3"),
        ("needs", ["copy"], "needs: expected a frozenset, got ['copy']"),
        ("needs", "copy", "needs: expected a frozenset, got 'copy'"),
        ("metrics", ACCURACY, "metrics: expected a tuple, got Metric("),
        ("metrics", (SECOND, SECOND), "metrics: 'second_accuracy' is already declared"),
        ("metrics", (replace(ACCURACY, high=5.0),), "metrics: 'accuracy' is already declared, and otherwise"),
        ("games", "G1", "games: expected a tuple, got 'G1'"),
        ("subject", "models", "no subject 'models'. Did you mean 'model'?"),
    ],
)
def test_what_is_declared_wrongly_is_refused_in_one_line(attribute, value, told):
    with pytest.raises(AuditError, match=f"attack 'm': {re.escape(told)}") as caught:
        register("m")(frozen(Whole, **{attribute: value}))
    assert "\n" not in str(caught.value)
    assert "m" not in attacks.names()


@pytest.mark.parametrize(("field", "value"), [("kind", "speed"), ("higher_is", "up"), ("error", "guess")])
def test_a_metric_is_read_in_a_known_way(field, value):
    with pytest.raises(UnknownName, match=f"metric 'accuracy': no {field} '{value}'"):
        replace(ACCURACY, **{field: value})


def accuracy(**changes):
    whole = {"declared": ACCURACY, "split": "forget", "value": 0.5, "ci_low": 0.4, "ci_high": 0.6, "n": 9}
    return MetricValue(**whole | changes)


@pytest.mark.parametrize(
    ("metrics", "told"),
    [
        (None, "Measurement.metrics: expected a list, got None"),
        ((accuracy() for _ in range(1)), "Measurement.metrics: expected a list, got <generator"),
        ([("accuracy", 0.5)], "Measurement.metrics: expected MetricValue, got ('accuracy', 0.5)"),
        ([accuracy(value=float("nan"))], "reports nan as 'accuracy' (forget), whose range is [0, 1]"),
        ([accuracy(value=7.0)], "reports 7.0 as 'accuracy' (forget), whose range is [0, 1]"),
        ([accuracy(declared=SECOND)], "reports 'second_accuracy', which Given.metrics does not declare"),
        ([accuracy(), accuracy(value=0.6)], "reports 'accuracy' (forget) twice"),
    ],
)
def test_a_measurement_that_cannot_be_right_is_refused(metrics, told):
    attack = frozen(Whole)()
    check_measurement(attack, Measurement(metrics=[accuracy(), accuracy(split="test")]), name="m")
    with pytest.raises(AuditError, match=f"attack 'm':? {re.escape(told)}"):
        check_measurement(attack, Measurement(metrics=metrics), name="m")


def test_what_planning_reads():
    told = {
        name: (attack.subject, attack.forgets_canaries, attack.bounds_epsilon, attack.rates)
        for name in attacks.names()
        if (attack := attacks.build(name, {}, where="test")).subject == "shadow_models"
    }
    assert told == {
        "before_after": ("shadow_models", False, False, False),
        "example_epsilon": ("shadow_models", False, True, False),
        "kernel_density": ("shadow_models", False, False, True),
        "klom": ("shadow_models", False, False, False),
        "lira": ("shadow_models", False, False, False),
        "one_run": ("shadow_models", False, False, False),
        "rank_test": ("shadow_models", False, False, False),
        "rmia": ("shadow_models", False, False, False),
        "u_lira": ("shadow_models", False, False, True),
        "u_rmia": ("shadow_models", False, False, True),
    }
    assert attacks.build("one_run", {"game": "G2"}, where="test").forgets_canaries
    assert attacks.build("square", {}, where="test").most_examples == 1000
    assert attacks.build("population", {}, where="test").most_examples == 0
