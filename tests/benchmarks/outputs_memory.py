"""Memory and time of `python -m orchestrator.outputs` on data of the shape of EasyDUB.

    python tests/benchmarks/outputs_memory.py [--models 200] [--forget-sets 10] [--examples 60000] [--audited 1]

Writes margins of `models` originals, and of as many oracles of each forget set, in the layout of EasyDUB; then reads
and checks all of them (`--dry-run`), and audits the first `audited` forget sets by U-LiRA, rank tests and KLoM. Each
command runs in a process of its own, whose peak resident memory is printed. Cells are measured one after another and
hold the observations of one forget set at a time, so that more of them take no more memory, but for what is kept for
the next cell (`orchestrator.outputs.bench.HELD_BYTES`).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.support.easydub_folder import write_easydub

DESCRIPTION = """
[outputs]
kind = "margins"
easydub = "data"
easydub_forget_sets = {numbers}
dataset = "cifar10"
attacks = ["u_lira:game=G1", "rank_test:game=G1", "klom"]
"""


def peak(what: str, *words: str) -> float:
    """Run the command; print its peak resident memory and its seconds, and return the first, in GiB."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "orchestrator.outputs", *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{what}: exit status {status}")
    size = usage.ru_maxrss / 2**20
    seconds = time.perf_counter() - began
    print(f"{what:48s} {size:6.2f} GiB {usage.ru_utime:8.1f} s CPU {seconds:8.1f} s", flush=True)
    return size


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line, write the data, and measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name, value in (("models", 200), ("forget-sets", 10), ("examples", 60_000), ("audited", 1)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--forgotten", type=int, default=500)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder, train = Path(name), options.examples * 5 // 6
        sizes = (min(options.forgotten, train // 4),) * options.forget_sets
        write_easydub(
            folder / "data",
            models=options.models,
            num_train=train,
            num_val=options.examples - train,
            forget_sizes=sizes,
        )
        shape = (
            f"{options.models} + {options.models * options.forget_sets} models x {options.examples} examples"
        )
        peak(f"read and check {shape}", str(folder / "data"), "--dry-run")
        numbers = list(range(1, 1 + options.audited))
        (folder / "audit.toml").write_text(DESCRIPTION.format(numbers=numbers))
        words = (str(folder / "audit.toml"), "--out", str(folder / "results"), "--display", "none")
        size = peak(f"audit {options.audited} of {options.forget_sets} forget sets", *words)
        print(f"peak {size:.2f} GiB of outputs")


if __name__ == "__main__":
    main()
