"""Robust accuracy over radii: clean at 0, never rising, judged on the returned images."""

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import pytest
import torch

from tasks.attacks.nearest import CarliniWagner, DeepFool
from tasks.attacks.pixel_attacks import FGSM, PGD, AutoAttack
from tasks.errors import AuditError
from tasks.measure.robustness import chosen, robust_outputs
from tasks.training.resident import ResidentData
from tasks.training.scoring import score
from tests.support.trained_digits import TEST, data, trained


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """Moves every pixel by `reach * eps` and notes what it was asked."""

    family: ClassVar[str] = "adversarial"
    norm: str = "Linf"
    eps: tuple[float, ...] = (0.05, 0.2)
    examples: int = 0
    reach: float = 0.5
    asked: list = field(default_factory=list)

    def perturb(self, model, images, labels, *, eps, generator):
        self.asked.append((eps, len(images)))
        return (images + self.reach * eps).clamp(0, 1)


class Brightness(torch.nn.Module):
    """Class 1 above a mean pixel of one half, else class 0."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(1.0))

    def forward(self, images):
        mean = images.flatten(1).mean(1)
        return torch.stack([0.5 - mean, mean - 0.5], dim=1) * self.scale


def flat(values, labels):
    images = np.broadcast_to(np.array(values, dtype=np.float32)[:, None, None, None], (len(values), 1, 4, 4))
    return ResidentData.put(images, np.array(labels), 2, torch.device("cpu"))


def test_bookkeeping_on_a_model_known_in_closed_form():
    # distances to the boundary: .01, .08, .3; the last example is misclassified from the start
    subset = flat([0.49, 0.42, 0.2, 0.6], [0, 0, 0, 0]).subset(np.arange(4))
    attack = Recorded(reach=1.0)
    result = robust_outputs(attack, Brightness(), subset, seed_path=("t",))
    assert result.eps.tolist() == [0.0, 0.05, 0.2]
    assert result.correct.tolist() == [
        [True, True, True, False],
        [False, True, True, False],
        [False, False, True, False],
    ]
    assert result.predictions.tolist() == [[0, 0, 0, 1], [1, 0, 0, 1], [1, 1, 0, 1]]
    assert attack.asked == [(0.05, 3), (0.2, 2)]


def test_clean_row_is_clean_accuracy_and_radius_zero_alone_attacks_nothing():
    subset, model = data().subset(TEST[:200]), trained()
    attack = Recorded(eps=(0.0,))
    result = robust_outputs(attack, model, subset, seed_path=("t",))
    assert np.array_equal(result.correct[0], score(model, subset).correct)
    assert len(result.eps) == 1
    assert attack.asked == []


def test_never_rises_with_eps_even_where_the_attack_gets_weaker():
    subset = data().subset(TEST[:150])
    result = robust_outputs(FGSM(eps=(0.9, 0.02, 0.1, 0.3)), trained(), subset, seed_path=("t",))
    assert (np.diff(result.correct.astype(int), axis=0) <= 0).all()
    assert result.correct[-1].mean() < result.correct[0].mean()


def test_stronger_attacks_are_not_weaker():
    subset, model = data().subset(TEST[:80]), trained()
    at = {}
    for name, attack in {
        "fgsm": FGSM(eps=(0.1,)),
        "pgd": PGD(eps=(0.1,), steps=20),
        "autoattack": AutoAttack(eps=(0.1,), steps=10, queries=20),
    }.items():
        at[name] = robust_outputs(attack, model, subset, seed_path=("t",)).correct[1].mean()
    assert at["pgd"] <= at["fgsm"]
    assert at["autoattack"] <= at["pgd"] + 0.01


@pytest.mark.parametrize("attack", [CarliniWagner(eps=(0.2, 0.5, 3.0), c=10), DeepFool(eps=(0.2, 0.5, 3.0))])
def test_minimum_norm_attacks_count_from_the_radius_that_reaches_them(attack):
    # distances to the boundary: 4 * (.01, .08, .3); the last example is misclassified from the start
    subset = flat([0.49, 0.42, 0.2, 0.6], [0, 0, 0, 0]).subset(np.arange(4))
    result = robust_outputs(attack, Brightness(), subset, seed_path=("t",))
    assert result.correct.tolist() == [
        [True, True, True, False],
        [False, True, True, False],
        [False, False, True, False],
        [False, False, False, False],
    ]
    # the one-radius form of the same attack agrees
    single = robust_outputs(replace(attack, eps=(0.5,)), Brightness(), subset, seed_path=("t",))
    assert np.array_equal(single.correct[1], result.correct[2])


def test_same_seed_path_same_answers():
    subset, model = data().subset(TEST[:60]), trained()
    attack = PGD(eps=(0.05, 0.1), steps=3)
    runs = [robust_outputs(attack, model, subset, seed_path=("t", 1), batch_size=32) for _ in range(2)]
    assert np.array_equal(runs[0].correct, runs[1].correct)
    assert np.array_equal(runs[0].predictions, runs[1].predictions)


def test_a_cap_takes_the_same_examples_for_every_model():
    subset = data().subset(TEST[::-1].copy())
    first, second = chosen(subset, 50), chosen(subset, 50)
    assert torch.equal(first.ids, second.ids)
    assert (first.ids.diff() > 0).all()
    assert torch.equal(first.targets, data().labels[first.ids])
    assert len(chosen(subset, 0)) == len(TEST)
    result = robust_outputs(Recorded(examples=50), trained(), subset, seed_path=("t",))
    assert np.array_equal(result.ids, first.ids.numpy())


def test_images_outside_the_ball_or_the_pixel_range_are_refused():
    subset, model = data().subset(TEST[:10]), trained()
    with pytest.raises(AuditError, match="Linf distance of at most"):
        robust_outputs(Recorded(reach=1.5), model, subset, seed_path=("t",))

    class Overflow(Recorded):
        def perturb(self, model, images, labels, *, eps, generator):
            return images + eps

    with pytest.raises(AuditError, match=r"pixels in \[0, 1\]"):
        robust_outputs(Overflow(), model, subset, seed_path=("t",))


def test_an_empty_split_gives_empty_rows():
    result = robust_outputs(Recorded(), trained(), data().subset(TEST[:0]), seed_path=("t",))
    assert result.correct.shape == (3, 0)
