"""What an attack must declare to be registered, and what planning reads of it."""

import re
from dataclasses import dataclass
from typing import ClassVar

import pytest

from tasks.attacks.base import Attack, Measurement, attacks, register
from tasks.errors import AuditError, UnknownName
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


def test_what_planning_reads():
    told = {
        name: (attack.subject, attack.forgets_canaries, attack.bounds_epsilon, attack.rates)
        for name in attacks.names()
        if (attack := attacks.build(name, {}, where="test")).subject == "shadow_models"
    }
    assert told == {
        "example_epsilon": ("shadow_models", False, True, False),
        "kernel_density": ("shadow_models", False, False, True),
        "lira": ("shadow_models", False, False, False),
        "one_run": ("shadow_models", False, False, False),
        "rmia": ("shadow_models", False, False, False),
        "u_lira": ("shadow_models", False, False, True),
        "u_rmia": ("shadow_models", False, False, True),
    }
    assert attacks.build("one_run", {"game": "G2"}, where="test").forgets_canaries
    assert attacks.build("square", {}, where="test").most_examples == 1000
    assert attacks.build("population", {}, where="test").most_examples == 0
