"""SIGKILL a real writer and compactor again and again: nothing acknowledged is lost, doubled or torn."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from orchestrator.store.store import Store
from orchestrator.store.verify import verify

ROWS = 4
WRITER = """
import sys
from orchestrator.store.store import Store
store, first, count = Store(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
row = {"metric": "auc", "split": "all", "variant": "", "n": 1, "higher_is": "worse"}
for k in range(first, first + 100_000):
    store.write("metrics", f"k{k}", [row | {"value": float(i)} for i in range(count)])
    print(f"k{k}", flush=True)
    if k % 9 == 8:
        store.compact(["metrics"])
"""


def killed_writer(root: str, first: int, *, after: int, seconds: float) -> set[str]:
    """Keys that a writer acknowledged before it was killed, `seconds` after it had written `after` keys."""
    command = [sys.executable, "-c", WRITER, root, str(first), str(ROWS)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(after)]
        time.sleep(seconds)
        os.kill(process.pid, signal.SIGKILL)
        lines += process.stdout.readlines()
    assert process.returncode == -signal.SIGKILL
    return {line.strip() for line in lines if line.endswith("\n")}


def check(root: str, rounds: int, seed: int) -> None:
    choose = random.Random(seed)
    store = Store(root)
    store.check_ready()
    acknowledged: set[str] = set()
    for number in range(rounds):
        after, seconds = choose.randint(1, 40), choose.uniform(0, 0.02)
        acknowledged |= killed_writer(root, number * 100_000, after=after, seconds=seconds)
        store = Store(root)
        found = Counter(store.read("metrics")["cell_id"].to_pylist())
        assert acknowledged <= set(found)
        assert set(found.values()) <= {ROWS}
        assert store.keys("metrics") == set(found)
        assert verify(store) == []
    store.compact(at_least=1)
    assert Counter(store.read("metrics")["cell_id"].to_pylist()) == found


def test_kills_lose_double_and_tear_nothing(tmp_path: Path) -> None:
    check(str(tmp_path / "results"), rounds=4, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_many_kills_lose_double_and_tear_nothing(tmp_path: Path) -> None:
    check(str(tmp_path / "results"), rounds=40, seed=2)
