"""What an attack is, and the registry. Imports no torch: `--help` and the plan read it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, runtime_checkable

from tasks.errors import AuditError
from tasks.registry import Registry

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn

    from tasks.training.scoring import Outputs

Family = Literal["none", "adversarial", "population", "per_example"]


class Attack:
    """A frozen dataclass whose fields are its parameters."""

    family: ClassVar[Family]
    """Which attacks it is compared with, and which protocol it follows."""
    version: ClassVar[int] = 1
    """Raised whenever equal parameters give other numbers, so that older cells are measured again."""
    subject: ClassVar[Literal["model", "shadow_models"]] = "model"
    """What it is run against: the model of a cell, or a group of shadow models."""

    @property
    def game(self) -> str:
        """Which two hypotheses its membership numbers compare (G0 to G3); empty: it gives none."""
        return ""

    @property
    def on_canaries(self) -> bool:
        """Whether it is about canaries alone; the others are about every example but them."""
        return False


@runtime_checkable
class AdversarialAttack(Protocol):
    """Moves images within a norm ball in pixel space so that the model errs."""

    family: ClassVar[Family]
    norm: str
    """Linf or L2: the norm of `eps`."""
    eps: tuple[float, ...]
    """Radii in units of pixels in [0, 1]; 8/255 is 0.03137."""
    examples: int
    """Most examples of a split to attack, drawn at random; 0 attacks all."""

    def perturb(
        self, model: nn.Module, images: Tensor, labels: Tensor, *, eps: float, generator: torch.Generator
    ) -> Tensor:
        """Adversarial images, `n x C x H x W` in [0, 1], within `eps` of `images`."""
        ...


@runtime_checkable
class MinimumNormAttack(Protocol):
    """An adversarial attack that looks for the smallest perturbation: one run serves every radius."""

    def minimise(
        self, model: nn.Module, images: Tensor, labels: Tensor, *, generator: torch.Generator
    ) -> Tensor:
        """Images that the model misclassifies, as near as the attack could find; unmoved where it failed."""
        ...


@runtime_checkable
class PopulationAttack(Protocol):
    """One attacker for all examples of one unlearned model: no shadow models."""

    family: ClassVar[Family]
    game: ClassVar[str]

    def score(
        self, forget: Outputs, retain: Outputs, test: Outputs, *, generator: np.random.Generator
    ) -> list[MembershipScores]:
        """Scores of members and non-members; higher means more member-like."""
        ...


@dataclass(frozen=True, kw_only=True)
class CrossFitted(Attack, ABC):
    """What the attacks on single examples share: folds of shadow pairs, and claims about single examples."""

    family: ClassVar[Family] = "per_example"
    subject = "shadow_models"
    version: ClassVar[int] = 2

    folds: int = 8
    """Groups of shadow pairs left out together, two pairs each at least where there are so many; 0 leaves out
    single pairs: the largest fits, but an example's AUC then compares only within a pair."""
    fdr: float = 0.1
    """False-discovery rate at which single targets count as told apart (Benjamini-Hochberg over p-values of
    swapped labels); 0 leaves that out."""
    targets: Literal["forget_set", "canaries"] = "forget_set"
    """Whose membership is told: natural examples, and of these the forget set's in detail; or the canaries of the
    shadow models alone (Aerni et al. 2024), of which unlearning then forgets every one."""
    permutations: int = 20
    """Times that labels are swapped and the attack repeated for the p-values. The smallest is about
    1 / (permutations x targets); with fewer than 1 / fdr, one example alone cannot count."""

    def __post_init__(self) -> None:
        if self.folds < 0 or self.folds == 1:
            raise AuditError(f"folds: expected 0 (single pairs) or at least 2, got {self.folds}")
        if self.on_canaries and self.game == "G3":
            raise AuditError("targets: expected forget_set in game G3: no canary is retained, got 'canaries'")
        if not 0 <= self.fdr < 1 or self.permutations < 1:
            raise AuditError(
                f"fdr, permutations: expected in [0, 1) and at least 1, got {self.fdr} and {self.permutations}"
            )

    @property
    def on_canaries(self) -> bool:
        """See `Attack.on_canaries`."""
        return self.targets == "canaries"

    @abstractmethod
    def score(self, comparison: Comparison) -> PerExampleScores:
        """Score every (run, example) by a fit that saw no run of its fold; higher means more member-like."""

    def score_permuted(self, comparison: Comparison, seeds: Sequence[int]) -> Iterable[PerExampleScores]:
        """Score the comparison with its labels swapped under each seed: the null of every claim."""
        return (self.score(comparison.permuted(seed)) for seed in seeds)


attacks: Registry[Attack] = Registry(
    "attack", contract=Attack, package="tasks.attacks", group="lethe.attacks"
)
register = attacks.register


if TYPE_CHECKING:
    from tasks.attacks.scores import MembershipScores
    from tasks.shadows.games import Comparison, PerExampleScores
