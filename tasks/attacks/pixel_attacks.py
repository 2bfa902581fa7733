"""Adversarial attacks within a ball around each image, run by torchattacks on models that normalise inside.

FGSM (Goodfellow et al. 2015), PGD (Madry et al. 2018), APGD and AutoAttack (Croce and Hein 2020), Square
(Andriushchenko et al. 2020).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from tasks.attacks.adversarial import Adversarial, Follows, above_zero, at_least
from tasks.attacks.base import register
from tasks.errors import AuditError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


@register("fgsm")
@dataclass(frozen=True, kw_only=True)
class FGSM(Adversarial):
    """One step of length eps along the sign of the loss gradient."""

    version: ClassVar[int] = 2

    norm: Literal["Linf"] = "Linf"
    """Norm of the perturbation."""

    def perturb(
        self, model: nn.Module, images: Tensor, labels: Tensor, *, eps: float, generator: torch.Generator
    ) -> Tensor:
        """Adversarial images, `n x C x H x W`."""
        import torchattacks

        from tasks.measure.attacked import attacked

        with attacked(model, generator) as (still, _):
            return torchattacks.FGSM(still, eps=eps)(images, labels)


@register("pgd")
@dataclass(frozen=True, kw_only=True)
class PGD(Adversarial):
    """Projected gradient ascent on the cross-entropy, with restarts on the examples that still hold."""

    version: ClassVar[int] = 2

    steps: int = 20
    """Gradient steps of each restart."""
    step: float = 0.25
    """Step length as a fraction of eps; 0.25 is 2/255 at 8/255. Madry's rule is 2.5 / steps."""
    restarts: int = 2
    """Runs from new random points; with random_start off, repeats would be equal, so only one is made."""
    random_start: bool = True
    """Start at a random point of the ball."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 1, "steps", "restarts")
        above_zero(self, "step")

    def perturb(
        self, model: nn.Module, images: Tensor, labels: Tensor, *, eps: float, generator: torch.Generator
    ) -> Tensor:
        """Adversarial images, `n x C x H x W`."""
        import torchattacks

        from tasks.measure.attacked import attacked, with_restarts

        kind = torchattacks.PGD if self.norm == "Linf" else torchattacks.PGDL2
        with attacked(model, generator) as (still, _):
            run = kind(
                still, eps=eps, alpha=self.step * eps, steps=self.steps, random_start=self.random_start
            )
            count = self.restarts if self.random_start else 1
            return with_restarts(run, still, images, labels, count=count)


@register("apgd")
@dataclass(frozen=True, kw_only=True)
class APGD(Adversarial):
    """PGD with momentum that halves its own step; no step size to tune."""

    version: ClassVar[int] = 2

    loss: Literal["ce", "dlr"] = "ce"
    """ce: cross-entropy; dlr: difference of logits ratio, free of the logits' scale (3 classes or more)."""
    steps: int = 100
    """Gradient steps of each restart."""
    restarts: int = 1
    """Runs from new random points on the examples that still hold."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 1, "steps", "restarts")

    @property
    def least_classes(self) -> int:
        """See `Adversarial.least_classes`: the ratio is of three logits."""
        return 3 if self.loss == "dlr" else 2

    @property
    def follows(self) -> Follows:  # type: ignore[override]
        """See `Adversarial.follows`."""
        return "margin" if self.loss == "dlr" else "cross_entropy"

    @property
    def scale_free(self) -> bool:  # type: ignore[override]
        """See `Adversarial.scale_free`."""
        return self.loss == "dlr"

    def perturb(
        self, model: nn.Module, images: Tensor, labels: Tensor, *, eps: float, generator: torch.Generator
    ) -> Tensor:
        """Adversarial images, `n x C x H x W`."""
        import torchattacks

        from tasks.measure.attacked import attacked

        with attacked(model, generator) as (still, seed):
            if self.loss == "dlr":
                self.check_classes(count_classes(still, images))
            run = torchattacks.APGD(
                still,
                norm=self.norm,
                eps=eps,
                steps=self.steps,
                n_restarts=self.restarts,
                seed=seed,
                loss=self.loss,
            )
            # its images carry the graph of the last gradient
            return run(images, labels).detach()


@register("square")
@dataclass(frozen=True, kw_only=True)
class Square(Adversarial):
    """Random search with square patches; reads scores alone, so masked gradients do not stop it."""

    version: ClassVar[int] = 2
    follows: ClassVar[Follows] = ""
    scale_free: ClassVar[bool] = True

    queries: int = 1000
    """Most queries of each example."""
    p_init: float = 0.8
    """Share of the pixels that the first patches cover, in (0, 1]."""
    examples: int = 1000
    """Most examples of a split to attack, the same ones for every model; 0 attacks all."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 1, "queries")
        above_zero(self, "p_init")
        if self.p_init > 1:
            raise AuditError(f"p_init: expected a number in (0, 1], got {self.p_init}")

    def perturb(
        self, model: nn.Module, images: Tensor, labels: Tensor, *, eps: float, generator: torch.Generator
    ) -> Tensor:
        """Adversarial images, `n x C x H x W`."""
        from tasks.measure.attacked import attacked
        from tasks.measure.square_search import SquareSearch

        check_patches(images, self.p_init, self.norm)
        with attacked(model, generator) as (still, seed):
            run = SquareSearch(
                still, norm=self.norm, eps=eps, n_queries=self.queries, p_init=self.p_init, seed=seed
            )
            return run(images, labels)


