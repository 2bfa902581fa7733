"""Folders of images: order, parts, geometry, cache, and what a broken tree is told."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.datasets import images as images_module
from tasks.datasets.base import datasets
from tasks.datasets.image_folders import ImageFolder, ImageNet, TinyImageNet
from tasks.datasets.images import Geometry, decode
from tasks.errors import AuditError


def save(path: Path, value: int, size: tuple[int, int] = (8, 8), mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fill = value if mode == "L" else (value,) * 3
    # A JPEG of one colour at full quality is exact to within a grey level.
    form = "JPEG" if path.suffix == ".JPEG" else None
    Image.new(mode, size, fill).save(path, format=form, **({"quality": 100} if form else {}))


def folder_of(root: Path, tree: dict[str, int]) -> Path:
    for path, value in tree.items():
        save(root / path, value)
    return root


TREE = {"b/2.png": 20, "b/10.png": 10, "a/z.bmp": 40, "a/sub/c.webp": 30}


def test_flat_folder_is_in_order_of_class_and_path(tmp_path: Path) -> None:
    root = folder_of(tmp_path, TREE)
    (root / "a" / "notes.txt").write_text("not an image")
    (root / "a" / ".hidden.png").write_text("not an image")
    source = ImageFolder(root=str(root), image_size=8)
    labels, pixels = source.read_labels(), source.read_images()
    assert labels.class_names == ("a", "b")
    assert labels.labels.tolist() == [0, 0, 1, 1]
    assert not labels.is_test.any()
    assert pixels.dtype == np.uint8
    assert pixels.shape == (4, *labels.image_shape) == (4, 3, 8, 8)
    assert np.abs(pixels[:, 0, 0, 0].astype(int) - [30, 40, 10, 20]).max() <= 1


@pytest.mark.parametrize("part", ["test", "val"])
def test_parts_of_a_folder(part: str, tmp_path: Path) -> None:
    root = folder_of(tmp_path, {"train/b/0.png": 1, "train/a/1.png": 2, f"{part}/b/0.png": 3})
    labels = ImageFolder(root=str(root)).read_labels()
    assert labels.labels.tolist() == [0, 1, 1]
    assert labels.is_test.tolist() == [False, False, True]


def test_test_goes_before_val(tmp_path: Path) -> None:
    root = folder_of(tmp_path, {"train/a/0.png": 1, "val/a/1.png": 2, "test/a/2.png": 3})
    source = ImageFolder(root=str(root))
    assert source.read_images()[:, 0, 0, 0].tolist() == [1, 3]
    assert source.read_labels().notes == ("1 folders beside train and its test part are not read: val",)


def test_what_lies_outside_of_the_classes_is_said(tmp_path: Path) -> None:
    root = folder_of(
        tmp_path, {"train/a/0.png": 1, "train/b/1.png": 2, "test/a/2.png": 3, "train/loose.png": 4}
    )
    (root / "train" / "__MACOSX" / "a").mkdir(parents=True)  # as archives of macOS unpack elsewhere
    (root / "train" / "__MACOSX" / "a" / "._0.png").write_bytes(b"no image")
    (root / "labels.csv").touch()
    (root / "train" / "a" / "more").symlink_to("../b")
    assert ImageFolder(root=str(root)).read_labels().notes == (
        "3 files beside the images are not read: 1 x .csv, 1 x .png, 1 x no suffix",
    )
    assert ImageFolder(root=str(root)).names() == ("train/a/0.png", "train/b/1.png", "test/a/2.png")


@pytest.mark.parametrize(("target", "told"), [("none", "No such file"), ("emu", "Too many levels")])
def test_a_class_that_is_a_link_to_nothing_is_named(target: str, told: str, tmp_path: Path) -> None:
    """Passed over, it would be a class less: the disk on which it lies may not be there today."""
    folder_of(tmp_path, TREE)
    (tmp_path / "emu").symlink_to(target)
    with pytest.raises(AuditError, match=f"emu: cannot look at this: {told}"):
        ImageFolder(root=str(tmp_path)).read_labels()


def test_a_class_that_is_a_link_to_a_folder_is_read(tmp_path: Path) -> None:
    folder_of(tmp_path / "data", TREE)
    folder_of(tmp_path / "elsewhere", {"x.png": 5})
    (tmp_path / "data" / "emu").symlink_to("../elsewhere")
    labels = ImageFolder(root=str(tmp_path / "data")).read_labels()
    assert labels.class_names == ("a", "b", "emu")
    assert not labels.notes


def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Passed over, its images would be missing without a word. Root lists every folder: here the system refuses."""
    folder_of(tmp_path, TREE)
    listed = os.scandir

    def scandir(path: str | Path) -> object:
        if Path(path).name == "sub":
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(AuditError, match="sub: cannot list this folder: Permission denied"):
        ImageFolder(root=str(tmp_path)).read_labels()


