"""Every registered method and attack under the contracts, and the contracts against offenders."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from tasks.attacks.adversarial import Adversarial
from tasks.attacks.base import Attack, Measurement, attacks
from tasks.attacks.population import PopulationAttack
from tasks.contracts import adversarial, check_attack, population, small_run
from tasks.contracts import attacks as of_attacks
from tasks.contracts import methods as of_methods
from tasks.errors import AuditError
from tasks.metrics.base import Metric, MetricValue
from tasks.metrics.scores import MembershipScores
from tasks.metrics.utility import ACCURACY, UA
from tasks.networks.scopes import ScopeViolation
from tasks.unlearn.base import Method
from tests.support.quick import METHODS, quick_attack, quick_method


@pytest.mark.parametrize("contract", of_methods.METHOD_CONTRACTS, ids=lambda c: c.__name__)
@pytest.mark.parametrize("name", METHODS)
def test_registered_methods_keep_the_contracts(name: str, contract: Any) -> None:
    contract(quick_method(name))


@pytest.mark.parametrize("name", attacks.names())
def test_registered_attacks_keep_the_contracts(name: str) -> None:
    fewer = {"eps": (0.004, 0.03)} if name == "autoattack" else {}  # four attacks at each radius
    check_attack(quick_attack(name, **fewer))


@dataclass(frozen=True, kw_only=True)
class Offender(Method):
    """Breaks one contract."""

    needs_retain: ClassVar[bool] = False
    crime: str
    """Which."""
    epochs: int = 1
    """Ignored: that is one of the crimes."""

    def __call__(self, run: Any) -> None:
        getattr(self, self.crime)(run)

    def move_head(self, run: Any) -> None:
        run.model.get_submodule("head").weight.data.add_(1e-3)

    def move_buffer(self, run: Any) -> None:
        run.model.get_submodule("first")[1].running_mean.add_(1e-3)

    def draw(self, run: Any) -> None:
        random.random()
        for parameter in run.trainable.values():
            parameter.data.add_(torch.randn(()))

    def hook(self, run: Any) -> None:
        run.model.get_submodule("head").register_forward_hook(lambda m, i, o: o)

    def relabel(self, run: Any) -> None:
        run.forget.targets[0] = (run.forget.targets[0] + 1) % run.num_classes

    def peek(self, run: Any) -> None:
        for parameter in run.trainable.values():
            parameter.data.add_(len(run.retain))

    def widen(self, run: Any) -> None:
        head = run.model.get_submodule("head")
        with torch.no_grad():
            head.weight = torch.nn.Parameter(torch.zeros(5, 8))
            head.bias = torch.nn.Parameter(torch.zeros(5))


@pytest.mark.parametrize(
    ("crime", "contract"),
    [
        ("move_head", of_methods.outside_scope_is_bit_identical),
        ("move_buffer", of_methods.outside_scope_is_bit_identical),
        ("move_head", of_methods.zero_epochs_change_nothing),
        ("draw", of_methods.same_seed_gives_same_weights),
        ("draw", of_methods.global_random_state_is_untouched),
        ("hook", of_methods.model_is_handed_back),
        ("relabel", of_methods.inputs_are_only_read),
        ("peek", of_methods.retain_set_is_read_only_if_declared),
    ],
)
def test_contracts_catch_offenders(crime: str, contract: Any) -> None:
    scope_without_head = {"move_head": "norm-only", "move_buffer": "head"}

    def make_run(**options: Any) -> Any:
        if contract is of_methods.outside_scope_is_bit_identical:
            options["scope"] = scope_without_head[crime]
        return small_run(**options)

    with pytest.raises(AssertionError):
        contract(Offender(crime=crime), make_run)


def test_widened_head_is_refused() -> None:
    with pytest.raises((AssertionError, ScopeViolation)):
        of_methods.model_is_handed_back(Offender(crime="widen"))


def test_undocumented_field_is_caught() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Silent(Method):
        needs_retain: ClassVar[bool] = False
        lr: float = 0.1

        def __call__(self, run: Any) -> None:
            return

    with pytest.raises(AssertionError, match="lr"):
        of_methods.method_is_described(Silent())


@dataclass(frozen=True, kw_only=True)
class BadPerturbation(Adversarial):
    """Leaves the ball, the pixel range, or a trace."""

    crime: str
    """Which."""

    def perturb(self, model: Any, images: Any, labels: Any, *, eps: float, generator: Any) -> Any:
        if self.crime == "far":
            return (images + 1.5 * eps).clamp(0, 1)
        if self.crime == "range":
            return images + eps
        if self.crime == "clean":
            return torch.zeros_like(images) if eps == 0 else images
        model.eval()
        return images


@pytest.mark.parametrize(
    ("crime", "contract"),
    [
        ("far", adversarial.perturbation_stays_in_the_ball),
        ("range", adversarial.perturbation_stays_in_the_ball),
        ("clean", adversarial.zero_radius_is_clean),
        ("mode", adversarial.attack_leaves_no_trace),
    ],
)
def test_contracts_catch_bad_attacks(crime: str, contract: Any) -> None:
    with pytest.raises(AssertionError):
        contract(BadPerturbation(crime=crime))


@dataclass(frozen=True, kw_only=True)
class BadScores(PopulationAttack):
    """Loss with the wrong sign, or scores that know the answer."""

    crime: str
    """Which."""

    def score(self, forget: Any, retain: Any, test: Any, *, generator: Any) -> list[MembershipScores]:
        member = np.repeat([True, False], [len(forget), len(test)])
        score = np.concatenate([forget.loss, test.loss])
        if self.crime == "leak":
            score = score + member
        if self.crime == "nan":
            score[0] = np.nan
        ids = np.concatenate([forget.ids, test.ids])
        return [MembershipScores(statistic="s", game=self.game, ids=ids, member=member, score=score)]


@pytest.mark.parametrize(
    ("crime", "contract"),
    [
        ("sign", population.perfect_separation_gives_one),
        ("leak", population.equal_distributions_give_half),
        ("nan", population.scores_are_one_per_example),
    ],
)
def test_contracts_catch_bad_scores(crime: str, contract: Any) -> None:
    with pytest.raises(AssertionError):
        contract(BadScores(crime=crime))


@dataclass(frozen=True, kw_only=True)
class BadMeasurement(Attack):
    """Breaks one contract of all attacks."""

    family: ClassVar[str] = "offences"
    needs: ClassVar[frozenset[Any]] = frozenset(("gradients", "copy"))
    metrics: ClassVar[tuple[Metric, ...]] = (ACCURACY,)
    crime: str
    """Which."""

    def measure(self, view: Any) -> Measurement:
        value, declared = 0.5, ACCURACY
        with view.differentiable() as model:
            if self.crime == "edit":
                model.get_submodule("head").bias.data.add_(1e-3)
            if self.crime == "hook":
                model.register_forward_hook(lambda *_: None)
        if self.crime != "idle":
            view.copy()
        if self.crime == "greedy":
            view.outputs()
        if self.crime == "draw":
            value = random.random()
        if self.crime == "stray":
            declared = UA
        value = {"range": 1.5, "nan": float("nan")}.get(self.crime, value)
        found = MetricValue(declared=declared, split="test", value=value, ci_low=0.0, ci_high=2.0, n=9)
        block = {"example_id": np.arange(3), "score": np.zeros(2 if self.crime == "ragged" else 3)}
        return Measurement(metrics=[found], examples=[block])


@pytest.mark.parametrize(
    ("crime", "contract"),
    [
        ("edit", of_attacks.measuring_leaves_no_trace),
        ("hook", of_attacks.measuring_leaves_no_trace),
        ("draw", of_attacks.measuring_leaves_no_trace),
        ("draw", of_attacks.measuring_repeats_itself),
        ("idle", of_attacks.needs_are_honest),
        ("greedy", of_attacks.needs_are_honest),
        ("stray", of_attacks.values_are_declared),
        ("range", of_attacks.values_are_declared),
        ("nan", of_attacks.values_are_declared),
        ("ragged", of_attacks.values_are_declared),
    ],
)
def test_contracts_catch_bad_measurements(crime: str, contract: Any) -> None:
    of_attacks.check_attack(BadMeasurement(crime="none"))
    with pytest.raises((AssertionError, AuditError)):
        contract(BadMeasurement(crime=crime))


def test_small_original_has_learnt() -> None:
    from tasks.training.scoring import score

    run = small_run()
    assert score(run.original, run.retain).correct.mean() > 0.9


def test_area_under_roc_counts_ties_half() -> None:
    assert population.area_under_roc(np.array([1.0, 0.0]), np.array([True, False])) == 1.0
    assert population.area_under_roc(np.array([1.0, 1.0, 0.0]), np.array([True, False, False])) == 0.75
