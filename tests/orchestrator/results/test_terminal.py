"""What a terminal has room for: nothing wraps, no number is cut, what is not shown is named."""

from __future__ import annotations

import pyarrow as pa
import pytest
from rich.cells import cell_len

from orchestrator.results.aligned import table_lines, text_columns
from orchestrator.results.catalogue import catalogue, find_query
from orchestrator.results.terminal import Fitted, fit

ROWS = pa.table(
    {
        "method": ["scrub", "a" * 300, "עב🙂漢" * 20],
        "dataset": ["digits"] * 3,
        "forget_accuracy": [0.123456, 1.0, 0.5],
        "mean": [0.5, 0.25, 0.125],
        "mean_low": [0.4, None, 0.1],
        "mean_high": [0.6, None, 0.15],
        "note": ["first\nsecond", "", "x"],
        "last": [1, 2, 3],
    }
)


def shown(table: pa.Table, width: int) -> tuple[Fitted, list[str]]:
    fitted = fit(text_columns(table), width)
    return fitted, table_lines(fitted.columns)


def test_what_fits_is_as_it_is() -> None:
    table = ROWS.select(["dataset", "mean", "mean_low"])
    fitted, lines = shown(table, 80)
    assert (fitted.shared, fitted.left_out) == ((), ())
    assert lines == table_lines(text_columns(table))


@pytest.mark.parametrize("width", [30, 60, 80, 160])
def test_no_line_is_wider_and_nothing_is_lost_in_silence(width: int) -> None:
    fitted, lines = shown(ROWS, width)
    assert max(map(cell_len, lines)) <= width
    assert fitted.shared == ("dataset digits",)
    left = {column.name.replace("\n", "") for column in fitted.columns} | {*fitted.left_out, "dataset"}
    assert left | {"mean_low", "mean_high"} == set(ROWS.column_names)
    numbers = {"0.1235", "0.5 [0.4, 0.6]", "0.25", "0.125 [0.1, 0.15]"}
    for column in fitted.columns:
        if column.is_number:
            assert not any("…" in text for text in column.texts)
    if width >= 60:
        assert all(number in "\n".join(lines) for number in numbers)
        assert any("…" in line for line in lines)


def test_the_last_columns_are_left_out_first() -> None:
    fitted, _ = shown(ROWS, 30)
    names = [name for name in ROWS.column_names if name not in ("dataset", "mean_low", "mean_high")]
    kept = [column.name.replace("\n", "") for column in fitted.columns]
    assert [*kept, *fitted.left_out] == names
    assert kept[0] == "method"


def test_no_end_of_an_interval_stands_alone() -> None:
    table = pa.table({"m": ["a" * 60], "gap_low": [0.123], "gap_high": [0.25]})
    for width in range(20, 40):
        kept = [column.name for column in shown(table, width)[0].columns]
        assert ("gap_low" in kept) == ("gap_high" in kept)


def test_equal_names_and_no_rows_are_fine() -> None:
    twice = pa.Table.from_arrays([pa.array(["a" * 50]), pa.array(["b" * 50])], names=["x", "x"])
    assert len(shown(twice, 40)[0].columns) == 2
    for width in (10, 200):
        assert shown(ROWS.slice(0, 0), width)[1][-1] == "(0 rows)"


def test_wide_characters_stay_in_their_column() -> None:
    lines = table_lines(text_columns(pa.table({"name": ["漢字", "🙂", "ab"], "n": [1, 2, 3]})))
    assert {cell_len(line) for line in lines[:5]} == {7}


JUDGED = pa.table(
    {
        "architecture": ["resnet_small", "vit_small"],
        "forget_set": ["half_of_class_3", "random"],
        "method": ["boundary_shrink", "random_labels"],
        "scope": ["all", "last-1"],
        "verdict": ["shown equivalent", "undecided"],
        "told_apart": [0, 3],
        "settles": ["12 seeds in place of 3", "more seeds"],
    }
)


@pytest.mark.parametrize("width", [40, 60])
def test_the_verdict_stays_in_a_narrow_terminal_and_so_does_what_it_is_of(width: int) -> None:
    fitted = fit(text_columns(JUDGED), width, find_query("model_verdicts").kept)
    names = [column.name.replace("\n", "") for column in fitted.columns]
    assert {"forget_set", "method", "verdict"} <= {*names}
    assert names == [name for name in JUDGED.column_names if name in names]
    assert {*names, *fitted.left_out} == {*JUDGED.column_names}
    assert max(map(cell_len, table_lines(fitted.columns))) <= width
    assert ("architecture" in names) == (width == 60)


def narrow(table: pa.Table, width: int, kept: tuple[str, ...]) -> tuple[Fitted, list[str]]:
    """What is shown of a table in so many cells, and the names of the columns, left out ones behind."""
    fitted = fit(text_columns(table), width, kept)
    names = [column.name.replace("\n", "") for column in fitted.columns]
    assert max(map(cell_len, table_lines(fitted.columns))) <= width
    assert names == [name for name in table.column_names if name in names]
    return fitted, names


def test_where_not_even_that_has_room_name_and_verdict_stay_longest() -> None:
    kept = ("forget_set", "method", "verdict")
    found = {width: narrow(JUDGED, width, kept)[1] for width in (30, 20, 8)}
    assert found == {30: [*kept], 20: ["method", "verdict"], 8: ["verdict"]}
    fitted, _ = narrow(JUDGED, 20, kept)
    assert [column.texts for column in fitted.columns] == [
        ("boundary…", "random_l…"),
        ("shown eq…", "undecided"),
    ]
    assert [column.name for column in fitted.columns] == [
        "method",
        "verdict",
    ]  # a word that has room is whole


RANKED = pa.table(
    {
        "method": ["boundary_shrink", "random_labels"],
        "other_method": ["random_labels", "salun"],
        "other_scope": ["all", "last-1"],
        "difference": [-0.01234, 0.5],
        "difference_low": [-0.1, 0.25],
        "difference_high": [0.1234, 0.75],
        "verdict": ["shown equivalent", "told apart"],
    }
)


def test_of_what_stays_the_ends_of_an_interval_go_before_any_name() -> None:
    kept = ("method", "other_method", "difference")
    fitted, names = narrow(RANKED, 40, kept)
    assert names == [*kept]
    assert [column.texts[0] for column in fitted.columns] == ["boundary_shr…", "random_labels", "-0.01234"]
    assert fitted.left_out == ("other_scope", "difference_low", "difference_high", "verdict")
    assert narrow(RANKED, 24, kept)[1] == [*kept]
    assert narrow(RANKED, 18, kept)[1] == ["method", "difference"]
    assert narrow(RANKED, 80, kept)[0].columns[3].texts[0] == "-0.01234 [-0.1, 0.123]"


def test_a_number_goes_before_the_name_and_the_verdict() -> None:
    kept = ("method", "difference", "verdict")
    assert narrow(RANKED, 40, kept)[1] == [*kept]
    assert narrow(RANKED, 20, kept)[1] == ["method", "verdict"]
    table = RANKED.select(["method", "difference", "other_method", "verdict"])
    assert narrow(table, 24, (*kept, "other_method"))[1] == ["method", "other_method", "verdict"]


def test_every_query_with_a_verdict_keeps_it() -> None:
    for query in catalogue().values():
        assert {*query.kept} <= {*query.shown}
        assert ("verdict" in query.shown) <= ("verdict" in query.kept), query.name
