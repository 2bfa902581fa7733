"""What large results take: `python -m tests.benchmarks.large_results [--shape NAME]`.

Makes results of some 10,000 cells, then prints the processor seconds of the page and its bytes, and of each query that
ships and needs no parameter, in one session; the first to read a table pays for reading it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable

from orchestrator.report.write import build
from orchestrator.results.catalogue import catalogue
from orchestrator.results.connection import Results
from tests.support.large_results import SHAPES, Shape, write_large

FEW = {"few": Shape()}
"""To see that it works."""


def timed(what: str, action: Callable[[], object]) -> None:
    """Print the processor seconds and the wall seconds that an action took, and what it returned."""
    wall, processor = time.perf_counter(), time.process_time()
    answer = action()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print(f"{what:32s} {processor:7.2f} s of processors {wall:7.2f} s  {answer}", flush=True)


def main() -> None:
    """Measure one shape."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    shapes = SHAPES | FEW
    parser.add_argument("--shape", choices=shapes, default="settings")
    shape = shapes[parser.parse_args().shape]
    with tempfile.TemporaryDirectory() as root:
        timed("written", lambda: f"{write_large(root, shape) and shape.cells} cells")
        timed("page", lambda: f"{len(build(root)[0].encode()):,} bytes")
        with Results(root) as results:
            for name, query in catalogue().items():
                if not query.required:
                    timed(name, lambda name=name: f"{results.query(name).num_rows} rows")  # type: ignore[misc]


if __name__ == "__main__":
    main()
