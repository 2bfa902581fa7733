"""A whole inline sweep on the device gives the rows of the CPU."""

import json
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch

from orchestrator.bench.attempt import Stages
from orchestrator.bench.data import BenchData
from orchestrator.config.settings import load
from orchestrator.plan import device
from orchestrator.plan.grid import make_plan
from orchestrator.scores.features import feature_scores
from orchestrator.store.store import Store
from tasks.shadows.canaries import Canaries
from tests.support.compare import main as compare
from tests.support.sweeps import sweep, write_config

CHANGES = {
    'method = ["finetune", "gradient_ascent"]': 'method = ["finetune"]',
    'scope = ["all", "head"]': 'scope = ["head"]',
    'attack = ["none", "fgsm", "population"]': 'attack = ["none", "population"]',
    "num_train = 120": "num_train = 60",
    "channels = [4, 4, 4, 4]": "channels = [8, 8, 16, 16]",
    "epochs = 2\nbatch_size = 32": 'epochs = 1\nbatch_size = 32\naugmentation = "crop_flip"',
}


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Results of both devices, by the name that a configuration has for them."""
    roots = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(device, "this_machines_device", lambda: "cuda")  # which asks the driver of a real one
        for where in ("cpu", "cuda"):
            folder = tmp_path_factory.mktemp(where)
            config = write_config(folder, **CHANGES, **{'device = "cpu"': f'device = "{where}"'})
            sweep(config, "--out", folder / "results", "--no-report").check_returncode()
            roots[where] = folder / "results"
    return roots


def test_rows_are_those_of_the_cpu(swept, capsys):
    named = ["--ignore=costs.device", '--renamed-value=settings.value="cpu":"cuda"']
    assert compare([str(swept["cpu"]), str(swept["cuda"]), *named]) == 0, capsys.readouterr().out


POISONS = ["label_noise:fraction=0.1", "backdoor:fraction=0.1,target=1"]


@dataclass(frozen=True, kw_only=True)
class Foreign:
    """Images of canaries from elsewhere."""

    provenance: ClassVar[dict[str, str]] = {}
    image_ids: ClassVar[np.ndarray] = np.arange(2)

    def read(self):
        return np.full((2, 1, 8, 8), 77, dtype=np.uint8)


PLANTED = Canaries(
    ids=np.array([3, 5]), labels=np.array([0, 1]), kind="out_of_distribution", images=Foreign()
)


def test_poisoned_and_planted_examples_are_those_of_the_cpu(tmp_path):
    found = []
    for where in ("cpu", "cuda"):
        changes = {'["random:fraction=0.2"]': json.dumps(POISONS), 'device = "cpu"': f'device = "{where}"'}
        plan = make_plan(load(str(write_config(tmp_path, **changes))))
        data = BenchData(plan, Stages(plan, Store(str(tmp_path))))
        subsets = [data.training_set(spec) for spec in plan.models.values() if spec.kind == "original"]
        subsets += [
            data.relabelled(data.resident(name).subset(plan.data.splits.train), name) for name in POISONS
        ]
        subsets.append(data.for_shadows(PLANTED).subset(np.arange(10)))
        seen = [tensor for s in subsets for tensor in s.batch(torch.arange(len(s), device=s.ids.device))]
        assert {tensor.device for tensor in seen} == {data.engine.device}
        found.append([tensor.cpu().numpy().tobytes() for tensor in seen])
    assert found[0] == found[1]


def test_features_are_those_of_the_cpu(swept):
    found = [feature_scores(str(root), architecture="net")[1]["sha256"] for root in swept.values()]
    assert found[0] == found[1]
