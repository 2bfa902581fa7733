"""Poisoned kinds: what the original is trained on, and the stamp."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.errors import AuditError
from tasks.forget_sets.base import forget_kinds
from tasks.forget_sets.poisons import Backdoor, InterclassConfusion, LabelNoise, stamp
from tasks.forget_sets.resolve import resolve
from tests.tasks.forget_sets.test_forget_sets_drawn import REQUEST, TRAIN_LABELS

Y = REQUEST.labels.labels


@pytest.mark.parametrize("count", [10, 11])
def test_confusion_swaps_labels_between_two_classes(count: int) -> None:
    chosen = resolve(InterclassConfusion(class_a="cat", class_b=0, count=count), REQUEST)
    true = Y[chosen.ids]
    assert np.bincount(true).tolist() == [count // 2, 0, count - count // 2]
    assert [chosen.train_labels[i] for i in chosen.ids.tolist()] == [2 - label for label in true]
    assert chosen.poisons
    assert chosen.trigger is None


def test_canaries_carry_every_wrong_label_and_never_the_true_one() -> None:
    seen: dict[int, set[int]] = {}
    counts = np.zeros(5)
    for draw in range(40):
        chosen = resolve(LabelNoise(fraction=0.5, draw=draw), REQUEST)
        assert list(chosen.train_labels) == chosen.ids.tolist()
        for i, label in chosen.train_labels.items():
            assert label != Y[i]
            seen.setdefault(int(Y[i]), set()).add(label)
            counts[label] += Y[i] == 0
    assert seen == {k: set(range(5)) - {k} for k in range(5)}
    # Uniform over the four other classes of class 0: within five standard deviations.
    share = counts[1:] / counts.sum()
    assert np.abs(share - 0.25).max() < 5 * np.sqrt(0.25 * 0.75 / counts.sum())


def test_backdoor_stamps_other_classes_and_labels_them_as_the_target() -> None:
    chosen = resolve(Backdoor(target="bee", fraction=0.2, size=3, corner="top_left", value=0.5), REQUEST)
    others = int((TRAIN_LABELS != 1).sum())
    assert len(chosen.ids) == round(0.2 * others)
    assert 1 not in Y[chosen.ids]
    assert chosen.train_labels == dict.fromkeys(chosen.ids.tolist(), 1)
    assert chosen.trigger == {"size": 3, "corner": "top_left", "value": 0.5, "target": 1}


@settings(max_examples=60, deadline=None)
@given(
    size=st.integers(1, 4),
    corner=st.sampled_from(["top_left", "top_right", "bottom_left", "bottom_right"]),
    value=st.floats(0, 1),
    channels=st.sampled_from([1, 3]),
    bytes_=st.booleans(),
)
def test_stamp_changes_the_square_alone(
    size: int, corner: str, value: float, channels: int, bytes_: bool
) -> None:
    images: np.ndarray = np.random.default_rng(0).integers(0, 256, (3, channels, 5, 7), dtype=np.uint8)
    if not bytes_:
        images = images.astype(np.float32) / np.float32(255)
    before = images.copy()
    stamped = stamp(images, {"size": size, "corner": corner, "value": value, "target": 0})
    row, column = np.mgrid[:5, :7]
    inside = (row < size) if "top" in corner else (row >= 5 - size)
    inside &= (column < size) if "left" in corner else (column >= 7 - size)
    assert stamped.dtype == images.dtype
    np.testing.assert_array_equal(images, before)
    np.testing.assert_array_equal(stamped[:, :, ~inside], images[:, :, ~inside])
    written = stamped[:, :, inside].astype(float) / (255 if bytes_ else 1)
    assert np.abs(written - value).max() <= (0.5 / 255 if bytes_ else 1e-7)


def test_default_trigger_has_four_pixels() -> None:
    trigger = resolve(Backdoor(target=0, count=5), REQUEST).trigger
    assert trigger is not None
    changed = stamp(np.zeros((1, 1, 8, 8), dtype=np.uint8), trigger)
    assert np.argwhere(changed[0, 0] == 255).tolist() == [[6, 6], [6, 7], [7, 6], [7, 7]]


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("interclass_confusion", {"class_a": 0, "class_b": "ant", "count": 4}, "got 'ant' twice"),
        (
            "interclass_confusion",
            {"class_a": 0, "class_b": 1, "count": 1},
            "count: expected at least 2, got 1",
        ),
        (
            "interclass_confusion",
            {"class_a": 0, "class_b": 4, "count": 50},
            "25 of class 'eel', which has 14",
        ),
        (
            "interclass_confusion",
            {"class_a": 0, "class_b": "ele", "count": 4},
            "class_b: .*Did you mean 'eel'",
        ),
        ("backdoor", {"target": 0, "count": 3, "size": 9}, r"9 does not fit into images of \(3, 8, 8\)"),
        ("backdoor", {"target": 0, "count": 3, "size": 0}, "size: expected at least 1, got 0"),
        (
            "backdoor",
            {"target": 0, "count": 3, "value": 2.0},
            r"value: expected a number in \[0, 1\], got 2.0",
        ),
        ("backdoor", {"target": 0, "count": 300}, "training examples outside class 'ant'"),
        ("backdoor", {"target": 0, "count": 3, "corner": "top"}, "no value 'top'"),
        ("label_noise", {"count": 3, "fraction": 0.1}, "exactly one of the two"),
    ],
)
def test_refuses(name: str, values: dict[str, Any], message: str) -> None:
    with pytest.raises(AuditError, match=message):
        resolve(forget_kinds.build(name, values, where="forget"), REQUEST)
