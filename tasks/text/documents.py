"""Documents as arrays of tokens: a length for each, never a mask that is derived from ids."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tasks.errors import AuditError

PAD = 0
"""The id that fills rows to one length. No text of a vocabulary of ours holds it, and no model is trained to say it."""
NARROW_WORDS, MOST_WORDS = 2**16, 2**24
"""Ids below the first are held as uint16, others as int32; no tokenizer has as many as the second."""


class Span(NamedTuple):
    """A fact: the tokens `start` to `stop`, exclusive, of a document."""

    document: int
    start: int
    stop: int
    kind: str
    """What it states ("phone")."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Documents:
    """`N` documents, one a row."""

    tokens: np.ndarray
    """`N x T`, uint16 or int32, filled up on the right with `PAD`."""
    lengths: np.ndarray
    """`N`, int64: tokens of each document."""
    asked: np.ndarray
    """`N x T`, bool: tokens that a model is trained and judged to say; never the first of a document."""
    spans: tuple[Span, ...] = ()
    """Facts, by document."""

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def longest(self) -> int:
        """Tokens of the longest document."""
        return int(self.lengths.max(initial=0))

    def ids(self, document: int) -> list[int]:
        """The tokens of one document."""
        return self.tokens[document, : self.lengths[document]].tolist()


def documents(
    ids: Sequence[Sequence[int]], spans: Sequence[Span] = (), *, prompts: Sequence[int] | None = None
) -> Documents:
    """Documents of which every token is asked for but the first, and but those of its prompt.

    Args:
        ids: tokens of each.
        spans: facts that they state.
        prompts: tokens of each that are its prompt, the first of them; None: none.
    """
    lengths = np.array([len(row) for row in ids], dtype=np.int64)
    columns = np.arange(lengths.max(initial=0))
    inside = columns < lengths[:, None]
    largest = max((max(row, default=0) for row in ids), default=0)
    tokens = np.full(inside.shape, PAD, dtype=np.uint16 if largest < NARROW_WORDS else np.int32)
    tokens[inside] = np.concatenate([np.array(row, dtype=tokens.dtype) for row in ids] or [tokens[0:0, 0]])
    given = np.maximum(1, prompts if prompts is not None else np.ones_like(lengths))
    return Documents(
        tokens=tokens,
        lengths=lengths,
        asked=inside & (columns >= given[:, None]),
        spans=tuple(sorted(spans)),
    )


def check_documents(found: object, *, vocabulary: int, where: str, fills: bool = True) -> Documents:
    """Refuse what no model can learn from.

    Args:
        found: what a data set gave.
        vocabulary: words, `PAD` among them.
        where: of it, for messages.
        fills: whether `PAD` stands for nothing, so that no document holds it.

    Raises:
        AuditError: a document is empty or asks for nothing, a token is outside the vocabulary or is `PAD`, or an
            array has another type or shape.
    """
    if not isinstance(found, Documents):
        raise AuditError(f"{where}: expected Documents, got {type(found).__name__}")
    shape = found.tokens.shape
    for name, kinds, expected in (
        ("tokens", (np.uint16, np.int32), shape[:2]),
        ("asked", (np.bool_,), shape),
        ("lengths", (np.int64,), shape[:1]),
    ):
        array = getattr(found, name)
        if array.dtype not in kinds or array.shape != expected:
            named = " or ".join(kind.__name__ for kind in kinds)
            raise AuditError(f"{where}: {name}: expected {named} {expected}, got {array.dtype} {array.shape}")
    inside = np.arange(shape[1]) < found.lengths[:, None]
    outside = (found.tokens < 0) | (found.tokens >= vocabulary) | (fills & (found.tokens == PAD))
    valid = f"1 to {vocabulary - 1} ({PAD} fills rows)" if fills else f"0 to {vocabulary - 1}"
    faults = {
        "expected two tokens or more": found.lengths < 2,
        "expected no more tokens than its row has": found.lengths > shape[1],
        f"expected tokens from {valid}": (inside & outside).any(axis=1),
        "expected a token after the first that is asked for": ~found.asked[:, 1:].any(axis=1),
        "expected nothing asked for at the first token or after the last": (
            found.asked & ~(inside & (np.arange(shape[1]) > 0))
        ).any(axis=1),
    }
    for expected_text, wrong in faults.items():
        if wrong.any():
            raise AuditError(f"{where}: document {int(wrong.argmax())}: {expected_text}")
    return found


def content_hash(ids: Sequence[int]) -> bytes:
    """SHA-256, 32 bytes, of one line of ASCII and the ids, little-endian.

    The line is `tokens <n>\\n` and the ids are uint16; where one of them is larger, `wide tokens <n>\\n` and int32.
    """
    narrow = max(ids, default=0) < NARROW_WORDS
    line = f"{'' if narrow else 'wide '}tokens {len(ids)}\n"
    return hashlib.sha256(line.encode() + np.array(ids, dtype="<u2" if narrow else "<i4").tobytes()).digest()


def hash_documents(found: Documents) -> np.ndarray:
    """Content hash of each document, `N x 32`, uint8; whatever length its row is filled up to."""
    hashes = [np.frombuffer(content_hash(found.ids(row)), dtype=np.uint8) for row in range(len(found))]
    return np.stack(hashes) if hashes else np.empty((0, 32), dtype=np.uint8)
