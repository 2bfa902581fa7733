"""A language model by its options: Lethe's own, or a published one; and what its blocks hand on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from tasks.errors import AuditError
from tasks.networks.gpt import Gpt, build_gpt
from tasks.networks.gpt_options import GptOptions
from tasks.networks.hugging_face import LanguageModel, build_hugging_face
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


def decoder_blocks(model: nn.Module) -> nn.ModuleList:
    """The blocks of a language model, the first first.

    Raises:
        AuditError: it is another model.
    """
    if not isinstance(model, (Gpt, LanguageModel)):
        raise AuditError(f"expected a language model with decoder blocks, got {type(model).__name__}")
    return model.decoder_blocks()


@contextmanager
def after_block(model: nn.Module, block: int) -> Iterator[list[Tensor]]:
    """Collect what a block hands on, `n x T x d` for each forward pass within the context.

    Args:
        model: a language model.
        block: its number, from 0.
    """
    seen: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: Tensor | tuple[Tensor, ...]) -> None:
        seen.append(output[0] if isinstance(output, tuple) else output)

    handle = decoder_blocks(model)[block].register_forward_hook(keep)
    try:
        yield seen
    finally:
        handle.remove()
