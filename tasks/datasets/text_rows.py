"""Data sets of documents that lie in files, a row a document: what is common to all formats."""

from __future__ import annotations

import functools
import hashlib
import json
import os
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tasks.datasets.base import Labels, TextSource
from tasks.errors import AuditError
from tasks.text.documents import Documents
from tasks.text.rows import Longer, Names, Row, check_rows, encode
from tasks.text.tokenizers import BYTES, Tokenizer, tokenizer_file, tokenizer_of


@dataclass(frozen=True, kw_only=True)
class Read:
    """What the files of a data set hold."""

    rows: tuple[Row, ...]
    """Training examples, then test examples."""
    num_train: int
    public: tuple[Row, ...]
    documents: Documents
    public_documents: Documents | None
    cut: int
    """Documents of all that were cut."""


@dataclass(frozen=True, kw_only=True)
class TextRows(TextSource):
    """Documents of rows. Example ids are rows: of the training part, then of the test part."""

    tokenizer: str = BYTES
    """bytes, or the path of a tokenizer.json (or of its folder); one that was not made on the audited text."""
    begin: str = ""
    """Token of a tokenizer.json that begins every document, such as "<s>"; empty: none."""
    end: str = ""
    """Token of a tokenizer.json that ends every document, such as "</s>"; empty: none."""
    longest: int = 0
    """Most tokens of a document; 0: no limit but that of the model."""
    longer: Longer = "refuse"
    """What becomes of longer documents: refuse, or cut at their end, which the plan says."""

    def __post_init__(self) -> None:
        if self.longest < 0 or self.longest == 1:
            raise AuditError(f"longest: expected 0, or 2 tokens or more, got {self.longest}")
        if self.longer == "cut" and not self.longest:
            raise AuditError('longest: expected the number of tokens to cut at, as longer = "cut", got 0')

    @abstractmethod
    def files(self) -> list[Path]:
        """Every file that is read; they are looked at again when one of them has changed.

        Raises:
            AuditError: one does not exist.
        """

    @abstractmethod
    def parts(self) -> tuple[list[Row], list[Row], list[Row]]:
        """Rows of the training, the test and the public part."""

    def named_parts(self, rows: Sequence[Row]) -> dict[str, np.ndarray]:
        """Ids of the examples of parts that the source has names for."""
        return {}

    def tokens(self) -> Tokenizer:
        """The tokenizer that the options name."""
        return tokenizer_of(self.tokenizer, begin=self.begin, end=self.end)

    def digest(self) -> str:
        """SHA-256 of the rows, of the tokenizer and of how long documents may be."""
        held = self._read()
        content = [[row.prompt, row.text, row.id, row.group] for row in held.rows]
        return self._digest("audited", held.num_train, content)

    def public_digest(self) -> str:
        """Likewise of the public part alone; empty where there is none."""
        public = self._read().public
        return self._digest("public", [[row.prompt, row.text] for row in public]) if public else ""

    def _digest(self, *content: object) -> str:
        settings = [self.tokens().digest(), self.longest, self.longer]
        return hashlib.sha256(json.dumps([*content, settings]).encode()).hexdigest()

    def read_labels(self) -> Labels:
        """Whose each document is, where the rows say it; all are of one class."""
        held, tokenizer = self._read(), self.tokens()
        groups, names = _groups(held.rows)
        public = held.public_documents.longest if held.public_documents else 0
        total = len(held.rows) + len(held.public)
        return Labels(
            labels=np.zeros(len(held.rows), dtype=np.int64),
            is_test=np.arange(len(held.rows)) >= held.num_train,
            class_names=("document",),
            vocabulary=tokenizer.vocabulary,
            fills=tokenizer.fills,
            prompted=all(row.prompt is not None for row in held.rows),
            longest=max(held.documents.longest, public),
            groups=groups,
            group_names=names,
            parts=self.named_parts(held.rows),
            notes=(f"{held.cut} of {total} documents are cut to {self.longest} tokens",) if held.cut else (),
        )

    def read_inputs(self) -> Documents:
        """The documents as ids."""
        return self._read().documents

    def read_public(self) -> Documents | None:
        """Those of the public part."""
        return self._read().public_documents

    def completion(self, text: str) -> list[int]:
        """Ids of a text, after the white space that the completions of the data begin with where it is one, to the end.

        Raises:
            AuditError: the tokenizer has no ids for it.
        """
        texts, tokenizer = [row.text for row in self._read().rows], self.tokens()
        leads = {said[: len(said) - len(said.lstrip())] for said in texts}
        lead = leads.pop() if len(leads) == 1 else ""
        return [*tokenizer.encode(lead + text.strip()), *tokenizer.end]

    def words(self) -> tuple[str, ...]:
        """The vocabulary of the tokenizer."""
        return self.tokens().words()

    def pieces(self, example: int) -> list[tuple[str, str]]:
        """A document as it was written; after a prompt, what is asked for is marked."""
        row = self._read().rows[example]
        return [(row.text, "")] if row.prompt is None else [(row.prompt, ""), (row.text, "completion")]

    def said(self, example: int) -> str:
        """The completion, or the text; of a document that is cut what is left of it, read from its ids."""
        held = self._read()
        if self.longer == "cut" and held.documents.lengths[example] == self.longest:
            ids = held.documents.tokens[example][held.documents.asked[example]].tolist()
            return self.tokens().decode(ids)
        return held.rows[example].text

    def names(self) -> tuple[str, ...]:
        """The ids that the rows give; empty where none does."""
        found = tuple(row.id or "" for row in self._read().rows)
        return found if any(found) else ()

    def text(self, example: int) -> str:
        """A document as it was written, its prompt too."""
        return self._read().rows[example].whole

    def _read(self) -> Read:
        files = self.files()
        if self.tokenizer != BYTES:
            files = [*files, tokenizer_file(self.tokenizer)]
        return _cached(self, tuple((file, file.stat().st_mtime_ns, file.stat().st_size) for file in files))


