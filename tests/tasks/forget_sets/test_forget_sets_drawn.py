"""Random, class, long-tailed kinds and the checks that every forget set passes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.datasets.base import Labels
from tasks.datasets.splits import make_splits
from tasks.errors import AuditError
from tasks.forget_sets.base import ForgetKind, ForgetRequest, ForgetSet, forget_kinds
from tasks.forget_sets.classes import PartialClass, SubClass, WholeClass
from tasks.forget_sets.draw import apportion
from tasks.forget_sets.random_draws import LongTailed, Random, RandomSplitControl, long_tail
from tasks.forget_sets.resolve import describe, resolve

NAMES = ("ant", "bee", "cat", "dog", "eel")


def request_of(sizes: tuple[int, ...] = (100, 80, 60, 40, 20), **scores: np.ndarray) -> ForgetRequest:
    y = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    labels = Labels(
        labels=y,
        is_test=np.zeros(len(y), dtype=bool),
        class_names=NAMES[: len(sizes)],
        image_shape=(3, 8, 8),
        coarse_labels=np.array([0, 0, 1, 1, 2])[y],
        coarse_names=("insect", "mammal", "fish"),
        fine_labels=y,
        fine_names=NAMES[: len(sizes)],
    )
    splits = make_splits(labels, validation_fraction=0.1, test_fraction=0.2, seed=0)
    return ForgetRequest(labels=labels, splits=splits, scores=scores)


REQUEST = request_of()
TRAIN_LABELS = REQUEST.labels.labels[REQUEST.splits.train]


def test_registry_names() -> None:
    expected = {
        "backdoor", "by_score", "class", "entanglement", "file", "interclass_confusion", "label_noise",
        "long_tailed", "partial_class", "random", "random_split_control", "sub_class",
    }  # fmt: skip
    assert expected <= set(forget_kinds.names())


KINDS: list[ForgetKind] = [
    Random(fraction=0.1),
    Random(count=7, stratified=False),
    RandomSplitControl(count=30, strata=3, stratum=1),
    LongTailed(count=30),
    WholeClass(label="cat"),
    PartialClass(label=1, fraction=0.5),
    SubClass(fine="dog"),
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: type(kind).__name__)
def test_every_kind_is_deterministic_checked_and_explains_itself(kind: ForgetKind) -> None:
    first, second = resolve(kind, REQUEST), resolve(kind, REQUEST)
    np.testing.assert_array_equal(first.ids, second.ids)
    assert forget_kinds.get(first.provenance["kind"]) is type(kind)
    assert sum(describe(first, REQUEST.labels).values()) == len(first.ids)
    assert not first.poisons


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=8).filter(any), st.integers(0, 200))
def test_apportion_is_exact_and_within_one(shares: list[int], total: int) -> None:
    counts = apportion(np.array(shares), total)
    assert counts.sum() == total
    assert (np.abs(counts - np.array(shares) / sum(shares) * total) < 1).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 200), st.booleans(), st.integers(0, 5))
def test_random_has_the_asked_size_and_proportions(count: int, stratified: bool, draw: int) -> None:
    ids = resolve(Random(count=count, stratified=stratified, draw=draw), REQUEST).ids
    assert len(ids) == count
    if stratified:
        taken = np.bincount(REQUEST.labels.labels[ids], minlength=5)
        assert (np.abs(taken - np.bincount(TRAIN_LABELS) * count / len(TRAIN_LABELS)) < 1).all()


def test_random_fraction_is_of_the_training_examples() -> None:
    assert len(resolve(Random(fraction=0.25), REQUEST).ids) == round(0.25 * len(REQUEST.splits.train))


def test_random_draws_differ_and_larger_ones_contain_smaller() -> None:
    small, large, other = (
        set(resolve(Random(count=n, stratified=False, draw=d), REQUEST).ids.tolist())
        for n, d in ((20, 0), (60, 0), (60, 1))
    )
    assert small < large
    assert large != other


def test_uniform_draw_is_uniform() -> None:
    counts = np.zeros(len(REQUEST.labels.labels))
    for draw in range(300):
        counts[resolve(Random(count=43, stratified=False, draw=draw), REQUEST).ids] += 1
    train = counts[REQUEST.splits.train]
    share = 43 / len(train)
    # Chi-square of inclusion counts over its degrees of freedom; its standard deviation is about 0.1.
    statistic = ((train - 300 * share) ** 2).sum() / (300 * share * (1 - share)) / (len(train) - 1)
    assert 0.6 < statistic < 1.5


def test_strata_partition_the_random_set() -> None:
    whole = resolve(Random(count=50, draw=3), REQUEST).ids
    parts = [
        resolve(RandomSplitControl(count=50, draw=3, strata=4, stratum=k), REQUEST).ids for k in range(4)
    ]
    assert sorted(np.concatenate(parts).tolist()) == whole.tolist()
    assert {len(part) for part in parts} == {12, 13}
    assert parts[0].max() > parts[1].min()  # shuffled, not cut from the sorted ids


def test_long_tail_follows_the_formula() -> None:
    shares = long_tail(5, 16.0)
    np.testing.assert_allclose(shares[:-1] / shares[1:], 2.0)
    assert shares[0] / shares[-1] == pytest.approx(16)
    assert shares.sum() == pytest.approx(1)
    ids = resolve(LongTailed(count=62, imbalance=16.0, shuffle_classes=False), REQUEST).ids
    assert np.bincount(REQUEST.labels.labels[ids]).tolist() == [32, 16, 8, 4, 2]


def test_long_tail_shuffles_which_class_is_frequent() -> None:
    request = request_of((60, 60, 60, 60, 60))
    tops = set()
    for draw in range(12):
        ids = resolve(LongTailed(count=62, imbalance=16.0, draw=draw), request).ids
        counts = np.bincount(request.labels.labels[ids])
        assert sorted(counts.tolist()) == [2, 4, 8, 16, 32]
        tops.add(int(counts.argmax()))
    assert len(tops) >= 3


def test_long_tail_names_the_class_that_is_too_small() -> None:
    with pytest.raises(AuditError, match=r"150 asks for 30 of class 'dog', which has 29"):
        resolve(LongTailed(count=150, imbalance=1.0, shuffle_classes=False), REQUEST)


@pytest.mark.parametrize("label", [2, "cat"])
def test_class_takes_every_training_example(label: int | str) -> None:
    chosen = resolve(WholeClass(label=label), REQUEST)
    np.testing.assert_array_equal(chosen.ids, REQUEST.splits.train[TRAIN_LABELS == 2])
    assert chosen.provenance["class_name"] == "cat"


def test_partial_class() -> None:
    size = int((TRAIN_LABELS == 2).sum())
    ids = resolve(PartialClass(label="cat", fraction=0.5), REQUEST).ids
    assert len(ids) == round(0.5 * size)
    assert set(REQUEST.labels.labels[ids].tolist()) == {2}
    with pytest.raises(AuditError, match=rf"at most {size} \(training examples of class 'cat'\), got 99"):
        resolve(PartialClass(label="cat", count=99), REQUEST)


def test_sub_class_inside_super_classes() -> None:
    fine = REQUEST.labels
    assert fine.coarse_labels is not None
    labels = Labels(
        labels=fine.coarse_labels,
        is_test=fine.is_test,
        class_names=fine.coarse_names,
        image_shape=fine.image_shape,
        coarse_labels=fine.coarse_labels,
        coarse_names=fine.coarse_names,
        fine_labels=fine.labels,
        fine_names=fine.class_names,
    )
    request = ForgetRequest(labels=labels, splits=REQUEST.splits)
    chosen = resolve(SubClass(fine="dog", coarse="mammal"), request)
    np.testing.assert_array_equal(chosen.ids, REQUEST.splits.train[TRAIN_LABELS == 3])
    assert describe(chosen, labels) == {"mammal": len(chosen.ids)}
    assert chosen.provenance["super_class"] == "mammal"
    with pytest.raises(AuditError, match="coarse: 'dog' belongs to 'mammal', not to 'fish'"):
        resolve(SubClass(fine="dog", coarse="fish"), request)


def test_sub_class_needs_fine_labels() -> None:
    plain = Labels(
        labels=REQUEST.labels.labels,
        is_test=REQUEST.labels.is_test,
        class_names=NAMES,
        image_shape=(3, 8, 8),
    )
    with pytest.raises(AuditError, match="has no fine and coarse labels; cifar100 has them"):
        resolve(SubClass(fine="dog"), ForgetRequest(labels=plain, splits=REQUEST.splits))


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("random", {}, "forget: fraction, count: expected exactly one of the two, got neither"),
        ("random", {"fraction": 0.1, "count": 3}, "expected exactly one of the two, got both"),
        ("random", {"fraction": 0.0}, r"fraction: expected a number in \(0, 1\], got 0.0"),
        ("random", {"count": 0}, "count: expected at least 1, got 0"),
        ("random", {"count": 1000}, r"count: expected at most 216 \(training examples\), got 1000"),
        ("random", {"fraction": 0.001}, r"0.001 of 216 \(training examples\) rounds to no example"),
        ("random", {"fraction": 1.0}, "forget set 'random': all 216 training examples; nothing is left"),
        ("random_split_control", {"count": 9, "stratum": 3}, r"stratum: expected 0..2, got 3"),
        ("random_split_control", {"count": 9, "strata": 1}, "strata: expected at least 2, got 1"),
        ("random_split_control", {"count": 2, "stratum": 2}, "3 strata of 2 examples leave one empty"),
        ("long_tailed", {"count": 9, "imbalance": 0.5}, "imbalance: expected at least 1, got 0.5"),
        ("class", {"label": "cta"}, "label: no class 'cta'. Did you mean 'cat'"),
        ("class", {"label": 5}, r"label: expected a label in 0..4, got 5"),
        ("class", {"label": -1}, r"label: expected a label in 0..4, got -1"),
        ("sub_class", {"fine": "rocket"}, "fine: no class 'rocket'"),
        ("rnadom", {}, "no forget-set kind 'rnadom'. Did you mean 'random'"),
    ],
)
def test_refuses(name: str, values: dict[str, Any], message: str) -> None:
    with pytest.raises(AuditError, match=message):
        resolve(forget_kinds.build(name, values, where="forget"), REQUEST)


@dataclass(frozen=True)
class Fixed:
    """A third party's kind that gives whatever it was told."""

    ids: Any
    train_labels: Any = ()

    needs: ClassVar[tuple[str, ...]] = ()

    def select(self, request: ForgetRequest) -> ForgetSet:
        return ForgetSet(
            ids=np.array(self.ids, dtype=np.int64),
            provenance={"kind": "fixed"},
            train_labels=dict(self.train_labels),
        )


