"""What is read of an image file: formats, 16 bits, EXIF, transparency, first frames; and what a plan says of it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.datasets.image_folders import ImageFolder
from tasks.datasets.images import READ
from tasks.datasets.pixels import SUFFIXES, load_image, peculiarities
from tasks.errors import AuditError

LEVELS = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1040
STRIPES = np.repeat(np.arange(6, dtype=np.uint8)[None] * 40, 4, axis=0)
LEFT_OUT = {
    *(".eps", ".ps", ".wmf", ".emf"),  # other programs draw them
    *(".bufr", ".grib", ".h5", ".hdf", ".mpg", ".mpeg"),  # no decoder
    ".iim",  # a wrapper around anything
}


def test_every_format_of_pillow_is_read_or_left_out_for_a_reason() -> None:
    Image.init()
    registered = {suffix for suffix, form in Image.registered_extensions().items() if form in Image.OPEN}
    assert registered <= READ | LEFT_OUT
    assert not READ & LEFT_OUT
    assert {form for form in SUFFIXES if form not in Image.OPEN} <= {"AVIF", "WEBP", "JPEG2000"}


@pytest.mark.parametrize("suffix", ["png", "tif", "gif", "ppm", "bmp", "tga", "sgi", "pcx", "webp", "qoi"])
def test_lossless_formats_give_their_pixels(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    image = Image.fromarray(np.stack([STRIPES] * 3, axis=2))
    image.save(path, **({"lossless": True} if suffix == "webp" else {}))
    np.testing.assert_array_equal(np.asarray(load_image(path, "L")), STRIPES)
    np.testing.assert_array_equal(np.asarray(load_image(path.read_bytes(), "L", where="row 1")), STRIPES)


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_sixteen_bits_keep_their_levels(suffix: str, tmp_path: Path) -> None:
    Image.fromarray(LEVELS).save(tmp_path / f"a.{suffix}")
    expected = np.rint(LEVELS.astype(float) / 65535 * 255)
    np.testing.assert_array_equal(np.asarray(load_image(tmp_path / f"a.{suffix}", "L")), expected)
    assert len(np.unique(expected)) == 64
    assert "deep" in peculiarities(tmp_path / f"a.{suffix}")


def test_deeper_numbers_are_refused(tmp_path: Path) -> None:
    for kind in (np.float32, np.int32):
        Image.fromarray(LEVELS.astype(kind)).save(tmp_path / "a.tif")
        with pytest.raises(AuditError, match=r"expected 8 or 16 bits a channel, got [IF] of 32; save"):
            load_image(tmp_path / "a.tif", "L")


TURNS = {
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.T,
    6: lambda x: np.rot90(x, -1),
    7: lambda x: x[::-1, ::-1].T,
    8: lambda x: np.rot90(x, 1),
}
"""What each orientation of the EXIF standard asks for: where row 0 and column 0 of the stored picture lie."""


@pytest.mark.parametrize("orientation", TURNS)
def test_orientation_is_applied(orientation: int, tmp_path: Path) -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(4, 6)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(np.asarray(load_image(tmp_path / "a.png", "L")), TURNS[orientation](pixels))
    assert peculiarities(tmp_path / "a.png") == ("turned",)


def test_what_is_transparent_shows_the_background(tmp_path: Path) -> None:
    colours = np.array([[[200, 0, 0, 255], [200, 0, 0, 0], [200, 100, 0, 51]]], dtype=np.uint8)
    Image.fromarray(colours).save(tmp_path / "a.png")
    for background in (255, 0):
        seen = np.asarray(load_image(tmp_path / "a.png", "RGB", background=background))
        share = colours[..., 3:] / 255
        np.testing.assert_allclose(seen, share * colours[..., :3] + (1 - share) * background, atol=1)
    np.testing.assert_array_equal(np.asarray(load_image(tmp_path / "a.png", "RGBA")), colours)
    palette = Image.fromarray(np.array([[0, 1]], dtype=np.uint8)).convert("P")
    palette.putpalette([9, 9, 9, 70, 70, 70])
    palette.save(tmp_path / "b.gif", transparency=0)
    Image.fromarray(LEVELS).save(tmp_path / "c.png", transparency=1040)
    assert np.asarray(load_image(tmp_path / "b.gif", "L", background=3)).tolist() == [[3, 70]]
    assert np.asarray(load_image(tmp_path / "c.png", "L", background=3))[0, :3].tolist() == [0, 3, 8]


def test_the_first_frame_is_read(tmp_path: Path) -> None:
    frames = [Image.new("L", (4, 4), level) for level in (10, 200)]
    for name in ("a.gif", "a.tif", "a.apng"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        assert np.unique(np.asarray(load_image(tmp_path / name, "L"))).tolist() == [10]
        assert peculiarities(tmp_path / name) == ("animated",)


def test_a_folder_says_what_is_not_simply_pixels(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        Image.fromarray(LEVELS).save(tmp_path / label / "deep.tiff")
        Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / label / "clear.png")
    (tmp_path / "dog" / "list.TXT").write_text("no image")
    source = ImageFolder(root=str(tmp_path), image_size=8, channels=1, background=7)
    assert source.read_labels().notes == (
        "2 of 4 image files that were looked at are 16 bits deep, read as 8",
        "2 of 4 image files that were looked at are laid over a background of grey level 7",
        "1 files beside the images are not read: 1 x .txt",
    )
    assert source.names() == ("cat/clear.png", "cat/deep.tiff", "dog/clear.png", "dog/deep.tiff")
    images = source.read_images()
    assert np.unique(images[0]).tolist() == [7]
    assert len(np.unique(images[1])) == 64
    np.testing.assert_array_equal(source.read_some(np.array([3, 0])), images[[3, 0]])
    white = ImageFolder(root=str(tmp_path), image_size=8, channels=1)
    assert white.digest() != source.digest()
    with pytest.raises(AuditError, match="background: expected a grey level from 0 to 255, got 256"):
        ImageFolder(root=str(tmp_path), background=256)


@pytest.mark.parametrize(
    ("name", "told"),
    [("nothing.png", "nothing.png: cannot read this file"), ("loop.png", "cannot read this file")],
)
def test_a_link_to_nothing_is_named(name: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / name).symlink_to("loop.png")
    with pytest.raises(AuditError, match=told):
        ImageFolder(root=str(tmp_path)).digest()


def test_a_name_that_is_not_utf8_is_shown(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    (Path(os.fsdecode(os.fsencode(tmp_path / "cat") + b"/caf\xe9.png"))).touch()
    with pytest.raises(AuditError, match=r"expected file names in UTF-8, got 'cat/caf\\xe9.png'"):
        ImageFolder(root=str(tmp_path)).read_labels()
