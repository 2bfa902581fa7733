"""Margins in the layout of EasyDUB through the whole command: what the audit says is what was drawn."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from scipy import stats

from orchestrator.outputs import __main__ as outputs
from orchestrator.results.connection import Results
from orchestrator.store.store import Store
from tests.support.commands import here
from tests.support.easydub_folder import SHIFT, write_easydub

DESCRIPTION = """
[outputs]
kind = "margins"
easydub = "data"
attacks = ["u_lira:game=G1", "klom"]
[[outputs.models]]
role = "unlearned"
method = "perfect"
forget_set = "forget_1"
file = "perfect.npy"
[evaluation]
bootstrap = 40
[attacks.klom]
exchanges = 20
"""


def test_doing_nothing_is_told_apart_and_a_perfect_method_is_not(tmp_path: Path) -> None:
    models, train, val = 32, 60, 20
    ids = write_easydub(tmp_path / "data", models=models, num_train=train, num_val=val, forget_sizes=(10,))
    first = np.load(next((tmp_path / "data").rglob("pretrain/retain/resnet9/id_0_epoch_23.npy")))
    oracles = [
        tmp_path / "data" / "margins" / "cifar10" / "oracle" / "forget_1" / part for part in ("retain", "val")
    ]
    assert len(first) == train
    # Drawn as the oracles are: around the mean of these, with a standard deviation of 1.
    middle = np.zeros(train + val)
    places = (np.setdiff1d(np.arange(train), ids["forget_1"]), np.arange(train, train + val))
    for folder, place in zip(oracles, places, strict=True):
        middle[place] = np.mean([np.load(path) for path in folder.rglob("*.npy")], axis=0)
    forgotten = oracles[0].parent / "forget"
    middle[ids["forget_1"]] = np.mean([np.load(path) for path in forgotten.rglob("*.npy")], axis=0)
    noise = np.random.default_rng(5).normal(size=(16, train + val))
    np.save(tmp_path / "perfect.npy", middle + noise)
    (tmp_path / "outputs.toml").write_text(DESCRIPTION)
    ran = here(outputs.main, tmp_path / "outputs.toml", "--out", tmp_path / "results")
    assert ran.returncode == 0, ran.stderr
    left = "models in the place of shadow models: 16 models of each kind, as many as there are of "
    assert left in ran.stderr
    (run,) = Store(str(tmp_path / "results")).read("runs").to_pylist()
    (said,) = [note for note in json.loads(run["plan_json"])["notes"] if note.startswith(left)]
    assert "perfect on forget_1" in said
    assert said.endswith("; left out are 16 of 32 originals")
    with Results(str(tmp_path / "results")) as results:
        rows = results.query("leaderboard", metric="auc").to_pylist()
    found = {
        r["method"]: r for r in rows if r["variant"] == "u_lira_online:pooled" and r["split"] == "forget"
    }
    apart = stats.norm.cdf(SHIFT / np.sqrt(2))  # the AUC of two normal distributions
    assert abs(found["no_op"]["value"] - apart) < 0.02
    assert abs(found["perfect"]["value"] - 0.5) < 0.1
    assert found["no_op"]["difference_low"] > 0.3
    metrics = Store(str(tmp_path / "results")).read("metrics").to_pylist()
    cells = {row["cell_id"]: row for row in Store(str(tmp_path / "results")).read("cells").to_pylist()}
    excess = {
        cells[r["cell_id"]]["method"]: r
        for r in metrics
        if r["metric"] == "klom_excess" and r["split"] == "forget"
    }
    assert excess["no_op"]["ci_low"] > 0
    assert excess["perfect"]["value"] < excess["no_op"]["ci_low"]
    assert excess["retrain"]["ci_low"] < 0 < excess["retrain"]["ci_high"]
    assert {row["num_shadows"] for row in cells.values()} == {16}
