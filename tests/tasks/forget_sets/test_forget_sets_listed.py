"""Forget sets from a file: the three formats and every way in which a list can be wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
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
    ]
    for path in paths:
        assert resolve(Listed(path=path), REQUEST).ids.tolist() == sorted(ids)


def test_named_column(tmp_path: Path) -> None:
    path = text(tmp_path / "ids.csv", f"example_id,row\n0,{IDS[0]}\n0,{IDS[1]}\n")
    assert resolve(Listed(path=path, column="row"), REQUEST).ids.tolist() == sorted(IDS[:2].tolist())
    with pytest.raises(AuditError, match=r"ids.csv: no column 'rwo'. Did you mean 'row'"):
        resolve(Listed(path=path, column="rwo"), REQUEST)


def test_expected_digest(tmp_path: Path) -> None:
    path = text(tmp_path / "ids.txt", csv_of(IDS))
    digest = resolve(Listed(path=path), REQUEST).digest
    assert resolve(Listed(path=path, sha256=digest.upper()), REQUEST).digest == digest
    with pytest.raises(AuditError, match=f"expected ids with sha256 abc, got {digest}"):
        resolve(Listed(path=path, sha256="abc"), REQUEST)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ([IDS[2], IDS[1], IDS[1]], f"3 ids are listed before, the first is {IDS[2]}"),
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
        ("ids.json", "[1]", "path: no file format '.json'. .*Valid: .csv, .npy, .txt"),
        ("ids.npy", "no array", "ids.npy: cannot read this array"),
    ],
)
def test_wrong_files(name: str, content: str, message: str, tmp_path: Path) -> None:
    path = text(tmp_path / name, content)
    with pytest.raises(AuditError, match=message):
        resolve(Listed(path=path), REQUEST)


@pytest.mark.parametrize("array", [np.ones((2, 2), dtype=np.int64), np.ones(3), np.array([True, False])])
def test_wrong_arrays(array: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "ids.npy", array)
    with pytest.raises(
        AuditError, match=r"expected integers or text of shape \(n,\), got (int64|float64|bool)"
    ):
        resolve(Listed(path=str(tmp_path / "ids.npy")), REQUEST)


def test_pickled_array_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "ids.npy", np.array([{"a": 1}], dtype=object))
    with pytest.raises(AuditError, match="cannot read this array: Object arrays"):
        resolve(Listed(path=str(tmp_path / "ids.npy")), REQUEST)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match="path: no file"):
        resolve(Listed(path=str(tmp_path / "ids.csv")), REQUEST)
