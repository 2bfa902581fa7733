"""Without options a method runs as its authors published it; where they said nothing, as its docstring says."""

from dataclasses import replace
from typing import Any

import pytest

from tasks.training.recipe import Recipe
from tasks.unlearn.base import methods
from tasks.unlearn.parts.risk import short_recipe

SALUN: dict[str, Any] = {"epochs": 10, "momentum": 0.9, "weight_decay": 5e-4, "batch_size": 256}
"""What the code of Jia et al. and Fan et al. runs every baseline with."""
BOUNDARY: dict[str, Any] = {"epochs": 10, "lr": 1e-5, "momentum": 0.9, "batch_size": 64}
OPEN_UNLEARNING: dict[str, Any] = {"epochs": 10, "lr": 1e-5, "batch_size": 32, "optimizer": "adamw"}
"""What locuslab/open-unlearning runs methods for language models with."""

PUBLISHED: dict[str, dict[str, Any]] = {
    "finetune": {**SALUN, "lr": 0.01, "optimizer": "sgd"},
    "gradient_ascent": {"epochs": 5, "lr": 1e-4, "optimizer": "sgd"},
    "neggrad_plus": {"alpha": 0.95, "lr": 0.01, "epochs": 5},
    "random_labels": {**SALUN, "exclude_true": False, "exclude_class": False, "order": "sequential"},
    "salun": {**SALUN, "lr": 0.013, "ratio": 0.5},
    "l1_sparse": {**SALUN, "lr": 0.01, "penalty": "decay"},
    "scrub": {
        "optimizer": "sgd",
        "lr": 5e-4,
        "alpha": 0.001,
        "gamma": 0.99,
        "temperature": 4.0,
        "max_epochs": 2,
        "epochs": 3,
        "weight_decay": 5e-4,
    },
    "boundary_shrink": {**BOUNDARY, "bound": 0.1, "search_attack": "fgsm", "pgd_iterations": 5},
    "boundary_expand": BOUNDARY,
    "ssd": {"alpha": 10.0, "dampening": 1.0},
    "bad_teacher": {
        "retain_fraction": 0.3,
        "temperature": 1.0,
        "optimizer": "adam",
        "lr": 1e-4,
        "epochs": 1,
        "batch_size": 256,
    },
    "influence": {"fisher_examples": 1000},
    "unsir": {
        "optimizer": "adam",
        "lr": 0.02,
        "repair_lr": 0.01,
        "epochs": 1,
        "retain_per_class": 1000,
        "noise_images": 256,
        "noise_copies": 20,
        "noise_steps": 40,
        "noise_lr": 0.1,
        "noise_penalty": 0.1,
    },
    "twin": {
        "epochs": 5,
        "lr": 0.01,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "batch_size": 64,
        "twin_epochs": 10,
        "twin_lr": 1e-4,
        "neighbours": 5,
        "attack_eps": 8 / 255,
        "curriculum_epochs": 2,
        "classifier_lr": 0.01,
        "classifier_epochs": 200,
        "classifier_batch": 128,
    },
    "rum": {"groups": 3, "order": "low_to_high"},
    "grad_diff": {**OPEN_UNLEARNING, "forget_weight": 1.0, "retain_weight": 1.0},
    "kl_min": {**OPEN_UNLEARNING, "retain_weight": 1.0},
    "npo": {**OPEN_UNLEARNING, "beta": 0.1, "retain_weight": 1.0},
    "simnpo": {**OPEN_UNLEARNING, "beta": 2.5, "delta": 0.0, "forget_weight": 0.1375, "retain_weight": 1.0},
    "idk": {**OPEN_UNLEARNING, "retain_weight": 1.0},
    "dpo": {**OPEN_UNLEARNING, "beta": 0.1, "retain_weight": 1.0},
    "wga": {**OPEN_UNLEARNING, "epochs": 5, "beta": 1.0, "retain_weight": 1.0},
    "undial": {**OPEN_UNLEARNING, "lr": 1e-4, "beta": 10.0, "retain_weight": 0.0},
    "task_vector": {**OPEN_UNLEARNING, "alpha": 1.0},
    "rmu": {"block": 7, "steering": 20.0, "retain_weight": 100.0, "lr": 5e-5, "batch_size": 4},
}
CHOSEN_HERE: dict[str, dict[str, Any]] = {
    "twin": {"noise": 0.02, "attack_steps": 8, "curriculum_lr": 0.05, "exclude_true": True, "threshold": 0.5}
}
"""No paper or code states them."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_defaults_are_the_published_values(name: str) -> None:
    method = methods.get(name)()
    for field, value in {**PUBLISHED[name], **CHOSEN_HERE.get(name, {})}.items():
        assert getattr(method, field) == value, field


def test_helpers_train_by_the_recipe_of_training_but_at_a_constant_rate() -> None:
    wanted = Recipe(epochs=2, lr=0.1, schedule="constant", warmup_epochs=0.0)
    assert short_recipe(2, 0.1) == wanted
    plain_adam = replace(wanted, optimizer="adam", weight_decay=0.0)
    assert short_recipe(2, 0.1, "adam", weight_decay=0.0) == plain_adam
