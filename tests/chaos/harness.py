"""Runs of one sweep that are hit while they run, until it is complete; then every table is compared."""

from __future__ import annotations

import json
import os
import random
import secrets
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.schema import TABLES
from orchestrator.store import Store
from tests.chaos.processes import MARK, Process, kill, of_run

ROOT = Path(__file__).parents[2]
VOLATILE = {
    "seconds",
    "device_seconds",
    "peak_bytes",
    "started_at",
    "finished_at",
    "run_id",
    "host",
    "attempt",
}
UNCOMPARED = {"runs", "costs"}
"""`runs` has a row for every start; `costs` holds nothing but what was measured on the way."""
GIVE_UP_SECONDS = 420.0
ORPHAN_SECONDS = 150.0
"""Ray's own: a worker that starts while its raylet dies waits a minute for it before it ends."""
CONTINUES = ("host", "trial", "dispatcher", "shadow")
"""Kinds whose death the sweep must survive by itself; after the others the same command goes on."""
WHOLE_RAY = ("raylet", "gcs", "host", "trial", "dispatcher", "shadow")


@dataclass
class Tally:
    """What was done to the sweeps and what came of it."""

    kills: Counter[str] = field(default_factory=Counter)
    survived: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    """Hits whose target was not there at that moment, or whose run had just ended."""
    runs: int = 0
    sweeps: int = 0
    differences: list[str] = field(default_factory=list)
    longest_exit: float = 0.0
    """Seconds from the end of a driver to that of its last process."""

    def lines(self) -> list[str]:
        """The closing table."""
        shown = [f"{'killed':<12}{'times':>6}{'survived':>10}"]
        shown += [f"{kind:<12}{self.kills[kind]:>6}{self.survived[kind]:>10}" for kind in sorted(self.kills)]
        total = sum(self.kills.values()), sum(self.survived.values())
        shown.append(f"{'total':<12}{total[0]:>6}{total[1]:>10}")
        shown.append(f"all processes gone at most {self.longest_exit:.0f} s after their driver")
        shown.append(f"{self.runs} runs of {self.sweeps} sweeps; {len(self.differences)} differences")
        return shown + self.differences


class Run:
    """One start of a sweep, with every process that comes of it.

    Args:
        config: TOML of the sweep.
        out: results directory.
        backend: inline or local.
    """

    def __init__(self, config: Path, out: Path, backend: str) -> None:
        self.mark = secrets.token_hex(8)
        self.log = out.parent / f"{out.name}-{self.mark}.log"
        command = [sys.executable, "-m", "orchestrator.sweep", str(config), "--out", str(out)]
        with open(self.log, "w") as log:
            self.driver = subprocess.Popen(
                [*command, "--backend", backend, "--display", "plain"],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env={**os.environ, MARK: self.mark, "OMP_NUM_THREADS": "1"},
                start_new_session=True,
            )

    def processes(self, *kinds: str) -> list[Process]:
        """Those of some kinds that live now."""
        return [p for p in of_run(self.mark) if p.kind in kinds]

    def wait(self, seconds: float = GIVE_UP_SECONDS) -> int | None:
        """The exit code; None where it hung, after which all of it has been ended."""
        try:
            return self.driver.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            return None

    def leftovers(self) -> list[Process]:
        """Processes that outlive the driver for long; they are ended here."""
        deadline = time.monotonic() + ORPHAN_SECONDS
        while (found := of_run(self.mark)) and time.monotonic() < deadline:
            time.sleep(0.25)
        kill(found)
        return found


def hit(run: Run, kind: str, choose: random.Random) -> bool:
    """Kill what is of that kind now; False where nothing was."""
    if kind == "driver":
        found = [Process(run.driver.pid, "driver")] if run.driver.poll() is None else []
    elif kind == "ray":
        found = run.processes(*WHOLE_RAY)
        found = found if any(p.kind == "raylet" for p in found) else []
    else:
        found = run.processes(kind)
        found = [choose.choice(found)] if found else []
    kill(found)
    return bool(found)


def published(out: Path) -> int:
    """Finished files so far."""
    return sum(not p.name.startswith(".") for p in out.rglob("*.arrow"))


def content(out: Path) -> dict[str, list[str]]:
    """Every row of every table as text, without what may differ between two runs."""
    store, found = Store(str(out)), {}
    for table in sorted(set(TABLES) - UNCOMPARED):
        rows = store.read(table).to_pylist()
        kept = ({k: v for k, v in row.items() if k not in VOLATILE} for row in rows)
        found[table] = sorted(json.dumps(row, default=str) for row in kept)
    return found