@register("autoattack")
@dataclass(frozen=True, kw_only=True)
class AutoAttack(Adversarial):
    """APGD-CE, targeted APGD-DLR, targeted FAB and Square, each on what the earlier ones left standing.

    The standard version of the authors' code: targets are the min(9, K - 1) classes of largest logits after the label,
    and Square's patches shrink by the paper's schedule for 10,000 queries although it makes 5,000. The parts are set up
    here because torchattacks' own class runs 10 steps in place of 100, aims at all classes, stretches the schedule to
    the queries, and takes its seed from the clock.
    """

    version: ClassVar[int] = 2
    follows: ClassVar[Follows] = "margin"
    scale_free: ClassVar[bool] = True

    steps: int = 100
    """Gradient steps of APGD, APGD-T and FAB; the paper uses 100."""
    queries: int = 5000
    """Queries of Square; the paper uses 5000."""
    examples: int = 1000
    """Most examples of a split to attack, the same ones for every model; 0 attacks all."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 1, "steps", "queries")

    @property
    def least_classes(self) -> int:
        """See `Adversarial.least_classes`: the targeted ratio is of four logits."""
        return 4

    def perturb(
        self, model: nn.Module, images: Tensor, labels: Tensor, *, eps: float, generator: torch.Generator
    ) -> Tensor:
        """Adversarial images, `n x C x H x W`."""
        from tasks.measure.attacked import attacked, with_restarts

        check_patches(images, 0.8, self.norm)
        with attacked(model, generator) as (still, seed):
            classes = count_classes(still, images)
            self.check_classes(classes)
            parts = iter(self._parts(still, eps, classes, seed))
            return with_restarts(lambda x, y: next(parts)(x, y), still, images, labels, count=4)

    def _parts(self, model: nn.Module, eps: float, classes: int, seed: int) -> list[Any]:
        import torchattacks

        from tasks.measure.square_search import SquareSearch

        common = {"norm": self.norm, "eps": eps, "seed": seed}
        aimed = {"steps": self.steps, "n_classes": min(TARGETS + 1, classes), **common}
        return [
            torchattacks.APGD(model, steps=self.steps, loss="ce", **common),
            torchattacks.APGDT(model, **aimed),
            torchattacks.FAB(model, multi_targeted=True, **aimed),
            SquareSearch(model, n_queries=self.queries, resc_schedule=False, **common),
        ]


TARGETS = 9
"""Classes that each targeted part of AutoAttack aims at, at most."""


def count_classes(model: nn.Module, images: Tensor) -> int:
    """Width of the logits."""
    import torch

    with torch.no_grad():
        return int(model(images[:1]).shape[1])


def check_patches(images: Tensor, p_init: float, norm: str) -> None:
    """Refuse images that Square's patches do not fit: too long and narrow, or below 5 pixels under L2."""
    height, width = images.shape[-2:]
    side = round((p_init * height * width) ** 0.5)
    if norm == "L2":
        side = max(side, 3) + (max(side, 3) % 2 == 0)
    if side > min(height, width) or (norm == "L2" and min(height, width) < 5):
        raise AuditError(f"square: patches of {side} pixels do not fit {height}x{width} images; lower p_init")
