import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tasks.errors import AuditError, Diverged
from tasks.networks.models import build
from tasks.networks.scopes import bind
from tasks.runtime.devices import Engine
from tasks.runtime.seeding import torch_generator
from tasks.training.recipe import Recipe
from tasks.training.resident import ResidentData
from tasks.training.train import learning_rate, make_optimizer, train

DATA = ResidentData(
    images=torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(0)),
    labels=torch.arange(40) % 4,
    num_classes=4,
)
RECIPE = Recipe(epochs=2, batch_size=16, lr=0.05)


@pytest.fixture(scope="module")
def engine():
    return Engine(device="cpu")


def make(seed=0, **options):
    return build(
        "resnetv2_18",
        {"layers": [1, 1, 1], "channels": [8, 8, 8], "stem_chs": 8, **options},
        image_shape=(1, 8, 8),
        num_classes=4,
        mean=0.5,
        std=0.25,
        seed_path=("training", seed),
    )


def everything(count=40):
    return DATA.subset(range(count))


def trained(recipe=RECIPE, *, seed=0, engine, count=40, **options):
    model = make(**options)
    report = train(model, everything(count), recipe, seed_path=("t", seed), engine=engine)
    return model, report


def same(first, second):
    other = second.state_dict()
    return all(torch.equal(v, other[k]) for k, v in first.state_dict().items())


@pytest.mark.parametrize("augmentation", ["none", "crop_flip"])
@pytest.mark.parametrize("drop_rate", [0.0, 0.3])
def test_same_seed_same_bits_and_the_global_generator_is_untouched(engine, augmentation, drop_rate):
    recipe = Recipe(epochs=2, batch_size=16, lr=0.05, augmentation=augmentation)
    state = torch.get_rng_state()
    first, again, other = (trained(recipe, seed=s, engine=engine, drop_rate=drop_rate)[0] for s in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert same(first, again)
    assert not same(first, other)


def test_dropout_draws_from_the_seed_path(engine):
    with_dropout, without = (trained(engine=engine, drop_rate=rate)[0] for rate in (0.5, 0.0))
    assert not same(with_dropout, without)


def test_the_recipes_augmentation_is_applied(engine):
    plain, _ = trained(engine=engine)
    moved, _ = trained(Recipe(epochs=2, batch_size=16, lr=0.05, augmentation="shift"), engine=engine)
    assert not same(plain, moved)


def test_training_fits_and_leaves_eval_mode(engine):
    model, report = trained(Recipe(epochs=60, batch_size=16, lr=0.05), engine=engine)
    assert not any(m.training for m in model.modules())
    assert report.loss < 0.5 * math.log(4)


def test_the_report_counts_passes_and_steps(engine):
    _, report = trained(engine=engine)
    assert (report.samples, report.steps) == (80, 6)
    _, report = trained(engine=engine, count=33)
    assert (report.samples, report.steps) == (66, 4)


@pytest.mark.parametrize("count", [1, 17, 33])
def test_a_left_over_example_does_not_break_batch_norm(engine, count):
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, 4))
    report = train(model, everything(count), RECIPE, seed_path=("t",), engine=engine)
    assert math.isfinite(report.loss)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("epochs", 0, "at least 1"),
        ("batch_size", 0, "at least 1"),
        ("lr", 0.0, "a positive number"),
        ("weight_decay", -0.1, "0 or more"),
        ("warmup_epochs", -1.0, "0 or more"),
        ("grad_clip", -1.0, "0 or more"),
        ("momentum", 1.0, r"a number in \[0, 1\)"),
        ("label_smoothing", 1.0, r"a number in \[0, 1\)"),
    ],
)
def test_recipes_refuse_what_cannot_train(field, value, expected):
    with pytest.raises(AuditError, match=f"{field}: expected {expected}, got {value}"):
        Recipe(**{field: value})


def test_one_epoch_of_sgd_is_textbook_nesterov(engine):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
    reference = [p.detach().clone().requires_grad_() for p in model.parameters()]
    velocity = [torch.zeros_like(p) for p in reference]
    recipe = Recipe(epochs=1, batch_size=16, lr=0.05, momentum=0.8, weight_decay=0.01, label_smoothing=0.1)
    train(model, everything(), recipe, seed_path=("t",), engine=engine)
    order = torch.randperm(40, generator=torch_generator("train", "t"))
    for step, rows in enumerate(order.split(16)):
        logits = F.linear(DATA.images[rows].flatten(1), *reference)
        loss = F.cross_entropy(logits, DATA.labels[rows], label_smoothing=0.1)
        gradients = torch.autograd.grad(loss, reference)
        rate = 0.05 * (step + 1) / 3 * 0.5 * (1 + math.cos(math.pi * step / 3))
        with torch.no_grad():
            for p, v, g in zip(reference, velocity, gradients, strict=True):
                g = g + 0.01 * p
                v.mul_(0.8).add_(g)
                p.sub_(rate * (g + 0.8 * v))
    for p, q in zip(model.parameters(), reference, strict=True):
        torch.testing.assert_close(p, q, atol=1e-6, rtol=1e-5)


