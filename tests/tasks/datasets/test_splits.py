"""One split: disjoint, complete, stratified, seeded, and honest about what is empty."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.datasets.base import Labels
from tasks.datasets.splits import Splits, make_splits
from tasks.errors import AuditError


def labels_of(labels: np.ndarray, is_test: np.ndarray | None = None) -> Labels:
    flags = np.zeros(len(labels), dtype=bool) if is_test is None else is_test
    names = tuple(f"c{k}" for k in range(int(labels.max(initial=0)) + 1))
    return Labels(labels=labels, is_test=flags, class_names=names, image_shape=(1, 2, 2))


@settings(max_examples=50, deadline=None)
@given(
    sizes=st.lists(st.integers(20, 40), min_size=1, max_size=5),
    validation=st.floats(0.1, 0.4),
    test=st.floats(0.1, 0.4),
    seed=st.integers(0, 3),
)
def test_parts_are_disjoint_complete_sorted_and_stratified(
    sizes: list[int], validation: float, test: float, seed: int
) -> None:
    y = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    splits = make_splits(labels_of(y), validation_fraction=validation, test_fraction=test, seed=seed)
    parts = (splits.train, splits.validation, splits.test)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(y)))
    assert all((np.diff(part) > 0).all() and part.dtype == np.int64 for part in parts)
    for label, size in enumerate(sizes):
        in_test = int((y[splits.test] == label).sum())
        assert in_test == round(test * size)
        assert (y[splits.validation] == label).sum() == round(validation * (size - in_test))


def test_test_part_of_the_source_is_kept_whatever_the_fraction() -> None:
    y = np.arange(60) % 3
    is_test = np.arange(60) >= 45
    parts = [
        make_splits(labels_of(y, is_test), validation_fraction=0.2, test_fraction=fraction, seed=0)
        for fraction in (0.0, 0.9)
    ]
    np.testing.assert_array_equal(parts[0].test, np.arange(45, 60))
    assert parts[0].digest == parts[1].digest
    assert parts[0].validation.max() < 45
    assert len(parts[0].validation) == 9


def test_seed_moves_examples_and_the_input_is_untouched() -> None:
    labels = labels_of(np.arange(200) % 4)
    one, same, other = (
        make_splits(labels, validation_fraction=0.2, test_fraction=0.2, seed=seed) for seed in (0, 0, 1)
    )
    assert one.digest == same.digest != other.digest
    assert not labels.is_test.any()


def test_test_split_does_not_depend_on_the_validation_fraction() -> None:
    labels = labels_of(np.arange(200) % 4)
    a = make_splits(labels, validation_fraction=0.1, test_fraction=0.2, seed=0)
    b = make_splits(labels, validation_fraction=0.3, test_fraction=0.2, seed=0)
    np.testing.assert_array_equal(a.test, b.test)
    assert set(a.validation) <= set(b.validation)


def test_digest_tells_the_parts_apart() -> None:
    ids = [np.array([0, 1]), np.array([2]), np.array([3])]
    moved = [np.array([0]), np.array([1, 2]), np.array([3])]
    first, second = (Splits(train=a, validation=b, test=c) for a, b, c in (ids, moved))
    assert first.digest != second.digest


@pytest.mark.parametrize("fraction", [-0.1, 1.0, 1.5])
def test_fraction_out_of_range(fraction: float) -> None:
    labels = labels_of(np.arange(20) % 2)
    with pytest.raises(AuditError, match=r"data.validation_fraction: expected a number in \[0, 1\)"):
        make_splits(labels, validation_fraction=fraction, test_fraction=0.2, seed=0)
    with pytest.raises(AuditError, match=r"data.test_fraction: expected a number in \[0, 1\)"):
        make_splits(labels, validation_fraction=0.2, test_fraction=fraction, seed=0)


@pytest.mark.parametrize(
    ("validation", "test", "is_test", "empty"),
    [(0.0, 0.2, None, "validation"), (0.2, 0.0, None, "test"), (0.2, 0.2, np.ones(20, dtype=bool), "train")],
)
def test_empty_part_is_named(validation: float, test: float, is_test: np.ndarray | None, empty: str) -> None:
    labels = labels_of(np.arange(20) % 2, is_test)
    with pytest.raises(AuditError, match=f"the {empty} split is empty"):
        make_splits(labels, validation_fraction=validation, test_fraction=test, seed=0)


def grouped(is_test: np.ndarray | None = None) -> Labels:
    groups = np.repeat(np.arange(30), np.tile([1, 2, 3], 10))
    flags = np.zeros(len(groups), dtype=bool) if is_test is None else is_test[groups]
    return Labels(
        labels=np.zeros(len(groups), dtype=np.int64),
        is_test=flags,
        class_names=("document",),
        vocabulary=9,
        longest=5,
        groups=groups,
        group_names=tuple(f"g{k}" for k in range(30)),
    )


def test_a_group_is_in_one_part_and_shares_are_of_groups() -> None:
    labels = grouped()
    splits = make_splits(labels, validation_fraction=0.25, test_fraction=0.2, seed=1)
    parts = [np.unique(labels.groups[part]) for part in (splits.train, splits.validation, splits.test)]
    assert [len(part) for part in parts] == [18, 6, 6]
    assert len(np.unique(np.concatenate(parts))) == 30
    again = make_splits(labels, validation_fraction=0.25, test_fraction=0.2, seed=2)
    assert splits.digest != again.digest


def test_a_test_part_that_divides_a_group_is_refused() -> None:
    labels = grouped(np.arange(30) >= 20)
    assert (
        len(make_splits(labels, validation_fraction=0.1, test_fraction=0, seed=0).test)
        == labels.is_test.sum()
    )
    labels.is_test[1] = True
    with pytest.raises(
        AuditError, match="expected each group in one part, got 'g1' in the test part and outside"
    ):
        make_splits(labels, validation_fraction=0.1, test_fraction=0, seed=0)
