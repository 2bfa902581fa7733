"""Per-example proxies of memorisation and privacy risk, and the short trainings that some of them need.

Sequential unlearning (RUM, RSU) orders the forget set by one of these; twin unlearning uses their parts.
Every ranking is oriented alike: a higher score means more memorised, more exposed or more entangled. All
cost is counted by the run's meter.

Zhao et al., "What makes unlearning hard and what to do about it" (RUM), arXiv 2406.01257, and its sequel
on proxies, arXiv 2410.16516, which reports Spearman's rho with Feldman's memorisation of -.80 to -.91 for
confidence, -.71 to -.89 for learning events, .69 to .70 for curvature and .62 to .67 for hold-out
retraining (quoted second-hand: guide/methods.md#ranking-by-risk). Those trajectories are averaged over the
whole training of the original; here confidence and curvature are of its end and learning events of a short
training of their own [inf].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from tasks.errors import AuditError
from tasks.networks.layers import layer_groups
from tasks.objectives.base import Batch
from tasks.runtime.modes import evaluating
from tasks.runtime.transfer import on_device
from tasks.training.recipe import Optimizer, Recipe
from tasks.training.resident import Subset, concatenate
from tasks.training.train import train

if TYPE_CHECKING:
    from tasks.unlearn.run import UnlearningRun

BATCH = 512
"""Examples per forward pass where the size changes no number."""


def train_briefly(
    run: UnlearningRun,
    model: nn.Module,
    subset: Subset,
    recipe: Recipe,
    *purpose: str | int,
    on_epoch: Callable[[int, nn.Module], None] | None = None,
) -> nn.Module:
    """Train every weight of `model`, and leave it frozen and in eval mode: curriculum, reference, twin.

    Args:
        run: gives device, precision, augmentation and seed, and counts the cost.
        model: not the one that is being unlearned.
        subset: what to train on.
        recipe: of this training, not of the original.
        purpose: names the random streams.
        on_epoch: called after each epoch, numbered from 1, with the model in eval mode.
    """
    report = train(
        model.to(run.device).requires_grad_(True),
        subset,
        recipe,
        seed_path=("unlearn", run.seed, *purpose),
        engine=run.engine,
        augmentation=run.augmentation,
        on_epoch=on_epoch,
    )
    run.meter.samples += report.samples
    run.meter.steps += report.steps
    return model.eval().requires_grad_(False)


def short_recipe(epochs: int, lr: float, optimizer: Optimizer = "sgd", weight_decay: float = 5e-4) -> Recipe:
    """A few epochs at a constant learning rate."""
    return Recipe(
        epochs=epochs,
        lr=lr,
        optimizer=optimizer,
        weight_decay=weight_decay,
        schedule="constant",
        warmup_epochs=0.0,
    )


def outputs(run: UnlearningRun, model: nn.Module, subset: Subset) -> Tensor:
    """Outputs (logits, `n x K`) in eval mode without augmentation, counted as a forward pass."""
    with evaluating(model):
        return torch.cat([run.teacher_outputs(model, b.inputs).float() for b in subset.batches(BATCH)])


def losses(run: UnlearningRun, model: nn.Module, subset: Subset) -> Tensor:
    """Loss of each example, `n`, in eval mode without augmentation, counted as a forward pass."""
    with evaluating(model):
        parts = [
            run.losses(batch, run.teacher_outputs(model, batch.inputs).float())
            for batch in subset.batches(subset.data.most_scored(BATCH))
        ]
    return torch.cat(parts)


def penultimate(run: UnlearningRun, model: nn.Module, subset: Subset) -> Tensor:
    """What the classification layer sees, `n x d`, in eval mode, counted as a forward pass."""
    with head_inputs(model) as seen:
        outputs(run, model, subset)
    return torch.cat(seen)


@contextmanager
def head_inputs(model: nn.Module) -> Iterator[list[Tensor]]:
    """Collect what the classification layer sees, `n x d` float32 for each forward pass within the context.

    Of a model with two classification layers (distilled transformers) it is the first one's input.
    """
    head = model.get_submodule(layer_groups(model)[-1].module_names[0])
    seen: list[Tensor] = []
    handle = head.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0].flatten(1).float()))
    try:
        yield seen
    finally:
        handle.remove()


def input_gradients(run: UnlearningRun, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Gradient of each example's own loss by its pixels, `n x C x H x W`, and the logits, `n x K`.

    The model must be in eval mode: under batch statistics one example's loss moves with the others.
    """
    images = batch.inputs.detach().requires_grad_(True)
    run.meter.samples += len(images)
    z = model(images)
    return torch.autograd.grad(run.losses(batch, z).sum(), images)[0], z.detach()


