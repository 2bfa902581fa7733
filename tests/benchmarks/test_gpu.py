"""The GPU benchmark runs without a card; what it times trains the models that Lethe trains; captures hold."""

import json
import re
import subprocess
import sys
import time
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tasks.training.train import train
from tests.benchmarks.gpu import __main__ as program
from tests.benchmarks.gpu.counting import Traffic, flops
from tests.benchmarks.gpu.figures import Figure, Report, table, text
from tests.benchmarks.gpu.session import TINY, Session
from tests.benchmarks.gpu.several import in_one
from tests.benchmarks.gpu.step import Step, seed_path
from tests.benchmarks.gpu.subjects import subjects
from tests.benchmarks.gpu.timing import Row, side_by_side
from tests.benchmarks.gpu.together import Alone, Grouped, Vmapped
from tests.support.recorded_graph import record_instead

ROOT = Path(__file__).parents[2]
THERE = {"torch", "timm", "accelerate", "numpy", "safetensors", "scipy", "threadpoolctl"}
"""Of what Lethe depends on, what a machine for GPU work is known to have."""
CPU = torch.device("cpu")


def session(**changes) -> Session:
    """A tiny one with a minute."""
    return Session(CPU, replace(TINY, **changes), Report("lines", None), 60.0)


def test_it_runs_with_torch_timm_and_tasks_alone(tmp_path):
    """Everything else that Lethe depends on is hidden, and so are Lethe's own orchestration and Ray's."""
    needs = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {
        re.split(r"[\[>=]", need)[0].replace("scikit-learn", "sklearn").replace("pillow", "PIL")
        for need in needs
    }
    hidden = sorted(names - THERE - {"PIL"} | {"orchestrator", "hypothesis", "pytest", "pandas"})
    program = (
        f"import sys, runpy\nsys.modules.update(dict.fromkeys({hidden!r}))\n"
        f"sys.argv = ['gpu', '--tiny', '--device', 'cpu', '--json', {str(tmp_path / 'figures.json')!r}]\n"
        "runpy.run_module('tests.benchmarks.gpu', run_name='__main__')"
    )
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=200
    )
    assert ran.returncode == 0, ran.stderr + ran.stdout
    assert ran.stderr == ""
    assert "ray" in hidden
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert len(ran.stdout.splitlines()) == len(figures) + 1
    parts = {part: [f for f in figures if f["part"] == part] for part in program_parts()}
    for part, rows in parts.items():
        measured = [f["name"] for f in rows if f["values"]]
        if part != "attacks":
            assert measured, part
        for f in rows:
            assert all(value >= 0 for value in f["values"].values()), f
            assert bool(f["missing"]) != bool(f["values"] or f["name"] == "versions"), f
    reasons = {(f["part"], f["name"]): f["missing"] for f in figures if f["missing"]}
    assert {reason for (part, name), reason in reasons.items() if "graph" in name or "compiled" in name} == {
        "needs CUDA"
    }
    assert "torchattacks" in reasons["attacks", "autoattack, 1 steps, 2 queries"]
    assert [name for part, name in reasons if part == "resnet18"] == [
        "loop as it is, tf32",
        "loop as it is, fp16",
        "CUDA graph",
        "compiled",
        "compiled, CUDA graph",
    ]
    rows = {f["name"]: f["values"] for f in parts["same-model"]}
    assert rows["an epoch uploaded at once"]["largest difference of a weight"] == 0
    assert rows["the loop again"]["largest difference of a weight"] == 0


def program_parts() -> list[str]:
    return list(program.PARTS)


