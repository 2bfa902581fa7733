import copy
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tasks.errors import AuditError, Diverged
from tasks.images.augment import Augmentation
from tasks.networks.models import build
from tasks.networks.scopes import ScopeViolation, bind
from tasks.runtime.devices import Engine
from tasks.training.resident import ResidentData
from tasks.unlearn.base import Method
from tasks.unlearn.run import Meter, UnlearningRun, unlearn

DATA = ResidentData(
    images=torch.rand(30, 1, 8, 8, generator=torch.Generator().manual_seed(0)),
    labels=torch.arange(30) % 3,
    num_classes=3,
)


def make(seed_path=("run",), **options):
    return build(
        "resnetv2_18",
        {"layers": [1, 1, 1], "channels": [8, 8, 8], "stem_chs": 8, **options},
        image_shape=(1, 8, 8),
        num_classes=3,
        mean=0.5,
        std=0.25,
        seed_path=seed_path,
    )


def start(scope="all", *, forget=10, model=None, **more):
    model = model or make()
    return UnlearningRun(
        model=model,
        scope=bind(scope, model),
        forget=DATA.subset(range(forget)),
        retain=DATA.subset(range(forget, 24)),
        validation=DATA.subset(range(24, 30)),
        seed=0,
        fresh_model=make,
        **more,
    )


@dataclass(frozen=True, kw_only=True)
class Act(Method):
    """A method that does what it is told."""

    act: Callable[[UnlearningRun], None]

    def __call__(self, run):
        self.act(run)


def two_epochs(run):
    optimizer = run.optimizer(lr=0.05)
    for epoch in range(2):
        for batch in run.batches(run.retain, 8, "retain", epoch):
            run.step(optimizer, run.loss(batch))
        run.end_epoch()


def state(model):
    return {k: v.clone() for k, v in model.state_dict().items()}


def equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(v, second[k]) for k, v in first.items())


def test_steps_move_the_scope_and_the_meter_counts_them():
    run = start("last-1")
    before = state(run.model)
    meter = unlearn(Act(act=two_epochs), run)
    assert meter == Meter(samples=28, forward_samples=0, steps=4)
    assert not equal(before, run.model.state_dict())
    assert equal(before, run.original.state_dict())
    assert not run.model.training


def test_doing_nothing_changes_nothing():
    run = start()
    before = state(run.model)
    assert unlearn(Act(act=lambda _run: None), run) == Meter()
    assert equal(before, run.model.state_dict())


def test_a_method_that_leaves_its_scope_is_caught():
    def wander(run):
        run.model.body.stem.conv.weight.data.add_(1)

    with pytest.raises(ScopeViolation, match=r"scope 'head': changed outside .*stem\.conv\.weight"):
        unlearn(Act(act=wander), start("head"))


def test_diverging_is_named():
    def explode(run):
        run.step(run.optimizer(lr=0.1), run.loss(next(run.cycle(run.forget, 10))) * float("inf"))

    with pytest.raises(Diverged, match="non-finite loss after 0 steps"):
        unlearn(Act(act=explode), start())

    def spoil(run):
        run.model.body.head.fc.bias.data.fill_(float("nan"))

    with pytest.raises(Diverged, match="a weight is not finite"):
        unlearn(Act(act=spoil), start())


def test_what_follows_from_diverging_is_told_as_diverging():
    def stumble(run):
        optimizer, batches = run.optimizer(lr=0.1), run.cycle(run.forget, 10)
        run.step(optimizer, run.loss(next(batches)))
        run.step(optimizer, run.loss(next(batches)) * float("nan"))
        raise RuntimeError("a probability is not finite")

    with pytest.raises(Diverged, match="non-finite loss after 1 steps"):
        unlearn(Act(act=stumble), start())


def test_an_epoch_that_diverged_is_its_runs_last():
    seen = []

    def explode(run):
        run.step(run.optimizer(lr=0.1), run.loss(next(run.cycle(run.forget, 10))) * float("inf"))
        run.end_epoch()

    with pytest.raises(Diverged, match="non-finite loss after 0 steps"):
        unlearn(Act(act=explode), start(on_epoch=lambda epoch, model: seen.append(epoch)))
    assert not seen


