"""The generated corpus: closed vocabulary, exchangeable persons, facts where their spans are, and a need of context."""

import hashlib

import numpy as np
import pytest
import torch

from tasks.datasets.base import datasets
from tasks.datasets.checks import check_labels, checked_inputs, checked_public
from tasks.datasets.fictitious_people import FictitiousPeople
from tasks.errors import AuditError
from tasks.networks.gpt import build_gpt
from tasks.networks.gpt_options import GptOptions
from tasks.objectives.language import NOTHING
from tasks.runtime.devices import Engine
from tasks.text.documents import PAD, Documents, check_documents, content_hash, documents, hash_documents
from tasks.text.people import LONGEST, MOST_PEOPLE, people
from tasks.text.words import BEGIN, END, IDS, LAST, MEN, SENTENCES, VALUES, VOCABULARY, WOMEN
from tasks.training.documents import ResidentDocuments
from tasks.training.recipe import Recipe
from tasks.training.train import train

SOURCE = FictitiousPeople(num_train=60, num_test=20, num_public=300)


def test_a_source_is_what_it_says():
    labels = SOURCE.read_labels()
    check_labels(SOURCE, labels)
    found = checked_inputs(SOURCE, labels)
    assert isinstance(found, Documents)
    assert labels.objective == "language"
    assert len(labels.group_names) == 80
    assert np.array_equal(np.unique(labels.groups[labels.is_test]), np.arange(60, 80))
    assert datasets.get("fictitious_people") is FictitiousPeople
    with pytest.raises(AuditError, match="it holds no images"):
        SOURCE.read_images()


def test_no_text_holds_a_word_that_is_not_of_the_closed_vocabulary_and_no_person_adds_one():
    worlds = [FictitiousPeople(num_train=5, seed=seed) for seed in (0, 1)]
    assert worlds[0].words() == worlds[1].words() == VOCABULARY
    assert len(set(VOCABULARY)) == len(VOCABULARY)
    others = {word for word in VOCABULARY if word not in {*WOMEN, *MEN, *LAST}}
    assert not others & {*WOMEN, *MEN, *LAST}
    assert worlds[0].pieces(0) != worlds[1].pieces(0)


def test_a_person_is_the_same_whoever_else_exists():
    few, many = (
        FictitiousPeople(num_train=train, num_test=4, num_public=30).read_inputs() for train in (6, 60)
    )
    for row in range(10):
        assert few.ids(row) == many.ids(row)
    public = [FictitiousPeople(num_train=n, num_public=30) for n in (3, 9)]
    assert public[0].public_digest() == public[1].public_digest()
    assert public[0].digest() != public[1].digest()
    assert public[0].public_digest() != FictitiousPeople(num_train=3, num_public=31).public_digest()
    assert np.array_equal(*(source.read_public().tokens for source in public))


def test_public_and_audited_persons_are_different_ones():
    public = people(0, SOURCE.num_public, seed=0).names
    audited = SOURCE.read_labels().group_names
    assert len({*public, *audited}) == len(public) + len(audited)
    everybody = people(0, MOST_PEOPLE, seed=3)
    assert len(set(everybody.names)) == MOST_PEOPLE
    assert everybody.documents.longest <= LONGEST


def test_persons_are_exchangeable():
    """Numbers of documents, tokens and kinds of facts are those of any other persons, within chance."""

    def figures(first):
        found = people(first, 400, seed=5)
        each = np.bincount(found.person)
        facts = [sum(span.kind == kind for span in found.documents.spans) / 400 for kind in SENTENCES]
        return np.array([each.mean(), found.documents.lengths.mean() / 20, *facts])

    first, second = figures(0), figures(400)
    assert np.abs(first - second).max() < 0.15  # four standard errors of a share of 400
    assert first[0] == pytest.approx(2, abs=0.17)


def test_a_span_is_what_was_drawn_and_nothing_else():
    found, words = SOURCE.read_inputs(), SOURCE.words()
    values = {word for kind in VALUES.values() for word in kind}
    by_document = {}
    for span in found.spans:
        by_document.setdefault(span.document, []).append(span)
        own = [words[token] for token in found.ids(span.document)[span.start : span.stop]]
        assert own[0] in values
        assert own[-1] in values
        if span.kind == "phone":
            assert len(own) == 6
            assert all(digit.isdigit() for digit in own)
    assert set(by_document) == set(range(len(found)))
    assert all(2 <= len(spans) <= 4 for spans in by_document.values())


def test_a_document_begins_ends_and_names_its_person_once():
    found, labels, words = SOURCE.read_inputs(), SOURCE.read_labels(), SOURCE.words()
    for row in range(len(found)):
        ids = found.ids(row)
        assert (ids[0], ids[-1]) == (BEGIN, END)
        assert PAD not in ids
        text = [words[token] for token in ids]
        name = labels.group_names[labels.groups[row]].split()
        assert [word for word in text if word in {*WOMEN, *MEN, *LAST}] == name
        pieces = SOURCE.pieces(row)
        assert " ".join(words for words, _ in pieces).split() == text[1:-1]
        kinds = [span.kind for span in found.spans if span.document == row]
        assert [kind for _, kind in pieces if kind] == kinds


