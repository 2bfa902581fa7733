"""What every attack must hold to, of whatever family; the known families have contracts of their own besides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from tasks.attacks.adversarial import Adversarial
from tasks.attacks.base import NEEDS, Attack, Measurement, check_measurement
from tasks.attacks.population import PopulationAttack
from tasks.attacks.views import ModelView
from tasks.contracts.adversarial import ADVERSARIAL_CONTRACTS
from tasks.contracts.described import fields_are_described
from tasks.contracts.population import POPULATION_CONTRACTS
from tasks.contracts.small import global_random_state
from tasks.contracts.small_views import SETTINGS, small_source, small_view
from tasks.metrics.base import Metric
from tasks.runtime.devices import DeviceName
from tasks.runtime.fingerprint import fingerprint

SLACK = 1e-9
"""By which a value may leave the range of its metric: rounding of a mean."""


def attack_is_described(attack: Attack, device: DeviceName = "cpu") -> None:
    """A family, known needs, metrics of distinct names, a game that it can play, and a doc string of every field."""
    cls = type(attack)
    fields_are_described(attack)
    assert attack.family, f"{cls.__name__}: expected a family"
    assert frozenset() < attack.needs <= set(NEEDS), f"{cls.__name__}: needs: got {set(attack.needs)}"
    assert all(isinstance(metric, Metric) for metric in attack.metrics), (
        f"{cls.__name__}: metrics: not all are"
    )
    metrics = [metric.name for metric in attack.metrics]
    assert 0 < len(metrics) == len(set(metrics)), f"{cls.__name__}: metrics: got {metrics}"
    assert not attack.games or attack.game in attack.games, f"{cls.__name__}: game: got {attack.game}"


def needs_are_honest(attack: Attack, device: DeviceName = "cpu") -> None:
    """Nothing is asked of the view that is not declared, and nothing declared that is not asked for."""
    view = small_view(attack, device)
    attack.measure(view)
    unused = sorted(attack.needs - view.asked)
    assert not unused, f"{type(attack).__name__}: declares that it needs {unused}, and never asks for it"


def values_are_declared(attack: Attack, device: DeviceName = "cpu") -> None:
    """Every value is of a declared metric, finite, within its range and its own interval; columns are of one length."""
    measurement = attack.measure(small_view(attack, device))
    check_measurement(attack, measurement, name=type(attack).__name__)
    assert measurement.metrics, "it reports nothing"
    for value in measurement.metrics:
        what = f"metric '{value.metric}' ({value.split}, {value.variant}): {value.value}"
        declared, low, high = value.declared, value.ci_low, value.ci_high
        assert np.isfinite(value.value), f"{what} is not finite"
        assert declared.low - SLACK <= value.value <= declared.high + SLACK, f"{what} is out of its range"
        assert low is None or low <= value.value + SLACK, f"{what} lies below its interval, from {low}"
        assert high is None or value.value <= high + SLACK, f"{what} lies above its interval, to {high}"
        assert value.n >= 0, f"{what} rests on {value.n} examples"
    for block in measurement.examples:
        lengths = {name: len(column) for name, column in block.items()}
        assert len(set(lengths.values())) == 1, f"examples: columns of different lengths: {lengths}"


def measuring_repeats_itself(attack: Attack, device: DeviceName = "cpu") -> None:
    """Two measurements of one seed agree to the last bit."""
    first, second = (_bits(attack.measure(small_view(attack, device))) for _ in range(2))
    assert first == second, f"{type(attack).__name__}: two measurements of one seed differ"


def measuring_leaves_no_trace(attack: Attack, device: DeviceName = "cpu") -> None:
    """The model is to the last bit as it was, and so are the images and the global random state."""
    if attack.subject != "model":
        return
    source = small_source(attack, device)
    model, data = source.model, source.subset("test").data
    held, generators = [tensor.clone() for tensor in data.held], global_random_state()
    next(model.children()).train()
    model.get_submodule("head").requires_grad_(False)
    before, name = fingerprint(model), type(attack).__name__
    attack.measure(ModelView(attack, source, name=name, settings=SETTINGS))
    assert fingerprint(model) == before, (
        f"{name}: changed weights, modes, gradient switches or hooks of the model"
    )
    assert all(p.grad is None for p in model.parameters()), f"{name}: left gradients on parameters"
    for tensor, was in zip(data.held, held, strict=True):
        assert torch.equal(tensor, was), f"{name}: changed the {data.called}"
    assert global_random_state() == generators, f"{name}: touched the global random state"


def _bits(measurement: Measurement) -> tuple[list[str], list[bytes]]:
    columns = [
        column.tobytes() for block in measurement.examples for column in map(np.asarray, block.values())
    ]
    return [repr(value.row()) for value in measurement.metrics], columns


ATTACK_CONTRACTS = (
    attack_is_described,
    needs_are_honest,
    values_are_declared,
    measuring_repeats_itself,
    measuring_leaves_no_trace,
)


def check_attack(attack: Attack, *, device: DeviceName = "cpu") -> None:
    """Run every contract of attacks, and those of its family.

    Args:
        attack: with parameters that take seconds on a hundred 8 x 8 images, or two dozen shadow models.
        device: where the model that it is shown is.

    Raises:
        AssertionError: a contract is broken.
        AuditError: the attack asks for what it did not declare, or does not work on small data.
    """
    contracts: list[Callable[[Any, DeviceName], None]] = [*ATTACK_CONTRACTS]
    if isinstance(attack, Adversarial):
        contracts += ADVERSARIAL_CONTRACTS
    for contract in contracts:
        contract(attack, device)
    if isinstance(attack, PopulationAttack):  # it sees answers alone, wherever the model is
        for of_answers in POPULATION_CONTRACTS:
            of_answers(attack)
