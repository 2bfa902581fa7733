"""Plug-ins as people first write them: whatever is wrong with one is a line that names it, before any work."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.config.plugins import load_plugins
from orchestrator.config.settings import SweepConfig, load
from orchestrator.plan.grid import make_plan
from tasks.attacks.base import attacks
from tasks.datasets.base import datasets
from tasks.errors import AuditError
from tasks.forget_sets.base import forget_kinds
from tasks.unlearn.base import methods
from tests.support.sweeps import SYNTHETIC_DATA, changed

FROZEN = "@dataclass(frozen=True, kw_only=True)"
METHOD = """
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar
from tasks.unlearn.base import Method, register

@register("mine")
@dataclass(frozen=True, kw_only=True)
class Mine(Method):
    {}
    lr: float = 0.1
    def __call__(self, run): ...
"""
ATTACK = """
from dataclasses import dataclass
from tasks.attacks.base import Attack, register
from tasks.metrics.utility import ACCURACY

@register("mine")
@dataclass(frozen=True, kw_only=True)
class Mine(Attack):
    family = "mine"
    needs = frozenset({{"outputs"}})
    metrics = (ACCURACY,)
    {}
    def measure(self, view): ...
"""
DATA = """
from dataclasses import dataclass
import numpy as np
from tasks.datasets.base import DataSource, Labels, register

@register("mine")
@dataclass(frozen=True, kw_only=True)
class Mine(DataSource):
    def digest(self): return "mine"
    def read_images(self): return np.zeros((60, 1, 8, 8), np.uint8)
    def read_labels(self): return self.told()
    def told(self, **more):
        usual = dict(
            labels=np.arange(60) % 3, is_test=np.zeros(60, bool), class_names=("a", "b", "c"), image_shape=(1, 8, 8)
        )
        return Labels(**(usual | more))
    {}
"""
REQUEST = """
from dataclasses import dataclass
from tasks.forget_sets.base import ForgetKind, ForgetSet, register

@register("mine")
@dataclass(frozen=True, kw_only=True)
class Mine(ForgetKind):
    def select(self, request): return ForgetSet(ids=request.splits.train[:5], provenance={{}})
    {}
