"""A copy of the working tree, in which lines may change while the original stays as it is."""

from __future__ import annotations

import compileall
import contextlib
import io
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from py_compile import PycInvalidationMode

from tests.mutants.mutant import Mutant, edited


def copy(root: Path, target: Path) -> Path:
    """Copy what git tracks or would track, with code compiled such that only a change of text has it compiled again."""
    listing = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, capture_output=True, check=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if (root / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, target / name)
    with contextlib.redirect_stdout(io.StringIO()):
        for package in ("orchestrator", "tasks", "tests"):
            compileall.compile_dir(
                target / package, quiet=2, invalidation_mode=PycInvalidationMode.CHECKED_HASH
            )
    return target


@contextlib.contextmanager
def mutated(tree: Path, mutant: Mutant) -> Iterator[None]:
    """Hold the changed line in a copy."""
    file = tree / mutant.path
    text = file.read_text(encoding="utf-8")
    file.write_text(edited(text, mutant.edit), encoding="utf-8")
    try:
        yield
    finally:
        file.write_text(text, encoding="utf-8")
