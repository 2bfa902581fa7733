"""A few examples of a data set, for a first try: drawn by class, in the set's own order, numbered anew."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tasks.datasets.base import DataSource, Labels, TextSource
from tasks.runtime.seeding import numpy_generator
from tasks.text.alternatives import Alternatives
from tasks.text.documents import Documents


def limited(source: DataSource, labels: Labels, limit: int, seed: int) -> tuple[DataSource, Labels]:
    """At most so many examples of a source, and their labels; all of them where it has no more, or 0 is asked for.

    Args:
        source: the data set.
        labels: of all its examples.
        limit: examples of the training and the test part together, at most.
        seed: of the draw; with an equal seed a larger limit keeps what a smaller one has.
    """
    if not limit or limit >= len(labels.labels):
        return source, labels
    kind = LimitedText if isinstance(source, TextSource) else Limited
    made = kind(
        source=source, ids=_drawn(labels, limit, seed), told=f"{limit} of {len(labels.labels)}, seed {seed}"
    )
    return made, made.labels_of(labels)


def _drawn(labels: Labels, limit: int, seed: int) -> np.ndarray:
    """Sorted ids. Each part and class, or each part where groups are kept together, has its share."""
    generator = numpy_generator("limit", seed)
    units = np.arange(len(labels.labels)) if labels.groups is None else labels.groups
    strata = labels.is_test * np.int64(labels.num_classes) + (labels.labels if labels.groups is None else 0)
    rank = np.empty(len(units))
    for stratum in np.unique(strata):
        inside = np.flatnonzero(strata == stratum)
        names, places = np.unique(units[inside], return_inverse=True)
        shares = (generator.permutation(len(names)) + generator.random()) / len(names)
        rank[inside] = shares[places]
    order = np.lexsort((units, rank))  # whole groups, one after another
    if labels.groups is None:
        return np.sort(order[:limit])
    ends = np.flatnonzero(np.append(np.diff(units[order]) != 0, True)) + 1
    fits = ends[ends <= limit]
    return np.sort(order[: fits[-1] if len(fits) else ends[0]])


@dataclass(frozen=True, kw_only=True, eq=False)
class _Few:
    """What is common to images and documents."""

    source: DataSource
    ids: np.ndarray
    """Ids in the source, sorted; the id here is the place among them."""
    told: str

    @property
    def origin(self) -> DataSource:
        """The source that these examples are of."""
        return self.source.origin

    def digest(self) -> str:
        """SHA-256 of the source's digest and of the ids."""
        return hashlib.sha256(
            f"{self.source.digest()} limited ".encode() + self.ids.astype("<i8").tobytes()
        ).hexdigest()

    def names(self) -> tuple[str, ...]:
        """Those of the examples."""
        names = self.source.names()
        return tuple(names[i] for i in self.ids) if names else ()

    def public_digest(self) -> str:
        """Of the public part, which stays whole."""
        return self.source.public_digest()

    def read_public(self) -> Documents | None:
        """The public part, whole."""
        return self.source.read_public()

    def read_labels(self) -> Labels:
        """Those of the examples."""
        return self.labels_of(self.source.read_labels())

    def labels_of(self, labels: Labels) -> Labels:
        """The labels of these examples among those of all."""
        rows: Mapping[str, np.ndarray] = {
            name: getattr(labels, name)[self.ids]
            for name in ("labels", "is_test", "groups", "coarse_labels", "fine_labels")
            if getattr(labels, name) is not None
        }
        return replace(
            labels,
            **rows,  # type: ignore[arg-type]
            parts={name: np.flatnonzero(np.isin(self.ids, part)) for name, part in labels.parts.items()},
            notes=(
                *labels.notes,
                f"data.limit: {self.told} of data.split_seed; example ids number these alone",
            ),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Limited(_Few, DataSource):
    """Images."""

    @property
    def decodes(self) -> bool:  # type: ignore[override]
        """As the source."""
        return self.source.decodes

    def read_images(self) -> np.ndarray:
        """`n x C x H x W`."""
        return self.source.read_some(self.ids)

    def read_some(self, rows: np.ndarray) -> np.ndarray:
        """Some of them."""
        return self.source.read_some(self.ids[rows])

    def read_file(self, path: Path) -> np.ndarray:
        """As the source."""
        return self.source.read_file(path)


@dataclass(frozen=True, kw_only=True, eq=False)
class LimitedText(_Few, TextSource):
    """Documents."""

    def read_inputs(self) -> Documents:
        """The documents, with the facts that they state."""
        found = self.source.read_inputs()
        assert isinstance(found, Documents)
        places = {int(i): place for place, i in enumerate(self.ids)}
        return Documents(
            tokens=found.tokens[self.ids],
            lengths=found.lengths[self.ids],
            asked=found.asked[self.ids],
            spans=tuple(s._replace(document=places[s.document]) for s in found.spans if s.document in places),
        )

    def words(self) -> tuple[str, ...]:
        """The vocabulary of the source."""
        return self._texts.words()

    def completion(self, text: str) -> list[int]:
        """As the source."""
        return self._texts.completion(text)

    def pieces(self, example: int) -> list[tuple[str, str]]:
        """As the source shows the document."""
        return self._texts.pieces(int(self.ids[example]))

    def said(self, example: int) -> str:
        """As the source says it."""
        return self._texts.said(int(self.ids[example]))

    def alternatives(self) -> Alternatives | None:
        """Those to questions of these documents."""
        found = self._texts.alternatives()
        if found is None:
            return None
        kept = np.flatnonzero(np.isin(found.example, self.ids))
        every = found.documents
        return Alternatives(
            example=np.searchsorted(self.ids, found.example[kept]),
            right=found.right[kept],
            documents=Documents(
                tokens=every.tokens[kept], lengths=every.lengths[kept], asked=every.asked[kept]
            ),
        )

    def alternatives_digest(self) -> str:
        """Of all of the source; which are kept follows from the ids."""
        return self._texts.alternatives_digest()

    @property
    def _texts(self) -> TextSource:
        assert isinstance(self.source, TextSource)
        return self.source
