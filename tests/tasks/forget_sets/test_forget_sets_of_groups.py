"""Whole persons as forget sets, and copies of documents that stay."""

import numpy as np
import pytest

from tasks.datasets.base import Labels
from tasks.datasets.splits import Splits
from tasks.errors import AuditError
from tasks.forget_sets.base import ForgetRequest
from tasks.forget_sets.groups import Group, Groups
from tasks.forget_sets.resolve import resolve
from tasks.forget_sets.retained_documents import find_document_copies
from tasks.text.documents import documents

GROUPS = np.array([0, 0, 1, 2, 2, 2, 3, 4])
NAMES = ("ann", "bea", "cid", "dan", "eve")


def request(groups=GROUPS):
    labels = Labels(
        labels=np.zeros(8, dtype=np.int64),
        is_test=np.arange(8) == 7,
        class_names=("document",),
        vocabulary=9,
        longest=5,
        groups=groups,
        group_names=NAMES,
    )
    splits = Splits(train=np.arange(6), validation=np.array([6]), test=np.array([7]))
    return ForgetRequest(labels=labels, splits=splits)


def test_one_person_is_all_of_their_training_documents():
    assert resolve(Group(name="cid"), request()).ids.tolist() == [3, 4, 5]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Group(name="dan"), "name: group 'dan' has no training example"),
        (
            Group(name="beat"),
            r"name: expected one of the 5 groups of the data set, got 'beat'\. Did you mean 'bea'\?",
        ),
        (Groups(count=4), r"count: expected at most 3 \(groups with training examples\), got 4"),
    ],
)
def test_persons_that_cannot_be_forgotten_are_refused(kind, message):
    with pytest.raises(AuditError, match=message):
        resolve(kind, request())


def test_without_groups_nobody_is_whole():
    for kind in (Group(name="ann"), Groups(count=1)):
        with pytest.raises(AuditError, match="expected a data set whose examples belong to groups"):
            resolve(kind, request(groups=None))


def test_persons_at_random_are_whole_and_differ_by_draw():
    drawn = [resolve(Groups(count=2, draw=draw), request()) for draw in range(30)]
    for found in drawn:
        people = np.unique(GROUPS[found.ids])
        assert len(people) == 2
        assert found.ids.tolist() == np.flatnonzero(np.isin(GROUPS, people) & (np.arange(8) < 6)).tolist()
        assert found.provenance["groups"] == [NAMES[person] for person in people]
    assert len({tuple(found.ids.tolist()) for found in drawn}) == 3


def test_copies_of_documents_are_told_by_their_runs_of_words():
    text = list(range(1, 30))
    one_word_less = text[:4] + text[5:]
    many_words_changed = [word if place % 5 else 50 for place, word in enumerate(text)]
    found = find_document_copies(
        documents([text, one_word_less, many_words_changed, text, [60, 61, 62], text[:4]]),
        forget=np.array([1, 2, 3, 4, 5]),
        retained=np.array([0]),
    )
    assert found.exact.tolist() == [0, 0, 1, 0, 0]
    assert found.distance.tolist() == pytest.approx([0.19, 1.0, 0.0, 1.0, 1.0], abs=0.005)
    assert found.near.tolist() == [True, False, False, False, False]
    assert found.nearest.tolist() == [0] * 5
