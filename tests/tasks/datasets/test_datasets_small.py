"""Digits and synthetic data, and what every data source promises."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.datasets.base import datasets
from tasks.datasets.digits import Digits
from tasks.datasets.synthetic import Synthetic
from tasks.errors import AuditError


def test_digits_equal_scikit_learns_own_reader() -> None:
    from sklearn.datasets import load_digits

    reference = load_digits()
    images, labels = Digits().read_images(), Digits().read_labels()
    assert images.dtype == np.float32
    np.testing.assert_array_equal(images[:, 0] * 16, reference.images)
    np.testing.assert_array_equal(labels.labels, reference.target)
    assert labels.class_names == tuple(str(name) for name in reference.target_names)
    assert labels.image_shape == images.shape[1:]
    assert not labels.is_test.any()


def test_digits_digest_is_of_the_shipped_file() -> None:
    from importlib.resources import files

    data = (files("sklearn") / "datasets" / "data" / "digits.csv.gz").read_bytes()
    assert Digits().digest() == hashlib.sha256(data).hexdigest()


def test_registry_loads_without_heavy_imports() -> None:
    code = (
        "import sys\n"
        "from tasks.datasets.base import datasets\n"
        "from tasks.forget_sets.base import forget_kinds\n"
        "datasets.names(); forget_kinds.names()\n"
        "datasets.build('digits', {}, where='data').read_labels()\n"
        "print([m for m in ('torch', 'sklearn', 'PIL', 'scipy', 'ray') if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_registry_names() -> None:
    expected = {
        "cifar10",
        "cifar100",
        "digits",
        "image_folder",
        "imagenet",
        "npz",
        "synthetic",
        "tiny_imagenet",
    }
    assert expected <= set(datasets.names())


def test_synthetic_shapes_parts_and_balance() -> None:
    source = Synthetic(num_train=103, num_test=20, num_classes=4, channels=1, height=6, width=9)
    labels, images = source.read_labels(), source.read_images()
    assert images.shape == (123, 1, 6, 9)
    assert images.dtype == np.uint8
    assert labels.image_shape == (1, 6, 9)
    np.testing.assert_array_equal(np.flatnonzero(labels.is_test), np.arange(103, 123))
    for part in (~labels.is_test, labels.is_test):
        assert np.ptp(np.bincount(labels.labels[part], minlength=4)) <= 1


def test_synthetic_classes_can_be_learnt_from_training_means() -> None:
    source = Synthetic(num_train=200, num_test=100, num_classes=5, noise=0.2)
    labels, images = source.read_labels(), source.read_images().reshape(300, -1) / 255
    train = ~labels.is_test
    means = np.stack([images[train & (labels.labels == k)].mean(axis=0) for k in range(5)])
    distance = ((images[labels.is_test, None] - means[None]) ** 2).sum(axis=-1)
    assert (distance.argmin(axis=1) == labels.labels[labels.is_test]).mean() > 0.95


def test_synthetic_noise_has_the_stated_deviation() -> None:
    clean = Synthetic(num_train=400, num_test=0, noise=0.0).read_images() / 255
    noisy = Synthetic(num_train=400, num_test=0, noise=0.03).read_images() / 255
    inside = (clean > 0.2) & (clean < 0.8)
    assert (noisy - clean)[inside].std() == pytest.approx(0.03, rel=0.03)


def test_synthetic_is_determined_by_its_fields() -> None:
    first, same, other = Synthetic(seed=1), Synthetic(seed=1), Synthetic(seed=2)
    assert first.digest() == same.digest() != other.digest()
    np.testing.assert_array_equal(first.read_images(), same.read_images())
    assert (first.read_images() != other.read_images()).any()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_classes": 1}, "data: num_classes: expected at least 2, got 1"),
        ({"num_train": 5}, "num_classes: expected at most num_train = 5"),
        ({"noise": -0.1}, "noise: expected 0 or more"),
        ({"nosie": 0.1}, "Did you mean 'noise'"),
    ],
)
def test_synthetic_refuses(values: dict[str, float], message: str) -> None:
    with pytest.raises(AuditError, match=message):
        datasets.build("synthetic", values, where="data")


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 6), st.integers(1, 9), st.integers(1, 9), st.integers(0, 10))
def test_synthetic_of_any_shape(num_classes: int, height: int, width: int, num_test: int) -> None:
    source = Synthetic(num_train=12, num_test=num_test, num_classes=num_classes, height=height, width=width)
    assert source.read_images().shape == (12 + num_test, *source.read_labels().image_shape)


def test_digits_are_read_quickly() -> None:
    seconds = []
    for _ in range(3):
        start = time.process_time()
        Digits().read_labels()
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.2
