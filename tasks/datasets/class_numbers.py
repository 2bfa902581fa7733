"""Labels as people keep them - whole numbers, also as floats, or names - as numbers of classes. NumPy only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tasks.errors import AuditError, unknown_name

MOST_CLASSES = 1 << 20
"""More than any data set has; each class gets a name and a row of the last layer."""


def class_numbers(
    parts: Sequence[tuple[str, np.ndarray]], names: Sequence[str] = ()
) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """The classes of the examples of some parts of a data set, by number, and what each class is called.

    Args:
        parts: where each array of labels is from, for messages, and the array: `n` or `n x 1`, whole numbers or text.
        names: of the classes, by number; none: text names itself, in alphabetical order, and numbers do so too.

    Returns:
        `n` numbers, int64, for each part, and the names.

    Raises:
        AuditError: labels are none of this, or do not fit the names; the message says what makes them so.
    """
    columns = [(where, _column(values, where)) for where, values in parts]
    kinds = {_is_text(values) for _, values in columns}
    if len(kinds) > 1:
        raise AuditError(f"{columns[0][0]}: expected labels of one kind, got text and numbers")
    if not any(len(values) for _, values in columns):
        raise AuditError(f"{columns[0][0]}: expected at least one label, got none")
    if kinds == {True}:
        return _numbered(columns, names)
    numbers = [_whole(values, where) for where, values in columns]
    highest = max(int(part.max(initial=0)) for part in numbers)
    if names and len(names) <= highest:
        raise AuditError(f"class_names: expected {highest + 1} names or more, got {len(names)}")
    return numbers, tuple(names) or tuple(map(str, range(highest + 1)))


def require_test(is_test: np.ndarray, *, given: bool, where: str) -> None:
    """Refuse a test part that is given and empty: in its place a share of the training examples would be drawn.

    Args:
        is_test: `N`, bool.
        given: whether the data have such a part.
        where: they lie, for messages.

    Raises:
        AuditError: it is empty.
    """
    if given and not is_test.any():
        raise AuditError(
            f"{where}: expected examples in the test part, got none; without such a part a share of all is drawn"
        )


def _column(values: np.ndarray, where: str) -> np.ndarray:
    if values.ndim == 2 and values.shape[1] == 1:
        return values[:, 0]
    if values.ndim == 2:
        raise AuditError(
            f"{where}: expected a label for each example, got {values.shape[1]} numbers; of one-hot rows or "
            "probabilities, y.argmax(axis=1) takes the class"
        )
    if values.ndim != 1:
        raise AuditError(f"{where}: expected one axis, got shape {values.shape}")
    return values


def _is_text(values: np.ndarray) -> bool:
    return values.dtype.kind in "US"


def _numbered(
    columns: Sequence[tuple[str, np.ndarray]], names: Sequence[str]
) -> tuple[list[np.ndarray], tuple[str, ...]]:
    texts = [(where, _decoded(values, where)) for where, values in columns]
    for where, values in texts:
        if (np.char.strip(values) == "").any():
            row = int((np.char.strip(values) == "").argmax())
            raise AuditError(f"{where}: expected the name of a class, got nothing at {row}, counted from 0")
    known = tuple(names) or tuple(np.unique(np.concatenate([values for _, values in texts])).tolist())
    if len(known) > MOST_CLASSES:
        raise AuditError(f"{texts[0][0]}: expected at most {MOST_CLASSES} classes, got {len(known)}")
    places = {name: number for number, name in enumerate(known)}
    for where, values in texts:
        foreign = next((name for name in values.tolist() if name not in places), None)
        if foreign is not None:
            raise unknown_name("class", foreign[:80], known[:100], where=where)
    return [
        np.array([places[name] for name in values.tolist()], dtype=np.int64) for _, values in texts
    ], known


def _decoded(values: np.ndarray, where: str) -> np.ndarray:
    try:
        return np.char.decode(values, "utf-8") if values.dtype.kind == "S" else values
    except UnicodeDecodeError:
        raise AuditError(f"{where}: expected names of classes in UTF-8") from None


def _whole(values: np.ndarray, where: str) -> np.ndarray:
    kind = values.dtype.kind
    if kind == "b":
        raise AuditError(
            f"{where}: expected numbers of classes, got bool; y.astype(int) makes 0 and 1 of them"
        )
    if kind not in "iuf":
        raise AuditError(f"{where}: expected whole numbers or names of classes, got {values.dtype}")
    if kind == "f":
        broken = ~(np.isfinite(values) & (values == np.floor(values)))
        if broken.any():
            raise AuditError(
                f"{where}: expected whole numbers, got {values[broken.argmax()]} at {int(broken.argmax())}, counted "
                "from 0"
            )
    for wrong, bound in (
        (values < 0, "0 or more"),
        (values >= MOST_CLASSES, f"less than {MOST_CLASSES}"),
    ):
        if wrong.any():
            raise AuditError(
                f"{where}: expected numbers of classes, {bound}, got {int(values[wrong.argmax()])}; "
                "np.unique(y, return_inverse=True)[1] numbers whatever stands there from 0"
            )
    return values.astype(np.int64)
