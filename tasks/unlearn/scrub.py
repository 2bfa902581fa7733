"""SCRUB: obey the original model on the retain set, disobey it on the forget set; and rewinding (SCRUB+R).

With teacher t (the original), student s, and KL_T(t || s) = T^2 KL(softmax(z_t / T) || softmax(z_s / T)):

    max steps, the first `max_epochs` epochs:  max E_{D_f} KL_T(t || s)
    min steps, every epoch, after the max steps:  min gamma E_{D_r} CE(s(x), y) + alpha E_{D_r} KL_T(t || s)

The student starts as the teacher, where the divergence and its gradient are zero: the first max step moves it
only as far as train-mode batch norms make the two differ, and later steps grow from there.

Rewind: r* = error of the *final* student on validation examples of the forget set's classes; take back the
weights of the epoch whose forget error is closest to r*. Of documents, which are of one class, the error is the share
of tokens that are wrong.

Kurmanji et al., "Towards Unbounded Machine Unlearning", NeurIPS 2023, arXiv 2302.09880, eq. 3-4, section 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tasks.errors import AuditError
from tasks.unlearn.base import SearchRange, register, require
from tasks.unlearn.parts.descent import Descent

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor

    from tasks.objectives.base import Batch
    from tasks.training.resident import Subset
    from tasks.unlearn.run import UnlearningRun


@register("scrub")
@dataclass(frozen=True, kw_only=True)
class Scrub(Descent):
    """Alternate distillation away from the original on the forget set and towards it on the retain set.

    The defaults are the paper's for CIFAR-10 at large scale; its other rows differ in every field.
    """

    epochs: int = 3
    """Passes over the retain set (min steps)."""
    max_epochs: int = 2
    """Epochs that begin with a pass of max steps over the forget set ("msteps")."""
    batch_size: int = 64
    """Retain examples per step."""
    forget_batch_size: int = 64
    """Forget examples per max step."""
    lr: float = 5e-4
    """Learning rate before any decay."""
    alpha: float = 0.001
    """Weight of the distillation on the retain set."""
    gamma: float = 0.99
    """Weight of the cross-entropy on the retain set."""
    temperature: float = 4.0
    """Temperature T of the distillation."""
    decay_epochs: tuple[int, ...] = ()
    """Epochs, counted from 1, after which the learning rate is multiplied by 0.1."""

    needs_retain: ClassVar[bool] = True
    passes: ClassVar[str] = "E*nr + max_epochs*nf"
    paper: ClassVar[str] = "Kurmanji et al. 2023, arXiv 2302.09880"
    search: ClassVar[Mapping[str, SearchRange]] = {
        "lr": ("loguniform", 1e-4, 1e-2),
        "alpha": ("loguniform", 1e-3, 3.0),
        "gamma": ("loguniform", 0.1, 3.0),
        "max_epochs": ("choice", (1, 2, 3, 4)),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.max_epochs >= 0, "max_epochs", "0 or more", self.max_epochs)
        require(self.forget_batch_size >= 1, "forget_batch_size", "at least 1", self.forget_batch_size)
        require(self.alpha >= 0, "alpha", "0 or more", self.alpha)
        require(self.gamma >= 0, "gamma", "0 or more", self.gamma)
        require(self.temperature > 0, "temperature", "a positive number", self.temperature)
        require(all(e >= 1 for e in self.decay_epochs), "decay_epochs", "epochs from 1", self.decay_epochs)

    def __call__(self, run: UnlearningRun) -> None:
        """Run the max and min epochs."""
        optimizer = self.make_optimizer(run)
        for epoch in range(self.epochs):
            self.run_epoch(run, optimizer, epoch)

    def run_epoch(self, run: UnlearningRun, optimizer: torch.optim.Optimizer, epoch: int) -> None:
        """One epoch, counted from 0: max steps if it is among the first `max_epochs`, then min steps."""
        from tasks.training.train import set_lr

        decays = sum(after <= epoch for after in self.decay_epochs)
        set_lr(optimizer, self.lr * 0.1**decays)
        if epoch < self.max_epochs:
            for batch in run.batches(run.forget, self.forget_batch_size, "forget", epoch):
                _, divergence = self._distil(run, batch)
                run.step(optimizer, -divergence)
        for batch in run.batches(run.retain, self.batch_size, "retain", epoch):
            student, divergence = self._distil(run, batch)
            run.step(optimizer, self.gamma * run.loss(batch, student) + self.alpha * divergence)
        run.end_epoch()

    def _distil(self, run: UnlearningRun, batch: Batch) -> tuple[Tensor, Tensor]:
        """The student's outputs, and T^2 times their mean divergence from the original's."""
        student = run.outputs(batch.inputs)
        teacher = run.teacher_outputs(run.original, batch.inputs)
        return student, self.temperature**2 * run.divergence(student, teacher, batch, self.temperature).mean()


@register("scrub_r")
@dataclass(frozen=True, kw_only=True)
class ScrubRewind(Scrub):
    """SCRUB, rewound to the epoch whose forget error matches that of unseen examples (SCRUB+R)."""

    needs_validation: ClassVar[bool] = True

    def __call__(self, run: UnlearningRun) -> None:
        """Run all epochs, then load the checkpoint of the matching one."""
        optimizer = self.make_optimizer(run)
        checkpoints, errors = [], []
        for epoch in range(self.epochs):
            self.run_epoch(run, optimizer, epoch)
            checkpoints.append({k: v.detach().clone() for k, v in run.model.state_dict().items()})
            errors.append(float(_errors(run, run.forget).mean()))
        if not checkpoints:
            return
        chosen = closest_epoch(errors, matched_error(run))
        run.model.load_state_dict(checkpoints[chosen])
        run.note("rewound_epoch", chosen + 1)


def closest_epoch(errors: list[float], reference: float) -> int:
    """Position of the error closest to the reference; the latest among equals (it saw most min steps)."""
    return min(range(len(errors)), key=lambda epoch: (abs(errors[epoch] - reference), -epoch))


def matched_error(run: UnlearningRun) -> float:
    """Validation error of the model as it is, with the forget set's class proportions.

    Raises:
        AuditError: a class of the forget set has no validation example.
    """
    import numpy as np

    errors, labels = _errors(run, run.validation), _classes(run.validation)
    total = 0.0
    for label, count in zip(*np.unique(_classes(run.forget), return_counts=True), strict=True):
        among = errors[labels == label]
        if not len(among):
            raise AuditError(
                f"scrub_r: expected validation examples of class {label}, which the forget set holds"
            )
        total += float(among.mean()) * int(count) / len(run.forget)
    return total


def _errors(run: UnlearningRun, subset: Subset) -> np.ndarray:
    """Share of wrong answers of each example, `n`."""
    from tasks.training.scoring import score

    run.meter.forward_samples += len(subset)
    return 1.0 - score(run.model, subset).accuracy


def _classes(subset: Subset) -> np.ndarray:
    """Class of each example, `n`; documents are all of one."""
    import numpy as np

    targets = subset.targets.cpu().numpy()
    return targets if targets.ndim == 1 else np.zeros(len(targets), dtype=np.int64)
