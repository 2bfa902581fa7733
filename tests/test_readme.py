"""The README and the guide tell the truth: every command and block is executed, every link and name resolves."""

import importlib
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from ray.scripts.scripts import cli as ray_commands

from orchestrator.config.describe import describe
from orchestrator.config.settings import load, parse_assignment
from orchestrator.outputs.description import read_request
from orchestrator.results.catalogue import catalogue
from orchestrator.results.connection import Results
from tasks.datasets.base import datasets
from tasks.datasets.splits import make_splits
from tasks.errors import AuditError
from tests.support.commands import here
from tests.support.pages import ALL, COMMANDS, PAGES, README, ROOT, broken_links, unknown_pages

MOST_BYTES = 9_500
INSTALL = re.compile(r"^python3 -m venv \.venv && \. \.venv/bin/activate && (pip install [^&]+) && ")
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SYNTHETIC = {"num_train": 120, "num_test": 40, "num_classes": 3, "channels": 1, "height": 8, "width": 8}


SHRUNK = {
    "data.name": "synthetic",
    "data.options": str(SYNTHETIC).replace(": ", "="),
    "architectures.resnet18": '{timm="resnet18", options={layers=[1,1,1,1], channels=[4,4,4,4]}}',
    "training.epochs": "2",
    "training.batch_size": "32",
    "methods.finetune.epochs": "1",
    "evaluation.bootstrap": "20",
    "attacks.pgd": "{eps=[0.05], steps=2, examples=20}",
}
"""What makes the guide's own audit.toml small: synthetic images, a narrow network, short attacks."""
AXES = {
    "architecture": ["resnet18"],
    "scope": ["all"],
    "attack": ["none", "pgd", "population"],
    "forget_set": ["mine"],
    "seed": [0, 1],
}


def small(*methods: str) -> list[str]:
    """Flags that make the guide's own audit.toml small."""
    axes = AXES | {"method": methods}
    return [
        *(
            w
            for axis, values in axes.items()
            for w in (f"--axes.{axis.replace('_', '-')}", *map(str, values))
        ),
        *(word for key, value in SHRUNK.items() for word in ("--set", f"{key}={value}")),
        *("--backend", "inline"),
    ]


def changes(*methods: str) -> dict[str, object]:
    """The same as values by dotted key."""
    axes = {f"axes.{axis}": values for axis, values in (AXES | {"method": list(methods)}).items()}
    return axes | dict(parse_assignment(f"{key}={value}") for key, value in SHRUNK.items())


def runs_locally(command: str) -> bool:
    return command.startswith(("python -m ", "python3 -m "))


def shortened(command: str) -> list[str]:
    """The arguments that are run in place of a command too long for a test; the rest of it stays as it is.

    The install half of a command is left out (`.ci/run` runs it); whole audits become their plan or small, and a
    probe becomes one of a small network. `test_a_whole_audit_of_the_readme` (slow) runs them as they are.
    """
    words = shlex.split(INSTALL.sub("", command))
    if words[:3] == ["python", "-m", "pytest"]:
        return [*words, "--collect-only", "tests/test_readme.py"]
    if words[2] in (
        "tests.mutants",
        "tests.support.screenshots",
    ):  # what is given is read before help is shown
        return [*words, "--help"]
    if "--probe" in words:  # it trains and attacks for a while: a narrow network, without attacks
        words[words.index("resnet18")] = "resnet_small"
        return [*words, "--axes.attack", "none"]
    if words[2] != "orchestrator.sweep" or {"--dry-run", "--describe"} & set(words):
        return words
    if "audit.toml" not in words:
        return [*words, "--dry-run"]
    if "--tune" in words:
        words[words.index("--tune") + 1] = "1"
    return [*words, *small("finetune", "scrub")]


