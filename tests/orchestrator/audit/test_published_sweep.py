"""Published families, from options and from shards, through a whole sweep with shadow models on real text; and its
models once more, as finished ones."""

import json

import numpy as np
import pytest
import safetensors.torch

from orchestrator import run
from orchestrator.bench.models import build
from orchestrator.config.settings import load
from orchestrator.plan.grid import make_plan
from orchestrator.report.certificate import as_page, certify
from orchestrator.report.subject import choose
from orchestrator.store.store import Store
from tasks.datasets.python_docstrings import PythonDocstrings
from tasks.runtime import weights
from tests.support.published_models import saved

AUDIT = """
name = "published"
[data]
name = "python_docstrings"
options = { shortest_text = 80, longest_text = 100, longest = 102 }
[axes]
architecture = ["ARCHITECTURE"]
method = ["finetune", "npo"]
scope = ["last-1"]
attack = ["none", "population", "extraction", "u_lira"]
forget_set = ["modules"]
seed = [0]
[forget_sets.modules]
kind = "groups"
fraction = 0.3
[training]
epochs = 2
batch_size = 16
optimizer = "adamw"
lr = 3e-3
[architectures.llama]
transformers = "llama"
[architectures.llama.options]
hidden_size = 32
num_hidden_layers = 2
num_attention_heads = 2
num_key_value_heads = 1
intermediate_size = 64
max_position_embeddings = 104
[architectures.gpt2]
transformers = "gpt2"
options = { n_embd = 32, n_layer = 2, n_head = 2, n_positions = 104 }
[architectures.folder]
weights = "neox"
[methods]
finetune = { epochs = 1, batch_size = 16, optimizer = "adamw", lr = 1e-3 }
npo = { epochs = 1, batch_size = 16, lr = 1e-3 }
[attacks.population]
statistics = ["loss_threshold", "min_k_pp"]
[shadows]
num = 16
forget_fraction = 0.5
batch = 4
[evaluation]
bootstrap = 20
[execution]
device = "cpu"
"""
BYTES = 259
SOURCE = PythonDocstrings(shortest_text=80, longest_text=100, longest=102)


GIVEN = """
[given]
original = "original"
retrained = "retrained0.safetensors"
retrained_again = "retrained1.safetensors"
[given.unlearned]
their_finetune = "finetune.safetensors"
their_npo = "npo.safetensors"
"""


def write_base(folder):
    saved("gpt_neox", folder / "neox", shards=True, words=BYTES, max_position_embeddings=104)
    assert len(list((folder / "neox").glob("*.safetensors"))) > 1
    return folder


@pytest.fixture
def folder(tmp_path):
    return write_base(tmp_path)


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    """A folder with the results of a sweep from shards, and how it ended."""
    place = write_base(tmp_path_factory.mktemp("published"))
    return place, run(
        configured(place, "folder", without_shadows=True), out=place / "results", backend="inline"
    )


def configured(folder, architecture, *, without_shadows=False):
    text = AUDIT.replace("ARCHITECTURE", architecture)
    path = folder / "audit.toml"
    if without_shadows:
        text = text.replace(', "u_lira"', "").replace('"min_k_pp"', '"min_k_pp", "reference"')
    path.write_text(text)
    return path


def given(folder):
    """The same audit of the models of that sweep, each in a form in which somebody may have kept it."""
    text = (folder / "audit.toml").read_text()
    begin, _, rest = text.partition("[training]")
    architecture = 'weights = "neox"\n'
    settings = rest[rest.index("[attacks.population]") : rest.index("[shadows]")]
    begin = begin.replace('["finetune", "npo"]', '["their_finetune", "their_npo"]').replace(
        '["last-1"]', '["all"]'
    )
    begin = begin.replace("[axes]", "validation_fraction = 0.1\n[axes]", 1)
    path = folder / "given.toml"
    path.write_text(
        f"{begin}[architectures.folder]\n{architecture}{GIVEN}{settings}[evaluation]\nbootstrap = 20\n"
        '[execution]\ndevice = "cpu"\n'
    )
    return path