def test_a_class_whose_name_is_not_utf8_is_shown(tmp_path: Path) -> None:
    folder_of(tmp_path, TREE)
    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(folder)
    with pytest.raises(AuditError, match=r"caf\\xe9: expected image files"):
        ImageFolder(root=str(tmp_path)).read_labels()
    (tmp_path / "a" / "z.bmp").rename(os.fsdecode(folder + b"/0.bmp"))
    with pytest.raises(AuditError, match=r"expected file names in UTF-8, got 'caf\\xe9/0.bmp'"):
        ImageFolder(root=str(tmp_path)).read_labels()


def test_grey_images(tmp_path: Path) -> None:
    save(tmp_path / "a" / "0.png", 77, mode="L")
    save(tmp_path / "b" / "0.png", 78)
    source = ImageFolder(root=str(tmp_path), image_size=4, channels=1)
    assert source.read_images().shape == (2, *source.read_labels().image_shape) == (2, 1, 4, 4)
    assert source.read_images()[:, 0, 0, 0].tolist() == [77, 78]


@pytest.mark.parametrize(("width", "height"), [(9, 6), (6, 11), (6, 6)])
def test_centre_crop_without_resizing_keeps_pixels(width: int, height: int, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    out = decode(tmp_path / "x.png", Geometry(channels=3, size=4, resize=6))
    top, left = (height - 4) // 2, (width - 4) // 2
    np.testing.assert_array_equal(out.transpose(1, 2, 0), pixels[top : top + 4, left : left + 4])


@pytest.mark.parametrize(("width", "height"), [(40, 20), (20, 40), (33, 17)])
def test_shorter_side_is_resized(width: int, height: int, tmp_path: Path) -> None:
    ramp = np.linspace(0, 200, width)[None, :, None] * np.ones((height, 1, 3))
    Image.fromarray(ramp.astype(np.uint8)).save(tmp_path / "x.png")
    out = decode(tmp_path / "x.png", Geometry(channels=3, size=8, resize=8))
    # What is left of the ramp after the crop: its centre, as wide as the shorter side.
    kept = 200 * min(width, height) / width
    expected = 100 + kept * ((np.arange(8) + 0.5) / 8 - 0.5)
    # The antialiasing triangle is cut at the border, where the mean moves inwards by up to half a pixel.
    assert np.abs(out[0, 4, 1:-1] - expected[1:-1]).max() <= kept / 16 + 1


@pytest.mark.parametrize("damage", [b"", b"no image at all", "truncated", "svg"])
def test_corrupt_image_names_its_path(damage: bytes | str, tmp_path: Path) -> None:
    root = folder_of(tmp_path, TREE)
    file = root / "b" / "2.png"
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file)
    whole = file.read_bytes()
    file.write_bytes({"truncated": whole[:200], "svg": b"<svg/>"}.get(str(damage), damage))  # type: ignore[arg-type]
    with pytest.raises(AuditError, match=r"b.2\.png: cannot decode this image"):
        ImageFolder(root=str(root)).read_images()


