"""Adversarial attacks on a trained model: inside the ball, reproducible, without side effects."""

import subprocess
import sys
from dataclasses import dataclass

import pytest
import torch

from tasks.attacks.adversarial import Adversarial, MinimumNorm
from tasks.attacks.base import attacks
from tasks.attacks.nearest import CarliniWagner, DeepFool
from tasks.attacks.pixel_attacks import APGD, FGSM, PGD, AutoAttack, Square
from tasks.errors import AuditError
from tasks.measure.attacked import PixelModel, attacked, distances
from tasks.measure.robustness import robust_outputs, vanishing_gradients
from tasks.measure.square_search import SquareSearch
from tasks.runtime.seeding import torch_generator
from tests.support.trained_digits import TEST, Normalised, data, trained

CASES = [
    FGSM(eps=(0.1,)),
    PGD(eps=(0.1,), steps=5),
    PGD(eps=(0.5,), norm="L2", steps=5),
    APGD(eps=(0.1,), steps=5),
    APGD(eps=(0.5,), norm="L2", loss="dlr", steps=5),
    Square(eps=(0.1,), queries=20),
    Square(eps=(0.5,), norm="L2", queries=20),
    AutoAttack(eps=(0.1,), steps=3, queries=10),
    AutoAttack(eps=(0.5,), norm="L2", steps=3, queries=10),
    CarliniWagner(eps=(0.5,), steps=20),
    DeepFool(eps=(0.5,), steps=5),
]
NAMES = [f"{type(case).__name__}-{case.norm}" for case in CASES]


def batch(n: int = 24) -> tuple[torch.Tensor, torch.Tensor]:
    part = data().subset(TEST).batch(torch.arange(n))
    return part.inputs, part.targets


def run(attack, model, images, labels, seed=0):
    return attack.perturb(model, images, labels, eps=attack.eps[0], generator=torch_generator("attack", seed))


@pytest.mark.parametrize("attack", CASES, ids=NAMES)
def test_images_stay_in_the_ball_and_in_the_pixel_range(attack):
    images, labels = batch()
    moved = run(attack, trained(), images, labels)
    assert moved.shape == images.shape
    assert not moved.requires_grad
    assert moved.min() >= 0
    assert moved.max() <= 1
    assert distances(moved, images, attack.norm).max() <= attack.eps[0] + 1e-5


@pytest.mark.parametrize("attack", CASES, ids=NAMES)
def test_attack_lowers_accuracy(attack):
    images, labels = batch(60)
    model = trained()
    before = (model(images).argmax(1) == labels).float().mean()
    after = (model(run(attack, model, images, labels)).argmax(1) == labels).float().mean()
    assert after < before


@pytest.mark.parametrize("attack", CASES, ids=NAMES)
def test_attack_leaves_no_trace(attack):
    images, labels = batch()
    model = trained()
    model.body[1].train()
    model.body[0].weight.requires_grad_(False)
    modes = [module.training for module in model.modules()]
    state = {name: value.clone() for name, value in model.state_dict().items()}
    original, global_state = images.clone(), torch.get_rng_state()
    run(attack, model, images, labels)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert [p.requires_grad for p in model.parameters()].count(False) == 1
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(images, original)
    assert torch.equal(torch.get_rng_state(), global_state)


@pytest.mark.parametrize("attack", CASES, ids=NAMES)
def test_same_generator_same_images(attack):
    images, labels = batch()
    model = trained()
    first = run(attack, model, images, labels)
    torch.rand(3)
    assert torch.equal(first, run(attack, model, images, labels))


def test_another_seed_moves_random_attacks_elsewhere():
    images, labels = batch()
    attack = PGD(eps=(0.1,), steps=2, restarts=1)
    assert not torch.equal(
        run(attack, trained(), images, labels), run(attack, trained(), images, labels, seed=1)
    )


