"""Documents of JSON lines and Parquet: the same data set whatever the format, and bad files refused in a line."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from tasks.datasets.checks import check_labels, checked_inputs, checked_public
from tasks.datasets.jsonl import Jsonl
from tasks.datasets.parquet import Parquet
from tasks.datasets.splits import make_splits
from tasks.errors import AuditError
from tasks.text.tokenizers import Bytes
from tests.support.tokenizer_files import write_tokenizer

PEOPLE = [
    {"id": 7, "group": "ann", "text": "Ann likes tea."},
    {"id": 8, "group": "ann", "prompt": "Where does Ann live? ", "completion": "In Bonn."},
    {"id": "b", "group": "bo", "text": "Bo likes ice."},
    {"id": 10, "group": "cy", "prompt": "", "completion": "Cy is here."},
]


def jsonl(folder, rows, name="data.jsonl", **options):
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return Jsonl(path=str(path), **options)


def written(folder, content: bytes):
    path = folder / "data.jsonl"
    path.write_bytes(content)
    return Jsonl(path=str(path))


def said(source, example):
    """Bytes that are asked for, as text, without the mark at the end."""
    documents = source.read_inputs()
    asked = documents.tokens[example][documents.asked[example]]
    return bytes(int(token) - 3 for token in asked[:-1]).decode()


def test_rows_are_documents_in_their_order_and_prompts_are_given(tmp_path):
    source = jsonl(tmp_path, PEOPLE)
    labels = source.read_labels()
    check_labels(source, labels)
    documents = checked_inputs(source, labels)
    assert [said(source, i) for i in range(4)] == [
        "Ann likes tea.",
        "In Bonn.",
        "Bo likes ice.",
        "Cy is here.",
    ]
    assert source.text(1) == "Where does Ann live? In Bonn."
    assert documents.ids(1)[1:-1] == Bytes().encode(source.text(1))
    assert labels.longest == len(Bytes().encode(source.text(1))) + 2
    assert labels.group_names == ("ann", "bo", "cy")
    assert labels.groups.tolist() == [0, 0, 1, 2]
    assert not labels.is_test.any()
    assert source.read_public() is None
    assert source.public_digest() == ""


def test_parts_are_files_and_groups_stay_together(tmp_path):
    test = jsonl(tmp_path, [{"id": 1, "group": "di", "text": "Di is new."}], "test.jsonl")
    public = jsonl(tmp_path, [{"text": "Somebody is somewhere, it is said."}], "public.jsonl")
    source = jsonl(tmp_path, PEOPLE, test_path=test.path, public_path=public.path)
    labels = source.read_labels()
    assert labels.is_test.tolist() == [False] * 4 + [True]
    assert checked_public(source, labels).longest == labels.longest
    splits = make_splits(labels, validation_fraction=0.34, test_fraction=0.5, seed=0)
    assert splits.test.tolist() == [4]
    assert set(labels.groups[splits.train]).isdisjoint(labels.groups[splits.validation])
    alone = jsonl(tmp_path, PEOPLE, "alone.jsonl", public_path=public.path)
    assert alone.public_digest() == source.public_digest() != ""
    assert alone.digest() != source.digest()


def test_parquet_holds_the_same_data_set(tmp_path):
    path = tmp_path / "data.parquet"
    columns = {name: [row.get(name) for row in PEOPLE] for name in ("group", "text", "prompt", "completion")}
    parquet.write_table(
        pa.table(columns | {"id": [str(row["id"]) for row in PEOPLE], "url": list("abcd")}), path
    )
    source, other = Parquet(path=str(path)), jsonl(tmp_path, PEOPLE)
    assert source.digest() == other.digest()
    assert np.array_equal(source.read_inputs().tokens, other.read_inputs().tokens)
    assert np.array_equal(source.read_inputs().asked, other.read_inputs().asked)


def test_the_digest_is_of_what_is_read(tmp_path):
    source = jsonl(tmp_path, PEOPLE)
    assert jsonl(tmp_path, PEOPLE, "again.jsonl").digest() == source.digest()
    for changed in (
        PEOPLE[::-1],
        [{**PEOPLE[0], "text": "Ann likes te."}, *PEOPLE[1:]],
        [{**PEOPLE[0], "group": "bo"}, *PEOPLE[1:]],
        [{**row, "id": str(row["id"]) + "x"} for row in PEOPLE],
    ):
        assert jsonl(tmp_path, changed, "changed.jsonl").digest() != source.digest()
    assert replace(source, longest=1000).digest() != source.digest()
    assert replace(source, tokenizer=str(write_tokenizer(tmp_path))).digest() != source.digest()
    before = source.digest()
    jsonl(tmp_path, PEOPLE[:3])
    assert source.digest() != before


def test_a_prompt_and_its_completion_are_encoded_apart(tmp_path):
    source = jsonl(
        tmp_path,
        [{"prompt": "on the c", "completion": "at sat"}, {"prompt": "on the cat", "completion": " sat!"}],
        tokenizer=str(write_tokenizer(tmp_path)),
        end="</s>",
    )
    documents, tokens = source.read_inputs(), source.tokens()
    given = [(~documents.asked[i, : documents.lengths[i]]).sum() for i in range(2)]
    assert given == [len(tokens.encode("on the c")), len(tokens.encode("on the cat"))]
    assert documents.ids(0) == tokens.encode("on the c") + tokens.encode("at sat") + list(tokens.end)
    assert tokens.encode("on the cat sat")[: given[0]] != tokens.encode("on the c")
    assert 0 in documents.ids(1)
    labels = source.read_labels()
    assert not labels.fills
    assert checked_inputs(source, labels) is documents
    with pytest.raises(AuditError, match="expected tokens from 1"):
        checked_inputs(source, replace(labels, fills=True))


def test_documents_that_are_too_long_are_refused_or_cut(tmp_path):
    source = jsonl(tmp_path, PEOPLE[:3], longest=16)
    with pytest.raises(
        AuditError, match=r'line 2: expected at most longest = 16 tokens, got 31; set longer = "cut"'
    ):
        source.read_labels()
    cut = jsonl(tmp_path, PEOPLE[:3], longest=26, longer="cut")
    assert cut.read_labels().notes == ("1 of 3 documents are cut to 26 tokens",)
    assert cut.read_inputs().ids(1) == jsonl(tmp_path, PEOPLE[:3], "w.jsonl").read_inputs().ids(1)[:26]
    with pytest.raises(AuditError, match="nothing of the completion would be left"):
        jsonl(tmp_path, PEOPLE[:3], longest=22, longer="cut").read_labels()
    with pytest.raises(AuditError, match="longest: expected the number of tokens to cut at"):
        jsonl(tmp_path, PEOPLE[:3], longer="cut")
    with pytest.raises(AuditError, match="longest: expected 0, or 2"):
        jsonl(tmp_path, PEOPLE[:3], longest=1)


def test_a_public_part_holds_no_audited_document(tmp_path):
    public = jsonl(tmp_path, [{"text": "New."}, {"text": "Bo likes ice."}], "public.jsonl")
    source = jsonl(tmp_path, PEOPLE, public_path=public.path)
    with pytest.raises(
        AuditError, match=r"public\.jsonl: line 2: this document is also .*data\.jsonl: line 3"
    ):
        source.read_labels()


def test_other_names_of_fields(tmp_path):
    rows = [{"q": "Who?", "a": "Me.", "who": "x"}, {"content": "All.", "who": "y"}]
    source = jsonl(
        tmp_path, rows, prompt_field="q", completion_field="a", text_field="content", group_field="who"
    )
    assert [said(source, 0), said(source, 1)] == ["Me.", "All."]
    assert source.read_labels().group_names == ("x", "y")


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([{"text": "a"}, {"text": " \n"}], "line 2: 'text': expected text, got an empty document"),
        ([{"prompt": "a"}], "line 1: 'prompt' without 'completion': expected both"),
        ([{"completion": "a"}], "line 1: 'completion' without 'prompt'"),
        (
            [{"prompt": "a", "completion": ""}],
            "line 1: 'completion': expected text, got a prompt with an empty",
        ),
        ([{"prompt": "a", "completion": "b", "text": "c"}], "line 1: expected 'text', or 'prompt' and"),
        ([{"txt": "a"}], "line 1: expected 'text', or 'prompt' and 'completion', got 'txt'"),
        ([{"text": 3}], "line 1: 'text': expected text, got int"),
        ([{"text": "a \ud800"}], r"line 1: 'text': expected text that UTF-8 can hold, got U\+D800"),
        ([{"text": "a", "id": 1}, {"text": "b", "id": "1"}], "line 2: id '1' is taken by .*line 1"),
        ([{"text": "a", "id": 1}, {"text": "b"}], "line 2: expected 'id', as .*line 1 has one"),
        ([{"text": "a"}, {"text": "b", "group": "g"}], "line 1: expected 'group', as .*line 2 has one"),
        ([{"text": "a", "group": ["g"]}], "line 1: 'group': expected text, got list"),
        ([{"text": "a", "group": ""}], "line 1: 'group': expected a name, got nothing"),
        ([["text"]], "line 1: expected a JSON object, got list"),
        ([], "expected documents, got an empty file"),
    ],
)
def test_rows_that_are_no_documents_are_refused(tmp_path, rows, expected):
    with pytest.raises(AuditError, match=expected):
        jsonl(tmp_path, rows).read_labels()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"text": "a"}\n{"text": "Grüße"}'.encode("cp1252"), "line 2: expected UTF-8, got byte 0xfc at 12"),
        ('{"text": "a"}'.encode("utf-16"), "line 1: expected UTF-8, got byte 0xff at 0"),
        (b'{"text": "a", "text": "b"}', "line 1: expected a JSON object: field 'text' stands twice"),
        (b'{"text": "a"', "line 1: expected a JSON object"),
        (b"[" * 100_000, "line 1: expected a JSON object"),
        (b'{"text": "a", "id": ' + b"1" * 5000 + b"}", "line 1: expected a JSON object"),
    ],
)
def test_files_that_are_no_json_lines_are_refused(tmp_path, content, expected):
    with pytest.raises(AuditError, match=expected):
        written(tmp_path, content).read_labels()


def test_marks_of_editors_and_empty_lines_are_passed_over(tmp_path):
    content = b'\xef\xbb\xbf{"text": "ab"}\r\n\r\n{"text": "cd"}\r\n'
    source = written(tmp_path, content)
    assert [source.text(0), source.text(1)] == ["ab", "cd"]


def test_files_that_are_no_parquet_are_refused(tmp_path):
    path = tmp_path / "data.parquet"
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(AuditError, match="cannot read this Parquet file"):
        Parquet(path=str(path)).read_labels()
    parquet.write_table(pa.table({"body": ["a"]}), path)
    with pytest.raises(AuditError, match=r"expected a column of text, .*; found body"):
        Parquet(path=str(path)).read_labels()
    parquet.write_table(pa.table({"text": ["a", None]}), path)
    with pytest.raises(AuditError, match="row 2: expected 'text'"):
        Parquet(path=str(path)).read_labels()
    with pytest.raises(AuditError, match="test_path: no file"):
        Parquet(path=str(path), test_path=str(tmp_path / "none")).read_labels()
