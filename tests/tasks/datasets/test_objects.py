"""Data set objects of other packages: torchvision's as they are, and what is told to those that will not do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision import datasets, transforms

from tasks.datasets.checks import check_labels, checked_images
from tasks.datasets.idx import Idx
from tasks.datasets.objects import ObjectDataset
from tasks.errors import AuditError
from tests.tasks.datasets.test_image_tables import as_idx


@dataclass(frozen=True, kw_only=True)
class Mnist(ObjectDataset):
    """torchvision's, from files that are there."""

    root: str
    tensors: bool = False

    def open(self, part: str) -> Any:
        transform = transforms.ToTensor() if self.tensors else None
        return datasets.MNIST(self.root, train=part == "train", transform=transform)


@pytest.mark.parametrize("tensors", [False, True])
def test_objects_of_torchvision_are_read_as_their_files_are(tensors: bool, tmp_path: Path) -> None:
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    files: Idx = as_idx(folder)
    source = Mnist(root=str(tmp_path), tensors=tensors)
    labels, expected = source.read_labels(), files.read_labels()
    check_labels(source, labels)
    images = checked_images(source, labels)
    np.testing.assert_array_equal(np.rint(images * 255.0) if tensors else images, files.read_images())
    assert images.dtype == (np.float32 if tensors else np.uint8)
    np.testing.assert_array_equal(labels.labels, expected.labels)
    np.testing.assert_array_equal(labels.is_test, expected.is_test)
    assert labels.class_names[:2] == ("0 - zero", "1 - one")
    assert source.digest() == Mnist(root=str(tmp_path / "MNIST" / ".."), tensors=tensors).digest()
    assert source.digest() != Mnist(root=str(tmp_path), tensors=not tensors).digest()


@dataclass(frozen=True, kw_only=True)
class Given(ObjectDataset):
    """Items that a test gives."""

    items: tuple[Any, ...]

    def __hash__(self) -> int:
        return id(self)

    def open(self, part: str) -> Any:
        return self.items if part == "train" else None


GREY = np.zeros((4, 5), dtype=np.uint8)


def test_arrays_and_names_of_classes(tmp_path: Path) -> None:
    colour = np.arange(60, dtype=np.float64).reshape(4, 5, 3) / 60
    source = Given(items=((colour, "dog"), (torch.from_numpy(colour.transpose(2, 0, 1)), "cat")))
    labels, images = source.read_labels(), source.read_images()
    assert (labels.class_names, labels.labels.tolist()) == (("cat", "dog"), [1, 0])
    assert not labels.is_test.any()
    assert images.shape == (2, 3, 4, 5)
    np.testing.assert_array_equal(images[0], images[1])
    np.testing.assert_array_equal(images[0], colour.transpose(2, 0, 1).astype(np.float32))
    assert Given(items=((GREY, torch.tensor(1)), (GREY, 0))).read_labels().labels.tolist() == [1, 0]


class Moving(tuple):
    """Gives another image each time."""

    def __getitem__(self, place: Any) -> Any:
        return np.random.default_rng().integers(0, 255, (8, 8)).astype(np.uint8), 0


BAD = {
    "another size": (
        ((GREY, 0), (GREY[:3], 0)),
        "of one size and type, got uint8 .* and uint8 .*; give the object",
    ),
    "no pair": ((GREY, GREY), r'Given.open\("train"\)\[0\]: expected an image and a label, got ndarray'),
    "no image": (
        ((np.zeros(7), 0),),
        r"expected an image of 1 or 3 channels, .* got float32 of shape \(7,\)",
    ),
    "no label": (((GREY, None),), "labels: expected whole numbers or names of classes"),
    "nothing": ((), "expected examples, got none"),
    "a number": (5, "expected an object with a length and items, got int"),
    "random": (Moving((0, 0)), "leave random transforms out"),
}


@pytest.mark.parametrize(("items", "told"), BAD.values(), ids=BAD)
def test_objects_that_will_not_do(items: Any, told: str) -> None:
    with pytest.raises(AuditError, match=told):
        Given(items=items).read_labels()
