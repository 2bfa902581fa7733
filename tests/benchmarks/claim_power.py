"""How often the claims' verdicts are wrong, and how often they see: the SQL itself over made results of known truth.

    python -m tests.benchmarks.claim_power [--runs 300] [--only claim_order]

A verdict is wrong where it says supported of what is not so, or contradicted of what is.
"""

from __future__ import annotations

import argparse
import zlib

import numpy as np

from tests.benchmarks.coverage.claims import WORLDS, World


def row(world: World, runs: int) -> str:
    """A row of the table in guide/claims.md."""
    found = world.judged(np.random.default_rng(zlib.crc32(f"{world.query} {world.name}".encode())), runs)
    truth = float(np.mean(found["effect"])) if world.truth is None else world.truth
    covered = np.mean((found["low"] <= truth + 1e-9) & (truth - 1e-9 <= found["high"]))
    shares = [np.mean(found["verdict"] == verdict) for verdict in ("supported", "contradicted", "undecided")]
    return (
        f"| `{world.query}` | {world.name} | {'yes' if world.so else 'no'} | {truth:.3f} | {covered:.3f} | "
        + " | ".join(f"{share:.3f}" for share in shares)
        + " |"
    )


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=300, help="made results for each row")
    parser.add_argument("--only", default="", help="queries whose name holds this text")
    given = parser.parse_args(arguments)
    print("| query | made results | is it so | effect | covered | supported | contradicted | undecided |")
    print("|---|---|---|--:|--:|--:|--:|--:|")
    for world in WORLDS:
        if given.only in world.query:
            print(row(world, given.runs), flush=True)


if __name__ == "__main__":
    main()
