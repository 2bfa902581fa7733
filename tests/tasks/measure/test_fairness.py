"""Fairness gap: against two-pass NumPy on hooked activations, by its invariances, and its noise floor."""

import numpy as np
import pytest
import timm
import torch
from scipy import stats
from torch import nn

from tasks.errors import AuditError
from tasks.measure.fairness import fairness_gaps, kind_of
from tasks.measure.fairness_definitions import DEFINITIONS
from tasks.runtime.seeding import isolated_global_rng
from tasks.training.resident import ResidentData
from tests.support.trained_digits import TEST, data, trained


def activations(model, module, subset):
    """Input and output of a module on all examples at once."""
    kept = {}
    handle = module.register_forward_hook(lambda _m, i, o: kept.update(input=i[0], output=o))
    with torch.no_grad():
        model.eval()(subset.batch(torch.arange(len(subset))).inputs)
    handle.remove()
    return kept["input"].double().numpy(), kept["output"].double().numpy()


def one(model, subset, definition="norm_sigma", index=0, **kwargs):
    kwargs = {"shuffles": 0} | kwargs
    gaps = fairness_gaps(model, subset, definitions=(definition,), **kwargs)
    return next(gap for gap in gaps if gap.index == index)


def batch_norm_sigma(x, labels, root, eps):
    classes = [x[labels == c] for c in np.unique(labels)]
    variances = np.stack([part.transpose(1, 0, 2, 3).reshape(x.shape[1], -1).var(axis=1) for part in classes])
    return (np.sqrt(variances + eps) if root else variances).mean(axis=1)


@pytest.mark.parametrize("definition", DEFINITIONS)
@pytest.mark.parametrize("batch_size", [7, 400])
def test_batch_norm_equals_two_passes(definition, batch_size):
    subset, model = data().subset(TEST[:400]), trained()
    gap = one(model, subset, definition, index=1, batch_size=batch_size)
    before, after = activations(model, model.body[4], subset)
    root = not definition.startswith("var_")
    x, eps = (after, 0.0) if definition.endswith("post_norm") else (before, 1e-5)
    expected = batch_norm_sigma(x, subset.targets.numpy(), root, eps)
    np.testing.assert_allclose(gap.sigma_by_class, expected, rtol=1e-5)
    assert gap.gap == pytest.approx(np.ptp(expected), rel=1e-4)
    assert gap.relative_gap == pytest.approx(np.ptp(expected) / expected.mean(), rel=1e-4)
    assert (gap.layer, gap.kind, gap.n) == ("body.4", "batchnorm", 400)


class Within(nn.Module):
    """A norm within each example between two linear maps; tokens or channels first."""

    def __init__(self, norm, *, tokens):
        super().__init__()
        self.mix, self.norm, self.tokens = nn.Conv2d(1, 8, 3, padding=1), norm, tokens
        self.head = nn.Linear(8, 10)
        for parameter in norm.parameters():
            nn.init.uniform_(parameter, 0.5, 1.5)

    def forward(self, images):
        x = self.mix(images)
        x = (
            self.norm(x.flatten(2).transpose(1, 2))
            if self.tokens
            else self.norm(x).flatten(2).transpose(1, 2)
        )
        return self.head(x.mean(1))


def within_cases():
    from timm.layers import LayerNorm2d, RmsNorm

    return [
        (nn.LayerNorm(8), True, "layernorm", lambda x: x.reshape(len(x), -1, 8)),
        (LayerNorm2d(8), False, "layernorm", lambda x: x.transpose(0, 2, 3, 1).reshape(len(x), -1, 8)),
        (nn.GroupNorm(2, 8), False, "groupnorm", lambda x: x.reshape(len(x), 2, -1)),
        (nn.InstanceNorm2d(8, affine=True), False, "instancenorm", lambda x: x.reshape(len(x), 8, -1)),
        (RmsNorm(8), True, "rmsnorm", lambda x: x.reshape(len(x), -1, 8)),
    ]


