"""A purge: what it deletes and what stays, that a killed one is ended, and what later commands make of its results."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from orchestrator import run
from orchestrator.audit.preview import preview
from orchestrator.audit.request import configured
from orchestrator.certificate import main as certificate
from orchestrator.purge import main as purge
from orchestrator.query import main as query
from orchestrator.report.write import build
from orchestrator.status import main as status
from orchestrator.store import inventory
from orchestrator.store.local_files import LocalFiles
from orchestrator.store.purges import purge_line, purged
from orchestrator.store.store import Store
from orchestrator.store.tables import TABLES
from tasks.errors import AuditError
from tests.support.audited import audited_root, copied

PAGE = "<html><title>Unlearning audit</title><img src='data:image/png;base64,x'></html>"
TRACING = ("examples", "observations", "purges", "runs", "plans")
"""Tables that a purge, or a later run, changes."""


def traced(folder: Path) -> Store:
    """A finished sweep with one of everything that traces examples."""
    store, root = Store(copied(folder)), folder / "results"
    store.put_blob("shared", "saliency", b"tensors")
    row = {"shadow_id": "s", "draw": 0, "state": "unlearned", "example_id": 3, "phi": 1.0}
    store.write("observations", "o", [row], architecture="net", method="finetune", scope="all")
    (root / "report.html").write_text(PAGE)
    (root / "notes.html").write_text("<title>Mine</title>")
    for name, files in {
        "out/export": ("views.sql", "examples.parquet", "cells.parquet"),
        "others": ("examples.parquet",),
    }.items():
        (root / name).mkdir(parents=True)
        for file in files:
            (root / name / file).write_text("rows")
    aside = root / "_damaged" / "models" / "_compacted" / "x.arrow"
    aside.parent.mkdir(parents=True)
    aside.write_text("rows")
    (root / "examples" / ".part.arrow.0123abcd").write_text("torn")
    return store


def rows(store: Store, tables: set[str]) -> dict[str, list[str]]:
    return {name: sorted(json.dumps(r, default=str) for r in store.read(name).to_pylist()) for name in tables}


def visible(root: str) -> set[str]:
    return {path.relative_to(root).as_posix() for path in Path(root).rglob("*") if path.is_file()}


def test_nothing_is_deleted_before_it_is_confirmed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = traced(tmp_path)
    before = visible(store.root)
    assert purge([store.root]) == 0
    shown = capsys.readouterr()
    assert "weights of models and shadow models: " in shown.out
    assert "table examples: a row for each example: 21 files" in shown.out
    assert "table forget_sets: a row" not in shown.out
    assert "add --yes; it cannot be undone" in shown.err
    assert visible(store.root) == before


def test_what_traces_examples_goes_and_metrics_stay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = traced(tmp_path)
    kept = set(TABLES) - {*TRACING, "forget_sets", "inventory"}
    before, ids = rows(store, kept), store.read("forget_sets")["example_id"].to_pylist()
    assert purge([store.root, "--yes"]) == 0
    left = visible(store.root)
    assert not [
        n for n in left if n.startswith(("weights/", "shared/", "examples/", "observations/", "_damaged/"))
    ]
    assert left >= {
        "notes.html",
        "out/export/views.sql",
        "out/export/cells.parquet",
        "others/examples.parquet",
    }
    assert not left & {"report.html", "out/export/examples.parquet"}
    assert rows(store, kept) == before
    forgotten = store.read("forget_sets").to_pylist()
    assert [row["example_id"] for row in forgotten] == ids
    assert {row["retained_nearest"] for row in forgotten} == {None}
    assert all("had an exact copy" in row["provenance_json"] for row in forgotten)
    assert purged(store) == {
        "weights",
        "shared",
        "examples",
        "observations",
        "copies",
        "pages",
        "exports",
        "damaged",
        "torn",
    }
    recorded = {row["what"]: row for row in store.read("purges").to_pylist()}
    assert (recorded["examples"]["files"], recorded["shared"]["bytes"]) == (21, 7)
    assert all(row["finished"] for row in recorded.values())
    capsys.readouterr()
    assert purge([store.root, "--yes"]) == 0
    assert capsys.readouterr().err.startswith("nothing is left to purge\n")


def test_files_that_no_sweep_writes_are_named_and_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Answers and scores hold rows of single examples, and lie where somebody looks for what a purge has left."""
    store = traced(tmp_path)
    (Path(store.root) / "answer\x1b.csv").write_text("rows")
    line = r"not ours, and left in the directory: answer\x1b.csv, notes.html, others/examples.parquet; look into them"
    for words in ([], ["--yes"], ["--yes"]):  # the last finds nothing of its own
        assert purge([store.root, *words]) == 0
        assert capsys.readouterr().err.splitlines()[-1] == line


def test_ids_go_where_that_is_asked_for(tmp_path: Path) -> None:
    store = Store(copied(tmp_path))
    store.write("canaries", "c", [{"canary_kind": "mislabelled", "example_id": 3, "label": 1}])
    assert purge([store.root, "--ids", "--yes"]) == 0
    assert len(store.read("forget_sets")) == len(store.read("canaries")) == 0
    assert purged(store) >= {"forget_sets", "canaries"}


