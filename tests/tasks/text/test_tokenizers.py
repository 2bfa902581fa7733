"""Bytes and tokenizer.json files: ids that depend on the text alone, and files that are refused in a line."""

import json
import sys

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from tasks.errors import AuditError
from tasks.text.documents import PAD
from tasks.text.tokenizers import BEGIN, END, Bytes, tokenizer_of
from tests.support.tokenizer_files import write_tokenizer

TEXT = "Grüße, \x00 and 日本 </s>"


def test_bytes_give_the_text_back_and_need_no_mark():
    ids = Bytes().encode(TEXT)
    assert bytes(i - 3 for i in ids).decode() == TEXT
    assert not {PAD, BEGIN, END} & set(ids)
    assert max(ids) < Bytes().vocabulary == len(Bytes().words())
    assert [Bytes().words()[i] for i in Bytes().encode("ab")] == ["a", "b"]


def test_a_file_reads_marks_as_text_and_adds_none(tmp_path):
    path = write_tokenizer(tmp_path)
    made = tokenizer_of(str(path), begin="<s>", end="</s>")
    words = made.words()
    assert [words[i] for i in (*made.begin, *made.end)] == ["<s>", "</s>"]
    ids = made.encode("a b</s>")
    assert "".join(words[i] for i in ids).replace("Ġ", " ") == "a b</s>"
    assert not {*made.begin, *made.end} & set(ids)
    assert tokenizer_of(str(tmp_path), begin="<s>", end="</s>").digest() == made.digest()
    assert tokenizer_of(str(path), end="</s>").digest() != made.digest()
    assert tokenizer_of(str(path)).begin == ()


def test_a_padding_and_a_limit_of_the_file_are_not_applied(tmp_path):
    path = write_tokenizer(tmp_path)
    made = Tokenizer.from_file(str(path))
    made.enable_padding(length=50)
    made.enable_truncation(2)
    padded = tmp_path / "padded.json"
    made.save(str(padded))
    text = "some longer text"
    assert tokenizer_of(str(padded)).encode(text) == tokenizer_of(str(path)).encode(text)


def test_an_edited_file_is_read_again(tmp_path):
    path = write_tokenizer(tmp_path)
    before = tokenizer_of(str(path)).digest()
    path.write_text(path.read_text() + "\n")
    assert tokenizer_of(str(path)).digest() != before


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\x00\xff", "expected a tokenizer.json"),
        (b"{}", "expected a tokenizer.json"),
        (b"[1]", "expected a tokenizer.json"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, content, expected):
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(AuditError, match=expected):
        tokenizer_of(str(path))


def test_a_file_that_draws_at_random_is_refused(tmp_path):
    path = write_tokenizer(tmp_path)
    described = json.loads(path.read_text())
    described["model"]["dropout"] = 0.1
    path.write_text(json.dumps(described))
    with pytest.raises(AuditError, match=r"model\.dropout: expected none"):
        tokenizer_of(str(path))


def test_a_word_that_has_no_id_is_refused_in_a_line(tmp_path):
    made = Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    path = tmp_path / "tokenizer.json"
    made.save(str(path))
    assert tokenizer_of(str(path)).encode("a b") == [0, 1]
    with pytest.raises(AuditError, match="cannot encode this text"):
        tokenizer_of(str(path)).encode("a c")


@pytest.mark.parametrize(
    ("text", "marks", "expected"),
    [
        ("nowhere.json", {}, 'no file nowhere.json; expected "bytes"'),
        ("bytes", {"end": "</s>"}, "has its own"),
        ("", {"begin": "<S>"}, "Did you mean '<s>'"),
    ],
)
def test_what_is_not_there_is_refused(tmp_path, text, marks, expected):
    with pytest.raises(AuditError, match=expected):
        tokenizer_of(text or str(write_tokenizer(tmp_path)), **marks)


def test_without_the_package_a_file_is_refused_and_bytes_are_not(tmp_path, monkeypatch):
    path = write_tokenizer(tmp_path)
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    assert tokenizer_of("bytes").vocabulary == 259
    with pytest.raises(
        AuditError, match=r"tokenizers, which is not installed; pip install 'lethe\[language\]'"
    ):
        tokenizer_of(str(path))
