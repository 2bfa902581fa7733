"""Configuration: precedence, strictness, digests."""

import pytest

from orchestrator.config.settings import SweepConfig, canonical, digest, load, parse_assignment
from orchestrator.config.toml_files import presets
from tasks import fields
from tasks.errors import AuditError
from tasks.training.recipe import Recipe
from tests.support.sweeps import TINY, changed, write_config


def test_flags_win_over_the_file_and_the_file_over_defaults(tmp_path):
    path = str(write_config(tmp_path))
    plain = load(path)
    assert plain.training.epochs == 2
    assert plain.training.momentum == Recipe().momentum
    assert load(path, {"training.epochs": 3, "axes.seed": [4, 5]}).axes.seed == (4, 5)
    assert load(path, {"training.epochs": 3}).training.epochs == 3


def test_every_preset_loads():
    assert "quick" in presets()
    for name in presets():
        assert load(name).axes.method


def test_the_resolved_configuration_survives_its_own_json(tmp_path):
    config = load(str(write_config(tmp_path)))
    again = fields.build(SweepConfig, fields.to_plain(config), where="again")
    assert again == config
    assert digest(again) == digest(config)
    assert canonical(config) == canonical(again)


@pytest.mark.parametrize(
    ("replacements", "message"),
    [
        ({"epochs = 2": "epoch = 2"}, "no key 'epoch'. Did you mean 'epochs'?"),
        ({"epochs = 2": 'epochs = "two"'}, "training.epochs: expected int, got 'two'"),
        ({"epochs = 2": "epochs = 0"}, "epochs: expected at least 1, got 0"),
        ({"seed = [0]": "seed = [0, 0]"}, "axes.seed: a value is listed twice"),
        ({"seed = [0]": "seed = []"}, "axes.seed: expected at least one value"),
        ({'backend = "inline"': 'backend = "lokal"'}, "Did you mean 'local'?"),
        ({"bootstrap = 20": "bootstrap = 3"}, "bootstrap: expected at least 20"),
        ({"[axes]": "[[exclude]]\nmetod = 'finetune'\n[axes]"}, "no axis 'metod'. Did you mean 'method'?"),
        ({"[axes]": "[axis]"}, "no key 'axis'. Did you mean 'axes'?"),
        ({'name = "tiny"': "name = "}, "not valid TOML"),
    ],
)
def test_bad_configuration_is_one_clear_line(tmp_path, replacements, message):
    path = tmp_path / "bad.toml"
    path.write_text(changed(replacements))
    with pytest.raises(AuditError) as caught:
        load(str(path))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_misspelt_preset_are_named(tmp_path):
    with pytest.raises(AuditError, match="not found"):
        load(str(tmp_path / "none.toml"))
    with pytest.raises(AuditError, match="Did you mean 'quick'"):
        load("quik")


def test_assignments_take_toml_values_and_bare_text():
    assert parse_assignment("methods.scrub.lr=0.01") == ("methods.scrub.lr", 0.01)
    assert parse_assignment("axes.seed=[1, 2]") == ("axes.seed", [1, 2])
    assert parse_assignment("data.name=cifar10") == ("data.name", "cifar10")
    with pytest.raises(AuditError, match="key=value"):
        parse_assignment("methods.scrub.lr")


def test_architecture_overrides_reach_the_recipe(tmp_path):
    text = TINY.replace("[architectures.net]", "[architectures.net]\ntraining = { lr = 0.5 }")
    path = write_config(tmp_path, text)
    config = load(str(path))
    assert config.recipe("net").lr == 0.5
    assert config.recipe("net").epochs == 2
    assert config.recipe("resnet34").lr == config.training.lr
