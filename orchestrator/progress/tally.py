"""How far a run is and when it will end: counts and the time left, from its events alone."""

from __future__ import annotations

import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from orchestrator.progress.events import Event, Memory, Stage

UNITS = ("model", "shadow", "cell")
RECENT = 1024
"""Units behind the measured speed, at most."""
SHORTEST = 1e-3
"""Seconds of a unit that took none, or whose time is unknown: such units count equally."""


@dataclass(kw_only=True)
class StageTally:
    """Progress of one stage."""

    name: str
    total: int
    expected: Mapping[str, float]
    left: Counter[str]
    """Units to do by group; empty where the groups were not announced."""
    began: float | None = None
    ended: float | None = None
    done: int = 0
    failed: int = 0
    parts: int = 0
    """Parts of the units, where these were announced."""
    parts_done: int = 0
    _seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    _units: Counter[str] = field(default_factory=Counter)
    _recent: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=RECENT))
    """When the latest units ended, and how long they took."""

    def add(self, event: Event, now: float) -> None:
        """Count a unit that has ended."""
        seconds = max(event.seconds, SHORTEST)
        self.done += 1
        self.failed += event.status == "failed"
        self.left[event.group] = max(self.left[event.group] - 1, 0)
        self._units[event.group] += 1
        self._seconds[event.group] += seconds
        self._recent.append((now, seconds))
        if self.done == self.total:
            self.ended = now

    def work_left(self) -> float | None:
        """Seconds that the units to do will take one after the other; None where no unit is known.

        A group takes what its own units took in this run, else what such units took before, else the mean of
        the units that have ended.
        """
        pooled = sum(self._seconds.values()) / self.done if self.done else None
        announced = sum(self.left.values())
        work = 0.0
        for group, count in [*self.left.items(), ("", self.total - self.done - announced)]:
            if count <= 0:
                continue
            own = self._seconds[group] / self._units[group] if self._units[group] else None
            each = own or self.expected.get(group, pooled)
            if each is None:
                return None
            work += count * each
        return work

    @property
    def last(self) -> float | None:
        """When the last unit ended."""
        return self._recent[-1][0] if self._recent else None

    def parallelism(self) -> float | None:
        """Seconds of work done in a second up to the last unit's end, over the later half of the stage.

        The later half, so that a slow start is forgotten and machines that join are noticed.
        """
        if self.began is None or self.last is None:
            return None
        half = (self.began + self.last) / 2
        oldest = self._recent[0][0] if len(self._recent) == RECENT else self.began
        # From the end of one unit to the end of another: whole units, none of them counted half.
        start = max((end for end, _ in self._recent if end <= half), default=oldest)
        within = sum(seconds for end, seconds in self._recent if end > start)
        return within / (self.last - start) if self.last > start else None


class Tally:
    """Counts of a run, stage by stage, and the time left.

    Args:
        clock: seconds, as `time.monotonic`.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.stages: dict[str, StageTally] = {}
        self.current: StageTally | None = None
        self.memory: dict[tuple[str, int], Memory] = {}
        self.last = ""
        """The unit that ended last."""
        self.stopping = False
        self.began = clock()
        self._workers: float | None = None

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        now = self._clock()
        if event.kind == "stages":
            self._announce(event)
        elif event.kind == "phase":
            self._begin(event, now)
        elif event.kind == "stopping":
            self.stopping = True
        elif event.kind == "part" and self.current is not None:
            self.current.parts_done = min(self.current.parts_done + event.parts, self.current.parts)
        elif event.kind in UNITS and self.current is not None:
            self.last = event.name
            if event.memory is not None:
                self.memory[event.memory.machine, event.memory.process] = event.memory
            self.current.add(event, now)

    def _announce(self, event: Event) -> None:
        self.began, self.current, self._workers = self._clock(), None, event.workers
        self.stages = {stage.name: _tally(stage) for stage in event.stages}

    def _begin(self, event: Event, now: float) -> None:
        stage = self.stages.get(event.name)
        if stage is None or stage.total != event.total:
            stage = StageTally(name=event.name, total=event.total, expected={}, left=Counter())
            self.stages[event.name] = stage
        stage.began, stage.parts = now, event.parts
        stage.ended = None if event.total else now
        self.current = stage

    def elapsed(self, stage: StageTally) -> float:
        """Seconds since a stage began, or that it took."""
        return 0.0 if stage.began is None else (stage.ended or self._clock()) - stage.began

    def stage_left(self, stage: StageTally) -> float | None:
        """Seconds until a stage ends, from when it runs; None where nothing tells."""
        if stage.done == stage.total:
            return 0.0
        work = stage.work_left()
        # The first units to end say little where several run at once: the longer ones still run.
        early = stage.done < 2 * (self._workers or 0)
        speed = self._speed() if early else stage.parallelism() or self._speed()
        if work is None or not speed:
            return None
        since = stage.last if stage.last is not None else stage.began
        return max(work / speed - (0.0 if since is None else self._clock() - since), 0.0)

    def seconds_left(self) -> float | None:
        """Seconds until all stages have ended; None while a stage cannot be estimated."""
        each = [self.stage_left(stage) for stage in self.stages.values()]
        return None if None in each else sum(seconds for seconds in each if seconds is not None)

    def waiting(self) -> list[StageTally]:
        """Stages that have not begun."""
        return [s for s in self.stages.values() if s.began is None and s.total]

    def _speed(self) -> float | None:
        """Seconds of work done in a second by an earlier stage, else the workers that were announced."""
        known = [s.parallelism() for s in self.stages.values() if s.done and s.done == s.total]
        return known[-1] if known and known[-1] else self._workers


def _tally(stage: Stage) -> StageTally:
    return StageTally(
        name=stage.name,
        total=sum(stage.units.values()),
        expected=stage.expected,
        left=Counter(stage.units),
    )
