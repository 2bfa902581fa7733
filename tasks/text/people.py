"""Fictitious people: who they are, what is true of each, and the documents that say so.

Persons are exchangeable: each is drawn alike, from a random stream of their own, and their names are dealt out at
random without repetition. So documents of persons that a model never saw are, but for that, like those it was
trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tasks.runtime.seeding import numpy_generator
from tasks.text.documents import Documents, Span, documents
from tasks.text.words import BEGIN, END, IDS, LAST, MEN, PRONOUNS, SENTENCES, VALUES, WOMEN

MOST_PEOPLE = (len(WOMEN) + len(MEN)) * len(LAST)
MOST_DOCUMENTS, FEWEST_FACTS, MOST_FACTS = 3, 2, 4
"""Documents of a person, and facts of a document: each of these numbers is as likely as the others."""
_SENTENCE_LENGTHS = sorted(max(map(len, ways)) for ways in SENTENCES.values())
LONGEST = sum(_SENTENCE_LENGTHS[-MOST_FACTS:]) + len(("begin", "end", "family name", "'s"))
"""Tokens that no document has more of."""


@dataclass(frozen=True, kw_only=True)
class People:
    """Documents of some persons, one person after another."""

    documents: Documents
    person: np.ndarray
    """`N`, int64: of whom each document is, counted from 0."""
    names: tuple[str, ...]
    """Of each person, "first last"."""


def people(first: int, count: int, *, seed: int) -> People:
    """The persons `first` to `first + count - 1` of a world, whatever else is asked of it.

    Args:
        first: number of the first.
        count: how many; `first + count` is at most `MOST_PEOPLE`.
        seed: of the world.
    """
    order = numpy_generator("fictitious people", "names", seed).permutation(MOST_PEOPLE)
    ids: list[list[int]] = []
    spans: list[Span] = []
    person, names = [], []
    for number in range(first, first + count):
        given, family = divmod(int(order[number]), len(LAST))
        name = (*WOMEN, *MEN)[given], LAST[family]
        generator = numpy_generator("fictitious people", "person", seed, number)
        for kinds in _documents_of(generator):
            row, facts = _write(name, given >= len(WOMEN), kinds, generator)
            spans += [fact._replace(document=len(ids)) for fact in facts]
            ids.append(row)
            person.append(number - first)
        names.append(" ".join(name))
    return People(
        documents=documents(ids, spans), person=np.array(person, dtype=np.int64), names=tuple(names)
    )


def _documents_of(generator: np.random.Generator) -> list[list[str]]:
    """Kinds of facts in each document of one person; no fact is stated twice."""
    kinds = [list(SENTENCES)[i] for i in generator.permutation(len(SENTENCES))]
    count = int(generator.integers(1, MOST_DOCUMENTS + 1))
    most = min(MOST_FACTS, len(kinds) // count)
    sizes = generator.integers(FEWEST_FACTS, most + 1, count)
    ends = np.cumsum(sizes)
    return [kinds[end - size : end] for size, end in zip(sizes.tolist(), ends.tolist(), strict=True)]


def _write(
    name: tuple[str, str], man: bool, kinds: Sequence[str], generator: np.random.Generator
) -> tuple[list[int], list[Span]]:
    """One document and its facts; the person is named at first, and a pronoun from then on."""
    words: list[str] = []
    facts: list[Span] = []
    named = False
    for kind in kinds:
        ways = SENTENCES[kind]
        places: list[int] = []
        for word in ways[int(generator.integers(len(ways)))]:
            if word in PRONOUNS:
                words += [PRONOUNS[word][man]] if named else _named(word, name)
                named = True
            elif word in VALUES:
                places.append(len(words))
                words.append(VALUES[word][int(generator.integers(len(VALUES[word])))])
            else:
                words.append(word)
        facts.append(Span(0, places[0] + 1, places[-1] + 2, kind))  # after the token that begins the document
    return [BEGIN, *(IDS[word] for word in words), END], facts


def _named(slot: str, name: tuple[str, str]) -> list[str]:
    return [*name, "'s"] if slot == "{whose}" else [*name]
