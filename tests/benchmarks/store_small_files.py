"""How long the store takes with many small files: `python tests/benchmarks/store_small_files.py [N] [DIR]`.

Prints write, list, query, compact and query-again times for N metrics files of 40 rows (default 10,000).
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from orchestrator.results.connection import Results
from orchestrator.store.store import Store
from orchestrator.store.verify import verify

ROWS = 40
ROW = {"metric": "accuracy", "split": "test", "variant": "", "n": 100, "higher_is": "better"}


def timed(what: str, action: Callable[[], object]) -> None:
    """Print the seconds that an action took, and what it returned."""
    started = time.perf_counter()
    answer = action()
    print(f"{what:32s} {time.perf_counter() - started:9.3f} s  {answer}", flush=True)


def write(store: Store, count: int) -> str:
    """Write `count` keys."""
    rows = [ROW | {"label": i, "value": i / ROWS} for i in range(ROWS)]
    for k in range(count):
        store.write("metrics", hashlib.sha256(str(k).encode()).hexdigest(), rows)
    return f"{count} files"


def average(directory: str) -> float:
    """The mean of all values, in a session of its own."""
    with Results(directory) as results:
        return float(results.sql("select avg(value) as mean from metrics").to_pylist()[0]["mean"])


def main(count: int, directory: str) -> None:
    """Time every operation once, small files first, then compacted."""
    store = Store(directory)
    store.check_ready()
    timed("write", lambda: write(store, count))
    for state in ("small files", "compacted"):
        timed(f"keys, {state}", lambda: len(store.keys("metrics")))
        timed(f"average, {state}", lambda: average(directory))
        if state == "small files":
            timed("verify", lambda: len(verify(store)))
            timed("compact", store.compact)


if __name__ == "__main__":
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory(dir=sys.argv[2] if len(sys.argv) > 2 else None) as place:
        main(number, place)
