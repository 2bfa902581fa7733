"""Published families of language models: which are known, what of them may be set, and what a folder of weights holds.

Imports no torch and no transformers until a configuration is asked for: the plan checks before any model exists.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from tasks.datasets.base import DataSource, Labels, TextSource
from tasks.errors import AuditError, unknown_name
from tasks.networks.weight_files import tensor_shapes
from tasks.networks.weight_folders import json_object, weight_files, weights_digest
from tasks.text.tokenizers import INSTALL, tokenizer_of


@dataclass(frozen=True, kw_only=True)
class Family:
    """Where the parts of a model lie; names of modules."""

    blocks: str
    """The list of blocks."""
    stem: tuple[str, ...]
    """What comes before them."""
    trailing: tuple[str, ...]
    """What lies between the last block and the head, and belongs to that block."""
    attention: Literal["sdpa", "eager"] = "sdpa"
    """How attention is computed; always the same, so that no version of the library decides it."""


_LIKE_LLAMA = Family(blocks="model.layers", stem=("model.embed_tokens",), trailing=("model.norm",))
FAMILIES = {
    "gpt2": Family(
        blocks="transformer.h", stem=("transformer.wte", "transformer.wpe"), trailing=("transformer.ln_f",)
    ),
    "llama": _LIKE_LLAMA,
    "qwen2": _LIKE_LLAMA,
    "gemma2": Family(  # soft-capped logits of attention, which the fused kernels leave out
        blocks="model.layers", stem=("model.embed_tokens",), trailing=("model.norm",), attention="eager"
    ),
    "gpt_neox": Family(
        blocks="gpt_neox.layers", stem=("gpt_neox.embed_in",), trailing=("gpt_neox.final_layer_norm",)
    ),
    "opt": Family(
        blocks="model.decoder.layers",
        stem=("model.decoder.embed_tokens", "model.decoder.embed_positions", "model.decoder.project_in"),
        trailing=("model.decoder.final_layer_norm", "model.decoder.project_out"),
    ),
}
"""By `model_type` of config.json."""
_NO_OPTION = frozenset(
    {
        *(
            "use_cache",
            "pad_token_id",
            "bos_token_id",
            "eos_token_id",
            "pretraining_tp",
            "classifier_dropout",
        ),
        *("is_decoder", "add_cross_attention", "use_bidirectional_attention", "reorder_and_upcast_attn"),
    }
)
"""Changes nothing of a causal language model that reads whole documents, or makes it another kind of model."""
_ROOM = 1024
"""Published models round the size of their vocabulary up, to a multiple of this at most."""
_BLOCKS = frozenset({"num_hidden_layers", "n_layer"})
"""Fields of config.json that count blocks."""
_IN_TRAINING = ("dropout", "pdrop", "drop", "initializer_range")
"""How names of fields end that change nothing of a finished model's answers."""