@pytest.mark.parametrize("definition", DEFINITIONS)
@pytest.mark.parametrize("case", range(5))
def test_norms_within_an_example_equal_two_passes(case, definition):
    with isolated_global_rng("within"):
        norm, tokens, kind, positions = within_cases()[case]
        model = Within(norm, tokens=tokens)
    subset = data().subset(TEST[:150])
    gap = one(model, subset, definition, batch_size=64)
    before, after = activations(model, norm, subset)
    x, eps = (after, 0.0) if definition.endswith("post_norm") else (before, norm.eps)
    x = positions(x)
    spread = (x**2).mean(axis=2) if kind == "rmsnorm" else x.var(axis=2)
    by_example = (spread if definition.startswith("var_") else np.sqrt(spread + eps)).mean(axis=1)
    labels = subset.targets.numpy()
    expected = [by_example[labels == c].mean() for c in range(10)]
    np.testing.assert_allclose(gap.sigma_by_class, expected, rtol=2e-5)
    assert gap.kind == kind


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("test_resnet", {"batchnorm"}),
        ("test_vit", {"layernorm"}),
        ("test_efficientnet", {"batchnorm"}),
        ("test_convnext", {"layernorm"}),
    ],
)
def test_timm_architectures(name, kinds):
    with isolated_global_rng("timm", name):
        model = timm.create_model(name, num_classes=10, in_chans=1)
        images = np.random.rand(20, 1, 160, 160).astype(np.float32)  # noqa: NPY002
    subset = ResidentData.put(images, np.arange(20) % 4, 10, torch.device("cpu")).subset(np.arange(20))
    gaps = fairness_gaps(model, subset, definitions=tuple(DEFINITIONS), shuffles=2)
    assert {gap.kind for gap in gaps} == kinds
    assert all(np.isfinite(gap.sigma_by_class).all() and min(gap.sigma_by_class) >= 0 for gap in gaps)
    assert all(gap.classes == (0, 1, 2, 3) for gap in gaps)


def test_post_norm_of_a_norm_with_an_activation_is_taken_before_it():
    with isolated_global_rng("act"):
        norm = timm.layers.BatchNormAct2d(8)
        model = Within(norm, tokens=False)
        norm.running_mean.uniform_(-1, 1)
        norm.running_var.uniform_(0.5, 2)
    subset = data().subset(TEST[:100])
    plain = torch.nn.functional.batch_norm(
        torch.from_numpy(activations(model, norm, subset)[0]),
        *(t.detach().double() for t in (norm.running_mean, norm.running_var, norm.weight, norm.bias)),
        eps=norm.eps,
    )
    expected = batch_norm_sigma(plain.numpy(), subset.targets.numpy(), True, 0.0)
    np.testing.assert_allclose(one(model, subset, "post_norm").sigma_by_class, expected, rtol=1e-5)


def test_order_of_examples_does_not_matter():
    model = trained()
    first = one(model, data().subset(TEST[:300]))
    second = one(model, data().subset(np.random.default_rng(0).permutation(TEST[:300])))
    assert first.gap == pytest.approx(second.gap, rel=1e-6)


def test_one_class_has_no_gap():
    ids = TEST[data().labels.numpy()[TEST] == 3]
    gap = one(trained(), data().subset(ids), shuffles=3)
    assert (gap.gap, gap.gap_low, gap.gap_high, gap.baseline_gap) == (0.0, 0.0, 0.0, 0.0)
    assert gap.classes == (3,)


def test_scaling_the_input_scales_the_gap():
    subset, model = data().subset(TEST[:300]), trained()
    model.body[1].eps = 0.0
    before = one(model, subset)
    with torch.no_grad():
        model.body[0].weight *= -3
        model.body[0].bias *= -3
    after = one(model, subset)
    assert after.gap == pytest.approx(3 * before.gap, rel=1e-5)
    assert after.relative_gap == pytest.approx(before.relative_gap, rel=1e-5)


def test_large_means_do_not_cancel():
    subset, model = data().subset(TEST[:200]), trained()
    before = one(model, subset)
    with torch.no_grad():
        model.body[0].bias += 300
    assert one(model, subset).gap == pytest.approx(before.gap, rel=1e-3)


