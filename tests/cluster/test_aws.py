"""`cluster.yaml` launched against a mocked AWS: what would be started, and what a demand for GPUs would add."""

import shutil
import subprocess
import urllib.request
from pathlib import Path
from typing import ClassVar

import pytest
import yaml

boto3 = pytest.importorskip("boto3")
server = pytest.importorskip("moto.server")

ROOT = Path(__file__).parents[2]
REGION = "us-west-2"

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(600)]


class Updater:
    """Stands in for the thread that would set a node up over SSH."""

    exitcode = 0
    seen: ClassVar[list[dict]] = []

    def __init__(self, **settings):
        Updater.seen.append(settings)

    def start(self):
        pass

    def join(self):
        pass


def make_roles():
    script = ["bash", "orchestrator/clusters/aws-roles.sh", "my-bucket"]
    made = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    return made.stdout


@pytest.fixture(scope="module")
def aws(tmp_path_factory):
    """An AWS account of these tests, a home with a token, and the roles that the script makes."""
    if shutil.which("aws") is None:
        pytest.skip("needs the command aws (pip install awscli)")
    home = tmp_path_factory.mktemp("home")
    (home / ".ray").mkdir()
    (home / ".ray" / "auth_token").write_text("0" * 64)
    mocked = server.ThreadedMotoServer(port=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")
        mocked.start()
        _, port = mocked.get_host_and_port()
        patch.setenv("HOME", str(home))
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "nobody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
        patch.setenv("AWS_DEFAULT_REGION", REGION)
        patch.chdir(ROOT)
        reset = urllib.request.Request(f"http://127.0.0.1:{port}/moto-api/reset", method="POST")
        urllib.request.urlopen(reset).close()  # what other tests left, and the policies of AWS with it
        make_roles()
        yield mocked
    mocked.stop()


@pytest.fixture(scope="module")
def launched(aws):
    """The configuration as Ray completes it, after its head was launched."""
    from ray.autoscaler._private import commands

    nothing = dict.fromkeys(("override_min_workers", "override_max_workers", "override_cluster_name"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(commands, "NodeUpdaterThread", Updater)
        commands.create_or_update_cluster(
            "cluster.yaml", **nothing, no_restart=False, restart_only=False, yes=True, no_config_cache=True
        )
    config = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    return commands._bootstrap_config(config, no_config_cache=True)


def instances():
    found = boto3.client("ec2").describe_instances()["Reservations"]
    return [instance for group in found for instance in group["Instances"]]


def tags(instance):
    return {tag["Key"]: tag["Value"] for tag in instance["Tags"]}


def test_ray_up_launches_an_on_demand_head(launched):
    (head,) = instances()
    assert head["InstanceType"] == "m6i.xlarge"
    assert "InstanceLifecycle" not in head
    assert head["ImageId"].startswith("resolve:ssm:/aws/service/deeplearning/")
    assert head["IamInstanceProfile"]["Arn"].endswith("/lethe-head")
    assert head["MetadataOptions"]["HttpTokens"] == "required"
    assert tags(head)["ray-cluster-name"] == "lethe"
    assert tags(head)["ray-node-type"] == "head"
    (disk,) = boto3.client("ec2").describe_volumes()["Volumes"]
    assert (disk["Size"], disk["VolumeType"], disk["Encrypted"]) == (120, "gp3", True)
    (mapping,) = head["BlockDeviceMappings"]
    assert mapping["Ebs"]["DeleteOnTermination"]


def test_what_the_head_is_set_up_with(launched):
    (setup,) = Updater.seen
    assert setup["node_resources"] == {"CPU": 0, "trial": 4096}
    assert setup["file_mounts"]["~/.ray/auth_token"].endswith("/.ray/auth_token")
    assert any("--dashboard-host=127.0.0.1" in command for command in setup["ray_start_commands"])
    assert not any("nightly" in c or "dev0" in c for c in setup["setup_commands"])


def test_only_ssh_is_open_to_the_world_and_nodes_reach_each_other(launched):
    (name,) = {group["GroupName"] for group in instances()[0]["SecurityGroups"]}
    (group,) = boto3.client("ec2").describe_security_groups(GroupNames=[name])["SecurityGroups"]
    world = [rule for rule in group["IpPermissions"] if rule["IpRanges"]]
    assert [(rule["FromPort"], rule["ToPort"]) for rule in world] == [(22, 22)]
    inside = [rule for rule in group["IpPermissions"] if rule["UserIdGroupPairs"]]
    assert [pair["GroupId"] for rule in inside for pair in rule["UserIdGroupPairs"]] == [group["GroupId"]]


def test_a_demand_for_gpus_launches_spot_workers_and_no_more_than_allowed(launched):
    """What hosts and shadow tasks ask for, through the scheduler of Ray's autoscaler and its AWS provider."""
    from ray.autoscaler._private.providers import _get_node_provider
    from ray.autoscaler.tags import TAG_RAY_NODE_KIND, TAG_RAY_NODE_STATUS, TAG_RAY_USER_NODE_TYPE
    from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
    from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
    from ray.autoscaler.v2.utils import ResourceRequestUtil as Requests

    config = AutoscalingConfig(yaml.safe_load((ROOT / "cluster.yaml").read_text()))
    for demand, expected in (([], 0), ([{"GPU": 1}] * 3, 3), ([{"GPU": 1}] * 20, 8), ([{"CPU": 1}] * 6, 2)):
        request = SchedulingRequest(
            disable_launch_config_check=True,
            node_type_configs=config.get_node_type_configs(),
            max_num_nodes=config.get_max_num_nodes(),
            resource_requests=Requests.group_by_count([Requests.make(one) for one in demand]),
        )
        launch = ResourceDemandScheduler(None).schedule(request).to_launch
        assert [(one.instance_type, one.count) for one in launch] == ([("gpu", expected)] if expected else [])
    provider = _get_node_provider(launched["provider"], launched["cluster_name"])
    worker = launched["available_node_types"]["gpu"]["node_config"]
    kind = {TAG_RAY_NODE_KIND: "worker", TAG_RAY_USER_NODE_TYPE: "gpu", TAG_RAY_NODE_STATUS: "uninitialized"}
    provider.create_node(worker, kind, 1)
    (started,) = [i for i in instances() if tags(i)["ray-node-type"] == "worker"]
    assert started["InstanceLifecycle"] == "spot"
    assert started["InstanceType"] == "g6.xlarge"
    assert started["IamInstanceProfile"]["Arn"].endswith("/lethe-worker")
    assert {instance["KeyName"] for instance in instances()} == {started["KeyName"]}


def test_roles_let_the_head_start_workers_and_the_workers_reach_one_bucket(aws):
    assert "are ready" in make_roles()  # the second time everything is there
    iam = boto3.client("iam")
    for role in ("lethe-head", "lethe-worker"):
        (profile,) = iam.list_instance_profiles_for_role(RoleName=role)["InstanceProfiles"]
        assert profile["InstanceProfileName"] == role
        policy = iam.get_role_policy(RoleName=role, PolicyName="results")["PolicyDocument"]
        assert {s["Resource"] for s in policy["Statement"]} == {
            "arn:aws:s3:::my-bucket",
            "arn:aws:s3:::my-bucket/*",
        }
    assert iam.list_role_policies(RoleName="lethe-worker")["PolicyNames"] == ["results"]
    assert iam.list_attached_role_policies(RoleName="lethe-worker")["AttachedPolicies"] == []
    passed = iam.get_role_policy(RoleName="lethe-head", PolicyName="workers")["PolicyDocument"]["Statement"]
    assert passed[0] == {
        "Effect": "Allow",
        "Action": "iam:PassRole",
        "Resource": "arn:aws:iam::123456789012:role/lethe-worker",
    }


def test_ray_down_terminates_everything(launched, monkeypatch):
    from ray.autoscaler._private import commands

    monkeypatch.setattr(commands, "exec_cluster", lambda *_, **__: "")
    commands.teardown_cluster("cluster.yaml", yes=True, workers_only=False, override_cluster_name=None,
                              keep_min_workers=False)  # fmt: skip
    assert {instance["State"]["Name"] for instance in instances()} == {"terminated"}
