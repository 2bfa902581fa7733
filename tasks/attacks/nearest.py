"""Adversarial attacks that look for the nearest misclassified image, run by torchattacks.

C&W (Carlini and Wagner 2017), DeepFool (Moosavi-Dezfooli et al. 2016).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tasks.attacks.adversarial import MinimumNorm, above_zero, at_least
from tasks.attacks.base import register

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


@register("cw")
@dataclass(frozen=True, kw_only=True)
class CarliniWagner(MinimumNorm):
    """C&W L2: Adam on distance + c * margin in tanh space, at one fixed c (no binary search)."""

    c: float = 1.0
    """Weight of the margin against the squared distance; larger finds more and farther images."""
    kappa: float = 0.0
    """Margin in logits by which the found image must be misclassified."""
    steps: int = 100
    """Adam steps."""
    lr: float = 0.05
    """Adam's learning rate in tanh space."""

    def __post_init__(self) -> None:
        super().__post_init__()
        above_zero(self, "c", "lr")
        at_least(self, 0, "kappa")
        at_least(self, 1, "steps")

    def minimise(
        self, model: nn.Module, images: Tensor, labels: Tensor, *, generator: torch.Generator
    ) -> Tensor:
        """Misclassified images as near as the attack finds them."""
        import torchattacks

        from tasks.measure.attacked import attacked

        # atanh of a pixel at 0 or 1 is infinite and would never move
        inside = images.clamp(1e-4, 1 - 1e-4)
        with attacked(model, generator) as (still, _):
            run = torchattacks.CW(still, c=self.c, kappa=self.kappa, steps=self.steps, lr=self.lr)
            return run(inside, labels)


@register("deepfool")
@dataclass(frozen=True, kw_only=True)
class DeepFool(MinimumNorm):
    """Steps to the nearest linearised decision boundary; torchattacks runs it one image at a time.

    Steps cut off where pixels end come ever nearer to the boundary and never cross it. As in the paper the whole
    perturbation, not each step alone, is therefore lengthened for what still holds after the last step.
    """

    version: ClassVar[int] = 3
    """Counts changes of what is computed, so that older cells are measured again."""

    steps: int = 50
    """Most linearisations of each image."""
    overshoot: float = 0.02
    """How far past the boundary to go, as a fraction of each step and of the whole perturbation."""
    examples: int = 1000
    """Most examples of a split to attack, the same ones for every model; 0 attacks all."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 1, "steps")
        at_least(self, 0, "overshoot")

    def minimise(
        self, model: nn.Module, images: Tensor, labels: Tensor, *, generator: torch.Generator
    ) -> Tensor:
        """Misclassified images as near as the attack finds them."""
        import torch
        import torchattacks

        from tasks.measure.attacked import attacked, predict

        with attacked(model, generator) as (still, _):
            found = torchattacks.DeepFool(still, steps=self.steps, overshoot=self.overshoot)(images, labels)
            holds = predict(still, found) == labels
        past = (images + (1 + self.overshoot) * (found - images)).clamp(0, 1)
        return torch.where(holds[:, None, None, None], past, found)
