"""UNSIR: impair with learnt noise, then repair on retained examples.

    noise of each forgotten class c:  N_c = argmin -CE(f_o(x(N)), c) + penalty mean |N|^2
    impair: descend on the noise (labelled c) together with a few retained examples of each other class
    repair: descend on those retained examples alone

Tarun et al., "Fast Yet Effective Machine Unlearning", IEEE TNNLS 2023, arXiv 2111.08947. It forgets
whole classes. Evidence: the authors' notebook, vikram2000b/Fast-Machine-Unlearning@252bc92 [C], from which
every default is taken (40 Adam steps of .1 on a batch of 256 noise images, penalty .1, 20 copies, 1,000
retained images of each class, Adam .02 then .01, one epoch each). Noise lives in normalised space there;
models here take pixels, so x(N) = 1/2 + N/4 (CIFAR's standard deviation is .2 to .25), not clipped. One
difference on purpose: where that notebook copies the noise it loops over the channels of one image
(`batch[0].size(0)`), so 3 of its 256 images are used; `noise_images=3` gives what its numbers rest on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tasks.errors import AuditError
from tasks.objectives.base import Batch
from tasks.training.recipe import Optimizer
from tasks.unlearn.base import SearchRange, register, require
from tasks.unlearn.parts.descent import Descent

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from tasks.training.resident import Subset
    from tasks.unlearn.run import UnlearningRun

_GREY, _SPREAD = 0.5, 0.25


@register("unsir")
@dataclass(frozen=True, kw_only=True)
class Unsir(Descent):
    """Error-maximising noise, one impair phase and one repair phase; for forgetting classes."""

    epochs: int = 1
    """Passes of the impair phase, and again of the repair phase."""
    optimizer: Optimizer = "adam"
    """sgd, adam or adamw."""
    lr: float = 0.02
    """Learning rate of the impair phase."""
    weight_decay: float = 0.0
    """L2 coefficient, on the layer scope alone."""
    repair_lr: float = 0.01
    """Learning rate of the repair phase."""
    retain_per_class: int = 1000
    """Retained examples of each class in both phases, at most."""
    noise_images: int = 256
    """Noise images learnt for each forgotten class."""
    noise_copies: int = 20
    """Times each noise image occurs in the impair phase."""
    noise_steps: int = 40
    """Adam steps that learn the noise."""
    noise_lr: float = 0.1
    """Learning rate of the noise."""
    noise_penalty: float = 0.1
    """Weight of the squared size of the noise, in normalised units."""

    version: ClassVar[int] = 2
    objectives: ClassVar[frozenset[str]] = frozenset({"classify"})
    instead: ClassVar[str] = "random_tokens, or grad_diff"
    needs_retain: ClassVar[bool] = True
    passes: ClassVar[str] = "noise_steps*noise_images*classes + E*(noise + 2*retain_per_class*K)"
    paper: ClassVar[str] = "Tarun et al. 2023, arXiv 2111.08947"
    search: ClassVar[Mapping[str, SearchRange]] = {
        "lr": ("loguniform", 1e-4, 5e-2),
        "repair_lr": ("loguniform", 1e-4, 5e-2),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.repair_lr > 0, "repair_lr", "a positive number", self.repair_lr)
        require(self.noise_lr > 0, "noise_lr", "a positive number", self.noise_lr)
        require(self.noise_penalty >= 0, "noise_penalty", "0 or more", self.noise_penalty)
        require(self.noise_steps >= 0, "noise_steps", "0 or more", self.noise_steps)
        for name in ("retain_per_class", "noise_images", "noise_copies"):
            require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))

    def __call__(self, run: UnlearningRun) -> None:
        """Learn the noise, impair, repair."""
        if not self.epochs:
            return
        kept = self._retained(run)
        impairing = self._with_noise(run, kept)
        for phase, subset, lr in (("impair", impairing, self.lr), ("repair", kept, self.repair_lr)):
            optimizer = run.optimizer(
                lr=lr, kind=self.optimizer, momentum=self.momentum, weight_decay=self.weight_decay
            )
            for epoch in range(self.epochs):
                # noise is learnt at fixed pixels: moving it would be another image
                batches = run.batches(subset, self.batch_size, phase, epoch, augment=phase == "repair")
                self.descend(run, optimizer, batches)

    def check_forget(self, forget_labels: np.ndarray, retain_labels: np.ndarray) -> None:
        """Refuse a forget set with examples of every class."""
        if set(retain_labels.tolist()) <= set(forget_labels.tolist()):
            raise AuditError(
                "expected a retained class without forget examples (it forgets classes), got none"
            )

    def _retained(self, run: UnlearningRun) -> Subset:
        """Retained examples of the classes that stay, at most `retain_per_class` of each."""
        import torch

        forgotten = run.forget.targets.unique()
        order = torch.randperm(len(run.retain), generator=run.generator("unsir", "retain")).to(run.device)
        labels = run.retain.targets[order]
        rows = [
            order[labels == label][: self.retain_per_class]
            for label in labels.unique()
            if not bool((forgotten == label).any())
        ]
        if not rows:
            raise AuditError(
                "unsir: expected a retained class outside the forget set, got none (it forgets classes)"
            )
        return run.retain.at(torch.cat(rows))

    def _with_noise(self, run: UnlearningRun, kept: Subset) -> Subset:
        """The retained examples and the copies of the learnt noise, as one selection."""
        import torch

        from tasks.training.resident import ResidentData, Subset, images_of

        classes = run.forget.targets.unique()
        noise = [self.learn_noise(run, int(label)) for label in classes]
        images = torch.cat([images_of(kept.data).inputs(kept.ids), *noise])
        labels = torch.cat([kept.targets, classes.repeat_interleave(self.noise_images)])
        data = ResidentData(images=images, labels=labels, num_classes=run.num_classes)
        copies = torch.arange(len(kept), len(images), device=run.device).repeat(self.noise_copies)
        ids = torch.cat([torch.arange(len(kept), device=run.device), copies])
        return Subset(data=data, ids=ids, targets=labels[ids])

    def learn_noise(self, run: UnlearningRun, label: int) -> Tensor:
        """Images on which the original errs most about `label`, `noise_images x C x H x W`."""
        import torch

        from tasks.training.resident import images_of

        shape = (self.noise_images, *images_of(run.forget.data).images.shape[1:])
        start = torch.randn(shape, generator=run.generator("unsir", "noise", label)).to(run.device)
        noise = start.requires_grad_()
        targets = torch.full((self.noise_images,), label, device=run.device)
        numbers = torch.arange(self.noise_images, device=run.device)
        optimizer = torch.optim.Adam([noise], lr=self.noise_lr)
        for _ in range(self.noise_steps):
            run.meter.samples += len(noise)
            size = noise.square().flatten(1).sum(dim=1).mean()
            batch = Batch(_pixels(noise), targets, numbers)
            loss = self.noise_penalty * size - run.loss(batch, run.original(batch.inputs))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        return _pixels(noise.detach())


def _pixels(noise: Tensor) -> Tensor:
    """Noise in normalised units as pixels; 0 is mid-grey."""
    return _GREY + _SPREAD * noise
