"""Whatever is registered gives the bits of the CPU on another device, and leaves no tensor on the wrong one."""

from __future__ import annotations

import copy
import dataclasses
import functools
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from tasks.attacks.base import attacks
from tasks.contracts import check_attack, check_method, small_run
from tasks.contracts.adversarial import small_batch
from tasks.contracts.methods import run_for
from tasks.contracts.small import RECIPE, same_bits, small_data, small_model, small_original, state_of
from tasks.contracts.small_text import (
    small_documents,
    small_language_model,
    small_language_original,
)
from tasks.contracts.small_views import small_view
from tasks.images.augment import Augmentation
from tasks.objectives.base import Objective
from tasks.runtime import devices
from tasks.runtime.devices import Engine
from tasks.runtime.seeding import torch_generator
from tasks.shadows.canaries import mislabelled_canaries
from tasks.shadows.layout import ShadowLayout, TargetPool
from tasks.shadows.runs import ShadowBench, Unlearning, shadow_runs
from tasks.training import documents
from tasks.training.scoring import score
from tasks.training.strategy_text import Strategy
from tasks.training.train import train
from tasks.unlearn.finetune import Finetune
from tasks.unlearn.parts.risk import PROXIES, risk_scores, short_recipe
from tasks.unlearn.run import unlearn
from tests.support.quick import METHODS, quick_attack, quick_method
from tests.support.simulated_device import stream
from tests.support.simulated_device.record import recording

BOTH = ("cpu", "cuda")


@pytest.fixture(autouse=True)
def _attention_is_the_same():
    """Each device has a kernel of its own for it, with other last bits."""
    with sdpa_kernel(SDPBackend.MATH):
        yield


@pytest.fixture(autouse=True)
def _float64_is_not_to_be_had(monkeypatch):
    """As on Apple's GPU."""
    monkeypatch.setattr(devices, "WITHOUT_FLOAT64", {"mps", "simulated"})
    with recording() as record:
        yield
    assert not record.doubles


FEW = {"steps": 2, "queries": 5, "examples": 4, "eps": (0.05,)}
"""Of attacks: what they do is not changed by more."""
ATTACKS = [name for name in attacks.names() if attacks.get(name).subject == "model"]


def equal_states(states):
    first, second = states
    return first.keys() == second.keys() and all(same_bits(t, second[name]) for name, t in first.items())


def equal_arrays(first, second):
    pairs = zip(map(np.asarray, first), map(np.asarray, second), strict=True)
    return all(a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in pairs)


LOOKS = {
    "amun": "its attack stops where an example has flipped: once for each of its steps",
    "dpo": "prompts, which refusals follow, once an epoch, and a third pass",
    "eu_k": "a training looks at its loss and its weights apart",
    "idk": "prompts, which refusals follow, once an epoch",
    "rsu": "one unlearning for each group",
    "rum": "one unlearning for each group",
    "scrub_r": "it scores checkpoints",
    "twin": "features class by class",
    "unsir": "noise class by class",
}
"""Methods that make the host wait for more than the losses of an epoch, and why."""
PASS_UPLOADS = 3
"""Of a shuffled pass: its order, shifts and mirror images."""


def steps_in(batch_size, inner):
    """A method's fields for steps on so many examples, and `inner` of what it does besides."""
    small = {
        "forget_batch_size": batch_size // 3,
        "noise_steps": inner,
        "attack_steps": inner,
        "doublings": 2,
    }
    return {"batch_size": batch_size, "base_params": {"epochs": 2, "batch_size": batch_size}, **small}


FEW_STEPS, MANY_STEPS = steps_in(60, 3), steps_in(21, 6)


def unlearned(method, where, monkeypatch):
    """The run, and what the method told, the device was asked for, and how often a pass was drawn."""
    make_run = run_for(method)
    run = make_run(seed=3, device=where)
    run.augmentation = Augmentation(padding=1, flip=True) if make_run is small_run else None
    run.recipe = dataclasses.replace(RECIPE, epochs=1, batch_size=getattr(method, "batch_size", 16))
    draws, draw = [], Augmentation.draw
    with monkeypatch.context() as patch, recording() as record:
        patch.setattr(Augmentation, "draw", lambda *arguments: draws.append(1) or draw(*arguments))
        told = unlearn(method, run), run.notes
    return run, told, record, len(draws)


