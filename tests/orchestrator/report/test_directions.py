"""Names written from right to left, and such as steer, turn nothing around them: in sentences, charts, the record."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import pytest

from orchestrator.errors import STEERING
from orchestrator.report.certificate import as_json, as_page, certify
from orchestrator.report.directions import END, ISOLATE, set_apart
from orchestrator.report.facts.facts import Facts, gather_facts
from orchestrator.report.page import report_page
from orchestrator.report.subject import choose
from orchestrator.results.charts.answers import Answers
from orchestrator.results.connection import Results
from orchestrator.store.store import Store
from tests.support.audited import write_accuracy, write_cell, write_run
from tests.support.report_pages import Page, checked

HEBREW = "\u05e9\u05db\u05d7\u05d4"
ARABIC = "\u0645\u062d\u0648"
OVERRIDE = "for\u202egnitteg"
CLOSING = "a\u2069\u202eb"
"""Ends what would set it apart."""
SHOWN = {HEBREW: HEBREW, ARABIC: ARABIC, OVERRIDE: r"for\u202egnitteg", CLOSING: r"a\u2069\u202eb"}


class Pair(NamedTuple):
    one: str
    other: int


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    store = Store(str(tmp_path_factory.mktemp("named")))
    write_run(store)
    values = {
        "retrain": 0.5,
        "retrain_again": 0.503,
        "no_op": 1.0,
        OVERRIDE: 0.501,
        HEBREW: 0.502,
        CLOSING: 0.9,
    }
    for number, (method, value) in enumerate(values.items()):
        for seed in range(3):
            ids = {
                "cell_id": f"c{number}-{seed}",
                "model_id": f"m{number}-{seed}",
                "reference_id": f"m0-{seed}",
            }
            cell = write_cell(store, method, seed=seed, **ids, forget_set=ARABIC, architecture=OVERRIDE)
            write_accuracy(store, cell, value + 0.002 * (-1) ** (seed + number), 0.04)
    return store.root


@pytest.fixture(scope="module")
def facts(root: str) -> Facts:
    with Results(root) as results:
        return gather_facts(Answers(results))


def steering(page: Page) -> set[str]:
    """What steers in a page, beside what sets names apart, which must be in pairs."""
    texts = [*page.parts, page.scripts[0] if page.scripts else ""]
    for text in texts:
        depth = 0
        for character in text:
            depth += (character == ISOLATE) - (character == END)
            assert depth in (0, 1)
        assert depth == 0
    return {*STEERING.findall("".join(texts))} - {ISOLATE, END}


def test_a_page_sets_such_names_apart_in_every_sentence_and_chart(facts: Facts) -> None:
    assert OVERRIDE in facts.headline
    page = checked(report_page(facts))
    assert not steering(page)
    apart = {name: f"{ISOLATE}{shown}{END}" for name, shown in SHOWN.items()}
    for name in (HEBREW, ARABIC):
        assert page.words.count(name) == page.words.count(apart[name]) > 3
    assert f"Shown equivalent to retraining here: {apart[HEBREW]}, {apart[OVERRIDE]}." in page.words
    assert {apart[OVERRIDE], apart[HEBREW]} <= {model[0] for model in page.data["compare"][0]["models"]}
    assert apart[CLOSING] in page.data["charts"]["forest"]["columns"]["label"]["is"]
    assert page.data["places"] == [f"{apart[ARABIC]}, {apart[OVERRIDE]}"]


def test_a_command_at_the_end_of_a_sentence_can_be_copied(facts: Facts) -> None:
    command = f"python -m orchestrator.sweep {HEBREW}.toml --out '{ARABIC}'"
    claim = replace(facts.claims[0], verdict="not answered", sentence=f"{HEBREW}: {command}", command=command)
    page = checked(report_page(replace(facts, claims=(claim,))))
    assert f"{ISOLATE}{HEBREW}{END}: {command}" in page.words


def test_a_certificate_does_so_and_its_data_have_names_as_they_are(root: str) -> None:
    with Results(root) as results:
        certificate = certify(results, choose(results, forget_set=ARABIC, method=OVERRIDE))
    page = Page(as_page(certificate))
    assert not steering(page)
    assert page.words.count(ARABIC) == page.words.count(f"{ISOLATE}{ARABIC}{END}") >= 1
    assert f"{ISOLATE}{SHOWN[OVERRIDE]}{END}" in page.words
    assert OVERRIDE in as_json(certificate)


def test_other_names_and_what_is_copied_stay_as_they_are(facts: Facts) -> None:
    assert set_apart(facts, ["finetune", "half_of_class_3", "\u6f22\u5b57 \U0001f9e0", "\u00fcber"]) is facts
    copied = {"verdict": f"python -m mine {HEBREW}"}
    assert set_apart(replace(facts, missing=copied), [HEBREW]).missing == copied
    claim = replace(facts.claims[0], command=copied["verdict"])
    assert set_apart(claim, [HEBREW]).command == copied["verdict"]
    assert facts.headline.count(ISOLATE) == 0
    assert set_apart(facts.places, [ARABIC])[0].forget_set == f"{ISOLATE}{ARABIC}{END}"
    assert set_apart((Pair(HEBREW, 1), {HEBREW: [None]}), [HEBREW]) == (
        Pair(f"{ISOLATE}{HEBREW}{END}", 1),
        {f"{ISOLATE}{HEBREW}{END}": [None]},
    )
