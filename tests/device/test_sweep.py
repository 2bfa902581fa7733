"""A whole inline sweep on the device gives the rows of the CPU."""

import pytest

from orchestrator.plan import device
from orchestrator.scores.features import feature_scores
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
            sweep(config, "--out", folder / "results").check_returncode()
            roots[where] = folder / "results"
    return roots


def test_rows_are_those_of_the_cpu(swept, capsys):
    named = ["--ignore=costs.device", '--renamed-value=settings.value="cpu":"cuda"']
    assert compare([str(swept["cpu"]), str(swept["cuda"]), *named]) == 0, capsys.readouterr().out


def test_features_are_those_of_the_cpu(swept):
    found = [feature_scores(str(root), architecture="net")[1]["sha256"] for root in swept.values()]
    assert found[0] == found[1]
