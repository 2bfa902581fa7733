"""Shadow models that find no memory: tried once more with what can be had, in equal numbers, then failed by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.bench.shadows import ShadowWorker
from orchestrator.bench.workbench import Workbench
from orchestrator.config.settings import load
from orchestrator.plan.grid import make_plan
from orchestrator.store.store import Store
from tasks.shadows import runs
from tests.support.shadow_sweeps import TEXT

FULL = "CUDA out of memory. Tried to allocate 2.00 GiB"


class Short:
    """Something that finds no memory the first `times` it is called."""

    def __init__(self, called: Callable[..., Any], times: int) -> None:
        self.called, self.times, self.sizes = called, times, []

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        self.sizes.append(len(arguments[0]) if isinstance(arguments[0], list) else 1)
        if len(self.sizes) <= self.times:
            raise RuntimeError(FULL)  # as libraries below torch say it
        return self.called(*arguments, **named)


FEWER = (
    TEXT.replace("epochs = 12", "epochs = 1")
    .replace("batch = 8", "batch = 4")
    .replace("grouped:8", "grouped:4")
)
"""The tiny sweep with shadow models, four together."""


def worker(folder: Path) -> ShadowWorker:
    """Of the tiny sweep, with a data set of its own for the results."""
    folder.mkdir()
    (folder / "audit.toml").write_text(FEWER)
    store = Store(str(folder / "results"))
    store.check_ready()
    return ShadowWorker(Workbench(make_plan(load(str(folder / "audit.toml"))), store), "net")


def observed(made: ShadowWorker) -> list[dict[str, Any]]:
    return sorted(
        (
            {k: row[k] for k in ("shadow", "draw", "phi")}
            for row in made.store.read("observations").to_pylist()
        ),
        key=str,
    )


def test_one_that_finds_memory_the_second_time_has_the_same_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, short = worker(tmp_path / "plain"), worker(tmp_path / "short")
    assert plain.run(range(4)) == []
    training, unlearning = Short(runs.train_shadows, 1), Short(runs.unlearn, 1)
    monkeypatch.setattr(runs, "train_shadows", training)
    monkeypatch.setattr(runs, "unlearn", unlearning)
    assert short.run(range(4)) == []
    assert training.sizes[:2] == [4, 4]  # fewer together would differ in last bits
    assert observed(short) == observed(plain)


def test_one_that_finds_none_is_failed_and_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = worker(tmp_path / "short")
    training = Short(runs.train_shadows, 10**6)
    monkeypatch.setattr(runs, "train_shadows", training)
    problems = made.run(range(4))
    assert any(
        f"OutOfMemoryError: {FULL}; fewer together need less (shadows.batch)" in p for p in problems
    ), problems
    tried = len(training.sizes)
    assert made.run(range(4)) == []
    assert len(training.sizes) == tried


def test_an_unlearning_that_finds_none_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = worker(tmp_path / "short")
    monkeypatch.setattr(runs, "unlearn", Short(runs.unlearn, 2))
    (problem,) = made.run(range(4))
    assert f"OutOfMemoryError: {FULL}" in problem
    assert made.run(range(4)) == []
