"""The README tells the truth: every fenced command and block is executed, every link and name resolves."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from orchestrator.config.settings import load
from orchestrator.results.catalogue import catalogue
from orchestrator.results.connection import Results
from tasks.datasets.base import datasets
from tasks.datasets.splits import make_splits

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
INSTALL = re.compile(r"^python3 -m venv \.venv && \. \.venv/bin/activate && (pip install [^&]+) && ")
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SYNTHETIC = {"num_train": 120, "num_test": 40, "num_classes": 3, "channels": 1, "height": 8, "width": 8}


def small(*methods: str) -> list[str]:
    """Flags that make the README's own audit.toml small: synthetic images, a narrow network, short attacks."""
    shape = '{timm="resnet18", options={layers=[1,1,1,1], channels=[4,4,4,4]}}'
    changes = {
        "data.name": "synthetic",
        "data.options": str(SYNTHETIC).replace(": ", "="),
        "architectures.resnet18": shape,
        "training.epochs": "2",
        "training.batch_size": "32",
        "methods.finetune.epochs": "1",
        "evaluation.bootstrap": "20",
        "evaluation.fairness_bootstrap": "5",
        "attacks.pgd": "{eps=[0.05], steps=2, examples=20}",
    }
    return [
        *("--axes.architecture", "resnet18", "--axes.method", *methods, "--axes.scope", "all"),
        *("--axes.attack", "none", "pgd", "population", "--axes.forget-set", "mine", "--axes.seed", "0", "1"),
        *(word for key, value in changes.items() for word in ("--set", f"{key}={value}")),
        *("--backend", "inline"),
    ]


