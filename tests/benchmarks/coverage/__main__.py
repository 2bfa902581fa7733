"""How often the intervals that Lethe prints hold the truth, at a nominal 95 %.

    python -m tests.benchmarks.coverage --only class_accuracy_gap

Each case draws data with a known truth and calls what Lethe calls. `ideal` is the width of an interval that knew how
the estimate is distributed. Exits 1 where the runs refute a coverage of 93 % (exact binomial test), 2 where no case is
selected.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import attrgetter

import numpy as np

from tests.benchmarks.coverage.case import REQUIRED, WIDE, Coverage, measure
from tests.benchmarks.coverage.registry import WITHOUT, select


def lines(shown: Iterable[Coverage]) -> Iterator[str]:
    """A line for each case and estimate."""
    for one in shown:
        yield f"{one.share:.3f}  {one.estimate:<36}{_widths(one):<26}{one.case.name} ({one.runs} runs)"


def markdown(shown: Iterable[Coverage]) -> Iterator[str]:
    """A row for each estimate: the range over its cases, and the median width by the ideal one where it may be wide."""
    yield f"| estimate | cases | runs | lowest | median | highest | width : ideal above {WIDE:g} |"
    yield "|---|--:|--:|--:|--:|--:|--:|"

    def name(one: Coverage) -> str:
        return one.estimate.split(" at ")[0]

    for estimate, group in groupby(sorted(shown, key=name), key=name):
        parts = list(group)
        shares = np.array([one.share for one in parts])
        runs = "-".join(map(str, sorted({min(one.runs for one in parts), max(one.runs for one in parts)})))
        wide = [one for one in parts if one.share > WIDE and one.ideal > 0]
        ratio = float(np.median([one.width / one.ideal for one in wide])) if wide else 0.0
        widths = "" if not wide else f"{ratio:.2f}" if np.isfinite(ratio) else "one-sided"
        yield (
            f"| `{estimate}` | {len(parts)} | {runs} | {shares.min():.3f} | {np.median(shares):.3f} "
            f"| {shares.max():.3f} | {widths} |"
        )


def _widths(one: Coverage) -> str:
    """Width and ideal width, where the coverage says that the interval may be wide."""
    return f"width {one.width:.3g}, ideal {one.ideal:.3g}" if one.share > WIDE else ""


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and judge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=2000, help="per case")
    parser.add_argument("--only", help="cases whose family, name or estimates hold this text")
    parser.add_argument("--format", choices=("lines", "markdown"), default="lines")
    given = parser.parse_args(arguments)
    cases = select(given.only)
    if not cases:
        print(f"coverage: no case holds '{given.only}'", file=sys.stderr)
        return 2
    shown: list[Coverage] = []
    for case in cases:
        measured = measure(case, given.runs)
        shown += measured
        if given.format == "lines":
            print(*lines(measured), sep="\n", flush=True)
    if given.format == "markdown":
        print(*markdown(shown), sep="\n")
    short = sorted((one for one in shown if one.short), key=attrgetter("share"))
    for one in short:
        print(f"below {REQUIRED}: {one.share:.3f} {one.estimate}, {one.case.name}", file=sys.stderr)
    for name, reason in WITHOUT.items():
        print(f"not measured: {name}: {reason}", file=sys.stderr)
    print(f"{len(shown)} estimates of {len(cases)} cases, {len(short)} below {REQUIRED}")
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
