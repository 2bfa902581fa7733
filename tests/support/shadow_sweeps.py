"""A tiny sweep with 16 shadow models, run once for all tests that look at its results."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pyarrow as pa

from orchestrator import sweep as sweep_command
from orchestrator.store.store import Store
from tests.support.commands import here
from tests.support.made_once import made_once

TEXT = """
name = "tiny-shadows"
[data]
name = "synthetic"
scores = ""
[data.options]
num_train = 140
num_test = 40
num_classes = 3
channels = 1
noise = 0.8
seed = 1
[axes]
architecture = ["net"]
method = ["finetune"]
attack = ["u_lira_g1", "u_lira_g2", "retain_harm"]
forget_set = ["random:fraction=0.3"]
[training]
epochs = 12
batch_size = 16
lr = 0.05
augmentation = "none"
[evaluation]
bootstrap = 50
[architectures.net]
timm = "resnet18"
options = { layers = [1, 1, 1, 1], channels = [8, 8, 16, 16] }
[shadows]
num = 16
forget_fraction = 0.5
batch = 8
strategy = "grouped:8"
trajectories = true
[methods.finetune]
epochs = 1
[methods.by_risk]
base = "rum"
ranking = "privacy_risk"
groups = 2
base_params = { epochs = 1 }
[attacks]
u_lira_g1 = { base = "u_lira", game = "G1" }
u_lira_g2 = { base = "u_lira", game = "G2" }
retain_harm = { base = "u_lira", game = "G3" }
[execution]
backend = "inline"
device = "cpu"
"""


def configured(folder: Path, text: str = TEXT, **changes: str) -> list[str]:
    """Write its configuration with some changes; the words of a sweep of it into `folder/results`."""
    for old, new in changes.items():
        assert text.count(f"\n{old} =") == 1, old
        before, _, rest = text.partition(f"\n{old} =")
        text = f"{before}\n{old} = {new}\n{rest.partition(chr(10))[2]}"
    config = folder / "audit.toml"
    config.write_text(text)
    return [str(config), "--out", str(folder / "results")]


def sweep(
    folder: Path, *arguments: str, report: bool = False, text: str = TEXT, **changes: str
) -> subprocess.CompletedProcess[str]:
    """Run it to its end in this process; the report, which takes longer, is left out unless asked for."""
    words = [*configured(folder, text, **changes), "--display", "plain", *arguments]
    return here(sweep_command.main, *words, *([] if report else ["--no-report"]))


def finished() -> Path:
    """The folder of an undisturbed inline run; only to be read."""
    return made_once("shadows", _run)


def _run(folder: Path) -> None:
    ran = sweep(folder)
    assert ran.returncode == 0, ran.stderr


def copied(to: Path) -> Path:
    """The finished run, to go on from."""
    shutil.copytree(finished() / "results", to / "results")
    return to


def observations(folder: Path) -> pa.Table:
    """Every observation in one order."""
    table = Store(str(folder / "results")).read("observations")
    keys = ("method", "scope", "shadow", "draw", "epoch", "example_id")
    return table.sort_by([(key, "ascending") for key in keys]).combine_chunks()
