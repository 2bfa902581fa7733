"""What is shown while a sweep runs: the time left in simulated runs of known length, and each display's words."""

import heapq
import io
import itertools
import json
import math
import random
import re
import threading
import time

import pytest
from rich.console import Console

from orchestrator.progress.display import HINT, _Json, _Plain, _RichDisplay, display, memory_lines
from orchestrator.progress.duration import duration, measured_duration
from orchestrator.progress.events import Event, Memory, Stage
from orchestrator.progress.tally import Tally

GIB = 2**30
COST = {"cheap": 0.2, "dear": 3.0}


class Clock:
    """Time that moves when told to."""

    now = 100.0

    def __call__(self):
        return self.now


def units(count, seed=0):
    """Cells in a random order: cheap and dear ones, each within 20 % of its group's cost."""
    rng = random.Random(seed)
    groups = [rng.choice(["cheap", "dear"]) for _ in range(count)]
    return [(group, COST[group] * rng.uniform(0.8, 1.2)) for group in groups]


def stage(work, name="cells", expected=None):
    groups = [group for group, _ in work]
    return Stage(name=name, units={g: groups.count(g) for g in COST}, expected=expected or {})


def ended(kind, group, seconds):
    return Event(kind=kind, name=f"{group} unit", group=group, seconds=seconds)


def simulate(tally, clock, work, *, workers, kind="cell", lag=0.0):
    """Run units on workers; yield after each, and return the time at which the last ended."""
    free = [clock.now + lag] * workers
    heapq.heapify(free)
    ends = []
    for group, seconds in work:
        end = heapq.heappop(free) + seconds
        heapq.heappush(free, end)
        ends.append((end, group, seconds))
    for end, group, seconds in sorted(ends):
        clock.now = end
        tally(ended(kind, group, seconds))
        yield max(ends)[0] - end


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def tally(clock):
    return Tally(clock)


def begin(tally, name, work):
    tally(Event(kind="phase", name=name, total=len(work)))


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_the_time_left_converges(tally, clock, workers):
    work = units(400)
    tally(Event(kind="stages", name="run", stages=(stage(work),), workers=workers))
    begin(tally, "cells", work)
    assert tally.seconds_left() is None
    errors = []
    whole = None
    for truth in simulate(tally, clock, work, workers=workers, lag=2.0):
        whole = whole or truth
        errors.append(abs(tally.seconds_left() - truth))
    tenths = [max(errors[start : start + 40]) for start in range(0, 400, 40)]
    assert max(errors) < 3 * whole
    assert max(tenths[2:]) < 0.1 * whole
    assert max(tenths[5:]) < 0.05 * whole
    assert max(tenths[8:]) < 0.025 * whole
    assert tally.seconds_left() == 0


def test_groups_that_differ_tenfold_do_not_mislead(tally, clock):
    """Cheap units first: a mean over units would promise an early end."""
    work = sorted(units(200), key=lambda unit: unit[0])
    tally(Event(kind="stages", name="run", stages=(stage(work, expected=COST),)))
    begin(tally, "cells", work)
    left = []
    for truth in simulate(tally, clock, work, workers=1):
        left.append((tally.seconds_left(), truth))
    early, truth = left[40]
    assert early == pytest.approx(truth, rel=0.05)


def test_before_anything_has_ended_past_costs_speak(tally, clock):
    work = units(100)
    truth = sum(seconds for _, seconds in work) / 2
    tally(Event(kind="stages", name="run", stages=(stage(work, expected=COST),), workers=2))
    assert tally.seconds_left() == pytest.approx(truth, rel=0.05)
    begin(tally, "cells", work)
    clock.now += 10
    assert tally.seconds_left() == pytest.approx(truth - 10, rel=0.05)


def test_one_unknown_stage_keeps_the_whole_unknown_but_not_its_neighbour(tally, clock):
    training, cells = units(20, seed=1), units(50)
    found = (stage(training, "training"), stage(cells))
    tally(Event(kind="stages", name="run", stages=found))
    begin(tally, "training", training)
    list(simulate(tally, clock, training[:10], workers=1, kind="model"))
    assert tally.stage_left(tally.current) is not None
    assert tally.seconds_left() is None
    assert [waiting.name for waiting in tally.waiting()] == ["cells"]


def test_machines_that_join_are_noticed(tally, clock):
    work = [("dear", 3.0)] * 300
    tally(Event(kind="stages", name="run", stages=(stage(work),)))
    begin(tally, "cells", work)
    list(simulate(tally, clock, work[:20], workers=1))
    slow = tally.seconds_left()
    list(simulate(tally, clock, work[20:220], workers=10))
    assert slow == pytest.approx(280 * 3, rel=0.05)
    assert tally.seconds_left() == pytest.approx(80 * 3 / 10, rel=0.25)


def test_units_of_unknown_length_count_equally(tally, clock):
    begin(tally, "cells", [None] * 10)
    for _ in range(5):
        clock.now += 2
        tally(Event(kind="cell", name="x"))
    assert tally.seconds_left() == pytest.approx(10)


def memory(process, used, device="cpu"):
    return Memory(machine="box", process=process, device=device, used=used, total=16 * GIB)


def test_memory_is_the_latest_of_each_process_on_a_device(tally):
    begin(tally, "cells", [None] * 3)
    for held in (memory(1, 9 * GIB), memory(1, 2 * GIB), memory(2, GIB), memory(3, 4 * GIB, "H200")):
        tally(Event(kind="cell", name="x", memory=held))
    assert memory_lines(tally) == ["H200: 4 of 16 GiB in 1 process", "cpu: 3 of 16 GiB in 2 processes"]


