"""What results hold becomes text of a page or a figure, whatever it is."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from orchestrator.report.drawing import Look
from orchestrator.report.plots import Mark, forest
from orchestrator.report.record import _listed, _run

SCRIPT = "<script>alert(1)</script>"


def test_a_recorded_run_is_text() -> None:
    held = json.dumps({SCRIPT: SCRIPT})
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
    row = dict.fromkeys(columns, held) | dict.fromkeys(names, SCRIPT)
    row |= {
        "started_at": datetime(2026, 1, 1, tzinfo=UTC),
        "seeds_json": json.dumps([SCRIPT]),
        "git_dirty": True,
    }
    page = _run(row, last=True)
    assert SCRIPT not in page
    assert page.count("&lt;script&gt;") > 5


def test_what_was_not_recorded_of_a_run_is_left_out() -> None:
    assert (
        _listed(json.dumps({"torch": "2.14", "cuda": None, "gpus": ["a", "b"], "why": ""}))
        == "torch 2.14, gpus a, b"
    )


def test_a_figure_takes_any_name() -> None:
    look = Look(colour="#000000", marker="o", hollow=False)
    names = ["x" * 10_000, "$\\frac$ $x$", "\x1b[31m\0"]
    marks = [Mark(label=name, value=0.1, low=0.0, high=0.2, look=look) for name in names]
    panel = forest("figure", "\n".join(names) * 20, marks, axis="gap", words="words")
    assert "<svg" in panel.inline()
