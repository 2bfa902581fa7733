"""The EasyDUB data set of margins as it lies on disk (huggingface.co/datasets/easydub/EasyDUB-dataset).

    margins/cifar10/pretrain/{retain,val,forget_F}/ARCHITECTURE/id_M_epoch_E.npy
    margins/cifar10/oracle/forget_F/{retain,val,forget}/ARCHITECTURE/id_M_epoch_E.npy
    forget_sets/cifar10/forget_set_F.npy

One array of one dimension for each model M: `pretrain/retain` is the margin of every training example, in the order of
the data set; `oracle/*/retain` lacks the forget set F. Layout and shapes are those that its own loader reads
(easydub/EasyDUB-code, `easydub/data.py` and `eval_pretrain.py`). In which order the margins of a forget set stand, its
code does not say: here they are found by comparing those of the first pretrain model with its margins of all examples.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tasks.datasets.archive import contents_digest
from tasks.datasets.arrays import map_npy, read_npy
from tasks.errors import AuditError

MODEL = re.compile(r"id_(\d+)_epoch_\d+\.npy")
LIST = re.compile(r"forget_set_(\d+)\.npy")


@dataclass(frozen=True, kw_only=True, eq=False)
class PartRows:
    """Margins of models whose examples lie in several files each."""

    parts: Sequence[tuple[tuple[Path, ...], np.ndarray]]
    """Files by model, and where their values belong."""
    shape: tuple[int, ...]
    dtype: np.dtype
    name: str
    digest: str

    def row(self, number: int) -> np.ndarray:
        """See `orchestrator.outputs.files.Rows`."""
        row = np.empty(self.shape[1], dtype=self.dtype)
        for files, places in self.parts:
            row[places] = _margins(files[number], len(places))
        return row


@dataclass(frozen=True, kw_only=True, eq=False)
class EasyDub:
    """What the folder holds."""

    architecture: str
    num_train: int
    num_examples: int
    forget_sets: dict[str, np.ndarray]
    """Ids by name, such as forget_1."""
    original: PartRows
    retrained: dict[str, PartRows]
    """Oracles by the name of the forget set."""


def read_easydub(folder: Path, numbers: Sequence[int]) -> EasyDub:
    """Find the files, and check how long they are.

    Args:
        folder: root of the data set.
        numbers: of the forget sets; empty: all of which there are oracles.

    Raises:
        AuditError: a file is missing or of another length than the others.
    """
    margins, lists = folder / "margins" / "cifar10", folder / "forget_sets" / "cifar10"
    architecture = _architecture(margins / "pretrain" / "retain")
    known = sorted(int(listed[1]) for path in _listed(lists) if (listed := LIST.fullmatch(path.name)))
    with_oracles = [n for n in known if (margins / "oracle" / f"forget_{n}").is_dir()]
    for number in numbers:
        if number not in with_oracles:
            raise AuditError(
                f"easydub_forget_sets: expected some of {', '.join(map(str, with_oracles))}, got {number}"
            )
    chosen = list(numbers) or with_oracles
    if not chosen:
        raise AuditError(
            f"{folder}: expected forget sets with oracles, found none in {lists} and {margins / 'oracle'}"
        )
    train = _models(margins / "pretrain" / "retain" / architecture)
    val = _models(margins / "pretrain" / "val" / architecture)
    num_train, num_val = (len(_margins(files[min(files)])) for files in (train, val))
    everyone, tests = np.arange(num_train), num_train + np.arange(num_val)
    ids = {f"forget_{n}": _ids(lists / f"forget_set_{n}.npy", num_train) for n in chosen}
    ordered = {name: _ordered(margins, architecture, name, own, train) for name, own in ids.items()}
    retrained = {}
    for name, own in ordered.items():
        oracle = margins / "oracle" / name
        places = {"retain": np.setdiff1d(everyone, own), "forget": own, "val": tests}
        found = {part: _models(oracle / part / architecture) for part in places}
        retrained[name] = _rows(str(oracle), [(found[part], places[part]) for part in places])
    return EasyDub(
        architecture=architecture,
        num_train=num_train,
        num_examples=num_train + num_val,
        forget_sets={name: np.sort(own) for name, own in ids.items()},
        original=_rows(str(margins / "pretrain"), [(train, everyone), (val, tests)]),
        retrained=retrained,
    )


def _rows(name: str, parts: Sequence[tuple[dict[int, Path], np.ndarray]]) -> PartRows:
    models = sorted(set.intersection(*(set(files) for files, _ in parts)))
    if not models:
        raise AuditError(f"{name}: expected margins of the same models in every part, found none")
    by_part = [(tuple(files[model] for model in models), places) for files, places in parts]
    for files, places in by_part:
        _margins(files[0], len(places))
    listed = [(path.relative_to(name).as_posix(), path) for files, _ in by_part for path in files]
    return PartRows(
        parts=by_part,
        shape=(len(models), sum(len(places) for _, places in by_part)),
        dtype=_margins(by_part[0][0][0]).dtype,
        name=name,
        digest=contents_digest(listed),
    )


def _ordered(
    margins: Path, architecture: str, name: str, listed: np.ndarray, train: dict[int, Path]
) -> np.ndarray:
    """The ids of a forget set in the order in which its margins stand: as listed, or ascending."""
    files = _models(margins / "pretrain" / name / architecture)
    model = min(files.keys() & train.keys(), default=None)
    if model is None:
        raise AuditError(
            f"{margins / 'pretrain' / name}: expected margins of a model of pretrain/retain, found none"
        )
    own, everyone = _margins(files[model], len(listed)), _margins(train[model])
    for order in (listed, np.sort(listed)):
        if np.allclose(own, everyone[order], rtol=1e-3, atol=1e-2):
            return order
    raise AuditError(
        f"{files[model]}: expected the margins of forget set '{name}' as they stand in {train[model]}, in the order of "
        "its list or ascending; they are neither"
    )


def _margins(path: Path, expected: int | None = None) -> np.ndarray:
    values = map_npy(path)
    if values.ndim != 1 or values.dtype.kind != "f" or expected not in (None, len(values)):
        told = "floating-point numbers" if expected is None else f"{expected} floating-point numbers"
        raise AuditError(f"{path}: expected {told}, got {values.dtype} of shape {values.shape}")
    return values


def _ids(path: Path, num_train: int) -> np.ndarray:
    ids = read_npy(path)
    whole = ids.ndim == 1 and (
        ids.dtype.kind in "iu" or (ids.dtype.kind == "f" and (ids == np.floor(ids)).all())
    )
    if not whole or not len(ids) or len(np.unique(ids)) < len(ids) or ids.min() < 0 or ids.max() >= num_train:
        raise AuditError(f"{path}: expected distinct ids of training examples, 0 to {num_train - 1}")
    return ids.astype(np.int64)


def _architecture(folder: Path) -> str:
    names = sorted(path.name for path in _listed(folder) if path.is_dir())
    if len(names) != 1:
        raise AuditError(
            f"{folder}: expected the folder of one architecture, found {', '.join(names) or 'none'}"
        )
    return names[0]


def _models(folder: Path) -> dict[int, Path]:
    """Files by the number of the model."""
    found: dict[int, Path] = {}
    for path in _listed(folder):
        if named := MODEL.fullmatch(path.name):
            if int(named[1]) in found:
                raise AuditError(f"{folder}: expected one epoch of model {named[1]}, found several")
            found[int(named[1])] = path
    if not found:
        raise AuditError(f"{folder}: expected files id_M_epoch_E.npy, found none")
    return found


def _listed(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise AuditError(f"{folder}: no such folder; expected the layout of EasyDUB")
    return sorted(folder.iterdir())