def execute(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the words of a command in a folder, with this interpreter, in a process."""
    words = [sys.executable, *words[1:]] if words[0] == "python" else words
    environment = {
        **os.environ,
        "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}",
        "OMP_NUM_THREADS": "1",
        "HOME": str(folder),
    }
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=280)


def typed(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the words of `python -m module ...` in a folder, in this process."""
    module = importlib.import_module(words[2])
    if hasattr(module, "__path__"):
        module = importlib.import_module(f"{words[2]}.__main__")
    return here(module.main, *words[3:], folder=folder)


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
    (folder / "audit.toml").write_text(PAGES["audit"].fenced("toml")[0])
    cifar = folder / "data" / "cifar-10-batches-bin"
    write_cifar(cifar)
    ids = np.intersect1d(training_ids("cifar10", {"root": str(cifar)}), training_ids("synthetic", SYNTHETIC))
    (folder / "requests").mkdir()
    (folder / "requests" / "2026-11.csv").write_text("\n".join(["example_id", *map(str, ids[:20])]) + "\n")
    (program,) = [block for block in PAGES["outputs"].fenced("python") if "def train(" in block]
    (folder / "outputs.toml").write_text(PAGES["outputs"].fenced("toml")[0])
    made = execute(["python", "-c", program], folder)
    assert made.returncode == 0, made.stderr
    ran = execute(shortened("python -m orchestrator.sweep audit.toml"), folder)
    assert ran.returncode == 0, ran.stderr
    assert "cells finished, 0 failed" in ran.stderr
    return folder


LOCAL = [command for command in COMMANDS if runs_locally(command)]
STARTED = {shortened(command)[2]: command for command in reversed(LOCAL)}
"""The first command of each module, which is run in a process as a reader does; the others need none."""


@pytest.mark.parametrize("command", LOCAL)
def test_every_command_runs(command, folder):
    words = shortened(command)
    if words[2] == "pytest":
        ran = execute(words, ROOT)
    elif command in STARTED.values():
        ran = execute(words, folder)
    else:
        ran = typed(words, folder)
    verdicts = {0, 3, 4} if "orchestrator.certificate" in command else {0}
    assert ran.returncode in verdicts, f"{command}\n{ran.stdout}\n{ran.stderr}"
    assert "Traceback" not in ran.stderr
    page = None if "--only" in command else re.search(r"orchestrator\.(report|certificate)", command)
    written = shlex.split(command)[-1] if "--output" in command else f"{page[1]}.html" if page else ""
    assert not page or "</html>" in (folder / written).read_text() or written.endswith(".json")
    assert page or ran.stdout or ran.stderr or (folder / written).stat().st_size


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("preset", ["", "ulira"])
def test_a_whole_audit_of_the_readme(preset, tmp_path):
    command = next(
        c for c in COMMANDS if re.search(rf"orchestrator\.sweep{preset and ' ' + preset}( --out|$)", c)
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
    installs = [match[1] for match in map(INSTALL.match, COMMANDS) if match]
    assert installs == ["pip install --quiet --editable .", 'pip install --quiet --editable ".[test]"']
    assert f"{installs[1]} && python -m pytest" in (ROOT / ".ci" / "run").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {"test", "dev"} <= set(project["optional-dependencies"])
    version = re.search(r"Python (3\.\d+) or newer", README.text)[1]
    assert project["requires-python"] == f">={version}"


LINTERS = next(command for command in COMMANDS if command.startswith("ruff "))


def test_what_the_guide_asks_of_a_change_is_what_ci_asks():
    ci = (ROOT / ".ci" / "run").read_text()
    for command in LINTERS.split(" && "):
        assert f"\n{command}\n" in ci, command
    assert ci.endswith("python -m pytest\n"), "pytest's closing line comes last"
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["envs"]["default"][
        "scripts"
    ]
    assert scripts["check"] == LINTERS.split(" && ")
    named = set(re.findall(r"`(?:[^`]*)hatch run (\w+)`", PAGES["contributing"].text))
    assert named == scripts.keys()


@pytest.mark.parametrize("path", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda p: p.name)
def test_a_workflow_parses_runs_what_the_readme_says_and_admits_that_it_never_ran(path):
    text = path.read_text()
    assert "never run there" in text.splitlines()[0]
    steps = [step for job in yaml.safe_load(text)["jobs"].values() for step in job["steps"]]
    ran = [step["run"] for step in steps if "run" in step]
    assert any(command == ".ci/run" or command.endswith("python -m pytest -m slow -n 0") for command in ran)


@pytest.mark.parametrize(
    "command", [c for c in COMMANDS if not runs_locally(c) and not INSTALL.match(c) and c != LINTERS]
)
def test_every_cloud_command_is_well_formed(command, folder):
    """These need an account, a cluster or a network: their programs must know the flags, their files must parse.

    A sweep inside of one is executed here up to its plan, with a local directory in place of the bucket.
    """
    words = shlex.split(command)
    program = words[0]
    assert program in ("bash", "sbatch", "ray", "kubectl", "srun", "export"), (
        f"say here how to check: {command}"
    )
    for word in words[1:]:
        if word.endswith((".sh", ".sbatch", ".ci/run")):
            assert subprocess.run(["bash", "-n", ROOT / word]).returncode == 0
        elif word.endswith((".yaml", ".toml")) and word != "audit.toml":
            assert (ROOT / word).is_file(), word
        elif "python -m orchestrator" in word:
            inner = shlex.split(word[word.index("python -m orchestrator") :])
            inner = [re.sub(r"^(s3|gs)://.*", "elsewhere", part) for part in inner]
            ran = typed([*inner, "--dry-run"], folder)
            assert ran.returncode == 0, ran.stderr
    if program == "ray":
        shown = CliRunner().invoke(ray_commands, [words[1], "--help"])
        assert shown.exit_code == 0, shown.output
        for word in words[2:]:
            if word.startswith("--"):
                assert word.partition("=")[0] in shown.stdout, word


EDGE = r'\w+(\["[^"]+"\])? (-->|<-->)\|"[^"|]+"\| \w+(\["[^"]+"\])?'


def test_every_fenced_block_is_of_a_kind_that_is_checked():
    assert set().union(*(page.kinds for page in ALL)) <= {"bash", "python", "toml", "sql", "mermaid"}
    python = [block for page in ALL for block in page.fenced("python")]
    marks = (
        *PLUG_INS,
        "# my_lab/objects.py",
        "# their.py",
        "# unlearn.py",
        "# answers.py",
        "Results(",
        "import run",
        "check_",
        "def train(",
    )
    assert [b for b in python if not any(mark in b for mark in marks)] == []
    for block in README.fenced("mermaid"):
        first, *edges = block.strip().splitlines()
        assert first == "flowchart LR"
        assert edges
        assert all(re.fullmatch(EDGE, edge.strip()) for edge in edges)


@pytest.mark.parametrize("page", ALL, ids=lambda page: page.name)
def test_every_configuration_loads(page, folder):
    """Plug-ins apart: these are run below."""
    for number, block in enumerate(page.fenced("toml")):
        (folder / f"{page.path.stem}-{number}.toml").write_text(block)
        text = tomllib.loads(block)
        if "outputs" in text:
            request = read_request(str(folder / f"{page.path.stem}-{number}.toml"))
            assert len(request.outputs.models) == len(text["outputs"]["models"])
            continue
        config = load(str(folder / f"{page.path.stem}-{number}.toml"))
        assert config.data.name == text["data"]["name"]
        assert config.axes.seed == tuple(text["axes"]["seed"])
        assert config.shadows.num == text.get("shadows", {}).get("num", config.shadows.num)


def test_every_statement_runs(folder):
    for statement in (block for page in ALL for block in page.fenced("sql")):
        ran = typed(["python", "-m", "orchestrator.query", statement], folder)
        assert ran.returncode == 0, ran.stderr


def test_the_python_that_reads_results_runs(folder):
    blocks = [b for page in ALL for b in page.fenced("python") if "Results(" in b]
    assert blocks
    for block in blocks:
        shown = execute(["python", "-c", f"{block}\nprint(worst.num_rows, len(metrics))"], folder)
        assert shown.returncode == 0, shown.stderr
        assert min(map(int, shown.stdout.split())) > 0


def test_the_python_that_runs_an_audit_runs(folder):
    """With what makes the finished audit small in place of its own change, so that it finds every cell done."""
    (block,) = [b for page in ALL for b in page.fenced("python") if "import run" in b]
    own = 'set={"axes.seed": [0]}'
    assert own in block
    block = block.replace(own, f"set={changes('finetune', 'scrub')!r}")
    shown = execute(["python", "-c", f"{block}\nprint(len(outcome.cells), rows.num_rows)"], folder)
    assert shown.returncode == 0, shown.stderr
    assert min(map(int, shown.stdout.split())) > 0


def test_the_tables_it_lists_are_the_tables_there_are(folder):
    text = PAGES["results"].text
    listed = re.search(r"^Tables: `(.*?)`;\s+views `(.*?)`", text, flags=re.DOTALL | re.MULTILINE)
    with Results(str(folder / "results")) as results:
        assert [*listed[1].split(", "), *listed[2].split(", ")] == list(results.names)


PLUG_INS = {
    "class ToUniform": "methods",
    "class Stripes": "data",
    "class Oldest": "requests",
    "def small_perceptron": "networks",
    "class Rounding": "attacks",
}


def test_the_worked_examples_run_as_plug_ins(folder):
    """What the guide adds, from a user's own package, through one sweep and through the contracts."""
    blocks = PAGES["extend"].fenced("python")
    package = folder / "my_lab"
    package.mkdir()
    (package / "__init__.py").touch()
    for mark, module in PLUG_INS.items():
        (source,) = [block for block in blocks if mark in block]
        assert source.startswith(f"# my_lab/{module}.py\n")
        assert sum(map(bool, source.splitlines())) < 30
        (package / f"{module}.py").write_text(source)
    (script,) = [block for block in blocks if block.startswith("# their.py\n")]
    (folder / "their.py").write_text(script)
    (configuration,) = PAGES["extend"].fenced("toml")
    (folder / "mine.toml").write_text(configuration)
    named = re.search(r'`plugins = \["(my_lab[^"]*)"\]`', PAGES["extend"].text)
    assert named[1] in tomllib.loads(configuration)["plugins"]
    flags = shlex.split("--backend inline --set evaluation.bootstrap=20")
    command = ["python", "-m", "orchestrator.sweep", "mine.toml", "--out", "results-mine", *flags]
    ran = execute(command, folder)
    assert ran.returncode == 0, ran.stderr
    assert "to_uniform" in ran.stdout
    assert "theirs" in ran.stdout
    assert " 0 failed" in ran.stderr
    with Results(str(folder / "results-mine")) as results:
        measured = results.sql(
            "select distinct attack from cells join metrics using (cell_id) where metric = 'rounded_accuracy'"
        )
    assert sorted(measured["attack"].to_pylist()) == ["rounding", "rounding:bits=3"]
    contracts = [f"check_{kind}(" for kind in ("method", "attack", "dataset", "forget_set", "architecture")]
    checks = [block for block in blocks if any(contract in block for contract in contracts)]
    assert len(checks) == len(contracts)
    checked = execute(["python", "-c", "\n".join(checks)], folder)
    assert checked.returncode == 0, checked.stderr


def test_a_data_set_object_of_torchvision_is_a_plug_in(folder):
    (source,) = [block for block in PAGES["extend"].fenced("python") if "ObjectDataset" in block]
    (folder / "noise_plugin.py").write_text(source)
    program = (
        "import noise_plugin; from tasks.datasets.base import datasets; "
        "made = datasets.build('noise', {}, where=''); labels = made.read_labels(); "
        "print(made.read_images().shape, labels.is_test.sum(), labels.class_names)"
    )
    shown = execute(["python", "-c", program], folder)
    assert shown.stdout == "(80, 3, 8, 8) 20 ('0', '1', '2')\n", shown.stderr


def test_the_readme_is_short_and_its_map_lists_every_page():
    assert README.path.stat().st_size <= MOST_BYTES
    rows = re.findall(r"^\| \[(\w+)\]\((\S+)\) \| [^|]+\? \|$", README.text, flags=re.MULTILINE)
    assert sorted(rows) == [(name, f"orchestrator/guide/{name}.md") for name in sorted(PAGES)]


@pytest.mark.parametrize("page", PAGES.values(), ids=lambda page: page.name)
def test_every_page_begins_with_the_question_it_answers(page):
    title, sentence = page.text.split("\n\n")[:2]
    assert re.fullmatch(r"# [A-Z][\w \-]+", title)
    assert re.fullmatch(r"This page answers: [^.]+\?", sentence)


def test_the_guide_is_listed_and_printed_where_no_repository_is():
    listed = describe("guide")
    assert [line.split()[0] for line in listed] == [f"guide.{name}" for name in sorted(PAGES)]
    assert all(line.endswith("?") for line in listed)
    assert describe("guide.games") == PAGES["games"].text.splitlines()
    with pytest.raises(AuditError, match=r"no page 'gams'. Did you mean 'games'"):
        describe("guide.gams")


@pytest.mark.parametrize("page", ALL, ids=lambda page: page.name)
def test_every_link_resolves(page):
    assert broken_links(page) == []
    assert page.links or page.path.stem in ("changes",), "it links to nothing"


@pytest.mark.parametrize("page", ALL, ids=lambda page: page.name)
def test_every_path_and_query_that_the_prose_names_exists(page):
    for path in (s for s in page.spans if re.fullmatch(r"(orchestrator|tasks|queries|tests)/[\w./-]*", s)):
        assert (ROOT / path).exists(), path
    views = (ROOT / "orchestrator/results/views.sql").read_text()
    for name in (s.split()[1] for s in page.spans if re.match(r"query [a-z_]+( |$)", s)):
        assert name in catalogue() or f"view {name} as" in views, name


def test_no_page_and_no_docstring_names_a_page_that_does_not_exist():
    """A reader has the README and the guide, and no other document."""
    folders = ("orchestrator", "tasks", "tests", "queries", ".github")
    kinds = {".py", ".sql", ".toml", ".yaml", ".yml", ".md"}
    files = [p for folder in folders for p in sorted((ROOT / folder).rglob("*")) if p.suffix in kinds]
    files += [README.path, ROOT / "pyproject.toml", ROOT / "cluster.yaml"]
    unknown = {
        path.relative_to(ROOT).as_posix(): names
        for path in files
        if path != Path(__file__) and (names := unknown_pages(path.read_text(encoding="utf-8"), path.parent))
    }
    assert unknown == {}


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("(guide/games.md#states)", []),
        ("(guide/games.md#stats)", ["guide/games.md#stats"]),
        ("see NOTES.md", ["NOTES.md"]),
        ("`--describe guide.gamez`", ["gamez"]),
        ("(PROTOCOL 1.9)", ["PROTOCOL 1.9"]),
        ("README.md and games.md", []),
        ("README.md and gamez.md", ["gamez.md"]),
        ("mo.md(text)", []),
    ],
)
def test_the_search_for_pages_that_do_not_exist_finds_them(text, unknown):
    assert unknown_pages(text, ROOT) == unknown
