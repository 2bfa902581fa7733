"""The guide's script as a method, unmodified, of a model and of shadow models; and a program that fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from safetensors.numpy import load as load_weights
from safetensors.numpy import load_file

from orchestrator import sweep as sweep_command
from orchestrator.config.settings import load
from orchestrator.plan.cells import Plan
from orchestrator.plan.grid import make_plan
from orchestrator.store.store import Store
from tests.support.commands import here
from tests.support.pages import PAGES

TEXT = r"""
plugins = ["perceptron_of_the_guide"]
[data]
name = "synthetic"
options = { num_train = 120, num_test = 40, num_classes = 3, channels = 1, height = 8, width = 8, seed = 1 }
[axes]
architecture = ["small_perceptron"]
method = ["theirs", "fails", "edits"]
scope = ["head"]
attack = ["none", "u_lira"]
forget_set = ["random:fraction=0.2"]
[[exclude]]
method = ["fails", "edits"]
attack = "u_lira"
[training]
epochs = 2
batch_size = 32
[evaluation]
bootstrap = 20
[shadows]
num = 16
forget_fraction = 0.5
[methods.theirs]
program = ["python", "their.py", "--in={original}", "--out={unlearned}", "--retain", "{retain_ids}", "--data", "{data}",
           "--seed", "{seed}"]
[methods.fails]
program = ["python", "-I", "-S", "-c", "import sys; sys.exit('\\x1b[31mno gradient')", "{unlearned}"]
[methods.edits]
program = ["python", "-I", "-S", "edits.py", "{original}", "{unlearned}"]
[execution]
backend = "inline"
device = "cpu"
"""
EDITS = "import shutil, sys; shutil.copy(*sys.argv[1:]); open(__file__, 'a').write('#')"


class Audited(NamedTuple):
    folder: Path
    ran: subprocess.CompletedProcess[str]
    plan: Plan
    store: Store


def block(mark: str) -> str:
    """A piece of Python of the guide."""
    (found,) = [text for text in PAGES["extend"].fenced("python") if mark in text]
    return found


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Audited:
    folder = tmp_path_factory.mktemp("programs")
    (folder / "perceptron_of_the_guide.py").write_text(block("def small_perceptron"))
    (folder / "their.py").write_text(block("# their.py"))
    (folder / "edits.py").write_text(EDITS)
    (folder / "audit.toml").write_text(TEXT)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        ran = here(sweep_command.main, folder / "audit.toml", "--out", folder / "results", "--no-report")
        plan = make_plan(load(str(folder / "audit.toml")))
    return Audited(folder, ran, plan, Store(str(folder / "results")))


def test_the_guides_script_unlearns_like_any_method(audited: Audited) -> None:
    folder, ran, plan, store = audited
    assert ran.returncode == 1, ran.stderr
    (spec,) = [m for m in plan.models.values() if m.method == "theirs"]
    assert spec.original_id
    assert spec.forget_set
    files = {name: folder / name for name in ("in", "out", "retain", "data.npz")}
    files["in"].write_bytes(store.get_blob("weights", spec.original_id))
    splits, data = plan.data.splits, plan.data
    used = np.sort(np.concatenate([splits.train, splits.validation]))
    np.savetxt(files["retain"], np.setdiff1d(splits.train, data.forget_sets[spec.forget_set].ids), fmt="%d")
    np.savez(
        files["data.npz"], ids=used, images=data.source.read_images()[used], labels=data.labels.labels[used]
    )
    flags = [word for name, path in files.items() for word in (f"--{Path(name).stem}", str(path))]
    subprocess.run([sys.executable, folder / "their.py", *flags, "--seed", "0"], check=True)
    stored, by_hand = load_weights(store.get_blob("weights", spec.model_id)), load_file(files["out"])
    assert {name: array.tobytes() for name, array in stored.items()} == {
        name: array.tobytes() for name, array in by_hand.items()
    }
    original = load_file(files["in"])
    moved = {name for name in stored if stored[name].tobytes() != original[name].tobytes()}
    assert moved == {"body.4.weight", "body.4.bias"}


def test_it_unlearns_from_shadow_models_too(audited: Audited) -> None:
    _, _, plan, store = audited
    cells = {(row["method"], row["attack"]): row["status"] for row in store.read("cells").to_pylist()}
    assert cells["theirs", "none"] == cells["theirs", "u_lira"] == "finished"
    groups = {g.group_id for g in plan.shadow_groups.values() if g.method == "theirs"}
    rows = [row for row in store.read("models").to_pylist() if row["parent_id"] in groups]
    assert sorted(row["shadow"] for row in rows) == list(range(16))
    assert {row["status"] for row in rows} == {"finished"}


def test_a_program_that_fails_or_edits_itself_is_a_failed_row_that_says_why(audited: Audited) -> None:
    _, ran, _, store = audited
    words = {
        "fails": r"the program ended with exit code 1; its last words: \x1b[31mno gradient",
        "edits": "program[3]: edits.py was edited while the program ran (what the program writes belongs in the folder "
        "in which it runs)",
    }
    for table in ("models", "cells"):
        failed = [row for row in store.read(table).to_pylist() if row["status"] == "failed"]
        assert {row["method"]: row["error"] for row in failed} == words
        assert {row["error_type"] for row in failed} == {"ProgramFailed", "AuditError"}
    assert "2 failed" in ran.stderr
