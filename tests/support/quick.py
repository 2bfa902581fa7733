"""Registered methods and attacks as they are, but with few steps: what is new is tried with the others."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from tasks.attacks.base import Attack, attacks
from tasks.unlearn.base import Method, methods
from tasks.unlearn.program import PROGRAM

METHODS = [n for n in methods.names() if not (methods.get(n).from_scratch or n == PROGRAM)]
"""Names of the methods that unlearn by themselves: `program` does what somebody's program does (`test_program.py`)."""

METHOD_STEPS = {
    "epochs": 2,
    "batch_size": 16,
    "noise_images": 8,
    "noise_steps": 3,
    "noise_copies": 2,
    "retain_per_class": 8,
    "fisher_examples": 12,
    "classifier_epochs": 5,
    "twin_epochs": 1,
    "curriculum_epochs": 1,
    "proxy_epochs": 1,
    "attack_steps": 3,
    "block": 0,
}
ATTACK_STEPS = {"steps": 4, "restarts": 1, "queries": 20}


def quick_method(name: str, **fewer: Any) -> Method:
    """The method with its published rates; `fewer` are fields, where it has them."""
    return _quick(methods.get(name), METHOD_STEPS | fewer)


def quick_attack(name: str, **fewer: Any) -> Attack:
    """The attack with its published radii; `fewer` are fields, where it has them."""
    return _quick(attacks.get(name), ATTACK_STEPS | fewer)


def _quick(cls: Any, steps: Mapping[str, Any]) -> Any:
    known = {field.name for field in dataclasses.fields(cls)}
    return cls(**{name: value for name, value in steps.items() if name in known})