def test_the_search_for_hyper_parameters_is_purged_too(tmp_path: Path) -> None:
    root = copied(tmp_path)
    shutil.copytree(root, f"{root}/search")
    assert purge([root, "--yes"]) == 0
    for store in (Store(root), Store(f"{root}/search")):
        assert (store.blob_keys("weights"), store.keys("examples")) == (set(), set())
        assert "weights" in purged(store)


@pytest.mark.parametrize("removed", [0, 1, 30])
def test_a_killed_purge_is_ended_by_the_next(
    removed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, remove, times = traced(tmp_path), LocalFiles.remove, []

    def dies(files: LocalFiles, path: str) -> None:
        if len(times) == removed:
            raise KeyboardInterrupt
        times.append(path)
        remove(files, path)

    with monkeypatch.context() as patch:
        patch.setattr(LocalFiles, "remove", dies)
        with pytest.raises(KeyboardInterrupt):
            purge([store.root, "--ids", "--yes"])
    assert "it was killed, and the same command ends it" in purge_line(store)
    assert "examples" in purged(store)  # so that no sweep computes them again meanwhile
    assert purge([store.root, "--yes"]) == 0
    assert (store.keys("examples"), store.keys("forget_sets"), store.blob_keys("weights")) == (
        set(),
        set(),
        set(),
    )
    (purge_id,) = store.keys("purges")
    recorded = {row["what"]: row for row in store.read("purges", purge_id).to_pylist()}
    assert recorded["examples"]["files"] == 21
    assert all(row["finished"] for row in recorded.values())


def test_later_commands_say_so_and_count_nothing_as_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, config = traced(tmp_path), Path(audited_root()).parent / "audit.toml"
    purge([store.root, "--yes"])
    before = visible(store.root)
    capsys.readouterr()
    assert query(["--verify", "--results", store.root]) == 0
    assert "0 damaged or missing" in (shown := capsys.readouterr().err)
    assert "purged on " in shown
    assert status([store.root]) == 0
    assert "weights, shared, examples" in capsys.readouterr().out
    outcome = run(config, out=store.root, display="plain")
    assert outcome.finished
    assert "purged on " in capsys.readouterr().err
    assert {name for name in visible(store.root) ^ before if not name.startswith("inventory/")} == set()
    assert "<dt>deleted since</dt><dd>purged on" in build(store.root)[0]
    words = ["--method", "finetune", "--scope", "all", "--forget-set", "random:fraction=0.2"]
    certificate([store.root, *words, "--output", str(tmp_path / "certificate.html")])
    page = (tmp_path / "certificate.html").read_text()
    assert page.count("purged on") == 2  # of copies, and of everything


def test_what_is_missing_is_computed_again_only_where_that_is_asked_for(tmp_path: Path) -> None:
    store, config = Store(copied(tmp_path)), Path(audited_root()).parent / "audit.toml"
    purge([store.root, "--yes"])
    part = "method=finetune,scope=all,attack=none"
    gone = next(iter(store.keys("cells")))
    more = {"set": {"axes.seed": [0, 1]}, "only": part}
    before = visible(store.root)
    with pytest.raises(
        AuditError, match=r"was purged on .* cells of this plan are missing, .*--rerun failed does so"
    ):
        run(config, out=store.root, **more)
    assert visible(store.root) == before
    wider = configured(config, {"axes.seed": [0, 1]})
    with pytest.raises(AuditError, match="--rerun failed"):
        preview(wider, out=store.root, only=part)
    assert preview(wider, out=store.root, only=part, rerun="failed").missing_cells > 0
    store.delete("cells", gone)
    with pytest.raises(AuditError, match="1 cells of this plan are missing"):
        run(config, out=store.root)
    assert run(config, out=store.root, rerun="failed").finished
    assert store.keys("examples") == {gone}


@pytest.mark.parametrize("repaired", [False, True])
def test_a_lost_record_of_a_purge_is_missed_and_nothing_is_computed_before_somebody_says_so(
    repaired: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, config = Store(copied(tmp_path)), Path(audited_root()).parent / "audit.toml"
    purge([store.root, "--yes"])
    shutil.rmtree(tmp_path / "results" / "purges")
    assert query(["--verify", "--results", store.root]) == 1
    assert "purges: missing, though a run left it: purge-" in capsys.readouterr().out
    if repaired:
        query(["--repair", "--results", store.root])
    before = visible(store.root)
    with pytest.raises(
        AuditError,
        match=r"was purged, and 1 records of that are lost; .* models of this plan .*--rerun failed",
    ):
        run(config, out=store.root)
    assert visible(store.root) == before
    capsys.readouterr()
    status([store.root])
    assert "purged, and 1 records of that are lost" in capsys.readouterr().out
    few = "method=finetune,scope=all,attack=none"
    outcome = run(config, out=store.root, only=few, rerun="failed")
    assert (outcome.finished, outcome.lost) == (repaired, not repaired)
    assert run(config, out=store.root, only=few).finished == repaired  # what is there is whole


def test_no_purge_takes_the_name_of_one_whose_record_is_lost(tmp_path: Path) -> None:
    store = traced(tmp_path)
    purge([store.root, "--yes"])
    (first,) = store.keys("purges")
    store.delete("purges", first)
    store.put_blob("weights", "w", b"more")
    purge([store.root, "--yes"])
    assert first not in store.keys("purges")
    assert inventory.lost_keys(store, "purges") == {first}
