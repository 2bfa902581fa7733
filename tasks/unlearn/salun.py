"""Saliency unlearning (SalUn): random labels, on the weights that matter most to the forget set.

    g = grad_theta sum_{D_f} CE(f(x), y)  at the original weights                         (eq. 3)
    m = 1[ |g| among the largest ceil(ratio * n) ]                                        (eq. 4)
    theta = m * (theta_o + delta) + (1 - m) * theta_o,   delta from random labels         (eq. 4, 5)

and the relaxation "SalUn-soft", in which no mask is fixed:

    min over the layer scope of  L_RL(theta) + beta_t |theta - theta_o|_1,   beta_t falling linearly to zero,

by proximal steps theta <- theta_o + shrink(theta - theta_o, lr beta_t).

Fan et al., "SalUn", ICLR 2024, arXiv 2310.12508. The saliency is computed on the original model in eval mode
without augmentation, for *all* named parameters (it is one stage for all scopes), then cut to the scope.
Early public versions kept the least salient weights, and moved masked weights by decay and momentum.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from tasks.unlearn.base import SearchRange, register, require
from tasks.unlearn.random_labels import RandomLabels

if TYPE_CHECKING:
    from torch import Tensor

    from tasks.unlearn.run import UnlearningRun


@register("salun")
@dataclass(frozen=True, kw_only=True)
class SalUn(RandomLabels):
    """Random labels under a hard saliency mask."""

    lr: float = 0.013
    """Learning rate (the paper's code, 10 % random forgetting on CIFAR-10)."""
    ratio: float = 0.5
    """Share of weights that may move."""
    ratio_of: Literal["scope", "network"] = "scope"
    """scope: the largest of the layer scope; network: the largest of all parameters, then those in scope."""

    version: ClassVar[int] = 2
    passes: ClassVar[str] = "E*N + nf"
    paper: ClassVar[str] = "Fan et al. 2024, arXiv 2310.12508"
    search: ClassVar[Mapping[str, SearchRange]] = {
        "lr": ("loguniform", 5e-4, 5e-2),
        "ratio": ("choice", (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 < self.ratio <= 1, "ratio", "a number in (0, 1]", self.ratio)

    def __call__(self, run: UnlearningRun) -> None:
        """Fit the random labels, putting every weight outside the mask back after each step."""
        masks = self.masks(run)
        start = {name: p.detach().clone() for name, p in run.trainable.items()}
        run.note("mask_size", int(sum(mask.sum() for mask in masks.values())))

        def restore(_epoch: int) -> None:
            # every optimiser here acts weight by weight, so what decay and momentum did elsewhere is undone
            for name, parameter in run.trainable.items():
                parameter.data.copy_(parameter.data.where(masks[name], start[name]))

        self.fit(run, after_step=restore)

    def masks(self, run: UnlearningRun) -> dict[str, Tensor]:
        """True where a weight of the layer scope may move, by parameter name."""
        magnitude = run.share("saliency", lambda: saliency(run))
        names = list(run.trainable)
        ranked = names if self.ratio_of == "scope" else list(magnitude)
        chosen = largest({name: magnitude[name] for name in ranked}, self.ratio)
        return {name: chosen[name].to(run.device) for name in names}


@register("salun_soft")
@dataclass(frozen=True, kw_only=True)
class SalUnSoft(RandomLabels):
    """Random labels with an l1 pull of the weights towards the original: the mask is learnt."""

    lr: float = 0.013
    """Learning rate."""
    beta: float = 1e-3
    """Weight of the l1 distance to the original weights in the first epoch; falls linearly."""

    paper: ClassVar[str] = "Fan et al. 2024, arXiv 2310.12508"
    search: ClassVar[Mapping[str, SearchRange]] = {
        "lr": ("loguniform", 5e-4, 5e-2),
        "beta": ("loguniform", 1e-5, 1e-1),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.beta >= 0, "beta", "0 or more", self.beta)

    def __call__(self, run: UnlearningRun) -> None:
        """Alternate optimiser steps on the random labels with proximal steps towards the original."""
        start = {name: p.detach().clone() for name, p in run.trainable.items()}

        def pull(epoch: int) -> None:
            threshold = self.lr * self.beta * (1 - epoch / self.epochs)
            for name, parameter in run.trainable.items():
                parameter.data.copy_(start[name] + shrink(parameter.data - start[name], threshold))

        self.fit(run, after_step=pull)
        run.note("mask_size", int(sum((p.data != start[name]).sum() for name, p in run.trainable.items())))


def saliency(run: UnlearningRun) -> dict[str, Tensor]:
    """Magnitude of the summed forget-set gradient at the original weights, for every named parameter."""
    from tasks.training.gradients import summed_gradient

    run.meter.samples += len(run.forget)
    return {name: g.abs() for name, g in summed_gradient(run.original, run.forget).items()}


def largest(values: Mapping[str, Tensor], ratio: float) -> dict[str, Tensor]:
    """True at the ceil(ratio * n) largest of all `n` values together; ties go to the earlier weight."""
    import torch

    flat = torch.cat([value.flatten() for value in values.values()])
    chosen = torch.zeros_like(flat, dtype=torch.bool)
    count = math.ceil(ratio * len(flat))
    chosen[flat.argsort(descending=True, stable=True)[:count]] = True
    parts = chosen.split([value.numel() for value in values.values()])
    return {name: part.view_as(values[name]) for name, part in zip(values, parts, strict=True)}


def shrink(values: Tensor, threshold: float) -> Tensor:
    """Soft threshold: the proximal map of threshold * |.|_1."""
    return values.sign() * (values.abs() - threshold).clamp(min=0)
