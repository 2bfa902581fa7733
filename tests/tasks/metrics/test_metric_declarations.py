"""Every metric is declared once, with a reason for its margin, and reads as the field reads it."""

from __future__ import annotations

import math

import pytest

from tasks.attacks.base import attacks
from tasks.errors import AuditError
from tasks.metrics.base import Metric
from tasks.metrics.catalogue import CATALOGUE

GIVEN = {
    "name": "m",
    "about": "",
    "low": 0,
    "high": 1,
    "kind": "utility",
    "higher_is": "better",
    "error": "binomial",
    "margin": None,
    "margin_because": "none makes sense",
}


def test_attacks_report_what_the_catalogue_holds_and_no_name_means_two_things() -> None:
    reported: dict[str, Metric] = {}
    for name in attacks.names():
        for metric in attacks.get(name).metrics:
            assert reported.setdefault(metric.name, metric) is metric, f"{metric.name} is declared twice"
    assert reported == CATALOGUE


@pytest.mark.parametrize(
    ("name", "split", "game", "reading"),
    [
        ("accuracy", "test", None, ("utility", "better", "binomial")),
        ("accuracy", "forget", None, ("forgetting", "closer_to_retrained", "binomial")),
        ("robust_accuracy_area", "forget", None, ("forgetting", "closer_to_retrained", "mean")),
        ("ua_gap", "forget", None, ("forgetting", "closer_to_retrained", "paired_binomial")),
        ("auc", "forget", "G2-population", ("forgetting", "closer_to_retrained", "auc")),
        ("auc", "forget", "G2", ("forgetting", "closer_to_retrained", "two_way")),
        ("tpr_at_fpr", "forget", "G2-population", ("forgetting", "worse", "binomial")),
        ("tpr_at_fpr", "forget", "G1", ("forgetting", "closer_to_retrained", "two_way")),
        ("epsilon_lower_bound", "forget", "G1", ("forgetting", "worse", "bound")),
        ("average_gap", "all", None, ("forgetting", "worse", "paired_binomial")),
        ("tug_of_war", "all", None, ("forgetting", "better", "paired_binomial")),
        ("prediction_agreement", "test", None, ("utility", "better", "binomial")),
    ],
)
def test_how_metrics_are_read(name: str, split: str, game: str | None, reading: tuple[str, ...]) -> None:
    assert CATALOGUE[name].reading(split, game) == reading


@pytest.mark.parametrize("metric", CATALOGUE.values(), ids=CATALOGUE)
def test_a_margin_lies_within_the_range_and_is_small(metric: Metric) -> None:
    assert metric.about
    if metric.margin is not None:
        assert math.isfinite(metric.high)
        assert metric.margin <= 0.06 * (metric.high - metric.low)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"low": 1},
        {"margin": 1.0},
        {"margin": 0.0},
        {"error": "none"},
        {"no_interval": "it is counted"},
        {"margin_because": ""},
    ],
    ids=str,
)
def test_a_declaration_that_says_too_little_is_refused(wrong: dict[str, object]) -> None:
    Metric(**GIVEN)
    with pytest.raises(AuditError, match="metric '"):
        Metric(**{**GIVEN, **wrong})