@pytest.mark.parametrize("name", METHODS)
def test_methods(name, device, monkeypatch):
    monkeypatch.setattr(stream, "APART", 1)  # what a method draws, it draws on the CPU
    method = quick_method(name, **MANY_STEPS)
    (cpu, told, _, _), (run, told_there, many, passes) = (unlearned(method, w, monkeypatch) for w in BOTH)
    states = state_of(cpu.model), state_of(run.model)
    assert {t.device for t in states[1].values()} == {device}
    assert equal_states(states)
    assert told == told_there
    _, _, few, fewer_passes = unlearned(quick_method(name, **FEW_STEPS), "cuda", monkeypatch)
    grown = many.waits.total() - few.waits.total()
    assert grown <= (3 * method.attack_steps if name == "amun" else 0), many.waits - few.waits
    grown = many.uploads.total() - few.uploads.total()
    assert grown <= PASS_UPLOADS * (passes - fewer_passes), many.uploads - few.uploads
    if name not in LOOKS:
        epochs = getattr(method, "epochs", 0)
        widths = (
            0 if run_for(method) is small_run else 2 * epochs
        )  # of documents: once a pass, on either side
        assert many.waits.total() <= epochs + widths + 3, many.waits


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_on_models(name, monkeypatch):
    monkeypatch.setattr(documents, "MOST_ON_CPU", documents.MOST_LOGITS)  # the same batches on both
    rows, columns = [], []
    for where in BOTH:
        attack = quick_attack(name, **FEW)
        found = attack.measure(small_view(attack, where))
        rows.append([repr(value.row()) for value in found.metrics])
        columns.append([column for block in found.examples for column in block.values()])
    assert rows[0] == rows[1]
    assert equal_arrays(*columns)


@pytest.mark.parametrize("precision", ["no", "bf16"])
@pytest.mark.parametrize(
    "changes",
    [{"augmentation": "crop_flip", "grad_clip": 1.0}, {"optimizer": "adamw", "label_smoothing": 0.1}],
    ids=str,
)
def test_training(precision, changes, device):
    recipe = dataclasses.replace(RECIPE, epochs=1, batch_size=13, **changes)
    states, reports = [], []
    for where in BOTH:
        model, subset = small_model(("t",), where), small_data(where).subset(np.arange(120))
        engine = Engine(device=where, precision=precision)
        reports.append(train(model, subset, recipe, seed_path=("t",), engine=engine))
        states.append(state_of(model))
    assert {t.device for t in states[1].values()} == {device}
    assert equal_states(states)
    assert reports[0] == reports[1]


LAYOUT = ShadowLayout(
    train_ids=np.arange(100),
    labels=np.arange(100) % 4,
    num_shadows=4,
    pools=(TargetPool(name="random", ids=np.arange(24), forget_size=5, draws=1),),
    canaries=mislabelled_canaries(
        np.arange(100), np.arange(100) % 4, count=6, num_classes=4, seed=0, exclude=np.arange(24)
    ),
)


@pytest.mark.parametrize("strategy", ["loop", "grouped:2", "grouped:2:channels_last"])
def test_shadow_models(strategy):
    rows = []
    for where in BOTH:
        bench = ShadowBench(
            layout=LAYOUT,
            data=small_data(where),
            recipe=dataclasses.replace(RECIPE, epochs=1, augmentation="shift", grad_clip=1.0),
            fresh_model=functools.partial(small_model, device=where),
            example_ids=np.arange(160),
            validation_ids=np.arange(120, 160),
            engine=Engine(device=where),
            strategy=Strategy.parse(strategy),
        )
        trained = bench.train([0, 1])
        what = Unlearning(label="finetune", method=Finetune(epochs=1), scope="all", pool="random")
        shown = [run for _, run in trained]
        shown += bench.retrain([(0, "random", 0), (1, "random", 0)])
        shown += shadow_runs(bench, 0, trained[0][0], [what], trajectories=True)
        assert {run.strategy for run in shown[:-1]} == {strategy}
        rows.append(
            [
                part
                for run in shown
                for part in (run.block.phi, run.block.loss, run.block.correct, run.block.state)
            ]
        )
        rows[-1].append(shown[-1].trajectory)
    assert equal_arrays(*rows)


