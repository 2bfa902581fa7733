"""JSON in columns of results is read as what it is to be, or refused in one line."""

from __future__ import annotations

import pytest

from orchestrator.store.json_columns import LONGEST, json_column
from tasks.errors import AuditError


def test_json_of_the_kind_is_read() -> None:
    assert json_column('{"a": 1}', dict, where="here") == {"a": 1}
    assert json_column("[1]", (dict, list), where="here") == [1]
    assert json_column(None, dict, where="here") == {}
    assert json_column("", (list, dict), where="here") == []


@pytest.mark.parametrize(
    "text",
    [
        "no JSON",
        "[]",
        "1",
        "null",
        '"text"',
        "9" * 10_000,
        "[" * 100_000,
        '{"a":' * 50_000 + "1" + "}" * 50_000,
        '{"a": "' + "x" * LONGEST + '"}',
    ],
    ids=["text", "list", "number", "null", "string", "digits", "deep lists", "deep tables", "long"],
)
def test_anything_else_is_one_short_line(text: str) -> None:
    with pytest.raises(AuditError, match=r"results: runs\.plan_json: expected JSON of a dict, got") as caught:
        json_column(text, dict, where="runs.plan_json")
    assert len(str(caught.value)) < 200
