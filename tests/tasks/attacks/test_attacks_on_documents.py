"""Attacks that read what a model says of documents: extraction from prefixes, and the least likely tokens."""

import numpy as np
import pytest

from tasks.attacks.extraction import Extraction
from tasks.attacks.population import Population
from tasks.attacks.views import ModelView
from tasks.contracts import check_attack
from tasks.contracts.small_views import SETTINGS, SmallLanguageModel, small_source
from tasks.errors import AuditError
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
    import torch

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
