"""Models of transformers: the library's own answers and hidden states, our layer groups and scopes, and still bits."""

import copy

import pytest
import torch
from transformers import GPT2Config
from transformers.activations import ACT2FN

from tasks.errors import AuditError
from tasks.networks.hugging_face import build_hugging_face
from tasks.networks.hugging_face_options import HuggingFaceOptions
from tasks.networks.language_models import after_block, decoder_blocks
from tasks.networks.layers import layer_groups, norm_layers
from tasks.networks.scopes import bind
from tasks.objectives.base import Batch
from tasks.objectives.language import Language
from tasks.runtime import weights
from tasks.text.documents import documents
from tasks.training.documents import ResidentDocuments
from tasks.training.gradients import gradients_by_example, summed_gradient
from tests.support.published_models import FAMILIES, WORDS, saved, tiny_model, tiny_options

TIED = {"gpt2", "opt", "gemma2"}
LENGTHS = torch.tensor([9, 5, 1])


def tokens():
    return torch.randint(1, WORDS, (3, 9), generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_are_the_librarys_own(family):
    model, ids = tiny_model(family), tokens()
    caches = []
    model.body.register_forward_hook(lambda _, __, output: caches.append(output.past_key_values))
    inside = torch.arange(9) < LENGTHS[:, None]
    filled = torch.where(inside, ids, 0)
    with torch.no_grad():
        ours = model(filled)
        assert caches == [None]
        theirs = model.body(input_ids=filled, attention_mask=inside.long()).logits
        alone = [
            model.body(input_ids=row[None, :length]).logits[0]
            for row, length in zip(ids, LENGTHS, strict=True)
        ]
    assert ours.shape == (3, 9, WORDS)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours[inside], theirs[inside], rtol=0, atol=1e-6)
    for row, expected in zip(ours, alone, strict=True):
        torch.testing.assert_close(row[: len(expected)], expected, rtol=0, atol=1e-6)