@pytest.mark.parametrize("attack", CASES, ids=NAMES)
def test_one_image_and_a_batch_without_a_correct_example(attack):
    images, labels = batch(2)
    model = trained()
    assert run(attack, model, images[:1], labels[:1]).shape == (1, 1, 8, 8)
    wrong = (model(images).argmax(1) + 1) % 10
    assert run(attack, model, images, wrong).shape == images.shape


def test_fgsm_is_a_signed_gradient_step():
    images, labels = batch(8)
    model = trained()
    pixels = images.clone().requires_grad_(True)
    torch.nn.functional.cross_entropy(model(pixels), labels).backward()
    expected = (images + 0.07 * pixels.grad.sign()).clamp(0, 1)
    attack = FGSM(eps=(0.07,))
    torch.testing.assert_close(run(attack, model, images, labels), expected)


def test_deepfool_finds_the_distance_to_a_linear_boundary():
    class Linear(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.tensor([[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 0.5, 0]]))

        def forward(self, images):
            return images.flatten(1) @ self.weight.T

    image = torch.tensor([[[[0.7, 0.4], [0.2, 0.5]]]])
    attack = DeepFool(eps=(1.0,), overshoot=0.01)
    found = attack.minimise(Linear(), image, torch.tensor([0]), generator=torch_generator("x"))
    assert distances(found, image, "L2").item() == pytest.approx(1.01 * 0.3 / 2**0.5, rel=1e-4)


def test_deepfool_crosses_the_boundary_where_pixels_end():
    """The first pixel is black and cannot darken: every step stops at half of the way that is left."""

    class Sum(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.threshold = torch.nn.Parameter(torch.tensor([0.3]))

        def forward(self, images):
            above = images.flatten(1).sum(1, keepdim=True) - self.threshold
            return torch.cat([above, torch.zeros_like(above)], dim=1)

    image, label = torch.tensor([[[[0.0, 0.6]]]]), torch.tensor([0])
    found = DeepFool(eps=(1.0,)).minimise(Sum(), image, label, generator=torch_generator("x"))
    assert Sum()(found).argmax(1) == 1
    assert found.flatten().tolist() == pytest.approx([0, 0.6 - 1.02 * 0.3], rel=1e-4)


def test_an_image_found_at_exactly_the_radius_counts():
    """A radius reaches up to itself, as in `robust_outputs`, which counts from the first radius not below."""

    @dataclass(frozen=True, kw_only=True)
    class HalfAway(MinimumNorm):
        def minimise(self, model, images, labels, *, generator):
            moved = images.clone()
            moved[:, 0, 0, 0] += 0.5
            return moved

    images, labels = torch.zeros(2, 1, 2, 2), torch.zeros(2, dtype=torch.long)
    moved = {eps: run(HalfAway(eps=(eps,)), trained(), images, labels) for eps in (0.5, 0.499)}
    assert moved[0.5][:, 0, 0, 0].tolist() == [0.5, 0.5]
    assert torch.equal(moved[0.499], images)


def test_cw_moves_pixels_that_are_exactly_black():
    images, labels = batch(16)
    found = CarliniWagner(eps=(5.0,), steps=100).minimise(
        trained(), images, labels, generator=torch_generator("x")
    )
    assert (images == 0).any()
    assert ((found - images).abs()[images == 0] > 1e-3).any()


def test_restarts_never_weaken_pgd():
    images, labels = batch(100)
    model = trained()
    accuracy = []
    for restarts in (1, 4):
        attack = PGD(eps=(0.08,), steps=2, restarts=restarts)
        accuracy.append((model(run(attack, model, images, labels)).argmax(1) == labels).sum())
    assert accuracy[1] <= accuracy[0]


def test_gradients_reach_the_library_row_by_row():
    images, _ = batch(4)
    with attacked(trained(), torch_generator("x")) as (still, _):
        assert isinstance(still, PixelModel)
        pixels = images.clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(still(pixels).sum(), pixels)
    assert gradient.is_contiguous()


def test_autoattack_follows_the_number_of_classes():
    images, labels = batch(6)
    torch.manual_seed(0)
    four = Normalised(classes=4).eval()
    attack = AutoAttack(eps=(0.1,), steps=2, queries=5)
    assert run(attack, four, images, four(images).argmax(1)).shape == images.shape
    three = Normalised(classes=3).eval()
    with pytest.raises(AuditError, match="at least 4 classes, got 3"):
        run(attack, three, images, labels % 3)


def test_apgd_asks_for_three_classes_where_its_loss_does():
    images, labels = batch(4)
    torch.manual_seed(0)
    two = Normalised(classes=2).eval()
    with pytest.raises(AuditError, match="APGD: needs at least 3 classes, got 2"):
        run(APGD(eps=(0.1,), steps=2, loss="dlr"), two, images, labels % 2)
    assert run(APGD(eps=(0.1,), steps=2, loss="ce"), two, images, labels % 2).shape == images.shape


def test_square_refuses_images_its_patches_do_not_fit():
    long = torch.rand(2, 1, 4, 40)
    with pytest.raises(AuditError, match="do not fit 4x40"):
        run(Square(eps=(0.1,)), trained(), long, torch.tensor([0, 1]))


@pytest.mark.parametrize(("side", "fits"), [(7, True), (6, False)])
def test_square_under_l2_needs_an_odd_patch_that_fits(side, fits):
    """At p_init = 1 the first patch is the whole image; an even side grows by one and fits no more."""
    images, labels = torch.rand(1, 1, side, side), torch.tensor([0])
    attack = Square(eps=(0.5,), norm="L2", queries=1, p_init=1.0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(side**2, 2))
    if fits:
        assert run(attack, model, images, labels).shape == images.shape
    else:
        with pytest.raises(AuditError, match=f"do not fit {side}x{side}"):
            run(attack, model, images, labels)


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (FGSM, {"eps": (-0.1,)}, "eps: expected numbers of at least 0"),
        (PGD, {"steps": 0}, "steps: expected at least 1, got 0"),
        (PGD, {"step": 0.0}, "step: expected a positive number"),
        (Square, {"p_init": 1.5}, "p_init"),
        (Square, {"p_init": 0.0}, "p_init"),
        (CarliniWagner, {"lr": -1.0}, "lr: expected a positive number"),
        (DeepFool, {"examples": -1}, "examples: expected at least 0"),
    ],
)
def test_fields_are_checked(kind, values, message):
    with pytest.raises(AuditError, match=message):
        kind(**values)


