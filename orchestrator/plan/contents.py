"""Content hashes of examples and of image files, as rows of a list that a forget set of kind `file` reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from orchestrator.config.settings import SweepConfig
from orchestrator.plan.data import read_split
from tasks.datasets.contents import content_hash, content_hashes, read_file
from tasks.datasets.splits import Splits
from tasks.errors import AuditError
from tasks.forget_sets.listed import rows_of

COLUMNS = ("content_sha256", "example_id", "split", "name")
Row = tuple[object, ...]
"""Values of `COLUMNS`."""


def example_rows(config: SweepConfig, ids: Sequence[int] | None) -> Iterator[Row]:
    """One row for each example of a data set; None takes all.

    Raises:
        AuditError: an id is no example, or the data set cannot be read.
    """
    source, labels, splits = read_split(config)
    num_examples = len(labels.labels)
    wrong = [i for i in ids or () if not 0 <= i < num_examples]
    if wrong:
        raise AuditError(f"--ids: expected example ids in 0..{num_examples - 1}, got {wrong[0]}")
    hashes, names = content_hashes(source, source.digest()), source.names()
    parts = _part_of_each(num_examples, splits)
    for i in range(num_examples) if ids is None else ids:
        yield hashes[i].tobytes().hex(), i, parts[i], names[i] if names else ""


def file_rows(config: SweepConfig, paths: Sequence[Path]) -> Iterator[Row]:
    """One row for each copy of an image file, or of a .npy array of one example, in a data set.

    Raises:
        AuditError: a file is no image of the shape of the data set, or the data set cannot be read.
    """
    source, _, splits = read_split(config)
    hashes = content_hashes(source, source.digest())
    parts = _part_of_each(len(hashes), splits)
    for path, found in [(path, content_hash(read_file(source, path))) for path in paths]:
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
