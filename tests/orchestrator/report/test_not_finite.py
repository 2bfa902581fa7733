"""Measures that are no finite numbers: page, facts, figures and certificate say so, and draw nothing in their place."""

from __future__ import annotations

import json
import math
import re

import pytest

from orchestrator.report.certificate import as_json, as_page, certify
from orchestrator.report.facts.board import distance
from orchestrator.report.facts.facts import gather_facts
from orchestrator.report.page import report_page
from orchestrator.report.subject import choose
from orchestrator.results.charts.answers import Answers
from orchestrator.results.charts.chart import chart
from orchestrator.results.charts.drawable import drawable
from orchestrator.results.connection import Results
from orchestrator.store.store import Store
from tests.support.audited import write_accuracy, write_cell, write_run
from tests.support.report_pages import checked

VALUES = {
    "retrain": 0.5,
    "retrain_again": 0.503,
    "no_op": 1.0,
    "endless": math.inf,
    "lost": math.nan,
    "fine": 0.6,
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    store = Store(str(tmp_path_factory.mktemp("not_finite")))
    write_run(store)
    for number, (method, value) in enumerate(VALUES.items()):
        for seed in range(3):
            cell = write_cell(store, method, seed=seed)
            write_accuracy(store, cell, value + 0.002 * (-1) ** (seed + number), 0.04)
    return store.root


@pytest.mark.parametrize("method", ["endless", "lost"])
def test_a_value_that_is_not_finite_is_unknown_everywhere(root: str, method: str) -> None:
    with Results(root) as results:
        answers = Answers(results)
        facts, drawn = gather_facts(answers), chart(answers, "forest")
        certificate = certify(results, choose(results, forget_set="mine", method=method))
    page = report_page(facts)
    (row,) = [
        row for row in json.loads(facts.as_json())["places"][0]["board"]["rows"] if row["method"] == method
    ]
    cell = row["cells"][0]
    assert (cell["value"], cell["difference"], cell["verdict"]) == (None, None, "undecided")
    (held,) = [
        one for one in json.loads(as_json(certificate))["finding"]["measures"] if one["split"] == "forget"
    ]
    assert held["value"] is None
    for text in (
        checked(page).words,
        re.sub(r"<style>.*?</style>|<[^>]*>", " ", as_page(certificate), flags=re.S),
    ):
        assert not re.search(r"[+\u2212 ](nan|inf)\b", text)
    assert [row["method"] for row in drawn.rows] == ["no_op", "fine"]
    assert "2 rows of all results stand at a number that is not finite and are not drawn" in page
    assert "NaN" not in drawn.figure()[0]


def test_an_interval_without_a_finite_end_is_not_drawn() -> None:
    row = {"value": 0.5, "low": 0.4, "high": 0.6}
    bad = [row | {"high": math.inf}, row | {"low": math.nan}, row | {"value": -math.inf}, row]
    unknown = row | {"low": None, "high": None}
    assert drawable(bad) == [unknown, unknown, row]


def test_a_measure_that_is_no_number_brings_no_model_close(root: str) -> None:
    with Results(root) as results:
        findings = {f.method: f for f in Answers(results).evidence.findings}
    assert distance([findings["fine"], findings["lost"]]) == math.inf
    assert distance([findings["lost"], findings["fine"]]) == math.inf


def test_two_models_of_which_one_is_not_finite_have_no_interval_of_their_difference(root: str) -> None:
    with Results(root) as results:
        pairs = results.query("method_pairs").to_pylist()
        means = {row["method"]: row for row in results.query("seed_variance").to_pylist()}
        (compared,) = gather_facts(Answers(results)).comparisons
    assert len(pairs) == 3
    assert {(r["difference_low"], r["difference_high"], r["no_interval"]) for r in pairs} == {
        (None, None, "no finite values")
    }
    for method in ("endless", "lost"):
        assert (means[method]["mean_low"], means[method]["mean_high"]) == (None, None)
    assert {found for pair in compared.pairs.found for found in pair.differences} == {
        (None, None, None, "no finite values")
    }
