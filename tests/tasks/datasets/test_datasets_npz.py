"""The .npz source: its two forms, axis orders, types, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.datasets.arrays import read_npz
from tasks.datasets.npz import Npz
from tasks.errors import AuditError


def write(path: Path, **arrays: Any) -> str:
    np.savez_compressed(path / "d.npz", **arrays)
    return str(path / "d.npz")


def pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_train_and_test_arrays(tmp_path: Path) -> None:
    x, t = pixels(5, 3, 6, 7), pixels(2, 3, 6, 7)
    y = np.array([[0], [2], [1], [0], [2]], dtype=np.uint8)  # a column, as Keras writes it
    source = Npz(path=write(tmp_path, x_train=x, y_train=y, x_test=t, y_test=np.array([1, 0])))
    labels = source.read_labels()
    np.testing.assert_array_equal(source.read_images(), np.concatenate([x, t]))
    assert labels.labels.tolist() == [0, 2, 1, 0, 2, 1, 0]
    assert labels.labels.dtype == np.int64
    assert labels.is_test.tolist() == [False] * 5 + [True] * 2
    assert labels.class_names == ("0", "1", "2")


def test_images_labels_and_flags(tmp_path: Path) -> None:
    images, flags = pixels(4, 6, 7, 1), np.array([False, True, False, True])
    names = np.array(["cat", "dog", "fox"])
    path = write(tmp_path, images=images, labels=np.array([0, 1, 1, 0]), is_test=flags, class_names=names)
    labels = Npz(path=path).read_labels()
    assert labels.is_test.tolist() == flags.tolist()
    assert labels.class_names == ("cat", "dog", "fox")
    assert labels.image_shape == (1, 6, 7)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    channels=st.sampled_from([1, 3, 4]),
    height=st.integers(5, 9),
    width=st.integers(5, 9),
    last=st.booleans(),
    floating=st.booleans(),
)
def test_axis_order_is_found(
    tmp_path: Path, channels: int, height: int, width: int, last: bool, floating: bool
) -> None:
    images: np.ndarray = pixels(3, channels, height, width)
    if floating:
        images = images / 255
    stored = images.transpose(0, 2, 3, 1) if last else images
    source = Npz(path=write(tmp_path, images=stored, labels=np.array([0, 1, 0])))
    read = source.read_images()
    assert read.dtype == (np.float32 if floating else np.uint8)
    assert read.flags.c_contiguous
    np.testing.assert_array_equal(read, images.astype(read.dtype))
    assert source.read_labels().image_shape == (channels, height, width)


def test_grey_images_without_channel_axis(tmp_path: Path) -> None:
    images = pixels(3, 5, 6)
    source = Npz(path=write(tmp_path, images=images, labels=np.array([0, 1, 0])))
    np.testing.assert_array_equal(source.read_images()[:, 0], images)
    assert source.read_labels().image_shape == (1, 5, 6)


def test_order_settles_an_ambiguous_shape(tmp_path: Path) -> None:
    images = pixels(4, 3, 5, 3)
    path = write(tmp_path, images=images, labels=np.arange(4))
    with pytest.raises(AuditError, match=r"cannot tell the channels of shape \(4, 3, 5, 3\); set order"):
        Npz(path=path).read_labels()
    assert Npz(path=path, order="nchw").read_images().shape == (4, 3, 5, 3)
    np.testing.assert_array_equal(Npz(path=path, order="nhwc").read_images(), images.transpose(0, 3, 1, 2))
    assert Npz(path=path, order="nchw").digest() != Npz(path=path, order="nhwc").digest()


def test_labels_are_read_without_the_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, images=pixels(4, 3, 5, 5), labels=np.arange(4))
    read: list[str] = []

    def recorded(file: Path, key: str) -> np.ndarray:
        read.append(key)
        return read_npz(file, key)

    monkeypatch.setattr("tasks.datasets.npz.read_npz", recorded)
    assert Npz(path=path).read_labels().image_shape == (3, 5, 5)
    assert read == ["labels"]


def test_digest_follows_the_bytes(tmp_path: Path) -> None:
    path = write(tmp_path, images=pixels(2, 3, 5, 5), labels=np.arange(2))
    before = Npz(path=path).digest()
    write(tmp_path, images=pixels(2, 3, 5, 5), labels=np.arange(2)[::-1])
    assert Npz(path=path).digest() != before


def test_labels_may_be_names_or_floats(tmp_path: Path) -> None:
    arrays = {"x_train": pixels(3, 3, 5, 5), "x_test": pixels(2, 3, 5, 5)}
    names = {"y_train": np.array(["dog", "cat", "dog"]), "y_test": np.array(["eel", "cat"])}
    labels = Npz(path=write(tmp_path, **arrays, **names)).read_labels()
    assert (labels.class_names, labels.labels.tolist()) == (("cat", "dog", "eel"), [1, 0, 1, 2, 0])
    as_bytes = {key: np.char.encode(values, "utf-8") for key, values in names.items()}
    assert Npz(path=write(tmp_path, **arrays, **as_bytes)).read_labels().labels.tolist() == [1, 0, 1, 2, 0]
    ordered = np.array(["eel", "dog", "cat", "ape"])
    labels = Npz(path=write(tmp_path, **arrays, **names, class_names=ordered)).read_labels()
    assert (labels.class_names, labels.labels.tolist()) == (tuple(ordered), [1, 2, 1, 0, 2])
    floats = {"y_train": np.array([2.0, 0.0, 2.0]), "y_test": np.array([[1.0], [0.0]])}
    labels = Npz(path=write(tmp_path, **arrays, **floats)).read_labels()
    assert (labels.class_names, labels.labels.tolist()) == (("0", "1", "2"), [2, 0, 2, 1, 0])
    with pytest.raises(AuditError, match="expected labels of one kind, got text and numbers"):
        Npz(path=write(tmp_path, **arrays, y_train=names["y_train"], y_test=floats["y_test"])).read_labels()


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    objects = np.array([{"a": 1}, {"b": 2}], dtype=object)
    path = write(tmp_path, images=pixels(2, 3, 5, 5), labels=objects)
    with pytest.raises(AuditError, match="cannot read array 'labels': Object arrays cannot be loaded"):
        Npz(path=path).read_labels()


GOOD = {"images": pixels(3, 3, 5, 5), "labels": np.array([0, 1, 2])}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": GOOD["images"]}, r"expected x_train, .* or images, labels\[, is_test\]; found images"),
        ({**GOOD, "labels": np.array([0, 1])}, "labels: expected 3 labels as there are images, got int64"),
        ({**GOOD, "labels": np.array([0.0, 1.5, 2.0])}, "labels: expected whole numbers, got 1.5 at 1"),
        ({**GOOD, "labels": np.array([0.0, np.nan, 2.0])}, "labels: expected whole numbers, got nan at 1"),
        ({**GOOD, "labels": np.array([True, False, True])}, r"got bool; y\.astype\(int\)"),
        ({**GOOD, "labels": np.eye(3)}, r"got 3 numbers; of one-hot rows .* y\.argmax\(axis=1\)"),
        (
            {**GOOD, "labels": np.array(["cat", "", "dog"])},
            "labels: expected the name of a class, got nothing at 1",
        ),
        (
            {**GOOD, "labels": np.array(["cat", "dgo", "cat"]), "class_names": np.array(["cat", "dog"])},
            "labels: no class 'dgo'. Did you mean 'dog'",
        ),
        ({**GOOD, "labels": np.array([0, -1, 2])}, r"labels: expected .*0 or more, got -1; np\.unique"),
        ({**GOOD, "is_test": np.array([0, 1, 0])}, "is_test: expected 3 bool, got int64"),
        ({**GOOD, "class_names": np.array(["a", "b"])}, "class_names: expected 3 names or more, got 2"),
        ({**GOOD, "images": pixels(3, 75)}, r"images: expected 3 or 4 axes, got shape \(3, 75\)"),
        ({**GOOD, "images": pixels(3, 3, 5, 5) * 1.0}, r"\[0, 1\], got 0 to 255; x\.astype\(np\.uint8\)"),
        ({**GOOD, "images": np.full((3, 3, 5, 5), np.nan)}, r"expected floats in \[0, 1\], got nan"),
        ({**GOOD, "images": pixels(3, 3, 5, 5).astype(np.int64)}, r"got int64; x\.astype\(np\.uint8\)"),
        ({**GOOD, "images": pixels(3, 3, 5, 5).astype(np.uint16) * 257}, r"got uint16; \(x // 257\)"),
        (
            {
                "x_train": pixels(2, 3, 5, 5),
                "y_train": np.arange(2),
                "x_test": pixels(2, 3, 6, 6),
                "y_test": np.arange(2),
            },
            "train and test images differ in shape",
        ),
    ],
)
def test_refuses(arrays: dict[str, np.ndarray], message: str, tmp_path: Path) -> None:
    source = Npz(path=write(tmp_path, **arrays))
    with pytest.raises(AuditError, match=message):
        _ = source.read_labels(), source.read_images()


def test_missing_and_damaged_files(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match="path: no file"):
        Npz(path=str(tmp_path / "none.npz")).digest()
    path = Path(write(tmp_path, **GOOD))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(AuditError, match=f"a zip of arrays.*{len(whole) // 2} bytes"):
        Npz(path=str(path)).read_labels()
    middle = len(whole) // 2
    path.write_bytes(whole[:middle] + bytes(20) + whole[middle + 20 :])
    with pytest.raises(AuditError, match="cannot read array 'images'"):
        Npz(path=str(path)).read_images()
