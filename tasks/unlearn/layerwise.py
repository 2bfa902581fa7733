"""Exact unlearning of the last k layers (EU-k): initialise them anew and train them on the retain set.

    theta_S <- the initialisation of the retrained model;   min over theta_S of  E_{D_r} CE(f(x), y)

Goel et al., "Towards Adversarial Evaluations for Inexact Machine Unlearning", arXiv 2201.06640. S is the
layer scope, so k is the user's explicit choice and the head is in it where the scope says. Parameters *and*
running statistics in scope are reset (the paper's code keeps the statistics, others leave the head alone).
Recipe, initialisation and data order are those of the retrained model, so that EU-k over all layers is
retraining, bit for bit. CF-k, the same without the reset, is `finetune` under the scope.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tasks.errors import AuditError
from tasks.unlearn.base import Method, register

if TYPE_CHECKING:
    from tasks.unlearn.run import UnlearningRun


@register("eu_k")
@dataclass(frozen=True, kw_only=True)
class ExactLastLayers(Method):
    """Reset the layer scope and train it from scratch on the retain set by the original's recipe."""

    needs_retain: ClassVar[bool] = True
    needs_recipe: ClassVar[bool] = True
    passes: ClassVar[str] = "E*nr, E of the recipe; backward through the scope"
    paper: ClassVar[str] = "Goel et al. 2022, arXiv 2201.06640"

    def __call__(self, run: UnlearningRun) -> None:
        """Reset and train the layers in scope."""
        from tasks.training.train import train

        if run.recipe is None:
            raise AuditError("eu_k: expected a run with the original's recipe, got none")
        _reset_scope(run)
        report = train(
            run.model,
            run.retain,
            run.recipe,
            seed_path=run.retrain_path,
            engine=run.engine,
            augmentation=run.augmentation,
            on_epoch=lambda _epoch, _model: run.end_epoch(),
            scope=run.scope,
        )
        run.meter.samples += report.samples
        run.meter.steps += report.steps


def _reset_scope(run: UnlearningRun) -> None:
    import torch

    fresh = run.fresh_model(run.retrain_path).state_dict()
    with torch.no_grad():
        for name, tensor in {**run.trainable, **run.scope.buffers(run.model)}.items():
            tensor.copy_(fresh[name])