"""


def method(attribute: str) -> str:
    return METHOD.format(attribute)


def without(text: str, piece: str, other: str = "") -> str:
    assert piece in text
    return text.replace(piece, other).format("pass")


def labels(more: str) -> str:
    return DATA.format(f"def read_labels(self): return self.told({more})")


NAMED = "expected a name of letters, digits and _.- in @register"
AT_IMPORT = {
    "a syntax error": ("def (", "SyntaxError: invalid syntax"),
    "no name": (without(METHOD, '("mine")'), f'{NAMED}("..."), got the class Mine'),
    "an empty name": (without(METHOD, '"mine"', '""'), f"{NAMED}(\"...\"), got ''"),
    "a number as a name": (without(METHOD, '"mine"', "5"), NAMED),
    "a name with parameters": (without(METHOD, '"mine"', '"a:b"'), NAMED),
    "a taken name": (
        without(METHOD, '"mine"', '"scrub"'),
        "'scrub' is already defined by tasks.unlearn.scrub.Scrub",
    ),
    "a role as a name": (without(METHOD, '"mine"', '"retrain"'), "'retrain' is already defined by"),
    "a name twice": (
        method("pass") + f'@register("mine")\n{FROZEN}\nclass Other(Mine): ...\n',
        "'mine' is already defined by plugged",
    ),
    "a function": (
        "from tasks.unlearn.base import register\n@register('mine')\ndef mine(run): ...",
        "expected a class, got <function mine",
    ),
    "decorators the other way round": (
        without(METHOD, f'@register("mine")\n{FROZEN}', f'{FROZEN}\n@register("mine")'),
        "must be a frozen dataclass (Mine): write @register above",
    ),
    "no base class": (without(METHOD, "(Method)"), "write class Mine(Method)"),
    "no __call__": (without(METHOD, "    def __call__(self, run): ..."), "does not define __call__"),
    "a version in quotes": (method('version = "2"'), "version: expected a int, got '2'"),
    "a version that is true": (method("version = True"), "version: expected a int, got True"),
    "one objective as text": (
        method('objectives = "classify"'),
        "objectives: expected a frozenset, got 'classify'",
    ),
    "an unknown objective": (
        method('objectives = {"clasify"}'),
        "no objective 'clasify'. Did you mean 'classify'?",
    ),
    "a need as text": (method('needs_retain = "yes"'), "needs_retain: expected a bool, got 'yes'"),
    "one score as text": (method('needs_scores = "risk"'), "needs_scores: expected a tuple, got 'risk'"),
    "scores of numbers": (method("needs_scores = (5,)"), "needs_scores: expected str, got 5"),
    "a part that is no method": (method("parts = (5,)"), "parts: expected tasks.unlearn.base.Method, got 5"),
    "a range of no field": (method('search = {"rate": ("uniform", 0, 1)}'), "search: no field 'rate'"),
    "a range that is none": (method('search = {"lr": 5}'), "search: lr: expected ('loguniform', low, high)"),
    "another reference": (method("from_scratch = True"), "from_scratch: expected False"),
    "an unknown type": (
        method('x: "Nope" = 1'),
        "cannot read the types of its fields: name 'Nope' is not defined",
    ),
    "a default of another type": (method('x: float = "a"'), "x: expected float, got 'a'"),
    "a default of nan": (method('x: float = float("nan")'), "x: expected a finite number, got nan"),
    "a function as a default": (
        method("x: Any = print"),
        "x: expected text, a number, true or false, a list or a table",
    ),
    "no family": (without(ATTACK, '    family = "mine"\n'), "declares no family"),
    "needs as text": (ATTACK.format('needs = "outputs"'), "needs: expected a frozenset, got 'outputs'"),
    "an unknown need": (ATTACK.format('needs = {"output"}'), "no need 'output'. Did you mean 'outputs'?"),
    "metrics as text": (
        ATTACK.format('metrics = ("accuracy",)'),
        "metrics: expected tasks.metrics.base.Metric",
    ),
    "an unknown subject": (ATTACK.format('subject = "shadows"'), "no subject 'shadows'"),
    "games as text": (ATTACK.format('games = "G1"'), "games: expected a tuple, got 'G1'"),
    "fewer than one": (ATTACK.format("least_forgotten = 0"), "least_forgotten: expected 1 or more, got 0"),
    "an attack's objective": (ATTACK.format('objectives = {"images"}'), "no objective 'images'"),
    "a data set's version": (DATA.format('version = "x"'), "version: expected a int, got 'x'"),
    "needs of a request": (REQUEST.format("needs = 5"), "needs: expected a tuple, got 5"),
    "leaving": ("import sys; sys.exit('bye')", "SystemExit: bye"),
    "no exception": ("raise BaseException('x')", "BaseException: x"),
    "no file": (
        "open('/no/such/file')",
        "FileNotFoundError: [Errno 2] No such file or directory: '/no/such/file'",
    ),
    "many lines": ("raise ValueError('x\\n' * 5000)", "ValueError: x x x"),
    "an error that cannot be said": (
        "class E(Exception):\n    def __str__(self): raise RuntimeError\nraise E()",
        "cannot import 'plugged{}': E (",
    ),
    "no end": ("def f(): f()\nf()", "RecursionError"),
    "a missing package": ("import nothing_at_all", "ModuleNotFoundError: No module named 'nothing_at_all'"),
}
IN_THE_PLAN = {
    "a field without a default": (method("x: float"), "methods.mine: missing key 'x' (float)"),
    "a class that raises": (
        method("def __post_init__(self): 1 / 0"),
        "Mine: ZeroDivisionError: division by zero (",
    ),
    "a check that raises": (
        method("def check_forget(self, *labels): 1 / 0"),
        "mine with forget set random:fraction=0.2: Mine: ZeroDivisionError",
    ),
    "an attack's check that raises": (
        ATTACK.format("def check_given(self, given): [][1]"),
        "axes.attack: 'mine': Mine: IndexError: list index out of range",
    ),
    "a digest that raises": (DATA.format("def digest(self): 1 / 0"), "data.options: Mine: ZeroDivisionError"),
    "a digest of nothing": (
        DATA.format("def digest(self): return None"),
        "Mine.digest: expected text that names",
    ),
    "labels that raise": (
        DATA.format("def read_labels(self): {}['x']"),
        "data.options: Mine: KeyError: 'x' (",
    ),
    "no labels": (DATA.format("def read_labels(self): pass"), "Mine.read_labels: expected Labels, got None"),
    "a list of labels": (labels("labels=[0, 1] * 30"), "labels: expected an array of int64, got list"),
    "numbers as names": (
        labels("class_names=(0, 1, 2)"),
        "class_names: expected a tuple of text, got (0, 1, 2)",
    ),
    "no names": (labels("class_names=None"), "class_names: expected a tuple of text, got None"),
    "a note that is none": (labels("notes=5"), "notes: expected a tuple of text, got 5"),
    "a shape of floats": (
        labels("image_shape=(1, 8.0, 8)"),
        "image_shape: expected channels, height and width",
    ),
    "a shape as text": (labels('image_shape="188"'), "image_shape: expected channels, height and width"),
    "no pixels": (labels("image_shape=(1, 0, 8)"), "image_shape: expected channels, height and width"),
    "images that raise": (
        DATA.format("def read_images(self): 1 / 0"),
        "the images cannot be read: ZeroDivisionError",
    ),
    "too few names of examples": (
        DATA.format('def names(self): return ("a",)'),
        "Mine.names: expected 60 names, got 1",
    ),
    "a choice that raises": (
        REQUEST.format("def select(self, request): 1 / 0"),
        "forget_sets.mine: Mine: ZeroDivision",
    ),
    "no choice": (REQUEST.format("def select(self, request): pass"), "Mine.select: expected a ForgetSet"),
    "what cannot be recorded": (
        REQUEST.format(
            "def select(self, request): return ForgetSet(ids=request.splits.train[:5], provenance={'x': object()})"
        ),
        "provenance.x: expected text, a number",
    ),
}
AXES = {
    METHOD: {'"gradient_ascent"]': '"mine"]'},
    ATTACK: {'"population"]': '"mine"]'},
    DATA: {SYNTHETIC_DATA: 'name = "mine"\n'},
    REQUEST: {'["random:fraction=0.2"]': '["mine"]'},
}
"""Where what such a plug-in registers stands in the tiny sweep, by how its text begins."""
_NUMBER = itertools.count()


@pytest.fixture
def forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is registered in a test is gone after it."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    registries = [methods, attacks, datasets, forget_kinds]
    before = [(registry.names(), dict(registry._entries))[1] for registry in registries]
    yield
    for registry, entries in zip(registries, before, strict=True):
        registry._entries = entries


def planned(config: SweepConfig) -> None:
    load_plugins(config.plugins, named_by="audit.toml")
    make_plan(config)


def refused(folder: Path, code: str, changes: dict[str, str]) -> str:
    """The line that a plan with a plug-in of this code ends with."""
    name = f"plugged{next(_NUMBER)}"
    (folder / f"{name}.py").write_text(code)
    (folder / "audit.toml").write_text(
        changed({'name = "tiny"': f'name = "tiny"\nplugins = ["{name}"]', **changes})
    )
    config = load(str(folder / "audit.toml"))
    with pytest.raises(AuditError) as caught:
        planned(config)
    line = str(caught.value)
    assert len(line) < 700
    return line.replace(name, "plugged{}")


@pytest.mark.usefixtures("forgotten")
@pytest.mark.parametrize(("code", "told"), AT_IMPORT.values(), ids=AT_IMPORT)
def test_what_cannot_be_imported_is_one_line_with_its_place(code: str, told: str, tmp_path: Path) -> None:
    line = refused(tmp_path, code, {})
    assert line.startswith("plugins: cannot import 'plugged{}'")
    assert told in line
    if "SyntaxError" not in told:
        assert f"({tmp_path}/plugged{{}}.py, line " in line


@pytest.mark.usefixtures("forgotten")
@pytest.mark.parametrize(("code", "told"), IN_THE_PLAN.values(), ids=IN_THE_PLAN)
def test_what_a_plan_cannot_use_is_one_line(code: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("a\n")
    changes = next(changes for text, changes in AXES.items() if code.startswith(text[:60]))
    by_name = {'["random:fraction=0.2"]': f'["file:path={tmp_path}/ids.txt"]'} if "def names" in code else {}
    assert told in refused(tmp_path, code, {**changes, **by_name})


@pytest.mark.parametrize("name", ["", ".", "a..b", "1x", "my lab", "my-lab", "a/b", "/abs/lab.py"])
def test_a_plugin_is_named_as_import_takes_it(name: str) -> None:
    with pytest.raises(AuditError, match=r"plugins: expected names of modules, as import takes them"):
        load_plugins((name,), named_by="audit.toml")


def test_an_interrupt_while_a_plugin_is_imported_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "interrupted_plugin.py").write_text("raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load_plugins(("interrupted_plugin",), named_by="audit.toml")
