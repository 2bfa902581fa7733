"""Folders of weights and their data: published layouts are read, and what does not fit is a line before any work."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import safetensors.torch
import torch

from tasks.datasets.base import Labels
from tasks.datasets.jsonl import Jsonl
from tasks.errors import AuditError
from tasks.networks import hugging_face
from tasks.networks.hugging_face import build_hugging_face
from tasks.networks.hugging_face_options import FAMILIES, HuggingFaceOptions
from tasks.networks.weight_folders import weights_digest
from tests.support.published_models import SIZES, WORDS, saved, tiny_model, tiny_options
from tests.support.tokenizer_files import write_tokenizer

WEIGHTS = "model.safetensors"


def labels(**fields):
    described = {"vocabulary": WORDS, "longest": 10, "class_names": ("document",)} | fields
    return Labels(labels=np.zeros(1, dtype=np.int64), is_test=np.zeros(1, dtype=bool), **described)


def build(folder, **options):
    return build_hugging_face(
        HuggingFaceOptions(weights=str(folder), **options), vocabulary=WORDS, seed_path=("f",)
    )


def rewrite(folder, change):
    state = safetensors.torch.load_file(folder / WEIGHTS)
    safetensors.torch.save_file(change(state), folder / WEIGHTS, metadata={"format": "pt"})


def edit(folder, **fields):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def corpus(folder, **options):
    path = folder / "data.jsonl"
    path.write_text('{"text": "some text"}\n{"text": "and more of it"}\n')
    return Jsonl(path=str(path), **options)


def test_layouts_of_older_files_are_read(tmp_path):
    written = saved("gpt2", tmp_path)
    mask = torch.ones(1, 1, 48, 48, dtype=torch.bool)
    rewrite(
        tmp_path,
        lambda state: (
            {name.removeprefix("transformer."): t for name, t in state.items()} | {"h.0.attn.bias": mask}
        ),
    )
    ids = torch.arange(1, 9)[None]
    assert torch.equal(build(tmp_path)(ids), written(ids))
    neox = tmp_path / "neox"
    written = saved("gpt_neox", neox)
    rewrite(neox, lambda state: {name.replace("lm_head", "embed_out"): t for name, t in state.items()})
    assert torch.equal(build(neox)(ids), written(ids))


def test_weights_in_half_precision_are_held_in_full(tmp_path):
    written = saved("llama", tmp_path)
    rewrite(tmp_path, lambda state: {name: tensor.bfloat16() for name, tensor in state.items()})
    edit(tmp_path, dtype="bfloat16")
    read = build(tmp_path)
    assert {p.dtype for p in read.parameters()} == {torch.float32}
    expected = written.state_dict()["body.lm_head.weight"].bfloat16().float()
    assert torch.equal(read.state_dict()["body.lm_head.weight"], expected)


def test_options_change_what_the_weights_leave_open(tmp_path):
    saved("gpt2", tmp_path)
    assert build(tmp_path, options={"embd_pdrop": 0.0}).body.transformer.drop.p == 0.0
    with pytest.raises(AuditError, match=r"'transformer\.wpe\.weight' is of another shape"):
        build(tmp_path, options={"n_positions": 50})


def test_the_digest_is_of_configuration_and_weights(tmp_path):
    saved("llama", tmp_path, shards=True)
    options, before = HuggingFaceOptions(weights=str(tmp_path)), weights_digest(tmp_path)
    assert options.identity(WORDS)["weights"] == before
    assert options.identity(WORDS)["transformers"] == "llama"
    shard = sorted(tmp_path.glob("*.safetensors"))[0]
    state = safetensors.torch.load_file(shard)
    safetensors.torch.save_file({name: t + 1 for name, t in state.items()}, shard, metadata={"format": "pt"})
    changed = weights_digest(tmp_path)
    assert changed != before
    edit(tmp_path, rms_norm_eps=1e-3)
    assert weights_digest(tmp_path) != changed


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda s: s | {"model.extra": torch.ones(1)}, "'model.extra' is not part of this architecture"),
        (
            lambda s: {n: t for n, t in s.items() if "norm" not in n},
            r"layernorm\.weight' is missing \(and 4 more\)",
        ),
        (lambda s: s | {"model.norm.weight": torch.ones(3)}, r"'model\.norm\.weight' is of another shape"),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(tmp_path, change, expected):
    saved("llama", tmp_path)
    rewrite(tmp_path, change)
    with pytest.raises(AuditError, match=expected):
        build(tmp_path)


def test_one_tensor_by_the_configuration_that_files_hold_twice_is_read_where_both_are_alike(tmp_path):
    written = saved("gpt2", tmp_path)
    rewrite(tmp_path, lambda s: s | {"lm_head.weight": s["transformer.wte.weight"].clone()})
    ids, read = torch.arange(1, 9)[None], build(tmp_path)
    assert torch.equal(read(ids), written(ids))
    assert read.body.lm_head.weight is read.body.transformer.wte.weight
    rewrite(tmp_path, lambda s: s | {"lm_head.weight": s["lm_head.weight"] + 1})
    with pytest.raises(
        AuditError, match=r"embedding and head differ, .* \(tie_word_embeddings\); expected one"
    ):
        build(tmp_path)
    edit(tmp_path, tie_word_embeddings=False)
    assert not torch.equal(build(tmp_path)(ids), written(ids))


def test_damaged_weights_are_refused(tmp_path):
    saved("llama", tmp_path)
    content = (tmp_path / WEIGHTS).read_bytes()
    (tmp_path / WEIGHTS).write_bytes(content[: len(content) // 2])
    with pytest.raises(AuditError, match="weights: cannot read"):
        build(tmp_path)


def _pickle(folder):
    (folder / WEIGHTS).unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")


def _outside(folder):
    index = {"weight_map": {"a": "../model.safetensors"}}
    (folder / WEIGHTS).rename(folder.parent / WEIGHTS)
    (folder / f"{WEIGHTS}.index.json").write_text(json.dumps(index))


def _lost_shard(folder):
    (folder / WEIGHTS).unlink()
    index = {"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}
    (folder / f"{WEIGHTS}.index.json").write_text(json.dumps(index))


def _shard_of_another_save(folder):
    (folder / WEIGHTS).unlink()
    saved("llama", folder, shards=True)
    first, second = sorted(folder.glob("*.safetensors"))[:2]
    stray = next(iter(safetensors.torch.load_file(second).items()))
    state = safetensors.torch.load_file(first) | {stray[0]: stray[1] + 1}
    safetensors.torch.save_file(state, first, metadata={"format": "pt"})


def _index_of_another_save(folder):
    _shard_of_another_save(folder)
    path = folder / f"{WEIGHTS}.index.json"
    index = json.loads(path.read_text())
    first, second = sorted(set(index["weight_map"].values()))[:2]
    swap = {first: second, second: first}
    index["weight_map"] = {name: swap.get(file, file) for name, file in index["weight_map"].items()}
    path.write_text(json.dumps(index))


def _whole_and_shards(folder):
    whole = (folder / WEIGHTS).read_bytes()
    saved("llama", folder, shards=True)
    (folder / WEIGHTS).write_bytes(whole)


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (_pickle, "pytorch_model.bin is a pickle, which may run code; expected model.safetensors"),
        (_outside, r"expected names of safetensors files, got '\.\./model.safetensors'"),
        (_lost_shard, "no file one.safetensors, one of 2 shards"),
        (_shard_of_another_save, r"index.json names for it, and model-00001-of-\d+.safetensors holds '"),
        (_index_of_another_save, r"index.json names for it, and model-00001-of-\d+.safetensors lacks '"),
        (_whole_and_shards, "got both; delete the one that is of another save"),
        (lambda f: (f / WEIGHTS).unlink(), "expected model.safetensors or model.safetensors.index.json in"),
        (
            lambda f: (f / "config.json").unlink(),
            "no file .*config.json; expected a folder as save_pretrained",
        ),
        (lambda f: (f / "config.json").write_text("{"), "config.json: expected a JSON object"),
        (lambda f: (f / "adapter_config.json").write_text("{}"), "holds adapters; expected whole weights"),
        (lambda f: edit(f, auto_map={"AutoModel": "m.M"}), "auto_map: expected none: code of its own"),
        (lambda f: edit(f, quantization_config={}), "quantization_config: expected none: quantised weights"),
        (lambda f: edit(f, model_type="lama"), "no family of transformers 'lama'. Did you mean 'llama'"),
        (lambda f: edit(f, model_type="mamba"), "no family of transformers 'mamba'"),
        (lambda f: edit(f, hidden_size="wide"), "llama: cannot be configured"),
    ],
)
def test_folders_of_another_layout_are_refused_before_any_model_is_made(tmp_path, spoil, expected):
    folder = tmp_path / "model"
    saved("llama", folder)
    spoil(folder)
    with pytest.raises(AuditError, match=expected):
        HuggingFaceOptions(weights=str(folder)).check(corpus(tmp_path), labels())


@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen2"])
def test_more_blocks_than_tensors_are_refused_before_the_library_lists_them(tmp_path, family):
    saved(family, tmp_path / "model")
    name = "n_layer" if family == "gpt2" else "num_hidden_layers"
    edit(tmp_path / "model", **{name: 10**12})
    with pytest.raises(
        AuditError, match=f"{name}: expected at most .., as the files hold .. tensors, got 10+$"
    ):
        HuggingFaceOptions(weights=str(tmp_path / "model")).check(corpus(tmp_path), labels())


@pytest.mark.parametrize(
    ("family", "claims"),
    [
        ("llama", {"intermediate_size": 10**12}),
        ("llama", {"head_dim": 10**12}),
        ("gpt2", {"n_positions": 10**12}),
        ("opt", {"ffn_dim": 10**12}),
    ],
)
def test_no_memory_is_taken_for_weights_that_no_file_holds(tmp_path, family, claims):
    saved(family, tmp_path)
    edit(tmp_path, **claims)
    with pytest.raises(
        AuditError, match=r"config\.json describes [\d,]{15,} weights, and the files hold \d\d,\d{3}$"
    ):
        build(tmp_path)


def test_nothing_is_looked_for_elsewhere(tmp_path):
    with pytest.raises(AuditError, match="weights: no folder gpt2; nothing is downloaded"):
        HuggingFaceOptions(weights="gpt2").check(corpus(tmp_path), labels())


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"hidden_sise": 3}, "no option of llama 'hidden_sise'. Did you mean 'hidden_size'"),
        ({"use_cache": True}, "no option of llama 'use_cache'"),
        ({"vocab_size": 10}, "vocab_size: expected none: it is that of the data set"),
        ({"hidden_size": 33}, "llama: cannot be (configured|built)"),
        ({"hidden_act": "nothing"}, "llama: cannot be (configured|built)"),
    ],
)
def test_options_that_cannot_be_are_refused(options, expected):
    with pytest.raises(AuditError, match=expected):
        tiny_model("llama", **options)


def test_what_names_no_model_is_refused(tmp_path):
    with pytest.raises(AuditError, match=r"no family of transformers 'lama'\. Did you mean 'llama'"):
        HuggingFaceOptions(family="lama")
    with pytest.raises(AuditError, match="expected a family of transformers or a folder of weights"):
        HuggingFaceOptions()
    saved("llama", tmp_path)
    with pytest.raises(AuditError, match=r"expected a model of family gpt2 in .*, got llama"):
        HuggingFaceOptions(family="gpt2", weights=str(tmp_path)).check(corpus(tmp_path), labels())


def test_layers_without_a_place_are_refused_by_name(monkeypatch):
    monkeypatch.setitem(
        hugging_face.FAMILIES, "llama", replace(FAMILIES["llama"], trailing=("model.somewhere",))
    )
    with pytest.raises(AuditError, match=r"'model\.norm\.weight' belongs neither to stem, blocks nor head"):
        tiny_model("llama")


def test_documents_longer_than_the_context_are_refused(tmp_path):
    source = corpus(tmp_path)
    tiny_options("gpt2").check(source, labels(longest=49))
    with pytest.raises(AuditError, match="as the model sees 48 at once, got one of 50; set longest = 49"):
        tiny_options("gpt2").check(source, labels(longest=50))


def test_a_tokenizer_that_is_not_the_models_is_refused(tmp_path):
    folder = tmp_path / "model"
    path = write_tokenizer(folder)
    words = corpus(tmp_path, tokenizer=str(path)).read_labels().vocabulary
    saved("llama", folder, words=words)
    options = HuggingFaceOptions(weights=str(folder))
    source = corpus(tmp_path, tokenizer=str(folder))
    options.check(source, source.read_labels())
    source = corpus(tmp_path)
    with pytest.raises(AuditError, match=r'expected documents in the words of .*; set tokenizer = "'):
        options.check(source, source.read_labels())
    path.unlink()
    options.check(source, source.read_labels())
    with pytest.raises(AuditError, match=f"of {words + 1} words, as the data set has, got one of {words}"):
        options.check(source, labels(vocabulary=words + 1))
    big = tmp_path / "big"
    saved("llama", big, words=1025)
    with pytest.raises(
        AuditError, match="expected a model of 259 words, as the data set has, got one of 1025"
    ):
        HuggingFaceOptions(weights=str(big)).check(source, source.read_labels())


def test_without_the_package_models_are_refused_in_a_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    for options in (tiny_options("llama"), HuggingFaceOptions(family="gpt2", options=SIZES["gpt2"])):
        with pytest.raises(
            AuditError, match=r"transformers, which is not installed; pip install 'lethe\[language\]'"
        ):
            options.check(corpus(tmp_path), labels())
