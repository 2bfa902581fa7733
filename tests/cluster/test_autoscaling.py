"""What a sweep asks for brings nodes, and idle ones go: Ray's autoscaler with a provider that fakes machines."""

import json
from pathlib import Path

import pytest

from orchestrator.store.store import Store
from tests.cluster.machines import Machines, missing
from tests.support.sweeps import TINY

ROOT = Path(__file__).parents[2]
PROVIDER = "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider"
HEAD_ID = "f" * 51 + "00000"
CLUSTER = {
    "cluster_name": "fake",
    "max_workers": 3,
    "idle_timeout_minutes": 0.2,
    "upscaling_speed": 1.0,
    "cluster_synced_files": [],
    # Under its own name Ray wants an example file of it that its wheel does not hold.
    "provider": {
        "type": "external",
        "module": PROVIDER,
        "head_node_id": HEAD_ID,
        "launch_multiple": True,
        "disable_node_updaters": True,
        "disable_launch_config_check": True,
    },
    "auth": {},
    "file_mounts": {},
    "initialization_commands": [],
    "setup_commands": [],
    "head_setup_commands": [],
    "worker_setup_commands": [],
    "head_start_ray_commands": [],
    "worker_start_ray_commands": [],
    "head_node_type": "ray.head.default",  # the name that the provider gives it
    "available_node_types": {
        "ray.head.default": {"resources": {"CPU": 0, "trial": 4096}, "node_config": {}, "max_workers": 0},
        "cpu": {"resources": {"CPU": 1}, "node_config": {}, "min_workers": 0, "max_workers": 3},
    },
}
START = f"""
export RAY_FAKE_CLUSTER=1 RAY_enable_autoscaler_v2=1 AUTOSCALER_UPDATE_INTERVAL_S=1 RAY_AUTH_MODE=disabled
export RAY_CLOUD_INSTANCE_ID={HEAD_ID} RAY_OVERRIDE_NODE_ID_FOR_TESTING={HEAD_ID}
export PYTHONPATH={ROOT} RAY_worker_niceness=0
~/venv/bin/ray start --head --num-cpus=0 --resources='{{"trial":4096}}' --autoscaling-config=
"""
WATCH = """
import json, subprocess, sys, time
import ray
ray.init("auto", log_to_driver=False, logging_level="ERROR")
def workers():
    return sum(n["Alive"] and n["Resources"].get("CPU", 0) > 0 for n in ray.nodes())
before, most = workers(), 0
sweep = subprocess.Popen([sys.executable, "-m", "orchestrator.sweep", *sys.argv[1:]], stdout=subprocess.DEVNULL)
deadline = time.monotonic() + 420
while sweep.poll() is None and time.monotonic() < deadline:
    most = max(most, workers())
    time.sleep(0.5)
sweep.kill()
deadline = time.monotonic() + 240
while (left := workers()) and time.monotonic() < deadline:
    time.sleep(0.5)
print(json.dumps({"code": sweep.returncode, "before": before, "most": most, "left": left}))
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(missing() != "", reason=missing()),
]


@pytest.fixture
def machine(tmp_path):
    made = Machines(tmp_path, tmp_path / "shared")
    try:
        made.start("alone", "10.0.0.1")
        yield made
    finally:
        made.close()


def test_waiting_hosts_bring_as_many_nodes_as_they_need_and_idle_nodes_go(machine):
    shared = machine.shared
    (shared / "cluster.json").write_text(json.dumps(CLUSTER))
    (shared / "audit.toml").write_text(TINY)
    (shared / "watch.py").write_text(WATCH)
    machine.run("alone", f"{START.strip()}{shared}/cluster.json")
    sweep = f"{shared}/audit.toml --out {shared}/results --backend cluster --set execution.hosts=2 --display plain"
    said = machine.run(
        "alone",
        f"export RAY_AUTH_MODE=disabled PYTHONPATH={ROOT}; ~/venv/bin/python {shared}/watch.py {sweep}",
    )
    assert json.loads(said.splitlines()[-1]) == {"code": 0, "before": 0, "most": 2, "left": 0}, said
    assert len(Store(str(shared / "results")).keys("cells")) == 21
