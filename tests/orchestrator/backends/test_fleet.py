"""What hosts and shadow tasks ask Ray for, without Ray."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.backends.on_ray.fleet import GRAIN, gpu_share, host_resources, room
from orchestrator.config.settings import Execution
from tasks.errors import AuditError


@given(st.integers(1, 200), st.integers(1, 16))
def test_every_process_finds_room_on_some_gpu(processes, gpus):
    """Ray counts in parts of 10,000, and gives a process its part of one GPU."""
    share = gpu_share(processes, gpus)
    assert 0 < share <= 1
    assert share * GRAIN == pytest.approx(round(share * GRAIN))
    assert gpus * (GRAIN // round(share * GRAIN)) >= processes
    assert share == 1 or processes > gpus


@pytest.mark.parametrize(
    ("asked", "available", "local", "expected"),
    [
        ({"device": "cuda", "hosts": 3}, {"GPU": 2, "CPU": 8}, True, (3, 0.5)),
        ({"device": "cuda", "hosts": 7}, {"GPU": 1, "CPU": 8}, True, (7, 0.1428)),
        ({"device": "cuda"}, {"GPU": 2, "CPU": 8}, True, (2, 1.0)),
        ({"device": "cuda", "hosts": 8}, {"GPU": 2, "CPU": 8}, False, (8, 1.0)),
        ({"device": "cuda"}, {"CPU": 64}, False, (1, 1.0)),  # the first worker is yet to come
        ({"device": "cpu"}, {"GPU": 2, "CPU": 8}, True, (8, None)),
        ({"device": "cpu", "threads": 4}, {"CPU": 8}, False, (2, None)),
        ({"device": "cpu", "threads": 3}, {"CPU": 8}, True, (2, None)),
        ({"device": "cpu", "threads": 16}, {"CPU": 8}, True, (1, None)),
        ({"device": "cpu", "hosts": 50}, {"CPU": 8}, False, (50, None)),
        ({"device": "mps"}, {"CPU": 8}, True, (1, None)),
    ],
)
def test_hosts_share_the_gpus_of_this_machine_and_have_one_each_on_a_cluster(
    asked, available, local, expected
):
    count, options = host_resources(Execution(**asked), available, local=local)
    assert (count, options.get("num_gpus")) == expected
    assert options["num_cpus"] == (0 if local or asked["device"] == "cuda" else asked.get("threads", 1))


def test_hosts_of_this_machine_do_not_wait_for_a_gpu_that_ray_does_not_find():
    with pytest.raises(
        AuditError, match="Ray finds no GPU on this machine; use --backend inline, or device cpu"
    ):
        host_resources(Execution(device="cuda"), {"CPU": 8}, local=True)


def test_more_hosts_than_gpus_is_said_in_a_line():
    assert room(2, 1.0, 2) == room(8, None, 0) == ""
    told = "3 model hosts share 2 GPUs: their device seconds are divided by those that share one"
    assert room(3, 0.5, 2) == told
    told = "8 model hosts ask for a GPU each, the cluster has 0: 8 wait for others to join"
    assert room(8, 1.0, 0) == told
