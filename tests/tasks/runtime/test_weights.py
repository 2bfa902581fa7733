import pytest
import safetensors.torch
import torch
from torch import nn

from tasks.errors import AuditError
from tasks.runtime import weights


def make(seed=0):
    torch_model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3, 2))
    generator = torch.Generator().manual_seed(seed)
    for tensor in torch_model.state_dict().values():
        tensor.copy_(torch.randint(1, 9, tensor.shape, generator=generator))
    return torch_model


def test_weights_come_back_bit_for_bit_in_any_layout():
    source = make(1).to(memory_format=torch.channels_last)
    target = make(2)
    weights.load(target, weights.dump(source))
    assert all(torch.equal(v, target.state_dict()[k]) for k, v in source.state_dict().items())
    assert target[1].num_batches_tracked == source[1].num_batches_tracked != make(2)[1].num_batches_tracked
    assert target[0].weight.is_contiguous()


def test_equal_weights_give_equal_bytes_and_digests():
    first, second = weights.dump(make()), weights.dump(make().to(memory_format=torch.channels_last))
    assert first == second
    assert weights.digest(first) == weights.digest(second) != weights.digest(weights.dump(make(1)))


def test_dump_does_not_alias_the_model():
    model = make()
    data = weights.dump(model)
    model[3].weight.data.zero_()
    weights.load(model, data)
    assert torch.equal(model[3].weight, make()[3].weight)


def test_shared_tensors_stay_shared():
    model = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2)})
    model["b"].weight = model["a"].weight
    data = weights.dump(model)
    expected = model["a"].weight.detach().clone()
    model["a"].weight.data.zero_()
    weights.load(model, data)
    assert torch.equal(model["b"].weight, expected)
    assert model["a"].weight is model["b"].weight


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("0.weight"), "weights: '0.weight' is missing"),
        (lambda s: s.update(extra=torch.zeros(1)), "weights: 'extra' is not part of this architecture"),
        (lambda s: s.update({"3.bias": torch.zeros(3)}), r"'3.bias': expected torch.float32 \(2,\), got"),
        (lambda s: s.update({"3.bias": torch.zeros(2).half()}), "got torch.float16"),
    ],
)
def test_strict_names_shapes_and_types(change, message):
    state = safetensors.torch.load(weights.dump(make()))
    change(state)
    model = make(3)
    with pytest.raises(AuditError, match=message):
        weights.load(model, safetensors.torch.save(state))
    assert all(torch.equal(v, make(3).state_dict()[k]) for k, v in model.state_dict().items())


@pytest.mark.parametrize("damage", [b"", b"\x00" * 20, "cut"])
def test_damaged_bytes_are_refused(damage):
    data = weights.dump(make())[:-5] if damage == "cut" else damage
    with pytest.raises(AuditError, match="weights: damaged file"):
        weights.load(make(), data)
