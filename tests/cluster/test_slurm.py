"""The batch script of SLURM on two machines that are network namespaces; `srun` and `scontrol` are stand-ins."""

from pathlib import Path

import pytest

from orchestrator.store.store import Store
from tests.cluster.machines import Machines, missing
from tests.support.sweeps import TINY

ROOT = Path(__file__).parents[2]
NODES = {"node-1": "10.0.0.1", "node-2": "10.0.0.2"}
# One task on each node with the environment of the batch script, in its directory, as SLURM does.
SRUN = """#!/bin/bash
shift
for node in $SLURM_JOB_NODELIST; do
  { export -p; printf 'cd %q && exec' "$PWD"; printf ' %q' "$@"; } |
    ssh -o StrictHostKeyChecking=no -o LogLevel=ERROR "$node" 'cat > task && bash task' &
  tasks+=($!)
done
for task in "${tasks[@]}"; do wait "$task" || exit; done
"""
SCONTROL = """#!/bin/bash
printf '%s\\n' $3
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(missing() != "", reason=missing()),
]


@pytest.fixture
def machines(tmp_path):
    made = Machines(tmp_path, tmp_path / "shared")
    try:
        for name, address in NODES.items():
            made.start(name, address)
        yield made
    finally:
        made.close()


def test_the_batch_script_runs_a_sweep_on_every_node_and_leaves_nothing(machines):
    shared = machines.shared
    (shared / "audit.toml").write_text(TINY)
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        (shared / name).write_text(text)
        (shared / name).chmod(0o755)
    job = {
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NODELIST": f"'{' '.join(NODES.values())}'",
        "SLURM_JOB_NUM_NODES": len(NODES),
        "SLURM_CPUS_PER_TASK": 1,
        "SLURM_GPUS_ON_NODE": 0,
        "PATH": f"{shared}:~/venv/bin:$PATH",
        "PYTHONPATH": ROOT,
    }
    settings = " ".join(f"{key}={value}" for key, value in job.items())
    script = ROOT / "orchestrator" / "clusters" / "slurm.sbatch"
    said = machines.run("node-1", f"export {settings}; bash {script} {shared}/audit.toml {shared}/results")
    assert "21 of 21 cells finished, 0 failed" in said
    (run,) = Store(str(shared / "results")).read("runs").to_pylist()
    assert run["config_json"]
    for name in NODES:
        assert not [program for program in machines.programs(name) if "ray" in program], name
