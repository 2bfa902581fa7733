"""Forget sets from a file: the three formats and every way in which a list can be wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.errors import AuditError
from tasks.forget_sets.listed import Listed
from tasks.forget_sets.resolve import resolve
from tests.tasks.forget_sets.test_forget_sets_drawn import REQUEST

TRAIN = REQUEST.splits.train
IDS = TRAIN[[7, 3, 30, 11]]
TEST = int(REQUEST.splits.test[0])
VALIDATION = int(REQUEST.splits.validation[4])


def text(path: Path, content: str) -> str:
    path.write_text(content)
    return str(path)


def encoded(path: Path, content: str, encoding: str) -> str:
    path.write_bytes(content.encode(encoding))
    return str(path)


def parquet(path: Path, **columns: list[Any]) -> str:
    pq.write_table(pa.table(columns), path)
    return str(path)


def csv_of(ids: np.ndarray) -> str:
    return "\n".join(map(str, ids)) + "\n"


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(st.sampled_from(TRAIN.tolist()), min_size=1, max_size=30), st.randoms())
def test_formats_agree(tmp_path: Path, chosen: set[int], random: st.DrawFn) -> None:
    ids = list(chosen)
    random.shuffle(ids)  # type: ignore[attr-defined]
    np.save(tmp_path / "ids.npy", np.array(ids, dtype=np.int32))
    rows = "".join(f"x,{i},y\n" for i in ids)
    paths = [
        text(tmp_path / "ids.txt", "# request 12\n" + "".join(f" {i}  # why\n\n" for i in ids)),
        text(tmp_path / "plain.csv", csv_of(np.array(ids))),
        text(tmp_path / "head.csv", "name, example_id,reason\n" + rows),
        text(tmp_path / "bom.CSV", "\ufeffexample_id\n" + csv_of(np.array(ids))),
        str(tmp_path / "ids.npy"),
        text(tmp_path / "gaps.csv", "example_id,name\n" + "".join(f"{i}.0,\n,\n" for i in ids)),
        encoded(
            tmp_path / "excel.csv", "name;example_id\n" + "".join(f"Z\u00f6e;{i}\n" for i in ids), "cp1252"
        ),
        encoded(tmp_path / "unicode.txt", "\n".join(map(str, ids)), "utf-16"),
        parquet(tmp_path / "ids.parquet", example_id=ids, name=[None] * len(ids)),
    ]
    np.save(tmp_path / "floats.npy", np.array(ids, dtype=np.float64))
    for path in (*paths, str(tmp_path / "floats.npy")):
        assert resolve(Listed(path=path), REQUEST).ids.tolist() == sorted(ids)


def test_named_column(tmp_path: Path) -> None:
    path = text(tmp_path / "ids.csv", f"example_id,row\n0,{IDS[0]}\n0,{IDS[1]}\n")
    assert resolve(Listed(path=path, column="row"), REQUEST).ids.tolist() == sorted(IDS[:2].tolist())
    with pytest.raises(AuditError, match=r"ids.csv: no column 'rwo'. Did you mean 'row'"):
        resolve(Listed(path=path, column="rwo"), REQUEST)


def test_a_list_is_summed_up(tmp_path: Path) -> None:
    rows = f'name;example_id\n"Z\u00f6e\nB";{IDS[0]}\nAnn;{IDS[1]}.0\n;\nAnn;{IDS[1]}\n'
    found = resolve(Listed(path=encoded(tmp_path / "r.csv", rows, "cp1252")), REQUEST)
    assert found.ids.tolist() == sorted(IDS[:2].tolist())
    over = "rows that go over several lines: 1, the first from line 2 on"
    assert found.notes == (
        f"{tmp_path}/r.csv (cp1252; separated by semicolons; {over}): "
        "3 read, 2 training examples matched, 1 listed again, none unknown",
    )
    told = {name: found.provenance[name] for name in ("listed", "listed_again", "encoding")}
    assert told == {"listed": 3, "listed_again": 1, "encoding": "cp1252"}


NAMES = tuple(f"cat/{row}.png" for row in range(300))
NUMBERS = tuple(str(row + 1000) for row in range(300))


def named(path: str, names: tuple[str, ...], **fields: Any) -> list[int]:
    return resolve(Listed(path=path, **fields), replace(REQUEST, names=lambda: names)).ids.tolist()


def test_examples_are_named_as_people_call_them(tmp_path: Path) -> None:
    listed = text(tmp_path / "r.csv", f"file,why\n{NAMES[IDS[0]]},x\n{IDS[1]},y\n")
    assert named(listed, NAMES, column="file") == sorted(IDS[:2].tolist())
    wrong = text(tmp_path / "r.txt", f"cat/{IDS[0]}.pgn\n")
    with pytest.raises(
        AuditError, match=rf"line 1: expected an example id, a name.*did you mean '{NAMES[IDS[0]]}'"
    ):
        named(wrong, NAMES)
    with pytest.raises(AuditError, match=r"1 id is in the test split"):
        named(text(tmp_path / "r.txt", NAMES[TEST]), NAMES)


def test_numbers_that_may_be_names_have_to_be_told_apart(tmp_path: Path) -> None:
    """Document 1007 is example 7, and an id of 1007 would be an error at best, another example at worst."""
    listed = text(tmp_path / "r.txt", NUMBERS[IDS[0]])
    with pytest.raises(
        AuditError, match=r"r.txt: line 1: '\d+' may be an example id, or a name.*named = true"
    ):
        named(listed, NUMBERS)
    assert named(listed, NUMBERS, named=True) == [IDS[0]]
    assert named(text(tmp_path / "r.txt", str(IDS[0])), NUMBERS, named=False) == [IDS[0]]
    with pytest.raises(AuditError, match="expected a name of the data set, got '7'"):
        named(text(tmp_path / "r.txt", "7"), NUMBERS, named=True)


def test_an_unclosed_quote_swallows_nothing(tmp_path: Path) -> None:
    """Read leniently, the first row would hold all that follows, and one example of four be forgotten."""
    rows = f'example_id,name\n{IDS[0]},x\n{IDS[1]},"ab\n{IDS[2]},c\n{IDS[3]},d\n'
    with pytest.raises(AuditError, match=r"r.csv: line 3: cannot read this row: unexpected end of data"):
        resolve(Listed(path=text(tmp_path / "r.csv", rows)), REQUEST)


@pytest.mark.parametrize(
    ("name", "raw", "message"),
    [
        ("r.csv", b"example_id,name\n1,a,b\n", "line 2: expected 2 cells as in line 1, got 3"),
        ("r.csv", b"example_id,name\n1,a\n2\n", "line 3: expected 2 cells as in line 1, got 1"),
        ("r.csv", b"example_id,example_id\n1,2\n", "line 1: expected one column 'example_id', got 2"),
        ("r.csv", b'example_id,name\n1,"a"b\n', "line 2: cannot read this row: ',' expected after"),
        (
            "r.txt",
            "1\n2\n".encode("utf-16-le"),
            "expected text in UTF-8, UTF-16 with a byte order mark, or cp1252",
        ),
        ("r.txt", "1\n2\n".encode("utf-32"), "expected text in UTF-8, UTF-16"),
        ("r.txt", b"1\n\x81\n", "expected text in UTF-8, UTF-16"),
        ("r.txt", b"1_0\n", "line 1: expected an example id, .*got '1_0'"),
        ("r.txt", b"99999999999999999999\n", "line 1: expected an example id"),
        ("r.txt", b"1e3\n", "line 1: expected an example id"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(name: str, raw: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(AuditError, match=rf"{name}: {message}"):
        resolve(Listed(path=str(tmp_path / name)), REQUEST)


def test_tables_that_name_nothing(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match=r"r.parquet: expected a column of example_id; found row"):
        resolve(Listed(path=parquet(tmp_path / "r.parquet", row=[1])), REQUEST)
    with pytest.raises(AuditError, match=r"r.parquet: line 2: expected an example id, .*got ''"):
        resolve(Listed(path=parquet(tmp_path / "r.parquet", example_id=[int(IDS[0]), None])), REQUEST)
    (tmp_path / "r.parquet").write_text("no table")
    with pytest.raises(AuditError, match=r"r.parquet: cannot read this Parquet file"):
        resolve(Listed(path=str(tmp_path / "r.parquet")), REQUEST)


def test_expected_digest(tmp_path: Path) -> None:
    path = text(tmp_path / "ids.txt", csv_of(IDS))
    digest = resolve(Listed(path=path), REQUEST).digest
    assert resolve(Listed(path=path, sha256=digest.upper()), REQUEST).digest == digest
    with pytest.raises(AuditError, match=f"expected ids with sha256 abc, got {digest}"):
        resolve(Listed(path=path, sha256="abc"), REQUEST)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ([5000, -1], r"2 ids are outside 0..299, the first is 5000"),
        ([-3], r"1 id is outside 0..299, the first is -3"),
        ([TEST], f"1 id is in the test split, the first is {TEST}"),
        ([VALIDATION], f"1 id is in the validation split, the first is {VALIDATION}"),
    ],
)
def test_first_offender_and_count_are_named(extra: list[int], message: str, tmp_path: Path) -> None:
    ids = np.concatenate([IDS, extra]).astype(np.int64)
    np.save(tmp_path / "ids.npy", ids)
    for path in (text(tmp_path / "ids.txt", csv_of(ids)), str(tmp_path / "ids.npy")):
        with pytest.raises(AuditError, match=f"{Path(path).name}: {message}"):
            resolve(Listed(path=path), REQUEST)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "ids.txt",
            "1\n2\nthree\n",
            "ids.txt: line 3: expected an example id, .*got 'three'",
        ),
        (
            "ids.txt",
            "1.5\n",
            "line 1: expected an example id, .*got '1.5'",
        ),
        (
            "ids.csv",
            "id\n4\n",
            "line 1: expected an example id, .*got 'id'",
        ),
        (
            "ids.csv",
            "example_id,x\n1,2\n\n,2\n",
            "line 4: expected an example id, .*got ''",
        ),
        ("ids.txt", "# none\n", "forget set 'file': no example was chosen"),
        ("ids.csv", "", "forget set 'file': no example was chosen"),
        ("ids.json", "[1]", "path: no file format '.json'. .*Valid: .csv, .npy, .parquet, .txt"),
        ("ids.csv", "example_id\nnan\n", "line 2: expected an example id, .*got 'nan'"),
        ("ids.npy", "no array", "ids.npy: cannot read this array"),
    ],
)
def test_wrong_files(name: str, content: str, message: str, tmp_path: Path) -> None:
    path = text(tmp_path / name, content)
    with pytest.raises(AuditError, match=message):
        resolve(Listed(path=path), REQUEST)


@pytest.mark.parametrize("array", [np.ones((2, 2), dtype=np.int64), np.array([True, False])])
def test_wrong_arrays(array: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "ids.npy", array)
    with pytest.raises(AuditError, match=r"expected integers or text of shape \(n,\), got (int64|bool)"):
        resolve(Listed(path=str(tmp_path / "ids.npy")), REQUEST)


def test_pickled_array_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "ids.npy", np.array([{"a": 1}], dtype=object))
    with pytest.raises(AuditError, match="cannot read this array: Object arrays"):
        resolve(Listed(path=str(tmp_path / "ids.npy")), REQUEST)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match="path: no file"):
        resolve(Listed(path=str(tmp_path / "ids.csv")), REQUEST)
