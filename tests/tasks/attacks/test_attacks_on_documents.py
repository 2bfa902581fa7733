"""Attacks that read what a model says of documents: extraction from prefixes, and the least likely tokens."""

import zlib

import numpy as np
import pytest
import torch
from scipy import special

from tasks.attacks.extraction import Extraction
from tasks.attacks.population import Population
from tasks.attacks.sampling import Sampling
from tasks.attacks.views import ModelView
from tasks.contracts import check_attack
from tasks.contracts.small_text import SOURCE
from tasks.contracts.small_views import SETTINGS, SmallLanguageModel, small_source
from tasks.errors import AuditError
from tasks.measure.divergence import js_divergences
from tasks.measure.sampled import sampled_chances
from tasks.metrics import documents
from tasks.runtime.seeding import numpy_generator
from tasks.training.scoring import Outputs, score


def outputs(tokens, extraction, loss=None):
    n = len(tokens)
    statistics = {"tokens": np.array(tokens), "extraction": np.array(extraction, dtype=float)}
    if loss is not None:
        statistics |= {"loss": np.array(loss), "min_k": -np.array(loss), "min_k_pp": np.arange(n) / n}
    return Outputs(
        ids=np.arange(n),
        labels=np.zeros(n, np.int64),
        logits=np.empty((n, 0), np.float32),
        statistics=statistics,
    )


def test_an_exact_extraction_is_the_whole_rest_after_the_prefix():
    part = outputs([10, 10, 10, 4, 6], [0.5, 0.4, 1.0, 1.0, 1 / 6])
    found = documents.exact_extraction("forget", part, 5)
    assert (found.value, found.n, found.param) == (3 / 4, 4, 5)
    assert documents.exact_extraction("forget", part, 0).value == 2 / 5
    assert documents.extraction_strength("forget", part).value == pytest.approx((0.5 + 0.4 + 2 + 1 / 6) / 5)
    with pytest.raises(AuditError, match="expected documents of more than 10 tokens, and the longest has 10"):
        documents.exact_extraction("forget", part, 10)


def test_extraction_holds_the_contracts_of_attacks():
    check_attack(Extraction(prefixes=(0, 3)))


@pytest.mark.parametrize("prefixes", [(), (-1,), (3, 3)])
def test_prefixes_that_make_no_sense_are_refused(prefixes):
    with pytest.raises(AuditError, match="prefixes: expected different numbers from 0"):
        Extraction(prefixes=prefixes)


def test_the_least_likely_tokens_are_read_as_they_are():
    attack = Population(statistics=("loss_threshold", "min_k", "min_k_pp"))
    source = small_source(Extraction())
    assert isinstance(source, SmallLanguageModel)
    parts = source.outputs()
    found = attack.score(parts["forget"], parts["retain"], parts["test"], generator=numpy_generator("x"))
    for scores, sign, name in zip(found, (-1, 1, 1), ("loss", "min_k", "min_k_pp"), strict=True):
        expected = [sign * parts[split].statistics[name] for split in ("forget", "test")]
        assert np.array_equal(scores.score, np.concatenate(expected))
    measured = attack.measure(ModelView(attack, source, name="population", settings=SETTINGS))
    aucs = {value.variant: value.value for value in measured.metrics if value.metric == "auc"}
    assert set(aucs) == {"loss_threshold", "min_k", "min_k_pp"}


def test_greedy_decoding_writes_what_extraction_says():
    """Token by token from each prefix, as a user would."""
    source = small_source(Extraction())
    subset = source.subset("forget").at(torch.arange(6))
    scored = score(source.model, subset)
    for row, example in enumerate(subset.ids.tolist()):
        ids = subset.data.tokens[example][: int(subset.data.lengths[example])].long()
        n = len(ids) - 1

        def writes(prefix, ids=ids, n=n):
            text = ids[: 1 + prefix].clone()
            while len(text) <= n:
                with torch.no_grad():
                    text = torch.cat([text, source.model(text[None])[0, -1].argmax()[None]])
            return torch.equal(text, ids)

        least = next(prefix for prefix in range(n + 1) if writes(prefix))
        assert scored.statistics["extraction"][row] == pytest.approx(1 - least / n)


def documents_of(split="forget", count=8):
    source = small_source(Extraction())
    assert isinstance(source, SmallLanguageModel)
    return source, source.subset(split).at(torch.arange(count))