T0, T1 = REQUEST.splits.train[:2].tolist()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Fixed([]), "forget set 'fixed': no example was chosen"),
        (Fixed([T1, T0]), "must be sorted and unique"),
        (Fixed([T0, T0]), "must be sorted and unique"),
        (Fixed([[T0, T1]]), r"expected int64 ids of shape \(n,\), got int64 \(1, 2\)"),
        (
            Fixed(REQUEST.splits.test[:3]),
            rf"3 of 3 ids in the test split, the first is {REQUEST.splits.test[0]}",
        ),
        (Fixed(REQUEST.splits.validation[:2]), "2 of 2 ids in the validation split"),
        (Fixed([T0, 100_000]), "1 of 2 ids not in the training split, the first is 100000"),
        (Fixed(REQUEST.splits.train), "nothing is left to retain"),
        (Fixed([T0], [(T1, 0)]), f"relabels 1 retained examples, the first is {T1}"),
        (Fixed([T0], [(T0, 5)]), r"training label 5 outside 0..4"),
    ],
)
def test_resolve_checks_what_a_kind_gives(kind: Fixed, message: str) -> None:
    with pytest.raises(AuditError, match=message):
        resolve(kind, REQUEST)


def test_describe_counts_by_true_class() -> None:
    assert describe(resolve(WholeClass(label=0), REQUEST), REQUEST.labels) == {
        "ant": int((TRAIN_LABELS == 0).sum())
    }
