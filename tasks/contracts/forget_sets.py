"""What every kind of forget sets must hold to: training examples alone, the same every time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from tasks.contracts.described import fields_are_described
from tasks.contracts.small import global_random_state
from tasks.contracts.small_requests import small_request
from tasks.forget_sets.base import ForgetKind, ForgetRequest
from tasks.forget_sets.resolve import resolve


def kind_is_described(kind: ForgetKind, request: ForgetRequest) -> None:
    """A frozen dataclass, every field with a doc string."""
    fields_are_described(kind)


def choice_holds(kind: ForgetKind, request: ForgetRequest) -> None:
    """Sorted training examples, some but not all, with a provenance that can be stored."""
    chosen = resolve(kind, request)
    assert json.loads(json.dumps(dict(chosen.provenance))) is not None
    assert chosen.provenance.get("kind"), f"{type(kind).__name__}: provenance: expected a 'kind'"


def choosing_repeats_itself(kind: ForgetKind, request: ForgetRequest) -> None:
    """Two choices are equal, whatever they say of themselves."""
    first, second = (kind.select(request) for _ in range(2))
    name = type(kind).__name__
    assert np.array_equal(first.ids, second.ids), f"{name}: two choices differ"
    said = [(one.provenance, one.train_labels, one.trigger, one.notes) for one in (first, second)]
    assert said[0] == said[1], f"{name}: two choices differ in what they say of themselves"


def choosing_leaves_no_trace(kind: ForgetKind, request: ForgetRequest) -> None:
    """Labels, splits and the global random state are as they were."""
    before, labels = global_random_state(), request.labels.labels.copy()
    train = request.splits.train.copy()
    kind.select(request)
    name = type(kind).__name__
    assert global_random_state() == before, f"{name}: touched the global random state"
    assert np.array_equal(request.labels.labels, labels), f"{name}: changed the labels"
    assert np.array_equal(request.splits.train, train), f"{name}: changed the splits"


def needs_are_honest(kind: ForgetKind, request: ForgetRequest) -> None:
    """Of the scores, those are read that are declared, and no others."""
    scores = _Asked(request.scores)
    kind.select(
        ForgetRequest(labels=request.labels, splits=request.splits, scores=scores, hashes=request.hashes)
    )
    name, declared = type(kind).__name__, set(kind.needs)
    assert scores.asked <= declared, (
        f"{name}: reads scores that it does not declare: {sorted(scores.asked - declared)}"
    )
    assert declared <= scores.asked, (
        f"{name}: declares scores that it never reads: {sorted(declared - scores.asked)}"
    )


class _Asked(Mapping[str, np.ndarray]):
    """Scores that remember which of them were asked for."""

    def __init__(self, scores: Mapping[str, np.ndarray]) -> None:
        self._scores, self.asked = scores, set[str]()

    def __getitem__(self, name: str) -> np.ndarray:
        self.asked.add(name)
        return self._scores[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._scores)

    def __len__(self) -> int:
        return len(self._scores)


FORGET_SET_CONTRACTS: tuple[Callable[[ForgetKind, ForgetRequest], None], ...] = (
    kind_is_described,
    choice_holds,
    choosing_repeats_itself,
    choosing_leaves_no_trace,
    needs_are_honest,
)


def check_forget_set(kind: ForgetKind, request: ForgetRequest | None = None) -> None:
    """Run every contract of kinds of forget sets.

    Args:
        kind: with parameters that 160 images of four classes, or the documents of 32 persons, allow.
        request: what it chooses from; None: those, with random numbers for the scores that it needs.

    Raises:
        AssertionError: a contract is broken.
        AuditError: it cannot choose, or what it chooses is no forget set.
    """
    request = request or small_request(kind)
    for contract in FORGET_SET_CONTRACTS:
        contract(kind, request)
