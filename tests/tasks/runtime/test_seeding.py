import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tasks.runtime.seeding import derive_seed, isolated_global_rng, numpy_generator, torch_generator

PATHS = st.lists(st.one_of(st.text(max_size=5), st.integers(-10, 10)), max_size=4)


def draws():
    return random.random(), np.random.random(), float(torch.rand(()))  # noqa: NPY002


@given(PATHS, PATHS)
def test_seeds_differ_exactly_when_paths_do(first, second):
    assert (derive_seed(*first) == derive_seed(*second)) == (first == second)
    assert 0 <= derive_seed(*first) < 2**63


def test_seeds_do_not_change_between_versions():
    assert derive_seed("init", 0) == 5696364089584488662


def test_paths_do_not_run_together():
    assert len({derive_seed("a", "b"), derive_seed("ab"), derive_seed("a,b"), derive_seed("a", 1, "b")}) == 4
    assert derive_seed("a", 1) != derive_seed("a", "1")


@pytest.mark.parametrize("make", [numpy_generator, torch_generator])
def test_generators_repeat_and_leave_the_global_ones_alone(make):
    def draw(*path):
        generator = make(*path)
        if isinstance(generator, np.random.Generator):
            return generator.random(4).tolist()
        return torch.rand(4, generator=generator).tolist()

    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    assert draw("x", 1) == draw("x", 1) != draw("x", 2)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002


def test_isolation_seeds_inside_and_restores_outside():
    with isolated_global_rng("p"):
        expected = draws()
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    torch.manual_seed(5)
    outside = draws()
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    torch.manual_seed(5)
    with isolated_global_rng("p"):
        assert draws() == expected
        with isolated_global_rng("q"):
            assert draws() != expected
        after_inner = draws()
    assert draws() == outside
    with isolated_global_rng("p"):
        draws()
        assert draws() == after_inner


def test_isolation_restores_after_an_error():
    states = random.getstate(), torch.get_rng_state()
    with pytest.raises(ZeroDivisionError), isolated_global_rng("p"):
        _ = draws()[0] / 0
    assert random.getstate() == states[0]
    assert torch.equal(torch.get_rng_state(), states[1])


def test_apples_gpu_is_seeded_and_put_back(monkeypatch):
    state = [torch.tensor([3], dtype=torch.uint8)]
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda: state[-1])
    monkeypatch.setattr(torch.mps, "set_rng_state", state.append)
    monkeypatch.setattr(torch.mps, "manual_seed", state.append)
    with isolated_global_rng("p"):
        assert state[1:] == [derive_seed("p")]
    assert state[2:] == [state[0]]
