"""An edited plug-in is computed again: what its digest follows, and what it does not."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import site
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestrator.bench.workbench import Workbench
from orchestrator.config.settings import load
from orchestrator.plan import plugins
from orchestrator.plan.grid import make_plan
from orchestrator.plan.plugins import imports_of, plugin_digest, plugin_name
from orchestrator.records.provenance import changed_plugins, run_row
from orchestrator.store.store import Store
from tasks.errors import AuditError
from tasks.registry import import_plugins
from tasks.unlearn.base import methods
from tasks.unlearn.finetune import Finetune
from tests.support.commands import ROOT
from tests.support.sweeps import started_sweeps, sweep, write_config

METHOD = """
from __future__ import annotations
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING
from tasks.unlearn.base import Method, register
from . import settings
if TYPE_CHECKING:
    from lab_of_mine.typed import Anything

@register("mine")
@dataclass(frozen=True, kw_only=True)
class Mine(Method):
    def __call__(self, run) -> None:
        from .inner.step import apply
        apply(run, settings.FACTOR)
"""
STEP = """
import torch
from ..shared import SIGN

def apply(run, factor):
    with torch.no_grad():
        for parameter in run.scope.parameters(run.model).values():
            parameter.mul_(SIGN * factor)
"""
FILES = {
    "__init__.py": "",
    "method.py": METHOD,
    "settings.py": "FACTOR = 0.5\n",
    "typed.py": "Anything = int\n",
    "shared.py": "SIGN = 1\n",
    "unrelated.py": "NUMBER = 1\n",
    "inner/__init__.py": "",
    "inner/step.py": STEP,
}
LAB, INSTALLED = "lab_of_mine", "installed_thing"


def forget_modules() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] in (LAB, INSTALLED)]:
        del sys.modules[name]
    methods._entries.pop("mine", None)
    importlib.invalidate_caches()


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package with a method, on the path."""
    folder = tmp_path / "here" / LAB
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.syspath_prepend(str(folder.parent))
    yield folder
    forget_modules()


def imported_anew() -> str:
    """The digest of the method as a new process would find it."""
    forget_modules()
    importlib.import_module(f"{LAB}.method")
    return plugin_digest(methods.get("mine"))


def test_lethes_own_classes_are_no_plugins() -> None:
    assert plugin_name(Finetune) == plugin_digest(Finetune) == ""


@pytest.mark.parametrize(
    ("file", "counts"),
    [
        ("method.py", True),
        ("settings.py", True),
        ("inner/step.py", True),
        ("shared.py", True),
        ("__init__.py", True),
        ("inner/__init__.py", True),
        ("typed.py", False),
        ("unrelated.py", False),
    ],
)
def test_every_module_that_is_reached_counts_and_no_other(lab: Path, file: str, counts: bool) -> None:
    before = imported_anew()
    with (lab / file).open("a") as text:
        text.write("EDITED = True\n")
    assert (imported_anew() != before) is counts


def test_modules_that_import_each_other_count_once(lab: Path) -> None:
    before = imported_anew()
    settings = (lab / "settings.py").read_text()
    (lab / "settings.py").write_text(f"{settings}import {LAB}.shared\n")
    (lab / "shared.py").write_text(f"{FILES['shared.py']}import {LAB}.settings\n")
    circular = imported_anew()
    assert circular != before
    (lab / "shared.py").write_text(f"{FILES['shared.py']}import {LAB}.settings  # again\n")
    assert imported_anew() not in (before, circular)


def test_a_package_counts_by_itself_unless_it_is_what_is_imported(lab: Path) -> None:
    (lab / "__init__.py").write_text("from . import unrelated\n")
    before = imported_anew()
    (lab / "unrelated.py").write_text("NUMBER = 2\n")
    assert imported_anew() == before
    (lab / "method.py").write_text(METHOD.replace("import json", f"import json, {LAB}"))
    before = imported_anew()
    (lab / "unrelated.py").write_text("NUMBER = 3\n")
    assert imported_anew() != before