def test_digest_follows_paths_sizes_labels_and_geometry(tmp_path: Path) -> None:
    one, two = folder_of(tmp_path / "1", TREE), folder_of(tmp_path / "2", TREE)
    digest = ImageFolder(root=str(one)).digest()
    assert ImageFolder(root=str(two)).digest() == digest
    assert ImageFolder(root=str(one), cache=str(tmp_path / "cache")).digest() == digest
    assert ImageFolder(root=str(one), image_size=31).digest() != digest
    assert ImageFolder(root=str(one), channels=1).digest() != digest
    (two / "a" / "z.bmp").rename(two / "a" / "y.bmp")
    renamed = ImageFolder(root=str(two)).digest()
    save(two / "a" / "y.bmp", 40, size=(9, 9))
    assert len({digest, renamed, ImageFolder(root=str(two)).digest()}) == 3


def test_cache_is_written_once_and_read_without_decoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, cache = folder_of(tmp_path / "data", TREE), tmp_path / "new" / "cache"
    source = ImageFolder(root=str(root), cache=str(cache))
    plain = ImageFolder(root=str(root)).read_images()
    np.testing.assert_array_equal(source.read_images(), plain)
    assert [p.name for p in cache.iterdir()] == [f"{source.digest()[:32]}-4x3x32x32.npy"]
    monkeypatch.setattr(images_module, "decode", lambda *_: pytest.fail("decoded again"))
    again = source.read_images()
    assert isinstance(again, np.memmap)
    np.testing.assert_array_equal(again, plain)


def test_damaged_cache_is_rebuilt(tmp_path: Path) -> None:
    root, cache = folder_of(tmp_path / "data", TREE), tmp_path / "cache"
    source = ImageFolder(root=str(root), cache=str(cache))
    plain = np.array(source.read_images())
    file = next(cache.iterdir())
    for damaged in (b"", file.read_bytes()[:500]):
        file.write_bytes(damaged)
        np.testing.assert_array_equal(source.read_images(), plain)


def test_failed_decoding_leaves_no_cache(tmp_path: Path) -> None:
    root, cache = folder_of(tmp_path / "data", TREE), tmp_path / "cache"
    (root / "b" / "2.png").write_bytes(b"broken")
    with pytest.raises(AuditError, match="cannot decode"):
        ImageFolder(root=str(root), cache=str(cache)).read_images()
    assert list(cache.iterdir()) == []


def test_changed_image_gets_another_cache_file(tmp_path: Path) -> None:
    root, cache = folder_of(tmp_path / "data", TREE), tmp_path / "cache"
    source = ImageFolder(root=str(root), cache=str(cache))
    source.read_images()
    save(root / "b" / "2.png", 200, size=(30, 30))
    assert source.read_images()[3, 0, 0, 0] == 200
    assert len(list(cache.iterdir())) == 2


def test_more_images_than_one_chunk(tmp_path: Path) -> None:
    count = images_module._CHUNK + 3
    folder_of(tmp_path, {f"a/{k:04d}.png": k % 256 for k in range(count)})
    pixels = ImageFolder(root=str(tmp_path), image_size=1).read_images()
    assert pixels[:, 0, 0, 0].tolist() == [k % 256 for k in range(count)]


def test_imagenet(tmp_path: Path) -> None:
    tree = {"train/n02/x.JPEG": 50, "train/n01/y.JPEG": 60, "val/n02/v.JPEG": 70, "val/n01/w.JPEG": 80}
    source = ImageNet(root=str(folder_of(tmp_path, tree)), image_size=6, resize=7)
    labels = source.read_labels()
    assert labels.class_names == ("n01", "n02")
    assert labels.labels.tolist() == [0, 1, 0, 1]
    assert labels.is_test.tolist() == [False, False, True, True]
    assert labels.image_shape == (3, 6, 6)
    assert np.abs(source.read_images()[:, 1, 3, 3].astype(int) - [60, 50, 80, 70]).max() <= 1


