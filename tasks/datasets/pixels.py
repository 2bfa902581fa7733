"""One image file, decoded: its size is known from its header, and refused, before its pixels are.

What is read of a file: its first frame or page; turned as EXIF says; colours over a background where some are
transparent; 16 bits of grey as 8, so that 65535 is 255.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tasks.errors import AuditError

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = {
    "AVIF": (".avif", ".avifs"),
    "BLP": (".blp",),
    "BMP": (".bmp",),
    "CUR": (".cur",),
    "DCX": (".dcx",),
    "DDS": (".dds",),
    "DIB": (".dib",),
    "FITS": (".fit", ".fits"),
    "FLI": (".fli", ".flc"),
    "FTEX": (".ftc", ".ftu"),
    "GBR": (".gbr",),
    "GIF": (".gif",),
    "ICNS": (".icns",),
    "ICO": (".ico",),
    "IM": (".im",),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "JPEG2000": (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
    "MSP": (".msp",),
    "PCD": (".pcd",),
    "PCX": (".pcx",),
    "PIXAR": (".pxr",),
    "PNG": (".png", ".apng"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    "PSD": (".psd",),
    "QOI": (".qoi",),
    "SGI": (".sgi", ".rgb", ".rgba", ".bw"),
    "SUN": (".ras",),
    "TGA": (".tga", ".icb", ".vda", ".vst"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
    "XBM": (".xbm",),
    "XPM": (".xpm",),
}
"""What Pillow decodes in this process, by format: it hands EPS and WMF to other programs, has no decoder of its own for
BUFR, GRIB, HDF5 and MPEG, and takes almost any bytes for IMT, IPTC, MCIDAS, SPIDER and XVTHUMB."""
MOST_PIXELS = 89_478_485
"""Above this many Pillow warns of a bomb, above twice as many it refuses: a photograph has a third."""
_ORIENTATION = 0x0112
_DAMAGES = (
    *(OSError, SyntaxError, ValueError, EOFError, OverflowError, struct.error, zlib.error),
    *(TypeError, KeyError, IndexError, AttributeError, RuntimeError),
)
"""What a damaged file makes Pillow raise."""


def load_image(file: Path | bytes, mode: str, *, where: str = "", background: int = 255) -> Image:
    """The image of a file in a mode of Pillow.

    Args:
        file: its path, or what it holds.
        mode: L, RGB or RGBA; the last keeps what is transparent.
        where: of the bytes, for messages.
        background: grey level, 0 to 255, behind what is transparent.

    Raises:
        AuditError: the file is no readable image, has numbers of more than 16 bits, or too many pixels.
    """
    with _opened(file, where or str(file)) as image:
        check_pixels(*image.size)
        form = image.format
        turned = _upright(image)
        if turned.mode[0] in "IF":
            return _eight_bits(turned, form, background).convert(mode)
        if turned.has_transparency_data and mode != "RGBA":
            turned = _over(turned, background)
        return turned.convert(mode)


def peculiarities(file: Path | bytes, where: str = "") -> tuple[str, ...]:
    """What of a file is not simply its pixels, in words of `SAID`; empty where it cannot be read.

    Only what stands before the pixels is looked at.
    """
    try:
        with _opened(file, where or str(file)) as image:
            found = {
                "turned": image.getexif().get(_ORIENTATION, 1) in range(2, 9),
                "transparent": image.has_transparency_data,
                "deep": image.mode[0] == "I",
                "animated": getattr(image, "n_frames", 1) > 1,
            }
    except AuditError:
        return ()
    return tuple(name for name, is_so in found.items() if is_so)


def shape_of(file: Path | bytes, where: str = "") -> tuple[int, int, int]:
    """Channels (1 of grey images, else 3), height and width of an image as it is read, from its header.

    Raises:
        AuditError: it is no image.
    """
    with _opened(file, where or str(file)) as image:
        width, height = image.size
        if image.getexif().get(_ORIENTATION, 1) in range(5, 9):
            width, height = height, width
        return 1 if image.mode[0] in "1LIF" and image.mode != "LAB" else 3, height, width


SAID = {
    "turned": "turned as EXIF says",
    "transparent": "laid over a background of grey level {background}",
    "deep": "16 bits deep, read as 8",
    "animated": "of several frames or pages, of which the first is read",
}
"""What a plan says of each peculiarity."""


@contextmanager
def _opened(file: Path | bytes, where: str) -> Iterator[Image]:
    from PIL import Image

    # Our own bound is below the one from which on Pillow refuses; its warnings would be lines of their own.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    if isinstance(file, Path) and not file.is_file():
        raise AuditError(f"{where}: cannot decode this image: no regular file")
    try:
        with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file, formats=[*SUFFIXES]) as image:
            yield image
    except _DAMAGES as error:
        reason = f"{error!s:.200}" if isinstance(file, Path) else f"{error!s:.200}".partition(" <")[0]
        raise AuditError(f"{where}: cannot decode this image: {reason or type(error).__name__}") from None
    except (Image.DecompressionBombError, MemoryError) as error:
        raise AuditError(f"{where}: cannot decode this image: {str(error) or 'too large':.200}") from None


def _upright(image: Image) -> Image:
    if image.getexif().get(_ORIENTATION, 1) == 1:
        return image
    from PIL import ImageOps

    return ImageOps.exif_transpose(image)


def _eight_bits(image: Image, form: str | None, background: int) -> Image:
    """Grey of 16 bits as 8; Pillow itself would make 255 of all but the darkest."""
    from PIL import Image as Images

    if not image.mode.startswith("I;16") and (image.mode, form) not in (("I", "PNG"), ("I", "PPM")):
        raise ValueError(
            f"expected 8 or 16 bits a channel, got {image.mode} of 32; save the image with 8 bits a channel"
        )
    deep = np.asarray(image).astype(np.int64)
    grey = ((np.clip(deep, 0, 65535) + 128) // 257).astype(np.uint8)
    if isinstance(image.info.get("transparency"), int):
        grey[deep == image.info["transparency"]] = background
    return Images.fromarray(grey)


def _over(image: Image, background: int) -> Image:
    from PIL import Image as Images

    behind = Images.new("RGBA", image.size, (background, background, background, 255))
    behind.alpha_composite(image.convert("RGBA"))
    return behind


def check_pixels(width: int, height: int) -> None:
    """Refuse an image of more pixels than are held.

    Raises:
        ValueError: it has more.
    """
    if width * height > MOST_PIXELS:
        raise ValueError(f"expected at most {MOST_PIXELS} pixels, got {width} x {height}")
