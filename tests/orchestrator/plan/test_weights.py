"""`architectures.X.weights` of models of timm: part of the identity, said in the plan, and where every model starts."""

from __future__ import annotations

import pytest
import safetensors.torch
import timm
import torch

from orchestrator.bench.models import build, training_path
from orchestrator.config.settings import load
from orchestrator.plan.grid import make_plan
from tasks.errors import AuditError
from tests.support.sweeps import changed

NARROW = {"layers": [1, 1, 1, 1], "channels": [4, 4, 4, 4]}
START = {'timm = "resnet18"': 'timm = "resnet18"\nweights = "start.safetensors"'}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_weights(0)
    return tmp_path


def write_weights(seed, name="start.safetensors"):
    torch.manual_seed(seed)
    model = timm.create_model("resnet18", num_classes=7, in_chans=1, **NARROW)
    safetensors.torch.save_file(model.state_dict(), name)
    return model.state_dict()


def plan(folder, changes):
    (folder / "audit.toml").write_text(changed(changes))
    return make_plan(load(str(folder / "audit.toml")))


def ids(made):
    return set(made.models)


def test_every_model_starts_from_the_file_and_the_plan_says_so(folder):
    made, state = plan(folder, START), write_weights(0)
    for path in (training_path("original", 0, 0), training_path("retrained", 0, 1), ("shadow", 3)):
        model = build(made, "net", path).body.state_dict()
        assert all(
            torch.equal(model[name], value) for name, value in state.items() if not name.startswith("fc.")
        )
    told = [note for note in made.notes if note.startswith("architectures.net.")]
    assert told == [
        "architectures.net.weights: training of every original, retrained and shadow model starts from them, so that "
        "what is forgotten is taken never to have been among their training data; nobody can check that here",
        "architectures.net.weights: the classification layer ('fc.weight') is newly initialised by each seed for 3 "
        "classes: that of the file has 7 classes",
    ]
    without = plan(folder, {"[axes]": "[axes]"})
    assert [n for n in without.notes if "architectures" in n] == [
        "architectures.net.stem: its first convolution is 3x3 with stride 1 and no pooling follows, for small images; "
        'stem = "timm" keeps timm\'s'
    ]


def test_ids_follow_the_bytes_of_the_file_and_the_stem(folder):
    bare, first = plan(folder, {"[axes]": "[axes]"}), plan(folder, START)
    write_weights(0, "elsewhere.safetensors")
    moved = plan(folder, {key: text.replace("start.", "elsewhere.") for key, text in START.items()})
    write_weights(1)
    other = plan(folder, START)
    stem = plan(folder, {'timm = "resnet18"': 'timm = "resnet18"\nstem = "timm"'})
    assert ids(moved) == ids(first)
    groups = [ids(made) for made in (bare, first, other, stem)]
    assert sum(map(len, groups)) == len(set().union(*groups))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            'weights = "other.safetensors"',
            "net: weights: no file other.safetensors; nothing is downloaded",
        ),
        ('weights = "start.pt"', "architectures.net: weights: start.pt is a pickle"),
        (
            'weights = "start.safetensors"\nstem = "small"',
            "architectures.net: weights: .*'conv1.weight' is of another",
        ),
    ],
)
def test_a_file_that_does_not_fit_ends_the_plan(folder, text, told):
    with pytest.raises(AuditError, match=told):
        plan(folder, {'timm = "resnet18"': f'timm = "resnet18"\n{text}'})
