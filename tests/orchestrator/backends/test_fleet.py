"""How many hosts are asked for, and what each asks Ray for."""

from __future__ import annotations

import pytest

from orchestrator.backends.on_ray.fleet import host_resources
from orchestrator.config.settings import Execution

CPUS = {"CPU": 8.0}
GPUS = {"CPU": 8.0, "GPU": 2.0}


@pytest.mark.parametrize(
    ("execution", "available", "local", "expected"),
    [
        ({"device": "cpu"}, CPUS, True, (8, {"num_cpus": 0})),
        ({"device": "cpu", "threads": 3}, CPUS, True, (2, {"num_cpus": 0})),
        ({"device": "cpu", "threads": 16}, CPUS, True, (1, {"num_cpus": 0})),
        ({"device": "cpu", "hosts": 3}, GPUS, True, (3, {"num_cpus": 0})),
        ({"device": "cuda"}, GPUS, True, (2, {"num_gpus": 1.0, "num_cpus": 0})),
        ({"device": "cuda", "hosts": 8}, GPUS, True, (8, {"num_gpus": 0.25, "num_cpus": 0})),
        ({"device": "cuda", "hosts": 1}, GPUS, True, (1, {"num_gpus": 1.0, "num_cpus": 0})),
        ({"device": "cpu", "threads": 2}, CPUS, False, (4, {"num_cpus": 2})),
        ({"device": "cpu", "hosts": 50}, CPUS, False, (50, {"num_cpus": 1})),
        ({"device": "cuda", "hosts": 50}, CPUS, False, (50, {"num_gpus": 1, "num_cpus": 0})),
    ],
)
def test_hosts_share_this_machine_and_ask_a_cluster_for_whole_devices(
    execution: dict, available: dict, local: bool, expected: tuple
) -> None:
    assert host_resources(Execution(**execution), available, local=local) == expected
