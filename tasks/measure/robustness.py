"""Robust accuracy: run an adversarial attack over a split and judge the returned images ourselves."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tasks.errors import AuditError
from tasks.measure.attacked import PixelModel, distances, predict
from tasks.metrics.robustness import RobustOutputs
from tasks.objectives.base import Batch
from tasks.runtime.seeding import numpy_generator, torch_generator
from tasks.training.resident import Subset


@runtime_checkable
class Perturbs(Protocol):
    """Moves images within a norm ball in pixel space so that the model errs."""

    @property
    def norm(self) -> str:
        """Linf or L2: the norm of `eps`."""
        ...

    @property
    def eps(self) -> tuple[float, ...]:
        """Radii in units of pixels in [0, 1]; 8/255 is 0.03137."""
        ...

    @property
    def examples(self) -> int:
        """Most examples of a split to attack, drawn at random; 0 attacks all."""
        ...

    def perturb(
        self, model: nn.Module, images: Tensor, labels: Tensor, *, eps: float, generator: torch.Generator
    ) -> Tensor:
        """Adversarial images, `n x C x H x W` in [0, 1], within `eps` of `images`."""
        ...


class FollowsGradients(Perturbs, Protocol):
    """An attack that goes along a gradient."""

    @property
    def follows(self) -> str:
        """cross_entropy, or margin: the logit of the label less the largest other one."""
        ...


@runtime_checkable
class Minimises(Protocol):
    """An adversarial attack that looks for the smallest perturbation: one run serves every radius."""

    def minimise(
        self, model: nn.Module, images: Tensor, labels: Tensor, *, generator: torch.Generator
    ) -> Tensor:
        """Images that the model misclassifies, as near as the attack could find; unmoved where it failed."""
        ...


def robust_outputs(
    attack: Perturbs,
    model: nn.Module,
    subset: Subset,
    *,
    seed_path: tuple[str | int, ...],
    batch_size: int = 256,
) -> RobustOutputs:
    """Attack a split at every radius of `attack.eps`, from the smallest up.

    A larger ball contains the smaller, so an example fooled at one radius counts as fooled at every larger
    one and is not attacked again: robust accuracy never rises with eps. Misclassified examples are not
    attacked.

    Args:
        attack: moves images of pixels in [0, 1].
        model: images to logits; run in eval mode and restored.
        subset: the split; the same `attack.examples` of it are attacked for every model.
        seed_path: names the random stream of this cell; results depend on it and on `batch_size`.
        batch_size: images per call of the attack.

    Raises:
        AuditError: the attack returned images outside [0, 1] or outside its ball.
    """
    subset = chosen(subset, attack.examples)
    state = _Progress(attack, model, subset, batch_size)
    if isinstance(attack, Minimises):
        state.shrink(attack, seed_path)
    else:
        for row, eps in enumerate(state.eps[1:], start=1):
            state.grow(row, float(eps), seed_path)
    return state.outputs()


LEAST_NORM = 1e-10
"""Steps of L2 attacks divide the gradient by its norm plus so much: a smaller one moves nothing. Those of Linf attacks
take its sign, which is lost at zero alone."""


def vanishing_gradients(
    attack: FollowsGradients, model: nn.Module, subset: Subset, *, batch_size: int = 256
) -> np.ndarray:
    """Where the gradient at the image leads the attack nowhere, `n`, bool, in the order of `robust_outputs`.

    Args:
        attack: names the norm, the examples and whose gradient it follows.
        model: images to logits, frozen, in eval mode.
        subset: the split.
        batch_size: images per pass.
    """
    found = []
    for batch in chosen(subset, attack.examples).batches(batch_size):
        images = batch.inputs.detach().clone().requires_grad_()
        with torch.enable_grad():
            logits = PixelModel(model)(images)
            score = cross_entropy(logits, batch.targets, reduction="sum")
            if attack.follows == "margin":
                score = _margins(logits, batch.targets).sum()
        (gradient,) = torch.autograd.grad(score, images)
        size = distances(gradient, torch.zeros_like(gradient), attack.norm)
        found.append(size <= (LEAST_NORM if attack.norm == "L2" else 0.0))
    return torch.cat(found).cpu().numpy() if found else np.zeros(0, dtype=bool)


def _margins(logits: Tensor, labels: Tensor) -> Tensor:
    """Logit of the label less the largest other one, `n`."""
    own = logits.gather(1, labels[:, None])
    return own.squeeze(1) - logits.scatter(1, labels[:, None], -torch.inf).amax(1)


def chosen(subset: Subset, count: int) -> Subset:
    """A random `count` examples in ascending id order, the same for every model: comparisons are paired."""
    ids = subset.ids.cpu().numpy()
    rows = np.argsort(ids, kind="stable")
    if 0 < count < len(ids):
        rows = rows[
            np.sort(numpy_generator("attacked examples", len(ids), count).permutation(len(ids))[:count])
        ]
    return subset.at(torch.from_numpy(rows).to(subset.ids.device))


class _Progress:
    """Which examples still hold, and what fooled the others."""

    def __init__(self, attack: Perturbs, model: nn.Module, subset: Subset, batch_size: int) -> None:
        self.attack, self.model, self.subset, self.batch_size = attack, model, subset, batch_size
        self.eps = np.unique(np.array((0.0, *attack.eps)))
        clean = [predict(model, batch.inputs) for batch in subset.batches(batch_size)]
        self.answer = torch.cat(clean) if clean else subset.targets.clone()
        self.holds = self.answer == subset.targets
        self.first = torch.full_like(self.answer, len(self.eps))
        """Row of `eps` at which each example was first wrong; `E` where it never was."""
        self.first[~self.holds] = 0

    def grow(self, row: int, eps: float, seed_path: tuple[str | int, ...]) -> None:
        """Attack within one radius those that still hold."""
        for number, rows in enumerate(self._standing()):
            generator = torch_generator(*seed_path, row, number)
            batch = self.subset.batch(rows)
            moved = self.attack.perturb(self.model, batch.inputs, batch.targets, eps=eps, generator=generator)
            moved = moved.detach()
            self._check(moved, batch, eps)
            self._judge(rows, moved, batch, torch.full_like(rows, row))

    def shrink(self, attack: Minimises, seed_path: tuple[str | int, ...]) -> None:
        """Find near images once; each counts from the first radius that reaches it."""
        radii = torch.from_numpy(self.eps)
        for number, rows in enumerate(self._standing()):
            batch = self.subset.batch(rows)
            generator = torch_generator(*seed_path, 0, number)
            moved = attack.minimise(self.model, batch.inputs, batch.targets, generator=generator).detach()
            self._check(moved, batch, None)
            found = distances(moved, batch.inputs, self.attack.norm).cpu().double()
            self._judge(rows, moved, batch, torch.searchsorted(radii, found).to(rows.device).clamp(min=1))

    def _standing(self) -> tuple[Tensor, ...]:
        rows = self.holds.nonzero().flatten()
        return rows.split(self.batch_size) if len(rows) else ()

    def _judge(self, rows: Tensor, moved: Tensor, batch: Batch, first: Tensor) -> None:
        answer = predict(self.model, moved)
        fooled = (answer != batch.targets) & (first < len(self.eps))
        self.answer[rows[fooled]] = answer[fooled]
        self.first[rows[fooled]] = first[fooled]
        self.holds[rows[fooled]] = False

    def _check(self, moved: Tensor, batch: Batch, eps: float | None) -> None:
        name = type(self.attack).__name__
        if moved.shape != batch.inputs.shape or not bool(torch.isfinite(moved).all()):
            raise AuditError(f"attack {name}: expected finite images of shape {tuple(batch.inputs.shape)}")
        if float(moved.min()) < -1e-6 or float(moved.max()) > 1 + 1e-6:
            raise AuditError(
                f"attack {name}: expected pixels in [0, 1], got {float(moved.min())} to {float(moved.max())}"
            )
        if eps is None:
            return
        norm = self.attack.norm
        # float32 rounding of each pixel, and of the projection
        slack = 1e-5 * eps + 1e-6 * (1.0 if norm == "Linf" else moved[0].numel() ** 0.5)
        farthest = float(distances(moved, batch.inputs, norm).max())
        if farthest > eps + slack:
            raise AuditError(f"attack {name}: expected {norm} distance of at most {eps}, got {farthest}")

    def outputs(self) -> RobustOutputs:
        """The rows by radius."""
        labels = self.subset.targets.cpu().numpy()
        correct = self.first.cpu().numpy()[None, :] > np.arange(len(self.eps))[:, None]
        return RobustOutputs(
            ids=self.subset.ids.cpu().numpy(),
            labels=labels,
            eps=self.eps,
            correct=correct,
            predictions=np.where(correct, labels, self.answer.cpu().numpy()),
        )
