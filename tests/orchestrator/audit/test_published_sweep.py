"""Published families, from options and from shards, through a whole sweep with shadow models on real text."""

import numpy as np
import pytest

from orchestrator import run
from orchestrator.report.certificate import as_page, certify
from orchestrator.report.subject import choose
from orchestrator.store.store import Store
from tasks.datasets.python_docstrings import PythonDocstrings
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


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saved("gpt_neox", tmp_path / "neox", shards=True, words=BYTES, max_position_embeddings=104)
    assert len(list((tmp_path / "neox").glob("*.safetensors"))) > 1
    return tmp_path


def configured(folder, architecture, *, without_shadows=False):
    text = AUDIT.replace("ARCHITECTURE", architecture)
    path = folder / "audit.toml"
    path.write_text(text.replace(', "u_lira"', "") if without_shadows else text)
    return path


def test_a_folder_of_shards_is_audited_on_real_text(folder):
    outcome = run(
        configured(folder, "folder", without_shadows=True), out=folder / "results", backend="inline"
    )
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
