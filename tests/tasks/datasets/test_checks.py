"""A data source that does not keep its promise is told so in one line, before a number is made of it."""

from dataclasses import replace

import numpy as np
import pytest

from tasks.datasets import checks
from tasks.datasets.checks import check_apart, check_labels, check_some_images, checked_images
from tasks.datasets.fictitious_people import FictitiousPeople
from tasks.datasets.synthetic import Synthetic
from tasks.errors import AuditError

SOURCE = Synthetic(num_train=12, num_test=6, num_classes=3, channels=1, height=8, width=8)
LABELS = SOURCE.read_labels()
PIXELS = np.zeros((18, 1, 8, 8), dtype=np.uint8)


class Odd(Synthetic):
    """Gives the images that a test asks for."""

    images = PIXELS

    def read_images(self):
        return self.images


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"labels": LABELS.labels.astype(float)}, "labels: expected an array of int64, got float64"),
        (
            {"labels": LABELS.labels[:, None]},
            r"labels: expected an array of int64, got int64 of shape \(18, 1\)",
        ),
        ({"labels": LABELS.labels.tolist()}, "labels: expected an array of int64, got list"),
        ({"labels": LABELS.labels - 1}, "expected labels from 0 to 2, as there are 3 class_names, got -1"),
        ({"labels": LABELS.labels + 1}, "expected labels from 0 to 2, as there are 3 class_names, got 3"),
        ({"is_test": LABELS.is_test.astype(int)}, "is_test: expected an array of bool"),
        ({"is_test": LABELS.is_test[:5]}, "is_test: expected 18 values, got 5"),
        ({"image_shape": (8, 8)}, "image_shape: expected channels, height and width"),
    ],
)
def test_labels_that_do_not_fit_are_refused(changes, told):
    check_labels(SOURCE, LABELS)
    with pytest.raises(AuditError, match=told):
        check_labels(SOURCE, replace(LABELS, **changes))


@pytest.mark.parametrize(
    ("images", "told"),
    [
        (PIXELS[:5], r"expected an array of shape \(18, 1, 8, 8\), got uint8 of shape \(5, 1, 8, 8\)"),
        (PIXELS[:, :, :7], "expected an array of shape"),
        (PIXELS.tolist(), "got list"),
        (PIXELS.astype(np.int64), "expected uint8 or float32, got int64"),
        (PIXELS / 255.0, "expected uint8 or float32, got float64"),
        (PIXELS.astype(np.float32) + 255, r"expected float32 in \[0, 1\], got 255.0 to 255.0"),
        (np.full(PIXELS.shape, np.nan, np.float32), "got nan to nan"),
    ],
)
def test_images_that_do_not_fit_are_refused(monkeypatch, images, told):
    assert checked_images(SOURCE, LABELS).shape == PIXELS.shape
    monkeypatch.setattr(Odd, "images", images)
    with pytest.raises(AuditError, match=f"Odd.read_images: .*{told}"):
        checked_images(Odd(), LABELS)


def test_a_plan_looks_at_all_images_of_a_small_set_and_at_a_few_of_others(monkeypatch):
    check_some_images(SOURCE, LABELS)
    broken = PIXELS.astype(np.float32)
    broken[7] = 2
    monkeypatch.setattr(Odd, "images", broken)
    with pytest.raises(AuditError, match=r"Odd.read_images: expected float32 in \[0, 1\], got 0.0 to 2.0"):
        check_some_images(Odd(), LABELS)
    monkeypatch.setattr(checks, "SMALL", 18 * 64 - 1)
    check_some_images(Odd(), LABELS)  # too many to be looked at
    asked = []

    class Few(Odd):
        def read_some(self, rows):
            asked.append(rows.tolist())
            return broken[rows]

    monkeypatch.setattr(checks, "LOOKED_AT", 3)
    check_some_images(Few(), LABELS)
    broken[17] = 2
    with pytest.raises(AuditError, match=r"Few.read_some: .*got 0.0 to 2.0"):
        check_some_images(Few(), LABELS)
    assert asked == [[0, 8, 17]] * 2


def test_what_a_plug_in_raises_is_one_line(monkeypatch):
    def raises(self):
        raise ZeroDivisionError("its\nown words")

    monkeypatch.setattr(Odd, "read_images", raises)
    with pytest.raises(
        AuditError, match=r"^Odd: the images cannot be read: ZeroDivisionError: its own words$"
    ):
        check_some_images(Odd(), LABELS)


def test_an_audited_document_in_the_public_part_is_refused(monkeypatch):
    source = FictitiousPeople(num_train=4, num_test=2, num_public=4)
    check_apart(source)
    check_apart(FictitiousPeople(num_train=4, num_test=2, num_public=0))
    monkeypatch.setattr(FictitiousPeople, "read_public", lambda self: self.read_inputs())
    told = (
        "FictitiousPeople.read_public: document 0 is also example 0; expected a public part without audited"
    )
    with pytest.raises(AuditError, match=told):
        check_apart(source)