def test_every_objective_is_looked_at():
    assert {kind.name for kind in Objective.__subclasses__()} == JUDGED.keys()


JUDGED = {
    "classify": (small_data, small_original, small_model),
    "language": (small_documents, small_language_original, small_language_model),
}
"""By objective: examples, a trained model and how another is made."""


@pytest.mark.parametrize("name", JUDGED)
def test_objectives(name, device):
    found = []
    for where in BOTH:
        examples, trained, another = JUDGED[name]
        data = examples(where)
        batch = data.subset(np.arange(30)).batch(torch.arange(30, device=data.device))
        objective, model = data.objective, trained(where)
        outputs, teacher = model(batch.inputs), another(("teacher",), where)(batch.inputs)
        generator = torch_generator("objective")
        on_device = [
            objective.loss(outputs, batch, smoothing=0.1),
            objective.losses(outputs, batch, smoothing=0.1),
            objective.divergence(outputs, teacher, batch, 2.0),
            objective.relabel(batch.targets, generator),
            objective.relabel(batch.targets, generator, exclude_true=False, excluded=batch.targets[:2]),
        ]
        assert {tensor.device for tensor in on_device} == {batch.inputs.device}
        on_host = [
            objective.sample(outputs.detach(), batch, generator),
            *objective.statistics(outputs, batch).values(),
        ]
        assert {tensor.device.type for tensor in on_host} == {"cpu"}
        found.append([tensor.detach().cpu().numpy() for tensor in (*on_device, *on_host)])
    assert equal_arrays(*found)


def test_scoring():
    found = [
        score(small_original(where), small_data(where).subset(np.arange(7, 160)), batch_size=33)
        for where in BOTH
    ]
    assert equal_arrays(*([o.ids, o.labels, o.logits, *o.statistics.values()] for o in found))


@pytest.mark.parametrize("ranking", PROXIES)
def test_scores_that_rank_forget_sets(ranking):
    found = []
    for run in (small_run(device=where) for where in BOTH):
        run.fresh_model = lambda _path, model=run.model: copy.deepcopy(model)  # on its device already
        with recording() as record:
            found.append([risk_scores(run, ranking, short_recipe(1, 0.1))])
    assert equal_arrays(*found)
    assert record.waits.total() <= 4, record.waits  # both models' answers, loss and weights of a training
    assert record.uploads.total() <= 1, record.uploads  # the order of a pass, or what is drawn for a batch


@dataclass(frozen=True, kw_only=True)
class PlugIn(Finetune):
    """As somebody else may write it: leaves out the losses of some examples."""

    version: ClassVar[int] = 1

    def __call__(self, run):
        optimizer = self.make_optimizer(run)
        for epoch in range(self.epochs):
            for batch in run.batches(run.retain, self.batch_size, epoch):
                kept = torch.rand(len(batch.ids), generator=run.generator("kept", epoch)).to(run.device) < 0.5
                run.step(optimizer, (run.losses(batch) * kept).mean())
            run.end_epoch()


def test_the_contract_of_a_method_holds_on_the_device():
    check_method(PlugIn(epochs=1, batch_size=32), functools.partial(small_run, device="cuda"))


@dataclass(frozen=True, kw_only=True)
class LeftBehind(PlugIn):
    """Mixes in a tensor of the CPU."""

    def __call__(self, run):
        batch = next(run.batches(run.retain, self.batch_size))
        (run.losses(batch) * torch.ones(len(batch.ids))).mean().backward()


def test_a_method_that_leaves_a_tensor_on_the_cpu_breaks_its_contract_on_the_device_alone():
    unlearn(LeftBehind(), small_run())
    with pytest.raises(RuntimeError, match=r"at least two devices.*test_parity\.py"):
        unlearn(LeftBehind(), small_run(device="cuda"))


def test_the_contract_of_an_attack_holds_on_the_device():
    check_attack(quick_attack("pgd", **FEW), device="cuda")
    assert {tensor.device.type for tensor in small_batch("cuda")[1:]} == {"simulated"}


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_every_method_keeps_the_contracts_on_the_device(name):
    check_method(quick_method(name), functools.partial(run_for(quick_method(name)), device="cuda"))


@pytest.mark.slow
@pytest.mark.parametrize("name", attacks.names())
def test_every_attack_keeps_the_contracts_on_the_device(name):
    check_attack(quick_attack(name), device="cuda")
