"""A cluster whose workers have GPUs, given by hand, and whose head has none: the same rows as in one process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.store.store import Store
from orchestrator.store.verify import verify
from tests.chaos.harness import content
from tests.chaos.processes import of_run
from tests.cluster.test_nodes import ROOT, Cluster
from tests.support.shadow_sweeps import TEXT

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
        first = cluster.add_gpu()
        deadline = time.monotonic() + 300
        while run.poll() is None and not list((tmp_path / "results").rglob("observations/**/*.arrow")):
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        cluster.add_gpu()
        for process in of_run(first):
            os.kill(process.pid, signal.SIGKILL)
        assert run.wait(timeout=600) == 0, log.read_text()
    told = log.read_text()
    assert "2 model hosts ask for a GPU each, the cluster has" in told
    assert content(tmp_path / "results") == content(tmp_path / "inline")
    assert verify(Store(str(tmp_path / "results"))) == []
