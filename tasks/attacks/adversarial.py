"""What adversarial attacks in pixel space share: a norm, radii, and robust accuracy as what they report."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from tasks.attacks.base import Attack, Given, Measurement, Need
from tasks.attacks.views import ModelView
from tasks.errors import AuditError
from tasks.measure.evaluate import robust_metrics
from tasks.metrics import robustness
from tasks.metrics.base import Metric

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

Norm = Literal["Linf", "L2"]
Follows = Literal["", "cross_entropy", "margin"]
"""Whose gradient an attack goes along: of the cross-entropy, of differences of logits, or of nothing."""
STANDARD_RADII = {
    "Linf": tuple(k / 255 for k in (0.25, 0.5, 1, 2, 4, 8)),
    "L2": (0.0625, 0.125, 0.25, 0.5, 1.0),
}


@dataclass(frozen=True, kw_only=True)
class Adversarial(Attack):
    """Moves images within a norm ball in pixel space so that the model errs."""

    objectives: ClassVar[frozenset[str]] = frozenset({"classify"})

    version: ClassVar[int] = 2
    family: ClassVar[str] = "adversarial"
    needs: ClassVar[frozenset[Need]] = frozenset(("gradients",))
    metrics: ClassVar[tuple[Metric, ...]] = robustness.METRICS
    follows: ClassVar[Follows] = "cross_entropy"
    """Where this gradient vanishes at the image, that the model withstands the attack says nothing of the model."""
    scale_free: ClassVar[bool] = False
    """Whether multiplying all logits by a number changes nothing for it: it finds what masked gradients hide."""

    norm: Norm = "Linf"
    """Norm of the perturbation."""
    eps: tuple[float, ...] = ()
    """Radii in units of pixels in [0, 1]; empty: k/255 for k = .25 .5 1 2 4 8 (Linf), 1/16 to 1 (L2)."""
    examples: int = 0
    """Most examples of a split to attack, the same ones for every model; 0 attacks all."""

    def __post_init__(self) -> None:
        if not self.eps:
            object.__setattr__(self, "eps", STANDARD_RADII[self.norm])
        for radius in self.eps:
            if not radius >= 0:
                raise AuditError(f"eps: expected numbers of at least 0, got {radius}")
        at_least(self, 0, "examples")

    @property
    def least_classes(self) -> int:
        """Fewest classes for which what it follows is defined."""
        return 2

    def check_given(self, given: Given) -> None:
        """See `Attack.check_given`."""
        self.check_classes(given.num_classes)

    def check_classes(self, count: int) -> None:
        """Refuse a model that tells too few classes apart.

        Raises:
            AuditError: there are fewer than `least_classes`.
        """
        if count < self.least_classes:
            raise AuditError(
                f"{type(self).__name__}: needs at least {self.least_classes} classes, got {count}; use apgd with "
                "loss=ce, or exclude it"
            )

    @property
    def most_examples(self) -> int:
        """See `Attack.most_examples`."""
        return self.examples

    @abstractmethod
    def perturb(
        self, model: nn.Module, images: Tensor, labels: Tensor, *, eps: float, generator: torch.Generator
    ) -> Tensor:
        """Adversarial images, `n x C x H x W` in [0, 1], within `eps` of `images`."""

    def measure(self, view: ModelView) -> Measurement:
        """Robust accuracy of every attacked split at every radius."""
        from tasks.measure.robustness import robust_outputs, vanishing_gradients

        settings = view.settings
        found = {}
        with view.differentiable() as model:
            for split in settings.attack_splits:
                subset, size = view.subset(split), settings.batch_size
                path = view.seed_path(split)
                found[split] = robust_outputs(self, model, subset, seed_path=path, batch_size=size)
                if self.follows:
                    blind = vanishing_gradients(self, model, subset, batch_size=size)
                    found[split] = replace(found[split], blind=blind)
        examples = [
            {
                "split": np.full(len(part.ids), split),
                "example_id": part.ids,
                "label": part.labels,
                "eps": np.full(len(part.ids), float(eps)),
                "predicted": part.predictions[e],
                "correct": part.correct[e],
            }
            for split, part in found.items()
            for e, eps in enumerate(part.eps)
        ]
        return Measurement(metrics=robust_metrics(found), examples=examples)


def at_least(attack: Any, lowest: float, *names: str) -> None:
    """Refuse a field below `lowest`."""
    for name in names:
        value = getattr(attack, name)
        if not value >= lowest:
            raise AuditError(f"{name}: expected at least {lowest}, got {value}")


def above_zero(attack: Any, *names: str) -> None:
    """Refuse a field that is not positive."""
    for name in names:
        value = getattr(attack, name)
        if not value > 0:
            raise AuditError(f"{name}: expected a positive number, got {value}")


@dataclass(frozen=True, kw_only=True)
class MinimumNorm(Adversarial):
    """An attack that looks for the nearest misclassified image; accuracy at eps follows from its distance."""

    norm: Literal["L2"] = "L2"
    """Norm of the perturbation."""

    @abstractmethod
    def minimise(
        self, model: nn.Module, images: Tensor, labels: Tensor, *, generator: torch.Generator
    ) -> Tensor:
        """Images that the model misclassifies, as near as the attack could find; unmoved where it failed."""

    def perturb(
        self, model: nn.Module, images: Tensor, labels: Tensor, *, eps: float, generator: torch.Generator
    ) -> Tensor:
        """The images found where they lie within `eps`; the others come back unmoved."""
        import torch

        from tasks.measure.attacked import distances

        found = self.minimise(model, images, labels, generator=generator)
        near = distances(found, images, self.norm) <= eps
        return torch.where(near[:, None, None, None], found, images)
