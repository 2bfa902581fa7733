"""Forget sets by content hash: what is hashed, which copies are forgotten, and what a wrong hash is told."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.datasets.base import DataSource, Labels
from tasks.datasets.cifar import Cifar10
from tasks.datasets.contents import content_hash, content_hashes, hash_images, read_file
from tasks.datasets.digits import Digits
from tasks.datasets.image_folders import ImageFolder
from tasks.datasets.images import Geometry
from tasks.datasets.npz import Npz
from tasks.datasets.splits import Splits
from tasks.errors import AuditError
from tasks.forget_sets.base import ForgetRequest, ForgetSet
from tasks.forget_sets.listed import Listed
from tasks.forget_sets.resolve import resolve
from tests.tasks.datasets import test_datasets_cifar as cifar

small_layouts = cifar.small_layouts

IMAGES = np.random.default_rng(5).integers(0, 256, (12, 3, 6, 6), dtype=np.uint8)
IMAGES[[4, 7, 11]] = IMAGES[1]  # copies: 4 in train too, 7 in validation, 11 in test
SPLITS = Splits(train=np.arange(6), validation=np.array([6, 7, 8]), test=np.array([9, 10, 11]))


def hexes(images: np.ndarray) -> list[str]:
    return [row.tobytes().hex() for row in hash_images(images)]


HEX = hexes(IMAGES)


def request(images: np.ndarray = IMAGES, splits: Splits = SPLITS) -> ForgetRequest:
    labels = Labels(
        labels=np.arange(len(images)) % 2,
        is_test=np.zeros(len(images), dtype=bool),
        class_names=("a", "b"),
        image_shape=images.shape[1:],
    )
    return ForgetRequest(labels=labels, splits=splits, hashes=lambda: hash_images(images))


def forget(path: Path, lines: list[str], **fields: str) -> ForgetSet:
    path.write_text("\n".join(lines) + "\n")
    return resolve(Listed(path=str(path), **fields), request())


def test_definition() -> None:
    assert HEX[0] == hashlib.sha256(b"uint8 3x6x6\n" + IMAGES[0].tobytes()).hexdigest()
    grey = np.array([[[0.25, 1.0]]], dtype=np.float32)
    expected = hashlib.sha256(b"float32 1x1x2\n" + bytes.fromhex("0000803e 0000803f")).digest()
    assert content_hash(grey) == content_hash(grey.astype(">f4")) == expected


def test_shape_and_type_are_part_of_the_hash() -> None:
    image = np.zeros((1, 2, 8), dtype=np.uint8)
    variants = [image, image.reshape(1, 4, 4), image.reshape(2, 1, 8), np.zeros((1, 2, 2), dtype=np.float32)]
    assert len({content_hash(one) for one in variants}) == len(variants)


def test_layout_in_memory_is_not() -> None:
    by_rows = np.ascontiguousarray(IMAGES.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    assert not by_rows[0].flags.c_contiguous
    assert hexes(by_rows) == HEX


def test_every_training_copy_is_forgotten_and_the_others_counted(tmp_path: Path) -> None:
    found = forget(tmp_path / "request.txt", [HEX[1].upper(), f"{HEX[3]}  # a photo", "2"])
    assert found.ids.tolist() == [1, 2, 3, 4]
    counts = {k: found.provenance[k] for k in ("content_hashes", "further_copies", "copies_not_forgotten")}
    assert counts == {"content_hashes": 2, "further_copies": 1, "copies_not_forgotten": 2}


def test_a_hash_listed_again_changes_nothing(tmp_path: Path) -> None:
    assert forget(tmp_path / "r.txt", [HEX[1], HEX[3], HEX[1]]).ids.tolist() == [1, 3, 4]


def test_an_id_beside_its_own_hash_is_forgotten_once(tmp_path: Path) -> None:
    found = forget(tmp_path / "r.txt", [HEX[1], "4"])
    assert found.ids.tolist() == [1, 4]
    assert found.provenance["listed_again"] == 1


def test_formats_agree(tmp_path: Path) -> None:
    chosen = [HEX[5], HEX[0]]
    np.save(tmp_path / "r.npy", np.array(chosen))
    by_array = resolve(Listed(path=str(tmp_path / "r.npy")), request())
    rows = ["content_sha256,why", *(f" {text} ,x" for text in chosen)]
    by_table = forget(tmp_path / "r.csv", rows, column="content_sha256")
    assert by_array.ids.tolist() == by_table.ids.tolist() == [0, 5]
    assert by_array.digest == forget(tmp_path / "ids.txt", ["0", "5"]).digest


def test_a_mistyped_hash_names_its_line_and_the_nearest(tmp_path: Path) -> None:
    wrong = ("0" if HEX[3][9] != "0" else "1").join([HEX[3][:9], HEX[3][10:]])
    message = rf"r.txt: line 3: no example has content hash {wrong}; did you mean {HEX[3]} \(example 3\)\?"
    with pytest.raises(AuditError, match=message):
        forget(tmp_path / "r.txt", [HEX[0], "", wrong])


def test_unknown_hashes_are_counted_and_nothing_far_is_suggested(tmp_path: Path) -> None:
    lines = [HEX[0], "ab" * 32, "cd" * 32]
    with pytest.raises(AuditError, match=r"line 2: no example .*\(2 such lines\); none is near; `python -m"):
        forget(tmp_path / "r.txt", lines)


@pytest.mark.parametrize(("row", "split"), [(9, "test"), (6, "validation")])
def test_an_image_that_no_model_was_trained_on_is_refused(row: int, split: str, tmp_path: Path) -> None:
    with pytest.raises(
        AuditError, match=rf"line 2: content hash {HEX[row]} is example {row}, in the {split}"
    ):
        forget(tmp_path / "r.txt", [HEX[0], HEX[row]])


@pytest.mark.parametrize("text", [HEX[0][:-1], "0x" + HEX[0][:62], HEX[0][:-1] + "g"])
def test_what_is_neither_id_nor_hash(text: str, tmp_path: Path) -> None:
    with pytest.raises(AuditError, match="line 1: expected an example id, or a content hash of 64 hex"):
        forget(tmp_path / "r.txt", [text])


def test_images_are_read_only_for_hashes(tmp_path: Path) -> None:
    def refuse() -> np.ndarray:
        raise AssertionError("the images were read")

    (tmp_path / "ids.txt").write_text("3\n0\n")
    asked = ForgetRequest(labels=request().labels, splits=SPLITS, hashes=refuse)
    assert resolve(Listed(path=str(tmp_path / "ids.txt")), asked).ids.tolist() == [0, 3]


def test_hashes_of_a_data_set_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    source, calls = Digits(), []
    images = source.read_images()
    monkeypatch.setattr(Digits, "read_images", lambda self: calls.append(1) or images)
    first, again = (content_hashes(source, source.digest()) for _ in range(2))
    assert again is first
    assert len(calls) <= 1
    np.testing.assert_array_equal(first, hash_images(images))


@pytest.mark.parametrize("form", ["binary", "python"])
def test_cifar_in_every_format_has_the_same_hashes(form: str, tmp_path: Path) -> None:
    layout = cifar.layout_of(Cifar10, form)
    source = Cifar10(root=str(cifar.write(tmp_path / form, layout)))
    records = np.concatenate([images for images, _ in cifar.examples(layout).values()])
    expected = [hashlib.sha256(b"uint8 3x32x32\n" + record.tobytes()).hexdigest() for record in records]
    assert [row.tobytes().hex() for row in content_hashes(source, source.digest())] == expected
    photo = tmp_path / "photo.png"
    Image.fromarray(records[2].reshape(3, 32, 32).transpose(1, 2, 0)).save(photo)
    assert content_hash(read_file(source, photo)).hex() == expected[2]


@pytest.mark.parametrize("cached", [False, True])
def test_folders_hash_what_they_decode(cached: bool, tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    for name in ("a/0.png", "a/1.png", "b/2.png"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (9, 12, 3), dtype=np.uint8)).save(path)
    cache = str(tmp_path / "cache") if cached else ""
    source = ImageFolder(root=str(tmp_path / "data"), image_size=6, cache=cache)
    found = content_hashes(source, f"{source.digest()} {cached}")
    np.testing.assert_array_equal(found, hash_images(source.read_images()))
    assert content_hash(read_file(source, tmp_path / "data" / "b" / "2.png")) == found[2].tobytes()


def test_an_undecodable_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "0.png").write_bytes(b"no image")
    with pytest.raises(AuditError, match=r"0.png: cannot decode this image"):
        ImageFolder(root=str(tmp_path)).content_hashes()
    with pytest.raises(AuditError, match=r"0.png: cannot decode this image"):
        read_file(npz(tmp_path), tmp_path / "a" / "0.png")


def npz(folder: Path) -> DataSource:
    np.savez(folder / "data.npz", images=IMAGES, labels=np.arange(12) % 2)
    return Npz(path=str(folder / "data.npz"))


def test_files_of_another_shape_or_type_are_refused(tmp_path: Path) -> None:
    Image.new("RGB", (5, 6)).save(tmp_path / "wide.png")
    np.save(tmp_path / "float.npy", IMAGES[0].astype(np.float32))
    np.savez(tmp_path / "two.npz", IMAGES[0])
    (tmp_path / "two.npz").rename(tmp_path / "two.npy")
    source = npz(tmp_path)
    for name, message in {
        "wide.png": r"expected uint8 \(3, 6, 6\) as the examples are, got uint8 \(3, 6, 5\)",
        "float.npy": r"expected uint8 .*, got float32",
        "two.npy": "cannot read this array: expected one array, got an archive",
    }.items():
        with pytest.raises(AuditError, match=f"{name}: {message}"):
            read_file(source, tmp_path / name)


def test_arrays_stand_for_examples_that_are_no_bytes(tmp_path: Path) -> None:
    source = Digits()
    np.save(tmp_path / "digit.npy", source.read_images()[7])
    assert (
        content_hash(read_file(source, tmp_path / "digit.npy"))
        == hash_images(source.read_images()[7:8]).tobytes()
    )
    Image.new("L", (8, 8)).save(tmp_path / "digit.png")
    with pytest.raises(AuditError, match=r"digit.png: expected float32 \(1, 8, 8\).*, got uint8"):
        read_file(source, tmp_path / "digit.png")


def test_geometry_of_a_folder_decides_the_hash(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    Image.fromarray(IMAGES[0].transpose(1, 2, 0)).save(tmp_path / "a" / "0.png")
    source = ImageFolder(root=str(tmp_path), image_size=6)
    assert source._geometry() == Geometry(channels=3, size=6, resize=6)
    assert content_hashes(source, source.digest())[0].tobytes().hex() == HEX[0]
