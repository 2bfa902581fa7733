"""What results hold becomes text of a page, whatever it is: two walls, each of which holds alone."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from orchestrator.report.facts.confusion import Answered, Confusion, Matrix
from orchestrator.report.facts.drawn import Drawn, column
from orchestrator.report.facts.examples import Exhibits, Gallery, PlaceExamples, Shown
from orchestrator.report.facts.facts import Facts, gather_facts
from orchestrator.report.facts.history import History, Line, PlaceHistory
from orchestrator.report.facts.record import _listed, _run
from orchestrator.report.page import report_page
from orchestrator.results.charts.answers import Answers
from orchestrator.results.connection import Results
from orchestrator.store.store import Store
from tests.support.audited import write_accuracy, write_cell, write_run
from tests.support.report_pages import Page, checked

HOSTILE = (
    "</script></style><script>document.title='PWNED'</script>"
    "<img src=x onerror=\"document.title='PWNED'\">{{7*7}}\u2028'"
)
LONG = "x" * 300
RIGHT_TO_LEFT = "\u05e9\u05db\u05d7\u05d4 \U0001f9e0"


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Facts:
    """Of results whose architecture, forget set, methods, class names and texts are hostile."""
    store = Store(str(tmp_path_factory.mktemp("made")))
    write_run(store)
    for method, value in (
        ("retrain", 0.5),
        ("retrain_again", 0.5),
        ("no_op", 1.0),
        (HOSTILE, 0.9),
        (LONG, 0.7),
        (RIGHT_TO_LEFT, 0.6),
    ):
        for seed in range(3):
            known = {"cell_id": f"{len(method)}-{value}-{seed}", "model_id": f"{len(method)}-{value}-{seed}"}
            place = {"architecture": HOSTILE, "forget_set": HOSTILE, "reference_id": f"7-0.5-{seed}"}
            cell = write_cell(store, method, seed=seed, **known, **place)
            write_accuracy(store, cell, value + 0.001 * seed, 0.04)
    with Results(store.root) as results:
        found = gather_facts(Answers(results))
    shown = Shown(example=1, notes=(HOSTILE,), text=((HOSTILE, HOSTILE),))
    gallery = Gallery(title=HOSTILE, statistic=HOSTILE, caption=HOSTILE, shown=(shown,))
    places = tuple(PlaceExamples(galleries=(gallery,), groups=()) for _ in found.places)
    exhibits = Exhibits(images={}, classes={1: HOSTILE}, why_not=HOSTILE, documents=True, places=places)
    cell = Answered(row=0, column=0, share=900, retrained=1000)
    matrix = Matrix(
        place=0, label=HOSTILE, split=HOSTILE, seeds=3, classes=(1,), left_out=0, examples=(5,), cells=(cell,)
    )
    confusion = Confusion(matrices=(matrix,), left_out=0, names={1: HOSTILE})
    row = {"place": 0, "example": 1, "label": HOSTILE, "epoch": 0, "value": 1.0, "low": 0.5, "high": 1.5}
    rows = [
        row | {"epoch": epoch, "without": 0.0, "without_low": None, "without_high": None} for epoch in (0, 1)
    ]
    columns = {name: column([r[name] for r in rows]) for name in rows[0]}
    line = Line(example=1, label=HOSTILE, values=(1.0, 1.0), retrained=0.0)
    history = History(
        drawn=Drawn(name="history", rows=2, left_out=0, remark="", columns=columns),
        places=(PlaceHistory(epochs=(0, 1), lines=(line,), left_out=0, examples=1, of=1),),
    )
    return replace(found, headline=HOSTILE, exhibits=exhibits, confusion=confusion, history=history)


def test_the_first_wall_everything_is_escaped(facts: Facts) -> None:
    text = report_page(facts)
    page = checked(text)
    assert HOSTILE.replace("\u2028", " ") in page.words.replace("\u2028", " ")
    assert "PWNED" not in "".join(page.scripts[1:])
    assert "</script" not in page.scripts[0]
    held = json.loads(page.scripts[0])
    assert held["classes"]["1"] == HOSTILE
    assert held["confusion"]["names"]["1"] == HOSTILE
    assert HOSTILE in [model[0] for model in held["compare"][0]["models"]]
    assert HOSTILE in next(iter(held["charts"]["forest"]["columns"]["method"].values()))
    assert LONG in page.words
    assert RIGHT_TO_LEFT in page.words


def test_the_second_wall_the_policy_allows_no_script_that_got_past_the_first(facts: Facts) -> None:
    """By its rules a script that no hash names, a handler, an image of a file and a request are refused."""
    text = report_page(facts)
    text = text.replace("<main>", f"<main>{HOSTILE}", 1)
    page = Page(text)
    (rule,) = re.findall(r"script-src ([^;]+);", page.policy)
    assert all(source.startswith("'sha256-") for source in rule.split())
    assert not {"'unsafe-inline'", "'unsafe-eval'", "'unsafe-hashes'", "'self'", "*"} & set(rule.split())
    assert "default-src 'none'" in page.policy
    assert re.search(r"img-src data:;", page.policy)
    assert len(page.scripts) > 3
    assert page.handlers


def test_a_recorded_run_is_text() -> None:
    held = json.dumps({HOSTILE: HOSTILE})
    columns = ("host_json", "devices_json", "packages_json", "config_json", "plan_json")
    names = (
        "git_commit",
        "config_digest",
        "dataset",
        "dataset_digest",
        "splits_digest",
        "run_id",
        "diff_sha256",
    )
    row = dict.fromkeys(columns, held) | dict.fromkeys(names, HOSTILE)
    row |= {
        "started_at": datetime(2026, 1, 1, tzinfo=UTC),
        "seeds_json": json.dumps([HOSTILE]),
        "git_dirty": True,
    }
    run = _run(row)
    assert dict(run.facts)["seeds"] == HOSTILE
    assert dict(run.facts)["commit"].startswith(HOSTILE)


def test_what_was_not_recorded_of_a_run_is_left_out() -> None:
    assert _listed({"torch": "2.14", "cuda": None, "gpus": ["a", "b"], "why": ""}) == "torch 2.14, gpus a, b"
