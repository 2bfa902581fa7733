"""Images in Parquet and in folders of the package datasets, and in IDX: the same pixels, labels and parts from each."""

from __future__ import annotations

import gzip
import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet
from torchvision.datasets.mnist import read_sn3_pascalvincent_tensor

from tasks.datasets.idx import Idx, read_idx
from tasks.datasets.image_table import ImageTable
from tasks.datasets.npz import Npz
from tasks.errors import AuditError

TRAIN, TEST = 9, 4
PIXELS = np.random.default_rng(5).integers(0, 256, (TRAIN + TEST, 6, 5), dtype=np.uint8)
LABELS = np.arange(TRAIN + TEST) % 3
NAMES = ["cat", "dog", "eel"]
FEATURES = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": NAMES}}


def png(pixels: np.ndarray) -> bytes:
    held = io.BytesIO()
    Image.fromarray(pixels).save(held, format="PNG")
    return held.getvalue()


def table(rows: slice, *, features: Any = FEATURES, cells: Any = None, **columns: Any) -> pa.Table:
    """As `datasets` holds them: a struct of bytes and path, and what the columns are in the metadata."""
    held = cells or [{"bytes": png(pixels), "path": None} for pixels in PIXELS[rows]]
    made = pa.table({"image": held, "label": pa.array(LABELS[rows], pa.int64()), **columns})
    told = {b"huggingface": json.dumps({"info": {"features": features}}).encode()} if features else {}
    return made.replace_schema_metadata(told)


def saved(folder: Path, *tables: pa.Table, **state: Any) -> Path:
    """A part as save_to_disk writes it: streams of Arrow."""
    folder.mkdir(parents=True)
    names = [f"data-{i:05}-of-{len(tables):05}.arrow" for i in range(len(tables))]
    for name, one in zip(names, tables, strict=True):
        with pa.ipc.new_stream(folder / name, one.schema) as stream:
            stream.write_table(one, max_chunksize=2)
    (folder / "dataset_info.json").write_text("{}")
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": n} for n in names], **state}))
    return folder


def as_file(folder: Path) -> ImageTable:
    for name, rows in (("a.parquet", slice(TRAIN)), ("b.parquet", slice(TRAIN, None))):
        parquet.write_table(table(rows), folder / name, row_group_size=4)
    return ImageTable(path=str(folder / "a.parquet"), test_path=str(folder / "b.parquet"))


def as_hub(folder: Path) -> ImageTable:
    (folder / "data").mkdir()
    for name, rows in {
        "train-00000-of-00002": slice(5),
        "train-00001-of-00002": slice(5, TRAIN),
        "test-00000-of-00001": slice(TRAIN, None),
        "validation-00000-of-00001": slice(1),
    }.items():
        parquet.write_table(table(rows), folder / "data" / f"{name}.parquet")
    return ImageTable(path=str(folder))


