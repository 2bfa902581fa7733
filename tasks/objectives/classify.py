"""Classification: one class for each example, cross-entropy over `n x K` logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tasks.errors import AuditError
from tasks.objectives.base import Batch, Objective


@dataclass(frozen=True)
class Classify(Objective):
    """Outputs are logits, `n x K`; targets are class numbers, `n`, int64."""

    num_classes: int
    """K."""

    name: ClassVar[str] = "classify"

    def losses(self, outputs: Tensor, batch: Batch, *, smoothing: float = 0.0) -> Tensor:
        """Cross-entropy of each example, `n`."""
        return F.cross_entropy(outputs, batch.targets, label_smoothing=smoothing, reduction="none")

    def loss(self, outputs: Tensor, batch: Batch, *, smoothing: float = 0.0) -> Tensor:
        """Mean cross-entropy."""
        return F.cross_entropy(outputs, batch.targets, label_smoothing=smoothing)

    def confidence(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Probability of the true class, `n`."""
        return outputs.softmax(dim=1).gather(1, batch.targets[:, None]).squeeze(1)

    def divergence(self, student: Tensor, teacher: Tensor, batch: Batch, temperature: float = 1.0) -> Tensor:
        """KL divergence of the student's answer from the teacher's, `n`."""
        target = F.log_softmax(teacher / temperature, dim=1)
        answer = F.log_softmax(student / temperature, dim=1)
        return F.kl_div(answer, target, log_target=True, reduction="none").sum(dim=1)

    def relabel(
        self,
        targets: Tensor,
        generator: torch.Generator,
        *,
        exclude_true: bool = True,
        excluded: Tensor | None = None,
    ) -> Tensor:
        """Classes, uniform over those that may be drawn, `n`, int64."""
        allowed = torch.ones(len(targets), self.num_classes)
        if exclude_true:
            allowed.scatter_(1, targets.cpu()[:, None], 0.0)
        if excluded is not None:
            allowed[:, excluded.cpu()] = 0.0
        if not bool(allowed.any(dim=1).all()):
            raise AuditError(
                f"relabelling: expected a class that is not excluded, got all {self.num_classes} excluded; "
                "see exclude_class and exclude_true"
            )
        return torch.multinomial(allowed, 1, generator=generator).squeeze(1).to(targets.device)

    def sample(self, outputs: Tensor, batch: Batch, generator: torch.Generator) -> Tensor:
        """One class for each example, `n`, int64."""
        p = outputs.float().softmax(dim=1).cpu()
        return torch.multinomial(p, 1, generator=generator).squeeze(1)

    def statistics(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Cross-entropy, z_y - logsumexp of the other logits, and whether y is the (first) largest logit.

        By NumPy in float64: the same bits whatever the device, and no overflow at any finite logit.
        """
        z, labels = outputs.detach().cpu().double().numpy(), batch.targets.cpu().numpy()
        rows = np.arange(len(labels))
        true = z[rows, labels]
        others = z.copy()
        others[rows, labels] = -np.inf
        top = others.max(axis=1)
        with np.errstate(invalid="ignore"):  # an infinite logit gives NaN, which the readers refuse
            phi = true - top - np.log(np.exp(others - top[:, None]).sum(axis=1))
            loss = -log_softmax(z)[rows, labels]
        found = {"loss": loss, "phi": phi, "correct": z.argmax(axis=1) == labels}
        return {name: torch.from_numpy(values) for name, values in found.items()}


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log-probabilities of `n x K` logits, float64."""
    z = logits.astype(np.float64)
    z = z - z.max(axis=1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))
