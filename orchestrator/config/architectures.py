"""Models and how they are trained: what `[architectures]` and `[pretraining]` hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from tasks import fields
from tasks.errors import AuditError
from tasks.networks.gpt_options import GptOptions
from tasks.training.recipe import Recipe

LANGUAGE_MODELS = ("gpt",)
"""Architectures of Lethe's own that may stand on the axis without a table."""


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A model, of timm or a language model of Lethe's own, and how it is trained."""

    timm: str = ""
    """Name in timm, such as resnet18 or vit_tiny_patch16_224; of models of images."""
    language: Literal["", "gpt"] = ""
    """gpt, in place of timm: a model of documents; its options are d, layers, heads, context and tied."""
    options: dict[str, Any] = field(default_factory=dict)
    """Arguments of the timm constructor, such as patch_size = 4; or sizes of the language model."""
    training: dict[str, Any] = field(default_factory=dict)
    """Fields of [training] that differ for this architecture."""

    def __post_init__(self) -> None:
        if bool(self.timm) == bool(self.language):
            given = "both" if self.timm else "neither"
            raise AuditError(f'timm, language: expected a timm name, or language = "gpt", got {given}')
        if self.language:
            self.gpt  # noqa: B018 - refuses sizes that cannot be

    @classmethod
    def named(cls, name: str) -> Architecture:
        """What a name on the axis stands for that no table describes."""
        return cls(language="gpt") if name in LANGUAGE_MODELS else cls(timm=name)

    @property
    def objective(self) -> str:
        """Name of what such models are trained for."""
        return "language" if self.language else "classify"

    @property
    def gpt(self) -> GptOptions:
        """Sizes of the language model."""
        return fields.build(GptOptions, self.options, where="options")


@dataclass(frozen=True, kw_only=True)
class Pretraining(Recipe):
    """Training of a base on the public part of the data set, from which every other model's training starts."""

    seed: int = 0
    """Of the base's initialisation and data order; one base serves all seeds of the axis."""
