"""How often the host may wait for the device, and send it something, while models are trained and unlearned."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from tasks.contracts import small_run
from tasks.contracts.small import RECIPE, small_data, small_model, small_original
from tasks.contracts.small_views import small_view
from tasks.runtime import transfer
from tasks.runtime.devices import Engine
from tasks.runtime.fingerprint import fingerprint
from tasks.runtime.weights import dump
from tasks.shadows.runs import SharedStages
from tasks.training.lockstep import train_shadows
from tasks.training.scoring import score
from tasks.training.stacked import check_stackable
from tasks.training.strategy_text import Strategy
from tasks.training.train import train
from tasks.unlearn.finetune import Finetune
from tasks.unlearn.run import Meter, unlearn
from tests.support.quick import quick_attack
from tests.support.simulated_device.record import Record, recording

EPOCHS = 2
PASS_UPLOADS = 3
"""Of a shuffled pass: its order, shifts and mirror images."""


def total(counts: Counter[str]) -> int:
    return sum(counts.values())


def counted_training(batch_size: int, where: str = "cuda") -> Record:
    model, subset = small_model(("budget",), where), small_data(where).subset(np.arange(120))
    recipe = dataclasses.replace(
        RECIPE, epochs=EPOCHS, batch_size=batch_size, augmentation="crop_flip", grad_clip=1.0
    )
    with recording() as record:
        train(model, subset, recipe, seed_path=("budget",), engine=Engine(device=where))
    return record


def test_a_training_waits_and_uploads_by_epoch_and_not_by_step():
    few, many = counted_training(60), counted_training(20)
    assert total(few.waits) == total(many.waits) == 2 * EPOCHS  # the loss, and whether all weights are finite
    assert total(few.uploads) == total(many.uploads) == PASS_UPLOADS * EPOCHS
    assert not many.doubles


def test_a_step_of_training_takes_no_more_operators_than_it_did():
    assert counted_training(20).operators.total() / (EPOCHS * 6) < 125


@pytest.mark.parametrize("strategy", ["loop", "grouped:2"])
def test_shadow_models_wait_and_upload_by_epoch_and_not_by_step(strategy):
    counts = []
    for batch_size in (50, 20):
        models = [small_model(("shadow", number), "cuda") for number in range(2)]
        subsets = [small_data("cuda").subset(np.arange(number, 100 + number)) for number in range(2)]
        recipe = dataclasses.replace(
            RECIPE, epochs=EPOCHS, batch_size=batch_size, augmentation="crop_flip", grad_clip=1.0
        )
        check_stackable(models[0], (1, 8, 8))  # once for an architecture
        how = {"engine": Engine(device="cuda"), "strategy": Strategy.parse(strategy)}
        paths = [("shadow", number) for number in range(2)]
        with recording() as record:
            reports = train_shadows(models, subsets, recipe, seed_paths=paths, **how)
        assert {report.strategy for report in reports} == {strategy}
        counts.append((total(record.waits), total(record.uploads)))
    assert counts[0] == counts[1]
    waits, uploads = counts[0]
    stacks = 2 if strategy == "loop" else 1
    assert uploads == PASS_UPLOADS * EPOCHS * stacks
    assert waits <= (2 * EPOCHS * stacks if strategy == "loop" else EPOCHS + 3)  # two counters of batch norms


def test_weights_come_in_one_copy_for_each_type():
    model = small_original("cuda")
    with recording() as record:
        data = dump(model)
    assert total(record.waits) == 2  # float32, and the int64 of the counters
    assert data == dump(small_original())
    with recording() as record:
        told = fingerprint(model)
    assert total(record.waits) == 2
    assert told == fingerprint(small_original())


def test_large_weights_come_in_several_copies(monkeypatch):
    monkeypatch.setattr(transfer, "MOST_BYTES", 300)
    with recording() as record:
        data = dump(small_original("cuda"))
    assert total(record.waits) > 2
    assert data == dump(small_original())


def test_a_score_waits_for_its_answers_once_whatever_the_batch():
    for batch_size in (160, 16):
        model, subset = small_original("cuda"), small_data("cuda").subset(np.arange(160))
        with recording() as record:
            score(model, subset, batch_size=batch_size)
        assert total(record.waits) == 3  # logits, ids, targets
        assert not record.uploads


def test_what_runs_of_a_shadow_model_share_stays_on_the_device(device):
    stages, made = SharedStages(), {"x": torch.ones(3, device=device)}
    with recording() as record:
        found = [stages.share("fisher_train", lambda: (made, Meter()))["x"] for _ in range(2)]
    assert {tensor.device for tensor in found} == {device}
    assert not record.waits
    assert not record.uploads


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("cw", {}),  # looks at its loss in each step
        ("fgsm", {}),
        ("pgd", {"steps": 4}),
        ("square", {}),  # looks at what it has found for each query
    ],
)
def test_attacks_wait_and_upload_by_batch_and_not_by_example_or_step(name, more):
    counts = []
    small_data("cuda")  # which is kept
    for fields in ({"examples": 4}, {"examples": 8} | more):
        attack = quick_attack(name, **{"eps": (0.05,), "steps": 2, "queries": 5} | fields)
        view = small_view(attack, "cuda")
        with recording() as record:
            attack.measure(view)
        counts.append((record.waits, record.uploads))
    assert counts[0] == counts[1]


@dataclass(frozen=True, kw_only=True)
class Curious(Finetune):
    """Looks at every loss."""

    def __call__(self, run):
        optimizer = self.make_optimizer(run)
        for batch in run.batches(run.retain, self.batch_size):
            loss = run.loss(batch)
            run.note("loss", loss.item())
            run.step(optimizer, loss)


def test_a_look_at_every_loss_is_seen_with_its_line():
    run = small_run(device="cuda")
    with recording() as record:
        steps = unlearn(Curious(batch_size=16), run).steps
    place, count = record.waits.most_common(1)[0]
    assert count == steps
    assert "tests/device/test_budgets.py" in place


def test_numbers_of_training_and_unlearning_are_float32():
    run = small_run(device="cuda")
    with recording() as record:
        unlearn(Finetune(epochs=1), run)
    assert not record.doubles