def test_schedules_at_their_known_points():
    def rates(**values):
        recipe = Recipe(epochs=4, lr=1.0, **values)
        return [learning_rate(recipe, step, 10) for step in range(40)]

    assert rates(schedule="constant", warmup_epochs=0.0) == [1.0] * 40
    warm = rates(schedule="constant", warmup_epochs=0.5)
    assert warm[:6] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])
    step = rates(schedule="step", warmup_epochs=0.0)
    assert [step[i] for i in (0, 19, 20, 29, 30, 39)] == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    cosine = rates(schedule="cosine", warmup_epochs=0.0)
    assert cosine[0] == 1.0
    assert cosine[20] == pytest.approx(0.5)
    assert 0 < cosine[39] < 0.01
    assert cosine == sorted(cosine, reverse=True)


@pytest.mark.parametrize("kind", ["sgd", "adam", "adamw"])
def test_fused_optimisers_agree_with_the_plain_ones(kind):
    plain = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[kind]
    extra = {"momentum": 0.9, "nesterov": True} if kind == "sgd" else {}
    start = torch.linspace(-1, 1, 7)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    optimizers = [
        make_optimizer([ours], kind, lr=0.1, momentum=0.9, weight_decay=0.1, nesterov=True),
        plain([theirs], lr=0.1, weight_decay=0.1, foreach=False, fused=False, **extra),
    ]
    for _ in range(3):
        for weight, optimizer in zip((ours, theirs), optimizers, strict=True):
            optimizer.zero_grad()
            weight.pow(2).sum().backward()
            optimizer.step()
    torch.testing.assert_close(ours, theirs)


def test_gradient_clipping_bounds_the_step(engine):
    recipe = Recipe(
        epochs=1, batch_size=40, lr=1.0, momentum=0.0, weight_decay=0.0, grad_clip=1e-3,
        warmup_epochs=0.0, schedule="constant",
    )  # fmt: skip
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
    before = nn.utils.parameters_to_vector(model.parameters()).detach().clone()
    train(model, everything(), recipe, seed_path=("t",), engine=engine)
    moved = nn.utils.parameters_to_vector(model.parameters()).detach() - before
    assert float(moved.norm()) == pytest.approx(1e-3, rel=1e-2)


@pytest.mark.parametrize("lr", [1e30, 1e38])
def test_divergence_is_named(engine, lr):
    with pytest.raises(Diverged, match=r"training: non-finite loss or weight in epoch [12]; lower"):
        trained(Recipe(epochs=2, batch_size=16, lr=lr, warmup_epochs=0.0), engine=engine)


def test_on_epoch_sees_an_evaluating_model(engine):
    seen = []
    train(
        make(),
        everything(),
        RECIPE,
        seed_path=("t",),
        engine=engine,
        on_epoch=lambda epoch, model: seen.append((epoch, model.training)),
    )
    assert seen == [(1, False), (2, False)]


def test_a_scope_confines_the_training(engine):
    model = make()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    scope = bind("last-1", model)
    scope.apply(model)
    train(model, everything(), RECIPE, seed_path=("t",), engine=engine, scope=scope)
    scope.verify(before, model.state_dict())
    assert all(not torch.equal(before[n], p) for n, p in scope.parameters(model).items())


def test_training_under_the_scope_of_everything_is_training(engine):
    plain, _ = trained(engine=engine)
    scoped = make()
    scope = bind("all", scoped)
    scope.apply(scoped)
    train(scoped, everything(), RECIPE, seed_path=("t", 0), engine=engine, scope=scope)
    assert same(plain, scoped)


def test_precision_holds_in_the_body_and_not_in_the_loss():
    model, dtypes = make(), set()
    model.body.stages.register_forward_hook(lambda _m, _i, output: dtypes.add(output.dtype))
    model.register_forward_hook(lambda _m, _i, output: dtypes.add(("logits", output.dtype)))
    train(model, everything(), RECIPE, seed_path=("t",), engine=Engine(device="cpu", precision="bf16"))
    assert dtypes == {torch.bfloat16, ("logits", torch.float32)}
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert not same(model, trained(engine=Engine(device="cpu"))[0])


def test_targets_of_the_subset_are_learned(engine):
    flipped = everything().with_targets((DATA.labels + 1) % 4)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
    train(model, flipped, Recipe(epochs=100, batch_size=20, lr=0.3), seed_path=("t",), engine=engine)
    predicted = model(DATA.images).argmax(dim=1)
    assert (predicted == flipped.targets).float().mean() > 0.9
