"""What every adversarial attack must hold to."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from tasks.attacks.adversarial import Adversarial
from tasks.contracts.small import global_random_state, same_bits, small_data, small_original, state_of
from tasks.runtime.devices import DeviceName
from tasks.runtime.seeding import torch_generator


def perturbation_stays_in_the_ball(attack: Adversarial, device: DeviceName = "cpu") -> None:
    """Finite images of the same shape, in [0, 1], within eps in the attack's norm."""
    model, images, labels = small_batch(device)
    for eps in (0.0, 0.02, 0.3):
        moved = attack.perturb(model, images, labels, eps=eps, generator=torch_generator("contracts"))
        assert moved.shape == images.shape, (
            f"eps {eps}: shape {tuple(moved.shape)}, not {tuple(images.shape)}"
        )
        assert bool(torch.isfinite(moved).all()), f"eps {eps}: images are not finite"
        low, high = float(moved.min()), float(moved.max())
        assert 0 <= low <= high <= 1, f"eps {eps}: pixels from {low} to {high}, expected [0, 1]"
        difference = (moved - images).flatten(1)
        far = float((difference.abs().amax(1) if attack.norm == "Linf" else difference.norm(dim=1)).max())
        assert far <= eps * (1 + 1e-5) + 1e-6, f"eps {eps}: {attack.norm} distance {far}"


def zero_radius_is_clean(attack: Adversarial, device: DeviceName = "cpu") -> None:
    """With eps = 0 every prediction is the clean one."""
    model, images, labels = small_batch(device)
    moved = attack.perturb(model, images, labels, eps=0.0, generator=torch_generator("contracts"))
    with torch.no_grad():
        same = bool((model(moved).argmax(1) == model(images).argmax(1)).all())
    assert same, "eps = 0 changes predictions"


def attack_leaves_no_trace(attack: Adversarial, device: DeviceName = "cpu") -> None:
    """Weights, modes, empty gradients, input images and the global random state are as before."""
    model, images, labels = small_batch(device)
    model.get_submodule("first").train()
    before, modes, kept = state_of(model), [m.training for m in model.modules()], images.clone()
    rng = global_random_state()
    attack.perturb(model, images, labels, eps=0.1, generator=torch_generator("contracts"))
    assert all(same_bits(t, before[n]) for n, t in state_of(model).items()), "the attack changed the model"
    assert [m.training for m in model.modules()] == modes, "the attack changed train and eval modes"
    assert all(p.grad is None for p in model.parameters()), "the attack left gradients on parameters"
    assert torch.equal(images, kept), "the attack changed its input images"
    assert global_random_state() == rng, "the attack touched the global random state"


ADVERSARIAL_CONTRACTS = (perturbation_stays_in_the_ball, zero_radius_is_clean, attack_leaves_no_trace)


def small_batch(device: DeviceName = "cpu") -> tuple[nn.Module, Tensor, Tensor]:
    """The small original, and 16 of its training images with their labels."""
    subset = small_data(device).subset(np.arange(16))
    batch = subset.batch(torch.arange(16, device=subset.ids.device))
    return small_original(device), batch.inputs, batch.targets
