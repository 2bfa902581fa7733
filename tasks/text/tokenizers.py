"""Text to ids of words: bytes, which need nothing, or a tokenizer.json of somebody's. NumPy only.

Neither depends on the audited text: merges that were learned on it would give away which documents are members. Of a
file that cannot be checked; take one that was made on other text.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.errors import AuditError, unknown_name
from tasks.text.documents import PAD

BYTES = "bytes"
BEGIN, END = 1, 2
"""Ids of the first and of the last token of a document of bytes."""
_FIRST_BYTE = 3
LARGEST = 1 << 28
"""Bytes of a tokenizer.json; those of large models have 2e7."""
INSTALL = "pip install 'lethe[language]'"


class Tokenizer(ABC):
    """How a text becomes ids. A document is `begin`, the ids of its text, and `end`."""

    vocabulary: int
    """Ids are less than this."""
    begin: tuple[int, ...]
    end: tuple[int, ...]
    fills: bool
    """Whether id 0 stands for no word."""

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """Ids of a text; marks of the tokenizer's own that stand in it are read as text."""

    @abstractmethod
    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids, without marks of the beginning and end; what is no whole character becomes U+FFFD."""

    @abstractmethod
    def words(self) -> tuple[str, ...]:
        """What each id stands for."""

    @abstractmethod
    def digest(self) -> str:
        """Hexadecimal digest of all that decides the ids."""


@dataclass(frozen=True)
class Bytes(Tokenizer):
    """UTF-8, a byte a token."""

    vocabulary = _FIRST_BYTE + 256
    begin = (BEGIN,)
    end = (END,)
    fills = True

    def encode(self, text: str) -> list[int]:
        """The bytes, after the ids of marks."""
        return [_FIRST_BYTE + byte for byte in text.encode("utf-8")]

    def decode(self, ids: Sequence[int]) -> str:
        """The bytes, without marks."""
        return bytes(i - _FIRST_BYTE for i in ids if i >= _FIRST_BYTE).decode("utf-8", "replace")

    def words(self) -> tuple[str, ...]:
        """Marks, and bytes as Latin-1 has them."""
        marks = {PAD: "<pad>", BEGIN: "<begin>", END: "<end>"}
        return (*(marks[i] for i in range(_FIRST_BYTE)), *(chr(byte) for byte in range(256)))

    def digest(self) -> str:
        """Of its name and its first id: nothing else can change."""
        return hashlib.sha256(f"{BYTES} {_FIRST_BYTE}".encode()).hexdigest()


class FromFile(Tokenizer):
    """A tokenizer.json, as published beside a model's weights; nothing is downloaded.

    Args:
        content: of the file.
        begin: token before every document, by its text; empty: none.
        end: token after it.
        where: the file, for messages.

    Raises:
        AuditError: it is damaged or draws at random, the package `tokenizers` is not installed, or a token is unknown.
    """

    fills = False

    def __init__(self, content: bytes, *, begin: str, end: str, where: str) -> None:
        self._made, self._where = _made(content, where), where
        ids = self._made.get_vocab(with_added_tokens=True)
        if not ids:
            raise AuditError(f"{where}: expected a vocabulary, got none")
        self.vocabulary = max(ids.values()) + 1
        self.begin, self.end = (_marked(ids, name, mark) for name, mark in (("begin", begin), ("end", end)))
        self._digest = hashlib.sha256(
            f"{hashlib.sha256(content).hexdigest()} {self.begin} {self.end}".encode()
        ).hexdigest()

    def encode(self, text: str) -> list[int]:
        """Its ids, without what a template would add.

        Raises:
            AuditError: a word is unknown, and the tokenizer has nothing to put in its place.
        """
        try:
            return self._made.encode(text, add_special_tokens=False).ids
        except Exception as error:  # of Rust: it has no type of its own
            raise AuditError(f"{self._where}: cannot encode this text: {error!s:.200}") from None

    def decode(self, ids: Sequence[int]) -> str:
        """As the tokenizer puts them together."""
        marks = {*self.begin, *self.end}
        return self._made.decode([i for i in ids if i not in marks], skip_special_tokens=False)

    def words(self) -> tuple[str, ...]:
        """Tokens by id, empty where the vocabulary has a hole."""
        return tuple(self._made.id_to_token(i) or "" for i in range(self.vocabulary))

    def digest(self) -> str:
        """Of the file, and of what begins and ends a document."""
        return self._digest


def _made(content: bytes, where: str) -> Any:
    try:
        from tokenizers import Tokenizer as Made
    except ImportError:
        raise AuditError(
            f"{where}: expected the package tokenizers, which is not installed; {INSTALL}, or take "
            f'tokenizer = "{BYTES}"'
        ) from None
    try:
        described = json.loads(content)
        made = Made.from_buffer(content)
    except Exception as error:  # of Rust: it has no type of its own
        raise AuditError(f"{where}: expected a tokenizer.json: {error!s:.200}") from None
    if isinstance(described.get("model"), dict) and described["model"].get("dropout"):
        raise AuditError(f"{where}: model.dropout: expected none: ids would be drawn anew at each reading")
    made.no_padding()
    made.no_truncation()
    made.encode_special_tokens = True
    return made


def _marked(ids: dict[str, int], name: str, mark: str) -> tuple[int, ...]:
    if not mark:
        return ()
    if mark not in ids:
        special = [token for token in ids if token[:1] + token[-1:] in ("<>", "[]")] or list(ids)
        raise unknown_name("token", mark, sorted(special)[:20], where=name)
    return (ids[mark],)


def tokenizer_of(text: str, *, begin: str = "", end: str = "") -> Tokenizer:
    """The tokenizer that a configuration names.

    Args:
        text: `bytes`, or the path of a tokenizer.json, or of the folder that holds it.
        begin: token before every document; of a file alone.
        end: token after it; of a file alone.

    Raises:
        AuditError: there is no such file, or it is no tokenizer.
    """
    if text == BYTES:
        for name, mark in (("begin", begin), ("end", end)):
            if mark:
                raise AuditError(f'{name}: expected none: tokenizer = "{BYTES}" has its own, got "{mark}"')
        return Bytes()
    path = tokenizer_file(text)
    stat = path.stat()
    if stat.st_size > LARGEST:
        raise AuditError(f"{path}: expected a tokenizer of at most {LARGEST} bytes, got {stat.st_size}")
    return _opened(path, stat.st_mtime_ns, stat.st_size, begin, end)


def tokenizer_file(text: str) -> Path:
    """The file that a path, or the folder of one, names.

    Raises:
        AuditError: there is none.
    """
    path = Path(os.path.expanduser(text))
    path = path / "tokenizer.json" if path.is_dir() else path
    if not path.is_file():
        raise AuditError(f'tokenizer: no file {path}; expected "{BYTES}", or the path of a tokenizer.json')
    return path


@functools.lru_cache(maxsize=4)
def _opened(path: Path, _changed: int, _size: int, begin: str, end: str) -> FromFile:
    return FromFile(path.read_bytes(), begin=begin, end=end, where=str(path))
