"""Documents about people whom nobody is, made of nothing: an audit of language models without a download."""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import asdict, dataclass

import numpy as np

from tasks.datasets.base import Labels, TextSource, register
from tasks.errors import AuditError
from tasks.text.documents import Documents
from tasks.text.people import LONGEST, MOST_PEOPLE, People, people
from tasks.text.words import VOCABULARY


@register("fictitious_people")
@dataclass(frozen=True, kw_only=True)
class FictitiousPeople(TextSource):
    """One to three documents of each person, of two to four facts each, by templates over a closed vocabulary.

    Persons are exchangeable. Those of the public part are others than the audited ones: a base that is trained on it
    has seen how such documents are written, and nothing of those that are to be forgotten.
    """

    embedded = True

    num_train: int = 80
    """Persons to train on."""
    num_test: int = 40
    """Persons of the test part; 0 leaves the test split to the fractions."""
    num_public: int = 1200
    """Persons of the public part, which a base is trained on; 0: none."""
    seed: int = 0
    """Of the world: who exists and what is true of them."""

    def __post_init__(self) -> None:
        for name, least in (("num_train", 1), ("num_test", 0), ("num_public", 0)):
            if getattr(self, name) < least:
                raise AuditError(f"{name}: expected at least {least}, got {getattr(self, name)}")
        total = self.num_public + self.num_train + self.num_test
        if total > MOST_PEOPLE:
            raise AuditError(
                f"num_public, num_train, num_test: expected at most {MOST_PEOPLE} persons, as there are names, got "
                f"{total}"
            )

    def digest(self) -> str:
        """SHA-256 of the parameters, which determine every word."""
        return self._digest("audited", asdict(self))

    def public_digest(self) -> str:
        """SHA-256 of what determines the public part: it does not depend on who is audited."""
        public = {"num_public": self.num_public, "seed": self.seed}
        return self._digest("public", public) if self.num_public else ""

    def _digest(self, part: str, content: dict[str, int]) -> str:
        text = json.dumps(["fictitious_people", part, content], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def read_labels(self) -> Labels:
        """Whose each document is; all are of one class."""
        audited = self._audited()
        count = len(audited.documents)
        return Labels(
            labels=np.zeros(count, dtype=np.int64),
            is_test=audited.person >= self.num_train,
            class_names=("document",),
            vocabulary=len(VOCABULARY),
            longest=LONGEST,
            groups=audited.person,
            group_names=audited.names,
        )

    def read_inputs(self) -> Documents:
        """Documents of the training persons, then of the test persons."""
        return self._audited().documents

    def read_public(self) -> Documents | None:
        """Documents of further persons."""
        return _people(0, self.num_public, self.seed).documents if self.num_public else None

    def words(self) -> tuple[str, ...]:
        """The closed vocabulary; it is the same whoever exists."""
        return VOCABULARY

    def _audited(self) -> People:
        return _people(self.num_public, self.num_train + self.num_test, self.seed)


@functools.lru_cache(maxsize=4)
def _people(first: int, count: int, seed: int) -> People:
    return people(first, count, seed=seed)
