"""The simulated device notices what it is there to notice: otherwise the other tests of this folder say nothing."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from tests.support.simulated_device import refusals
from tests.support.simulated_device.record import recording


@pytest.fixture
def x(device):
    return torch.arange(12, device=device).view(3, 4).float()


def total(counts):
    return sum(counts.values())


def test_numbers_are_those_of_the_cpu(device, x):
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 2))
    twin = copy.deepcopy(model).to(device)
    for net, inputs in ((model, x.cpu()), (twin, x)):
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, fused=True)
        for _ in range(3):
            optimizer.zero_grad()
            net(inputs).square().sum().backward()
            optimizer.step()
    state = twin.state_dict()
    assert all(t.device == device for t in state.values())
    assert all(torch.equal(t, state[name].cpu()) for name, t in model.state_dict().items())


@pytest.mark.parametrize(
    "act",
    [
        lambda x: x + torch.ones(3, 4),
        lambda x: torch.cat([x, torch.ones(3, 4)]),
        lambda x: torch.stack([x.sum(), torch.tensor(1.0)]),
        lambda x: x.gather(1, torch.zeros(3, 1, dtype=torch.long)),
        lambda x: torch.ones(3, 4).add_(x),
        lambda x: torch.tensor(0.0).add_(x.sum()),
        lambda x: nn.Linear(4, 2)(x),
    ],
)
def test_two_devices_in_one_operator_are_refused(x, act):
    with pytest.raises(RuntimeError, match="at least two devices, simulated:0 and cpu"):
        act(x)


def test_what_cuda_takes_from_the_host_is_taken(x):
    assert (x * torch.tensor(2.0)).cpu()[0, 1] == 2
    rows = torch.tensor([2, 0])
    assert x[rows].tolist() == x[[2, 0]].tolist() == x[rows.numpy()].tolist() == x.cpu()[rows].tolist()
    x[[0]] = 7.0
    assert x[0].tolist() == [7.0] * 4


@pytest.mark.parametrize(
    "act",
    [
        lambda x, g: torch.randn(3, device=x.device, generator=g),
        lambda x, g: x.normal_(generator=g),
        lambda x, g: torch.multinomial(x + 1, 1, generator=g),
        lambda x, g: torch.randperm(3, device=x.device, generator=g),
    ],
)
def test_a_generator_of_the_cpu_is_refused(x, act):
    with pytest.raises(RuntimeError, match="'simulated' device type for generator but found 'cpu'"):
        act(x, torch.Generator())


@pytest.mark.parametrize(
    "act",
    [
        lambda x: x.histc(),
        lambda x: x.median(dim=0),
        lambda x: x[0].long().bincount(weights=x[0]),
    ],
)
def test_what_has_no_deterministic_kernel_is_refused(x, act):
    torch.use_deterministic_algorithms(False)
    act(x)
    torch.use_deterministic_algorithms(True)
    with pytest.raises(RuntimeError, match="does not have a deterministic implementation"):
        act(x)
    assert x.median() == 5.0
    assert x[0].long().bincount().tolist() == [1, 1, 1, 1]


def test_memory_of_the_device_is_not_pinned(device):
    with pytest.raises(RuntimeError, match="Only dense CPU tensors can be pinned"):
        torch.zeros(2, device=device, pin_memory=True)


def test_an_array_of_the_host_needs_a_copy(x):
    for convert in (lambda: x.numpy(), lambda: np.asarray(x)):
        with pytest.raises((RuntimeError, TypeError)):
            convert()
    assert x.cpu().numpy().shape == (3, 4)


def test_draws_leave_the_stream_of_the_cpu_alone_and_are_seeded_as_cuda(device):
    before = torch.get_rng_state()
    draws = []
    for seed in (0, 0, 1):
        torch.cuda.manual_seed_all(seed)
        draws.append(
            [torch.rand(4, device=device).tolist(), nn.Dropout()(torch.ones(8, device=device)).tolist()]
        )
    assert draws[0] == draws[1] != draws[2]
    assert torch.equal(torch.get_rng_state(), before)


class Careless(torch.autograd.Function):
    """Mixes devices in its backward pass."""

    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, gradient):
        return gradient * torch.ones(3, 4)


def test_a_refusal_in_a_backward_pass_is_kept_and_does_not_end_the_process(x):
    Careless.apply(x.requires_grad_()).sum().backward()
    (message,) = refusals.IN_BACKWARD
    assert "two devices, simulated:0 and cpu! (mul, tests/device/" in message
    refusals.IN_BACKWARD.clear()


@pytest.mark.parametrize(
    ("act", "count"),
    [
        (lambda x: x.sum().item(), 1),
        (lambda x: float(x.sum()), 1),
        (lambda x: bool(x.any()), 1),
        (lambda x: x.cpu(), 1),
        (lambda x: x.to("cpu"), 1),
        (lambda x: x.tolist(), 1),
        (lambda x: torch.empty(3, 4).copy_(x), 1),
        (lambda x: x[x > 3], 1),
        (lambda x: x.nonzero(), 1),
        (lambda x: x.unique(), 1),
        (lambda x: torch.equal(x, x), 1),
        (lambda x: torch.linalg.solve(x[:, :3] + 1, x[:, 0]), 1),
        (lambda x: torch.linalg.svd(x), 1),
        (lambda x: torch.repeat_interleave((x[0] > 2).long()), 1),
        (lambda x: torch.nn.utils.clip_grad_norm_([nn.Parameter(x)], 1.0), 0),
        (lambda x: (x.argmax(1), x.where(x > 3, 0.0), x.cumsum(0), x.to(x.device)), 0),
    ],
)
def test_waits_are_counted_by_line(x, act, count):
    with recording() as record:
        act(x)
    assert total(record.waits) == count
    assert all(place.startswith("tests/device/test_simulated_device.py:") for place in record.waits)
    assert not record.uploads


@pytest.mark.parametrize(
    ("act", "count"),
    [
        (lambda x: torch.ones(2).to(x.device), 1),
        (lambda x: torch.tensor([1.0], device=x.device), 1),
        (lambda x: torch.as_tensor(np.ones(2), device=x.device), 1),
        (lambda x: x.new_tensor([1.0]), 1),
        (lambda x: x[[0, 1]], 1),
        (lambda x: x.copy_(torch.ones(3, 4)), 1),
        (lambda x: nn.Linear(4, 2).to(x.device), 2),
        (
            lambda x: (
                torch.zeros(2, device=x.device),
                torch.full_like(x, 3.0),
                x + 1,
                x * torch.tensor(2.0),
            ),
            0,
        ),
    ],
)
def test_uploads_are_counted_by_line(x, act, count):
    with recording() as record:
        act(x)
    assert total(record.uploads) == count
    assert all(place.startswith("tests/device/test_simulated_device.py:") for place in record.uploads)
    assert not record.waits


def test_operators_and_float64_are_counted(x):
    with recording() as record:
        (x + 1).double().exp()
    assert record.operators == {"add": 1, "_to_copy": 1, "exp": 1}
    assert [place.rpartition(" ")[2] for place in record.doubles] == ["_to_copy", "exp"]


def test_a_recording_within_another_ends_alone(x):
    with recording() as outer:
        with recording() as inner:
            pass
        x.sum().item()
    assert (total(outer.waits), total(inner.waits)) == (1, 0)


def test_shapes_changed_in_place_are_followed(x):
    x.unsqueeze_(0).transpose_(1, 2)
    assert x.shape == (1, 4, 3)
    assert (x + 1).shape == (1, 4, 3)
