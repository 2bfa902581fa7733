"""`python -m tests.mutants`: draw mutants, run the tests that cover them, print what became of them."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.mutants import __doc__ as about
from tests.mutants.areas import AREAS, Area
from tests.mutants.candidates import candidates, sample
from tests.mutants.equivalents import equivalents, outdated
from tests.mutants.forked import import_large
from tests.mutants.mutant import Mutant
from tests.mutants.runner import Runner, Verdict
from tests.mutants.table import FORMATS, enough

ROOT = Path(__file__).parents[2]


def main() -> int:
    """Exit code 1 where an area has fewer than 90 % killed, or an equivalent has no mutant any more; else 0."""
    options = _options()
    judged = equivalents()
    old = outdated(ROOT, judged)
    for line in old:
        print(f"equivalents.toml: {line}")
    import_large()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))  # forks end with this process
    verdicts: dict[str, list[Verdict]] = {}
    with tempfile.TemporaryDirectory(prefix="lethe-mutants-") as folder:
        runner = Runner(ROOT, Path(folder), options.processes)
        for name, area, mutants in _drawn(options):
            started = time.monotonic()
            verdicts[name] = []
            for verdict in runner.judge(area, mutants, judged):
                verdicts[name].append(verdict)
                if verdict.outcome != "equivalent":
                    late = f"  ({verdict.reason})" if verdict.reason else ""
                    print(f"{verdict.outcome:<9} {verdict.mutant}{late}", flush=True)
            print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)
    print(FORMATS[options.format](verdicts))
    return 0 if enough(verdicts) and not old else 1


def _drawn(options: argparse.Namespace) -> list[tuple[str, Area, list[Mutant]]]:
    """Name, area and mutants."""
    if options.only:
        path, line = options.only
        some = [mutant for mutant in candidates(ROOT, path) if mutant.edit.line == line]
        return [(name, area, some) for name, area in AREAS.items() if path in area.files(ROOT)]
    return [
        (name, AREAS[name], sample(ROOT, AREAS[name], options.count, options.seed))
        for name in options.area or AREAS
    ]


def _place(text: str) -> tuple[str, int]:
    path, _, line = text.rpartition(":")
    if not any(path in area.files(ROOT) for area in AREAS.values()) or not line.isdecimal():
        raise argparse.ArgumentTypeError(f"{text}: expected FILE:LINE, of a file of an area")
    return path, int(line)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutants",
        description=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--area", action="append", choices=AREAS, help="may be given several times; default: all"
    )
    which.add_argument("--only", type=_place, metavar="FILE:LINE", help="every mutant of one line")
    parser.add_argument("--count", type=int, default=30, help="lines of each area; default: 30")
    parser.add_argument("--seed", type=int, default=0, help="draws the lines; default: 0")
    several = min(2, os.cpu_count() or 1)
    parser.add_argument("--processes", type=int, default=several, help=f"at once; default: {several}")
    parser.add_argument("--format", choices=FORMATS, default="lines", help="of the closing table")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
