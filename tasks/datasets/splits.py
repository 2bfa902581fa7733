"""One split of a data set into training, validation and test examples, with a digest."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from tasks.datasets.base import Labels
from tasks.errors import AuditError
from tasks.runtime.seeding import numpy_generator


@dataclass(frozen=True, kw_only=True)
class Splits:
    """Disjoint, sorted example ids, int64. Forget sets are drawn from `train` alone."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    @property
    def digest(self) -> str:
        """SHA-256 over the three id lists; part of every model's identity."""
        sha = hashlib.sha256()
        for part in (self.train, self.validation, self.test):
            sha.update(len(part).to_bytes(8, "little"))
            sha.update(part.astype("<i8").tobytes())
        return sha.hexdigest()


def make_splits(
    labels: Labels,
    *,
    validation_fraction: float,
    test_fraction: float,
    seed: int,
    may_lack_validation: bool = False,
) -> Splits:
    """Split stratified by class, or by whole groups where the source has them; its own test part is used as it is.

    Args:
        labels: labels in canonical order.
        validation_fraction: of the examples that are not test.
        test_fraction: of all examples; only where the source has no test part.
        seed: of the permutation inside each class, or of the groups.
        may_lack_validation: whether the validation set may be empty.

    Raises:
        AuditError: a fraction is outside [0, 1), another split would be empty, or the source's test part divides a
            group.
    """
    for name, fraction in (("validation_fraction", validation_fraction), ("test_fraction", test_fraction)):
        if not 0 <= fraction < 1:
            raise AuditError(f"data.{name}: expected a number in [0, 1), got {fraction}")
    is_test = labels.is_test.copy()
    if not is_test.any():
        is_test[_share(labels, np.arange(len(is_test)), test_fraction, seed, "test")] = True
    if labels.groups is not None:
        _check_undivided(labels, is_test)
    rest = np.flatnonzero(~is_test)
    validation = _share(labels, rest, validation_fraction, seed, "validation")
    splits = Splits(train=np.setdiff1d(rest, validation), validation=validation, test=np.flatnonzero(is_test))
    for name in ("train", "validation", "test"):
        if not len(getattr(splits, name)) and not (name == "validation" and may_lack_validation):
            raise AuditError(f"data: the {name} split is empty; change validation_fraction or test_fraction")
    return splits


def _check_undivided(labels: Labels, is_test: np.ndarray) -> None:
    """What a model was trained on of a person tells of the rest: the two are not tested apart."""
    assert labels.groups is not None
    both = np.intersect1d(labels.groups[is_test], labels.groups[~is_test])
    if len(both):
        raise AuditError(
            f"data: expected each group in one part, got '{labels.group_names[both[0]]}' in the test part and outside"
        )


def _share(labels: Labels, ids: np.ndarray, fraction: float, seed: int, purpose: str) -> np.ndarray:
    """A share of the examples; of the groups, where there are any."""
    if labels.groups is None:
        return _stratified(labels.labels, ids, fraction, seed, purpose)
    present = np.unique(labels.groups[ids])
    order = numpy_generator("splits", purpose, seed).permutation(present)
    return ids[np.isin(labels.groups[ids], order[: round(fraction * len(present))])]


def _stratified(labels: np.ndarray, ids: np.ndarray, fraction: float, seed: int, purpose: str) -> np.ndarray:
    generator = numpy_generator("splits", purpose, seed)
    chosen = [np.empty(0, dtype=np.int64)]
    for label in np.unique(labels[ids]):
        members = ids[labels[ids] == label]
        chosen.append(generator.permutation(members)[: round(fraction * len(members))])
    return np.sort(np.concatenate(chosen))
