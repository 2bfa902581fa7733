"""Paths in a configuration start from its file, wherever the command is run; those of the shell from its directory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from orchestrator.config.paths import anchored
from orchestrator.config.settings import load
from orchestrator.plan.grid import make_plan
from tasks.datasets.base import datasets
from tasks.errors import AuditError
from tasks.forget_sets.base import forget_kinds
from tests.support.sweeps import SYNTHETIC_DATA, changed

HERE = {
    "data": {
        "options": {"root": "a", "test_path": "b", "tokenizer": "bytes", "order": "auto"},
        "scores": "c.npz",
    },
    "shadows": {"canary_options": {"path": "d"}, "canary_images": "npz:path=e.npz,order=auto"},
    "forget_sets": {"mine": {"kind": "file", "path": "f.csv"}},
    "architectures": {"x": {"timm": "resnet18", "weights": "g", "options": {"root": "kept"}}},
    "axes": {"forget_set": ["mine", "file:path=h.csv,column=id"], "method": ["a:path=kept"]},
}


def test_every_path_is_below_the_folder() -> None:
    assert anchored(HERE, "k") == {
        "data": {
            "options": {"root": "k/a", "test_path": "k/b", "tokenizer": "bytes", "order": "auto"},
            "scores": "k/c.npz",
        },
        "shadows": {"canary_options": {"path": "k/d"}, "canary_images": "npz:path=k/e.npz,order=auto"},
        "forget_sets": {"mine": {"kind": "file", "path": "k/f.csv"}},
        "architectures": {"x": {"timm": "resnet18", "weights": "k/g", "options": {"root": "kept"}}},
        "axes": {"forget_set": ["mine", "file:path=k/h.csv,column=id"], "method": ["a:path=kept"]},
    }
    assert anchored(HERE, "") == HERE


@pytest.mark.parametrize("value", ["/data/a", "~/a", "s3://bucket/a", "", 5, None, ["a"]])
def test_what_is_no_relative_path_stays(value: object) -> None:
    tables = {"data": {"options": {"path": value}}}
    assert anchored(tables, "k") == tables


@pytest.mark.parametrize(
    "tables", [{"data": 5}, {"axes": {"forget_set": [5]}}, {"forget_sets": {"a": 5}}, {"axes": []}]
)
def test_what_is_wrong_is_left_to_be_told(tables: dict[str, object]) -> None:
    assert anchored(tables, "k") == tables


def test_every_field_of_ours_that_is_a_path_is_known() -> None:
    """A field says in its documentation that it is a file or folder."""
    from tasks import fields

    told = (
        "directory",
        "folder of",
        "file of",
        "the .npz file",
        ".csv (a column)",
        "file or folder",
        "the folder",
    )
    for registry in (datasets, forget_kinds):
        for name in registry.names():
            for key, text in fields.field_docs(registry.get(name)).items():
                if text.lower().startswith(told) and key != "test":  # a name, of a file of tofu
                    moved = anchored({"data": {"options": {key: "a"}}}, "k")
                    assert moved == {"data": {"options": {key: "k/a"}}}, (name, key)


def test_a_plan_reads_what_lies_beside_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    audits, shell = tmp_path / "audits", tmp_path / "shell"
    for folder, size in ((audits, 60), (shell, 90)):
        folder.mkdir()
        np.savez(folder / "a.npz", images=np.zeros((size, 1, 8, 8), np.uint8), labels=np.arange(size) % 3)
    text = changed({SYNTHETIC_DATA: 'name = "npz"\noptions = { path = "a.npz" }\n'})
    (audits / "audit.toml").write_text(text)
    monkeypatch.chdir(shell)
    beside = make_plan(load("../audits/audit.toml"))
    assert len(beside.data.labels.labels) == 60
    assert len(make_plan(load(str(audits / "audit.toml"))).data.labels.labels) == 60
    assert (
        len(make_plan(load("../audits/audit.toml", {"data.options.path": "a.npz"})).data.labels.labels) == 90
    )
    monkeypatch.chdir(audits)
    assert set(make_plan(load("audit.toml")).models) == set(beside.models)
    (audits / "a.npz").unlink()
    monkeypatch.chdir(shell)
    with pytest.raises(AuditError, match=r"path: no file \.\./audits/a\.npz"):
        make_plan(load("../audits/audit.toml"))