def test_empty_eps_takes_the_standard_radii_of_the_norm():
    assert [255 * radius for radius in PGD().eps] == pytest.approx([0.25, 0.5, 1, 2, 4, 8])
    assert PGD(norm="L2").eps == (0.0625, 0.125, 0.25, 0.5, 1.0)


def test_registered_by_name_and_by_family():
    for name in ("fgsm", "pgd", "apgd", "cw", "deepfool", "square", "autoattack"):
        attack = attacks.build(name, {"eps": [0.1]}, where="test")
        assert isinstance(attack, Adversarial)
        assert isinstance(attack, MinimumNorm) == (name in ("cw", "deepfool"))
    assert attacks.get("none").family == "none"


def test_declaring_attacks_imports_no_torch():
    code = (
        "import sys, tasks.measure.evaluate; from tasks.attacks.base import attacks; attacks.names();"
        "sys.exit('torch' in sys.modules or 'sklearn' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def linear(classes: int = 12) -> tuple[torch.nn.Module, torch.Tensor, torch.Tensor]:
    """A linear model, 40 images far from black and white, and the labels that it gives them."""
    generator = torch_generator("linear")
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(108, classes)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
    images = 0.3 + 0.4 * torch.rand((40, 3, 6, 6), generator=generator)
    return model, images, model(images).argmax(1)


def linear_radii(
    model: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor, norm: str
) -> torch.Tensor:
    """Distance of each image to the nearest other class: margin by the dual norm of the difference of weights."""
    weight, logits = model[1].weight.detach(), model(images).detach()
    margins = logits.gather(1, labels[:, None]) - logits
    sizes = (weight[labels][:, None] - weight).norm(p=1 if norm == "Linf" else 2, dim=2)
    margins[torch.arange(len(labels)), labels] = torch.inf
    return (margins / sizes.clamp(min=1e-12)).amin(1)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_autoattack_finds_what_a_linear_model_holds_in_closed_form(norm):
    model, images, labels = linear()
    radii = linear_radii(model, images, labels, norm)
    eps = float(radii.median()) + 1e-4
    moved = run(AutoAttack(eps=(eps,), norm=norm, steps=20, queries=20), model, images, labels)
    clear = (radii - eps).abs() > 1e-3 * eps
    assert clear.sum() > 35
    assert torch.equal((model(moved).argmax(1) != labels)[clear], (radii < eps)[clear])


def test_the_parts_of_autoattack_are_those_of_the_standard_version():
    model, _, _ = linear()
    ce, targeted, fab, square = AutoAttack(eps=(0.1,))._parts(model, 0.1, 12, seed=0)
    assert (ce.loss, ce.steps, ce.n_restarts) == ("ce", 100, 1)
    assert (targeted.steps, targeted.n_restarts, targeted.n_target_classes) == (100, 1, 9)
    assert (fab.steps, fab.n_restarts, fab.n_target_classes, fab.multi_targeted) == (100, 1, 9, True)
    assert (square.n_queries, square.p_init, square.loss, square.rescale_schedule) == (
        5000,
        0.8,
        "margin",
        False,
    )
    assert AutoAttack(eps=(0.1,))._parts(model, 0.1, 5, seed=0)[1].n_target_classes == 4


def test_a_patch_of_square_takes_the_energy_of_its_own_channel():
    search = SquareSearch(torch.nn.Identity(), norm="L2")
    search.init_hyperparam(torch.zeros(1, 3, 5, 5))
    held = torch.zeros(1, 3, 5, 5)
    held[:, 0, :2, :2] = 1.0
    whole, windows, after = (search.lp_norm(held) for _ in range(3))
    assert whole.flatten().tolist() == after.flatten().tolist() == [2.0]
    assert windows.flatten().tolist() == [2.0, 0.0, 0.0]


SCALED = [
    FGSM(eps=(0.1,)),
    PGD(eps=(0.1,), steps=5),
    PGD(eps=(0.8,), norm="L2", steps=5),
    APGD(eps=(0.1,), steps=5),
]


@pytest.mark.parametrize("attack", SCALED, ids=[f"{type(a).__name__}-{a.norm}" for a in SCALED])
def test_gradients_that_logits_times_a_thousand_hide_are_counted(attack):
    subset, model = data().subset(TEST[:40]), Scaled(trained(), 1000.0).eval()
    blind = vanishing_gradients(attack, model, subset)
    assert blind.mean() > 0.9
    assert vanishing_gradients(attack, trained(), subset).mean() < 0.1
    held = robust_outputs(attack, model, subset, seed_path=("t",)).correct[1]
    free = APGD(eps=attack.eps, norm=attack.norm, loss="dlr", steps=5)
    assert not vanishing_gradients(free, model, subset).any()
    assert robust_outputs(free, model, subset, seed_path=("t",)).correct[1].mean() < held.mean() - 0.3
    assert (attack.follows, attack.scale_free) == ("cross_entropy", False)
    assert (free.follows, free.scale_free) == ("margin", True)


class Scaled(torch.nn.Module):
    """Logits times a number: the same answers, from a softmax that is sure of them."""

    def __init__(self, model: torch.nn.Module, by: float) -> None:
        super().__init__()
        self.model, self.by = model, by

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits."""
        return self.model(images) * self.by
