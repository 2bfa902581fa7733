"""Models and how they are trained: what `[architectures]` and `[pretraining]` hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from tasks import fields
from tasks.errors import AuditError
from tasks.networks.gpt_options import GptOptions
from tasks.networks.hugging_face_options import HuggingFaceOptions
from tasks.networks.timm_options import Stem, check_options
from tasks.training.recipe import Recipe

LANGUAGE_MODELS = ("gpt",)
"""Architectures of Lethe's own that may stand on the axis without a table."""


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A model, of timm, a language model of Lethe's own or a published one, and how it is trained."""

    timm: str = ""
    """Name in timm, such as resnet18 or vit_tiny_patch16_224; of models of images."""
    language: Literal["", "gpt"] = ""
    """gpt, in place of timm: a model of documents; its options are d, layers, heads, context and tied."""
    transformers: str = ""
    """Family of published language models, in place of timm: gpt2, llama, qwen2, gemma2, gpt_neox or opt; its options
    are fields of the configuration of the package transformers, which the extra lethe[language] brings."""
    weights: str = ""
    """What training and retraining start from: of a model of timm a local FILE.safetensors with timm's names; of a
    published language model the local folder of config.json and safetensors, which says the family itself. Nothing is
    downloaded."""
    config_folder: str = ""
    """Of a published language model a folder of config.json and safetensors from which family and sizes are taken, and
    no weights: that of a finished model, or of one that is to be trained from scratch."""
    stem: Stem = "auto"
    """Of a model of timm: small makes the first convolution of residual networks 3x3 with stride 1 and without pooling,
    and cuts images for transformers into at least eight patches a side; timm leaves it; auto is small for images of up
    to 64 pixels without weights."""
    options: dict[str, Any] = field(default_factory=dict)
    """Arguments of the timm constructor, such as patch_size = 4; or sizes of the language model."""
    training: dict[str, Any] = field(default_factory=dict)
    """Fields of [training] that differ for this architecture."""

    def __post_init__(self) -> None:
        published = self.transformers or self.config_folder or ("" if self.timm else self.weights)
        kinds = (self.timm, self.language, published)
        if sum(map(bool, kinds)) != 1:
            given = "several" if any(kinds) else "none"
            raise AuditError(
                f'expected one of timm, language = "gpt" and transformers or weights, got {given}'
            )
        if self.timm:
            check_options(self.options)
        elif self.stem != "auto":
            raise AuditError(f'stem: expected "auto", as models of documents have none, got "{self.stem}"')
        else:
            self.sizes  # noqa: B018 - refuses what cannot be

    @classmethod
    def named(cls, name: str) -> Architecture:
        """What a name on the axis stands for that no table describes."""
        return cls(language="gpt") if name in LANGUAGE_MODELS else cls(timm=name)

    @property
    def objective(self) -> str:
        """Name of what such models are trained for."""
        return "classify" if self.timm else "language"

    @property
    def sizes(self) -> GptOptions | HuggingFaceOptions:
        """Of a language model: Lethe's own, or a published one."""
        if self.language:
            return fields.build(GptOptions, self.options, where="options")
        return HuggingFaceOptions(
            family=self.transformers,
            options=self.options,
            weights=self.weights,
            config_folder=self.config_folder,
        )


@dataclass(frozen=True, kw_only=True)
class Pretraining(Recipe):
    """Training of a base on the public part of the data set, from which every other model's training starts."""

    seed: int = 0
    """Of the base's initialisation and data order; one base serves all seeds of the axis."""
