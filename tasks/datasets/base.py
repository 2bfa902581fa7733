"""What a data source gives: labels cheaply for the plan, images or documents for the run. Imports no torch."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np

from tasks.errors import AuditError
from tasks.registry import Registry
from tasks.text.alternatives import Alternatives
from tasks.text.documents import NARROW_WORDS, Documents, hash_documents


@dataclass(frozen=True, kw_only=True)
class Labels:
    """Everything about a data set but the pixels or the text; enough to plan."""

    labels: np.ndarray
    """`N`, int64, in canonical order: the source's training examples, then its test examples."""
    is_test: np.ndarray
    """`N`, bool: the source's own test part; all False where it has none."""
    class_names: tuple[str, ...]
    """Documents are of one class."""
    image_shape: tuple[int, ...] = ()
    """Channels, height, width; empty where the examples are documents."""
    vocabulary: int = 0
    """Words that documents are made of, the one that fills rows among them; 0 where the examples are images."""
    fills: bool = True
    """Whether word 0 stands for nothing and fills rows; in the vocabulary of a published tokenizer it may be a word."""
    prompted: bool = False
    """Whether every example is a prompt and its completion."""
    longest: int = 0
    """Tokens that no document, public ones among them, has more of; 0 of images."""
    groups: np.ndarray | None = None
    """`N`, int64: of whom each example is, where examples belong together (the documents of a person)."""
    group_names: tuple[str, ...] = ()
    """By number; splits keep a group together."""
    coarse_labels: np.ndarray | None = None
    """`N`, int64: super-classes where the source has them (CIFAR-100)."""
    coarse_names: tuple[str, ...] = ()
    fine_labels: np.ndarray | None = None
    """`N`, int64: the classes below `labels`, where the model learns super-classes (sub-class forgetting)."""
    fine_names: tuple[str, ...] = ()
    parts: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Ids, int64, of named parts of the examples, where the source names any (TOFU's forget10)."""
    notes: tuple[str, ...] = ()
    """What a plan says of how the data were read (documents that were cut)."""

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def objective(self) -> str:
        """Name of what models of these examples are trained for (`tasks.objectives`)."""
        return "language" if self.vocabulary else "classify"

    @property
    def example_bytes(self) -> int:
        """Of all examples on a device: a byte for each value of an image, a word and a flag for each token."""
        if self.image_shape:
            return len(self.labels) * math.prod(self.image_shape)
        word = 2 if self.vocabulary <= NARROW_WORDS else 4
        return len(self.labels) * self.longest * (word + 1)


class DataSource(ABC):
    """A frozen dataclass whose fields say where and how to read."""

    version: ClassVar[int] = 1
    """Raised whenever what is read from the same files changes."""
    decodes: ClassVar[bool] = False
    """Whether images are decoded from files one by one, so that reading all of them takes time."""

    holds_inputs: ClassVar[bool] = True
    """Whether it can give what models see; False where outputs of models are all that is known of the examples."""
    embedded: ClassVar[bool] = False
    """Whether the data ship with a package or are made of nothing, so that anybody may see examples of them."""

    @property
    def origin(self) -> DataSource:
        """The source itself; of a part of a source, that source."""
        return self

    @abstractmethod
    def digest(self) -> str:
        """Hexadecimal digest of the content: equal content, equal digest, on any machine."""
        raise NotImplementedError

    @abstractmethod
    def read_labels(self) -> Labels:
        """Labels and shape, without decoding images where the format allows it."""
        raise NotImplementedError

    @abstractmethod
    def read_images(self) -> np.ndarray:
        """`N x C x H x W` in canonical order, uint8 (0..255) or float32 in [0, 1]."""
        raise NotImplementedError

    def read_inputs(self) -> np.ndarray | Documents:
        """What models see of all examples, in canonical order: images, or documents."""
        return self.read_images()

    def read_public(self) -> Documents | None:
        """What a base may be trained on that is no example of the audit; None: the source has no such part."""
        return None

    def public_digest(self) -> str:
        """Hexadecimal digest of the public part; empty where there is none."""
        return ""

    def read_some(self, rows: np.ndarray) -> np.ndarray:
        """Images of some examples, `n x C x H x W`, in the order of `rows`; for sources that need not read all."""
        return self.read_images()[rows]

    def names(self) -> tuple[str, ...]:
        """What people call each example: the file that it came from, or the id of a document; empty: nothing."""
        return ()

    def content_hashes(self) -> np.ndarray | None:
        """Content hash of each example, `N x 32`, uint8, without holding all images; None: no such way."""
        return None

    def read_file(self, path: Path) -> np.ndarray:
        """One image file as this data set would hold it, `C x H x W`; asked only of a source that `decodes`."""
        raise NotImplementedError


class TextSource(DataSource):
    """A data source whose examples are documents."""

    def read_images(self) -> np.ndarray:
        """Refuse.

        Raises:
            AuditError: always.
        """
        raise AuditError(f"{type(self).__name__}: expected documents to be asked for: it holds no images")

    @abstractmethod
    def read_inputs(self) -> Documents:
        """All documents in canonical order."""

    @abstractmethod
    def words(self) -> tuple[str, ...]:
        """The vocabulary by id; of no text of the audit alone, which would give its members away."""

    def completion(self, text: str) -> list[int]:
        """Ids of a text as what is said after a prompt, to the end of the document.

        Raises:
            AuditError: the documents have no prompts, or the text has words that they have not.
        """
        raise AuditError(
            f"expected documents with prompts and completions, and {type(self).__name__} has none"
        )

    def pieces(self, example: int) -> list[tuple[str, str]]:
        """A document in words, without what begins and ends it: runs of words, each with the kind of fact it states.

        The kind is empty between facts.
        """
        found, words = self.read_inputs(), self.words()
        ids = found.ids(example)
        pieces, place = [], 1
        for span in found.spans:
            if span.document == example:
                pieces += [(place, span.start, ""), (span.start, span.stop, span.kind)]
                place = span.stop
        pieces.append((place, len(ids) - 1, ""))
        return [(" ".join(words[token] for token in ids[a:b]), kind) for a, b, kind in pieces if a < b]

    def said(self, example: int) -> str:
        """The text of a document that is asked for, without what begins and ends it."""
        return " ".join(text for text, _ in self.pieces(example))

    def alternatives(self) -> Alternatives | None:
        """Other answers to the questions of some examples; None: the source has none."""
        return None

    def with_alternatives(self) -> np.ndarray:
        """Ids of the examples that have such answers, ascending, int64."""
        found = self.alternatives()
        return np.empty(0, dtype=np.int64) if found is None else np.unique(found.example)

    def alternatives_digest(self) -> str:
        """Hexadecimal digest of these answers, which are no part of `digest`; empty where there are none."""
        return ""

    def content_hashes(self) -> np.ndarray:
        """Content hash of each document, `N x 32`, uint8; see `tasks.text.documents.content_hash`."""
        return hash_documents(self.read_inputs())


datasets: Registry[DataSource] = Registry(
    "data set",
    contract=DataSource,  # type: ignore[type-abstract]
    package="tasks.datasets",
    group="lethe.datasets",
)
register = datasets.register