def talk(tally, clock, listener):
    """A small run with a failure, a note and an interrupt."""
    work = [("cheap", 3.0)] * 4
    listener(Event(kind="stages", name="run", stages=(stage(work),)))
    listener(Event(kind="phase", name="cells", total=4))
    for number in range(3):
        clock.now += 3
        failed = number == 1
        listener(
            Event(
                kind="cell",
                name=f"net scrub [all] {number}",
                group="cheap",
                seconds=3.0,
                status="failed" if failed else "finished",
                error="Diverged: loss is nan" if failed else "",
                memory=memory(7, GIB),
            )
        )
    listener(Event(kind="stopping", name="SIGINT: finishing what runs; once more stops at once"))


def test_plain_lines_say_how_to_stop_and_why_something_failed(tally, clock):
    said = []
    talk(tally, clock, _Plain(tally, said.append))
    assert said == [
        HINT,
        "cells: 4 to do",
        "failed: net scrub [all] 1: Diverged: loss is nan",
        "cells: 2/4, 1 failed after 6 s, about 6 s left; memory cpu: 1 of 16 GiB in 1 process",
        "SIGINT: finishing what runs; once more stops at once",
    ]


def test_shadow_models_that_train_together_are_not_silent(tally, clock):
    """Four minutes in which no shadow model ends: a line every few seconds, with the runs that have ended."""
    said = []
    plain = _Plain(tally, said.append)
    plain(Event(kind="phase", name="shadow models", total=32, parts=640))
    spoken = [clock.now]
    for second in range(240):
        clock.now += 1
        if second % 2:
            plain(Event(kind="part", name="shadow models", parts=3))
        before = len(said)
        plain.beat()
        spoken += [clock.now] * (len(said) > before)
    assert max(later - earlier for earlier, later in itertools.pairwise(spoken)) <= 13
    assert 20 <= len(said) <= 48
    assert re.fullmatch(r"shadow models: 0/32 \(3\d\d of 640 runs\) after 2\d\d s|.* after 4 min", said[-1])
    for _ in range(32):
        plain(ended("shadow", "net", 7.5))
    silent = len(said)
    clock.now += 60
    plain.beat()
    assert len(said) == silent  # what has ended has nothing more to say


def test_beats_come_while_nothing_happens(monkeypatch, capsys):
    monkeypatch.setattr("orchestrator.progress.display.PLAIN_PERIOD", 0.1)
    with display("plain") as listener:
        listener(Event(kind="phase", name="cells", total=2))
        time.sleep(1.5)
    assert "cells: 0/2 after" in capsys.readouterr().err
    assert "lethe-display" not in [thread.name for thread in threading.enumerate()]


def test_every_json_line_carries_the_state(tally, clock):
    said = []
    talk(tally, clock, _Json(tally, said.append))
    found = [json.loads(line) for line in said]
    assert [line["kind"] for line in found] == ["stages", "phase", "cell", "cell", "cell", "stopping"]
    assert found[1]["seconds_left"] is None
    assert found[3]["error"] == "Diverged: loss is nan"
    assert found[3]["progress"] == {"cells": {"total": 4, "done": 2, "failed": 1}}
    assert [line["seconds_left"] for line in found[2:5]] == pytest.approx([9, 6, 3])
    assert found[3]["memory"]["used"] == GIB


@pytest.mark.parametrize("columns", [80, 120])
def test_the_panel_fits_the_terminal_and_names_what_matters(tally, clock, columns):
    console = Console(file=io.StringIO(), width=columns, force_terminal=True)
    shown = _RichDisplay(tally, console)
    talk(tally, clock, shown)
    with console.capture() as captured:
        console.print(shown.panel())
    said = re.sub(r"\x1b\[[0-9;]*m", "", console.file.getvalue())
    panel = re.sub(r"\x1b\[[0-9;]*m", "", captured.get())
    assert "failed: net scrub [all] 1: Diverged: loss is nan" in said
    assert all(len(line) <= columns for line in panel.splitlines())
    for words in ("3/4, 1 failed", "finishing what runs", "cpu: 1 of 16 GiB", "Ctrl-C again stops at once"):
        assert words in panel


def test_the_panel_explains_ctrl_c_from_the_start(tally):
    shown = _RichDisplay(tally, Console(file=io.StringIO(), width=80))
    shown(Event(kind="stages", name="run", stages=(stage(units(3)),)))
    with shown._console.capture() as captured:
        shown._console.print(shown.panel())
    assert HINT in captured.get()
    assert "time unknown yet" in captured.get()


def test_displays_write_to_stderr_alone(capsys):
    for name in ("auto", "json", "plain"):
        with display(name) as listener:
            listener(Event(kind="note", name="hello"))
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("hello") == 3


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (89, "89 s"), (600, "10 min"), (9000, "2.5 h"), (345600, "4.0 days")]
)
def test_durations_in_words(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0042, "4.2 ms"),
        (0.165, "165 ms"),
        (1.2, "1.20 s"),
        (1.851, "1.85 s"),
        (48.4, "48.4 s"),
        (258, "4.30 min"),
        (36000, "10.0 h"),
        (86400 * 123, "123 days"),
        (None, "\N{EN DASH}"),
        (math.nan, "\N{EN DASH}"),
        (math.inf, "\N{EN DASH}"),
    ],
)
def test_measured_durations_have_three_digits_each(seconds: float | None, text: str) -> None:
    assert measured_duration(seconds) == text
