"""Flags from dataclasses, and the help of every command: short, quick, with three examples that parse."""

from __future__ import annotations

import importlib
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import pytest

from orchestrator.command_line import Flag, parse
from orchestrator.config.settings import load
from orchestrator.plan.grid import make_plan
from orchestrator.sweep import configure
from tasks.errors import AuditError
from tests.support.audited import audited_root

ROOT = Path(__file__).parents[2]
COMMANDS = (
    *("sweep", "status", "report", "certificate", "query"),
    *("scores", "outputs", "contents", "purge", "trackers"),
)
SLOW_IMPORTS = ("torch", "ray", "vl_convert", "marimo", "timm")
QUICK_SECONDS = 2.0
"""Processor time in which a help must answer; about 0.2 s to 0.6 s where nothing else runs."""


@dataclass(frozen=True, kw_only=True)
class Inner:
    """A group."""

    size: int = 3
    """Size."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """Do it,
    all of it."""

    source: Annotated[str, Flag(value="FILE", positional=True, named=True)] = "here"
    """Where from."""
    needed: Annotated[int, Flag(value="N", smallest=1)]
    """Needed."""
    inner: Inner = field(default_factory=Inner)
    ratio: Annotated[float, Flag(value="SHARE", otherwise="half")] = 0.5
    """Share, in %."""
    form: Literal["long", "short"] = "long"
    """Form."""
    names: Annotated[tuple[str, ...], Flag(value="NAME")] = ("a", "b")
    """Names."""
    pairs: Annotated[tuple[str, ...], Flag(value="K=V", repeated=True)] = ()
    """Pairs."""
    place: Annotated[Path | None, Flag(value="DIRECTORY", group="elsewhere")] = None
    """Place."""
    loud: bool = False
    """Loud."""
    sure: bool = True
    """Sure."""


def parsed(text: str) -> Command:
    return parse(Command, shlex.split(text), prog="program", examples="")


def test_what_is_left_out_takes_its_default():
    assert parsed("--needed 2") == Command(needed=2)


def test_every_kind_of_flag_is_read():
    given = "there --needed 2 --inner.size 4 --ratio 1e-3 --form short --names x y --pairs a=1 --pairs b=2"
    assert parsed(f"{given} --place out --loud --no-sure") == Command(
        source="there",
        needed=2,
        inner=Inner(size=4),
        ratio=0.001,
        form="short",
        names=("x", "y"),
        pairs=("a=1", "b=2"),
        place=Path("out"),
        loud=True,
        sure=False,
    )


def test_a_word_may_be_given_by_its_name():
    assert (
        parsed("--source there --needed 2") == parsed("there --needed 2") == Command(source="there", needed=2)
    )


@pytest.mark.parametrize(
    "command", ["certificate", "purge", "query", "report", "scores", "status", "trackers"]
)
def test_every_command_takes_results_by_name(command):
    (example, *_) = examples(module_of(command).EXAMPLES)
    words = [word for word in shlex.split(example)[1:] if word != "results"]
    made = parse(module_of(command).Command, [*words, "--results", "elsewhere"], prog="", examples="")
    assert made.results == "elsewhere"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "the following arguments are required: --needed; see program --help"),
        ("--needed two", "--needed: expected a whole number, got 'two'"),
        ("--needed 0", "--needed: expected 1 or more, got 0"),
        ("--needed 1 --ratio x", "--ratio: expected a number, got 'x'"),
        ("--needed 1 --form shorter", "--form: no value 'shorter'. Did you mean 'short'? Valid: long, short"),
        ("--neded 1", "the following arguments are required: --needed; see program --help"),
        ("--needed 1 --laud", "no flag '--laud'. Did you mean '--loud'?"),
        ("--needed 1 --inner.sise=2", "no flag '--inner.sise'. Did you mean '--inner.size'?"),
        ("--needed 1 x --source y", "--source: expected one source, got 'x' and 'y'"),
        ("--needed 1 x y", "expected no further word, got 'y'; see program --help"),
        ("--needed 1 --names", "argument --names: expected at least one argument; see program --help"),
    ],
)
def test_mistakes_are_one_line(text, told):
    with pytest.raises(AuditError) as caught:
        parsed(text)
    assert str(caught.value).startswith(told)


def test_help_shows_values_groups_and_defaults(capsys):
    with pytest.raises(SystemExit) as left:
        parsed("--help")
    assert not left.value.code
    shown = " ".join(capsys.readouterr().out.split())
    for piece in (
        "usage: program [FILE] --needed N [flags] Do it, all of it.",
        "FILE Where from. (default: here); also as --source",
        "--needed N Needed. (required)",
        "--ratio SHARE Share, in %. (default: half)",
        "--form {long,short} Form. (default: long)",
        "--names NAME [NAME ...] Names. (default: a b)",
        "elsewhere: --place DIRECTORY",
        "inner: A group. --inner.size",
        "--sure, --no-sure Sure. (default: yes)",
    ):
        assert piece in shown


def module_of(command: str):
    return importlib.import_module(
        f"orchestrator.{command}{'.__main__' if command in ('report', 'scores', 'outputs') else ''}"
    )


@pytest.fixture(scope="module", params=COMMANDS)
def helped(request):
    """A command and its help as a terminal of 80 columns shows it, from a fresh process."""
    code = (
        "import runpy, sys, time\n"
        "sys.argv[1:] = ['--help']\n"
        "try: runpy.run_module(MODULE, run_name='__main__', alter_sys=True)\n"
        "except SystemExit as left: assert not left.code\n"
        f"print(sorted(set({SLOW_IMPORTS!r}) & set(sys.modules)), file=sys.stderr)\n"
        "print(time.process_time(), file=sys.stderr)\n"
    ).replace("MODULE", repr(f"orchestrator.{request.param}"))
    shown = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"COLUMNS": "80", "PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert shown.returncode == 0, shown.stderr
    return request.param, shown.stdout, shown.stderr.splitlines()


def test_help_imports_nothing_slow_and_answers_at_once(helped):
    _, _, (imported, seconds) = helped
    assert imported == "[]"
    assert float(seconds) < QUICK_SECONDS


def test_help_fits_a_terminal_and_has_all_parts(helped):
    command, shown, _ = helped
    assert shown.startswith(f"usage: python -m orchestrator.{command} ")
    assert max(map(len, shown.splitlines())) <= 80
    assert "default" in shown
    about = shown.split("\n\n")[1]
    assert "  " not in about


def examples(text: str) -> list[str]:
    """The example commands of a help, without what explains them."""
    part = text.replace("\\\n", " ")
    found = re.findall(r"^  python -m orchestrator\.(\S+)(.*?)(?:  +[^-\s].*)?$", part, flags=re.MULTILINE)
    return [f"{name} {rest.strip()}" for name, rest in found]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_three_examples_that_parse(command):
    module = module_of(command)
    shown = examples(module.EXAMPLES)
    assert len(shown) == 3
    for example in shown:
        name, *words = shlex.split(example)
        assert name == command
        made = parse(module.Command, words, prog="", examples="")
        if command == "certificate":
            about = {
                (c.architecture, c.forget_set, c.method, c.scope) for c in make_plan(load("quick")).cells
            }
            assert (made.architecture, made.forget_set, made.method, made.scope) in about
        if command == "scores":
            assert made.architecture in load("ulira").axes.architecture
        if command == "sweep" and made.source == "quick":
            assert configure(made).name == "quick"


@pytest.mark.parametrize("command", ["query", "status", "report"])
def test_examples_run_on_results(command, tmp_path, monkeypatch, capsys):
    (tmp_path / "results").symlink_to(audited_root())
    monkeypatch.chdir(tmp_path)
    for example in examples(module_of(command).EXAMPLES)[: 2 if command == "report" else 3]:
        assert module_of(command).main(shlex.split(example)[1:]) == 0
    shown = capsys.readouterr()
    assert shown.out or list(tmp_path.glob("*.html"))
