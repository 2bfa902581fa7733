"""Kill sweeps at random moments and compare: `python -m tests.chaos --rounds 3 --seed 1`."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.chaos.harness import SHADOWS, Chaos, Tally
from tests.support.sweeps import TINY, write_config

KINDS = {
    "cells": ["host", "trial", "dispatcher", "driver", "raylet", "gcs", "ray", "term"],
    "shadows": [
        *("shadow", "pause", "stop", "host", "trial", "dispatcher", "driver", "raylet", "gcs", "ray", "term")
    ],
}


def main() -> int:
    """Hit sweeps over plain cells and over shadow models and print what was survived."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--rounds", type=int, default=1, help="times that every kind is killed, on every sweep"
    )
    parser.add_argument(
        "--sweeps", nargs="+", choices=sorted(KINDS), default=sorted(KINDS), help="what is run"
    )
    parser.add_argument(
        "--kinds",
        nargs="+",
        help="what is killed on Ray, one as often as it is named; every kind once where it is left out",
    )
    parser.add_argument("--inline", type=int, default=4, help="kills of a driver without Ray, in each round")
    parser.add_argument("--pairs", type=int, default=1, help="two sweeps on one directory, in each round")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="lethe-chaos-"))
    tally = Tally()
    for name in options.sweeps:
        place = folder / name
        place.mkdir()
        config = write_config(place, TINY if name == "cells" else SHADOWS)
        chaos = Chaos(config, place, options.seed, _say, tally)
        choose = random.Random(f"{options.seed} {name}")
        kinds = [kind for kind in options.kinds or KINDS[name] if kind in KINDS[name]]
        for _ in range(options.rounds):
            chaos.complete("inline", ["driver"] * options.inline)
            for _ in range(options.pairs):
                chaos.pair("inline")
            chaos.complete("local", choose.sample(kinds, len(kinds)))
    _say("\n".join(tally.lines()))
    return 1 if tally.differences else 0


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