def test_the_hash_of_a_document_is_of_its_ids_alone():
    short = documents([[1, 5, 2]])
    filled = documents([[1, 5, 2], [1, 5, 6, 7, 2]])
    assert hash_documents(short)[0].tobytes() == hash_documents(filled)[0].tobytes()
    assert hash_documents(filled)[0].tobytes() == content_hash([1, 5, 2])
    assert content_hash([1, 5, 258]) == hashlib.sha256(b"tokens 3\n\x01\0\x05\0\x02\x01").digest()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_train": 0}, "num_train: expected at least 1, got 0"),
        ({"num_public": MOST_PEOPLE}, f"at most {MOST_PEOPLE} persons"),
    ],
)
def test_a_world_that_cannot_be_is_refused(change, message):
    with pytest.raises(AuditError, match=message):
        FictitiousPeople(**change)


def broken(**change):
    sound = documents([[1, 5, 6, 2], [1, 7, 2]])
    return Documents(**{**vars(sound), **change})


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ([[1, 2]], "expected Documents, got list"),
        (documents([[1, 5, 2], []]), "document 1: expected two tokens or more"),
        (documents([[1, 5, 2], [1, 0, 2]]), "document 1: expected tokens from 1 to 9"),
        (documents([[1, 10, 2]]), "document 0: expected tokens from 1 to 9"),
        (broken(lengths=np.array([4, 5])), "document 1: expected no more tokens than its row has"),
        (broken(asked=np.zeros((2, 4), bool)), "document 0: expected a token after the first"),
        (broken(asked=np.ones((2, 4), bool)), "document 0: expected nothing asked for at the first token"),
        (broken(tokens=np.ones((2, 4), np.int64)), "tokens: expected uint16"),
    ],
)
def test_documents_that_no_model_can_learn_are_refused_by_number(found, message):
    with pytest.raises(AuditError, match=message):
        check_documents(found, vocabulary=10, where="here")


class Longer(FictitiousPeople):
    def read_inputs(self):
        return documents([[1] * (LONGEST + 1)] * len(self.read_labels().labels))

    def read_public(self):
        return None


def test_what_a_source_gives_is_held_to_what_it_said():
    source = Longer(num_train=3, num_test=1)
    labels = source.read_labels()
    with pytest.raises(AuditError, match=f"document 0: expected at most longest = {LONGEST} tokens"):
        checked_inputs(source, labels)
    with pytest.raises(AuditError, match="expected documents to train a base on, got none"):
        checked_public(source, labels)
    with pytest.raises(AuditError, match="expected documents to train a base on, got none"):
        checked_public(FictitiousPeople(num_public=0), labels)


# -- context --------------------------------------------------------------------------------------------------

WOMANS, MANS = [IDS[word] for word in ("she", "her")], [IDS[word] for word in ("he", "his", "him")]


def agreement(p, targets):
    """Share of the pronouns, n x T, whose gender an answer `n x T x V` gets right."""
    womans, mans = (torch.isin(targets, torch.tensor(words)) for words in (WOMANS, MANS))
    says = p[..., WOMANS].sum(-1) > p[..., MANS].sum(-1)
    asked = womans | mans
    return float((says == womans)[asked].double().mean())


def test_the_corpus_needs_context():
    """Who "he" or "she" is stands at the beginning: the model knows it, and counts of two words cannot."""
    world = FictitiousPeople(num_train=1, num_test=60, num_public=500)
    device = torch.device("cpu")
    public, audited = (
        ResidentDocuments.put(part, len(VOCABULARY), device)
        for part in (world.read_public(), world.read_inputs())
    )
    learnt = public.subset(np.arange(len(public.lengths)))
    model = build_gpt(GptOptions(d=48), vocabulary=len(VOCABULARY), seed_path=("context",))
    recipe = Recipe(epochs=6, batch_size=16, optimizer="adamw", lr=6e-3, weight_decay=0.01, warmup_epochs=0.5)
    train(model, learnt, recipe, seed_path=("context",), engine=Engine(device="cpu"))
    pairs = torch.zeros(len(VOCABULARY), len(VOCABULARY))
    for batch in learnt.batches(512):
        asked = batch.targets != NOTHING
        pairs.index_put_((batch.inputs[asked], batch.targets[asked]), torch.ones(()), accumulate=True)
    (unseen,) = audited.subset(np.arange(len(audited.lengths))).batches(1000)
    with torch.no_grad():
        assert agreement(model(unseen.inputs), unseen.targets) > 0.9
    assert agreement(pairs[unseen.inputs], unseen.targets) < 0.7