def export(folder):
    """Write the models: a folder of shards, and files under names of transformers and of Lethe."""
    plan, store = make_plan(load(str(folder / "audit.toml"))), Store(str(folder / "results"))
    for spec in plan.models.values():
        model = build(plan, "folder", ("empty",))
        weights.load(model, store.get_blob("weights", spec.model_id))
        if spec.kind == "original":
            model.body.save_pretrained(folder / "original", max_shard_size="20KB")
        elif spec.kind == "retrained":
            safetensors.torch.save_file(
                model.body.state_dict(), folder / f"retrained{spec.replicate}.safetensors"
            )
        else:
            safetensors.torch.save_file(model.state_dict(), folder / f"{spec.method}.safetensors")


def rows(results, table):
    """By the place of their cell, without ids."""
    store = Store(str(results))
    places = {
        row["cell_id"]: [row["method"].removeprefix("their_"), row["attack"]]
        for row in store.read("cells").to_pylist()
    }
    return sorted(
        json.dumps(
            [
                places[row["cell_id"]],
                {k: v for k, v in row.items() if k not in ("cell_id", "setting", "conditions")},
            ],
            sort_keys=True,
        )
        for row in store.read(table).to_pylist()
    )


def test_a_folder_of_shards_is_audited_on_real_text(audited):
    folder, outcome = audited
    assert outcome.finished, outcome.failed["error"].to_pylist()
    lengths = SOURCE.read_inputs().lengths
    store = Store(str(folder / "results"))
    shown = [row for row in store.read("examples").to_pylist() if row["attack"] == "none"]
    assert shown
    assert all(row["tokens"] == lengths[row["example_id"]] - 1 for row in shown)
    with outcome.results as results:
        which = {"forget_set": "modules", "method": "npo", "architecture": "folder", "scope": "last-1"}
        page = as_page(certify(results, choose(results, **which)))
    assert "began with given weights" in page
    assert "is an assumption, which nobody can check here" in page
    assert "of class 0" not in page


def test_finished_models_have_the_rows_of_the_sweep_that_trained_them(audited):
    folder, _ = audited
    export(folder)
    outcome = run(given(folder), out=folder / "given", backend="inline")
    assert outcome.finished, outcome.failed["error"].to_pylist()
    for table in ("metrics", "examples"):
        ours, theirs = (rows(folder / name, table) for name in ("results", "given"))
        assert len(ours) > 100
        assert ours == theirs
    with outcome.results as results:
        assert results.sql("select 1 from metrics where variant = 'reference'").num_rows  # the base is known
        which = {"forget_set": "modules", "method": "their_npo", "architecture": "folder", "scope": "all"}
        page = as_page(certify(results, choose(results, **which)))
    assert "original, seed 0: original, SHA-256" in page
    assert "their_npo, seed 0: npo.safetensors, SHA-256" in page
    assert "what its models began with is not known here" in page


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["llama", "gpt2", "folder"])
def test_a_published_family_is_audited_on_ray_with_shadow_models(folder, architecture):
    outcome = run(configured(folder, architecture), out=folder / "results", backend="local")
    assert outcome.finished, outcome.failed["error"].to_pylist()
    rows = Store(str(folder / "results")).read("observations").to_pylist()
    assert {row["method"] for row in rows} >= {"finetune", "npo"}
    assert all(np.isfinite(row["phi"]) for row in rows)
    with outcome.results as results:
        healthy = results.query("shadow_health").to_pylist()
        page = as_page(
            certify(
                results,
                choose(
                    results, forget_set="modules", method="npo", architecture=architecture, scope="last-1"
                ),
            )
        )
    assert healthy
    assert {row["architecture"] for row in healthy} == {architecture}
    assert "Per-example attacks tell apart" in page or "No per-example membership attack" in page