def as_saved(folder: Path) -> ImageTable:
    saved(folder / "d" / "train", table(slice(4)), table(slice(4, TRAIN)))
    saved(folder / "d" / "test", table(slice(TRAIN, None)))
    (folder / "d" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    return ImageTable(path=str(folder / "d"))


def idx(array: np.ndarray) -> bytes:
    return (
        struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
        + array.astype(np.uint8).tobytes()
    )


def as_idx(folder: Path, packed: bool = False) -> Idx:
    for part, rows in (("train", slice(TRAIN)), ("t10k", slice(TRAIN, None))):
        for name, array in (("images-idx3", PIXELS[rows]), ("labels-idx1", LABELS[rows])):
            data = gzip.compress(idx(array)) if packed else idx(array)
            (folder / f"{part}-{name}-ubyte{'.gz' if packed else ''}").write_bytes(data)
    return Idx(root=str(folder))


def as_packed_idx(folder: Path) -> Idx:
    return as_idx(folder, packed=True)


@pytest.mark.parametrize("make", [as_file, as_hub, as_saved, as_idx, as_packed_idx])
def test_each_form_gives_the_same_examples(make: Any, tmp_path: Path) -> None:
    source = make(tmp_path)
    labels = source.read_labels()
    np.testing.assert_array_equal(source.read_images(), PIXELS[:, None])
    np.testing.assert_array_equal(labels.labels, LABELS)
    assert labels.is_test.tolist() == [False] * TRAIN + [True] * TEST
    assert labels.image_shape == (1, 6, 5)
    assert labels.class_names == (("0", "1", "2") if isinstance(source, Idx) else tuple(NAMES))
    rows = np.array([10, 0, 8])
    np.testing.assert_array_equal(source.read_some(rows), PIXELS[rows, None])
    told = (f"{tmp_path}: parts that are not read: validation",) if make is as_hub else ()
    assert labels.notes == told
    assert source.digest() == type(source)(**vars(source)).digest()


def test_digests_follow_content_and_how_it_is_read(tmp_path: Path) -> None:
    for name in ("1", "2", "3"):
        (tmp_path / name).mkdir()
    plain, packed = as_idx(tmp_path / "1"), as_packed_idx(tmp_path / "2")
    assert plain.digest() == packed.digest()
    (tmp_path / "1" / "train-labels-idx1-ubyte").write_bytes(idx(LABELS[:TRAIN][::-1]))
    assert plain.digest() != packed.digest()
    held = as_file(tmp_path / "3")
    digests = {
        ImageTable(**{**vars(held), **one}).digest() for one in ({}, {"channels": 3}, {"background": 0})
    }
    parquet.write_table(table(slice(1, TRAIN + 1)), held.path)
    assert len(digests | {held.digest()}) == 4


def test_plain_bytes_names_and_resizing(tmp_path: Path) -> None:
    cells = pa.array([png(np.stack([p] * 3, axis=2)) for p in PIXELS[:4]], pa.binary())
    made = pa.table({"id": [1, 2, 3, 4], "photo": cells, "kind": ["dog", "cat", "dog", "eel"]})
    parquet.write_table(made, tmp_path / "a.parquet")
    source = ImageTable(path=str(tmp_path / "a.parquet"), label_column="kind", image_size=3)
    labels = source.read_labels()
    assert (labels.class_names, labels.labels.tolist()) == (("cat", "dog", "eel"), [1, 0, 1, 2])
    assert source.read_images().shape == (4, *labels.image_shape) == (4, 3, 3, 3)
    with pytest.raises(
        AuditError, match=r"label_column: .* one of the columns id, photo, kind, as none may be meant"
    ):
        ImageTable(path=str(tmp_path / "a.parquet")).read_labels()
    with pytest.raises(AuditError, match=r"no column 'knd'\. Did you mean 'kind'"):
        ImageTable(path=str(tmp_path / "a.parquet"), label_column="knd").read_labels()
    with pytest.raises(AuditError, match=r"'id': expected encoded images .*npz"):
        ImageTable(path=str(tmp_path / "a.parquet"), image_column="id", label_column="kind").read_labels()


@pytest.mark.parametrize("name", ["image", "label"])
def test_a_column_that_stands_twice_is_refused(name: str, tmp_path: Path) -> None:
    """Which one is meant nobody knows, and the first would be taken without a word."""
    made = table(slice(4))
    parquet.write_table(made.append_column(name, made[name]), tmp_path / "a.parquet")
    source = ImageTable(path=str(tmp_path / "a.parquet"), image_column="image", label_column="label")
    with pytest.raises(AuditError, match=rf"a\.parquet: expected one column '{name}', got 2"):
        _ = source.read_labels(), source.read_images()


def other_size(rows: list[Any]) -> pa.Table:
    return table(slice(3), cells=[*rows[:2], {"bytes": png(PIXELS[0, :4]), "path": None}])


BROKEN = {
    "another size": (
        other_size,
        "row 3: expected 5 x 6 pixels, as the first image has, got 5 x 4; image_size = 5",
    ),
    "no image": (
        lambda rows: table(slice(3), cells=[*rows[:2], {"bytes": b"text", "path": None}]),
        "row 3: cannot decode this image",
    ),
    "elsewhere": (
        lambda rows: table(slice(3), cells=[*rows[:2], {"bytes": None, "path": "a.png"}]),
        "row 3: 'image': expected the image itself, got the path 'a.png'; to_parquet",
    ),
    "missing": (
        lambda rows: table(slice(3), cells=[*rows[:2], None]),
        "row 3: 'image': expected an image, got none",
    ),
    "no label": (
        lambda rows: table(slice(3)).set_column(1, "label", pa.array([0, None, 1])),
        "row 2: 'label': expected a label, got none",
    ),
    "unlabelled": (
        lambda rows: table(slice(3)).set_column(1, "label", pa.array([0, 1, -1])),
        "'label': expected numbers of classes, 0 or more, got -1",
    ),
    "lists": (
        lambda rows: table(slice(3)).set_column(1, "label", pa.array([[0], [1], [1]])),
        "'label': expected whole numbers or names of classes, got list",
    ),
    "several": (
        lambda rows: table(slice(3), features=None, mask=rows[:3]),
        "image_column: .* image, label, mask, as several",
    ),
}


@pytest.mark.parametrize(("make", "told"), BROKEN.values(), ids=BROKEN)
def test_what_is_wrong_with_a_table_names_the_row(make: Any, told: str, tmp_path: Path) -> None:
    rows = [{"bytes": png(pixels), "path": None} for pixels in PIXELS[:3]]
    parquet.write_table(make(rows), tmp_path / "a.parquet")
    source = ImageTable(path=str(tmp_path / "a.parquet"))
    with pytest.raises(AuditError, match=told):
        _ = source.read_labels(), source.read_images()


def test_folders_that_are_no_one_data_set(tmp_path: Path) -> None:
    for name in ("one/train.parquet", "two/train.parquet", "tests/test.parquet"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        parquet.write_table(table(slice(3)), tmp_path / name)
    saved(tmp_path / "picked", table(slice(3)), _indices_files=[{"filename": "indices.arrow"}])
    saved(tmp_path / "dict" / "test", table(slice(3)))
    (tmp_path / "dict" / "dataset_dict.json").write_text('{"splits": ["test"]}')
    (tmp_path / "text.parquet").write_text("no table")
    (tmp_path / "empty").mkdir()
    for name, told in {
        "": "train: expected one data set, found files in .*one and .*two; name the folder of one",
        "tests": "expected a part train, found test",
        "dict": "expected a part train, found test",
        "picked": "flatten_indices",
        "text.parquet": "cannot read this Parquet or Arrow file",
        "empty": "expected Parquet files, or a folder as save_to_disk writes it",
        "nowhere": "path: no file or folder",
    }.items():
        with pytest.raises(AuditError, match=told):
            ImageTable(path=str(tmp_path / name)).read_labels()


def test_idx_is_read_as_torchvision_reads_it(tmp_path: Path) -> None:
    for code, kind in {8: ">u1", 9: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}.items():
        array = np.arange(-6 if code != 8 else 0, 6, dtype=np.float64).astype(kind).reshape(-1, 3)
        (tmp_path / "a").write_bytes(struct.pack(">BBBBII", 0, 0, code, 2, *array.shape) + array.tobytes())
        theirs = read_sn3_pascalvincent_tensor(str(tmp_path / "a"), strict=False).numpy()
        np.testing.assert_array_equal(read_idx(tmp_path / "a"), theirs)
        assert read_idx(tmp_path / "a").dtype == theirs.dtype


def test_idx_is_as_long_as_it_says(tmp_path: Path) -> None:
    whole, path = idx(PIXELS), tmp_path / "a"
    bomb = struct.pack(">BBBBIII", 0, 0, 8, 3, 2**32 - 1, 2**32 - 1, 2)
    for data, told in {
        whole[:-1]: "takes 390 bytes, the file has 389",
        whole + b"x": "takes 390 bytes, the file has (391|more)",
        bomb: "this machine has .* of memory",
        b"\0\0\x07\1": "expected two zeros, a type",
        b"": "got nothing",
        whole[:9]: "ends within its header",
    }.items():
        for held in (data, gzip.compress(data)):
            path.write_bytes(held)
            with pytest.raises(AuditError, match=told):
                read_idx(path)
    path.write_bytes(gzip.compress(whole)[:-12])
    with pytest.raises(AuditError, match="cannot read this IDX file"):
        read_idx(path)


def test_a_test_part_that_is_given_and_empty_is_refused(tmp_path: Path) -> None:
    """In its place a share of the training examples would be drawn, without a word."""
    as_idx(tmp_path)
    for name, array in (("images-idx3", PIXELS[:0]), ("labels-idx1", LABELS[:0])):
        (tmp_path / f"t10k-{name}-ubyte").write_bytes(idx(array))
    parquet.write_table(table(slice(TRAIN)), tmp_path / "a.parquet")
    parquet.write_table(table(slice(TRAIN)).slice(0, 0), tmp_path / "b.parquet")
    np.savez(tmp_path / "a.npz", x_train=PIXELS, y_train=LABELS, x_test=PIXELS[:0], y_test=LABELS[:0])
    for source in (
        Idx(root=str(tmp_path)),
        ImageTable(path=str(tmp_path / "a.parquet"), test_path=str(tmp_path / "b.parquet")),
        Npz(path=str(tmp_path / "a.npz")),
    ):
        with pytest.raises(AuditError, match="expected examples in the test part, got none"):
            source.read_labels()


def test_folders_of_idx_that_are_no_data_set(tmp_path: Path) -> None:
    source = as_idx(tmp_path)
    with pytest.raises(AuditError, match="root: no directory"):
        Idx(root=str(tmp_path / "none")).digest()
    (tmp_path / "t10k-labels-idx1-ubyte").rename(tmp_path / "other")
    with pytest.raises(AuditError, match="expected the labels of the test part too"):
        source.read_labels()
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(LABELS[:2]))
    with pytest.raises(AuditError, match=r"expected 4 labels as there are images, got \(2,\)"):
        source.read_labels()
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(np.zeros((4, 8))))
    with pytest.raises(AuditError, match="got 8 numbers; of one-hot rows"):
        source.read_labels()
    (tmp_path / "letters-train-images-idx3-ubyte").touch()
    with pytest.raises(AuditError, match="prefix: expected one of , letters- in"):
        Idx(root=str(tmp_path), prefix="digits-").read_labels()
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        AuditError, match=r"root: expected train-images-idx3-ubyte \(or .gz\) in .*, found none"
    ):
        Idx(root=str(tmp_path / "empty")).read_labels()
