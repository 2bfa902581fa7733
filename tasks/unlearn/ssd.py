"""Selective synaptic dampening (SSD): shrink the weights that matter more to the forget set than overall.

    I_D[i] = E_D[(d CE / d theta_i)^2],   I_f[i] = E_{D_f}[(d CE / d theta_i)^2]
    where I_f > alpha I_D:   theta_i <- theta_i min(lambda I_D / I_f, 1)

Foster et al., "Fast Machine Unlearning Without Retraining Through Selective Synaptic Dampening", AAAI 2024,
arXiv 2308.07707, eq. 5-7. The squares are those of single examples; the public code squares the mean gradient
of a batch, which depends on the batch size. I_D does not depend on the forget set and is one stage for all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tasks.unlearn.base import Method, SearchRange, register, require

if TYPE_CHECKING:
    from torch import Tensor

    from tasks.training.resident import Subset
    from tasks.unlearn.run import UnlearningRun


@register("ssd")
@dataclass(frozen=True, kw_only=True)
class SelectiveSynapticDampening(Method):
    """Dampen the weights in scope that are more important to the forget set than to all training data."""

    alpha: float = 10.0
    """Selection: how many times more important to the forget set a weight must be."""
    dampening: float = 1.0
    """lambda: the factor of a selected weight is lambda I_D / I_f, at most 1."""

    version: ClassVar[int] = 2
    needs_retain: ClassVar[bool] = True
    passes: ClassVar[str] = "N + nf"
    paper: ClassVar[str] = "Foster et al. 2024, arXiv 2308.07707"
    search: ClassVar[Mapping[str, SearchRange]] = {
        "alpha": ("loguniform", 0.1, 100.0),
        "dampening": ("loguniform", 0.1, 5.0),
    }

    def __post_init__(self) -> None:
        require(self.alpha > 0, "alpha", "a positive number", self.alpha)
        require(self.dampening > 0, "dampening", "a positive number", self.dampening)

    def __call__(self, run: UnlearningRun) -> None:
        """Dampen the selected weights."""
        everything = run.share("fisher_train", lambda: importance(run, training_set(run)))
        forget = run.share("fisher_forget", lambda: importance(run, in_id_order(run.forget)))
        selected, total = [], 0
        for name, parameter in run.trainable.items():
            overall, own = everything[name].to(run.device), forget[name].to(run.device)
            chosen = own > self.alpha * overall
            factor = (self.dampening * overall / own.where(chosen, own.new_ones(()))).clamp(max=1.0)
            parameter.data.mul_(factor.where(chosen, factor.new_ones(())))
            selected.append(chosen.sum())
            total += chosen.numel()
        run.note("dampened_share", int(sum(selected)) / total)


def importance(run: UnlearningRun, subset: Subset) -> dict[str, Tensor]:
    """Mean squared gradient of single examples at the original weights, for every named parameter."""
    from tasks.training.gradients import mean_squared_gradients

    run.meter.samples += len(subset)
    return mean_squared_gradients(run.original, subset)


def training_set(run: UnlearningRun) -> Subset:
    """Forget and retain set together, by example id: the same whatever the forget set is."""
    from tasks.training.resident import concatenate

    return in_id_order(concatenate(run.forget, run.retain))


def in_id_order(subset: Subset) -> Subset:
    """The same examples sorted by id, so that sums over equal sets are equal to the last bit."""
    return subset.at(subset.ids.argsort())
