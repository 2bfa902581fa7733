"""Whoever changes the numbers of a method, an attack, a data set or a forget set raises its `version`."""

from __future__ import annotations

import json

import pytest

from tests.support import source_digests
from tests.support.source_digests import COMMAND, TABLE, code_digest, found, normalised, stale

SOURCE = '''"""A method."""

RATE = 0.5


class Method:
    """What it is."""

    lr: float = 0.1
    """Learning rate."""

    def step(self, run):
        return run * RATE  # half
'''


def test_no_code_changed_under_its_version() -> None:
    problems = stale(json.loads(TABLE.read_text()), found())
    assert not problems, (
        "\n".join(problems)
        + "\nRaise `version` in the class where equal parameters now give other numbers. Then, or where no number "
        f"changes: {COMMAND}"
    )


@pytest.mark.parametrize(
    ("old", "new", "counts"),
    [
        ("0.5", "0.25", True),
        ("run * RATE", "run + RATE", True),
        ("lr: float = 0.1", "lr: float = 0.2", True),
        ("  # half", "", False),
        ('"""What it is."""', '"""What else it is."""', False),
        ('"""Learning rate."""', '"""Step size."""', False),
        ("return run * RATE", "return (\n            run * RATE\n        )", False),
    ],
)
def test_code_counts_and_words_do_not(old: str, new: str, counts: bool) -> None:
    assert old in SOURCE
    assert (normalised(SOURCE) != normalised(SOURCE.replace(old, new))) is counts


def test_a_digest_follows_the_parts_of_a_method(monkeypatch: pytest.MonkeyPatch) -> None:
    before = code_digest("tasks.unlearn.finetune"), code_digest("tasks.unlearn.no_op")
    read = source_digests._source

    def edited(module: str) -> str:
        return read(module) + ("\nEDITED = 1\n" if module == "tasks.unlearn.parts.descent" else "")

    monkeypatch.setattr(source_digests, "_source", edited)
    after = code_digest("tasks.unlearn.finetune"), code_digest("tasks.unlearn.no_op")
    assert after[0] != before[0]
    assert after[1] == before[1]


@pytest.mark.parametrize(
    "module", ["tasks.metrics.audit", "tasks.shadows.moments", "tasks.statistics.intervals"]
)
def test_an_attacks_digest_follows_what_makes_its_numbers(
    monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    before, read = source_digests.code_digest("tasks.attacks.lira"), source_digests._source
    monkeypatch.setattr(source_digests, "_source", lambda name: read(name) + "ADDED = 1\n" * (name == module))
    assert source_digests.code_digest("tasks.attacks.lira") != before


def test_stale_entries_are_told_apart() -> None:
    table = {name: {"version": 1, "code": name} for name in ("same", "raised", "edited", "gone")}
    now = {**table, "raised": {"version": 2, "code": "x"}, "edited": {"version": 1, "code": "x"}}
    now["new"] = now.pop("gone")
    assert stale(table, now) == [
        "edited: its code changed, its version did not",
        "gone is gone",
        "new is not in the table",
        "raised: its version was raised",
    ]
