"""The file of per-example scores: written by `orchestrator.scores.__main__`, named by `[data] scores`."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from orchestrator.store.whole_file import write_whole
from tasks.datasets.arrays import npz_names, read_npz
from tasks.errors import AuditError

PROVENANCE = "provenance"
COMMAND = "python -m orchestrator.scores RESULTS --architecture NAME --output risk.npz"


@dataclass(frozen=True, kw_only=True)
class RiskScores:
    """Scores by name, each with a row for every example of the data set."""

    values: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Name -> `N` or `N x d`, floating; not finite where unknown."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Where they came from: results, architecture, digest of the data set, and what made them (number of
    shadow models and half; of features the model, its seed and the digest of its weights)."""

    def digest(self, name: str) -> str:
        """SHA-256 of the numbers of one score, part of the identity of whatever ranks by it."""
        return score_digest(self.values[name])

    def require(self, names: Iterable[str], *, where: str) -> None:
        """Refuse what ranks by a score that is not there.

        Raises:
            AuditError: names the command that makes the score.
        """
        for name in names:
            if name not in self.values:
                have = (
                    f"data.scores holds {', '.join(sorted(self.values))}" if self.values else "none is given"
                )
                how = f"{COMMAND} --kinds features" if name == "features" else COMMAND
                need = "trained the original" if name == "features" else "ran per-example attacks"
                raise AuditError(
                    f"{where}: ranks by the score '{name}', and {have}; run {how} on the results of a sweep "
                    f'that {need}, then set [data] scores = "risk.npz"'
                )


def score_digest(values: np.ndarray) -> str:
    """SHA-256 of the shape and of the little-endian float64 numbers."""
    content = json.dumps(values.shape).encode() + np.ascontiguousarray(values, dtype="<f8").tobytes()
    return hashlib.sha256(content).hexdigest()


def check_target(path: Path) -> None:
    """Refuse a file that cannot be written, before the work of making it.

    Raises:
        AuditError: its name does not end in .npz, or its directory does not exist.
    """
    if path.suffix != ".npz":
        raise AuditError(f"--output: expected a name that ends in .npz, got {path}")
    if not path.absolute().parent.is_dir():
        raise AuditError(f"--output: cannot write {path}: no directory '{path.parent}'")


def write_scores(path: Path, values: Mapping[str, np.ndarray], provenance: Mapping[str, Any]) -> str:
    """Write the scores and their provenance as .npz without pickles; return the file's SHA-256.

    Raises:
        AuditError: the file cannot be written, or its name does not end in .npz.
    """
    check_target(path)
    arrays: dict[str, Any] = {name: np.asarray(array) for name, array in values.items()}
    arrays[PROVENANCE] = np.array(json.dumps(provenance, sort_keys=True))
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    write_whole(path, content.getvalue(), flag="--output")
    return hashlib.sha256(content.getvalue()).hexdigest()


def read_scores(source: str, *, num_examples: int, dataset_digest: str) -> RiskScores:
    """Read a file of scores for one data set; no file gives no scores.

    Raises:
        AuditError: it cannot be read, or its scores are of other data.
    """
    if not source:
        return RiskScores()
    path = Path(os.path.expanduser(source))
    try:
        is_there = path.is_file()
    except OSError as error:  # a name that is too long, a folder of somebody else's
        raise AuditError(f"data.scores: {source}: {error.strerror}") from None
    if not is_there:
        raise AuditError(f"data.scores: no file '{source}'; {COMMAND} makes it")
    try:
        arrays = {name: read_npz(path, name) for name in npz_names(path)}
        provenance = json.loads(str(arrays.pop(PROVENANCE, "{}")))
        digest = str(provenance.get("dataset_digest", dataset_digest))
    except AuditError as error:
        raise AuditError(f"data.scores: {error}; {COMMAND} makes it") from None
    except (ValueError, RecursionError, AttributeError):  # no JSON, too deep, no object
        raise AuditError(
            f"data.scores: {source}: expected a JSON object as {PROVENANCE}; {COMMAND} makes it"
        ) from None
    if digest != dataset_digest:
        raise AuditError(
            f"data.scores: {source} is of other data (digest {digest[:12]}, "
            f"this data set has {dataset_digest[:12]})"
        )
    for name, array in arrays.items():
        if array.dtype.kind != "f" or array.shape[:1] != (num_examples,):
            raise AuditError(
                f"data.scores: '{name}': expected a number for each of {num_examples} examples, "
                f"got {array.dtype} {array.shape}"
            )
        array.setflags(write=False)  # methods see this one array
    return RiskScores(values=arrays, provenance=provenance)
