"""How a model is trained from scratch: plain numbers, part of every model's identity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tasks.errors import AuditError

Optimizer = Literal["sgd", "adam", "adamw"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Training from scratch. The original, the retrained and every shadow model share one recipe."""

    epochs: int = 20
    """Passes over the training set."""
    batch_size: int = 64
    """Examples per optimiser step."""
    optimizer: Optimizer = "sgd"
    """sgd (with Nesterov momentum), adam or adamw."""
    lr: float = 0.1
    """Peak learning rate."""
    momentum: float = 0.9
    """Momentum of sgd; ignored by adam and adamw."""
    weight_decay: float = 5e-4
    """L2 coefficient (decoupled for adamw)."""
    schedule: Literal["constant", "cosine", "step"] = "cosine"
    """cosine: to zero over all steps; step: x0.1 at one half and three quarters of the epochs."""
    warmup_epochs: float = 1.0
    """Linear warm-up from zero, in epochs."""
    augmentation: Literal["none", "shift", "crop_flip"] = "none"
    """none; shift: random translation; crop_flip: translation and mirror image (CIFAR standard)."""
    label_smoothing: float = 0.0
    """Above 0 it bounds confidence and hides memorisation from membership attacks."""
    grad_clip: float = 0.0
    """Largest gradient norm; 0 does not clip."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise AuditError(f"{name}: expected at least 1, got {getattr(self, name)}")
        if self.lr <= 0:
            raise AuditError(f"lr: expected a positive number, got {self.lr}")
        for name in ("weight_decay", "warmup_epochs", "grad_clip"):
            if getattr(self, name) < 0:
                raise AuditError(f"{name}: expected 0 or more, got {getattr(self, name)}")
        for name in ("momentum", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise AuditError(f"{name}: expected a number in [0, 1), got {getattr(self, name)}")
