"""A language model by its options: Lethe's own, or a published one."""

from __future__ import annotations

from torch import nn

from tasks.networks.gpt import build_gpt
from tasks.networks.gpt_options import GptOptions
from tasks.networks.hugging_face import build_hugging_face
from tasks.networks.hugging_face_options import HuggingFaceOptions


def build_language_model(
    options: GptOptions | HuggingFaceOptions, *, vocabulary: int, seed_path: tuple[str | int, ...]
) -> nn.Module:
    """Make a model in eval mode, from ids `n x T` to logits `n x T x V`, float32.

    Args:
        options: of either.
        vocabulary: V, of the data set.
        seed_path: equal paths give equal bits; weights that are given do not depend on it.

    Raises:
        AuditError: see `tasks.networks.hugging_face.build_hugging_face`.
    """
    if isinstance(options, GptOptions):
        return build_gpt(options, vocabulary=vocabulary, seed_path=seed_path)
    return build_hugging_face(options, vocabulary=vocabulary, seed_path=seed_path)
