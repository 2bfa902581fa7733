"""Copies of forget examples that stay in the retain set: of them "forgotten" cannot be decided. NumPy only.

A model that still trains on a copy of x answers x as if x had not been forgotten, whatever the method
(guide/games.md#what-flatters-or-misleads, 20). Exact copies share a content hash. Near copies are looked for by the
root mean square difference of thumbnails, pixels in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.errors import AuditError

NEAR = 0.03
"""Root mean square difference below which two thumbnails are called near copies.

Crops of photographs of 32 x 32 pixels: compression by JPEG at quality 90, 50, 20 moves a thumbnail by .014, .023,
.033 (medians), Gaussian noise of 5 and 15 levels of 255 by .010 and .029, 5 % more brightness by .027: seen, the
strongest in part. One pixel of translation moves it by .05, mirroring by .17: not seen, nor are crops, turns and
other colours. The nearest of 3,000 crops of another photograph lies beyond .053, that of scikit-learn's 1,797 digits
beyond .041. Featureless images are near each other whatever they show.
"""
THUMBNAIL = 16
"""Side of a thumbnail; smaller images are compared as they are. Averaging never enlarges the difference."""
MOST_VALUES = 2_000_000_000
"""Values of all images: beyond, they are not read a second time for this."""
MOST_PRODUCTS = 1_000_000_000_000
"""Multiplications: 5,000 forgotten x 45,000 retained colour images take 1.7e11, five seconds of one core."""
_CHUNK = 2048


@dataclass(frozen=True, kw_only=True, eq=False)
class RetainedCopies:
    """For each forget example, in the order of its ids: arrays of length `F`."""

    exact: np.ndarray
    """int32: retained examples with the same content hash."""
    nearest: np.ndarray
    """int64: id of the retained example with the most similar thumbnail."""
    distance: np.ndarray
    """float32: root mean square difference of the two thumbnails; of documents see `retained_documents`."""
    bound: float = NEAR
    """Distance below which the nearest is a near copy."""
    compared: str = "thumbnails"
    """What the distance is of."""

    @property
    def near(self) -> np.ndarray:
        """`F`, bool: the nearest retained example is a near copy and no exact one."""
        return (self.exact == 0) & (self.distance < self.bound)


def thumbnails(images: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Images averaged over a grid of at most `THUMBNAIL` x `THUMBNAIL` cells, `len(ids) x values`, float32 in [0, 1].

    Args:
        images: `N x C x H x W`, uint8 or float32 in [0, 1]; may be memory-mapped.
        ids: rows of `images`.
    """
    rows, columns = (_grid(side) for side in images.shape[2:])
    shape = (images.shape[1], len(rows), len(columns))
    area = np.outer(np.diff(rows, append=images.shape[2]), np.diff(columns, append=images.shape[3]))
    scale = (1 / area / (255 if images.dtype == np.uint8 else 1)).astype(np.float32)
    small = np.empty((len(ids), *shape), dtype=np.float32)
    for start in range(0, len(ids), _CHUNK):
        part = images[ids[start : start + _CHUNK]].astype(np.float32)
        by_row = np.add.reduceat(part, rows, axis=2)
        small[start : start + _CHUNK] = np.add.reduceat(by_row, columns, axis=3) * scale
    return small.reshape(len(ids), -1)


def _grid(side: int) -> np.ndarray:
    """Where each cell begins."""
    cells = min(side, THUMBNAIL)
    return np.arange(cells) * side // cells


def products(shape: tuple[int, ...], forget: int, retained: int) -> int:
    """Multiplications that comparing all pairs of thumbnails takes; documents are not compared in pairs."""
    if len(shape) == 1:
        return (forget + retained) * shape[0]
    channels, height, width = shape
    return forget * retained * channels * min(height, THUMBNAIL) * min(width, THUMBNAIL)


def too_large(
    shape: tuple[int, ...],
    *,
    num_examples: int,
    forget: int,
    retained: int,
    most_values: int = MOST_VALUES,
    most_products: int = MOST_PRODUCTS,
) -> str | None:
    """Why a search is left out; None where it is not.

    Args:
        shape: channels, height, width; or tokens of the longest document.
        num_examples: images that would be read.
        forget: examples of the forget set.
        retained: training examples outside it.
        most_values: bound on the values read.
        most_products: bound on the multiplications.
    """
    values = num_examples * int(np.prod(shape))
    needed = products(shape, forget, retained)
    if values > most_values:
        return f"reading {values:.1e} pixel values would exceed {most_values:.0e}"
    if needed > most_products:
        return (
            f"comparing {forget:,} x {retained:,} examples would exceed {most_products:.0e} multiplications"
        )
    return None


def find_copies(
    images: np.ndarray, hashes: np.ndarray, *, forget: np.ndarray, retained: np.ndarray
) -> RetainedCopies:
    """Search the retain set for copies of each forget example.

    Args:
        images: `N x C x H x W`, without triggers of poisoned sets.
        hashes: `N x 32`, uint8, their content hashes.
        forget: `F` ids.
        retained: `R` ids.
    """
    if not len(forget) or not len(retained):
        raise AuditError("copies: expected forget and retained examples, got none of one kind")
    position, distance = _nearest(thumbnails(images, forget), thumbnails(images, retained))
    return RetainedCopies(
        exact=same_hashes(hashes, forget, retained), nearest=retained[position], distance=distance
    )


def same_hashes(hashes: np.ndarray, forget: np.ndarray, retained: np.ndarray) -> np.ndarray:
    """How often the hash of each forget example occurs among the retained."""
    keys = np.ascontiguousarray(hashes).view("S32").ravel()
    ordered, wanted = np.sort(keys[retained]), keys[forget]
    counts = np.searchsorted(ordered, wanted, side="right") - np.searchsorted(ordered, wanted, side="left")
    return counts.astype(np.int32)


def _nearest(wanted: np.ndarray, among: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row of `among` nearest to each row of `wanted` (the first of equals), and their distance, float32.

    |a - b|^2 = |a|^2 + |b|^2 - 2 ab, a block of `among` at a time; the distance of the winner is taken directly,
    since the formula loses small differences.
    """
    best = np.full(len(wanted), -np.inf, dtype=np.float32)
    row = np.zeros(len(wanted), dtype=np.int64)
    for start in range(0, len(among), _CHUNK):
        block = among[start : start + _CHUNK]
        likeness = wanted @ block.T
        likeness -= np.einsum("ij,ij->i", block, block) / 2
        found = likeness.argmax(axis=1)
        value = likeness[np.arange(len(wanted)), found]
        better = value > best
        best[better], row[better] = value[better], found[better] + start
    difference = wanted - among[row]
    return row, np.sqrt(np.einsum("ij,ij->i", difference, difference) / wanted.shape[1])
