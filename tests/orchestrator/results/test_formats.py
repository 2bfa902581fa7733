from __future__ import annotations

import io
import json
import re
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from rich.cells import cell_len

from orchestrator.results import leaderboard
from orchestrator.results.formats import best_rows, render

TABLE = pa.table(
    {
        "method": ["scrub", "salun", "retrain"],
        "split": ["forget"] * 3,
        "value": [0.91, 0.88, 0.9],
        "ci_low": [0.89, 0.85, 0.88],
        "ci_high": [0.93, 0.9, 0.92],
        "retrained": [0.9, 0.9, 0.9],
        "higher_is": ["closer_to_retrained"] * 3,
        "role": ["audited", "audited", "reference"],
    }
)


def text(table: pa.Table, form: str) -> str:
    return render(table, form).decode()  # type: ignore[arg-type]


def test_table_is_aligned() -> None:
    lines = text(pa.table({"name": ["a", "bcd"], "value": [0.123456, None]}), "table").splitlines()
    assert lines == ["name   value", "----  ------", "a     0.1235", "bcd", "(2 rows)"]


def test_csv_keeps_every_digit() -> None:
    table = pa.table({"x": [0.1 + 0.2, None], "y": ['a,"b', "c\nd"]})
    back = pyarrow.csv.read_csv(
        io.BytesIO(render(table, "csv")),
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
    )
    assert back.equals(table)


def test_json_has_no_nan() -> None:
    noon = datetime(2025, 1, 1, 12, tzinfo=UTC)
    table = pa.table({"x": [float("nan"), 1.5], "t": [noon, None], "b": [b"\x01", None]})
    assert json.loads(text(table, "json")) == [
        {"x": None, "t": "2025-01-01T12:00:00+00:00", "b": "01"},
        {"x": 1.5, "t": None, "b": None},
    ]


def test_markdown_escapes_bars() -> None:
    lines = text(pa.table({"n": [1], "s": ["a|b"]}), "markdown").splitlines()
    assert lines == ["| n | s    |", "| : | ---- |".replace(": ", ": "), "| 1 | a\\|b |"]


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_binary_forms_come_back(form: str) -> None:
    content = render(TABLE, form)  # type: ignore[arg-type]
    back = pq.read_table(io.BytesIO(content)) if form == "parquet" else pa.ipc.open_file(content).read_all()
    assert back.equals(TABLE)


def test_latex_folds_intervals_and_sets_the_best_bold() -> None:
    lines = text(TABLE, "latex").splitlines()
    assert lines[0] == r"\begin{tabular}{llrrll}"
    assert lines[2] == r"method & split & value & retrained & higher is & role \\"
    assert lines[4].startswith(r"scrub & forget & $\mathbf{0.910\,[0.890, 0.930]}$ &")
    assert lines[5].startswith(r"salun & forget & $0.880\,[0.850, 0.900]$ &")
    assert lines[-1] == r"\end{tabular}"
    assert r"closer\_to\_retrained" in lines[4]


def test_latex_shows_extreme_numbers() -> None:
    shown = text(pa.table({"x": [1e-5, 123456.0, float("inf")], "s": ["50%", "a_b", None]}), "latex")
    assert r"$1.00 \times 10^{-5}$ & 50\%" in shown
    assert r"$1.23 \times 10^{5}$ & a\_b" in shown
    assert r"$\infty$ & " in shown


@pytest.mark.parametrize(("wish", "best"), [("better", {0, 3}), ("worse", {1, 2})])
def test_the_best_is_that_of_each_question(wish: str, best: set[int]) -> None:
    table = pa.table(
        {
            "method": ["a", "b", "a", "b"],
            "split": ["x", "x", "y", "y"],
            "value": [2.0, 1.0, 1.0, 2.0],
            "higher_is": [wish] * 4,
        }
    )
    assert best_rows(table) == {(row, "value") for row in best}


def test_nothing_is_best_without_a_direction_or_a_rival() -> None:
    judged = TABLE.append_column("verdict", pa.array([f"verdict {row}" for row in range(TABLE.num_rows)]))
    assert best_rows(judged) == best_rows(TABLE) != set()  # what a row says of itself is no other question
    assert best_rows(pa.table({"method": ["a"], "value": [1.0], "higher_is": ["better"]})) == set()
    assert best_rows(TABLE.drop_columns(["higher_is"])) == set()
    assert best_rows(TABLE.drop_columns(["retrained"])) == set()


@pytest.mark.parametrize("form", ["table", "csv", "markdown", "latex", "json", "parquet", "arrow"])
def test_no_rows_are_fine(form: str) -> None:
    assert render(TABLE.slice(0, 0), form)  # type: ignore[arg-type]