def confidence(run: UnlearningRun, _recipe: Recipe) -> Tensor:
    """One minus the original's probability of the true answer; of a document that of a token, in geometric mean."""
    with evaluating(run.original):
        parts = [
            run.objective.confidence(run.teacher_outputs(run.original, batch.inputs).float(), batch)
            for batch in run.forget.batches(run.forget.data.most_scored(BATCH))
        ]
    return 1 - torch.cat(parts)


def learning_events(run: UnlearningRun, recipe: Recipe) -> Tensor:
    """Share of the epochs of a short training on all data that end with the example misclassified."""
    wrong = torch.zeros(len(run.forget), device=run.device)

    def count(_epoch: int, model: nn.Module) -> None:
        wrong.add_((outputs(run, model, run.forget).argmax(1) != run.forget.targets).float())

    model = run.fresh_model(("risk", "events", run.seed))
    data = concatenate(run.forget, run.retain)
    train_briefly(run, model, data, recipe, "risk", "events", on_epoch=count)
    return wrong / recipe.epochs


def curvature(run: UnlearningRun, _recipe: Recipe, *, draws: int = 10, radius: float = 1e-3) -> Tensor:
    """Mean over Rademacher directions v of ||grad_x l(x + h v) - grad_x l(x)||^2 / h^2.

    Garg et al., arXiv 2307.05831. An estimate of the squared Frobenius norm of the Hessian of the loss by the
    pixels; `draws` directions, h is `radius`.
    """
    generator = run.generator("risk", "curvature")
    model, parts = run.original, []
    for batch in run.forget.batches(BATCH):
        base, _ = input_gradients(run, model, batch)
        total = torch.zeros(len(batch.ids), device=run.device)
        shape = batch.inputs.shape
        drawn = (torch.randint(2, shape, generator=generator) for _ in range(draws))
        for bits in on_device(drawn, run.device):
            v = bits * 2.0 - 1.0
            moved, _ = input_gradients(run, model, batch._replace(inputs=batch.inputs + radius * v))
            total += ((moved - base) / radius).flatten(1).square().sum(1)
        parts.append(total / draws)
    return torch.cat(parts)


def entanglement(run: UnlearningRun, _recipe: Recipe) -> Tensor:
    """Distance of the original's penultimate feature to the centroid of all training data.

    RUM forms its entanglement groups by this distance, ascending: near groups are its "low" [C].
    """
    forget = penultimate(run, run.original, run.forget)
    retain = penultimate(run, run.original, run.retain)
    centroid = (forget.sum(0) + retain.sum(0)) / (len(forget) + len(retain))
    return (forget - centroid).norm(dim=1)


def holdout_kl(run: UnlearningRun, recipe: Recipe) -> Tensor:
    """Symmetric KL divergence between the original and a model briefly trained on the retain set."""
    p = outputs(run, run.original, run.forget).cpu().double().log_softmax(1)
    q = outputs(run, _reference(run, recipe), run.forget).cpu().double().log_softmax(1)
    return ((p.exp() - q.exp()) * (p - q)).sum(1)


def calibrated_loss(run: UnlearningRun, recipe: Recipe) -> Tensor:
    """Loss under a model briefly trained on the retain set, minus loss under the original.

    Difficulty-calibrated membership signal (Watson et al., 2111.08440): high where only the original, which
    saw the example, fits it. The cheap stand-in for a privacy risk from shadow models.
    """
    own = losses(run, run.original, run.forget)
    return losses(run, _reference(run, recipe), run.forget) - own


def _reference(run: UnlearningRun, recipe: Recipe) -> nn.Module:
    model = run.fresh_model(("risk", "reference", run.seed))
    return train_briefly(run, model, run.retain, recipe, "risk", "reference")


PROXIES: dict[str, Callable[[UnlearningRun, Recipe], Tensor]] = {
    "confidence": confidence,
    "learning_events": learning_events,
    "curvature": curvature,
    "entanglement": entanglement,
    "holdout_kl": holdout_kl,
    "calibrated_loss": calibrated_loss,
}


def risk_scores(run: UnlearningRun, ranking: str, recipe: Recipe) -> np.ndarray:
    """Scores of the forget examples, `nf`, float64, in the order of `run.forget`.

    Args:
        run: an unlearning that has not changed its model yet.
        ranking: a proxy, or the name of per-example scores that the run offers (memorisation, privacy_risk).
        recipe: for the proxies that train a model.

    Raises:
        AuditError: the run offers no scores of that name, or one of them is not finite.
    """
    if ranking in PROXIES:
        scores = PROXIES[ranking](run, recipe).cpu().double().numpy()
    elif ranking in run.scores:
        scores = np.asarray(run.scores[ranking], dtype=np.float64)[run.forget.ids.cpu().numpy()]
    else:
        offered = ", ".join(sorted({*PROXIES, *run.scores}))
        raise AuditError(f"ranking: no scores '{ranking}' for this run. Valid: {offered}")
    if not np.isfinite(scores).all():
        raise AuditError(f"ranking: the scores '{ranking}' are not finite on the forget set")
    return scores
