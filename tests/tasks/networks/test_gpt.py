"""Lethe's own language model: causal, sized as asked, in layer groups; its head its own or the stem's."""

import pytest
import torch

from tasks.errors import AuditError
from tasks.networks.gpt import build_gpt
from tasks.networks.gpt_options import GptOptions
from tasks.networks.layers import layer_groups, norm_layers
from tasks.networks.scopes import bind
from tasks.runtime import weights
from tasks.runtime.seeding import torch_generator

V = 23


def make(**options):
    return build_gpt(
        GptOptions(**{"d": 16, "layers": 3, "context": 9, **options}), vocabulary=V, seed_path=("gpt",)
    )


def ids(n=4, width=9):
    return torch.randint(V, (n, width), generator=torch_generator("gpt", "ids"))


@pytest.mark.parametrize("tied", [False, True])
def test_no_position_sees_a_later_one(tied):
    model, tokens = make(tied=tied), ids()
    with torch.no_grad():
        whole = model(tokens)
        assert (whole.shape, whole.dtype) == ((4, 9, V), torch.float32)
        for width in (1, 5):
            torch.testing.assert_close(model(tokens[:, :width]), whole[:, :width], rtol=1e-4, atol=1e-6)
            changed = tokens.clone()
            changed[:, width:] = (changed[:, width:] + 1) % V
            torch.testing.assert_close(model(changed)[:, :width], whole[:, :width], rtol=1e-4, atol=1e-6)
            assert not torch.allclose(model(changed)[:, width], whole[:, width])


def test_equal_paths_give_equal_bits_and_other_sizes_other_models():
    assert weights.dump(make()) == weights.dump(make())
    count = sum(p.numel() for p in make().parameters())
    assert count - sum(p.numel() for p in make(tied=True).parameters()) == 16 * V
    assert sum(p.numel() for p in make(layers=2).parameters()) < count


def test_depth_is_stem_blocks_and_head():
    groups = layer_groups(make())
    assert [group.name for group in groups] == ["stem", "block:0", "block:1", "block:2", "head"]
    members = {group.name: group.module_names for group in groups}
    assert members["stem"] == ("stem.tokens", "stem.positions")
    assert members["head"] == ("head",)
    assert members["block:2"][-1] == "norm"
    assert len(norm_layers(make())) == 7
    names = [name for group in groups for name in group.parameter_names]
    assert sorted(names) == sorted(name for name, _ in make().named_parameters())


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("all", {"stem", "0", "1", "2", "norm", "head"}),
        ("last-1", {"2", "norm", "head"}),
        ("last-2", {"1", "2", "norm", "head"}),
        ("early", {"stem", "0"}),
        ("intermediate", {"1"}),
        ("last", {"2", "norm", "head"}),
        ("head", {"head"}),
    ],
)
def test_scopes_are_those_of_every_architecture(scope, expected):
    named = [name.split(".") for name in bind(scope, make()).names]
    assert {parts[1] if parts[0] == "blocks" else parts[0] for parts in named} == expected


def test_a_tied_head_is_in_the_stem_and_is_no_scope_of_its_own():
    model = make(tied=True)
    assert [group.name for group in layer_groups(model)] == ["stem", "block:0", "block:1", "block:2"]
    for scope in ("all", "early"):
        assert bind(scope, model).tied_names == ("head.weight",)
    assert bind("last-1", model).names == tuple(n for n in bind("last-1", make()).names if n != "head.weight")
    assert bind("norm-only", model).names == bind("norm-only", make()).names
    with pytest.raises(
        AuditError, match="the head shares its weights with the stem; take early, which holds them"
    ):
        bind("head", model)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.no_grad():
        model.stem.tokens.weight += 1
    bind("all", model).verify(before, model.state_dict())
    with pytest.raises(AuditError, match=r"scope 'last-1': changed outside"):
        bind("last-1", model).verify(before, model.state_dict())


def test_a_tied_model_is_the_same_when_it_is_read_again():
    model, again = (
        make(tied=True),
        build_gpt(GptOptions(d=16, layers=3, context=9, tied=True), vocabulary=V, seed_path=("other",)),
    )
    weights.load(again, weights.dump(model))
    assert again.head.weight is again.stem.tokens.weight
    with torch.no_grad():
        assert torch.equal(model(ids()), again(ids()))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": 0}, "layers: expected at least 1, got 0"),
        ({"d": 30, "heads": 4}, "d: expected a multiple of heads = 4, such as 32, got 30"),
    ],
)
def test_sizes_that_cannot_be_are_refused(options, message):
    with pytest.raises(AuditError, match=message):
        GptOptions(**options)


def test_documents_longer_than_the_context_are_refused_and_not_cut():
    GptOptions(context=9).check_longest(10)
    with pytest.raises(AuditError, match="context: expected at least 10, as documents have up to 11 tokens"):
        GptOptions(context=9).check_longest(11)
