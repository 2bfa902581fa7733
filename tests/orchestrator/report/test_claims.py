"""The papers' claims on the page: the sentences of `query claims`, a picture of each interval, and what is missing."""

from __future__ import annotations

import dataclasses
import html
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from orchestrator.report.facts.facts import gather_facts
from orchestrator.report.page import claim_reach, ends, report_page
from orchestrator.results.charts.answers import Answers
from orchestrator.results.claim_register import CLAIMS
from orchestrator.results.claims import ClaimAnswer, answers
from orchestrator.results.connection import Results
from orchestrator.results.own_queries import ask
from orchestrator.store.store import Store
from tests.support.audited import write_cell, write_models, write_run
from tests.support.claim_results import Kind, claim_results
from tests.support.fabricated import setting_of, write_setting
from tests.support.report_pages import checked


def section(page: str) -> str:
    found = re.search(r'<section id="claims".*?</section>', page, flags=re.DOTALL)
    assert found is not None
    return html.unescape(found[0])


@pytest.mark.parametrize("kind", ["effect", "few"])
def test_the_page_has_the_sentences_of_the_query_and_a_bar_for_each_interval(kind: Kind) -> None:
    with Results(claim_results(kind).root, "all") as results:
        said = answers(results)
        page = report_page(gather_facts(Answers(results)))
    checked(page)
    shown = section(page)
    assert all(one.sentence in shown for one in said)
    measured = [one for one in said if one.verdict != "not answered"]
    assert f"{len({one.claim for one in measured})} of 9 claims are measured here" in shown
    assert shown.count('class="iv"') == sum(one.low is not None for one in measured)
    assert all(f"queries/{one.name}.sql" in shown for one in measured)
    assert ("not measured here, and what would" in shown) == (len(measured) < len(said))


def queries_of(results: Results, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The queries that are run from now on, in a set that grows."""
    asked: set[str] = set()
    query = results.query

    def seen(name: str, **given: Any) -> pa.Table:
        asked.add(name)
        return query(name, **given)

    monkeypatch.setattr(results, "query", seen)
    return asked


def test_without_shadow_models_their_queries_are_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with Results(claim_results("effect").root, "all") as results:
        asked = queries_of(results, monkeypatch)
        monkeypatch.setattr(results.store, "keys", lambda table: set())
        found = {one.claim: one.verdict for one in answers(results)}
    assert [letter for letter, verdict in found.items() if verdict == "not answered"] == ["d", "e", "f", "g"]
    assert "claim_per_example" not in asked
    assert "claim_scopes" in asked


def test_queries_are_run_where_there_is_what_their_claims_take_or_a_parameter_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The results have no shadow models, nor any attack, scope, order or method that the claims are about."""
    store = Store(str(tmp_path / "made"))
    write_run(store)
    write_models(store, {"retrain": 0.5, "finetune": 0.6}, seeds=1)
    with Results(store.root) as results:
        asked = queries_of(results, monkeypatch)
        assert {one.verdict for one in answers(results)} == {"not answered"}
        assert not asked & {one.name for one in CLAIMS}
        answers(results, claim="i", method="finetune")
        answers(results, claim="c", scope="all")
        assert asked >= {"claim_closest", "claim_scopes"}


def test_twin_unlearning_under_another_name_is_asked_for_by_its_base(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "made"))
    write_run(store)
    row = {"method": "retrain", "attack": "none", "scope": "all", "model_id": "retrain-0"}
    made = setting_of(row | {"method": "mine", "model_id": "mine-0"}, **{"method.name": "twin"})
    write_setting(store, made)
    write_cell(store, "mine", setting=made.setting, conditions=made.conditions)
    with Results(store.root) as results:
        (ground,) = ask(results, "claim_ground")
    assert ground == {"a": False, "b": False, "c": False, "h": False, "i": True}


def test_a_bar_reaches_beyond_interval_and_margin_and_none_is_drawn_without_an_interval() -> None:
    with Results(claim_results("effect").root, "all") as results:
        one: ClaimAnswer = answers(results, claim="b")[0]
    one = dataclasses.replace(one, effect=0.1, low=-0.1, high=0.3, margin=0.05)
    assert claim_reach(one) == pytest.approx(0.33)
    assert ends(0.1, -0.1, 0.3, 0.05, 0.4) == "--l:38%;--h:88%;--m:44%;--d:62%"
    assert claim_reach(dataclasses.replace(one, low=None, high=None)) == 0.0
