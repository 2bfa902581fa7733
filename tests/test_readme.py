"""The README tells the truth: its commands parse, its example extends Lethe, its links resolve."""

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
sys.path.insert(0, str(ROOT / "tests" / "orchestrator"))


def fenced(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands() -> list[str]:
    lines = [line.split("  #")[0].strip() for block in fenced("bash") for line in block.splitlines()]
    return [line for line in lines if line.startswith("python -m orchestrator")]


@pytest.mark.parametrize("command", commands())
def test_every_command_knows_its_flags(command):
    """Each module of a fenced command answers --help, and every flag used is in that help."""
    words = shlex.split(command, comments=True)
    shown = subprocess.run(
        [sys.executable, "-m", words[2], "--help"], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert shown.returncode == 0, shown.stderr
    for word in words:
        if word.startswith("--"):
            assert word in shown.stdout, f"{word} of {command}"


def test_the_example_configuration_is_valid_but_for_its_data(tmp_path):
    from orchestrator.config import load

    text = next(block for block in fenced("toml") if "cifar10-scopes" in block)
    path = tmp_path / "audit.toml"
    path.write_text(text)
    config = load(str(path))
    assert config.axes.seed == (0, 1, 2)
    assert tomllib.loads(text)["shadows"]["num"] == config.shadows.num


def test_the_worked_example_runs_as_a_plug_in(tmp_path):
    """The README's method, from a user's own package, through a sweep and through the contracts."""
    from sweeps import changed

    method = next(block for block in fenced("python") if "class ToUniform" in block)
    assert len(method.splitlines()) <= 35
    package = tmp_path / "my_lab"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "methods.py").write_text(method)
    (tmp_path / "check.py").write_text(next(b for b in fenced("python") if "check_method" in b))
    text = changed(
        {
            'name = "tiny"': 'name = "tiny"\nplugins = ["my_lab.methods"]',
            '"gradient_ascent"]': '"to_uniform"]',
            "[methods.gradient_ascent]\nepochs = 1": "[methods.to_uniform]\nepochs = 1",
        }
    )
    (tmp_path / "audit.toml").write_text(text)
    paths = {"PYTHONPATH": f"{tmp_path}:{ROOT}", "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    sweep = [sys.executable, "-m", "orchestrator.sweep", "audit.toml", "--out", "results"]
    ran = subprocess.run(sweep, cwd=tmp_path, env=paths, capture_output=True, text=True, timeout=200)
    assert ran.returncode == 0, ran.stderr
    assert "to_uniform" in ran.stdout
    checked = subprocess.run(
        [sys.executable, "check.py"], cwd=tmp_path, env=paths, capture_output=True, text=True, timeout=200
    )
    assert checked.returncode == 0, checked.stderr


def test_links_resolve():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