def test_an_activation_in_one_kernel_is_the_published_one():
    model, ids = tiny_model("gpt2"), tokens()
    assert model.body.config.activation_function == "gelu_pytorch_tanh"
    assert GPT2Config().activation_function == "gelu_new"
    with torch.no_grad():
        ours = model(ids)
        for block in model.body.transformer.h:
            block.mlp.act = ACT2FN["gelu_new"]
        torch.testing.assert_close(ours, model(ids), rtol=0, atol=1e-6)
        for block in model.body.transformer.h:
            block.mlp.act = ACT2FN["relu"]
        assert not torch.allclose(ours, model(ids), atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_block_hands_on_the_librarys_own_hidden_states(family):
    model, ids = tiny_model(family), tokens()
    with torch.no_grad(), after_block(model, 0) as seen:
        model(ids)
    with torch.no_grad():
        found = model.body(input_ids=ids, use_cache=False, output_hidden_states=True).hidden_states
    assert len(decoder_blocks(model)) == len(found) - 1 > 1
    (own,) = seen
    torch.testing.assert_close(own, found[1], rtol=0, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_equal_paths_give_equal_bits_and_leave_the_global_generators_alone(family):
    before = torch.get_rng_state()
    state = tiny_model(family).state_dict()
    assert torch.equal(before, torch.get_rng_state())
    again, other = tiny_model(family).state_dict(), tiny_model(family, seed=1).state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in state.items())
    assert any(not torch.equal(other[name], tensor) for name, tensor in state.items())


@pytest.mark.parametrize("family", FAMILIES)
def test_every_parameter_is_in_one_layer_group(family):
    model = tiny_model(family)
    groups = {group.name: group.parameter_names for group in layer_groups(model)}
    expected = ["stem", "block:0", "block:1"] + ([] if family in TIED else ["head"])
    assert list(groups) == expected
    every = [name for name, _ in model.named_parameters()]
    assert sorted(name for names in groups.values() for name in names) == sorted(every)
    assert all("embed" in name or ".wte." in name or ".wpe." in name for name in groups["stem"])
    trailing = [name for name in groups["block:1"] if ".layers.1." not in name and ".h.1." not in name]
    assert trailing
    assert all("norm" in name or "ln_f" in name for name in trailing)
    expected_norms = {"gemma2": 9}.get(family, 5)
    assert len(norm_layers(model)) == expected_norms


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("scope", ["all", "last-1", "early", "head", "norm-only"])
def test_a_scope_is_trained_and_nothing_else(family, scope):
    model = tiny_model(family)
    if scope == "head" and family in TIED:
        with pytest.raises(AuditError, match="the head shares its weights with the stem; take early"):
            bind(scope, model)
        return
    bound, before = bind(scope, model), copy.deepcopy(model.state_dict())
    bound.apply(model)
    with torch.no_grad():
        for parameter in bound.parameters(model).values():
            parameter.add_(1.0)
    bound.release(model)
    after = model.state_dict()
    bound.verify(before, after)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == bound.movable & set(before)
    if scope == "all":
        assert moved == set(before)
    if scope == "early" and family in TIED:
        assert "body.lm_head.weight" in moved


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_by_example_are_those_of_each_alone(family):
    model = tiny_model(family)
    rows = [row[: int(n) + 1].tolist() for row, n in zip(tokens(), [8, 4, 3], strict=True)]
    data = ResidentDocuments.put(documents(rows), WORDS, torch.device("cpu"))
    subset = data.subset(torch.arange(3).numpy())
    names = [name for name, _ in model.named_parameters()]
    (found,) = gradients_by_example(model, subset, names)
    for i in range(3):
        alone = summed_gradient(model, subset.at(torch.tensor([i])))
        for name in names:
            torch.testing.assert_close(found[name][i], alone[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("shards", [False, True])
def test_a_folder_gives_its_bits_back_whatever_the_seed(family, shards, tmp_path):
    written = saved(family, tmp_path, shards=shards)
    assert (
        len(list(tmp_path.glob("*.safetensors"))) > 1
        if shards
        else (tmp_path / "model.safetensors").is_file()
    )
    read = build_hugging_face(
        HuggingFaceOptions(weights=str(tmp_path)), vocabulary=WORDS, seed_path=("any", 5)
    )
    state = read.state_dict()
    assert list(state) == list(written.state_dict())
    assert all(torch.equal(state[name], tensor) for name, tensor in written.state_dict().items())
    with torch.no_grad():
        assert torch.equal(read(tokens()), written(tokens()))
    other = tiny_model(family, seed=7)
    weights.load(other, weights.dump(read))
    assert torch.equal(other(tokens()), read(tokens()))


def test_the_word_of_padding_is_trained_like_any_other():
    model = tiny_model("opt", tie_word_embeddings=False)  # the library's default is word 1
    batch = Batch(torch.tensor([[1, 1, 1]]), torch.tensor([[1, 1, 2]]), torch.tensor([0]))
    Language(WORDS).loss(model(batch.inputs), batch).backward()
    stem = dict(model.named_parameters())["body.model.decoder.embed_tokens.weight"]
    assert bool(stem.grad[1].any())


def test_what_is_asked_for_is_built():
    model = tiny_model("gpt2", resid_pdrop=0.0, embd_pdrop=0.25)
    assert model.body.transformer.drop.p == 0.25
    assert model.body.transformer.h[0].mlp.dropout.p == 0.0
    assert tiny_options("gpt2").identity(WORDS) == tiny_options("gpt2", resid_pdrop=0.1).identity(WORDS)
    assert tiny_options("gpt2").identity(WORDS) != tiny_options("gpt2", resid_pdrop=0.0).identity(WORDS)
    assert tiny_options("gpt2").identity(WORDS) != tiny_options("gpt2").identity(WORDS + 1)