@dataclass(frozen=True, kw_only=True)
class HuggingFaceOptions:
    """A model of the package transformers: from a configuration, or from a local folder of weights."""

    family: str = ""
    """Name of the family; may be left out where `weights` says it."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Fields of its configuration, by their names in transformers."""
    weights: str = ""
    """Folder of config.json and safetensors, as `save_pretrained` writes it; empty: newly initialised."""
    config_folder: str = ""
    """Such a folder of which family and sizes are taken, and no weights."""

    def __post_init__(self) -> None:
        if self.weights and self.config_folder:
            raise AuditError(
                "config_folder: expected none beside weights, whose folder says family and sizes itself, got "
                f"{self.config_folder}"
            )
        if self.family and self.family not in FAMILIES:
            raise unknown_name("family of transformers", self.family, FAMILIES)
        if not (self.family or self.weights or self.config_folder):
            raise AuditError("expected a family of transformers or a folder of weights, got neither")

    @property
    def model_type(self) -> str:
        """The family.

        Raises:
            AuditError: the folder holds another, or an unknown one.
        """
        if not self._described:
            return self.family
        found = str(_described(self.folder).get("model_type", ""))
        if found not in FAMILIES:
            raise unknown_name("family of transformers", found, FAMILIES, where=f"{self.folder}/config.json")
        if self.family not in ("", found):
            raise AuditError(
                f"weights: expected a model of family {self.family} in {self.folder}, got {found}"
            )
        return found

    @property
    def _described(self) -> bool:
        """Whether a folder says family and sizes."""
        return bool(self.weights or self.config_folder)

    @property
    def folder(self) -> Path:
        """That of the weights, or of the sizes alone."""
        return Path(os.path.expanduser(self.weights or self.config_folder))

    def without_weights(self) -> HuggingFaceOptions:
        """The same family and sizes, newly initialised."""
        return replace(self, weights="", config_folder=self.weights or self.config_folder)

    def files(self) -> list[Path]:
        """The files of weights.

        Raises:
            AuditError: there are none, or pickles alone, adapters, or a shard is missing.
        """
        return weight_files(self.folder)

    def config(self, vocabulary: int) -> Any:
        """The configuration in transformers; one of weights has its own vocabulary.

        Args:
            vocabulary: words of the data set.

        Raises:
            AuditError: transformers is not installed, or an option is unknown or impossible.
        """
        kind, library = self.model_type, transformers()
        self._check_names(kind, _settable(library.AutoConfig.for_model(kind)))
        given = _without_type(self._bounded()) if self._described else {"vocab_size": vocabulary}
        try:
            made = library.AutoConfig.for_model(kind, **{**given, **_NO_TOKENS, **self.options})
        except Exception as error:  # each version of the library has errors of its own
            raise AuditError(f"{kind}: cannot be configured: {' '.join(str(error).split()):.300}") from None
        for name in ("activation_function", "hidden_act"):
            if getattr(made, name, None) in _FUSED:
                setattr(made, name, _FUSED[getattr(made, name)])
        return made

    def _bounded(self) -> dict[str, Any]:
        """What config.json says, with no more blocks than there are tensors: the library makes lists of as many."""
        found = _described(self.folder)
        most = len(tensor_shapes(self.files()))
        for name in _BLOCKS & found.keys():
            if isinstance(found[name], int) and found[name] > most:
                raise AuditError(
                    f"{self.folder}/config.json: {name}: expected at most {most}, as the files hold {most} tensors, "
                    f"got {found[name]}"
                )
        return found

    def _check_names(self, kind: str, valid: set[str]) -> None:
        for name in self.options:
            if name == "vocab_size":
                raise AuditError("vocab_size: expected none: it is that of the data set, or of the weights")
            if name not in valid:
                raise unknown_name(f"option of {kind}", name, valid)

    def identity(self, vocabulary: int) -> dict[str, Any]:
        """All sizes of the model, and the digest of its weights."""
        found = {"transformers": self.model_type, "sizes": self.sizes(vocabulary)}
        return {**found, "weights": weights_digest(self.folder)} if self.weights else found

    def sizes(self, vocabulary: int) -> dict[str, Any]:
        """All that may be set of the configuration, by its names in transformers."""
        made = self.config(vocabulary)
        sizes = {name: getattr(made, name) for name in ("vocab_size", *sorted(_settable(made)))}
        return dict(json.loads(json.dumps(sizes, default=str)))

    def check_alike(self, folder: Path, vocabulary: int) -> None:
        """Refuse a finished model of another architecture: shapes do not tell heads or activations.

        Args:
            folder: of the model.
            vocabulary: words of the data set.

        Raises:
            AuditError: its configuration differs in what changes answers, and no option here says so.
        """
        theirs = HuggingFaceOptions(family=self.model_type, options=self.options, weights=str(folder))
        mine, found = self.sizes(vocabulary), theirs.sizes(vocabulary)
        other = [n for n in sorted(mine) if mine[n] != found.get(n) and not n.endswith(_IN_TRAINING)]
        if other:
            differ = ", ".join(
                f"{n} = {json.dumps(found.get(n))} ({json.dumps(mine[n])} here)" for n in other
            )
            raise AuditError(
                f"{folder}/config.json: expected the sizes of the architecture on the axis, got {differ:.300}; "
                f'config_folder = "{folder}" in its table of [architectures] takes them from there'
            )

    def check(self, source: DataSource, labels: Labels) -> None:
        """Refuse documents that the model cannot see as a whole, or whose ids mean other words to it.

        Raises:
            AuditError: they do not fit.
        """
        if self._described:
            self.files()
        made = self.config(labels.vocabulary)
        context = int(made.max_position_embeddings)
        if labels.longest - 1 > context:
            raise AuditError(
                f"expected documents of at most {context + 1} tokens, as the model sees {context} at once, got one of "
                f"{labels.longest}; set longest = {context + 1} in data.options"
                + (", and longer to refuse or cut" if isinstance(source, TextSource) else "")
            )
        if self._described:
            self._check_vocabulary(source, labels, int(made.vocab_size))

    def _check_vocabulary(self, source: DataSource, labels: Labels, words: int) -> None:
        if (self.folder / "tokenizer.json").is_file() and isinstance(source, TextSource):
            if tokenizer_of(str(self.folder)).words() != source.words():
                raise AuditError(
                    f"weights: expected documents in the words of {self.folder}/tokenizer.json, got others; set "
                    f'tokenizer = "{self.folder}" in data.options'
                )
        elif not labels.vocabulary <= words <= -(-labels.vocabulary // _ROOM) * _ROOM:
            raise AuditError(
                f"weights: expected a model of {labels.vocabulary} words, as the data set has, got one of {words}; the "
                "tokenizer of the data must be the model's own"
            )


_FUSED = {"gelu_new": "gelu_pytorch_tanh"}
"""Activations that the library writes as seven kernels, by the name under which torch has the same formula as one."""
_NO_TOKENS = {"pad_token_id": None, "bos_token_id": None, "eos_token_id": None}
"""The word of padding would never be trained: rows are filled by lengths, and no word stands for nothing."""


def transformers() -> Any:
    """The package.

    Raises:
        AuditError: it is not installed.
    """
    try:
        import transformers as library
    except ImportError:
        raise AuditError(f"expected the package transformers, which is not installed; {INSTALL}") from None
    return library


def _settable(made: Any) -> set[str]:
    """Names of a configuration that change the model; those that only some other use of it reads are none."""
    own = {*type(made).__annotations__, *type(made).attribute_map} - {"vocab_size"} - _NO_OPTION
    return {name for name in own if not name.startswith(("_", "summary_"))}


def _without_type(described: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in described.items() if name != "model_type"}


def _described(folder: Path) -> dict[str, Any]:
    """What config.json says; code and compressed weights that it names are refused."""
    path = folder / "config.json"
    if not path.is_file():
        raise AuditError(f"weights: no file {path}; expected a folder as save_pretrained writes it")
    found = json_object(path)
    for name, what in (("auto_map", "code of its own"), ("quantization_config", "quantised weights")):
        if name in found:
            raise AuditError(f"{path}: {name}: expected none: {what} cannot be audited")
    return found
