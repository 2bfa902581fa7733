"""Runs of one sweep that are hit while they run, until it is complete; then every table is compared."""

from __future__ import annotations

import json
import os
import random
import secrets
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.store.store import Store
from orchestrator.store.tables import TABLES
from orchestrator.store.verify import verify
from tests.chaos.processes import Process, kill, left_after, of_run, start
from tests.support.grains import MEASURED

UNCOMPARED = {"runs", "plans", "inventory", "losses", "costs"}
"""`runs`, and what is said of each, has a row for every start; `costs` holds what was measured on the way."""
GIVE_UP_SECONDS = 420.0
ORPHAN_SECONDS = 5.0
"""From the end of a driver to that of the last process of its run."""
WORKERS = ("host", "shadow")
CONTINUES = ("host", "trial", "dispatcher", "shadow", "term", "pause", "stop")
"""Kinds that the sweep must survive by itself; term is a worker that SIGTERM asks to end, pause a shadow task that is
stopped for a while, and stop one that is killed after that."""
TARGETS = {"ray": ("raylet",), "term": WORKERS, "pause": ("shadow",), "stop": ("shadow",)}
"""Of which processes one must be there; of other kinds those of the kind itself."""
STOPPED_SECONDS = 3.0
ENDS = ("raylet", "gcs", "ray")
"""Kinds after which a sweep on this machine may end: in one line, so that the same command goes on."""
WHOLE_RAY = ("raylet", "gcs", "host", "trial", "dispatcher", "shadow")
SHADOWS = """
name = "shadows"
[data]
name = "synthetic"
options = { num_train = 100, num_test = 40, num_classes = 3, channels = 1, noise = 0.8, seed = 1 }
[axes]
architecture = ["net"]
method = ["finetune"]
attack = ["none", "u_lira_g1", "u_lira_g2"]
forget_set = ["random:fraction=0.3"]
[training]
epochs = 3
batch_size = 16
augmentation = "none"
[evaluation]
bootstrap = 50
[architectures.net]
timm = "resnet18"
options = { layers = [1, 1, 1, 1], channels = [4, 4, 4, 4] }
[shadows]
num = 16
forget_fraction = 0.5
batch = 2
strategy = "loop"
[methods.finetune]
epochs = 1
[attacks]
u_lira_g1 = { base = "u_lira", game = "G1" }
u_lira_g2 = { base = "u_lira", game = "G2" }
[execution]
backend = "inline"
device = "cpu"
"""
"""A sweep that spends its time on shadow models: eight tasks on Ray, then nine cells on hosts and through Tune."""


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
        launcher: words before the command.
    """

    def __init__(self, config: Path, out: Path, backend: str, launcher: Sequence[str] = ()) -> None:
        self.mark = secrets.token_hex(8)
        self.log = out.parent / f"{out.name}-{self.mark}.log"
        command = [*launcher, sys.executable, "-m", "orchestrator.sweep", str(config), "--out", str(out)]
        with open(self.log, "w") as log:
            words = [*command, "--backend", backend, "--display", "plain"]
            self.driver = start(words, self.mark, stderr=log)

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
        found = left_after(self.mark, ORPHAN_SECONDS)
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
        found = run.processes(*TARGETS.get(kind, (kind,)))
        found = [choose.choice(found)] if found else []
    if kind in ("pause", "stop"):
        kill(found, signal.SIGSTOP)
        time.sleep(STOPPED_SECONDS)
    kill(found, {"term": signal.SIGTERM, "pause": signal.SIGCONT}.get(kind, signal.SIGKILL))
    return bool(found)


def published(out: Path) -> int:
    """Finished files so far."""
    return sum(not p.name.startswith(".") for p in out.rglob("*.arrow"))


def content(out: Path) -> dict[str, list[str]]:
    """Every row of every table as text, identities included, without what two runs of the same code measure."""
    store, found = Store(str(out)), {}
    for table in sorted(set(TABLES) - UNCOMPARED):
        rows = store.read(table).to_pylist()
        kept = ({k: v for k, v in row.items() if k not in MEASURED} for row in rows)
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
    found += [f"{out.name}: {d.file} is {d.reason}" for d in verify(Store(str(out)))]
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
        folder: where results and logs go; of this sweep alone.
        seed: of every choice.
        say: takes a line for each run.
        tally: where it is counted; several sweeps may share one.
    """

    def __init__(
        self, config: Path, folder: Path, seed: int, say: Callable[[str], None], tally: Tally
    ) -> None:
        self.config, self.folder, self.say, self.tally = config, folder, say, tally
        self.choose = random.Random(seed)
        undisturbed = folder / "undisturbed"
        code = Run(config, undisturbed, "inline").wait()
        assert code == 0, f"the undisturbed run ended with {code}"
        self.expected = content(undisturbed)
        self.files = published(undisturbed)

    def complete(self, backend: str, kinds: list[str]) -> None:
        """Run sweeps to their end while each kind is hit in turn, and compare each."""
        waiting = list(kinds)
        while waiting:
            out = self.folder / f"sweep-{self.tally.sweeps}-{backend}"
            self.tally.sweeps += 1
            known = len(self.tally.differences)
            while (code := self._disturbed(out, backend, waiting)) != 0 and len(
                self.tally.differences
            ) == known:
                continue
            if code == 0:
                self._compare(out)

    def _compare(self, out: Path) -> None:
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
            if not self._appears(run, kind) or not self._moment(run, out):
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

    def _appears(self, run: Run, kind: str) -> bool:
        """Wait until there is a process of that kind; False where the run ended before."""
        while run.driver.poll() is None:
            if run.processes(*TARGETS.get(kind, (kind,))):
                return True
            time.sleep(0.1)
        return False

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
        said = run.log.read_text(errors="replace")
        if code is None:
            problems.append("it hung")
        if left:
            problems.append(f"orphans: {sorted(p.title for p in left)}")
        if killed and killed[-1] in ENDS:
            if code == 2 and said.count("error: ") != 1:
                problems.append("it ended with 2 and not one line that says why")
            if code not in (0, 2):
                problems.append(f"it ended with {code}")
        elif code not in ((-signal.SIGKILL, 0) if killed and killed[-1] == "driver" else (0,)):
            problems.append(f"it ended with {code}")
        if "Traceback" in said:
            problems.append("it showed a traceback")
        if not problems:
            self.tally.survived.update(killed)
        told = f"{run.log.stem}: after {killed or 'no kill'}: {'; '.join(problems)}, see {run.log}"
        self.tally.differences += [told] if problems else []
