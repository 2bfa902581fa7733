"""Models of a configuration, newly built on the CPU. Imports torch only where one is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.config.settings import SweepConfig
from tasks.datasets.base import Labels
from tasks.networks.weight_files import weight_file

if TYPE_CHECKING:
    from torch import nn


def built(
    config: SweepConfig, labels: Labels, architecture: str, seed_path: tuple[str | int, ...]
) -> nn.Module:
    """A new model of an architecture on the axis; where it names weights, with these.

    Args:
        config: of the audit.
        labels: of its data set.
        architecture: as it stands on the axis.
        seed_path: equal paths give equal bits.

    Raises:
        AuditError: it cannot be built, or its weights cannot be read or do not fit.
    """
    table, data = config.architecture(architecture), config.data
    if table.objective == "language":
        from tasks.networks.language_models import build_language_model

        return build_language_model(table.sizes, vocabulary=labels.vocabulary, seed_path=seed_path)
    from tasks.networks.models import build

    return build(
        table.timm,
        table.options,
        image_shape=labels.image_shape,
        num_classes=labels.num_classes,
        mean=data.mean,
        std=data.std,
        seed_path=seed_path,
        weights=weight_file(table.weights) if table.weights else None,
        stem=table.stem,
    )


def outline(config: SweepConfig, labels: Labels, architecture: str) -> nn.Module:
    """The same for its names and shapes: a language model, which may be large, has no numbers."""
    table = config.architecture(architecture)
    if table.objective != "language":
        return built(config, labels, architecture, ("plan",))
    import torch

    from tasks.networks.gpt_options import GptOptions
    from tasks.networks.language_models import build_language_model

    sizes = table.sizes
    with torch.device("meta"):
        return build_language_model(
            sizes if isinstance(sizes, GptOptions) else sizes.without_weights(),
            vocabulary=labels.vocabulary,
            seed_path=("plan",),
        )
