"""What a page goes into: two methods side by side, classes, an example over epochs, charts as tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator.report.chart_tables import HEADINGS, chart_table, decoded
from orchestrator.report.facts import compare, confusion, history, paired
from orchestrator.report.facts.facts import Facts, gather_facts
from orchestrator.report.page import points, report_page
from orchestrator.results.charts.answers import Answers
from orchestrator.results.charts.kinds import KINDS
from orchestrator.results.connection import Results
from orchestrator.results.evidence import interval, signed
from orchestrator.store.store import Store
from tests.support.audited import write_models, write_run
from tests.support.browsers import Browser
from tests.support.drilled import CLASSES, SEEDS, drilled_root, examples
from tests.support.report_pages import Page, checked

FIRST, LAST = "scrub", "finetune"


@pytest.fixture(scope="module")
def answers() -> Iterator[Answers]:
    with Results(drilled_root()) as results:
        yield Answers(results)


@pytest.fixture(scope="module")
def facts(answers: Answers) -> Facts:
    return gather_facts(answers)


@pytest.fixture(scope="module")
def page(facts: Facts) -> Page:
    return checked(report_page(facts))


def charts(answers: Answers) -> dict[str, list[dict[str, Any]]]:
    return {kind.name: kind.rows(answers) for kind in KINDS.values()}


def parts(answers: Answers, facts: Facts) -> tuple[Any, ...]:
    return answers, answers.evidence.places, [place.board for place in facts.places]


def test_the_closest_and_the_farthest_model_stand_side_by_side(
    answers: Answers, facts: Facts, page: Page
) -> None:
    (one,) = facts.comparisons
    (board,) = (place.board for place in facts.places)
    assert [m.label for m in one.models] == [row.label for row in board.audited] == [FIRST, "wild", LAST]
    rows = answers.rows("method_pairs")
    (row,) = (r for r in rows if {r["method"], r["other_method"]} == {FIRST, LAST})
    sign = 1 if row["method"] == FIRST else -1
    pair = one.pairs.found[0]
    (found,) = (d for d in pair.differences if d is not None)
    assert (pair.one, pair.other) == (0, 2)
    assert found.value == sign * row["difference"] < 0
    assert {found.low, found.high} == {sign * row["difference_low"], sign * row["difference_high"]}
    assert found.low < found.value < found.high
    shown = f"{signed(found.value)} {interval(found.low, found.high)}"
    assert shown in page.words
    for model, row in zip(one.models, board.audited, strict=True):
        entries = dict(zip(one.headings, model.entries, strict=True))
        assert entries["verdict"].text == row.verdict
        (cell,) = (c for c in row.cells[:1])
        assert signed(cell.difference) in entries["accuracy, forgotten *"].small
        assert row.verdict in entries["accuracy, forgotten *"].small
    assert one.shared_words in page.words


@pytest.mark.parametrize("seeds", [1, 2])
def test_a_difference_without_an_interval_says_why(tmp_path: Path, seeds: int) -> None:
    store = Store(str(tmp_path))
    write_run(store)
    values = {"retrain": 0.5, "retrain_again": 0.5, "no_op": 1.0, "finetune": 0.9, "scrub": 0.6}
    write_models(store, values, seeds=seeds)
    with Results(store.root) as results:
        facts = gather_facts(Answers(results))
    page = checked(report_page(facts))
    why = f"it takes 3 seeds, here {'is 1' if seeds == 1 else 'are 2'}"
    (found,) = (d for d in facts.comparisons[0].pairs.found[0].differences if d is not None)
    assert f"{signed(found.value)} no interval: {why}" in page.words
    assert page.data["compare"][0]["pairs"]["0,1"] == [[pytest.approx(found.value), why]]
    assert "these, and their confidence was not measured." in page.words
    assert "cost unknown" in page.words
    assert "cost unknown of retraining" not in page.words


def test_the_examples_that_two_models_leave_exposed_are_all_counted(
    answers: Answers, facts: Facts, monkeypatch: pytest.MonkeyPatch
) -> None:
    (one,), rows = facts.comparisons, charts(answers)
    told = {
        m.label: {
            r["example"]
            for r in rows["exposure"]
            if r["told"] and (r["label"], r["statistic"]) == (m.label, one.statistic)
        }
        for m in one.models
    }
    assert [m.stand_out for m in one.models] == [len(examples) for examples in told.values()]
    for first, second, count, shown in one.shared:
        both = told[one.models[first].label] & told[one.models[second].label]
        assert (count, set(shown)) == (len(both), both)
    assert "1 example stands out under both, of 3 under scrub and 9 under finetune." in one.shared_words
    monkeypatch.setattr(compare, "MOST_SHARED", 2)
    (fewer,) = compare.side_by_side(*parts(answers, facts), rows)
    assert [s.examples for s in fewer.shared] == [s.examples for s in one.shared]
    assert [s.shown for s in fewer.shared] == [s.shown[:2] for s in one.shared]
    farthest = replace(fewer, models=fewer.models[1:], shared=(fewer.shared[2]._replace(one=0, other=1),))
    assert farthest.shared_words == (
        f"By {one.statistic} 7 examples stand out under both, of 9 under wild and 9 under finetune; "
        "2 of them are shown."
    )


def test_every_pair_of_models_has_its_difference_and_what_has_no_room_is_said(
    answers: Answers, facts: Facts, monkeypatch: pytest.MonkeyPatch
) -> None:
    (one,) = facts.comparisons
    assert [(p.one, p.other) for p in one.pairs.found] == [(0, 2), (0, 1), (1, 2)]
    assert (one.left_out, one.pairs.left_out) == (0, 0)
    rows = charts(answers)
    monkeypatch.setattr(paired, "MOST_DIFFERENCES", 1)
    (fewer,) = compare.side_by_side(*parts(answers, facts), rows)
    assert [(p.one, p.other) for p in fewer.pairs.found] == [(0, 2)]
    assert fewer.pairs.left_out == 2
    monkeypatch.setattr(compare, "MOST_COMPARED", 2)
    monkeypatch.setattr(paired, "MOST_MODELS", 2)
    (few,) = compare.side_by_side(*parts(answers, facts), rows)
    assert [m.label for m in few.models] == [FIRST, LAST]
    assert (few.left_out, few.pairs.found, few.pairs.left_out) == (1, (), 1)
    words = Page(report_page(replaced(facts, comparisons=(few,)))).words
    assert "1 models between these cannot be chosen here. Of 1 of 1 pairs there are no differences" in words
    monkeypatch.setattr(compare, "MOST_PLACES", 0)
    (none,) = compare.side_by_side(*parts(answers, facts), rows)
    assert (none.models, none.left_out) == ((), 3)
    assert (
        "the models of this one are not compared"
        in Page(report_page(replaced(facts, comparisons=(none,)))).words
    )


def replaced(facts: Facts, **changes: Any) -> Facts:
    return type(facts)(**{name: getattr(facts, name) for name in facts.__dataclass_fields__} | changes)


def shares(method: str, split: str) -> dict[tuple[int, int], float]:
    """Mean over seeds of the share of each class that is taken for each."""
    sums: Counter[tuple[int, int]] = Counter()
    for seed in range(SEEDS):
        rows = [row for row in examples(method, seed) if row["split"] == split]
        sizes = Counter(row["label"] for row in rows)
        for row in rows:
            sums[row["label"], row["predicted"]] += 1 / sizes[row["label"]] / SEEDS
    return sums


def test_a_matrix_has_the_shares_of_both_models(facts: Facts, page: Page) -> None:
    matrices = facts.confusion.matrices
    assert {(m.label, m.split) for m in matrices} == {
        (label, split)
        for label in ("finetune", "scrub", "wild", "doing nothing")
        for split in ("forgotten examples", "test examples")
    }
    assert (matrices[0].label, matrices[0].split) == (LAST, "forgotten examples")
    for matrix in matrices:
        split = "forget" if matrix.split.startswith("forgotten") else "test"
        ours = shares({"doing nothing": "no_op"}.get(matrix.label, matrix.label), split)
        theirs = shares("retrain", split)
        for row, line in enumerate(matrix.lines):
            for column, cell in enumerate(line[:CLASSES]):
                wanted = (round(1000 * ours[row, column]), round(1000 * theirs[row, column]))
                assert cell == pytest.approx(wanted, abs=1)
    taken = matrices[0].lines[0][1]
    assert f"{points(taken[0] - taken[1])} {round(taken[0] / 10)} %" in page.words


def test_of_many_classes_those_that_change_most_are_shown(
    answers: Answers, facts: Facts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confusion, "MOST_CLASSES", 2)
    found = confusion.confusion(*parts(answers, facts), ["cat", "dog"])
    first = found.matrices[0]
    assert (first.classes, first.left_out, first.others) == ((0, 1), 2, True)
    assert found.names == {0: "cat", 1: "dog", **{i: str(i) for i in found.names if i > 1}}
    assert all(sum(share for share, _ in line) == pytest.approx(1000, abs=2) for line in first.lines)
    monkeypatch.setattr(confusion, "MOST_CELLS", 10)
    fewer = confusion.confusion(*parts(answers, facts), ())
    assert sum(len(m.cells) for m in fewer.matrices) <= 12
    assert len(fewer.matrices) + fewer.left_out == len(facts.confusion.matrices)
    words = Page(report_page(replaced(facts, confusion=fewer))).words
    assert f"{fewer.left_out} more matrices have no room in this page" in words
    assert "the 2 classes that change most, 2 are left out" in words


def separation(store: Any, method: str, epoch: int | None, example: int) -> np.ndarray:
    """By pair of shadow models: mean phi where it was unlearned less that where it was never seen."""
    rows = store.read("observations", architecture="net", method=method, scope="all").to_pylist()
    mine = [r for r in rows if r["example_id"] == example and r["epoch"] == epoch]
    pairs = []
    for pair in range(8):
        sides = []
        for state in ("unlearned", "never"):
            by_shadow = {}
            for r in mine:
                if r["shadow"] // 2 == pair and r["state"] == state:
                    by_shadow.setdefault(r["shadow"], []).append(r["phi"])
            sides.append([np.mean(values) for values in by_shadow.values()])
        if all(sides):
            pairs.append(np.mean(sides[0]) - np.mean(sides[1]))
    return np.array(pairs)


def test_the_history_of_an_example_is_the_separation_of_numpy_beside_that_of_retraining(
    answers: Answers, facts: Facts, page: Page
) -> None:
    store, (place,) = answers.results.store, facts.history.places
    assert (place.epochs, place.examples, place.of) == ((0, 1, 2, 3, 4), 30, 30)
    rows = decoded(facts.history.drawn)
    assert {row["label"] for row in rows} == {"scrub"}
    for row in rows[:7]:
        apart = separation(store, "scrub", row["epoch"], row["example"])
        control = separation(store, "retrained", None, row["example"])
        assert row["value"] == pytest.approx(apart.mean(), rel=2e-3, abs=1e-3)
        assert row["without"] == pytest.approx(control.mean(), rel=2e-3, abs=1e-3)
        assert row["low"] < row["value"] < row["high"]
    galleries = [shown.example for gallery in facts.exhibits.places[0].galleries for shown in gallery.shown]
    assert place.lines[0].example == galleries[0]
    assert "The most exposed over epochs of unlearning, as a table" in page.words
    assert page.data["charts"]["history"]["rows"] == len(rows)
    assert page.data["history"] == [[30, 30]]


def test_a_history_that_has_no_room_is_said(
    answers: Answers, facts: Facts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "MOST_ROWS", 12)
    monkeypatch.setattr(history, "MOST_LINES", 1)
    rows = charts(answers)["exposure"]
    found = history.history(answers, answers.evidence.places, facts.exhibits, rows)
    (place,) = found.places
    assert (place.examples, place.of, len(place.lines), place.left_out) == (2, 30, 1, 1)
    words = Page(report_page(replaced(facts, history=found))).words
    assert "1 more lines are there, of 2 of 30 examples; the query has all" in words


def test_every_chart_has_a_table_of_its_rows_and_names_it(answers: Answers, facts: Facts, page: Page) -> None:
    assert HEADINGS.keys() == KINDS.keys()
    rows = charts(answers)
    for chart in facts.charts:
        if not chart.rows:
            continue
        table = chart_table(chart, [place.title for place in facts.places])
        assert f"rows-{chart.name}" in page.ids
        assert {heading.shows for heading in HEADINGS[chart.name]} <= rows[chart.name][0].keys()
        assert table.of == len(rows[chart.name])
        assert all(len(row) == len(table.headings) for row in table.rows)
    forest = chart_table(next(c for c in facts.charts if c.name == "forest"), ["here"])
    found = next(r for r in rows["forest"] if r["label"] == LAST and r["family"] == "primary")
    ends = f"({found['low']:.3f} to {found['high']:.3f})"
    shown = next(row for row in forest.rows if row[:2] == (LAST, "accuracy, forgotten"))
    assert shown[4:] == (f"{found['value']:.3f} {ends}", "0.050", "< 0.001", "told apart")
    assert "The drawing needs a script; the table has its numbers" in page.words


@pytest.fixture(scope="module")
def path(facts: Facts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    written = tmp_path_factory.mktemp("drilled") / "report.html"
    written.write_text(report_page(facts), encoding="utf-8", newline="")
    return written


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "dark")])
def test_two_models_and_a_class_are_chosen_by_keyboard(
    browser: Browser, path: Path, facts: Facts, width: int, scheme: Any
) -> None:
    page, said = browser.opened(path, viewport={"width": width, "height": 844}, color_scheme=scheme)
    page.wait_for_function("document.body.dataset.ready === '1'")
    for made, chooser in (("[data-pairwise]", "[data-compare]"), ("[data-matrix]", "[data-confusion]")):
        cells = (
            f"[...document.querySelectorAll('{made} :is(th, td, small, caption)')].map((node) => "
            "[node.tagName, node.className, node.scope, node.style.getPropertyValue('--w'), node.textContent])"
        )
        without_script = page.evaluate(cells)
        page.locator(chooser).first.dispatch_event("change")
        assert page.evaluate(cells) == without_script
        assert len(without_script) > 10
    both = page.locator("[data-shared]")
    assert both.locator("span").first.inner_text() == facts.comparisons[0].shared_words
    assert both.locator("button").all_inner_texts() == [
        f"#{i}" for i in facts.comparisons[0].first_shared.shown
    ]
    heads = page.locator("[data-pairwise] thead th")
    line = page.locator("[data-pairwise] tbody tr", has_text="accuracy, forgotten").locator("td").last
    before = line.inner_text()
    page.locator("[data-compare=first]").focus()
    page.keyboard.press("End")
    page.locator("[data-compare=second]").focus()
    page.keyboard.press("Home")
    assert heads.all_inner_texts()[1:3] == [LAST, FIRST]
    found = facts.comparisons[0].pairs.found[0].differences[0]
    assert found is not None
    assert before.split("\n") == [signed(found.value), interval(found.low, found.high)]
    assert line.inner_text().split("\n") == [signed(-found.value), interval(-found.high, -found.low)]
    page.locator("[data-compare=first]").focus()
    page.keyboard.press("Home")
    assert line.inner_text() == ""
    assert page.locator("[data-shared] [data-example]").count() == 0
    page.locator("[data-confusion=label]").focus()
    page.keyboard.press("ArrowDown")
    page.locator("[data-confusion=split]").focus()
    page.keyboard.press("End")
    assert page.locator(".matrix caption").inner_text() == "wild, test examples, 3 seeds"
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert said == []


def test_an_example_opens_with_its_history_and_a_chart_with_its_table(
    browser: Browser, path: Path, facts: Facts
) -> None:
    page, said = browser.opened(path)
    face = page.locator("#examples [data-example]").first
    face.focus()
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelectorAll('dialog .chart svg').length === 1")
    rows = decoded(facts.history.drawn)
    mine = [row for row in rows if str(row["example"]) == face.get_attribute("data-example")]
    table = page.locator("dialog table").last
    assert table.locator("th[scope=row]").all_inner_texts() == ["scrub"]
    shown = [
        text.split("\n")[0].replace("\N{MINUS SIGN}", "-") for text in table.locator("td").all_inner_texts()
    ]
    assert shown == [f"{row['value']:.2f}" for row in mine] + [f"{mine[0]['without']:.2f}"]
    page.keyboard.press("Escape")
    page.locator("#rows-forest").click()
    lines = page.locator("details[data-rows=forest] tbody tr")
    assert lines.count() == next(chart.rows for chart in facts.charts if chart.name == "forest")
    assert (
        page.locator("figure[data-chart=forest] .chart").first.get_attribute("aria-describedby")
        == "rows-forest"
    )
    assert said == []


def test_without_a_script_the_first_pair_matrix_and_tables_are_there(browser: Browser, path: Path) -> None:
    page, _ = browser.opened(path, java_script_enabled=False)
    assert page.locator("[data-pairwise] tbody tr:visible").count() >= 8
    assert page.locator(".matrix tbody tr:visible").count() == CLASSES
    page.locator("#rows-forest").click()
    assert page.locator("details[data-rows=forest] td:visible", has_text="told apart").count() >= 1
    page.locator("summary", has_text="over epochs").click()
    assert page.locator("details.rows[open] td:visible", has_text="scrub").count() >= 12
