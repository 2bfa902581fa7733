"""A cluster whose workers have GPUs, given by hand, and whose head has none: the same rows as in one process."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.backends.on_ray.reaper import end
from orchestrator.store.store import Store
from orchestrator.store.verify import verify
from tests.chaos.harness import content
from tests.chaos.processes import of_run
from tests.cluster.test_nodes import ROOT, Cluster
from tests.support.shadow_sweeps import TEXT

THREE_ON_TWO = """
import sys

import ray
from orchestrator.backends.on_ray.ending import gpu_share_of_this_process
from orchestrator.backends.on_ray.fleet import host_resources
from orchestrator.config.settings import Execution

options = {"include_dashboard": False, "log_to_driver": False, "_temp_dir": sys.argv[1]}
ray.init(address="local", num_cpus=1, num_gpus=2, **options)
count, options = host_resources(Execution(device="cuda", hosts=3), ray.cluster_resources(), local=True)

@ray.remote
class Host:
    def part(self):
        return gpu_share_of_this_process(), tuple(ray.get_gpu_ids())

hosts = [Host.options(**options).remote() for _ in range(count)]
print(sorted(ray.get([host.part.remote() for host in hosts], timeout=100)))
"""
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
PLUGIN = 'plugins = ["tests.support.pretended_cuda"]\n[data]'


class Gpus(Cluster):
    """The cluster with a GPU for each worker."""

    def add_gpu(self) -> str:
        return self.start(f"--address=127.0.0.1:{self.port}", "--num-cpus=1", "--num-gpus=1")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Gpus]:
    made = Gpus(tmp_path)
    yield made
    made.close()


def sweep(folder: Path, name: str, backend: str, *more: str) -> list[str]:
    words = ["--out", str(folder / name), "--backend", backend, "--display", "plain", "--no-report"]
    words += ["--set", "execution.device=cuda", *more]
    return [sys.executable, "-m", "orchestrator.sweep", str(folder / "audit.toml"), *words]


def test_shadow_tasks_and_hosts_take_gpus_in_turn_and_one_that_is_lost_is_replaced(cluster, tmp_path) -> None:
    text = TEXT.replace("[data]", PLUGIN, 1).replace("epochs = 12", "epochs = 2")
    (tmp_path / "audit.toml").write_text(text)
    environment = {**cluster.environment, "PYTHONPATH": str(ROOT)}
    plain = subprocess.run(sweep(tmp_path, "inline", "inline"), cwd=ROOT, env=environment, check=False)
    assert plain.returncode == 0
    log = tmp_path / "sweep.log"
    with (
        open(log, "w") as errors,
        subprocess.Popen(
            sweep(tmp_path, "results", "cluster", "--set", "execution.hosts=2"),
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        ) as run,
    ):
        time.sleep(15)  # there is no GPU yet
        assert run.poll() is None, log.read_text()
        first, came = cluster.add_gpu(), time.monotonic()
        deadline = came + 300
        while run.poll() is None and not list((tmp_path / "results").rglob("observations/**/*.arrow")):
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        cluster.add_gpu()
        changed = time.monotonic()
        for process in of_run(first):
            os.kill(process.pid, signal.SIGKILL)
        assert run.wait(timeout=600) == 0, log.read_text()
    held = time.monotonic() - came  # there was one at any time, the second as the first was lost
    told = log.read_text()
    spent = sum(row["seconds"] or 0.0 for row in Store(str(tmp_path / "results")).read("costs").to_pylist())
    print(  # noqa: T201
        f"{spent:.0f} s of work in {held:.0f} s of a GPU ({spent / held:.0%}); "
        f"the first was lost after {changed - came:.0f} s\n{told}"
    )
    assert 0 < spent <= held
    assert "2 model hosts ask for a GPU each, the cluster has" in told
    assert content(tmp_path / "results") == content(tmp_path / "inline")
    assert verify(Store(str(tmp_path / "results"))) == []


def test_three_hosts_find_room_on_two_gpus() -> None:
    """Asking for 2/3 each, the third would wait for ever."""
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    with tempfile.TemporaryDirectory(prefix="lethe-test-", dir="/tmp") as folder:  # sockets need a short path
        told = subprocess.run(
            [sys.executable, "-c", THREE_ON_TWO, folder],
            cwd=ROOT,
            env=os.environ | token,
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        ).stdout
        end(Path(folder))
    assert told.splitlines()[-1] in (f"[(0.5, (0,)), (0.5, ({other},)), (0.5, (1,))]" for other in (0, 1)), (
        told
    )
