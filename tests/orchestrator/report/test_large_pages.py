"""Pages of large results: below 3 MB, and what is left out is said and changes no sentence."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.report.facts.board import Board
from orchestrator.report.facts.facts import Facts, gather_facts
from orchestrator.report.facts.fitted import (
    MOST_MODELS,
    MOST_PLACES,
    MOST_SEEDS,
    Ranks,
    both_ends,
    fitted,
    trimmed,
)
from orchestrator.report.page import report_page
from orchestrator.results.charts.answers import Answers
from orchestrator.results.connection import Results
from orchestrator.results.evidence import Place
from tests.support.large_results import SHAPES, Shape, write_large
from tests.support.report_pages import checked

MOST_BYTES = 3_000_000
FIXED = 855_000
"""Bytes of a page of few cells: the runtime of the charts, their specifications and the text of queries."""


def said_of(root: str) -> tuple[Facts, str, dict[str, Any]]:
    """The facts of results, the page of them, and what their SQL counts."""
    with Results(root) as results:
        facts = gather_facts(Answers(results))
        (counts,) = results.sql(
            "select count(*) as models, count(distinct (dataset, architecture, forget_set)) as places, "
            "count(*) filter (where verdict = 'told apart') as told_apart from model_verdicts where role = 'audited'"
        ).to_pylist()
    return facts, report_page(facts), counts


@pytest.fixture(scope="module")
def many_models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Facts, str, dict[str, Any]]:
    few = {"examples": 24, "sets_with_examples": 1}
    shape = Shape(seeds=1, forget_sets=3, methods=170, scopes=2, attacks=2, name="_of_a_long_name", **few)
    assert shape.cells > 2_000
    return said_of(write_large(str(tmp_path_factory.mktemp("models")), shape).root)


@pytest.fixture(scope="module")
def many_places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Facts, str, dict[str, Any]]:
    shape = Shape(
        seeds=2, forget_sets=MOST_PLACES + 7, methods=1, attacks=1, examples=4, sets_with_examples=2
    )
    return said_of(write_large(str(tmp_path_factory.mktemp("places")), shape).root)


def test_a_page_of_two_thousand_cells_grows_by_few_bytes_a_cell(
    many_models: tuple[Facts, str, dict[str, Any]],
) -> None:
    _, page, _ = many_models
    assert len(page.encode()) < FIXED + 500 * 2_000


def test_models_that_a_page_leaves_out_are_counted_and_say_what_has_them(
    many_models: tuple[Facts, str, dict[str, Any]],
) -> None:
    facts, text, counts = many_models
    page = checked(text)
    boards = [place.board for place in facts.places]
    assert sum(len(board.rows) for board in boards) <= MOST_MODELS
    assert all(board.left_out for board in boards)
    assert sum(len(board.audited) + board.left_out for board in boards) == counts["models"]
    assert {row.role for row in boards[0].rows} == {
        "reference",
        "noise_floor",
        "control",
        "ceiling",
        "audited",
    }
    ranks = [row.rank for row in boards[0].audited]
    assert (ranks[0], ranks[-1]) == (1, counts["models"] // 3)
    for board in boards:
        all_of = board.left_out + len(board.audited)
        assert f"{board.left_out} of {all_of} audited models are not among these rows" in page.words
    assert f"{counts['told_apart']} of {counts['models']} unlearned models" in page.words
    assert sum(method.left_out + len(method.said) for method in facts.methods) == counts["models"]
    for chart in facts.charts:
        assert bool(chart.left_out) == bool(chart.remark)
        assert chart.remark in page.words
    assert {chart.name for chart in facts.charts if chart.left_out} >= {"forest", "exposure"}


def test_places_that_a_page_leaves_out_are_counted_and_answers_are_of_all(
    many_places: tuple[Facts, str, dict[str, Any]],
) -> None:
    facts, text, counts = many_places
    page = checked(text)
    assert (len(facts.places), facts.places_left_out) == (MOST_PLACES, 7)
    assert (
        f"7 of {counts['places']} places (architecture and forget set) are left out of this page"
        in page.words
    )
    assert f"{counts['told_apart']} of {counts['models']} unlearned models" in page.words
    shown = {answer.place for request in facts.requests for answer in request.answers}
    assert shown == set(range(MOST_PLACES))
    assert {*page.data["charts"]["cost"]["columns"]["place"]["is"]} == shown


def of_models(count: int, places: int) -> tuple[list[Place], list[Board], list[dict[str, Any]]]:
    """Places with boards of so many audited models and one control each, and three rows of a chart of each."""
    kept, boards, rows = [], [], []
    for number in range(places):
        place = Place(dataset="d", architecture="a", forget_set=f"f{number}")
        models = [(f"m{i}", "audited") for i in range(count)]
        named: list[Any] = [_Named(method, role) for method, role in (("no_op", "ceiling"), *models)]
        kept.append(place)
        boards.append(Board(columns=(), rows=tuple(named)))
        rows += [
            {
                "dataset": "d",
                "architecture": "a",
                "forget_set": place.forget_set,
                "role": row.role,
                "scope": "all",
            }
            | {"method": row.method, "label": row.method, "measure": measure, "value": float(i)}
            for measure in ("one", "two", "three")
            for i, row in enumerate(named)
        ]
    return kept, boards, rows


class _Named:
    """As much of a row of a leaderboard as is asked for."""

    def __init__(self, method: str, role: str) -> None:
        self.method, self.role, self.scope = method, role, "all"


def test_leaderboards_are_cut_between_the_closest_and_the_farthest() -> None:
    _, boards, _ = of_models(30, 50)
    cut = trimmed(boards)
    assert MOST_MODELS - 50 < sum(len(board.rows) for board in cut) <= MOST_MODELS
    methods = [row.method for row in cut[0].rows]
    assert methods == ["no_op", *(f"m{i}" for i in (*range(10), *range(21, 30)))]
    assert cut[0].left_out == 11
    few = boards[:3]
    assert trimmed(few) == few
    assert both_ends([1, 2, 3, 4, 5], 3) == [1, 2, 5]


def test_a_chart_keeps_the_models_at_both_ends_and_then_fewer_values_of_its_choices() -> None:
    places, boards, rows = of_models(30, 50)  # 4,650 rows
    ranks = Ranks(places, boards)
    fit = fitted("harm", ("measure",), rows, ranks)
    assert len(fit.rows) == 50 * 3 * (8 + 1)
    assert {row["method"] for row in fit.rows} == {"no_op", *(f"m{i}" for i in (0, 1, 2, 3, 26, 27, 28, 29))}
    assert fit.remark.startswith(
        "1350 of 4650 rows are in this page: of each place those of the 8 models at both ends"
    )
    assert fitted("forest", ("measure",), rows, ranks).rows == rows
    assert fitted("forest", ("measure",), rows, ranks).remark == ""
    places, boards, rows = of_models(30, 300)
    fit = fitted("harm", ("measure",), rows, Ranks(places, boards))
    assert {row["measure"] for row in fit.rows} == {"one", "two"}
    assert "for the first 2 of its choices" in fit.remark


def test_of_many_seeds_the_extremes_are_drawn() -> None:
    places, boards, rows = of_models(3, 1)
    one = [row for row in rows if row["measure"] == "one"]
    seeds = [
        row | {"label": f"{row['method']}, seed {seed}", "value": (seed * 37 % 101) / 10}
        for row in one
        for seed in range(101)
    ]
    fit = fitted("seeds", (), seeds, Ranks(places, boards))
    assert len(fit.rows) == MOST_SEEDS
    for method in ("no_op", "m0", "m2"):
        values = [row["value"] for row in fit.rows if row["method"] == method]
        assert (min(values), max(values)) == (0.0, 10.0)
    assert fit.remark.startswith(
        f"{MOST_SEEDS} of 404 rows are in this page: of each model the lowest, the highest"
    )
    assert fitted("seeds", (), seeds[:100], Ranks(places, boards)).remark == ""


@pytest.mark.slow
@pytest.mark.parametrize("name", SHAPES)
def test_a_page_of_ten_thousand_cells_is_below_three_megabytes(name: str, tmp_path: Any) -> None:
    """In 20 seconds; processor time, for other work may have the processors too."""
    shape = SHAPES[name]
    root = write_large(str(tmp_path), shape).root
    began = time.process_time()
    facts, text, counts = said_of(root)
    seconds = time.process_time() - began
    assert len(text.encode()) <= MOST_BYTES
    assert seconds <= 20
    checked(text)
    assert sum(p.board.left_out + len(p.board.audited) for p in facts.places) <= counts["models"]
    assert not re.search(r"\d+ of \d+ rows are in this page", text) or any(
        chart.left_out for chart in facts.charts
    )


def test_the_shapes_have_ten_thousand_cells() -> None:
    assert all(9_900 < shape.cells < 10_500 for shape in SHAPES.values() if not shape.failed)
    assert replace(SHAPES["seeds"], seeds=1).cells == 52
