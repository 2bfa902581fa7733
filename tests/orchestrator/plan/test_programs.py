"""Programs in a plan: named by a table, known by their arguments, version and files, wherever the folder lies."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from orchestrator.config.settings import load
from orchestrator.plan.cells import Plan
from orchestrator.plan.grid import make_plan
from orchestrator.records.provenance import changed_plugins, check_plugins, run_row
from orchestrator.store.store import Store
from tasks.errors import AuditError
from tests.support.sweeps import TINY, write_config

SCRIPT = "import shutil, sys; shutil.copy(*sys.argv[1:])"
TABLE = """
[methods.theirs]
program = ["python", "scripts/their.py", "{original}", "{unlearned}"]
version = "1"
[methods.also]
base = "program"
program = ["python", "scripts/other.py", "{original}", "{unlearned}", "{seed}"]
"""
METHODS = {"axes.method": ["finetune", "theirs", "also"], "axes.attack": ["none"]}


def written(folder: Path) -> Path:
    """A configuration with two programs in a new folder."""
    (folder / "scripts").mkdir(parents=True)
    for name in ("their.py", "other.py"):
        (folder / "scripts" / name).write_text(SCRIPT)
    return write_config(folder, TINY + TABLE)


def planned(path: Path | str, **changes: Any) -> Plan:
    return make_plan(load(str(path), {**METHODS, **changes}))


def models(plan: Plan) -> dict[tuple[str, str], str]:
    """Ids by method and scope; of what no method made by kind."""
    return {(m.method or m.kind, m.scope): m.model_id for m in plan.models.values()}


def differing(one: Plan, other: Plan) -> set[str]:
    first, second = models(one), models(other)
    assert first.keys() == second.keys()
    return {place[0] for place in first if first[place] != second[place]}


def test_a_program_is_a_method_whose_folder_is_the_configurations(tmp_path, monkeypatch):
    plan = planned(written(tmp_path / "here"))
    assert plan.methods["theirs"].base == plan.methods["also"].base == "program"
    assert plan.methods["theirs"].built.folder == str(tmp_path / "here")
    monkeypatch.chdir(tmp_path)
    assert not differing(plan, planned("here/audit.toml"))
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    assert not differing(plan, planned(tmp_path / "there" / "audit.toml"))
    # The configuration that other processes get says where the files are.
    assert not differing(plan, make_plan(load(plan.config)))


def test_a_folder_of_the_table_starts_from_the_configurations_as_other_paths_do(tmp_path, monkeypatch):
    path = written(tmp_path / "here")
    path.write_text(
        path.read_text().replace('version = "1"', 'folder = "scripts"').replace("scripts/their", "their")
    )
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "there")
    for source in ("../here/audit.toml", str(path)):
        assert planned(source).methods["theirs"].built._folder.resolve() == tmp_path / "here" / "scripts"
    monkeypatch.chdir(tmp_path / "here")
    named = {"methods.theirs.folder": "../here/scripts"}  # on the command line, from the shell's
    assert (
        planned("audit.toml", **named).methods["theirs"].built._folder.resolve()
        == tmp_path / "here" / "scripts"
    )


def test_what_a_program_is_decides_its_ids_and_no_others(tmp_path):
    path = written(tmp_path / "here")
    plan = planned(path)
    told = plan.settings[models(plan)["theirs", "head"]].entries
    assert told["method.version"] == '"1"'
    assert "method.file_digests.program[1]" in told
    assert not any("folder" in key or str(tmp_path) in value for key, value in told.items())
    assert differing(plan, planned(path, **{"methods.theirs.version": "2"})) == {"theirs"}
    longer = [*("python", "scripts/other.py", "{original}", "{unlearned}", "{seed}", "--more")]
    assert differing(plan, planned(path, **{"methods.also.program": longer})) == {"also"}
    (tmp_path / "here" / "scripts" / "their.py").write_text(SCRIPT + " ")
    edited = planned(path)
    assert differing(plan, edited) == {"theirs"}
    before, after = (p.settings[models(p)["theirs", "all"]] for p in (plan, edited))
    assert before.setting != after.setting
    assert before.unversioned == after.unversioned  # so that the older rows count as replaced


def test_an_edited_program_is_said_and_another_copy_is_refused(tmp_path):
    path, store = written(tmp_path / "here"), Store(str(tmp_path / "results"))
    plan = planned(path)
    assert plan.plugins.keys() == {"program theirs", "program also"}
    row = run_row(plan, run_id="first", ordinal=1, started=datetime.now(UTC), planned={})
    store.write("runs", "first", [row])
    check_plugins(plan, store)
    assert changed_plugins(plan, store) == []
    (tmp_path / "here" / "scripts" / "their.py").write_text(SCRIPT + " ")
    edited = planned(path)
    cells = sum(cell.method == "theirs" for cell in edited.cells)
    assert changed_plugins(edited, store) == [
        f"plug-in program theirs changed: its {cells} cells are computed again"
    ]
    with pytest.raises(AuditError, match="has another copy of 'program theirs'"):
        check_plugins(edited, store)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "{unlearned}",
            "{unlerned}",
            r"methods\.theirs: program\[3\]: no placeholder 'unlerned'.* mean 'unlearned'",
        ),
        ("scripts/their.py", "scripts/thier.py", r"methods\.theirs: program\[1\]: no file in "),
        ("version", "versoin", r"methods\.theirs: no key 'versoin'\. Did you mean 'version'"),
        (
            "[methods.theirs]",
            "[methods.retrain]",
            r"methods\.retrain: expected a name of its own for a program",
        ),
        ('version = "1"', "version = 1", r"methods\.theirs\.version: expected str, got 1"),
    ],
)
def test_a_wrong_table_is_one_line_that_names_it(old, new, message, tmp_path):
    path = written(tmp_path / "here")
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(AuditError, match=message) as caught:
        planned(path)
    assert "\n" not in str(caught.value)
