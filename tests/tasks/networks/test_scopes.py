import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tasks.errors import AuditError, UnknownName
from tasks.networks.models import build
from tasks.networks.scope_text import check_text, parse_scope
from tasks.networks.scopes import ScopeViolation, bind

BLOCKS = 6


def make():
    return build(
        "resnetv2_18",
        {"layers": [2, 2, 2], "channels": [8, 16, 32], "stem_chs": 8},
        image_shape=(1, 8, 8),
        num_classes=4,
        mean=0.5,
        std=0.25,
        seed_path=("scopes",),
    )


@pytest.fixture
def model():
    return make()


def state_of(model):
    return {k: v.clone() for k, v in model.state_dict().items()}


def a_step(model, scope):
    images, labels = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 4
    optimizer = torch.optim.SGD(scope.parameters(model).values(), lr=0.1, momentum=0.9, weight_decay=0.1)
    F.cross_entropy(model(images), labels).backward()
    optimizer.step()


def groups_in(scope):
    found = set()
    for name in scope.names:
        parts = name.split(".")
        found.add(int(parts[2]) * 2 + int(parts[4]) if parts[1] == "stages" else parts[1])
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("all", {"stem", 0, 1, 2, 3, 4, 5, "norm", "head"}),
        ("head", {"head"}),
        ("last-1", {5, "norm", "head"}),
        ("last-6", {0, 1, 2, 3, 4, 5, "norm", "head"}),
        ("block:0", {0}),
        ("block:5", {5, "norm"}),
        ("blocks:1..3", {1, 2, 3}),
        ("early", {"stem", 0, 1}),
        ("intermediate", {2, 3}),
        ("last", {4, 5, "norm", "head"}),
        ("head+block:0", {"head", 0}),
        (" head + block:0 + block:0 ", {"head", 0}),
        (r"regex:^body\.stem", {"stem"}),
        (r"head+regex:stages\.0\.blocks\.0+", {"head", 0}),
    ],
)
def test_scopes_select_the_named_groups(model, text, expected):
    scope = bind(text, model)
    assert groups_in(scope) == expected
    assert scope.num_parameters == sum(p.numel() for p in scope.parameters(model).values())


def test_early_intermediate_last_partition_the_model(model):
    parts = [set(bind(text, model).names) for text in ("early", "intermediate", "last")]
    assert sum(map(len, parts)) == len(set().union(*parts)) == len(list(model.parameters()))


def test_norm_only_and_conv_only_follow_the_layer_types(model):
    owners = {
        kind: {n.rpartition(".")[0] for n in bind(kind, model).names} for kind in ("norm-only", "conv-only")
    }
    assert owners["norm-only"] == {n for n, m in model.named_modules() if isinstance(m, nn.BatchNorm2d)}
    assert owners["conv-only"] == {n for n, m in model.named_modules() if isinstance(m, nn.Conv2d)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("haed", r"scope: no layer scope 'haed'\. Did you mean 'head'"),
        ("", "no layer scope ''"),
        ("head+", "no layer scope ''"),
        ("+regex:x", "no layer scope ''"),
        ("headregex:x", "no layer scope"),
        ("last-0", "expected last-1 or more"),
        ("blocks:3..1", "expected the first block at or before the last"),
        ("block:x", "no layer scope 'block:x'"),
        ("regex:(", r"'regex:\(': not a regular expression"),
        ("regex:", "expected a pattern"),
    ],
)
def test_bad_text_is_refused_without_a_model(text, message):
    with pytest.raises(AuditError, match=message):
        check_text(text)


def test_unknown_scope_is_an_unknown_name():
    with pytest.raises(UnknownName):
        check_text("hed")


@pytest.mark.parametrize("text", ["block:6", "blocks:0..6", "last-7"])
def test_blocks_out_of_range_name_the_range(model, text):
    with pytest.raises(AuditError, match=r"an architecture with 6 blocks \(0 to 5\)"):
        bind(text, model)


def test_empty_scope_and_bad_policy_are_refused(model):
    with pytest.raises(AuditError, match="no parameter of this architecture is in it"):
        bind("regex:nowhere", model)
    with pytest.raises(AuditError, match="norm_statistics: expected update or freeze"):
        bind("all", model, norm_statistics="thaw")


@given(st.lists(st.sampled_from(["head", "last-2", "block:3", "norm-only", "early"]), min_size=1))
def test_a_sum_of_terms_parses_to_its_terms(terms):
    assert [term.text for term in parse_scope("+".join(terms))] == terms


def test_the_grammar_imports_no_torch():
    program = "import sys, tasks.networks.scope_text; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("text", ["head", "last-1", "block:2", "norm-only", "conv-only", "early", "all"])
