"""Kill sweeps at random moments and compare: `python -m tests.chaos --rounds 20 --seed 1`."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.chaos.harness import Chaos
from tests.orchestrator.sweeps import TINY, write_config

LOCAL = ["host", "trial", "host", "dispatcher", "driver", "raylet", "gcs", "ray"]


def main() -> int:
    """Hit sweeps of both backends and print what was survived."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--inline", type=int, default=2, help="sweeps without Ray, each killed --kills times")
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument(
        "--local", type=int, default=1, help="sweeps on a private Ray, each kind killed in turn"
    )
    parser.add_argument(
        "--kinds", nargs="+", default=LOCAL, help="what is killed on Ray; any of %(default)s, shadow"
    )
    parser.add_argument("--pairs", type=int, default=1, help="times that two sweeps share one directory")
    parser.add_argument("--config", type=Path, help="TOML of the sweep; a tiny one where it is left out")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="lethe-chaos-"))
    chaos = Chaos(options.config or write_config(folder, TINY), folder, options.seed, _say)
    choose = random.Random(options.seed)
    for _ in range(options.inline):
        chaos.complete("inline", ["driver"] * options.kills)
    for _ in range(options.pairs):
        chaos.pair("inline")
    for _ in range(options.local):
        chaos.complete("local", choose.sample(options.kinds, len(options.kinds)))
    _say("\n".join(chaos.tally.lines()))
    return 1 if chaos.tally.differences else 0


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
