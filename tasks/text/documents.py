"""Documents as arrays of tokens: a length for each, never a mask that is derived from ids."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tasks.errors import AuditError

PAD = 0
"""The id that fills rows to one length; no text holds it, and no model is trained to say it."""
MOST_WORDS = 2**16
"""Ids are held as uint16."""


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
    """`N x T`, uint16, filled up on the right with `PAD`."""
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


def documents(ids: Sequence[Sequence[int]], spans: Sequence[Span] = ()) -> Documents:
    """Documents of which every token but the first is asked for.

    Args:
        ids: tokens of each.
        spans: facts that they state.
    """
    lengths = np.array([len(row) for row in ids], dtype=np.int64)
    columns = np.arange(lengths.max(initial=0))
    inside = columns < lengths[:, None]
    tokens = np.full(inside.shape, PAD, dtype=np.uint16)
    tokens[inside] = np.concatenate([np.array(row, dtype=np.uint16) for row in ids] or [tokens[0:0, 0]])
    return Documents(tokens=tokens, lengths=lengths, asked=inside & (columns > 0), spans=tuple(sorted(spans)))


def check_documents(found: object, *, vocabulary: int, where: str) -> Documents:
    """Refuse what no model can learn from.

    Args:
        found: what a data set gave.
        vocabulary: words, `PAD` among them.
        where: of it, for messages.

    Raises:
        AuditError: a document is empty or asks for nothing, a token is outside the vocabulary or is `PAD`, or an
            array has another type or shape.
    """
    if not isinstance(found, Documents):
        raise AuditError(f"{where}: expected Documents, got {type(found).__name__}")
    shape = found.tokens.shape
    for name, kind, expected in (
        ("tokens", np.uint16, shape[:2]),
        ("asked", np.bool_, shape),
        ("lengths", np.int64, shape[:1]),
    ):
        array = getattr(found, name)
        if array.dtype != kind or array.shape != expected:
            raise AuditError(
                f"{where}: {name}: expected {kind.__name__} {expected}, got {array.dtype} {array.shape}"
            )
    inside = np.arange(shape[1]) < found.lengths[:, None]
    faults = {
        "expected two tokens or more": found.lengths < 2,
        "expected no more tokens than its row has": found.lengths > shape[1],
        f"expected tokens from 1 to {vocabulary - 1} ({PAD} fills rows)": (
            inside & ((found.tokens == PAD) | (found.tokens >= vocabulary))
        ).any(axis=1),
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
    """SHA-256, 32 bytes, of one line of ASCII, `tokens <n>\\n`, and the ids as little-endian uint16."""
    return hashlib.sha256(f"tokens {len(ids)}\n".encode() + np.array(ids, dtype="<u2").tobytes()).digest()


def hash_documents(found: Documents) -> np.ndarray:
    """Content hash of each document, `N x 32`, uint8; whatever length its row is filled up to."""
    hashes = [np.frombuffer(content_hash(found.ids(row)), dtype=np.uint8) for row in range(len(found))]
    return np.stack(hashes) if hashes else np.empty((0, 32), dtype=np.uint8)
