"""The comparison of two results: what is equal, each kind of difference, and what is refused."""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from orchestrator.store.store import Store
from orchestrator.store.tables import TABLES
from tests.support import compare, synthetic_results, synthetic_shadows
from tests.support.fabricated import setting_of, write_plan, write_setting
from tests.support.grains import DESCRIBED, MEASURED, REFERENCES
from tests.support.result_files import COMPACTED

ROOT = Path(__file__).parents[2]
ID_COLUMNS = (*REFERENCES, "run_id", "pair_id", "record_id", "search_id")
Change = Callable[[pa.Table], pa.Table]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results with a row in every table that a comparison reads, below them those of a search."""
    root = tmp_path_factory.mktemp("made")
    store = synthetic_results.fill(str(root))
    synthetic_shadows.fill(store)
    forget = [{"forget_set": "random", "dataset": "digits", "example_id": i, "label": 1} for i in range(4)]
    store.write("forget_sets", "r", forget)
    write_plan(store, "run-1", store.keys("cells"))
    write_setting(store, setting_of(store.read("cells").to_pylist()[0]))
    search = Store(str(root / "search"))
    search.check_ready()
    trial = synthetic_results.proportion("accuracy", "test", 7, 9, "better")
    search.write("metrics", "trial", [trial])
    for path in sorted(root.glob("examples/*/*"))[9:]:  # of 81, which take a while to read
        shutil.rmtree(path)
    store.compact()
    return root


@pytest.fixture
def sides(made: Path, tmp_path: Path) -> tuple[Path, Path]:
    """The results, and a copy to plant a difference in."""
    shutil.copytree(made, tmp_path / "new")
    return made, tmp_path / "new"


def write(path: Path, rows: pa.Table) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, rows.schema) as writer:
        writer.write_table(rows)


def load(path: Path) -> pa.Table:
    with pa.OSFile(str(path)) as source:
        return pa.ipc.open_file(source).read_all()


def edit(root: Path, table: str, change: Change, *, files: int | None = 1) -> None:
    """Change the first files of a table, merged ones before others, or all of them."""
    for path in sorted((root / table).rglob("*.arrow"), key=lambda p: (p.parent.name != COMPACTED, p))[
        :files
    ]:
        write(path, change(load(path)))


def put(rows: pa.Table, column: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    place = rows.schema.get_field_index(column)
    return rows.set_column(place, rows.schema.field(place), values.cast(rows.schema.field(place).type))


def next_float(column: str) -> Change:
    """The first value of a column becomes the float after it."""

    def change(rows: pa.Table) -> pa.Table:
        values = rows[column].to_numpy().copy()
        values[0] = np.nextafter(values[0], np.inf, dtype=values.dtype)
        return put(rows, column, pa.array(values, mask=rows[column].is_null().to_numpy()))

    return change


def first(column: str, value: object) -> Change:
    """The first row gets another value."""
    return lambda rows: put(rows, column, pa.array([value, *rows[column].to_pylist()[1:]]))


def swap_ids(rows: pa.Table) -> pa.Table:
    """Two examples change places, at the same epoch."""
    ids, other = rows["example_id"].to_pylist(), synthetic_shadows.EPOCHS + 1
    assert ids[0] != ids[other]
    ids[0], ids[other] = ids[other], ids[0]
    return put(rows, "example_id", pa.array(ids))


def compared(
    old: Path, new: Path, *options: str, capsys: pytest.CaptureFixture[str]
) -> tuple[int, list[str]]:
    """The exit code and the lines."""
    code = compare.main([str(old), str(new), *options])
    return code, capsys.readouterr().out.splitlines()


def test_equal_results_of_every_table_have_no_difference(sides, capsys):
    code, lines = compared(*sides, capsys=capsys)
    assert (code, lines[-1]) == (0, "0 differences")
    assert "search/" in lines
    assert "metrics: 336 / 336 rows, 336 matched, 0 missing, 0 extra, 0 cells differ" in lines


@pytest.mark.parametrize(
    ("table", "change", "count", "told"),
    [
        ("metrics", next_float("value"), 1, "  value: "),
        ("observations", next_float("phi"), 1, "  phi: "),
        ("metrics", lambda rows: rows.slice(1), 1, "  missing: cell_id [cells: digits"),
        ("costs", lambda rows: pa.concat_tables([rows, rows[:1]]), 1, "(1 such rows in OLD, 2 in NEW)"),
        ("models", first("seed", 11), None, ", seed 11"),
        ("observations", swap_ids, None, "  phi: "),
        ("forget_sets", first("example_id", 9), 2, "example_id 9"),
        ("shadows", first("in_mask", b"\x01" * 12), None, "  missing: "),
        ("cells", first("reference_id", "?"), 1, "[no row of this identity]"),
        ("examples", first("correct", None), 1, "  correct: "),
        ("search/metrics", next_float("ci_low"), 1, "  ci_low: "),
    ],
)
def test_a_planted_difference_is_counted_and_named(sides, capsys, table, change, count, told):
    edit(sides[1], table, change)
    code, lines = compared(*sides, capsys=capsys)
    assert code == 1
    assert any(told in line for line in lines), lines
    assert count is None or lines[-1] == f"{count} differences", lines


def test_changed_identities_and_measured_columns_make_no_difference(sides, capsys):
    def other_ids(rows: pa.Table) -> pa.Table:
        for column in set(ID_COLUMNS) & set(rows.column_names):
            rows = put(rows, column, pc.binary_join_element_wise("new", rows[column], "-"))
        for column in {*MEASURED, *DESCRIBED} & set(rows.column_names) - set(ID_COLUMNS):
            rows = put(rows, column, pa.nulls(len(rows), rows.schema.field(column).type))
        return rows

    for table in TABLES:
        edit(sides[1], table, other_ids, files=None)
    for path in sorted(sides[1].glob("examples/*/cell_id=*")):
        path.rename(path.with_name(path.name.replace("cell_id=", "cell_id=new-")))
    code, lines = compared(*sides, capsys=capsys)
    assert (code, lines[-1]) == (0, "0 differences"), lines


def test_a_renamed_column_is_a_difference_unless_it_is_named(sides, capsys):
    def rename(rows: pa.Table) -> pa.Table:
        return rows.rename_columns(["measurement_id" if c == "cell_id" else c for c in rows.column_names])

    edit(sides[1], "metrics", rename, files=None)
    code, lines = compared(*sides, capsys=capsys)
    assert code == 1
    assert {"  column cell_id is only in OLD", "  column measurement_id is only in NEW"} <= set(lines)
    assert compared(*sides, "--renamed", "metrics.cell_id=measurement_id", capsys=capsys)[0] == 0


def test_a_dropped_column_and_a_renamed_table_can_be_told(sides, capsys):
    edit(sides[1], "layers", lambda rows: rows.drop_columns("baseline_gap"), files=None)
    (sides[1] / "costs").rename(sides[1] / "stages")
    code, lines = compared(*sides, capsys=capsys)
    assert code == 1
    assert "  column baseline_gap is only in OLD" in lines
    assert "  the table is only in NEW" in lines
    options = ("--ignore", "*.baseline_gap", "--renamed", "costs=stages")
    assert compared(*sides, *options, capsys=capsys)[0] == 0
    assert (
        compared(*sides, "--ignore", "layers", "--ignore", "costs", "--ignore", "stages", capsys=capsys)[0]
        == 0
    )


@pytest.mark.parametrize(
    ("old", "new", "options", "count"),
    [
        (math.nan, -math.nan, (), 0),
        (0.0, -0.0, (), 1),
        (1.0, 1.0 + 1e-8, (), 1),
        (1.0, 1.0 + 1e-8, ("--tolerance", "1e-6"), 0),
        (1.0, 1.0 + 1e-5, ("--tolerance", "1e-6"), 1),
        (math.inf, 1.0, ("--tolerance", "1e-6"), 1),
        (None, 0.0, ("--tolerance", "1e-6"), 1),
        (None, math.nan, (), 1),
    ],
)
def test_floats_differ_by_their_bits(tmp_path, capsys, old, new, options, count):
    for name, value in (("old", old), ("new", new)):
        row = {"layer": "stem", "definition": "d", "gap": value}
        Store(str(tmp_path / name)).write("layers", "c", [row])
    code, lines = compared(tmp_path / "old", tmp_path / "new", *options, capsys=capsys)
    assert (code, lines[-1]) == (min(count, 1), f"{count} differences")


def test_merged_files_and_those_that_are_written_again_are_read_once(sides, capsys):
    store = Store(str(sides[1]))
    key = sorted(store.keys("cells"))[0]
    store.write("cells", key, store.read("cells", key))
    assert compared(*sides, capsys=capsys)[0] == 0


@pytest.mark.parametrize("more", ["", ":pooled"])
def test_a_renamed_text_is_told_and_then_equal(sides, capsys, more):
    def change(old: str, new: str) -> Change:
        def renamed(rows: pa.Table) -> pa.Table:
            texts = [new if text == old else text for text in rows["metric"].to_pylist()]
            return put(rows, "metric", pa.array(texts))

        return renamed

    edit(sides[0], "metrics", change("accuracy", f"accuracy{more}"), files=None)
    edit(sides[1], "metrics", change("accuracy", f"rightness{more}"), files=None)
    assert compared(*sides, capsys=capsys)[0] == 1
    assert compared(*sides, "--renamed-value", "metrics.metric=accuracy:right", capsys=capsys)[0] == 1
    code, lines = compared(*sides, "--renamed-value", "metrics.metric=accuracy:rightness", capsys=capsys)
    edit(sides[0], "metrics", change(f"accuracy{more}", "accuracy"), files=None)  # of the module
    assert (code, lines[-1]) == (0, "0 differences")


def test_weights_are_compared_where_both_sides_hold_them(sides, capsys):
    place = synthetic_results.Place("class:label=3", "salun", 1)
    for side, tensors in zip(sides, (b"\x00\x00\x80\x3f", b"\x01\x00\x80\x3f"), strict=True):
        header = b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
        Store(str(side)).put_blob(
            "weights", place.model_id, len(header).to_bytes(8, "little") + header + tensors
        )
    code, lines = compared(*sides, capsys=capsys)
    assert code == 1
    assert any("tensors: " in line and "salun" in line for line in lines), lines
    shutil.rmtree(sides[0] / "weights")  # of the module: no other test wants them
    code, lines = compared(*sides, capsys=capsys)
    assert code == 0
    assert "weights: files on one side alone, not compared" in lines


def test_bad_input_is_one_line_and_exit_code_2(sides, tmp_path, capsys):
    old, new = map(str, sides)
    (tmp_path / "empty").mkdir()
    broken = next((sides[1] / "layers").rglob("*.arrow"))
    for arguments in (
        [old],
        [old, str(tmp_path / "none")],
        [old, str(tmp_path / "empty")],
        [old, new, "--ignore", "metrics.valeu"],
        [old, new, "--renamed", "metrics.value"],
        [old, new, "--renamed", "metrics.valeu=number"],
        [old, new, "--renamed-value", "metrics.metric=auc"],
        [old, new, "--renamed-value", "metrics.metrik=auc:auroc"],
        [old, new, "--tolerance", "-1"],
        [old, new, "--tolerance", "some"],
    ):
        assert compare.main(arguments) == 2, arguments
        told = capsys.readouterr()
        assert told.err.startswith("error: "), arguments
        assert (told.err.count("\n"), told.out) == (1, ""), arguments
    broken.write_bytes(b"")
    assert compare.main([old, new]) == 2
    assert str(broken) in capsys.readouterr().err


def test_the_command_loads_none_of_the_code_that_wrote_the_results(sides):
    program = (
        "import sys; from tests.support.compare import main; code = main(sys.argv[1:]); "
        "assert not [m for m in sys.modules if m.startswith('orchestrator')]; sys.exit(code)"
    )
    for words in (["-c", program], ["-m", "tests.support.compare"]):
        command = [sys.executable, *words, *map(str, sides)]
        ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
        assert (ran.returncode, ran.stderr) == (0, "")
