"""CIFAR in its four distributions, small: only the number of records differs from the official files."""

from __future__ import annotations

import dataclasses
import io
import os
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest

from tasks.datasets.base import datasets
from tasks.datasets.cifar import Cifar10, Cifar100, Layout
from tasks.errors import AuditError
from tests.tasks.datasets.test_datasets_pickled import Hostile, python2_pickle

NUM_TRAIN, NUM_TEST = 4, 3
FINE = tuple(f"fine{k}" for k in range(10))
COARSE = tuple(f"coarse{k}" for k in range(5))


@pytest.fixture(autouse=True)
def small_layouts(monkeypatch: pytest.MonkeyPatch) -> None:
    for cls in (Cifar10, Cifar100):
        small = [dataclasses.replace(one, num_train=NUM_TRAIN, num_test=NUM_TEST) for one in cls.layouts]
        monkeypatch.setattr(cls, "layouts", tuple(small))


def layout_of(cls: type[Cifar10 | Cifar100], form: str) -> Layout:
    return next(layout for layout in cls.layouts if layout.format == form)


def examples(layout: Layout) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Images (n x 3072) and fine labels by file, the same for every distribution of a data set."""
    generator = np.random.default_rng(0)
    counts = dict.fromkeys(layout.train, NUM_TRAIN) | {layout.test: NUM_TEST}
    return {
        name: (generator.integers(0, 256, (n, 3072), dtype=np.uint8), generator.integers(0, 10, n))
        for name, n in counts.items()
    }


def write(folder: Path, layout: Layout, *, python3: bool = False) -> Path:
    folder.mkdir(parents=True)
    dump = (lambda table: pickle.dumps(table, protocol=2)) if python3 else python2_pickle
    hundred = layout.label_bytes == 2
    for name, (images, labels) in examples(layout).items():
        columns = [labels[:, None] // 2, labels[:, None]] if hundred else [labels[:, None]]
        records = np.hstack([*columns, images]).astype(np.uint8).tobytes()
        keys = {"fine_labels": labels, "coarse_labels": labels // 2} if hundred else {"labels": labels}
        table = {"data": images, **{key: value.tolist() for key, value in keys.items()}}
        (folder / name).write_bytes(records if layout.format == "binary" else dump(table))
    names = {"fine_label": FINE, "coarse_label": COARSE} if hundred else {"label": FINE}
    if layout.format == "python":
        (folder / layout.meta[0]).write_bytes(dump({f"{k}_names": list(v) for k, v in names.items()}))
    else:
        for file, text in zip(layout.meta, names.values(), strict=True):
            (folder / file).write_text("\n".join(text) + "\n\n")
    return folder


def pack(folder: Path, target: Path, prefix: str = "") -> Path:
    with tarfile.open(target, "w:gz") as archive:
        archive.add(folder, arcname=prefix + folder.name)
    return target


SOURCES = [(cls, form) for cls in (Cifar10, Cifar100) for form in ("binary", "python")]


@pytest.mark.parametrize(("cls", "form"), SOURCES)
@pytest.mark.parametrize("packing", ["folder", "parent", "archive", "archive_in_parent", "dot_archive"])
def test_every_distribution_gives_the_same_arrays(cls: type, form: str, packing: str, tmp_path: Path) -> None:
    layout = layout_of(cls, form)
    folder = write(tmp_path / "made" / layout.folder, layout)
    places = {
        "folder": lambda: folder,
        "parent": lambda: folder.parent,
        "archive": lambda: pack(folder, tmp_path / "any.tar.gz"),
        "archive_in_parent": lambda: pack(folder, tmp_path / layout.archive).parent,
        "dot_archive": lambda: pack(folder, tmp_path / "dot.tar.gz", "./"),
    }
    source = cls(root=str(places[packing]()))
    expected = list(examples(layout).values())
    labels, images = source.read_labels(), source.read_images()
    np.testing.assert_array_equal(images.reshape(len(images), -1), np.concatenate([x for x, _ in expected]))
    np.testing.assert_array_equal(labels.labels, np.concatenate([y for _, y in expected]))
    assert images.shape[1:] == labels.image_shape == (3, 32, 32)
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(np.flatnonzero(labels.is_test), np.arange(len(images))[-NUM_TEST:])
    assert labels.class_names == FINE


def test_python3_pickles_are_read_too(tmp_path: Path) -> None:
    layout = layout_of(Cifar100, "python")
    old = Cifar100(root=str(write(tmp_path / "old", layout)))
    new = Cifar100(root=str(write(tmp_path / "new", layout, python3=True)))
    np.testing.assert_array_equal(old.read_images(), new.read_images())
    np.testing.assert_array_equal(old.read_labels().labels, new.read_labels().labels)


def test_cifar100_super_classes(tmp_path: Path) -> None:
    for form in ("binary", "python"):
        layout = layout_of(Cifar100, form)
        root = str(write(tmp_path / form, layout))
        fine, coarse = Cifar100(root=root).read_labels(), Cifar100(root=root, labels="coarse").read_labels()
        assert fine.coarse_labels is not None
        assert coarse.fine_labels is not None
        np.testing.assert_array_equal(coarse.labels, fine.labels // 2)
        np.testing.assert_array_equal(coarse.labels, fine.coarse_labels)
        np.testing.assert_array_equal(coarse.fine_labels, fine.labels)
        assert (coarse.class_names, coarse.fine_names) == (COARSE, FINE)
        assert Cifar100(root=root).digest() != Cifar100(root=root, labels="coarse").digest()


def test_digest_follows_the_bytes_of_every_file(tmp_path: Path) -> None:
    layout = layout_of(Cifar10, "binary")
    folder = write(tmp_path / "one", layout)
    again = write(tmp_path / "two", layout)
    digest = Cifar10(root=str(folder)).digest()
    assert digest == Cifar10(root=str(again)).digest()
    for name in layout.sizes():
        data = (again / name).read_bytes()
        (again / name).write_bytes(bytes([data[0] ^ 1]) + data[1:])
        assert Cifar10(root=str(again)).digest() != digest
        (again / name).write_bytes(data)


@pytest.mark.parametrize("change", [-5, 1])
def test_part_of_a_record_names_file_and_sizes(change: int, tmp_path: Path) -> None:
    layout = layout_of(Cifar10, "binary")
    folder = write(tmp_path / layout.folder, layout)
    file = folder / "data_batch_3.bin"
    file.write_bytes((file.read_bytes() + b"\0")[: NUM_TRAIN * 3073 + change])
    message = rf"data_batch_3.bin: expected a whole number of records of 3073 bytes, got {NUM_TRAIN * 3073 + change}"
    for root in (folder, pack(folder, tmp_path / "a.tar.gz")):
        with pytest.raises(AuditError, match=message):
            Cifar10(root=str(root)).read_images()


@pytest.mark.parametrize("form", ["binary", "python"])
def test_missing_file_is_named(form: str, tmp_path: Path) -> None:
    layout = layout_of(Cifar10, form)
    folder = write(tmp_path / layout.folder, layout)
    (folder / layout.test).unlink()
    source = Cifar10(root=str(folder))
    for read in (source.read_labels, source.read_images, source.digest):
        with pytest.raises(AuditError, match=f"{layout.test}: missing"):
            read()
    with pytest.raises(AuditError, match=f"no member {layout.folder}/{layout.test}"):
        Cifar10(root=str(pack(folder, tmp_path / "a.tar.gz"))).read_labels()


def test_missing_data_set_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match=r"cifar-10-batches-bin/ .*cifar-10-batches-py/"):
        Cifar10(root=str(tmp_path)).digest()
    with pytest.raises(AuditError, match=r"expected cifar-10-batches-py/ \(cifar-10-python.tar.gz\) at"):
        Cifar10(root=str(tmp_path), format="python").read_labels()


def test_format_chooses_where_both_are_there(tmp_path: Path) -> None:
    for form in ("binary", "python"):
        write(tmp_path / layout_of(Cifar10, form).folder, layout_of(Cifar10, form))
    (tmp_path / "cifar-10-batches-py" / "test_batch").unlink()
    Cifar10(root=str(tmp_path), format="binary").read_labels()
    Cifar10(root=str(tmp_path)).read_labels()
    with pytest.raises(AuditError, match="test_batch: missing"):
        Cifar10(root=str(tmp_path), format="python").read_labels()
    with pytest.raises(AuditError, match="Did you mean 'python'"):
        datasets.build("cifar10", {"root": str(tmp_path), "format": "pyton"}, where="data")


def test_hostile_batch_is_refused_without_executing(tmp_path: Path) -> None:
    layout = layout_of(Cifar10, "python")
    folder = write(tmp_path / layout.folder, layout)
    padding = b"\0" * (NUM_TRAIN * 3072)
    hostile = pickle.dumps({"data": Hostile(tmp_path / "executed"), "padding": padding}, protocol=2)
    (folder / "data_batch_2").write_bytes(hostile)
    with pytest.raises(AuditError, match=r"data_batch_2: .*refused to load"):
        Cifar10(root=str(folder)).read_images()
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            {"data": np.zeros((NUM_TRAIN, 3071), np.uint8), "padding": [7] * NUM_TRAIN},
            r"expected uint8 of shape \(images, 3072\), got uint8 \(4, 3071\)",
        ),
        ({"data": np.zeros((NUM_TRAIN, 3072), np.int32)}, "got int32"),
        ({"data": "0" * NUM_TRAIN * 3072}, "got str"),
        ({"images": np.zeros((NUM_TRAIN, 3072), np.uint8)}, "no 'data' in the pickle; found images"),
        ({"data": np.zeros((NUM_TRAIN, 3072), np.uint8)}, "no 'labels' in the pickle"),
        (
            {"data": np.zeros((NUM_TRAIN, 3072), np.uint8), "labels": [1, 2]},
            "labels: expected 4 integers, got 2",
        ),
        ({"data": np.zeros((NUM_TRAIN, 3072), np.uint8), "labels": ["a"] * 4}, "labels: expected 4 integers"),
        ({"data": np.zeros((NUM_TRAIN, 3072), np.uint8), "labels": [0, 1, 2, 10]}, "expected labels 0..9"),
        (
            {"data": np.zeros((NUM_TRAIN, 3072), np.uint8), "labels": 5},
            "labels: expected 4 integers, got int",
        ),
        ({"data": np.zeros((NUM_TRAIN, 3072), np.uint8), "labels": [2**31 - 1] * 4}, "expected labels 0..9"),
    ],
)
def test_wrong_contents_of_a_pickle(table: dict[str, object], message: str, tmp_path: Path) -> None:
    layout = layout_of(Cifar10, "python")
    folder = write(tmp_path / layout.folder, layout)
    (folder / "data_batch_4").write_bytes(python2_pickle(table))
    with pytest.raises(AuditError, match=message):
        Cifar10(root=str(folder)).read_labels()


def add(archive: tarfile.TarFile, name: str, data: bytes, **attributes: object) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    for key, value in attributes.items():
        setattr(member, key, value)
    archive.addfile(member, io.BytesIO(data))


@pytest.mark.parametrize(
    "name", ["../evil.bin", "cifar-10-batches-bin/../../evil.bin", "/evil.bin", "..\\evil.bin"]
)
def test_member_outside_the_archive_is_refused(name: str, tmp_path: Path) -> None:
    layout = layout_of(Cifar10, "binary")
    folder = write(tmp_path / "made" / layout.folder, layout)
    path = tmp_path / "in" / "a.tar.gz"
    path.parent.mkdir()
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder, arcname=layout.folder)
        add(archive, name, b"x")
    before = sorted(p for p in tmp_path.rglob("*"))
    with pytest.raises(AuditError, match="leads outside the archive"):
        Cifar10(root=str(path)).read_images()
    assert sorted(p for p in tmp_path.rglob("*")) == before


def test_link_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    layout = layout_of(Cifar10, "python")
    with tarfile.open(path, "w:gz") as archive:
        name = f"{layout.folder}/{layout.meta[0]}"
        add(archive, name, b"", type=tarfile.SYMTYPE, linkname="/etc/passwd", size=0)
    with pytest.raises(AuditError, match=r"expected 1 to .* bytes, got 0|not a regular file"):
        Cifar10(root=str(path)).read_labels()


def test_truncated_archive_is_named_with_its_size(tmp_path: Path) -> None:
    layout = layout_of(Cifar10, "python")
    path = pack(write(tmp_path / layout.folder, layout), tmp_path / "a.tar.gz")
    data = path.read_bytes()
    for keep in (0, 5, len(data) // 3, len(data) - 200):
        path.write_bytes(data[:keep])
        with pytest.raises(AuditError, match=rf"a.tar.gz: damaged or truncated archive of {keep} bytes"):
            Cifar10(root=str(path)).read_images()


def test_official_sizes() -> None:
    """Sizes of the official files: 30,730,000 bytes a batch; 153,700,000 and 30,740,000 for CIFAR-100."""
    tenth = dataclasses.replace(layout_of(Cifar10, "binary"), num_train=10_000, num_test=10_000).sizes()
    for name in ("data_batch_1.bin", "test_batch.bin"):
        tenth[name].check(30_730_000, where=name)
    hundred = dataclasses.replace(layout_of(Cifar100, "binary"), num_train=50_000, num_test=10_000).sizes()
    hundred["train.bin"].check(153_700_000, where="train")
    hundred["test.bin"].check(30_740_000, where="test")
    python = dataclasses.replace(layout_of(Cifar10, "python"), num_train=10_000).sizes()["data_batch_1"]
    assert python.smallest <= 31_035_704 <= python.largest


def test_root_may_begin_with_the_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = layout_of(Cifar10, "binary")
    write(tmp_path / layout.folder, layout)
    monkeypatch.setitem(os.environ, "HOME", str(tmp_path))
    assert len(Cifar10(root="~").read_labels().labels) == 5 * NUM_TRAIN + NUM_TEST


@pytest.mark.parametrize(("cls", "form"), SOURCES)
def test_files_may_hold_any_number_of_examples(cls: type, form: str, tmp_path: Path) -> None:
    layout = layout_of(cls, form)
    folder = write(tmp_path / layout.folder, layout)
    source = cls(root=str(folder))
    before, images = source.read_labels(), source.read_images()
    assert before.notes == ()
    (folder / layout.test).write_bytes((folder / layout.train[0]).read_bytes())
    labels, total = source.read_labels(), len(layout.train) * NUM_TRAIN
    assert labels.is_test.tolist() == [False] * total + [True] * NUM_TRAIN
    np.testing.assert_array_equal(source.read_images()[total:], images[:NUM_TRAIN])
    np.testing.assert_array_equal(labels.labels[total:], before.labels[:NUM_TRAIN])
    assert labels.notes == (
        f"{folder}: {total} training and {NUM_TRAIN} test examples; the official files have {total} and {NUM_TEST}",
    )