@pytest.mark.parametrize("policy", ["update", "freeze"])
def test_a_step_moves_the_scope_and_nothing_else(model, text, policy):
    before = state_of(model)
    scope = bind(text, model, norm_statistics=policy)
    scope.apply(model)
    a_step(model, scope)
    scope.release(model)
    after = model.state_dict()
    scope.verify(before, after)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved <= {*scope.names, *scope.buffer_names}
    assert {n for n in moved if n.endswith("weight")} == {n for n in scope.names if n.endswith("weight")}
    has_norms = any("norm" in name for name in scope.names)
    assert bool(moved & set(scope.buffers(model))) == (policy == "update" and has_norms)
    assert any(name.endswith("num_batches_tracked") for name in moved) == (policy == "update" and has_norms)


@pytest.mark.parametrize(
    "name",
    ["body.stem.conv.weight", "body.stages.0.blocks.0.norm1.running_mean",
     "body.stages.0.blocks.0.norm1.num_batches_tracked", "normalise.mean"],
)  # fmt: skip
def test_verify_catches_any_tensor_outside_the_scope(model, name):
    scope, before = bind("head", model), state_of(model)
    after = state_of(model)
    after[name].flatten()[:1].add_(1)
    with pytest.raises(ScopeViolation, match=rf"changed outside .*'{name}'"):
        scope.verify(before, after)


def test_verify_compares_bits_not_values(model):
    scope, before = bind("head", model), state_of(model)
    after = state_of(model)
    before["body.stem.conv.weight"].zero_()
    after["body.stem.conv.weight"].zero_().neg_()
    with pytest.raises(ScopeViolation):
        scope.verify(before, after)
    before["body.stem.conv.weight"].fill_(float("nan"))
    after["body.stem.conv.weight"].fill_(float("nan"))
    scope.verify(before, after)


def test_verify_catches_names_and_shapes(model):
    scope, before = bind("head", model), state_of(model)
    after = state_of(model)
    del after["body.stem.conv.weight"]
    with pytest.raises(ScopeViolation, match="names differ"):
        scope.verify(before, after)
    wider = state_of(model)
    wider["body.head.fc.bias"] = torch.zeros(5)
    with pytest.raises(ScopeViolation, match="another shape"):
        scope.verify(before, wider)


def test_batch_norms_follow_scope_and_policy(model):
    frozen = bind("last-1", model, norm_statistics="freeze")
    moving = bind("last-1", model)
    moving.apply(model)
    training = {n for n, m in model.named_modules() if isinstance(m, nn.BatchNorm2d) and m.training}
    assert training == {f"body.stages.2.blocks.1.norm{i}" for i in (1, 2)} | {"body.norm"}
    frozen.apply(model)
    assert not any(m.training for m in model.modules() if isinstance(m, nn.BatchNorm2d))
    assert model.training
    assert model.body.head.training
    frozen.evaluate(model)
    assert not any(m.training for m in model.modules())


def test_release_restores_the_gradient_switches(model):
    model.body.stem.conv.weight.requires_grad_(False)
    was = {n: p.requires_grad for n, p in model.named_parameters()}
    scope = bind("head+early", model)
    scope.apply(model)
    assert {n for n, p in model.named_parameters() if p.requires_grad} == set(scope.names)
    a_step(model, scope)
    scope.release(model)
    assert {n: p.requires_grad for n, p in model.named_parameters()} == was
    assert all(p.grad is None for p in model.parameters())
    assert not any(m.training for m in model.modules())


def graph_reaches(tensor):
    """Every leaf that the backward graph of `tensor` accumulates into."""
    leaves, todo, seen = set(), [tensor.grad_fn], set()
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            leaves.add(node.variable)
        todo += [following for following, _ in node.next_functions]
    return leaves


@pytest.mark.parametrize("text", ["head", "last-1", "block:4+head", "all"])
def test_the_backward_graph_stops_at_the_frozen_prefix(model, text):
    scope = bind(text, model)
    scope.apply(model)
    graphs = {}
    for name, module in model.body.named_modules():
        if name.startswith("stages") and name.count(".") == 3:
            module.register_forward_hook(
                lambda _m, _i, out, name=name: graphs.__setitem__(name, out.grad_fn is not None)
            )
    loss = model(torch.rand(4, 1, 8, 8)).sum()
    assert graph_reaches(loss) == set(scope.parameters(model).values())
    first = {"head": 6, "last-1": 5, "block:4+head": 4, "all": 0}[text]
    assert list(graphs.values()) == [i >= first for i in range(BLOCKS)]


class Tied(nn.Module):
    """Two blocks that share their weight, and a head."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)
        self.second.weight = self.first.weight


def test_a_shared_weight_may_move_under_all_its_names():
    model = Tied()
    scope, before = bind("all", model), {k: v.clone() for k, v in model.state_dict().items()}
    assert scope.tied_names == ("second.weight",)
    assert scope.num_parameters == sum(p.numel() for p in model.parameters())
    with torch.no_grad():
        model.first.weight.add_(1.0)
    scope.verify(before, model.state_dict())
    head = bind("head", model)
    assert head.tied_names == ()
    with pytest.raises(ScopeViolation, match=r"first\.weight"):
        head.verify(before, model.state_dict())