def test_zlib_and_the_base_are_read_over_target_tokens_and_the_text_of_each():
    source, _ = documents_of()
    attack = Population(statistics=("zlib", "reference"))
    view = ModelView(attack, source, name="population", settings=SETTINGS)
    parts, base = source.outputs(), source.base_outputs()
    rows = {block["statistic"][0]: block for block in attack.measure(view).examples}
    texts = [SOURCE.said(example) for example in range(len(source.labels))]
    for split in ("forget", "test"):
        ids, loss = parts[split].ids, parts[split].loss
        own = rows["zlib"]["split"] == split
        sizes = np.array([len(zlib.compress(texts[i].encode())) for i in ids])
        assert rows["zlib"]["score"][own] == pytest.approx(-loss / sizes)
        assert rows["reference"]["score"][own] == pytest.approx(base[split].loss - loss)
    words = SOURCE.words()
    assert texts[3].split() == [words[i] for i in SOURCE.read_inputs().ids(3)[1:-1]]


def test_documents_have_statistics_of_their_own_where_none_is_named():
    assert Population.defaults("language") == {"statistics": ("loss_threshold", "min_k_pp")}
    assert Population.defaults("classify") == {}


def test_the_divergence_from_the_retrained_model_is_that_of_token_distributions():
    """Against NumPy in float64, document by document without padding; and batches change nothing."""
    source, subset = documents_of()
    found = js_divergences(source.model, source.reference, subset)
    for row, example in enumerate(subset.ids.tolist()):
        ids = subset.data.tokens[example][: int(subset.data.lengths[example])].long()[None]
        with torch.no_grad():
            p, q = (
                special.softmax(m(ids[:, :-1]).double().numpy()[0], axis=-1)
                for m in (source.model, source.reference)
            )
        m = (p + q) / 2
        js = (special.rel_entr(p, m) + special.rel_entr(q, m)).sum(axis=-1) / 2
        assert found[row] == pytest.approx(js.mean(), abs=1e-6)
    assert found.min() > 0
    assert js_divergences(source.model, source.reference, subset, batch_size=1) == pytest.approx(
        found, abs=1e-6
    )
    assert js_divergences(source.model, source.model, subset).max() < 1e-6


@torch.no_grad()
@pytest.mark.parametrize(("temperature", "samples", "words"), [(1.0, 8, 1), (0.3, 3, 2)])
def test_sampled_extraction_is_how_often_samples_say_the_true_text(temperature, samples, words):
    """Against texts that are drawn, word by word, from what the model itself has said."""
    source, subset = documents_of(count=3)
    given = {"prefix": 3, "continuation": words, "samples": samples, "temperature": temperature}
    ids, chance = sampled_chances(source.model, subset, **given)
    assert ids.tolist() == subset.ids.tolist()
    generator, draws = torch.Generator().manual_seed(0), 2000
    for example, expected in zip(ids.tolist(), chance, strict=True):
        text = subset.data.tokens[example].long()[:4].repeat(draws * samples, 1)
        for _ in range(words):
            drawn = torch.multinomial(
                (model_answers(source.model, text) / temperature).softmax(-1), 1, generator=generator
            )
            text = torch.cat([text, drawn], dim=1)
        said = (
            (text == subset.data.tokens[example].long()[: 4 + words])
            .all(dim=1)
            .view(draws, samples)
            .any(dim=1)
        )
        error = np.sqrt(max(expected * (1 - expected), 1e-5) / draws)
        assert said.double().mean().item() == pytest.approx(expected, abs=5 * error)
    assert chance.max() > 0.004


def model_answers(model, text):
    """Logits after the last word of each text; equal texts are asked once."""
    distinct, place = torch.unique(text, dim=0, return_inverse=True)
    return model(distinct)[:, -1][place]


@torch.no_grad()
def test_short_documents_are_no_samples_and_a_certain_one_is_found():
    source, subset = documents_of(count=12)
    lengths = subset.data.lengths[subset.ids].numpy() - 1
    longest = int(np.median(lengths))
    ids, chance = sampled_chances(source.model, subset, prefix=longest - 4, continuation=4, samples=100)
    assert ids.tolist() == subset.ids.numpy()[lengths >= longest].tolist()
    assert ((chance >= 0) & (chance <= 1)).all()
    _, cold = sampled_chances(source.model, subset, prefix=3, continuation=1, samples=1, temperature=1e-3)
    assert set(np.round(cold, 6)) <= {0.0, 1.0}


def test_sampling_holds_the_contracts_of_attacks():
    check_attack(Sampling(prefix=2, continuation=3))
    with pytest.raises(AuditError, match="temperature: expected a number above 0, got 0"):
        Sampling(temperature=0.0)
