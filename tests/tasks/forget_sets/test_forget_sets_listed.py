"""Forget sets from a file: the three formats and every way in which a list can be wrong."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from decimal import Decimal
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
        AuditError, match=rf"line 1: expected an example id, a name.*Did you mean '{NAMES[IDS[0]]}'"
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
        ("r.txt", "1\n2\n".encode("utf-32"), "expected text in UTF-8, UTF-16 or cp1252; save it as UTF-8"),
        ("r.txt", "1\n2\n".encode("utf-32-be"), "expected text in UTF-8, UTF-16"),
        ("r.txt", "1\n2\n".encode("utf-16-le")[:-1], "expected text in UTF-8, UTF-16"),
        ("r.txt", b"1\0002\n", "expected text in UTF-8, UTF-16"),
        ("r.txt", "7,\u4e00\u4e00\n".encode("utf-16-le"), "expected text in UTF-8, UTF-16"),
        ("r.tsv", b"example_id,name\n1,x\n", "line 1: expected an example id, .*got 'example_id,name'"),
        ("r.tsv", b"sep=;\nexample_id;name\n1;x\n", "line 1: expected sep= with a tab, got ';'"),
        ("r.csv", b"sep=:\nexample_id:name\n1:x\n", "line 1: expected sep= with a comma or .* bar, got ':'"),
        ("r.csv", b"sep=;\nid;name\n1;x\n", "no column 'example_id'. Valid: id, name"),
        ("r.csv", b"sep=;\n\nexample_id;name\n1;x\n\n2\n", "line 6: expected 2 cells as in line 3, got 1"),
        ("r.csv", b'sep=,\nexample_id,name\n1,x\n2,"y\n', "line 4: cannot read this row"),
        ("r.txt", b"1\n\x81\n", "expected text in UTF-8, UTF-16"),
        ("r.txt", b"1_0\n", "line 1: expected an example id, .*got '1_0'"),
        ("r.txt", b"99999999999999999999\n", "line 1: expected an example id"),
        ("r.txt", b"1e3\n", "line 1: expected an example id"),
        (
            "r.csv",
            b"example_id;n\n12.000;x\n",
            "line 2: expected an example id, .*got '12.000'",
        ),  # 12, or 12,000
        ("r.csv", b"example_id;n\n12,000;x\n", "line 2: expected an example id, .*got '12,000'"),
        ("r.csv", b'example_id\n"1,234"\n', "line 2: expected an example id, .*got '1,234'"),
        ("r.csv", b"example_id\n1'234\n", "line 2: expected an example id"),
        ("r.csv", b"example_id\n1.2E+19\n", "line 2: expected an example id"),
        ("r.csv", b"example_id\n30.11.2026\n", "line 2: expected an example id, .*got '30.11.2026'"),
        ("r.csv", b"example_id\n2026-11-30\n", "line 2: expected an example id"),
        ("r.csv", b"example_id\nMar-12\n", "line 2: expected an example id"),
        ("r.csv", b"example_id\n#N/A\n", "line 2: expected an example id"),
        ("r.txt", b"10-20\n", "line 1: expected an example id, .*got '10-20'"),
        ("r.txt", b"12#3\n", "line 1: expected an example id, .*got '12#3'"),
        ("r.txt", b"\xff\xfe1", "expected text in UTF-8, UTF-16"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(name: str, raw: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(AuditError, match=rf"{name}: {message}"):
        resolve(Listed(path=str(tmp_path / name)), REQUEST)


ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "cp1252"]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\r\r\n"], ids=repr)
@pytest.mark.parametrize("cell", ["{}", '"{}"', "{}.0", "{}.00", "000{}", "+{}", " {} "])
def test_every_way_in_which_programs_write_an_id(cell: str, end: str, encoding: str, tmp_path: Path) -> None:
    rows = ["example_id,name", *(f"{cell.format(i)},Zo\u00eb" for i in IDS)]
    path = encoded(tmp_path / "r.csv", end.join(rows), encoding)
    assert resolve(Listed(path=path), REQUEST).ids.tolist() == sorted(IDS.tolist())


@pytest.mark.parametrize("order", ["le", "be"])
def test_utf16_is_known_by_its_mark_and_by_the_empty_halves_of_its_letters(
    order: str, tmp_path: Path
) -> None:
    rows = f"example_id,name\n{IDS[0]},Zo\u00eb \u0416\n"
    unmarked = f"UTF-16-{order.upper()} without a byte order mark"
    for mark, told in (("\ufeff", "UTF-16"), ("\ufeff\ufeff", "UTF-16"), ("", unmarked)):
        path = encoded(tmp_path / "r.csv", mark + rows, f"utf-16-{order}")
        found = resolve(Listed(path=path), REQUEST)
        assert found.ids.tolist() == [IDS[0]]
        assert f"r.csv ({told}): 1 read" in found.notes[0]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("r.tsv", "example_id\tname\n{}\ta,b\n", "separated by tabs"),
        ("r.tsv", "sep=\t\nname\texample_id\n\t{}\n", "separated by tabs, as line 1 says"),
        ("r.TSV", "{}\n", "separated by tabs"),
        ("r.csv", "name|example_id\na;b|{}\n", "separated by bars"),
        ("r.csv", "sep=;\r\nexample_id;name\r\n{};a,b\r\n", "separated by semicolons, as line 1 says"),
        ("r.csv", "\ufeff\ufeffsep=;\nexample_id;name\n{};x\n", "semicolons, as line 1 says"),
        ("r.csv", '\ufeff"SEP=;"\n\nname;example_id\n"a\nb";{}\n', r"says; .* from line 4 on"),
    ],
)
def test_what_separates_cells_is_known_by_the_ending_the_header_or_a_first_line(
    name: str, content: str, told: str, tmp_path: Path
) -> None:
    found = resolve(Listed(path=text(tmp_path / name, content.format(IDS[0]))), REQUEST)
    assert found.ids.tolist() == [IDS[0]]
    assert re.search(told, found.notes[0])


def test_a_comment_stands_first_or_behind_a_space(tmp_path: Path) -> None:
    """Cut off in the middle of a word, the name of one example may be that of another."""
    names = ("cat", "cat#1", *map(str, range(2, 300)))
    chosen = [row for row in (0, 1) if row in TRAIN]
    listed = "".join(f"{names[row]}\t# why\n#{row}\n" for row in chosen)
    assert named(text(tmp_path / "r.txt", listed), names, named=True) == chosen


FLOATS = [(np.float16, 2**11), (np.float32, 2**24)]


@pytest.mark.parametrize(("kind", "most"), FLOATS)
def test_ids_that_floats_round_are_refused(kind: type, most: int, tmp_path: Path) -> None:
    """2049 is 2048 as float16: another example, without a word."""
    for name, value in (("good", most - 1), ("rounded", most + 1)):
        np.save(tmp_path / f"{name}.npy", np.array([IDS[0], value], dtype=kind))
        pq.write_table(
            pa.table({"example_id": pa.array(np.array([value], dtype=kind))}), tmp_path / f"{name}.parquet"
        )
    for suffix in ("npy", "parquet"):
        with pytest.raises(AuditError, match=f"id is outside 0..299, the first is {most - 1}"):
            resolve(Listed(path=str(tmp_path / f"good.{suffix}")), REQUEST)
        with pytest.raises(AuditError, match=f"expected ids as integers: numbers from {most} on are rounded"):
            resolve(Listed(path=str(tmp_path / f"rounded.{suffix}")), REQUEST)


def test_bytes_are_text_unless_they_are_as_long_as_a_hash(tmp_path: Path) -> None:
    """As hexadecimal digits b"11" would be example 3131."""
    path = parquet(tmp_path / "r.parquet", example_id=[str(i).encode() for i in IDS])
    assert resolve(Listed(path=path), REQUEST).ids.tolist() == sorted(IDS.tolist())
    np.save(tmp_path / "r.npy", np.array([str(i).encode() for i in IDS]))
    assert resolve(Listed(path=str(tmp_path / "r.npy")), REQUEST).ids.tolist() == sorted(IDS.tolist())
    with pytest.raises(AuditError, match=r"r.parquet: line 1: content hashes need the images"):
        resolve(Listed(path=parquet(tmp_path / "r.parquet", example_id=[b"1" * 32])), REQUEST)
    with pytest.raises(
        AuditError, match=r"line 1: expected text in UTF-8, or 32 bytes of a content hash, got 3"
    ):
        resolve(Listed(path=parquet(tmp_path / "r.parquet", example_id=[b"\xff\xfe1"])), REQUEST)


def test_decimals_of_a_table_are_numbers(tmp_path: Path) -> None:
    whole = [Decimal(f"{i}.000") for i in IDS]
    path = parquet(tmp_path / "r.parquet", example_id=whole)
    assert resolve(Listed(path=path), REQUEST).ids.tolist() == sorted(IDS.tolist())
    with pytest.raises(AuditError, match=r"line 1: expected an example id, .*got '1.5'"):
        resolve(Listed(path=parquet(tmp_path / "r.parquet", example_id=[Decimal("1.5")])), REQUEST)


def test_documents_may_be_called_by_a_hash_of_their_own(tmp_path: Path) -> None:
    names = tuple(hashlib.sha256(bytes([row % 256, row // 256])).hexdigest() for row in range(300))
    assert named(text(tmp_path / "r.txt", names[IDS[0]]), names) == [IDS[0]]
    with pytest.raises(AuditError, match="line 1: content hashes need the images"):
        named(text(tmp_path / "r.txt", "0" * 64), names)


def test_tables_that_name_nothing(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match=r"r.parquet: expected a column of example_id; found row"):
        resolve(Listed(path=parquet(tmp_path / "r.parquet", row=[1])), REQUEST)
    with pytest.raises(AuditError, match=r"r.parquet: line 2: expected an example id, .*got ''"):
        resolve(Listed(path=parquet(tmp_path / "r.parquet", example_id=[int(IDS[0]), None])), REQUEST)
    twice = pa.table([pa.array([1]), pa.array([2])], names=["example_id", "example_id"])
    pq.write_table(twice, tmp_path / "r.parquet")
    with pytest.raises(AuditError, match=r"r.parquet: expected one column 'example_id', got 2"):
        resolve(Listed(path=str(tmp_path / "r.parquet")), REQUEST)
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
        ("ids.txt", "# none\n", "ids.txt: expected at least one example, got a list of none"),
        ("ids.csv", "", "ids.csv: expected at least one example, got a list of none"),
        ("ids.csv", "sep=;\nexample_id;name\n", "ids.csv: expected at least one example"),
        ("ids.json", "[1]", "path: no file format '.json'. .*Valid: .csv, .npy, .parquet, .tsv, .txt"),
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


@pytest.mark.parametrize(
    ("array", "remedy"),
    [
        (np.isin(np.arange(300), IDS), r"np.flatnonzero\(x\) lists"),
        (IDS[:, None], r"x.ravel\(\) is of that shape"),
    ],
)
def test_what_would_make_a_list_of_an_array_is_said(array: np.ndarray, remedy: str, tmp_path: Path) -> None:
    np.save(tmp_path / "ids.npy", array)
    with pytest.raises(AuditError, match=remedy):
        resolve(Listed(path=str(tmp_path / "ids.npy")), REQUEST)


def test_pickled_array_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "ids.npy", np.array([{"a": 1}], dtype=object))
    with pytest.raises(AuditError, match="cannot read this array: Object arrays"):
        resolve(Listed(path=str(tmp_path / "ids.npy")), REQUEST)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match="path: no file"):
        resolve(Listed(path=str(tmp_path / "ids.csv")), REQUEST)