def test_equal_purposes_give_equal_orders():
    run = start(augmentation=Augmentation(padding=1, flip=True))
    first, again = (list(run.batches(run.retain, 5, "retain", 0)) for _ in range(2))
    other = list(run.batches(run.retain, 5, "retain", 1))
    assert all(
        torch.equal(a.inputs, b.inputs) and torch.equal(a.ids, b.ids)
        for a, b in zip(first, again, strict=True)
    )
    assert not torch.equal(torch.cat([b.ids for b in first]), torch.cat([b.ids for b in other]))
    plain = next(run.batches(run.retain, 5, "retain", 0, augment=False))
    assert torch.equal(plain.inputs, DATA.images[plain.ids])
    assert not torch.equal(first[0].inputs, plain.inputs)


def test_a_cycle_passes_again_and_again():
    run = start(forget=4)
    batches = run.cycle(run.forget, 3, "forget")
    ids = torch.cat([next(batches).ids for _ in range(3)])
    assert torch.bincount(ids, minlength=4).tolist() == [3, 3, 3, 3]
    with pytest.raises(AuditError, match="at least one example to cycle"):
        next(run.cycle(DATA.subset([]), 3))


def test_one_forget_example_uses_running_statistics():
    run = start(forget=1)
    batch = next(run.batches(run.forget, 8, "forget"))
    with torch.no_grad():
        expected = copy.deepcopy(run.model).eval()(batch.inputs)
    assert torch.equal(run.outputs(batch.inputs).detach(), expected)
    assert run.model.body.norm.training


def test_dropout_is_seeded_and_the_global_generator_untouched():
    results = []
    for rate, global_seed in ((0.5, 1), (0.5, 2), (0.0, 1)):
        torch.manual_seed(global_seed)
        before = torch.get_rng_state()
        run = start(model=make(drop_rate=rate))
        unlearn(Act(act=two_epochs), run)
        assert torch.equal(torch.get_rng_state(), before)
        results.append(run.model.state_dict())
    assert equal(results[0], results[1])
    assert not equal(results[0], results[2])


def test_teachers_are_frozen_and_counted():
    run = start()
    logits = run.teacher_outputs(run.original, DATA.images[:4])
    assert not logits.requires_grad
    assert run.meter.forward_samples == 4
    assert not any(p.requires_grad for p in run.original.parameters())
    assert not any(m.training for m in run.original.modules())


def test_epochs_are_announced_in_eval_mode_and_training_goes_on():
    seen = []
    run = start("last-1", on_epoch=lambda epoch, model: seen.append((epoch, model.training)))
    two_epochs(run)
    assert seen == [(1, False), (2, False)]
    assert run.model.training
    assert not run.model.body.stages[0].blocks[0].norm1.training


@dataclass(frozen=True)
class PlainDescent(Method):
    """One SGD step computed by hand."""

    lr: float

    def __call__(self, run):
        batch = next(run.batches(run.retain, 14, "retain", 0))
        run.step(run.optimizer(lr=self.lr, momentum=0.0, weight_decay=0.1), run.loss(batch))


def test_a_step_is_gradient_descent_on_the_scope():
    run = start("head")
    head = copy.deepcopy(run.model.body.head.fc)
    features = []
    run.model.body.head.fc.register_forward_pre_hook(lambda _m, inputs: features.append(inputs[0].detach()))
    unlearn(PlainDescent(lr=0.5), run)
    ids = next(run.batches(run.retain, 14, "retain", 0)).ids
    loss = F.cross_entropy(head(features[0]), DATA.labels[ids])
    gradient = torch.autograd.grad(loss, head.weight)[0] + 0.1 * head.weight
    torch.testing.assert_close(run.model.body.head.fc.weight, head.weight - 0.5 * gradient)


def test_the_engine_sets_the_precision():
    run = start(engine=Engine(device="cpu", precision="bf16"))
    dtypes = []
    run.model.body.stages.register_forward_hook(lambda _m, _i, output: dtypes.append(output.dtype))
    logits = run.outputs(DATA.images[:4])
    assert (dtypes, logits.dtype) == ([torch.bfloat16], torch.float32)
    assert isinstance(run.model, nn.Module)