def tiny(root: Path) -> Path:
    """Three classes, two of one word; two training images each and three of validation."""
    wnids = ("n03", "n01", "n02")
    root.mkdir()
    (root / "wnids.txt").write_text("\n".join(wnids) + "\n")
    words = "n01\tgoldfish, Carassius\nn02\tcrane\nn03\tcrane, machine\nn09\tunused\n"
    (root / "words.txt").write_text(words)
    for k, wnid in enumerate(wnids):
        for i in range(2):
            save(root / "train" / wnid / "images" / f"{wnid}_{i}.JPEG", 100 * i + 10 * k, size=(64, 64))
        (root / "train" / wnid / f"{wnid}_boxes.txt").write_text("n03_0.JPEG\t0\t0\t1\t1\n")
        save(root / "val" / "images" / f"val_{k}.JPEG", 200 + k, size=(64, 64))
    lines = [f"val_{k}.JPEG\t{wnid}\t0\t0\t62\t62" for k, wnid in enumerate(wnids)]
    (root / "val" / "val_annotations.txt").write_text("\n".join(lines) + "\n")
    return root


def test_tiny_imagenet(tmp_path: Path) -> None:
    source = TinyImageNet(root=str(tiny(tmp_path / "tiny-imagenet-200")))
    labels, pixels = source.read_labels(), source.read_images()
    assert labels.class_names == ("goldfish", "crane (n02)", "crane (n03)")
    assert labels.labels.tolist() == [0, 0, 1, 1, 2, 2, 0, 1, 2]
    assert np.flatnonzero(labels.is_test).tolist() == [6, 7, 8]
    assert pixels.shape == (9, 3, 64, 64)
    expected = [10, 110, 20, 120, 0, 100, 201, 202, 200]
    assert np.abs(pixels[:, 0, 9, 9].astype(int) - expected).max() <= 1


def test_tiny_imagenet_digest_follows_validation_labels(tmp_path: Path) -> None:
    root = tiny(tmp_path / "t")
    before = TinyImageNet(root=str(root)).digest()
    annotations = root / "val" / "val_annotations.txt"
    annotations.write_text(annotations.read_text().replace("val_0.JPEG\tn03", "val_0.JPEG\tn01"))
    assert TinyImageNet(root=str(root)).digest() != before


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("val_0.JPEG\tn09\t0\t0\t1\t1", "line 1: 'n09' is not in wnids.txt"),
        ("other.JPEG\tn01\t0\t0\t1\t1", "line 1: no file 'other.JPEG' in val/images"),
        ("../../wnids.txt\tn01", "line 1: no file"),
    ],
)
def test_wrong_annotations(line: str, message: str, tmp_path: Path) -> None:
    root = tiny(tmp_path / "t")
    (root / "val" / "val_annotations.txt").write_text(line + "\n")
    with pytest.raises(AuditError, match=message):
        TinyImageNet(root=str(root)).read_labels()


def test_broken_trees(tmp_path: Path) -> None:
    def refuse(message: str) -> None:
        with pytest.raises(AuditError, match=message):
            ImageFolder(root=str(tmp_path / "d")).read_labels()

    refuse("root: no directory")
    (tmp_path / "d").mkdir()
    refuse("expected one directory per class, found none")
    (tmp_path / "d" / "train" / "a").mkdir(parents=True)
    refuse("expected image files .*found none")
    save(tmp_path / "d" / "train" / "a" / "0.png", 1)
    save(tmp_path / "d" / "test" / "b" / "0.png", 1)
    refuse("class 'b' is not one of the 1 training classes")
    with pytest.raises(AuditError, match=r"val: missing; expected a directory"):
        ImageNet(root=str(tmp_path / "d")).read_labels()
    with pytest.raises(AuditError, match=r"wnids.txt: missing"):
        TinyImageNet(root=str(tmp_path / "d")).read_labels()


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        ("image_folder", {"image_size": 0}, "image_size: expected at least 1, got 0"),
        ("image_folder", {"channels": 2}, "channels: expected 1 or 3, got 2"),
        ("imagenet", {"image_size": 64, "resize": 32}, "resize: expected at least image_size = 64, got 32"),
    ],
)
def test_wrong_geometry(kind: str, values: dict[str, int], message: str) -> None:
    with pytest.raises(AuditError, match=message):
        datasets.build(kind, {"root": "x", **values}, where="data")
