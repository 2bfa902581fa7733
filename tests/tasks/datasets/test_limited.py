"""A few examples of a data set: the same ones every time, in proportion, and as the whole set has them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.datasets.base import datasets
from tasks.datasets.checks import check_labels, check_some_images, checked_inputs
from tasks.datasets.contents import content_hashes
from tasks.datasets.fictitious_people import FictitiousPeople
from tasks.datasets.image_folders import ImageFolder
from tasks.datasets.limited import limited
from tasks.datasets.npz import Npz

SIZES = {0: (60, 20), 1: (30, 10), 2: (9, 3)}
"""Training and test examples of each class."""


@pytest.fixture
def whole(tmp_path: Path) -> Npz:
    generator = np.random.default_rng(0)
    arrays = {}
    for part, place in (("train", 0), ("test", 1)):
        labels = generator.permutation(np.repeat([*SIZES], [sizes[place] for sizes in SIZES.values()]))
        arrays |= {
            f"y_{part}": labels,
            f"x_{part}": generator.integers(0, 256, (len(labels), 1, 5, 5), dtype=np.uint8),
        }
    np.savez(tmp_path / "a.npz", **arrays)
    return Npz(path=str(tmp_path / "a.npz"))


def test_each_class_and_part_has_its_share(whole: Npz) -> None:
    all_labels = whole.read_labels()
    few, labels = limited(whole, all_labels, 44, 0)
    check_labels(few, labels)
    check_some_images(few, labels)
    assert len(labels.labels) == 44
    for label, sizes in SIZES.items():
        for is_test, size in enumerate(sizes):
            count = ((labels.labels == label) & (labels.is_test == bool(is_test))).sum()
            assert abs(count - size / 3) <= 1
    ids = few.ids  # type: ignore[attr-defined]
    assert np.array_equal(ids, np.sort(ids))
    np.testing.assert_array_equal(few.read_images(), whole.read_images()[ids])
    np.testing.assert_array_equal(labels.labels, all_labels.labels[ids])
    np.testing.assert_array_equal(few.read_labels().labels, labels.labels)
    np.testing.assert_array_equal(
        content_hashes(few, few.digest()), content_hashes(whole, whole.digest())[ids]
    )
    assert labels.notes == (
        "data.limit: 44 of 132, seed 0 of data.split_seed; example ids number these alone",
    )
    assert few.origin is whole


def test_a_draw_follows_its_seed_and_grows(whole: Npz) -> None:
    labels = whole.read_labels()
    few, again, more, other = (
        limited(whole, labels, n, seed)[0] for n, seed in ((40, 0), (40, 0), (50, 0), (40, 1))
    )
    assert few.digest() == again.digest()
    assert len({few.digest(), more.digest(), other.digest(), whole.digest()}) == 4
    assert set(few.ids) < set(more.ids)  # type: ignore[attr-defined]
    for limit in (0, 132, 1000):
        assert limited(whole, labels, limit, 0) == (whole, labels)


def test_files_alone_are_decoded(tmp_path: Path) -> None:
    for i in range(12):
        path = tmp_path / "ab"[i % 2] / f"{i:02}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("L", (4, 4), i * 20).save(path)
    source = ImageFolder(root=str(tmp_path), image_size=4)
    few, labels = limited(source, source.read_labels(), 4, 0)
    names = few.names()
    assert [int(Path(name).stem) * 20 for name in names] == few.read_images()[:, 0, 0, 0].tolist()
    assert labels.labels.tolist() == [0, 0, 1, 1]
    assert few.decodes
    for name in set(source.names()) - set(names):
        (tmp_path / name).write_bytes(b"no image")
    few.read_images()
    np.testing.assert_array_equal(few.read_some(np.array([2])), few.read_images()[2:3])


def test_people_stay_together() -> None:
    source = FictitiousPeople()
    all_labels = source.read_labels()
    few, labels = limited(source, all_labels, len(all_labels.labels) // 2, 0)
    check_labels(few, labels)
    documents = checked_inputs(few, labels)
    assert 0 < len(documents) <= len(all_labels.labels) // 2
    assert all_labels.groups is not None
    assert labels.groups is not None
    for person in np.unique(labels.groups):
        assert (labels.groups == person).sum() == (all_labels.groups == person).sum()
    ids = few.ids  # type: ignore[attr-defined]
    assert [few.pieces(i) for i in range(3)] == [source.pieces(int(i)) for i in ids[:3]]  # type: ignore[attr-defined]
    assert few.public_digest() == source.public_digest()


def test_documents_of_a_few_are_said_as_the_source_says_them(tmp_path):
    """Not by the words of the vocabulary: a compressed length, and what a reader is shown, depend on it."""
    rows = [
        {"prompt": f"Where does {name} live? ", "completion": f"In {name}burg.", "id": name}
        for name in "ABCDEFGH"
    ]
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    whole = datasets.build("jsonl", {"path": str(tmp_path / "d.jsonl"), "longest": 60}, where="data")
    few, _ = limited(whole, whole.read_labels(), 4, 0)
    assert 1 < len(few.ids) < 8
    for place, example in enumerate(few.ids.tolist()):
        assert few.said(place) == whole.said(example) == rows[example]["completion"]
        assert few.pieces(place) == whole.pieces(example)
        assert few.names()[place] == rows[example]["id"]
    assert few.completion("In X.") == whole.completion("In X.")
    assert few.alternatives() is None
