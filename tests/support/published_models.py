"""Tiny models of every family of transformers that is known: two blocks of width 32, 48 positions."""

from pathlib import Path

from tasks.networks.hugging_face import LanguageModel, _quiet, build_hugging_face
from tasks.networks.hugging_face_options import HuggingFaceOptions

_LIKE_LLAMA = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 64,
    "max_position_embeddings": 48,
}
SIZES = {
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 48},
    "llama": _LIKE_LLAMA,
    "qwen2": _LIKE_LLAMA,
    "gemma2": {**_LIKE_LLAMA, "head_dim": 16, "query_pre_attn_scalar": 16},
    "gpt_neox": {name: value for name, value in _LIKE_LLAMA.items() if name != "num_key_value_heads"},
    "opt": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "ffn_dim": 64,
        "word_embed_proj_dim": 32,
        "max_position_embeddings": 48,
    },
}
FAMILIES = sorted(SIZES)
WORDS = 60


def tiny_options(family: str, **options) -> HuggingFaceOptions:
    """Options of a tiny model."""
    return HuggingFaceOptions(family=family, options={**SIZES[family], **options})


def tiny_model(family: str, seed: int = 0, words: int = WORDS, **options) -> LanguageModel:
    """A new one."""
    return build_hugging_face(tiny_options(family, **options), vocabulary=words, seed_path=("tiny", seed))


def saved(
    family: str, folder: Path, *, shards: bool = False, words: int = WORDS, seed: int = 1, **options: object
) -> LanguageModel:
    """A tiny model, written as `save_pretrained` writes it."""
    model = tiny_model(family, seed=seed, words=words, **options)
    with _quiet():
        model.body.save_pretrained(folder, max_shard_size="20KB" if shards else "1GB")
    return model
