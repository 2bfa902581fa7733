"""TOFU from a local copy: questions about 200 fictitious authors, and answers (Maini et al. 2024, 2401.06121)."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tasks.datasets.base import register
from tasks.datasets.text_rows import TextRows, existing
from tasks.errors import AuditError
from tasks.text.alternatives import Alternatives
from tasks.text.jsonl import read_jsonl
from tasks.text.rows import Named, Names, Row, encode, read_rows

NAMES = Names(prompt="question", completion="answer")
PARAPHRASE, PERTURBED = "paraphrased_answer", "perturbed_answer"
"""Fields of the perturbed files: the answer in other words, and a list of wrong ones."""
BY_AUTHOR = 20
"""Rows of an author; they stand together."""
FULL = "full"


@register("tofu")
@dataclass(frozen=True, kw_only=True)
class Tofu(TextRows):
    """The files of the published data set, JSON lines named *.json: examples are the rows of full.json, in its order.

    Authors are groups. The other files without `_perturbed` in their name, such as forget10.json, name parts; those of
    forget and retain with it hold, for rows of full.json, the right answer in other words and some wrong ones.
    """

    folder: str
    """Folder of full.json."""
    test: str = "holdout10"
    """File of questions about other authors, without its suffix, that models are tested on; empty: the test split is
    drawn from the authors of full.json."""
    prompt: str = "Question: {question}\nAnswer:"
    """What a model is given."""
    before_answer: str = " "
    """What it is to say first; of most tokenizers the space belongs to the word that follows it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.prompt.count("{question}") != 1:
            raise AuditError(f"prompt: expected text with {{question}} in it once, got {self.prompt!r:.80}")

    def files(self) -> list[Path]:
        """Those whose rows are examples, and those that name parts."""
        full = self._file(FULL)
        folder = full.parent
        named = [path for path in folder.glob("*.json") if path.stem.startswith(("forget", "retain"))]
        return [
            full,
            *([self._file(self.test)] if self.test else []),
            *sorted(path for path in named if "_perturbed" not in path.stem),
        ]

    def parts(self) -> tuple[list[Row], list[Row], list[Row]]:
        """Rows of full.json and of the test file, with their authors; no public part."""
        train = self._of_authors(self._rows(self._file(FULL)), "author")
        test = self._of_authors(self._rows(self._file(self.test)), self.test) if self.test else []
        return train, test, []

    def named_parts(self, rows: Sequence[Row]) -> dict[str, np.ndarray]:
        """Rows of each further file, as ids."""
        places: dict[str, int] = {}
        for place, row in enumerate(rows):
            places.setdefault(row.whole, place)
        return {
            path.stem: _ids(self._rows(path), places) for path in self.files()[1:] if path.stem != self.test
        }

    def alternatives(self) -> Alternatives | None:
        """Paraphrased and wrong answers, as the perturbed files have them; of a row in several the first file's."""
        read = self._perturbed()
        if not read:
            return None
        example, right, rows = zip(*read, strict=True)
        documents, _ = encode(rows, self.tokens(), longest=self.longest, longer=self.longer)
        return Alternatives(
            example=np.array(example, dtype=np.int64), right=np.array(right), documents=documents
        )

    def alternatives_digest(self) -> str:
        """SHA-256 of them and of the tokenizer; empty where there are none."""
        read = [[example, right, row.prompt, row.text] for example, right, row in self._perturbed()]
        return self._digest("alternatives", read) if read else ""

    def _perturbed(self) -> list[tuple[int, bool, Row]]:
        """Example, whether the answer is right, and the answer as a row; by example."""
        folder = Path(os.path.expanduser(self.folder))
        files = [
            path for path in folder.glob("*_perturbed.json") if path.stem.startswith(("forget", "retain"))
        ]
        places: dict[str, int] = {}
        for place, row in enumerate(self._read().rows):
            places.setdefault(row.whole, place)
        found: dict[int, list[tuple[int, bool, Row]]] = {}
        for path in sorted(files):
            for where, fields in read_jsonl(path):
                (row,) = self._asked([(where, fields)])
                if row.whole not in places:
                    raise AuditError(f"{where}: expected a row of {FULL}.json, got another")
                answers = [(True, _answer(fields, PARAPHRASE, where))]
                answers += [(False, text) for text in _wrong_answers(fields, where)]
                example = places[row.whole]
                found.setdefault(
                    example,
                    [
                        (example, right, replace(row, text=self.before_answer + text))
                        for right, text in answers
                    ],
                )
        return [answer for example in sorted(found) for answer in found[example]]

    def _file(self, name: str) -> Path:
        return existing("folder" if name == FULL else "test", str(Path(self.folder) / f"{name}.json"))

    def _rows(self, path: Path) -> list[Row]:
        return self._asked(read_jsonl(path))

    def _asked(self, found: Iterable[Named]) -> list[Row]:
        """Questions as the model is asked, with their answers."""
        return [
            replace(
                row,
                prompt=self.prompt.replace("{question}", row.prompt or ""),
                text=self.before_answer + row.text,
            )
            for row in read_rows(found, NAMES)
        ]

    def _of_authors(self, rows: list[Row], called: str) -> list[Row]:
        if not rows or len(rows) % BY_AUTHOR:
            raise AuditError(
                f"{self.folder}: expected {BY_AUTHOR} rows of each {called}, got {len(rows)} rows in all"
            )
        return [replace(row, group=f"{called} {place // BY_AUTHOR}") for place, row in enumerate(rows)]


def _answer(fields: Mapping[str, Any], name: str, where: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value.strip():
        raise AuditError(f"{where}: '{name}': expected an answer, got {value!r:.40}")
    return value


def _wrong_answers(fields: Mapping[str, Any], where: str) -> list[str]:
    value = fields.get(PERTURBED)
    if not isinstance(value, list) or not value:
        raise AuditError(f"{where}: '{PERTURBED}': expected a list of answers, got {value!r:.40}")
    return [_answer({PERTURBED: one}, PERTURBED, where) for one in value]


def _ids(part: Sequence[Row], places: dict[str, int]) -> np.ndarray:
    for row in part:
        if row.whole not in places:
            raise AuditError(f"{row.where}: expected a row of {FULL}.json, got another")
    ids, count = np.unique([places[row.whole] for row in part], return_counts=True)
    if count.max(initial=1) > 1:
        twice = Counter(row.whole for row in part).most_common(1)[0][0]
        raise AuditError(f"{part[0].where}: expected each row once, got twice: {twice!r:.80}")
    return ids.astype(np.int64)