def test_interval_holds_the_gap_and_the_baseline_is_noise():
    subset, model = data().subset(TEST[:400]), trained()
    gap = one(model, subset, shuffles=30, seed_path=("t",))
    assert gap.gap_low <= gap.gap <= gap.gap_high
    assert gap.gap_high > gap.gap_low
    assert 0 < gap.baseline_gap < gap.gap
    shuffled = subset.with_targets(subset.targets[torch.randperm(400, generator=torch.manual_seed(0))])
    null = one(model, shuffled, shuffles=30, seed_path=("t",))
    assert null.gap == pytest.approx(gap.baseline_gap, rel=0.5)


@pytest.mark.parametrize("definition", DEFINITIONS)
@pytest.mark.parametrize("index", [0, 1])
def test_two_classes_have_the_error_of_resampled_examples(definition, index):
    """The delta method against a bootstrap within class, for two classes without a maximum to choose."""
    ids = TEST[np.isin(data().labels.numpy()[TEST], (0, 1))]
    subset, model = data().subset(ids), trained()
    before, after = activations(model, model.body[1 if index == 0 else 4], subset)
    x, eps = (after, 0.0) if definition.endswith("post_norm") else (before, 1e-5)
    power = 1.0 if definition.startswith("var_") else 0.5
    generator, spreads = np.random.default_rng(0), []
    for c in (0, 1):
        part = x[subset.targets.numpy() == c]
        weights = generator.multinomial(len(part), np.full(len(part), 1 / len(part)), size=2000) / len(part)
        variance = weights @ (part**2).mean(axis=(2, 3)) - (weights @ part.mean(axis=(2, 3))) ** 2
        spreads.append(((variance + (eps if power < 1 else 0)) ** power).mean(axis=1))
    gap = one(model, subset, definition, index=index)
    half = stats.t.ppf(0.975, len(ids) // 2 - 1) * np.std(np.subtract(*spreads))
    assert gap.gap_high - gap.gap == pytest.approx(half, rel=0.07)


def test_within_an_example_the_error_is_that_of_a_mean():
    ids = TEST[np.isin(data().labels.numpy()[TEST], (3, 8))]
    subset, model = data().subset(ids), Within(nn.GroupNorm(2, 8), tokens=False)
    gap = one(model, subset)
    before, _ = activations(model, model.norm, subset)
    grouped = before.reshape(len(ids), 2, -1)
    spread = np.sqrt(grouped.var(axis=2) + 1e-5).mean(axis=1)
    parts = [spread[subset.targets.numpy() == c] for c in (3, 8)]
    halves = [stats.t.ppf(0.975, len(part) - 1) * stats.sem(part) for part in parts]
    assert gap.gap_high - gap.gap == pytest.approx(np.hypot(*halves), rel=1e-3)


def test_a_class_of_one_example_leaves_the_gap_without_an_interval():
    labels = data().labels.numpy()[TEST]
    ids = np.r_[TEST[labels == 0][:20], TEST[labels == 1][:1]]
    gap = one(trained(), data().subset(ids))
    assert gap.gap > 0
    assert (gap.gap_low, gap.gap_high) == (None, None)


def test_same_seed_same_numbers_and_passes_do_not_matter():
    subset, model = data().subset(TEST[:150]), trained()
    settings = {"shuffles": 3, "seed_path": ("t", 1)}
    first = fairness_gaps(model, subset, **settings)
    assert first == fairness_gaps(model, subset, **settings)
    assert first == fairness_gaps(model, subset, most_bytes=1, **settings)
    assert [gap.index for gap in first] == [0, 1]


def test_modes_and_hooks_are_restored():
    subset, model = data().subset(TEST[:50]), trained().train()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    fairness_gaps(model, subset, shuffles=0)
    assert model.training
    assert all(not module._forward_pre_hooks for module in model.modules())
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_refusals():
    subset, model = data().subset(TEST[:20]), trained()
    with pytest.raises(AuditError, match="Did you mean 'norm_sigma'"):
        fairness_gaps(model, subset, definitions=("norm_sigm",))
    with pytest.raises(AuditError, match="no examples"):
        fairness_gaps(model, data().subset(TEST[:0]))
    model.body[1].running_mean = model.body[1].running_var = None
    with pytest.raises(AuditError, match="running statistics"):
        one(model, subset, "post_norm")

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.head = nn.BatchNorm2d(1), nn.Linear(64, 10)

        def forward(self, images):
            return self.head(self.norm(self.norm(images)).flatten(1))

    with pytest.raises(AuditError, match="'norm' runs 2 times"):
        fairness_gaps(Twice(), subset)


def test_kinds():
    assert kind_of(nn.BatchNorm1d(2)) == "batchnorm"
    assert kind_of(nn.RMSNorm(2)) == "rmsnorm"


class Flattened(nn.Module):
    """A norm over tokens that lie among the rows, as in levit and mobilevit; token by token where `mixed`."""

    def __init__(self, norm, *, mixed=False):
        super().__init__()
        self.mix, self.norm, self.mixed = nn.Conv2d(1, 8, 3, padding=1), norm, mixed
        self.head = nn.Linear(8, 10)

    def forward(self, images):
        x = self.mix(images).flatten(2).transpose(1, 2)
        rows = (x.transpose(0, 1) if self.mixed else x).flatten(0, 1)
        return self.head(self.norm(rows).unflatten(0, x.shape[:2]).mean(1))


@pytest.mark.parametrize("kind", [nn.LayerNorm, nn.BatchNorm1d])
def test_rows_of_tokens_belong_to_their_example(kind):
    subset = data().subset(TEST[:60])
    with isolated_global_rng("flattened"):
        model = Flattened(kind(8)).eval()
    gap = one(model, subset, batch_size=25)
    before, _ = activations(model, model.norm, subset)
    labels, x = subset.targets.numpy(), before.reshape(60, -1, 8)
    if kind is nn.LayerNorm:
        spread = np.sqrt(x.var(axis=2) + 1e-5).mean(axis=1)
        expected = np.array([spread[labels == c].mean() for c in gap.classes])
    else:
        parts = [x[labels == c].reshape(-1, 8) for c in gap.classes]
        expected = np.array([np.sqrt(part.var(axis=0) + 1e-5).mean() for part in parts])
    np.testing.assert_allclose(gap.sigma_by_class, expected, rtol=1e-5)
    assert gap.n == 60
    model.mixed = True
    assert fairness_gaps(model, subset, shuffles=0) == []


@pytest.mark.parametrize(
    ("norm", "kind", "sigma"),
    [
        ("EvoNorm2dS0", "groupnorm", lambda x: np.sqrt(x.reshape(len(x), 2, -1).var(axis=2) + 1e-5).mean(1)),
        (
            "EvoNorm2dS2",
            "groupnorm",
            lambda x: np.sqrt((x.reshape(len(x), 2, -1) ** 2).mean(2) + 1e-5).mean(1),
        ),
        ("FilterResponseNormTlu2d", "instancenorm", lambda x: np.sqrt((x**2).mean((2, 3)) + 1e-5).mean(1)),
        ("EvoNorm2dB0", "batchnorm", None),
    ],
)
def test_norms_of_one_with_an_activation_are_found(norm, kind, sigma):
    options = {"groups": 2} if norm.startswith("EvoNorm2dS") else {}
    with isolated_global_rng("evo"):
        model = Within(getattr(timm.layers, norm)(8, **options), tokens=False).eval()
    subset = data().subset(TEST[:60])
    gaps = fairness_gaps(model, subset, definitions=("norm_sigma", "post_norm"), shuffles=0)
    assert [gap.kind for gap in gaps] == [kind] * (2 if norm.startswith("Filter") else 1)
    x, _ = activations(model, model.norm, subset)
    labels = subset.targets.numpy()
    if sigma is None:
        expected = batch_norm_sigma(x, labels, root=True, eps=model.norm.eps)
    else:
        expected = [sigma(x[labels == c]).mean() for c in gaps[0].classes]
    np.testing.assert_allclose(gaps[0].sigma_by_class, expected, rtol=1e-5)


def test_an_architecture_without_norms_has_no_gaps():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    assert fairness_gaps(model, data().subset(TEST[:20])) == []
