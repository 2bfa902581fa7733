"""What models start from, and whether that may have seen what is to be forgotten. Imports no torch.

A retrained model starts from the same base, so that it has never seen the forget set only where the base has not.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from orchestrator.config.settings import SweepConfig
from tasks.datasets.base import Labels


class Base(NamedTuple):
    """Of one architecture."""

    architecture: str
    base: Literal["given weights", "public part", "none", "unknown"]
    """What every training starts from; none: random weights; unknown: of finished models, trained elsewhere."""
    unseen: Literal["assumed", "checked"]
    """How it is known that nothing of the audited documents was learned before. Checked: no document of the public part
    is an audited one, or nothing was."""


def bases(config: SweepConfig, labels: Labels) -> tuple[Base, ...]:
    """Of every language model of a grid, and of models of images where they start from given weights."""
    trained = "none" if config.pretraining is None else "public part"
    given = "given weights" if config.given is None else "unknown"
    return tuple(
        Base(name, given, "assumed")  # type: ignore[arg-type]
        if config.architecture(name).weights or config.given is not None
        else Base(name, trained, "checked")  # type: ignore[arg-type]
        for name in config.axes.architecture
        if labels.vocabulary or config.architecture(name).weights
    )


def assumptions(found: Iterable[Base]) -> tuple[str, ...]:
    """What a plan says of bases that somebody else has trained."""
    return tuple(
        f"architectures.{base.architecture}.weights: training of every original, retrained and shadow model starts "
        "from them, so that what is forgotten is taken never to have been among their training data; nobody can check "
        "that here"
        for base in found
        if base.base == "given weights"
    )
