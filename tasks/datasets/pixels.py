"""One image file, decoded: its size is known from its header, and refused, before its pixels are."""

from __future__ import annotations

import struct
import warnings
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.errors import AuditError

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
"""Those that decode in this process; Pillow hands others to programs (EPS to Ghostscript)."""
MOST_PIXELS = 89_478_485
"""Above this many Pillow warns of a bomb, above twice as many it refuses: a photograph has a third."""


def load_image(path: Path, mode: str) -> Image:
    """The image in a mode of Pillow, such as RGB.

    Raises:
        AuditError: the file is no readable PNG, JPEG, BMP or WebP image, or it has too many pixels.
    """
    from PIL import Image

    # Our own bound is below the one from which on Pillow refuses; its warning would be lines of its own.
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    if not path.is_file():
        raise AuditError(f"{path}: cannot decode this image: no regular file")
    try:
        with Image.open(path, formats=FORMATS) as image:
            check_pixels(*image.size)
            return image.convert(mode)
    except (OSError, SyntaxError, ValueError, EOFError, OverflowError, struct.error, zlib.error) as error:
        raise AuditError(f"{path}: cannot decode this image: {error!s:.200}") from None
    except (Image.DecompressionBombError, MemoryError) as error:
        raise AuditError(f"{path}: cannot decode this image: {str(error) or 'too large':.200}") from None


def check_pixels(width: int, height: int) -> None:
    """Refuse an image of more pixels than are held.

    Raises:
        ValueError: it has more.
    """
    if width * height > MOST_PIXELS:
        raise ValueError(f"expected at most {MOST_PIXELS} pixels, got {width} x {height}")
