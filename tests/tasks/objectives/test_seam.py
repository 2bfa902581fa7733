"""Whatever judges an example is the data's objective: nothing else in training and unlearning has a loss."""

import dataclasses
import re
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from tasks.contracts.small import small_data, small_original, small_run
from tasks.errors import AuditError
from tasks.objectives.classify import Classify
from tasks.runtime.devices import Engine
from tasks.training.gradients import mean_squared_gradients, summed_gradient
from tasks.training.recipe import Recipe
from tasks.training.resident import ResidentData
from tasks.training.scoring import score
from tasks.training.train import train
from tasks.unlearn.base import methods
from tasks.unlearn.run import UnlearningRun, unlearn

TASKS = Path(__file__).parents[3] / "tasks"
LOSS = re.compile(r"\b(cross_entropy|nll_loss|kl_div|CrossEntropyLoss|KLDivLoss|NLLLoss)\b")
SEAMED = sorted(p for room in ("unlearn", "training", "shadows") for p in (TASKS / room).rglob("*.py"))


@dataclasses.dataclass(frozen=True)
class Indifferent(Classify):
    """Every answer is as good as every other: no gradient is anything but zero."""

    name: ClassVar[str] = "indifferent"

    def losses(self, outputs, batch, *, smoothing=0.0):
        return 0.0 * outputs.sum(dim=1)

    def loss(self, outputs, batch, *, smoothing=0.0):
        return self.losses(outputs, batch).mean()

    def divergence(self, student, teacher, batch, temperature=1.0):
        return self.losses(student, batch)

    def statistics(self, outputs, batch):
        return {name: torch.zeros(len(outputs)) for name in ("loss", "phi", "correct")}


class IndifferentData(ResidentData):
    @property
    def objective(self):
        return Indifferent(self.num_classes)


def indifferent(subset):
    own = {field.name: getattr(subset.data, field.name) for field in dataclasses.fields(ResidentData)}
    return dataclasses.replace(subset, data=IndifferentData(**own))


def indifferent_run() -> UnlearningRun:
    run = small_run()
    for name in ("forget", "retain", "validation"):
        setattr(run, name, indifferent(getattr(run, name)))
    return run


@pytest.mark.parametrize("path", SEAMED, ids=lambda p: p.relative_to(TASKS).as_posix())
def test_no_other_module_has_a_loss(path):
    assert not LOSS.findall(path.read_text())


METHODS = ("bad_teacher", "finetune", "gradient_ascent", "neggrad_plus", "random_labels", "salun", "scrub")


@pytest.mark.parametrize("name", METHODS)
def test_a_method_follows_the_objective_of_the_data(name):
    values = {"epochs": 1, "optimizer": "sgd", "lr": 0.1, "weight_decay": 0.0, "batch_size": 8}
    method = methods.build(name, values, where=name)
    still, moved = indifferent_run(), small_run()
    for run in (still, moved):
        unlearn(method, run)
    weights = dict(still.original.named_parameters())
    assert all(torch.equal(p, weights[n]) for n, p in still.model.named_parameters())
    assert not all(torch.equal(p, weights[n]) for n, p in moved.model.named_parameters())


def test_training_gradients_and_scoring_follow_the_objective_of_the_data():
    model, subset = small_original(), indifferent(small_data().subset(np.arange(40)))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    recipe = Recipe(epochs=1, batch_size=8, weight_decay=0.0)
    assert train(model, subset, recipe, seed_path=("still",), engine=Engine(device="cpu")).loss == 0
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    for gradients in (summed_gradient(model, subset), mean_squared_gradients(model, subset)):
        assert not any(g.any() for g in gradients.values())
    assert not score(model, subset).phi.any()


@pytest.mark.parametrize("name", methods.names())
def test_a_method_of_another_objective_is_refused_before_it_changes_anything(name):
    method = methods.get(name)
    if not method.objectives:
        return
    run = indifferent_run()
    before = {key: tensor.clone() for key, tensor in run.model.state_dict().items()}
    with pytest.raises(AuditError, match=r"expected a model trained to \w+, got indifferent"):
        unlearn(method(), run)
    assert all(torch.equal(tensor, before[key]) for key, tensor in run.model.state_dict().items())
    unlearn(methods.get("no_op")(), run)
