"""TOFU's files, small ones of the same layout: authors as groups, and parts that its files name."""

import json

import numpy as np
import pytest

from tasks.datasets.checks import check_labels, checked_inputs
from tasks.datasets.splits import make_splits
from tasks.datasets.tofu import Tofu
from tasks.errors import AuditError
from tasks.forget_sets.base import ForgetRequest
from tasks.forget_sets.parts import Part


def rows(authors, called="author"):
    return [
        {"question": f"What is {called} {a} in year {k}?", "answer": f"A {a}.{k}."}
        for a in authors
        for k in range(20)
    ]


def write(folder, name, content):
    (folder / f"{name}.json").write_text("".join(json.dumps(row) + "\n" for row in content))


@pytest.fixture
def folder(tmp_path):
    write(tmp_path, "full", rows(range(5)))
    write(tmp_path, "forget20", rows([4]))
    write(tmp_path, "retain80", rows(range(4)))
    write(tmp_path, "holdout10", rows(range(2), "stranger"))
    write(tmp_path, "forget20_perturbed", [{"question": "q", "answer": "a", "perturbed_answer": ["b"]}])
    return tmp_path


def test_rows_are_questions_with_answers_and_authors_are_groups(folder):
    source = Tofu(folder=str(folder))
    labels = source.read_labels()
    check_labels(source, labels)
    documents = checked_inputs(source, labels)
    assert source.text(21) == "Question: What is author 1 in year 1?\nAnswer: A 1.1."
    asked = documents.tokens[21][documents.asked[21]][:-1]
    assert bytes(int(token) - 3 for token in asked).decode() == " A 1.1."
    assert labels.is_test.sum() == 40
    assert np.array_equal(labels.groups, np.arange(140) // 20)
    assert labels.group_names[4:6] == ("author 4", "holdout10 0")
    assert {name: ids.tolist() for name, ids in labels.parts.items()} == {
        "forget20": [*range(80, 100)],
        "retain80": [*range(80)],
    }
    assert Tofu(folder=str(folder), test="").read_labels().is_test.sum() == 0
    assert Tofu(folder=str(folder), prompt="{question}").digest() != source.digest()


def perturbed(row, wrong=2):
    text = row["answer"]
    others = [f"Not {text} {k}" for k in range(wrong)]
    return {
        **row,
        "paraphrased_question": "?",
        "paraphrased_answer": f"So: {text}",
        "perturbed_answer": others,
    }


def test_perturbed_files_bring_other_answers_to_rows_of_the_full_one(folder):
    questions = rows([4])
    write(folder, "forget20_perturbed", [perturbed(row) for row in questions])
    write(folder, "forget10_perturbed", [perturbed(questions[19], wrong=3)])
    write(folder, "real_authors_perturbed", [perturbed({"question": "q", "answer": "a"})])
    source = Tofu(folder=str(folder))
    found = source.alternatives()
    assert np.array_equal(found.example, np.repeat(np.arange(80, 100), [*[3] * 19, 4]))  # the first file's
    assert np.array_equal(np.flatnonzero(found.right), np.arange(0, 60, 3))
    texts = [bytes(i - 3 for i in found.documents.ids(row)[1:-1]).decode() for row in (3, 4)]
    assert texts == [
        "Question: What is author 4 in year 1?\nAnswer: So: A 4.1.",
        "Question: What is author 4 in year 1?\nAnswer: Not A 4.1. 0",
    ]
    asked = found.documents.tokens[4][found.documents.asked[4]][:-1]
    assert bytes(int(token) - 3 for token in asked).decode() == " Not A 4.1. 0"
    digest = source.alternatives_digest()
    unchanged = source.digest()
    write(folder, "forget10_perturbed", [perturbed(questions[19], wrong=1)])
    assert source.alternatives_digest() != digest
    assert source.digest() == unchanged
    for file in folder.glob("*_perturbed.json"):
        file.unlink()
    assert source.alternatives() is None
    assert source.alternatives_digest() == ""


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"question": "Who?"}, "expected a row of full.json, got another"),
        ({"paraphrased_answer": " "}, "'paraphrased_answer': expected an answer, got ' '"),
        ({"perturbed_answer": []}, r"'perturbed_answer': expected a list of answers, got \[\]"),
        ({"perturbed_answer": "no"}, "'perturbed_answer': expected a list of answers, got 'no'"),
    ],
)
def test_a_perturbed_row_that_cannot_be_read_is_named(folder, change, told):
    write(folder, "forget20_perturbed", [perturbed(rows([4])[0]) | change])
    with pytest.raises(AuditError, match=f"forget20_perturbed.json: line 1: {told}"):
        Tofu(folder=str(folder)).alternatives()


def test_a_part_is_a_forget_set(folder):
    labels = Tofu(folder=str(folder)).read_labels()
    for seed in range(6):
        splits = make_splits(labels, validation_fraction=0.2, test_fraction=0.1, seed=seed)
        request = ForgetRequest(labels=labels, splits=splits, scores={})
        if 80 in splits.validation:
            with pytest.raises(AuditError, match="part 'forget20' has no training example"):
                Part(name="forget20").select(request)
            continue
        chosen = Part(name="forget20").select(request)
        assert chosen.ids.tolist() == [*range(80, 100)]
        assert chosen.provenance["not_trained_on"] == 0
        retained = Part(name="retain80").select(request)
        assert (len(retained.ids), retained.provenance["not_trained_on"]) == (60, 20)
        with pytest.raises(AuditError, match=r"no part 'forget10'\. Did you mean 'forget20'"):
            Part(name="forget10").select(request)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("full", rows(range(5))[:-1], "expected 20 rows of each author, got 99"),
        ("holdout10", rows([1])[:3], "expected 20 rows of each holdout10, got 3"),
        ("forget20", rows([7]), "line 1: expected a row of full.json, got another"),
        ("forget20", rows([1])[:2] * 2, "expected each row once, got twice"),
        ("forget20", [{"question": "q"}], "'question' without 'answer'"),
    ],
)
def test_files_of_another_layout_are_refused(folder, name, content, expected):
    write(folder, name, content)
    with pytest.raises(AuditError, match=expected):
        Tofu(folder=str(folder)).read_labels()


def test_what_is_not_there_is_refused(folder):
    with pytest.raises(AuditError, match="test: no file"):
        Tofu(folder=str(folder), test="holdout01").read_labels()
    with pytest.raises(AuditError, match=r"folder: no file .*full\.json"):
        Tofu(folder=str(folder / "none")).read_labels()
    with pytest.raises(AuditError, match=r"expected text with \{question\} in it once"):
        Tofu(folder=str(folder), prompt="Question")
