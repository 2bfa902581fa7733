"""The 1797 handwritten digits that scikit-learn carries (UCI optdigits, Alpaydin and Kaynak 1998)."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tasks.datasets.base import DataSource, Labels, register
from tasks.errors import AuditError


def _file() -> Path:
    # Found, not imported: importing scikit-learn takes more than a second, the plan has one in all.
    spec = importlib.util.find_spec("sklearn")
    places = spec.submodule_search_locations if spec else None
    path = Path(places[0]) / "datasets" / "data" / "digits.csv.gz" if places else None
    if path is None or not path.is_file():
        raise AuditError("digits: expected the scikit-learn package with datasets/data/digits.csv.gz")
    return path


def _table() -> np.ndarray:
    """`1797 x 65`, float32: 64 pixels in 0..16, then the label."""
    lines = gzip.decompress(_file().read_bytes()).decode("ascii").splitlines()
    return np.loadtxt(lines, delimiter=",", dtype=np.float32)


@register("digits")
@dataclass(frozen=True, kw_only=True)
class Digits(DataSource):
    """1797 real 8 x 8 images of digits in 10 classes, float32 in [0, 1]; no test part of its own."""

    embedded = True

    def digest(self) -> str:
        """SHA-256 of the file that scikit-learn ships."""
        return hashlib.sha256(_file().read_bytes()).hexdigest()

    def read_labels(self) -> Labels:
        """Labels in file order."""
        labels = _table()[:, 64].astype(np.int64)
        return Labels(
            labels=labels,
            is_test=np.zeros(len(labels), dtype=bool),
            class_names=tuple("0123456789"),
            image_shape=(1, 8, 8),
        )

    def read_images(self) -> np.ndarray:
        """`1797 x 1 x 8 x 8`, float32: grey level / 16."""
        return np.ascontiguousarray(_table()[:, :64]).reshape(-1, 1, 8, 8) / np.float32(16)