@functools.lru_cache(maxsize=2)
def _cached(source: TextRows, _state: tuple[tuple[Path, int, int], ...]) -> Read:
    train, test, public = source.parts()
    check_rows(train + test)
    _check_public(public, train + test)
    tokenizer = source.tokens()
    bounds = {"longest": source.longest, "longer": source.longer}
    documents, cut = encode(train + test, tokenizer, **bounds)  # type: ignore[arg-type]
    public_documents, public_cut = encode(public, tokenizer, **bounds) if public else (None, 0)  # type: ignore[arg-type]
    return Read(
        rows=tuple(train + test),
        num_train=len(train),
        public=tuple(public),
        documents=documents,
        public_documents=public_documents,
        cut=cut + public_cut,
    )


def _check_public(public: Iterable[Row], audited: Iterable[Row]) -> None:
    """A base that was trained on what is to be forgotten would remember it in every retrained model."""
    places = {row.whole: row.where for row in audited}
    for row in public:
        if row.whole in places:
            raise AuditError(
                f"{row.where}: this document is also {places[row.whole]}; expected a public part without audited ones"
            )


def _groups(rows: Sequence[Row]) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Numbers of the rows' groups, in the order in which they first occur, and their names."""
    names = [row.group for row in rows if row.group is not None]
    if not names:
        return None, ()
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.array([numbers[name] for name in names], dtype=np.int64), tuple(numbers)


def existing(name: str, path: str) -> Path:
    """The file at a path.

    Raises:
        AuditError: there is none.
    """
    found = Path(os.path.expanduser(path))
    if not found.is_file():
        raise AuditError(f"{name}: no file {found}")
    return found


@dataclass(frozen=True, kw_only=True)
class TextFiles(TextRows):
    """Documents in one file, or in one for each part."""

    path: str
    """File of the training examples; of all, where test_path is empty."""
    test_path: str = ""
    """File of the test examples; empty: the test split is drawn."""
    public_path: str = ""
    """File of the public part, which a base may be trained on; empty: none."""
    text_field: str = "text"
    """Field of a document that is to be said from its beginning."""
    prompt_field: str = "prompt"
    """Field of what is given."""
    completion_field: str = "completion"
    """Field of what is to be said after a prompt."""
    id_field: str = "id"
    """Field of a document's own name, of which no two are alike; it may be missing."""
    group_field: str = "group"
    """Field of whose a document is: splits keep a group together, and forget sets may name it. It may be missing."""

    @abstractmethod
    def rows_of(self, path: Path, names: Names) -> list[Row]:
        """Rows of one file."""

    def files(self) -> list[Path]:
        """Those that the paths name."""
        named = {name: getattr(self, name) for name in ("path", "test_path", "public_path")}
        return [existing(name, path) for name, path in named.items() if path or name == "path"]

    def parts(self) -> tuple[list[Row], list[Row], list[Row]]:
        """Rows of each file, none where there is no file."""
        names = Names(
            text=self.text_field,
            prompt=self.prompt_field,
            completion=self.completion_field,
            id=self.id_field,
            group=self.group_field,
        )
        self.files()
        train, test, public = (
            self.rows_of(Path(os.path.expanduser(path)), names) if path else []
            for path in (self.path, self.test_path, self.public_path)
        )
        return train, test, public
