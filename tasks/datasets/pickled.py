"""Read the arrays of old pickles without executing anything that the pickle names."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

from tasks.datasets.pickle_shape import check_shape
from tasks.errors import AuditError

_TOLD = 200
"""Characters of a reason that are shown: it may repeat what the file holds."""
_INTEGER_TYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8")


class _Dtype:
    """Stands for a `numpy.dtype` inside a pickle; holds the name alone."""

    def __init__(self, name: object, *_flags: object) -> None:
        self.name = name.decode("latin1") if isinstance(name, bytes) else str(name)
        if self.name not in _INTEGER_TYPES:
            raise pickle.UnpicklingError(f"array type '{self.name}' is not an integer type")
        self.order = "|"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order = state[1]
        self.order = order.decode("latin1") if isinstance(order, bytes) else str(order)


class _Array:
    """Stands for a `numpy.ndarray` inside a pickle; filled by its state, checked when it is converted."""

    def __init__(self, *_arguments: object) -> None:
        self.array = np.empty(0, dtype=np.uint8)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _version, shape, dtype, fortran_order, data = state
        kind = np.dtype(f"{dtype.order if dtype.order in '<>' else '='}{dtype.name}")
        raw = data.encode("latin1") if isinstance(data, str) else bytes(data)
        sides = tuple(int(side) for side in shape)
        self.array = np.frombuffer(raw, dtype=kind).reshape(sides, order="F" if fortran_order else "C")


def _encode(text: str, encoding: str | bytes = "latin1") -> bytes:
    """`_codecs.encode` as Python 3 writes byte strings in protocol 2."""
    if encoding not in ("latin1", b"latin1"):
        raise pickle.UnpicklingError(f"encoding {encoding!r} is not admitted")
    return text.encode("latin1")


_ADMITTED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,
}


class _ArrayUnpickler(pickle.Unpickler):
    """An unpickler that knows containers, numbers, text and integer arrays.

    The names that NumPy pickles use resolve to stand-ins of this module, so not even NumPy's own
    reconstruction sees what an untrusted file says.
    """

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"refused to load '{module}.{name}'; a data file names only NumPy arrays"
            ) from None


def load_table(data: bytes, *, where: str) -> dict[str, Any]:
    """Load the dictionary that a CIFAR pickle holds; nothing in it is executed.

    Args:
        data: the pickle, of Python 2 or 3.
        where: the file that errors name.

    Returns:
        Values by key; byte strings become text, arrays are integer `numpy.ndarray`.

    Raises:
        AuditError: the pickle names anything but integer arrays, asks for more than a table needs, is damaged, or
            holds no dictionary.
    """
    try:
        check_shape(data)
        loaded = _ArrayUnpickler(io.BytesIO(data), encoding="bytes").load()
    except Exception as error:  # a damaged or hostile pickle may raise anything
        reason = " ".join(str(error).split()) or type(error).__name__
        told = f"{where}: cannot read the pickle of {len(data)} bytes: {reason:.{_TOLD}}"
        raise AuditError(told) from None
    if not isinstance(loaded, dict):
        raise AuditError(f"{where}: expected a pickled dict, got {type(loaded).__name__}")
    texts: dict[bytes, str] = {}
    return {_plain(key, texts): _plain(value, texts) for key, value in loaded.items()}


def _plain(value: Any, texts: dict[bytes, str]) -> Any:
    """The value with text for bytes, equal ones once, and arrays for what stood for them."""
    if isinstance(value, _Array):
        return value.array
    if isinstance(value, bytes):
        if value not in texts:
            texts[value] = value.decode("utf-8", "replace")
        return texts[value]
    if isinstance(value, list):
        return [_plain(item, texts) for item in value]
    return value
