"""No pickle from outside, no secret shown or kept, no name that leaves the results directory."""

import ast
import subprocess
import threading
import time
from pathlib import Path

import pytest

from orchestrator import query
from orchestrator import sweep as sweep_command
from orchestrator.store.root import files_at
from orchestrator.store.store import Store
from tasks.errors import AuditError
from tests.support.commands import ROOT, here, started
from tests.support.sweeps import TINY

SOURCES = sorted(p for folder in ("orchestrator", "tasks") for p in (ROOT / folder).rglob("*.py"))
READS_ARRAYS_ALONE = ROOT / "tasks" / "datasets" / "pickled.py"
EXECUTES = {
    ("torch", "load"),
    ("pickle", "load"),
    ("pickle", "loads"),
    ("pickle", "Unpickler"),
    ("joblib", "load"),
    ("cloudpickle", "load"),
    ("cloudpickle", "loads"),
    ("dill", "load"),
    ("dill", "loads"),
    ("marshal", "loads"),
    ("shelve", "open"),
    ("yaml", "load"),
    ("pd", "read_pickle"),
}
SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "lethe-test-aws-5d1f0c",
    "RAY_AUTH_TOKEN": "lethe-test-ray-77be21" + "0" * 44,
}


def loads(tree: ast.AST) -> set[str]:
    """Calls and imports that would run what a file names."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if (node.value.id, node.attr) in EXECUTES:
                found.add(f"{node.value.id}.{node.attr}")
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{a.name}" for a in node.names if (node.module, a.name) in EXECUTES}
        elif isinstance(node, ast.keyword) and node.arg in ("allow_pickle", "weights_only"):
            safe = node.arg == "weights_only"
            if not (isinstance(node.value, ast.Constant) and node.value.value is safe):
                found.add(node.arg)
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("eval", "exec")
        ):
            found.add(node.func.id)
    return found


def test_the_search_for_pickles_finds_them() -> None:
    text = "import torch, numpy as np\nfrom pickle import loads\ntorch.load(p)\nnp.load(p, allow_pickle=True)\neval(x)"
    assert loads(ast.parse(text)) == {"torch.load", "pickle.loads", "allow_pickle", "eval"}
    assert loads(ast.parse("np.load(p, allow_pickle=False)")) == set()


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_no_module_loads_a_pickle(path) -> None:
    allowed = {"pickle.Unpickler"} if path == READS_ARRAYS_ALONE else set()
    assert loads(ast.parse(path.read_text())) == allowed


@pytest.mark.parametrize(
    "uri", ["s3://AKIA:hunter2@bucket/audit", "gs://me:hunter2@bucket", "hdfs://u:hunter2@h:1/x"]
)
def test_a_uri_with_a_password_is_refused_without_repeating_it(uri) -> None:
    with pytest.raises(AuditError, match="without a key or password") as caught:
        files_at(uri)
    assert "hunter2" not in str(caught.value)


WORDS = ("audit.toml", "--out", "deep/results")


def sweep(folder: Path, text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """In the folder, whose modules can be imported as under `python -m`."""
    (folder / "audit.toml").write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        return here(sweep_command.main, *WORDS, *arguments, folder=folder)


def files(folder: Path) -> set[str]:
    return {p.relative_to(folder).parts[0] for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("name", ["../../escaped", "/tmp/lethe-escaped", ".."])
def test_no_name_of_a_table_leaves_the_results_directory(tmp_path, name) -> None:
    """Architectures, methods, attacks and forget sets may be called anything; their files stay below the root."""
    text = TINY.replace('["net"]', f'["{name}"]').replace("[architectures.net]", f'[architectures."{name}"]')
    text = text.replace('"gradient_ascent"]', f'"{name}"]').replace(
        "[methods.gradient_ascent]", f'[methods."{name}"]'
    )
    text = text.replace(
        "epochs = 1\n[attacks.fgsm]", f'base = "finetune"\nepochs = 1\n[attacks."{name}"]\nbase = "fgsm"'
    )
    text = text.replace('"fgsm", "population"]', f'"{name}"]').replace('["all", "head"]', '["all"]')
    text = text.replace('["random:fraction=0.2"]', f'["{name}"]')
    text += f'[forget_sets."{name}"]\nkind = "random"\nfraction = 0.2\n'
    ran = sweep(tmp_path, text, "--no-report")
    assert ran.returncode in (0, 2), ran.stderr
    assert "Traceback" not in ran.stderr
    assert files(tmp_path) <= {"audit.toml", "deep"}
    assert files(tmp_path / "deep") <= {"results"}
    assert not list(tmp_path.parent.glob("*escaped*"))
    assert not list(Path("/tmp").glob("lethe-escaped*"))
    if ran.returncode == 0:
        cells = Store(str(tmp_path / "deep" / "results")).read("cells").to_pylist()
        assert {c["architecture"] for c in cells} == {name}
        assert name in {c["attack"] for c in cells} & {c["method"] for c in cells}


@pytest.fixture(scope="module")
def some_results(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("one cell")
    assert sweep(folder, TINY, "--limit", "1", "--no-report").returncode == 0
    return folder


@pytest.mark.parametrize("name", ["../../etc/passwd", "..", "leaderboard/../failures"])
def test_a_query_is_no_path(some_results, name) -> None:
    ran = here(query.main, name, "--results", "deep/results", folder=some_results)
    assert ran.returncode == 2
    assert "root:" not in ran.stdout + ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("name", ["../escape", "a/b", "os; print(1)", ""])
def test_a_plugin_is_a_module_and_no_path(tmp_path, name) -> None:
    (tmp_path / "escape.py").write_text("raise SystemExit('it ran')")
    (tmp_path / "deeper").mkdir()
    text = TINY.replace('name = "tiny"', f'name = "tiny"\nplugins = ["{name}"]')
    ran = sweep(tmp_path, text, "--dry-run")
    assert ran.returncode == 2, ran.stderr
    assert "Traceback" not in ran.stderr
    assert "it ran" not in ran.stderr


def test_a_plugin_that_leaves_at_import_is_one_line(tmp_path) -> None:
    (tmp_path / "leaves_at_import.py").write_text("import sys; sys.exit(0)")
    text = TINY.replace('name = "tiny"', 'name = "tiny"\nplugins = ["leaves_at_import"]')
    ran = sweep(tmp_path, text, "--dry-run")
    assert ran.returncode == 2, ran.stderr
    assert "error: plugins: cannot import 'leaves_at_import': SystemExit" in ran.stderr


@pytest.mark.parametrize("backend", ["inline", pytest.param("local", marks=pytest.mark.slow)])
def test_secrets_of_the_environment_are_neither_shown_nor_kept(tmp_path, backend) -> None:
    seen: list[str] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.3):
            for place in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    line = place.read_bytes().decode(errors="replace")
                except OSError:
                    continue
                seen.extend(line for secret in SECRETS.values() if secret in line)
            for log in Path("/tmp").glob("lethe-*/session_*/logs/*"):
                if log.is_file() and time.time() - log.stat().st_mtime < 600:
                    text = log.read_text(errors="replace")
                    seen.extend(f"{log}" for secret in SECRETS.values() if secret in text)

    (tmp_path / "audit.toml").write_text(TINY)
    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        words = (*WORDS, "--backend", backend)
        ran = started("orchestrator.sweep", *words, folder=tmp_path, PYTHONPATH=str(ROOT), **SECRETS)
    finally:
        over.set()
        watcher.join()
    assert ran.returncode == 0, ran.stderr
    assert seen == []
    store = Store(str(tmp_path / "deep" / "results"))
    rows = [row for table in ("runs", "models", "cells", "metrics") for row in store.read(table).to_pylist()]
    assert len(rows) > 20
    kept = [str(row) for row in rows]
    kept += [p.read_bytes().decode(errors="replace") for p in (tmp_path / "deep").rglob("*") if p.is_file()]
    for secret in SECRETS.values():
        assert not any(secret in text for text in [*kept, ran.stdout, ran.stderr])
