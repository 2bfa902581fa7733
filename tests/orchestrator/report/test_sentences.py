"""Sentences of report and certificate: what was not tested is told from what was tested and did not see."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.report.facts.answer import headline
from orchestrator.report.facts.board import Board
from orchestrator.report.facts.examples import _far
from orchestrator.report.sentences import power, reservations
from orchestrator.results.evidence import Place

PLACE = Place(dataset="digits", architecture="net", forget_set="random")


def test_how_far_an_example_is_has_a_minus_sign_and_shares_a_space_before_their_sign() -> None:
    row = {"excess": -4.04, "accuracy": 1.0, "retrained_accuracy": 0.333}
    shares = ["right: 100\N{NO-BREAK SPACE}%", "retrained: 33\N{NO-BREAK SPACE}%"]
    assert _far(row, documents=False) == ["\N{MINUS SIGN}4.0 logits", *shares]
    assert _far(row | {"excess": 3.55}, documents=True) == ["+3.5 logits"]


def evidence(**sees: bool | None) -> Any:
    """Of the model to which nothing was done, by the words of a measure whether that measure tells it apart."""
    findings = [SimpleNamespace(words=words, sees=one, told_apart=bool(one)) for words, one in sees.items()]
    return SimpleNamespace(judged=lambda *_, **__: findings)


@pytest.mark.parametrize(
    ("sees", "said"),
    [
        ({"auc": True}, "on 1 of 1 primary measure of forgetting."),
        ({"auc": True, "accuracy": False}, "on 1 of 2 primary measures of forgetting, not by accuracy."),
        (
            {"auc": True, "accuracy": None},
            "on 1 of 1 primary measure of forgetting that could be tested. Not tested: accuracy.",
        ),
        (
            {"auc": True, "loss": False, "accuracy": None},
            "on 1 of 2 primary measures of forgetting that could be tested, not by loss. Not tested: accuracy.",
        ),
    ],
)
def test_a_measure_that_was_not_tested_is_not_one_that_does_not_see(
    sees: dict[str, bool | None], said: str
) -> None:
    tested = [one for one in sees.values() if one is not None]
    text = power(evidence(**sees), PLACE, forgetting=len(tested), seeing=sum(tested))
    assert text == f"Doing nothing is told apart by more than its margin {said}"


@pytest.mark.parametrize(
    ("forgetting", "seeds", "why", "reserved"),
    [
        (1, 3, "doing nothing passes for forgetting too", "Here no primary measure of forgetting tells"),
        (0, 1, "one seed decides nothing", "Doing nothing was not tested on a primary measure"),
        (
            0,
            3,
            "whether doing nothing passes is unknown",
            "Doing nothing was not tested on a primary measure",
        ),
    ],
)
def test_the_headline_says_why_nothing_can_be_shown(
    forgetting: int, seeds: int, why: str, reserved: str
) -> None:
    total = {"visible": 0, "declared_after": 0, "blind": 1, "places": 1, "undecided": 1}
    total |= {"forgetting": forgetting, "most_seeds": seeds}
    request: Any = SimpleNamespace(answers=(SimpleNamespace(sees=False, place=0),))
    said = headline([request], [Board(columns=(), rows=())], total)
    assert said == f"Nothing can be shown to be forgotten here: {why}."
    (sentence,) = reservations(total)
    assert sentence.startswith(reserved)