def test_rounding_errors_read_as_zero_and_stay_in_data() -> None:
    table = pa.table({"value": [9.957e-18, -3e-16, 2.5e-11]})
    assert [line.split() for line in render(table, "table").decode().splitlines()[2:5]] == [
        ["0"],
        ["0"],
        ["2.5e-11"],
    ]
    assert "e-18" not in render(table, "markdown").decode()
    assert "$0.000$" in render(table, "latex").decode()
    assert "9.957e-18" in render(table, "csv").decode()
    assert "9.957e-18" in render(table, "json").decode()


def test_names_do_not_steer_the_terminal() -> None:
    table = pa.table(
        {"a\x1b[31m": ["\x1b]0;mine\x07", "a\rb\x9b2J", "\u202egnp\u2066.", "tab\tline\nümlaut 漢"]}
    )
    for form in ("table", "markdown", "latex"):
        shown = text(table, form)
        assert not {c for c in shown if (c < " " and c not in "\n\t") or c in "\x7f\x9b\u202e\u2066"}, form
        assert ("ümlaut 漢" if form != "latex" else r"\"{u}mlaut \othertext{漢}{{[}U+6F22]}") in shown
    lines = text(table, "table").splitlines()
    assert lines[0] == r"a\x1b[31m"
    assert [line.strip() for line in lines[2:5]] == [
        r"\x1b]0;mine\x07",
        r"a\rb\x9b2J",
        r"\u202egnp\u2066.",
    ]


def test_data_forms_keep_text_as_it_is() -> None:
    table = pa.table({"x": ["=1+1", "+1", "-1", "@a", "\x1b[2J"]})
    assert text(table, "csv") == "x\n=1+1\n+1\n-1\n@a\n\x1b[2J\n"
    assert [row["x"] for row in json.loads(text(table, "json"))] == table["x"].to_pylist()


def test_the_closing_table_shows_names_as_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row: dict[str, object] = dict.fromkeys([key for _, key in leaderboard.COLUMNS], 0.5)
    row |= {"dataset": "[red]d", "architecture": "\x1b[2Ja", "forget_set": "f", "role": "audited"}
    row |= {
        "method": "\x1b]0;m\x07[/]",
        "scope": "[bold]s",
        "tuning_trials": None,
        "gap_low": None,
        "verdict": None,
    }
    monkeypatch.setattr(leaderboard, "scoreboard", lambda *_: [row])
    leaderboard.print_leaderboard("results", None, as_json=False)
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert r"[red]d: \x1b[2Ja, forget f" in shown
    assert r"\x1b]0;m\x07[/]" in shown
    assert "[bold]s" in shown


def test_the_closing_table_has_the_verdict_and_room_for_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row: dict[str, object] = dict.fromkeys([key for _, key in leaderboard.COLUMNS], 0.555)
    row |= {
        "dataset": "digits",
        "architecture": "net",
        "forget_set": "f",
        "role": "audited",
        "scope": "norm-only",
    }
    row |= {"tuning_trials": None, "gap_low": 0.1, "gap_high": 0.9}
    methods = {"gradient_ascent": "told apart", "boundary_shrink": "shown equivalent", "scrub": "undecided"}
    rows = [row | {"method": method, "verdict": verdict} for method, verdict in methods.items()]
    monkeypatch.setattr(leaderboard, "scoreboard", lambda *_: rows)
    leaderboard.print_leaderboard("results", None, as_json=False)
    shown = capsys.readouterr().out.splitlines()
    for method, verdict in methods.items():
        (line,) = [line for line in shown if line.strip().startswith(method)]
        assert re.match(rf"\s*{method}\s+norm-only\s+{verdict}\s+0\.555", line)
    assert max(map(len, shown)) <= 110
    assert "MIA" in " ".join(shown[:6])


@pytest.mark.parametrize("columns", [80, 100, 160])
@pytest.mark.parametrize("name", ["gradient_ascent", "m" * 300, "\u05e2\u05d1\U0001f642" * 30])
def test_the_closing_table_keeps_what_answers_on_every_terminal(
    columns: int, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row: dict[str, object] = dict.fromkeys([key for _, key in leaderboard.COLUMNS], 0.555)
    row |= {"dataset": "digits", "architecture": "net", "forget_set": "f", "role": "audited", "gap_low": 0.1}
    row |= {
        "gap_high": 0.9,
        "tuning_trials": None,
        "scope": "conv-only+norm-only+head+block:0",
        "method": name,
    }
    row |= {"verdict": "shown equivalent"}
    monkeypatch.setattr(leaderboard, "scoreboard", lambda *_: [row])
    for key, value in {"COLUMNS": str(columns), "TTY_COMPATIBLE": "1", "TERM": "xterm"}.items():
        monkeypatch.setenv(key, value)
    leaderboard.print_leaderboard("results", None, as_json=False)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert max(map(cell_len, shown)) <= columns
    table = "\n".join(shown[: next(i for i, line in enumerate(shown) if "verdict:" in line)])
    assert "shown equivalent" in table
    assert re.search(r"forget +", table.split("verdict", 1)[1])
    assert "0.555" in table
