"""Adversarial attacks on a trained model: inside the ball, reproducible, without side effects."""

import subprocess
import sys

import pytest
import torch

from tasks.attacks.adversarial import Adversarial, MinimumNorm
from tasks.attacks.base import attacks
from tasks.attacks.nearest import CarliniWagner, DeepFool
from tasks.attacks.pixel_attacks import APGD, FGSM, PGD, AutoAttack, Square
from tasks.errors import AuditError
from tasks.measure.attacked import PixelModel, attacked, distances
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


def test_square_refuses_images_its_patches_do_not_fit():
    long = torch.rand(2, 1, 4, 40)
    with pytest.raises(AuditError, match="do not fit 4x40"):
        run(Square(eps=(0.1,)), trained(), long, torch.tensor([0, 1]))


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (FGSM, {"eps": (-0.1,)}, "eps: expected numbers of at least 0"),
        (PGD, {"steps": 0}, "steps: expected at least 1, got 0"),
        (PGD, {"step": 0.0}, "step: expected a positive number"),
        (Square, {"p_init": 1.5}, "p_init"),
        (CarliniWagner, {"lr": -1.0}, "lr: expected a positive number"),
        (DeepFool, {"examples": -1}, "examples: expected at least 0"),
    ],
)
def test_fields_are_checked(kind, values, message):
    with pytest.raises(AuditError, match=message):
        kind(**values)


def test_empty_eps_takes_the_standard_radii_of_the_norm():
    assert PGD().eps[-1] == pytest.approx(8 / 255)
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
