"""A cluster of three Ray nodes on this machine: one joins late, one is killed, the sweep goes on."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from orchestrator.backends.on_ray.reaper import end
from orchestrator.store.store import Store
from orchestrator.store.verify import verify
from tests.chaos.harness import content
from tests.chaos.processes import MARK, kill, of_run
from tests.support.sweeps import TINY

ROOT = Path(__file__).parents[2]


class Cluster:
    """A head that computes nothing and workers of one CPU, ended by process id: `ray stop` hits every Ray."""

    def __init__(self, folder, **environment):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.folder = Path(tempfile.mkdtemp(prefix="lethe-test-", dir="/tmp"))  # sockets need a short path
        self.log = open(folder / "cluster.log", "w")  # noqa: SIM115
        self.environment = {
            **os.environ,
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_AUTH_MODE": "token",
            "RAY_ADDRESS": f"127.0.0.1:{self.port}",
            "OMP_NUM_THREADS": "1",
            **environment,
        }
        self.nodes = {}
        self.start("--head", f"--port={self.port}", "--num-cpus=0", '--resources={"trial":4}',
                   f"--temp-dir={self.folder}", "--include-dashboard=false", block=False)  # fmt: skip

    def start(self, *options, block=True):
        """Start a node and return its mark. With `block` all of it ends when a part does."""
        mark = secrets.token_hex(8)
        self.nodes[mark] = subprocess.Popen(
            [str(Path(sys.executable).parent / "ray"), "start", *["--block"] * block, *options],
            env={**self.environment, MARK: mark},
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )
        return mark

    def add_worker(self):
        return self.start(f"--address=127.0.0.1:{self.port}", "--num-cpus=1")

    def close(self):
        for mark, node in self.nodes.items():
            kill(of_run(mark))
            node.wait()
        self.log.close()
        end(self.folder)  # and what Ray has given a title, which hides the mark


@pytest.fixture
def cluster(tmp_path):
    made = Cluster(tmp_path)
    yield made
    made.close()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_sweep_survives_the_death_of_a_node_and_uses_one_that_joins(cluster, tmp_path):
    config, results = tmp_path / "audit.toml", tmp_path / "results"
    config.write_text(TINY.replace("epochs = 2", "epochs = 20"))
    sweep = [sys.executable, "-m", "orchestrator.sweep", config, "--display", "plain"]
    plain = subprocess.run([*sweep, "--out", tmp_path / "undisturbed"], cwd=ROOT, check=False)
    assert plain.returncode == 0
    first = cluster.add_worker()
    time.sleep(15)
    log = tmp_path / "sweep.log"
    with (
        open(log, "w") as errors,
        subprocess.Popen(
            [*sweep, "--out", results, "--backend", "cluster", "--set", "execution.hosts=2"],
            cwd=ROOT,
            env=cluster.environment,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        ) as run,
    ):
        deadline = time.monotonic() + 240
        while run.poll() is None and not list(results.glob("cells/*.arrow")) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert run.poll() is None, log.read_text()
        cluster.add_worker()
        done = len(list(results.glob("cells/*.arrow")))
        while run.poll() is None and len(list(results.glob("cells/*.arrow"))) < done + 2:
            time.sleep(0.1)
        for process in of_run(first):
            os.kill(process.pid, signal.SIGKILL)
        assert run.wait(timeout=400) == 0, log.read_text()
    print(log.read_text())  # noqa: T201
    assert content(results) == content(tmp_path / "undisturbed")
    assert verify(Store(str(results))) == []


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("service", "told"),
    [
        ("raylet", "Ray's raylet ended while the sweep ran"),
        ("gcs", "the GCS of the Ray cluster does not answer"),
    ],
)
def test_a_lost_head_ends_a_sweep_with_one_line(tmp_path, service, told):
    (tmp_path / "audit.toml").write_text(TINY.replace("epochs = 2", "epochs = 40"))
    command = [sys.executable, "-m", "orchestrator.sweep", tmp_path / "audit.toml", "--display", "plain"]
    command += ["--out", tmp_path / "results", "--backend", "cluster", "--set", "execution.hosts=1"]
    cluster = Cluster(tmp_path, RAY_gcs_rpc_server_reconnect_timeout_s="12")
    try:
        (head,) = cluster.nodes
        time.sleep(10)
        cluster.add_worker()
        log = tmp_path / "sweep.log"
        with (
            open(log, "w") as errors,
            subprocess.Popen(
                command, cwd=ROOT, env=cluster.environment, stdout=subprocess.DEVNULL, stderr=errors
            ) as run,
        ):
            deadline = time.monotonic() + 240
            while run.poll() is None and "training: 3 to do" not in log.read_text():
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
            kill([process for process in of_run(head) if process.kind == service])
            assert run.wait(timeout=120) == 2, log.read_text()
    finally:
        cluster.close()
    said = log.read_text()
    assert said.splitlines()[-1] == f"error: backend: {told}; the same command goes on where it stopped"
    assert said.count("error: ") == 1
    assert "Traceback" not in said
