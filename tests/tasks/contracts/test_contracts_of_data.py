"""Data sets and kinds of forget sets under their contracts, and the contracts against offenders."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.contracts import check_dataset, check_forget_set
from tasks.contracts import datasets as of_datasets
from tasks.contracts import forget_sets as of_kinds
from tasks.contracts.small_requests import small_request
from tasks.datasets.base import DataSource, Labels
from tasks.datasets.digits import Digits
from tasks.datasets.fictitious_people import FictitiousPeople
from tasks.datasets.synthetic import Synthetic
from tasks.errors import AuditError
from tasks.forget_sets.base import ForgetKind, ForgetSet, forget_kinds

KINDS: dict[str, dict[str, Any]] = {
    "by_score": {"score": "risk", "level": "high", "count": 5},
    "entanglement": {"level": "mid", "count": 6},
}
"""Parameters of kinds whose own do not suffice; of the others by the names of their fields."""
FIELDS = {"label": 1, "count": 6, "fine": "b", "class_a": 0, "class_b": 1, "target": 2}


@pytest.mark.parametrize(
    "source", [Digits(), Synthetic(), FictitiousPeople(num_train=20, num_test=8, num_public=10)], ids=repr
)
def test_embedded_data_sets_keep_the_contracts(source: DataSource) -> None:
    check_dataset(source)


def built(name: str, tmp_path: Path) -> ForgetKind:
    """A kind with parameters that the small request allows."""
    kind = forget_kinds.get(name)
    labels = small_request(Oldest()).labels
    if name == "file":
        path = tmp_path / "ids.txt"
        path.write_text("\n".join(map(str, small_request(Oldest()).splits.train[:5])))
        return kind(path=str(path))  # type: ignore[call-arg]
    own = {"group": {"name": labels.group_names[3]}, "part": {"name": "first"}} | KINDS
    names = {f.name for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    return kind(**({key: value for key, value in FIELDS.items() if key in names} | own.get(name, {})))


@pytest.mark.parametrize("name", forget_kinds.names())
def test_kinds_keep_the_contracts(name: str, tmp_path: Path) -> None:
    check_forget_set(built(name, tmp_path))


@dataclass(frozen=True, kw_only=True)
class Oldest(ForgetKind):
    """Breaks one contract."""

    crime: str = ""
    """Which."""

    @property
    def needs(self) -> tuple[str, ...]:
        return ("risk",) if self.crime == "unread" else ()

    def select(self, request: Any) -> ForgetSet:
        ids, said = request.splits.train[:5], {"kind": "oldest"}
        if self.crime == "draw":
            ids = np.sort(np.random.default_rng().permutation(request.splits.train)[:5])
        if self.crime == "global":
            np.random.rand()  # noqa: NPY002
        if self.crime == "labels":
            request.labels.labels[0] += 1
        if self.crime == "splits":
            request.splits.train[0] = request.splits.train[1]
        if self.crime == "test":
            ids = request.splits.test[:5]
        if self.crime == "said":
            said = {"kind": "oldest", "when": str(time.perf_counter_ns())}
        if self.crime == "bytes":
            said = {"kind": "oldest", "raw": b"x"}  # type: ignore[dict-item]
        if self.crime == "undeclared":
            request.scores.get("risk")
        return ForgetSet(ids=ids, provenance=said)


def test_an_honest_kind_passes() -> None:
    check_forget_set(Oldest())


@pytest.mark.parametrize(
    "crime", ["unread", "undeclared", "draw", "global", "labels", "splits", "test", "said", "bytes"]
)
def test_contracts_catch_bad_kinds(crime: str) -> None:
    with pytest.raises((AssertionError, AuditError, TypeError)):
        check_forget_set(Oldest(crime=crime))


@dataclass(frozen=True, kw_only=True)
class Stripes(DataSource):
    """Breaks one contract."""

    crime: str = ""
    """Which."""

    def digest(self) -> str:
        return {"no digest": "", "other digest": str(time.perf_counter_ns())}.get(self.crime, "stripes")

    def read_labels(self) -> Labels:
        labels = np.arange(12) % (3 if self.crime == "classes" else 2)
        names = ("a", "a") if self.crime == "names" else ("a", "b")
        parts = {"far": np.array([99])} if self.crime == "parts" else {}
        return Labels(
            labels=labels.astype(np.int32 if self.crime == "type" else np.int64),
            is_test=np.zeros(12, dtype=bool),
            class_names=names,
            image_shape=(1, 8, 8),
            parts=parts,
        )

    def read_images(self) -> np.ndarray:
        seed = None if self.crime == "draw" else 0
        if self.crime == "global":
            np.random.rand()  # noqa: NPY002
        shape = (12, 1, 8, 7) if self.crime == "shape" else (12, 1, 8, 8)
        images = np.random.default_rng(seed).integers(0, 256, shape)
        return images.astype(np.int64 if self.crime == "int64" else np.uint8)

    def content_hashes(self) -> np.ndarray | None:
        return np.zeros((12, 32), dtype=np.uint8) if self.crime == "hashes" else None

    def public_digest(self) -> str:
        return "public" if self.crime == "public" else ""


def test_an_honest_data_set_passes() -> None:
    check_dataset(Stripes())


@pytest.mark.parametrize(
    "crime",
    [
        "no digest",
        "other digest",
        "classes",
        "names",
        "parts",
        "type",
        "draw",
        "global",
        "shape",
        "int64",
        "hashes",
        "public",
    ],
)
def test_contracts_catch_bad_data_sets(crime: str) -> None:
    with pytest.raises((AssertionError, AuditError)):
        check_dataset(Stripes(crime=crime))


def test_an_undocumented_field_is_caught() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Silent(Stripes):
        count: int = 1

    with pytest.raises(AssertionError, match="count"):
        of_datasets.dataset_is_described(Silent())
    with pytest.raises(AssertionError, match="frozen"):
        of_kinds.kind_is_described(dataclass(type("Loose", (), {}))(), small_request(Oldest()))  # type: ignore[arg-type]
