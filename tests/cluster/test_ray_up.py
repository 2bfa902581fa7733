"""`ray up` on four machines that are network namespaces: a sweep loses a worker and ends as if it had not."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from orchestrator.store.store import Store
from orchestrator.store.verify import verify
from tests.chaos.harness import content
from tests.cluster.machines import HOME, NUMBER, Machines, missing
from tests.support.sweeps import TINY

ROOT = Path(__file__).parents[2]
FILE = "orchestrator/clusters/local.yaml"
LAPTOP, HEAD, WORKERS = "laptop", "head", ("worker-1", "worker-2")
START_SECONDS, SWEEP_SECONDS, END_SECONDS = 240.0, 600.0, 240.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(missing() != "", reason=missing()),
]


@pytest.fixture
def machines(tmp_path):
    """The machines that `local.yaml` names, its user and his key on each, and a laptop to sit at."""
    provider = yaml.safe_load((ROOT / FILE).read_text())["provider"]
    made = Machines(tmp_path, tmp_path / "shared")
    try:
        addresses = [provider["head_ip"], *provider["worker_ips"]]
        for name, address in zip((HEAD, *WORKERS), addresses, strict=True):
            made.start(name, address)
        made.start(LAPTOP, "10.0.0.9")
        yield made
    finally:
        made.close()


def clone(folder):
    """A clone of this repository whose last commit is the working tree as it is, and that commit."""
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-C", folder]
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", ROOT, folder], check=True)
    listed = ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, check=True, capture_output=True).stdout
    copy = [
        "rsync",
        "--archive",
        "--ignore-missing-args",
        "--files-from=-",
        "--from0",
        f"{ROOT}/",
        f"{folder}/",
    ]
    subprocess.run(copy, input=names, check=True)
    subprocess.run([*git, "add", "--all"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "--message", "as it is"], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout
    subprocess.run(["chown", "--recursive", f"{NUMBER}:{NUMBER}", folder], check=True)
    return commit


def until(condition, seconds, what):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.2)


def at_the_laptop(machines, command):
    """Type a command in the clone, with Ray of the same version on the path."""
    return machines.run(LAPTOP, typed(machines, command))


def typed(machines, command):
    return (
        f"export PATH=~/venv/bin:$PATH RAY_UP_enable_autoscaler_v2=0; cd {machines.shared}/lethe && {command}"
    )


def resources(machines):
    """CPUs of the cluster as the head sees them."""
    ask = "import ray; ray.init('auto', log_to_driver=False); print('has', ray.cluster_resources().get('CPU', 0))"
    said = machines.run(HEAD, f'python -c "{ask}"')
    return float(said.partition("has ")[2].split()[0])


def finished(results):
    return len(list(results.glob("cells/*.arrow")))


def test_a_sweep_outlives_a_worker_and_ray_down_leaves_nothing(machines, tmp_path):
    commit = clone(machines.shared / "lethe")
    config, results = machines.shared / "audit.toml", machines.shared / "results"
    config.write_text(TINY.replace("epochs = 2", "epochs = 20"))
    undisturbed = [sys.executable, "-m", "orchestrator.sweep", config, "--out", tmp_path / "undisturbed"]
    subprocess.run(undisturbed, cwd=ROOT, capture_output=True, check=True)

    at_the_laptop(machines, "umask 077; ray get-auth-token --generate")
    at_the_laptop(machines, f"ray up --yes {FILE}")
    until(lambda: resources(machines) >= len(WORKERS), START_SECONDS, "workers have joined")
    for name in (HEAD, *WORKERS):
        assert machines.run(name, "git -C ~/lethe rev-parse HEAD") == commit
        imported = machines.run(name, "python -c 'import orchestrator as o; print(o.__file__)'")
        assert imported.startswith(f"{HOME}/lethe/")
        assert machines.run(name, "stat -c %a ~/.ray/auth_token") == "600\n"
    assert machines.run(HEAD, "curl -so /dev/null -w '%{http_code}' 127.0.0.1:8265/api/version") == "401"

    at_the_laptop(machines, f"ray rsync-up {FILE} {config} '~/lethe/'")
    sweep = (
        f"python -m orchestrator.sweep audit.toml --backend cluster --set execution.hosts={len(WORKERS)} "
        f"--display plain --out"
    )
    nowhere = machines.run(LAPTOP, typed(machines, f"ray exec {FILE} 'cd ~/lethe && {sweep} mine' || true"))
    assert "expected a directory or URI that every node reaches under this name, got mine" in nowhere

    log = tmp_path / "sweep.log"
    command = typed(machines, f"ray exec {FILE} 'cd ~/lethe && {sweep} {results}'")
    with open(log, "w") as said, subprocess.Popen(
        machines.command(LAPTOP, command), stdin=subprocess.DEVNULL, stdout=said, stderr=said
    ) as run:  # fmt: skip
        until(lambda: finished(results) >= 3 or run.poll() is not None, SWEEP_SECONDS, "cells have finished")
        assert run.poll() is None, log.read_text()
        seen = finished(results)
        machines.kill(WORKERS[0])
        assert run.wait(timeout=SWEEP_SECONDS) == 0, log.read_text()
    assert 3 <= seen < 21
    assert "21 of 21 cells finished, 0 failed" in log.read_text()

    assert content(results) == content(tmp_path / "undisturbed")
    assert verify(Store(str(results))) == []

    at_the_laptop(machines, f"ray down --yes {FILE}")
    for name in (HEAD, WORKERS[1]):
        until(lambda name=name: not machines.programs(name), END_SECONDS, f"{name} runs nothing")