def test_the_folder_does_not_count(lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = imported_anew()
    shutil.move(lab.parent, tmp_path / "there")
    monkeypatch.syspath_prepend(str(tmp_path / "there"))
    assert imported_anew() == before


def test_installed_distributions_count_by_version(
    lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "site"
    record = installed / "installed_thing-1.0.dist-info" / "METADATA"
    record.parent.mkdir(parents=True)
    module = installed / "installed_thing.py"
    module.write_text("NUMBER = 1\n")

    def version(text: str) -> None:
        record.write_text(f"Metadata-Version: 2.1\nName: installed-thing\nVersion: {text}\n")
        plugins._distributions.cache_clear()

    version("1.0+cpu")
    monkeypatch.syspath_prepend(str(installed))
    (lab / "settings.py").write_text("import installed_thing\nFACTOR = 0.5\n")
    site_packages = plugins._site_packages()
    monkeypatch.setattr(site, "getusersitepackages", lambda: str(installed))
    monkeypatch.setattr(plugins, "_site_packages", plugins._site_packages.__wrapped__)
    before = imported_anew()
    module.write_text("NUMBER = 2\n")
    version("1.0+cu121")
    assert imported_anew() == before
    version("1.1")
    assert imported_anew() != before
    monkeypatch.setattr(plugins, "_site_packages", lambda: site_packages)  # as if it were editable
    before = imported_anew()
    module.write_text("NUMBER = 3\n")
    assert imported_anew() != before


def test_what_is_imported_no_longer_is_what_is_written(lab: Path) -> None:
    imported_anew()
    (lab / "settings.py").write_text("FACTOR = 0.25\n")
    with pytest.raises(
        AuditError, match=f"module {LAB}.settings was edited after this process had imported it"
    ):
        plugin_digest(methods.get("mine"))


def test_a_class_without_a_file_counts_by_its_source_or_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    made = type("Made", (Finetune,), {"__module__": "a_notebook"})
    assert plugin_name(made) == "a_notebook.Made"
    with pytest.raises(
        AuditError, match=r"plug-in a_notebook\.Made: expected a class whose source can be read"
    ):
        plugin_digest(made)
    found = set()
    for text in ("class Made: lr = 1", "class Made: lr = 2"):
        monkeypatch.setattr(plugins.inspect, "getsource", lambda _, text=text: text)
        found.add(plugin_digest(made))
    assert len(found) == 2


def test_imports_as_they_are_written() -> None:
    source = b"""
import a.b, c.d as e
from f import g as h, i
from . import j
from ..k import *
if TYPE_CHECKING:
    import l
else:
    import m
def function():
    if typing.TYPE_CHECKING:
        import n
    import o
try:
    import p
except ImportError:
    p = None
"""
    assert set(imports_of(source, "x.y")) == {
        *(("a.b", ""), ("a", ""), ("c.d", "")),
        *(("f", "g"), ("f", "i"), ("x.y", "j"), ("x.k", "")),
        *(("m", ""), ("o", ""), ("p", "")),
    }


# --- in a sweep --------------------------------------------------------------------------------------------

TEXT = {
    'name = "tiny"': f'name = "tiny"\nplugins = ["{LAB}.method"]',
    'method = ["finetune", "gradient_ascent"]': 'method = ["mine", "finetune"]',
    'scope = ["all", "head"]': 'scope = ["all"]',
    'attack = ["none", "fgsm", "population"]': 'attack = ["none"]',
    "[methods.gradient_ascent]\nepochs = 1\n": "",
}


def test_an_edited_plugin_is_computed_again_and_the_plan_says_so(lab: Path, tmp_path: Path) -> None:
    config, out = write_config(tmp_path, **TEXT), tmp_path / "results"
    arguments, path = (config, "--out", out, "--format", "json"), {"PYTHONPATH": str(lab.parent)}

    def accuracies() -> dict[str, set[float]]:
        store = Store(str(out))
        rows = {row["cell_id"]: row["method"] for row in store.read("cells").to_pylist()}
        found: dict[str, set[float]] = {}
        for metric in store.read("metrics").to_pylist():
            if (metric["metric"], metric["split"], metric["label"]) == ("js_to_retrained", "forget", None):
                found.setdefault(rows[metric["cell_id"]], set()).add(metric["value"])
        return found

    ran = sweep(*arguments)
    assert ran.returncode == 0, ran.stderr
    before = accuracies()
    (lab / "unrelated.py").write_text("NUMBER = 2\n")
    (lab / "settings.py").write_text("FACTOR = 0.0\n")
    told = f"plug-in {LAB}.method changed: its 1 cells are computed again"
    words = [*map(str, arguments)]
    # in a new process, as a module is imported once
    codes, ran = started_sweeps([*words, "--dry-run"], [*words, "--display", "plain"], **path)
    assert codes == [0, 0], ran.stderr
    summary, _ = json.JSONDecoder().raw_decode(ran.stdout)
    assert summary["missing_cells"] == 1
    assert [note for note in summary["notes"] if note.startswith("plug-in ")] == [told]
    assert told in ran.stderr
    after = accuracies()
    assert len(after["mine"] - before["mine"]) == 1
    assert after["finetune"] == before["finetune"]


NETWORK = """
import torch
from timm.models import register_model
from .settings import FACTOR

class Small(torch.nn.Module):
    def __init__(self, num_classes=3, in_chans=1, **_):
        super().__init__()
        self.head = torch.nn.Linear(in_chans * 64, num_classes)

    def forward(self, x):
        return FACTOR * self.head(x.flatten(1))

@register_model
def small_of_mine(pretrained=False, **options):
    return Small(**options)
"""


@pytest.mark.slow
def test_the_code_of_an_architecture_counts_too(lab: Path, tmp_path: Path) -> None:
    """In a process of its own: timm's registry cannot forget."""
    (lab / "network.py").write_text(NETWORK)
    text = {
        'name = "tiny"': f'name = "tiny"\nplugins = ["{LAB}.network"]',
        'timm = "resnet18"': 'timm = "small_of_mine"',
    }
    config = write_config(
        tmp_path, **text, **{"options = { layers = [1, 1, 1, 1], channels = [4, 4, 4, 4] }\n": ""}
    )
    program = (
        "import sys\n"
        "from orchestrator.audit.request import configured, planned\n"
        "from tasks.registry import import_plugins\n"
        "config = configured(sys.argv[1], {})\n"
        "import_plugins(config.plugins)\n"
        "plan = planned(config, only='', limit=0)\n"
        "name, = plan.plugins\n"
        "assert plan.resting_on(name) == list(plan.cells)\n"
        "print(name, *sorted(plan.models))"
    )

    def ids() -> list[str]:
        environment = {**os.environ, "PYTHONPATH": f"{lab.parent}{os.pathsep}{ROOT}"}
        words = [sys.executable, "-c", program, str(config)]
        return subprocess.run(
            words, env=environment, capture_output=True, text=True, check=True
        ).stdout.split()

    name, *before = ids()
    assert name == f"{LAB}.network"
    (lab / "unrelated.py").write_text("NUMBER = 3\n")
    assert ids() == [name, *before]
    (lab / "settings.py").write_text("FACTOR = 0.25\n")
    assert not {*ids()[1:]} & {*before}


def test_a_worker_with_another_copy_is_refused(lab: Path, tmp_path: Path) -> None:
    forget_modules()
    config = load(str(write_config(tmp_path, **TEXT)))
    import_plugins(config.plugins)
    plan, store = make_plan(config), Store(str(tmp_path / "results"))
    store.check_ready()
    started = datetime.now(UTC)
    store.write("runs", "first", [run_row(plan, run_id="first", ordinal=1, started=started, planned={})])
    assert set(plan.plugins) == {f"{LAB}.method"}
    assert Workbench.at(plan.config, store.root).plan.plugins == plan.plugins
    assert changed_plugins(plan, store) == []
    (lab / "settings.py").write_text("FACTOR = 0.25\n")
    forget_modules()
    with pytest.raises(AuditError, match=rf"plugins: .* has another copy of '{LAB}\.method'"):
        Workbench.at(plan.config, store.root)