def test_attacks_are_timed(capsys):
    assert program.main(["--tiny", "--device", "cpu", "--only", "attacks"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"autoattack, 1 steps, 2 queries: \S+ s an example, 100 % withstand", shown)
    assert re.search(r"pgd, 2 steps: \S+ s an example", shown)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
def test_without_a_card_it_says_so(capsys):
    assert program.main([]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "gpu: no CUDA device on this machine; --tiny --device cpu tries what needs none"
    ]


@pytest.mark.parametrize("given", ["-1", "nan", "inf", "soon"])
def test_a_time_without_an_end_is_refused(given, capsys):
    with pytest.raises(SystemExit, match="2"):
        program.parse(["--seconds", given])
    assert "argument --seconds: " in capsys.readouterr().err.splitlines()[-1]


def test_a_file_that_cannot_be_written_is_refused_before_the_work(tmp_path, capsys):
    assert program.main(["--tiny", "--device", "cpu", "--json", str(tmp_path)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "expected a file that can be written" in printed.err


def test_where_no_time_is_left_every_part_is_named(capsys):
    assert program.main(["--tiny", "--device", "cpu", "--seconds", "0"]) == 0
    skipped = [line for line in capsys.readouterr().out.splitlines() if "skipped: no time left" in line]
    assert [line.split(":")[0] for line in skipped] == program_parts()


def test_a_part_that_fails_says_why_and_the_next_is_measured(monkeypatch, capsys):
    def broken(*_):
        raise RuntimeError("no engine to execute\nthis computation")

    monkeypatch.setitem(program.PARTS, "machine", broken)
    assert program.main(["--tiny", "--device", "cpu", "--only", "machine", "step"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "machine: the rest: failed: RuntimeError: no engine to execute this computation" in lines
    assert any(line.startswith("step: loop as it is: ") for line in lines)


def test_the_time_limit_holds_for_a_row_that_never_ends(capsys):
    held = session()
    held.seconds = 0.3
    began = time.monotonic()
    timed = side_by_side(held, {"slow": Row(lambda _: time.sleep(60), 1), "later": Row(lambda _: None, 1)})
    assert time.monotonic() - began < 10
    assert timed == {}
    lines = capsys.readouterr().out.splitlines()
    assert "slow: skipped: it took more than 0 s" in lines[0]
    assert "later: skipped: no time left" in lines[1]


def test_rows_are_timed_in_turn_over_as_many_steps_as_fit_a_slice():
    calls = []

    def row(name, seconds):
        return Row(lambda steps: (calls.append((name, steps)), time.sleep(seconds * steps)), 1)

    timed = side_by_side(session(rounds=3, slice_seconds=0.2), {"a": row("a", 0.05), "b": row("b", 0.001)})
    last = calls[-6:]
    assert [name for name, _ in last] == ["a", "b"] * 3
    assert last[0][1] <= 4 < last[1][1] <= 200
    assert timed["a"].seconds >= 0.05 > timed["b"].seconds >= 0.001


# -- what is timed is what Lethe trains ------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny():
    """Session and subjects, with learning rates that float32 holds exactly: the step keeps its rate in a tensor."""
    held = session()
    found = subjects(held)
    return held, {
        name: replace(s, recipe=replace(s.recipe, lr=2**-7, schedule="constant")) for name, s in found.items()
    }


def loop_weights(held, subject, number=0, steps=3):
    model = subject.build(number)
    engine = held.engine("bf16")
    train(model, subject.examples(steps), subject.recipe, seed_path=seed_path(number), engine=engine)
    return list(model.state_dict().values())


@pytest.mark.parametrize("captured", [False, True])
@pytest.mark.parametrize("name", ["resnet18", "vit", "gpt"])
def test_the_step_trains_the_loop_s_model_to_the_bit(name, captured, tiny, monkeypatch):
    held, found = tiny
    subject = found[name]
    step = Step(subject, Alone(subject.build(0)), held.engine("bf16"))
    if captured:
        record_instead(monkeypatch)
        step.capture()
        monkeypatch.setattr(step, "compute", None)
    step.run(3)
    for expected, weights in zip(loop_weights(held, subject), step.models.state(), strict=True):
        assert torch.equal(expected, weights)


def test_a_captured_step_follows_the_schedule(tiny, monkeypatch):
    """A learning rate that a graph froze would stay that of the capture."""
    held, found = tiny
    subject = replace(found["vit"], recipe=replace(found["vit"].recipe, schedule="cosine"))
    record_instead(monkeypatch)
    step = Step(subject, Alone(subject.build(0)), held.engine("bf16")).capture()
    step.run(3)
    for expected, weights in zip(loop_weights(held, subject), step.models.state(), strict=True):
        assert torch.allclose(expected, weights, atol=1e-6)


def test_a_capture_refuses_a_question_to_the_device(tiny, monkeypatch):
    held, found = tiny
    step = Step(found["gpt"], Alone(found["gpt"].build(0)), held.engine("bf16"))
    record_instead(monkeypatch)
    compute = step.compute
    monkeypatch.setattr(step, "compute", lambda: (compute(), step.total.item()))
    with pytest.raises(RuntimeError, match="not permitted when stream is capturing"):
        step.capture()


@pytest.mark.parametrize(("name", "kind"), [("resnet18", Grouped), ("resnet18", Vmapped), ("vit", Vmapped)])
@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_models_together_train_as_alone(name, kind, tiny):
    """In float32: each with its own draws, weights and batch norms."""
    held, found = tiny
    subject, engine = found[name], held.engine("no")
    models = kind([subject.build(k) for k in range(2)])
    together = Step(subject, models, engine, range(2))
    together.run(2)
    for number in range(2):
        alone = Step(subject, Alone(subject.build(number)), engine, (number,))
        alone.run(2)
        for one, stacked in zip(alone.models.parameters(), models.parameters(), strict=True):
            own = stacked.reshape(2, *one.shape)[number]
            assert torch.allclose(one, own, atol=2e-4), float((one - own).abs().max())


def test_a_row_of_several_counts_the_examples_of_all(tiny):
    held, found = tiny
    assert in_one(held, found["resnet18"], Grouped, 2).examples == 2 * found["resnet18"].batch


# -- what is counted -------------------------------------------------------------------------------------


def test_traffic_is_what_operators_read_and_write():
    a, b = torch.ones(4, 8), torch.ones(8, 16)
    with Traffic() as traffic:
        (a @ b).t()
        a.add_(1)
    read_and_written = 4 * (4 * 8 + 8 * 16 + 4 * 16) + 4 * (4 * 8 + 4 * 8)
    assert (traffic.operators, traffic.bytes) == (2, read_and_written)


def test_arithmetic_is_that_of_forward_and_backward(tiny):
    """A multiply-add counts two; backward takes twice the forward pass, but for the first layer's input."""
    subject = replace(
        tiny[1]["resnet18"], build=lambda _: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 10))
    )
    assert flops(subject) == 2 * 2 * 192 * 10


def test_figures_read_well():
    assert [text(v) for v in (0, 0.5, 1234.5, 86_412.3, 2.5e-7)] == ["0", "0.5", "1234", "86,412", "2.50e-07"]
    rows = [Figure("p", "one", {"s": 1.0}, "note"), Figure("p", "two", missing="needs CUDA")]
    assert list(table("p", rows)) == [
        "\n### p\n",
        "| | s | note |",
        "|---|--:|---|",
        "| one | 1 | note |",
        "* two: needs CUDA",
    ]


def test_markdown_is_a_table_for_each_part(capsys):
    assert program.main(["--tiny", "--device", "cpu", "--only", "machine", "--format", "markdown"]) == 0
    shown = capsys.readouterr().out
    assert "### machine" in shown
    assert "* launch: needs CUDA" in shown
    assert "machine: launch" not in shown