def fenced(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands() -> list[str]:
    """Every fenced command, without its comment."""
    lines = [re.sub(r"\s+#.*", "", line).strip() for block in fenced("bash") for line in block.splitlines()]
    return [line for line in lines if line]


def runs_locally(command: str) -> bool:
    return command.startswith(("python -m ", "python3 -m "))


def shortened(command: str) -> list[str]:
    """The arguments that are run in place of a command too long for a test; the rest of it stays as it is.

    The install half of a command is left out (`.ci/run` runs it); whole audits become their plan or small.
    `test_a_whole_audit_of_the_readme` (slow) runs them as they are.
    """
    words = shlex.split(INSTALL.sub("", command))
    if words[:3] == ["python", "-m", "pytest"]:
        return [*words, "--collect-only", "tests/test_boundaries.py"]
    if words[2] != "orchestrator.sweep" or {"--dry-run", "--describe"} & set(words):
        return words
    if "audit.toml" not in words:
        return [*words, "--dry-run"]
    if "--tune" in words:
        words[words.index("--tune") + 1] = "1"
    return [*words, *small("finetune", "scrub")]


def execute(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the words of a command in a folder, with this interpreter."""
    words = [sys.executable, *words[1:]] if words[0] == "python" else words
    environment = {
        **os.environ,
        "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}",
        "OMP_NUM_THREADS": "1",
        "HOME": str(folder),
    }
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=280)


def write_cifar(folder: Path) -> None:
    """CIFAR-10's binary files with their true sizes, all pixels black."""
    folder.mkdir(parents=True)
    records = np.zeros((10_000, 1 + 3072), dtype=np.uint8)
    records[:, 0] = np.arange(10_000) % 10
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        (folder / f"{name}.bin").write_bytes(records.tobytes())
    (folder / "batches.meta.txt").write_text("\n".join(CLASSES) + "\n")


def training_ids(name: str, options: dict[str, object]) -> np.ndarray:
    labels = datasets.build(name, options, where="data").read_labels()
    return make_splits(labels, validation_fraction=0.1, test_fraction=0.25, seed=0).train


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What a reader has before the commands: audit.toml, its data, the deletion request, and finished results."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "audit.toml").write_text(next(block for block in fenced("toml") if "cifar10-scopes" in block))
    cifar = folder / "data" / "cifar-10-batches-bin"
    write_cifar(cifar)
    ids = np.intersect1d(training_ids("cifar10", {"root": str(cifar)}), training_ids("synthetic", SYNTHETIC))
    (folder / "requests").mkdir()
    (folder / "requests" / "2026-11.csv").write_text("\n".join(["example_id", *map(str, ids[:20])]) + "\n")
    ran = execute(shortened("python -m orchestrator.sweep audit.toml"), folder)
    assert ran.returncode == 0, ran.stderr
    assert "cells finished, 0 failed" in ran.stderr
    return folder


@pytest.mark.parametrize("command", [c for c in commands() if runs_locally(c)])
def test_every_command_runs(command, folder):
    where = ROOT if "pytest" in command else folder
    ran = execute(shortened(command), where)
    assert ran.returncode == 0, f"{command}\n{ran.stdout}\n{ran.stderr}"
    assert "Traceback" not in ran.stderr
    page = re.search(r"orchestrator\.(report|certificate)", command)
    assert "</html>" in (folder / f"{page[1]}.html").read_text() if page else ran.stdout or ran.stderr


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("preset", ["", "ulira"])
def test_a_whole_audit_of_the_readme(preset, tmp_path):
    command = next(
        c for c in commands() if re.search(rf"orchestrator\.sweep{preset and ' ' + preset}( --out|$)", c)
    )
    words = shlex.split(INSTALL.sub("", command))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        [sys.executable, *words[1:]], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    results = tmp_path / (words[words.index("--out") + 1] if "--out" in words else "results")
    assert "</html>" in (results / "report.html").read_text()


def test_the_install_commands_are_what_ci_runs():
    """What is left out above: `.ci/run` runs it in a fresh environment."""
    installs = [match[1] for match in map(INSTALL.match, commands()) if match]
    assert installs == ["pip install --quiet --editable .", 'pip install --quiet --editable ".[test]"']
    assert f"{installs[1]} && python -m pytest" in (ROOT / ".ci" / "run").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "test" in project["optional-dependencies"]
    version = re.search(r"Python (3\.\d+) or newer", README)[1]
    assert project["requires-python"] == f">={version}"


@pytest.mark.parametrize("command", [c for c in commands() if not runs_locally(c) and not INSTALL.match(c)])
def test_every_cloud_command_is_well_formed(command, folder):
    """These need an account or a cluster: their programs must know the flags, their files must parse.

    A sweep inside of one is executed here up to its plan, with a local directory in place of the bucket.
    """
    words = shlex.split(command)
    program = words[0]
    assert program in ("bash", "sbatch", "ray", "kubectl", "srun", "export"), (
        f"say here how to check: {command}"
    )
    for word in words[1:]:
        if word.endswith((".sh", ".sbatch")):
            assert subprocess.run(["bash", "-n", ROOT / word]).returncode == 0
        elif word.endswith((".yaml", ".toml")) and word != "audit.toml":
            assert (ROOT / word).is_file(), word
        elif "python -m orchestrator" in word:
            inner = shlex.split(word[word.index("python -m orchestrator") :])
            inner = [re.sub(r"^(s3|gs)://.*", "elsewhere", part) for part in inner]
            ran = execute([*inner, "--dry-run"], folder)
            assert ran.returncode == 0, ran.stderr
    if program == "ray":
        shown = execute([str(Path(sys.executable).with_name("ray")), words[1], "--help"], folder)
        assert shown.returncode == 0, shown.stderr
        for word in words[2:]:
            if word.startswith("--"):
                assert word.partition("=")[0] in shown.stdout, word


def test_every_fenced_block_is_of_a_kind_that_is_checked():
    kinds = set(re.findall(r"^```(\w*)\n(?:.*?)^```$", README, flags=re.DOTALL | re.MULTILINE))
    assert kinds <= {"bash", "python", "toml", "sql"}


def test_the_example_configuration_says_what_it_seems_to_say(folder):
    config = load(str(folder / "audit.toml"))
    text = tomllib.loads((folder / "audit.toml").read_text())
    assert config.axes.seed == tuple(text["axes"]["seed"])
    assert config.shadows.num == text["shadows"]["num"]


def test_every_statement_runs(folder):
    for statement in fenced("sql"):
        ran = execute(["python", "-m", "orchestrator.query", statement], folder)
        assert ran.returncode == 0, ran.stderr


def test_the_python_that_reads_results_runs(folder):
    blocks = [b for b in fenced("python") if "Results(" in b]
    assert blocks
    for block in blocks:
        shown = execute(["python", "-c", f"{block}\nprint(worst.num_rows, len(metrics))"], folder)
        assert shown.returncode == 0, shown.stderr
        assert min(map(int, shown.stdout.split())) > 0


def test_the_tables_it_lists_are_the_tables_there_are(folder):
    listed = re.search(r"^Tables: `(.*?)`;\s+views `(.*?)`", README, flags=re.DOTALL | re.MULTILINE)
    with Results(str(folder / "results")) as results:
        assert [*listed[1].split(", "), *listed[2].split(", ")] == list(results.names)


def test_the_worked_example_runs_as_a_plug_in(folder):
    """The README's method, from a user's own package, through a sweep and through the contracts."""
    method = next(block for block in fenced("python") if "class ToUniform" in block)
    assert len(method.splitlines()) <= 35
    package = folder / "my_lab"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "methods.py").write_text(method)
    plugins = re.search(r'`(plugins = \["my_lab[^`]*)`', README)[1]
    (folder / "mine.toml").write_text(f"{plugins}\n{(folder / 'audit.toml').read_text()}")
    own = [*small("to_uniform"), "--set", "methods.to_uniform.epochs=1"]
    ran = execute(["python", "-m", "orchestrator.sweep", "mine.toml", "--out", "results-mine", *own], folder)
    assert ran.returncode == 0, ran.stderr
    assert "to_uniform" in ran.stdout
    checked = execute(["python", "-c", next(b for b in fenced("python") if "check_method" in b)], folder)
    assert checked.returncode == 0, checked.stderr


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def without_blocks() -> str:
    return re.sub(r"```.*?```", "", README, flags=re.DOTALL)


def test_every_link_resolves():
    anchors = {slug(h) for h in re.findall(r"^#+ (.*)$", without_blocks(), flags=re.MULTILINE)}
    targets = re.findall(r"\]\(([^)\s]+)\)", without_blocks())
    assert targets, "the README links to nothing"
    for target in targets:
        if target.startswith("http"):
            assert re.fullmatch(r"https://[a-z0-9.-]+\.[a-z]{2,}(/[\w./%#?=&:-]*)?", target), target
            continue
        path, _, anchor = target.partition("#")
        assert not path or (ROOT / path).exists(), target
        assert not anchor or path or anchor in anchors, target


def test_every_path_and_query_that_the_prose_names_exists():
    spans = re.findall(r"`([^`\n]+)`", without_blocks())
    paths = [s for s in spans if re.fullmatch(r"(orchestrator|tasks|queries|tests)/[\w./-]*", s)]
    assert paths
    for path in paths:
        assert (ROOT / path).exists(), path
    names = [s.split()[1] for s in spans if re.match(r"query [a-z_]+$", s)]
    assert names
    for name in names:
        assert (
            name in catalogue()
            or f"create view {name}" in (ROOT / "orchestrator/results/views.sql").read_text()
        ), name
