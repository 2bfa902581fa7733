"""One tiny audit on Ray with a search, shadow models, cells, a program, and a method that kills its hosts."""

from __future__ import annotations

import json
import os
from pathlib import Path

from orchestrator.store.store import Store
from tests.support.commands import ROOT
from tests.support.grains import MEASURED
from tests.support.shadow_sweeps import TEXT, configured, sweep
from tests.support.sweeps import started_sweep

PLUGIN = """
import dataclasses, os, signal
import ray
from tasks.unlearn.base import Method, register

@register("ends_hosts")
@dataclasses.dataclass(frozen=True, kw_only=True)
class EndsHosts(Method):
    def __call__(self, run):
        if ray.get_runtime_context().get_actor_id():  # not the tasks that unlearn shadow models
            with open(os.environ["ENDED"], "a") as ended:
                ended.write(f"{os.getpid()}\\n")
            os.kill(os.getpid(), signal.SIGKILL)
"""
PROGRAM = """
import sys
from safetensors.numpy import load_file, save_file
weights = load_file(sys.argv[1])
weights["body.head.bias"] += len(open(sys.argv[2]).read().split())
save_file(weights, sys.argv[3])
"""
THEIRS = """
[methods.theirs]
program = ["python", "their.py", "{{original}}", "{{forget_ids}}", "{{unlearned}}"]
folder = "{folder}"
"""
LEFT_OUT = 'exclude = [{ method = "theirs", attack = "u_lira_g2" }]'
"""A program for each of 16 shadow models takes long on both backends."""
SMALL = {
    "attack": '["none", "u_lira_g2"]',
    "trajectories": "false",
    "timm": '"vit_tiny_patch16_224"',
    "options": "{ patch_size = 4, embed_dim = 16, depth = 1, num_heads = 2, mlp_ratio = 1 }",
}
"""What makes the tiny sweep with shadow models smaller still."""
TABLES = ("cells", "metrics", "examples", "models", "forget_sets", "shadows", "observations", "tuning")


def rows(results: Path) -> dict[str, list[str]]:
    """Every row of every table as text, but of the method that kills, and without what differs between two runs."""
    store, found = Store(str(results)), {}
    killed = {row["cell_id"] for row in store.read("cells").to_pylist() if row["method"] == "ends_hosts"}
    for table in TABLES:
        kept = [
            {key: value for key, value in row.items() if key not in MEASURED}
            for row in store.read(table).to_pylist()
            if row.get("method") != "ends_hosts" and row.get("cell_id") not in killed
        ]
        found[table] = sorted(json.dumps(row, default=str) for row in kept)
        assert kept, table
    return found


def test_a_search_shadow_models_and_cells_on_ray_give_the_same_bits_beside_a_method_that_kills_hosts(
    tmp_path: Path,
) -> None:
    assert TEXT.count("epochs = 12") == 1
    text, inline, ray = TEXT.replace("epochs = 12", "epochs = 1"), tmp_path / "inline", tmp_path / "ray"
    (tmp_path / "their.py").write_text(PROGRAM)
    text = LEFT_OUT + text + THEIRS.format(folder=tmp_path)
    inline.mkdir()
    ran = sweep(inline, "--tune", "2", "--axes.method", "finetune", "theirs", text=text, **SMALL)
    assert ran.returncode == 0, ran.stderr

    ray.mkdir()
    (ray / "ends_hosts.py").write_text(PLUGIN)
    words = configured(ray, text.replace("[data]", 'plugins = ["ends_hosts"]\n[data]'), **SMALL)
    words += ["--tune", "2", "--axes.method", "finetune", "theirs", "ends_hosts", "--backend", "local"]
    path = f"{ray}{os.pathsep}{ROOT}"
    ran = started_sweep(*words, timeout=500, PYTHONPATH=path, ENDED=str(ray / "ended"))
    assert ran.returncode == 1, ran.stderr
    assert rows(ray / "results") == rows(inline / "results")
    assert len(set((ray / "ended").read_text().split())) == 3
    cells = Store(str(ray / "results")).read("cells").to_pylist()
    (failed,) = [row for row in cells if row["status"] == "failed"]
    assert (failed["method"], failed["attack"], failed["error_type"]) == ("ends_hosts", "none", "HostDied")
    assert failed["error"].startswith("3 hosts ended while they ran this")
