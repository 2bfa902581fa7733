"""Data as a weapon: what files claim is held against what they are before memory or time is spent on it."""

from __future__ import annotations

import gzip
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tasks.datasets import archive
from tasks.datasets.arrays import npz_shape, read_npy, read_npz
from tasks.datasets.images import Geometry, decode
from tasks.datasets.npz import Npz
from tasks.errors import AuditError

EIGHT = Geometry(channels=3, size=8, resize=8)


def npy(shape: str, kind: str = "|u1", data: bytes = b"") -> bytes:
    """A .npy file whose header says so."""
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


ARRAYS = {
    "12 TB": (npy("(1500000000000,)", "<i8"), "takes 12000000000.* bytes, the file has"),
    "more items than numbers": (npy("(4611686018427387904, 4)"), "bytes, the file has"),
    "fewer than none": (npy("(-1, -8)", data=bytes(8)), "bytes, the file has"),
    "text of no length": (npy("(4611686018427387904,)", "<U0"), "bytes, the file has"),
    "a pickle": (npy("(1,)", "|O", b"cos\nsystem\n."), "Object arrays cannot be loaded"),
    "an unclosed header": (b"\x93NUMPY\x01\x00" + struct.pack("<H", 5000) + b"(" * 5000, "cannot read"),
    "no array": (b"x" * 100, "magic string"),
    "nothing": (b"", "cannot read"),
}


@pytest.mark.parametrize(("data", "reason"), ARRAYS.values(), ids=ARRAYS)
def test_an_array_is_no_longer_than_its_file(data: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(data)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as packed:
        packed.writestr("a.npy", data)
    for read in (
        lambda: read_npy(tmp_path / "a.npy"),
        lambda: read_npz(tmp_path / "a.npz", "a"),
        lambda: npz_shape(tmp_path / "a.npz", "a"),
    ):
        with pytest.raises(AuditError, match=reason) as caught:
            read()
        assert len(str(caught.value)) < 500


def test_an_array_fits_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "a.npz", a=np.zeros(10**7, np.uint8))
    assert read_npz(tmp_path / "a.npz", "a").shape == (10**7,)
    monkeypatch.setattr(os, "sysconf", lambda name: 1000)
    with pytest.raises(AuditError, match="this machine has 1000000 of memory"):
        read_npz(tmp_path / "a.npz", "a")


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (np.zeros(0, np.int64), "at least one"),
        (np.array([0, 10**9]), "less than 1048576, got 1000000000"),
        (np.array([0, 2**64 - 1], np.uint64), "got 18446744073709551615"),
        (np.zeros((), np.int64), "expected 2 labels"),
    ],
)
def test_labels_number_classes(labels: np.ndarray, reason: str, tmp_path: Path) -> None:
    count = len(labels) if labels.ndim else 2
    np.savez(tmp_path / "a.npz", images=np.zeros((count, 1, 4, 4), np.uint8), labels=labels)
    with pytest.raises(AuditError, match=reason):
        Npz(path=str(tmp_path / "a.npz")).read_labels()


def png(width: int, height: int, *more: bytes) -> bytes:
    """A grey PNG whose header says so, with as many pixels as ten; `more` are chunks before them."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    texts = b"".join(chunk(b"zTXt", b"k\0\0" + zlib.compress(text)) for text in more)
    return (
        b"\x89PNG\r\n\x1a\n" + head + texts + chunk(b"IDAT", zlib.compress(bytes(10))) + chunk(b"IEND", b"")
    )


IMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "400 million pixels": (lambda p: p.write_bytes(png(20_000, 20_000)), "exceeds limit"),
    "169 million pixels": (
        lambda p: p.write_bytes(png(13_000, 13_000)),
        "at most 89478485 pixels, got 13000",
    ),
    "2^62 pixels": (lambda p: p.write_bytes(png(2**31 - 1, 2**31 - 1)), "cannot decode"),
    "a line": (lambda p: p.write_bytes(png(40_000_000, 1)), "cannot (fit|decode)"),
    "text of 100 MB": (lambda p: p.write_bytes(png(8, 8, bytes(10**8))), "too large"),
    "Ghostscript's": (
        lambda p: p.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
        "cannot identify",
    ),
    "a pipe": (os.mkfifo, "no regular file"),
    "an endless device": (lambda p: p.symlink_to("/dev/zero"), "no regular file"),
    "a link to itself": (lambda p: p.symlink_to(p.name), "no regular file"),
    "nothing": (lambda p: p.write_bytes(b""), "cannot identify"),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("make", "reason"), IMAGES.values(), ids=IMAGES)
def test_an_image_is_judged_by_its_header(
    make: Callable[[Path], object], reason: str, tmp_path: Path
) -> None:
    make(tmp_path / "a.png")
    with pytest.raises(AuditError, match=reason):
        decode(tmp_path / "a.png", EIGHT)


def test_a_line_is_not_made_a_plane(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("L", (12_000_000, 1)).save(tmp_path / "a.png")
    with pytest.raises(AuditError, match="cannot fit this image: expected at most 89478485 pixels"):
        decode(tmp_path / "a.png", EIGHT)


def header(kind: bytes, size: int) -> bytes:
    made = tarfile.TarInfo("x")
    made.type, made.size = kind, size
    return made.tobuf(tarfile.GNU_FORMAT)


ARCHIVES = {
    "a header of 3 GB": (lambda: header(tarfile.XHDTYPE, 3 << 30) + bytes(3 << 20), "at most 2000000 bytes"),
    "a file of 3 GB": (lambda: header(tarfile.REGTYPE, 3 << 30) + bytes(3 << 20), "at most 2000000 bytes"),
    "headers of headers": (
        lambda: (header(tarfile.GNUTYPE_LONGNAME, 2) + b"a" + bytes(511)) * 1900,
        "recursion",
    ),
    "many files": (lambda: header(tarfile.REGTYPE, 0) * 60, "at most 50 files"),
}


@pytest.mark.parametrize(("content", "reason"), ARCHIVES.values(), ids=ARCHIVES)
def test_an_archive_is_not_much_larger_than_what_is_sought(
    content: Callable[[], bytes], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "_BESIDE", 1_999_000)
    monkeypatch.setattr(archive, "_MEMBERS", 50)
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(content(), 1))
    with pytest.raises(AuditError, match=f"damaged or truncated archive of .* bytes: .*{reason}"):
        archive.read_tar(tmp_path / "a.tar.gz", {"sought": archive.FileSize(largest=1000)})
