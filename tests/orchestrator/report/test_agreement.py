"""Whoever asks gets one answer: the SQL, the report, the certificate as a page and as JSON, the exit code."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path

import pytest

from orchestrator.certificate import main
from orchestrator.report.certificate import as_json, as_page, certify
from orchestrator.report.facts.facts import Facts, gather_facts
from orchestrator.report.page import report_page
from orchestrator.report.subject import choose
from orchestrator.results.charts.answers import Answers
from orchestrator.results.connection import Results
from orchestrator.store.store import Store
from tasks.errors import AuditError
from tests.orchestrator.report.test_certificate import VALUES
from tests.support.audited import write_cell, write_models, write_run
from tests.support.report_pages import Page

FAILED = {"status": "failed", "error_type": "Diverged", "error": "loss is nan"}
EXITS = {"told apart": 3, "shown equivalent": 0, "undecided": 4}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path / "made"))
    write_run(store)
    return store


def reported(results: Results) -> tuple[Facts, str]:
    """What the report says, and its words."""
    facts = gather_facts(Answers(results))
    return facts, Page(report_page(facts)).words


def test_the_three_verdicts_are_those_of_the_sql_wherever_they_stand(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Results are made so that one model is told apart, one is shown equivalent, and one is undecided."""
    write_models(store, VALUES | {"kept": 0.9, "same": 0.502, "none": 0.502})
    write_models(store, {"wild": 0.5}, wobble=0.2)
    write_cell(store, "kept", attack="pgd", **FAILED)
    wanted = {"kept": "told apart", "same": "shown equivalent", "wild": "undecided"}
    with Results(store.root) as results:
        verdicts = {r["method"]: r["verdict"] for r in results.query("model_verdicts").to_pylist()}
        measures = {r["method"]: r for r in results.query("verdict").to_pylist()}
        (*_, total) = results.query("verdict_counts").to_pylist()
        facts, words = reported(results)
        certified = {m: certify(results, choose(results, forget_set="mine", method=m)) for m in wanted}
    (place,) = facts.places
    boards = {row.method: row.verdict for row in place.board.audited}
    compared = {m.method: m.entries[0].text for m in facts.comparisons[0].models}
    said = {m.method: m.said[0].verdict for m in facts.methods}
    for method, verdict in wanted.items():
        page, held = unescape(as_page(certified[method])), json.loads(as_json(certified[method]))
        chip = re.search(r'<p class="verdict"><span class="chip \w+">(.*?)</span>', page)
        answers = (verdicts, boards, compared, said)
        assert chip is not None
        assert {chip[1], held["verdict"], *(answer[method] for answer in answers)} == {verdict}
        (measure,) = held["finding"]["measures"]
        row = measures[method]
        assert (measure["difference"], measure["p"]) == (row["difference"], row["p_adjusted"])
        for sentence in (*held["finding"]["sentences"], *held["limits"], *held["finding"]["failed"]):
            assert sentence in page
    assert certified["kept"].finding.failed
    assert not certified["same"].finding.failed
    counts = (total["told_apart"], total["shown_equivalent"], total["undecided"])
    assert counts == (1, 2, 1)
    assert "1 of 4 unlearned models is told apart from retraining, 2 shown equivalent, 1 undecided." in words
    assert facts.headline == "Shown equivalent to retraining here: same, none."
    asked = [store.root, "--forget-set", "mine", "--method"]
    for method in ("kept", "same"):
        assert main([*asked, method, "--format", "json"]) == EXITS[wanted[method]]
        assert json.loads(capsys.readouterr().out)["verdict"] == wanted[method]
    write_models(store, {"no_op": 0.5})  # nothing is told apart, so nothing is shown
    assert main([*asked, "same", "--output", str(tmp_path / "c.html")]) == EXITS["undecided"]


def test_where_everything_failed_there_is_no_verdict_and_the_remedy_is_to_run_it_again(
    store: Store, tmp_path: Path
) -> None:
    for method in ("retrain", "no_op", "kept"):
        for seed in range(2):
            write_cell(store, method, seed=seed, **FAILED)
    with Results(store.root) as results:
        assert results.query("model_verdicts").num_rows == results.query("verdict_counts").num_rows == 0
        facts, words = reported(results)
    assert (facts.requests, facts.methods, facts.comparisons) == ((), (), ())
    assert "there is no verdict" in facts.headline
    assert "cells failed: 6" in words
    assert "Diverged loss is nan" in words
    output = tmp_path / "c.html"
    told = r"every audited cell has failed \(Diverged: loss is nan\); python .* --rerun failed --out"
    with pytest.raises(AuditError, match=told):
        main([store.root, "--forget-set", "mine", "--method", "kept", "--output", str(output)])
    assert not output.exists()


def test_controls_alone_are_judged_and_nobody_else(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    write_models(store, VALUES)
    with Results(store.root) as results:
        verdicts = {r["method"]: r["verdict"] for r in results.query("model_verdicts").to_pylist()}
        assert results.query("verdict_counts").num_rows == 0
        facts, words = reported(results)
    assert verdicts == {"retrain_third": "shown equivalent", "no_op": "told apart"}
    (place,) = facts.places
    shown = {row.method: row.verdict for row in place.board.rows if row.verdict}
    assert shown == verdicts
    assert (facts.requests, place.board.audited, facts.comparisons[0].models) == ((), [], ())
    assert "there is no verdict" in facts.headline
    assert "It takes two audited models; here are none." in words
    asked = [store.root, "--forget-set", "mine", "--method", "no_op", "--format", "json"]
    assert main(asked) == EXITS[verdicts["no_op"]]
    assert json.loads(capsys.readouterr().out)["verdict"] == verdicts["no_op"]