def differences(out: Path, expected: dict[str, list[str]]) -> list[str]:
    """What distinguishes a finished sweep from an undisturbed one: rows, doubles, damaged files."""
    found = []
    for table, rows in content(out).items():
        if len(set(rows)) != len(rows):
            found.append(f"{out.name}: {table}: {len(rows) - len(set(rows))} rows occur twice")
        if rows != expected[table]:
            odd = set(rows) ^ set(expected[table])
            found.append(f"{out.name}: {table}: {len(odd)} rows differ, such as {sorted(odd)[:1]}")
    found += [f"{out.name}: {d.file} is {d.reason}" for d in Store(str(out)).verify()]
    return found


def strays(out: Path) -> list[Path]:
    """Unfinished files that killed writers left, made old; the next start must remove them."""
    found = [p for p in out.rglob(".*") if p.is_file()]
    for path in found:
        os.utime(path, (0, 0))
    return found


class Chaos:
    """Hits one sweep again and again.

    Args:
        config: TOML of the sweep.
        folder: where results and logs go.
        seed: of every choice.
        say: takes a line for each run.
    """

    def __init__(self, config: Path, folder: Path, seed: int, say) -> None:  # type: ignore[no-untyped-def]
        self.config, self.folder, self.say = config, folder, say
        self.choose = random.Random(seed)
        self.tally = Tally()
        undisturbed = folder / "undisturbed"
        code = Run(config, undisturbed, "inline").wait()
        assert code == 0, f"the undisturbed run ended with {code}"
        self.expected = content(undisturbed)
        self.files = published(undisturbed)

    def complete(self, backend: str, kinds: list[str]) -> None:
        """Run sweeps to their end while each kind is hit in turn, and compare each."""
        waiting = list(kinds)
        while waiting and not self.tally.differences:
            out = self.folder / f"sweep-{self.tally.sweeps}-{backend}"
            self.tally.sweeps += 1
            while self._disturbed(out, backend, waiting) != 0:
                if self.tally.differences:
                    return
            if left := strays(out):
                self._run(out, "inline", [])
                self.tally.differences += [f"{out.name}: {p} stays" for p in left if p.exists()]
            self.tally.differences += differences(out, self.expected)

    def pair(self, backend: str) -> None:
        """Two sweeps at once on one directory, both to their end."""
        out = self.folder / f"sweep-{self.tally.sweeps}-pair"
        self.tally.sweeps += 1
        runs = [Run(self.config, out, backend) for _ in range(2)]
        self.tally.runs += 2
        codes = [run.wait() for run in runs]
        self.tally.kills["(two at once)"] += 1
        self.tally.survived["(two at once)"] += codes == [0, 0]
        if codes != [0, 0]:
            self.tally.differences.append(f"{out.name}: two at once ended with {codes}, see {runs[0].log}")
        self.tally.differences += differences(out, self.expected)

    def _disturbed(self, out: Path, backend: str, waiting: list[str]) -> int | None:
        before = Counter(waiting)
        code = self._run(out, backend, waiting)
        done = before - Counter(waiting)
        shown = ", ".join(f"{kind} x{count}" if count > 1 else kind for kind, count in done.items()) or "none"
        self.say(f"{out.name}: hit {shown}; exit {code}; {published(out)} of {self.files} files")
        return code

    def _run(self, out: Path, backend: str, waiting: list[str]) -> int | None:
        run = Run(self.config, out, backend)
        self.tally.runs += 1
        killed: list[str] = []
        while waiting and run.driver.poll() is None:
            kind = waiting[0]
            if not self._moment(run, out):
                break
            if not hit(run, kind, self.choose):
                self.tally.missed[kind] += 1
                time.sleep(0.1)
                continue
            waiting.pop(0)
            killed.append(kind)
            self.tally.kills[kind] += 1
            if kind not in CONTINUES:
                break
        code = run.wait()
        ended = time.monotonic()
        left = run.leftovers()
        self.tally.longest_exit = max(self.tally.longest_exit, time.monotonic() - ended)
        self._judge(run, killed, code, left)
        return code

    def _moment(self, run: Run, out: Path) -> bool:
        """Wait for a random moment of useful work; False where the run ended before."""
        goal = published(out) + self.choose.randint(0, max(1, self.files // 8))
        while run.driver.poll() is None:
            if out.is_dir() and published(out) >= goal:
                time.sleep(self.choose.uniform(0.0, 0.5))
                return True
            time.sleep(0.02)
        return False

    def _judge(self, run: Run, killed: list[str], code: int | None, left: list[Process]) -> None:
        problems = []
        if code is None:
            problems.append("it hung")
        if left:
            problems.append(f"orphans: {sorted(p.title for p in left)}")
        if code != 0 and (not killed or killed[-1] in CONTINUES):
            problems.append(f"it ended with {code}")
        if not problems:
            self.tally.survived.update(killed)
        told = f"{self.tally.sweeps - 1}: after {killed or 'no kill'}: {'; '.join(problems)}, see {run.log}"
        self.tally.differences += [told] if problems else []
