"""The cluster files: valid for Ray, and safe in what Ray accepts silently."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CLUSTERS = ROOT / "orchestrator" / "clusters"
RAY_UP = {"aws": ROOT / "cluster.yaml", "gcp": CLUSTERS / "gcp.yaml", "local": CLUSTERS / "local.yaml"}
ROOT_KEYS = {
    "aws": {"type", "region", "availability_zone", "cache_stopped_nodes"},
    "gcp": {"type", "region", "availability_zone", "project_id"},
    "local": {"type", "head_ip", "worker_ips"},
}
NODE_KEYS = {
    "aws": {
        "InstanceType",
        "ImageId",
        "BlockDeviceMappings",
        "IamInstanceProfile",
        "MetadataOptions",
        "InstanceMarketOptions",
    },
    "gcp": {"machineType", "disks", "metadata", "scheduling"},
}


def load(name):
    return yaml.safe_load(RAY_UP[name].read_text())


@pytest.fixture(params=RAY_UP)
def name(request):
    return request.param


@pytest.mark.filterwarnings("ignore")
def test_ray_accepts_the_file(name):
    """Through a private module, pinned with Ray: nothing public validates a file without calling the cloud."""
    util = pytest.importorskip("ray.autoscaler._private.util")
    full = util.prepare_config(load(name))
    util.validate_config(full)
    assert full["cluster_name"] == "lethe"
    assert full["max_workers"] == (2 if name == "local" else 8)


def test_what_ray_does_not_check(name):
    config = load(name)
    assert {"cluster_name", "file_mounts", "setup_commands"} <= set(config)
    assert ("max_workers" in config) == (name != "local")  # there it is the number of worker_ips
    assert set(config["provider"]) == ROOT_KEYS[name]
    for node in config.get("available_node_types", {}).values():
        assert set(node["node_config"]) <= NODE_KEYS[name]
        assert all(isinstance(amount, int) for amount in node["resources"].values())


def test_commands_of_the_defaults_are_all_replaced(name):
    """Ray's own start the dashboard on every interface and install a nightly wheel."""
    config = load(name)
    head, worker = config["head_start_ray_commands"][-1], config["worker_start_ray_commands"][-1]
    assert "--dashboard-host=127.0.0.1" in head
    assert "--num-cpus=0" in head
    assert "$RAY_HEAD_IP" in worker
    assert all(
        "cd ~/lethe && " in command for command in (head, worker)
    )  # relative paths are those of the sweep
    assert any("ray[default,tune]==" in command for command in config["setup_commands"])
    assert "nightly" not in json.dumps(config)
    assert "dev0" not in json.dumps(config)


def test_the_head_computes_nothing_and_offers_the_trial_slots(name):
    config = load(name)
    if name == "local":
        assert """--resources='{"trial":4096}'""" in config["head_start_ray_commands"][-1]
        return
    head = config["available_node_types"][config["head_node_type"]]
    workers = [t for key, t in config["available_node_types"].items() if key != config["head_node_type"]]
    assert head["resources"]["CPU"] == 0
    assert head["resources"]["trial"] >= config["max_workers"]
    assert all(worker["min_workers"] == 0 and worker["resources"]["GPU"] == 1 for worker in workers)


def test_workers_are_spot_and_the_head_is_not():
    types = load("aws")["available_node_types"]
    assert types["gpu"]["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert "InstanceMarketOptions" not in types["head"]["node_config"]
    for kind in types.values():
        assert all(disk["Ebs"]["DeleteOnTermination"] for disk in kind["node_config"]["BlockDeviceMappings"])
    scheduling = load("gcp")["available_node_types"]["gpu"]["node_config"]["scheduling"]
    assert {"provisioningModel": "SPOT"} in scheduling


def test_every_node_gets_the_token_as_a_private_file_and_no_file_holds_one(name):
    config = load(name)
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert config["setup_commands"][0] == "chmod 600 ~/.ray/auth_token"
    assert any("RAY_AUTH_MODE=token" in command for command in config["setup_commands"])
    assert "RAY_AUTH_TOKEN=" not in RAY_UP[name].read_text()


def test_setup_puts_every_node_on_the_commit_of_the_launcher(name, tmp_path):
    """Run the two git commands in an invented home, twice with a commit between: a second `ray up` moves on."""
    git = [c for c in load(name)["setup_commands"] if "lethe.git" in c]
    assert len(git) == 2
    launcher, home = tmp_path / "launcher", tmp_path / "home"
    home.mkdir()
    here = {**os.environ, "HOME": str(home), "GIT_CONFIG_GLOBAL": os.devnull}
    author = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", "init", "-q", launcher], check=True, env=here)
    for text in ("one", "two"):
        (launcher / "file").write_text(text)
        subprocess.run(["git", "-C", launcher, "add", "file"], check=True, env=here)
        subprocess.run(["git", "-C", launcher, *author, "commit", "-qm", text], check=True, env=here)
        (launcher / "file").write_text("not committed")
        shutil.rmtree(home / "lethe.git", ignore_errors=True)
        shutil.copytree(launcher / ".git", home / "lethe.git")  # the mirror that Ray's rsync leaves
        for command in git:
            subprocess.run(["bash", "-c", command], check=True, env=here)
        assert (home / "lethe" / "file").read_text() == text


def test_the_mounted_files_are_those_that_exist(name):
    mounts = load(name)["file_mounts"]
    assert set(mounts.values()) == {"~/.ray/auth_token", ".git"}


@pytest.mark.parametrize("script", ["slurm.sbatch", "aws-roles.sh"])
def test_scripts_are_valid_shell(script):
    assert subprocess.run(["bash", "-n", CLUSTERS / script], check=False).returncode == 0


def test_slurm_keeps_the_token_off_the_command_line():
    text = (CLUSTERS / "slurm.sbatch").read_text()
    command = text[text.index("srun") :]
    assert "TOKEN" not in command
    assert " -- \\\n  python -m orchestrator.sweep" in command
    assert "--backend cluster" in command


def test_the_ray_job_is_the_same_sweep_on_the_same_kind_of_cluster():
    job = yaml.safe_load((CLUSTERS / "kuberay.yaml").read_text())
    spec = job["spec"]["rayClusterSpec"]
    assert job["kind"] == "RayJob"
    assert "--backend cluster" in job["spec"]["entrypoint"]
    assert spec["authOptions"] == {"mode": "token"}
    head = spec["headGroupSpec"]["rayStartParams"]
    assert head["num-cpus"] == "0"
    assert json.loads(json.loads(head["resources"])) == {"trial": 4096}
    assert all(group["minReplicas"] == 0 for group in spec["workerGroupSpecs"])
