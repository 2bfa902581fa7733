"""Content hashes of examples and of image files: `python -m orchestrator.contents [CONFIGURATION]`.

What it prints is a list that a forget set of kind `file` reads. Torch is not imported.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np

from orchestrator.command_line import Flag, parse
from orchestrator.config.settings import load
from orchestrator.errors import Exit, run_command
from orchestrator.plan.data import read_split
from tasks.datasets.contents import content_hash, content_hashes, read_file
from tasks.datasets.splits import Splits
from tasks.errors import AuditError
from tasks.forget_sets.listed import rows_of
from tasks.registry import import_plugins

EXAMPLES = """examples:
  python -m orchestrator.contents --ids 3 17
  python -m orchestrator.contents audit.toml --images photo.png
  python -m orchestrator.contents audit.toml

What it prints, written to request.csv, is a forget set of the next audit:
kind = "file", path = "request.csv", column = "content_sha256"
"""
COLUMNS = ("content_sha256", "example_id", "split", "file")


@dataclass(frozen=True, kw_only=True)
class Command:
    """Print the content hash of examples of a data set, or of image files, as CSV on stdout."""

    source: Annotated[str, Flag(value="CONFIGURATION", positional=True)] = "quick"
    """TOML file whose data set is meant, or a preset."""
    ids: Annotated[tuple[int, ...] | None, Flag(value="N", otherwise="all")] = None
    """Examples to print."""
    images: Annotated[tuple[Path, ...] | None, Flag(value="FILE", otherwise="none")] = None
    """Image files, or .npy arrays of one example, to look up in place of examples; one row for each copy."""


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, read the data set, and print one row for each example."""
    command = parse(Command, arguments, prog="python -m orchestrator.contents", examples=EXAMPLES)
    if command.ids is not None and command.images is not None:
        raise AuditError("--ids, --images: expected one of the two, got both")
    config = load(command.source, {})
    import_plugins(config.plugins)
    source, labels, splits = read_split(config)
    hashes = content_hashes(source, source.digest())
    if command.images is not None:
        files = [(path, content_hash(read_file(source, path))) for path in command.images]
        rows = _file_rows(files, hashes, splits)
    else:
        rows = _example_rows(_checked(command.ids, len(labels.labels)), hashes, splits)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows)
    return Exit.FINISHED


def _checked(ids: tuple[int, ...] | None, num_examples: int) -> Iterable[int]:
    wrong = [i for i in ids or () if not 0 <= i < num_examples]
    if wrong:
        raise AuditError(f"--ids: expected example ids in 0..{num_examples - 1}, got {wrong[0]}")
    return range(num_examples) if ids is None else ids


def _example_rows(ids: Iterable[int], hashes: np.ndarray, splits: Splits) -> Iterator[tuple[object, ...]]:
    parts = _part_of_each(len(hashes), splits)
    for i in ids:
        yield hashes[i].tobytes().hex(), i, parts[i], ""


def _file_rows(
    files: Iterable[tuple[Path, bytes]], hashes: np.ndarray, splits: Splits
) -> Iterator[tuple[object, ...]]:
    parts = _part_of_each(len(hashes), splits)
    for path, found in files:
        copies = rows_of({found.hex()}, hashes).get(found.hex())
        if copies is None:
            yield found.hex(), "", "not in the data set", path
            continue
        for i in copies.tolist():
            yield found.hex(), i, parts[i], path


def _part_of_each(num_examples: int, splits: Splits) -> np.ndarray:
    parts = np.full(num_examples, "none", dtype="<U10")
    for name in ("train", "validation", "test"):
        parts[getattr(splits, name)] = name
    return parts


if __name__ == "__main__":
    sys.exit(run_command(main))
