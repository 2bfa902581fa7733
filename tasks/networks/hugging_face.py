"""Language models of the package transformers behind the contract of ours: ids to float32 logits, nothing else.

No cache, no loss of the library's, no mask but the causal one: rows are filled on the right, where no token that counts
looks. Nothing is downloaded and no code of a folder is run.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from tasks.errors import AuditError, and_more
from tasks.networks.hugging_face_options import (
    FAMILIES,
    Family,
    HuggingFaceOptions,
    transformers,
)
from tasks.networks.start import check_numbers
from tasks.networks.weight_files import tensor_shapes, tensor_types
from tasks.networks.weight_folders import weight_files
from tasks.runtime.seeding import isolated_global_rng

_ROOM = 4
"""Times what files of weights hold, up to which a model that they do not fit is made, to say what is wrong by name."""


class LanguageModel(nn.Module):
    """Ids `n x T`, int64, to logits `n x T x V`, float32 whatever the precision of the body."""

    def __init__(self, body: nn.Module, family: Family) -> None:
        super().__init__()
        self.body = body
        self._family = family

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits of the token after each of `tokens`."""
        positions = torch.arange(tokens.shape[1], device=tokens.device)[None]
        return self.body(input_ids=tokens, position_ids=positions, use_cache=False).logits.float()

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Depth as timm has it (`tasks.networks.layers`): stem, blocks with what trails in the last, head."""
        blocks = rf"^body\.{re.escape(self._family.blocks)}\.(\d+)\."
        return {
            "stem": _any_of(self._family.stem),
            "blocks": [(blocks, None), (_any_of(self._family.trailing), (99999,))],
        }

    def get_classifier(self) -> nn.Module:
        """The head; where it is tied, its weights are the stem's."""
        return self.body.get_output_embeddings()  # type: ignore[operator]

    def decoder_blocks(self) -> nn.ModuleList:
        """The blocks, the first first."""
        return self.body.get_submodule(self._family.blocks)  # type: ignore[return-value]


def _any_of(modules: tuple[str, ...]) -> str:
    return rf"^body\.(?:{'|'.join(map(re.escape, modules))})\."


def build_hugging_face(
    options: HuggingFaceOptions, *, vocabulary: int, seed_path: tuple[str | int, ...]
) -> LanguageModel:
    """Make a model in eval mode: newly initialised, or with the weights of a local folder, in float32.

    Args:
        options: family and sizes, or a folder.
        vocabulary: V; that of weights is their own, and may be rounded up.
        seed_path: equal paths give equal bits; weights do not depend on it. Global generators are left as they were.

    Raises:
        AuditError: transformers is not installed, an option or the folder does not fit, or a layer has no place among
            stem, blocks and head.
    """
    config, family = options.config(vocabulary), FAMILIES[options.model_type]
    arguments = {"config": config, "attn_implementation": family.attention, "dtype": torch.float32}
    with _quiet(), isolated_global_rng(*seed_path):
        body = _loaded(options, arguments) if options.weights else _initialised(options, arguments)
    model = LanguageModel(body, family).eval()
    _check_places(model, family)
    return model


def _initialised(options: HuggingFaceOptions, arguments: dict[str, Any]) -> nn.Module:
    try:
        return transformers().AutoModelForCausalLM.from_config(**arguments)
    except (TypeError, ValueError, RuntimeError, AttributeError, KeyError, ZeroDivisionError) as error:
        raise AuditError(
            f"{options.model_type}: cannot be built: {' '.join(str(error).split()):.300}"
        ) from None


def _loaded(options: HuggingFaceOptions, arguments: dict[str, Any]) -> nn.Module:
    """The model of a folder; every weight of it in its place, and every place filled."""
    _check_size(options, arguments)
    try:
        body, told = transformers().AutoModelForCausalLM.from_pretrained(
            options.folder,
            **arguments,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            ignore_mismatched_sizes=True,  # told, and refused below with the others
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
        raise AuditError(
            f"weights: cannot read {options.folder}: {' '.join(str(error).split()):.300}"
        ) from None
    faults = {
        "missing": sorted(told["missing_keys"]),
        "not part of this architecture": sorted(told["unexpected_keys"]),
        "of another shape": sorted(str(key[0]) for key in told["mismatched_keys"]),
    }
    for fault, names in faults.items():
        if names:
            raise AuditError(f"weights: {options.folder}: '{names[0]}' is {fault}{and_more(names)}")
    state = body.state_dict()
    check_numbers(state, state, options.folder)
    _check_tied(body, options.folder)
    return body


def _check_tied(body: Any, folder: Path) -> None:
    """Refuse files that hold twice, and differently, what is one tensor by their configuration: both would be kept."""
    embedding, head = body.get_input_embeddings().weight, body.get_output_embeddings().weight
    if body.config.tie_word_embeddings and embedding is not head:
        raise AuditError(
            f"weights: {folder}: embedding and head differ, and config.json has one tensor for both "
            "(tie_word_embeddings); expected one of them in the files, or tie_word_embeddings = false"
        )


def read_folder(folder: Path) -> dict[str, Tensor]:
    """The weights of a finished model, as the state of what `LanguageModel` wraps, float32.

    Args:
        folder: as save_pretrained writes it.

    Raises:
        AuditError: as of `build_hugging_face`.
    """
    made = build_hugging_face(HuggingFaceOptions(weights=str(folder)), vocabulary=0, seed_path=("finished",))
    return made.body.state_dict()


def told_of_folder(folder: Path) -> tuple[str, ...]:
    """What a plan says of weights that are kept in another precision."""
    names = {"F16": "float16", "BF16": "bfloat16", "F64": "float64"}
    found = sorted(names[kind] for kind in tensor_types(weight_files(folder)) & names.keys())
    return (f"{', '.join(found)} of the file becomes float32",) if found else ()


def _check_size(options: HuggingFaceOptions, arguments: dict[str, Any]) -> None:
    """Refuse a configuration of far more weights than the files hold, before memory is taken for them."""
    held = sum(math.prod(shape) for shape in tensor_shapes(options.files()).values())
    with torch.device("meta"):
        claimed = sum(p.numel() for p in _initialised(options, arguments).parameters())
    if claimed > _ROOM * held:
        raise AuditError(
            f"weights: {options.folder}: config.json describes {claimed:,} weights, and the files hold {held:,}"
        )


def _check_places(model: LanguageModel, family: Family) -> None:
    head = next(name for name, module in model.named_modules() if module is model.get_classifier())
    known = (_any_of((*family.stem, *family.trailing, family.blocks)), rf"^{re.escape(head)}\.")
    for name, _ in model.named_parameters():
        if not any(re.search(pattern, name) for pattern in known):
            raise AuditError(
                f"'{name.removeprefix('body.')}' belongs neither to stem, blocks nor head; layer scopes cannot name it"
            )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the library's lines and bars: what is wrong is refused in a line of ours."""
    logging = transformers().utils.logging
    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()
