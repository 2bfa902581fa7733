"""What results hold becomes text of a page, whatever it is: two walls, each of which holds alone."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

from orchestrator.report.facts.facts import Facts
from orchestrator.report.facts.record import _listed, _run
from orchestrator.report.page import report_page
from tests.support.hostile import HOSTILE, LONG, RIGHT_TO_LEFT
from tests.support.report_pages import Page, checked


def test_the_first_wall_everything_is_escaped(hostile: Facts) -> None:
    text = report_page(hostile)
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


def test_the_second_wall_the_policy_allows_no_script_that_got_past_the_first(hostile: Facts) -> None:
    """By its rules a script that no hash names, a handler, an image of a file and a request are refused."""
    text = report_page(hostile)
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
