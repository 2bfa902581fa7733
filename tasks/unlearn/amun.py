"""Adversarial machine unlearning (AMUN): fit the model's own mistakes right beside the forget examples.

    x_adv = nearest x' to x with argmax f_o(x') != y,   y_adv = argmax f_o(x_adv)
    min over the layer scope of  E_{(x_adv, y_adv)} CE(f(x), y) + E_{D_r} CE(f(x), y)   (one shuffled mixture)

Ebrahimpour-Boroojeny, Sundaram, Chandrasekaran, "Not All Wrong is Bad: Using Adversarial Examples for
Unlearning", ICML 2025, arXiv 2503.00917. Evidence: the abstract and the authors' summary [P] (nearest
adversarial example by PGD-50, with or without the retain set); public code of the method, seen through an
index that names no repository [C]: L2 PGD from the clean image, step eps/10, eps doubled for each image
until its prediction changes, starting at .01; adversarial images are made once, from the original, and are
not augmented; SGD lr .05 x0.1 after 5 of 10 epochs, momentum .9, weight decay 5e-4, batch 128; D_f itself
left out by default. An example that the original already gets wrong is its own adversarial example.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tasks.objectives.base import Batch
from tasks.unlearn.base import SearchRange, register, require
from tasks.unlearn.parts.descent import Descent

if TYPE_CHECKING:
    from torch import Tensor

    from tasks.images.augment import Moves
    from tasks.training.resident import Subset
    from tasks.unlearn.run import UnlearningRun


@register("amun")
@dataclass(frozen=True, kw_only=True)
class Amun(Descent):
    """Fine-tune on the nearest adversarial examples of the forget set, and on the retain set."""

    epochs: int = 10
    """Passes over the mixture."""
    batch_size: int = 128
    """Examples per optimiser step."""
    lr: float = 0.05
    """First learning rate."""
    decay_every: int = 5
    """Epochs after which the learning rate is multiplied by 0.1; 0 keeps it."""
    use_retain: bool = True
    """Mix in the retain set; without it the adversarial examples are all that is fitted."""
    keep_forget: bool = False
    """Mix in the forget set under its true labels (the paper's variant with D_f)."""
    attack_steps: int = 10
    """PGD steps for each eps: 10 in the public code, 50 in the authors' summary, at five times the cost."""
    first_eps: float = 0.01
    """First L2 radius in pixels in [0, 1]; each doubling is tried until the prediction changes."""
    doublings: int = 14
    """Doublings after which an example is given up and left out (14: a radius of 164)."""

    objectives: ClassVar[frozenset[str]] = frozenset({"classify"})
    instead: ClassVar[str] = "random_tokens"
    needs_retain: ClassVar[bool] = True
    passes: ClassVar[str] = "E*N + attack_steps*(1+doublings needed)*nf"
    paper: ClassVar[str] = "Ebrahimpour-Boroojeny et al. 2025, arXiv 2503.00917"
    search: ClassVar[Mapping[str, SearchRange]] = {"lr": ("loguniform", 1e-3, 1e-1)}

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.decay_every >= 0, "decay_every", "0 or more", self.decay_every)
        require(self.attack_steps >= 1, "attack_steps", "at least 1", self.attack_steps)
        require(self.first_eps > 0, "first_eps", "a positive number", self.first_eps)
        require(self.doublings >= 0, "doublings", "0 or more", self.doublings)

    def __call__(self, run: UnlearningRun) -> None:
        """Make the adversarial examples, then fit them."""
        from tasks.training.train import set_lr

        adversarial = self.adversarial_examples(run)
        run.note("adversarial_found", len(adversarial.ids) / len(run.forget))
        optimizer = self.make_optimizer(run)
        for epoch in range(self.epochs):
            set_lr(optimizer, self.lr * 0.1 ** (epoch // self.decay_every if self.decay_every else 0))
            self.descend(run, optimizer, self._mixture(run, adversarial, epoch))

    def adversarial_examples(self, run: UnlearningRun) -> Batch:
        """Nearest adversarial image of each forget example that has one, under the original's label."""
        import torch

        found = []
        for batch in run.forget.batches(self.batch_size):
            images, predicted = self._nearest(run, batch)
            flipped = predicted != batch.targets
            found.append(Batch(images[flipped], predicted[flipped], batch.ids[flipped]))
        return Batch(*(torch.cat(parts) for parts in zip(*found, strict=True)))

    def _nearest(self, run: UnlearningRun, batch: Batch) -> tuple[Tensor, Tensor]:
        """The first misclassified image on each path of growing radius, and the original's predictions."""
        import torch

        from tasks.unlearn.parts.risk import input_gradients

        clean, labels = batch.inputs, batch.targets
        images, predicted = clean.clone(), labels.clone()
        rows = torch.arange(len(clean), device=clean.device)
        total = self.attack_steps * (1 + self.doublings)
        for step in range(total + 1):
            gradient, logits = input_gradients(
                run, run.original, Batch(images[rows], labels[rows], batch.ids[rows])
            )
            predicted[rows] = logits.argmax(1)
            still = (predicted[rows] == labels[rows]).nonzero().squeeze(1)
            rows, gradient = rows[still], gradient[still]
            if not len(rows) or step == total:
                break
            radius = self.first_eps * 2.0 ** (step // self.attack_steps)
            images[rows] = self._move(images[rows], clean[rows], gradient, radius)
        return images, predicted

    def _move(self, images: Tensor, clean: Tensor, gradient: Tensor, radius: float) -> Tensor:
        """One normalised ascent step of length radius/10, projected onto the L2 ball and the pixel range."""
        offset = images + 0.1 * radius * gradient / _norms(gradient) - clean
        return (clean + offset * (radius / _norms(offset)).clamp(max=1.0)).clamp(0.0, 1.0)

    def _mixture(self, run: UnlearningRun, adversarial: Batch, epoch: int) -> Iterator[Batch]:
        """Shuffled batches over the true examples (augmented) and the adversarial ones (as they are)."""
        import torch

        true = self._true_examples(run)
        generator = run.generator("order", "amun", epoch)
        order = torch.randperm(len(true) + len(adversarial.ids), generator=generator)
        pairs = [
            (rows[rows < len(true)], rows[rows >= len(true)] - len(true))
            for rows in order.split(self.batch_size)
        ]
        lengths, made_lengths = ([len(rows) for rows in side] for side in zip(*pairs, strict=True))
        rows, made_rows = (torch.cat(side).to(run.device) for side in zip(*pairs, strict=True))
        moves: Iterator[Moves] = iter(())
        if run.augmentation is not None:
            moves = run.augmentation.draw(lengths, generator).to(run.device).split(lengths)
        for own, made in zip(rows.split(lengths), made_rows.split(made_lengths), strict=True):
            batch = true.batch(own)
            if run.augmentation is not None:
                batch = batch._replace(inputs=run.augmentation.apply(batch.inputs, next(moves)))
            yield Batch(*(torch.cat([a, b[made]]) for a, b in zip(batch, adversarial, strict=True)))

    def _true_examples(self, run: UnlearningRun) -> Subset:
        import torch

        from tasks.training.resident import concatenate

        if self.use_retain and self.keep_forget:
            return concatenate(run.retain, run.forget)
        if self.keep_forget:
            return run.forget
        return (
            run.retain
            if self.use_retain
            else run.forget.at(torch.empty(0, dtype=torch.int64, device=run.device))
        )


def _norms(images: Tensor) -> Tensor:
    """L2 norm of each example, `n x 1 x 1 x 1`, at least 1e-30."""
    return images.flatten(1).norm(dim=1).clamp_min(1e-30)[:, None, None, None]
