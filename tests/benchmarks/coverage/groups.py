"""Documents of persons: how alike those of one are decides how much they say, and intervals count persons."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from scipy import stats

from tasks.metrics.documents import (
    exact_extraction,
    extraction_strength,
    perplexity,
    sampled_extraction,
    token_accuracy,
)
from tasks.metrics.membership import (
    POPULATION_GAME,
    auc,
    balanced_accuracy,
    cross_validated_accuracy,
    epsilon_lower_bound,
    mia_efficacy,
    tpr_at_fpr,
)
from tasks.metrics.reference import js_to_retrained
from tasks.metrics.scores import MembershipScores
from tasks.metrics.truth_ratio import truth_ratio, truth_ratio_distance
from tasks.training.scoring import Outputs
from tests.benchmarks.coverage.case import Case, Seen, one_by_one, seen

FAMILY = "groups"
TOKENS, PREFIX = 12, 5
RIGHT = np.array([0.97, 0.5])
"""Chance that a token is right, of a memorised document and of another."""
LOSS = np.array([0.4, 1.8])
"""Mean loss of a document, likewise; Gamma variables of shape 4."""


def _grouped(generator: np.random.Generator, sizes: Sequence[int], persons: int) -> np.ndarray:
    """Of whom each document is; each size is as frequent."""
    return np.repeat(np.arange(persons), generator.choice(sizes, size=persons))


def _documents(
    generator: np.random.Generator, *, persons: int, sizes: Sequence[int], memorised: float, alike: float
) -> dict[str, Seen]:
    """A share `alike` of documents is memorised where their person's first is, the others each for itself."""
    groups = _grouped(generator, sizes, persons)
    of_person = generator.random(persons) < memorised
    own = generator.random(len(groups)) < memorised
    kind = (~np.where(generator.random(len(groups)) < alike, of_person[groups], own)).astype(int)
    n = len(groups)
    right = generator.random((n, TOKENS)) < RIGHT[kind][:, None]  # from the last token on
    run = np.argmin(np.c_[right, np.zeros(n, bool)], axis=1)
    outputs = Outputs(
        ids=np.arange(n),
        labels=np.zeros(n, np.int64),
        logits=np.empty((n, 0), np.float32),
        statistics={
            "tokens": np.full(n, TOKENS),
            "token_accuracy": right.mean(axis=1),
            "extraction": run / TOKENS,
            "loss": generator.gamma(4, LOSS[kind] / 4),
        },
        groups=groups,
    )
    kinds = np.array([memorised, 1 - memorised])
    written = RIGHT * (1 - RIGHT**TOKENS) / (1 - RIGHT) / TOKENS
    rows = {
        "token_accuracy": (token_accuracy("test", outputs), kinds @ RIGHT),
        "perplexity": (perplexity("test", outputs), np.exp(kinds @ LOSS)),
        "extraction_strength": (extraction_strength("test", outputs), kinds @ written),
        "exact_extraction": (exact_extraction("test", outputs, PREFIX), kinds @ RIGHT ** (TOKENS - PREFIX)),
    }
    return {f"{name} of persons": seen(row, float(truth)) for name, (row, truth) in rows.items()}


def _scores(
    generator: np.random.Generator,
    *,
    persons: tuple[int, int],
    sizes: Sequence[int],
    shift: float,
    alike: float,
    crossed: bool = False,
) -> dict[str, Seen]:
    """Normal scores whose correlation within a person is `alike`; members lie `shift` higher."""
    member_of, other_of = (_grouped(generator, sizes, count) for count in persons)
    groups = np.concatenate([member_of, other_of + persons[0]])
    member = np.arange(len(groups)) < len(member_of)
    person = generator.normal(size=sum(persons))[groups]
    score = np.sqrt(alike) * person + np.sqrt(1 - alike) * generator.normal(size=len(groups)) + shift * member
    scores = MembershipScores(
        statistic="loss_threshold",
        game=POPULATION_GAME,
        ids=np.arange(len(groups)),
        member=member,
        score=score,
        threshold=shift / 2,
        groups=groups,
    )
    hit, alarm = stats.norm.sf(-shift / 2), stats.norm.sf(shift / 2)
    if crossed:
        row = cross_validated_accuracy(scores, generator=generator, draws=1)
        return {CROSSED: seen(row, float((1 + hit - alarm) / 2))}
    rate, realised = tpr_at_fpr(scores, 0.1)
    others = np.sort(score[~member])[::-1]
    threshold = others[min(int(np.floor(0.1 * len(others) + 1e-9)), len(others) - 1)]
    rows = {
        "auc": (auc(scores), stats.norm.cdf(shift / np.sqrt(2))),
        "balanced_accuracy": (balanced_accuracy(scores), (1 + hit - alarm) / 2),
        "mia_efficacy": (mia_efficacy(scores), 1 - hit),
        "tpr_at_fpr": (rate, stats.norm.sf(stats.norm.isf(0.1) - shift)),
        "realised_fpr": (realised, stats.norm.sf(threshold)),
    }
    if shift == 0:  # elsewhere a threshold that is far out has no largest privacy loss
        bound, _ = epsilon_lower_bound(scores, generator=generator)
        rows["epsilon_lower_bound"] = bound, 0.0
    return {f"{name} of persons": seen(row, float(truth)) for name, (row, truth) in rows.items()}


def _ratios(generator: np.random.Generator, *, persons: int, shift: float, alike: float) -> dict[str, Seen]:
    """Log truth ratios of 20 questions of each author under two models, normal; one model's lie `shift` higher."""
    groups = np.repeat(np.arange(persons), 20)
    author = generator.normal(size=(2, persons))
    author[1] = 0.8 * author[0] + 0.6 * author[1]
    ours, theirs = np.sqrt(alike) * author[:, groups] + np.sqrt(1 - alike) * generator.normal(
        size=(2, len(groups))
    )
    row = truth_ratio_distance("forget", ours + shift, theirs, groups, generator=generator, resamples=200)
    ratio = truth_ratio("forget", ours, groups)
    return {
        "truth_ratio_distance": seen(row, float(2 * stats.norm.cdf(shift / 2) - 1)),
        # the mean of exp(-|z|) of a standard normal variable
        "truth_ratio": seen(ratio, float(2 * np.exp(0.5) * stats.norm.cdf(-1))),
    }


def _sampled(generator: np.random.Generator, *, persons: int) -> dict[str, Seen]:
    """Chances of documents: those of a person are alike, half of persons near 0 and half uniform; and divergences."""
    groups = _grouped(generator, (1, 2, 3), persons)
    of_person = np.where(generator.random(persons) < 0.5, 0.01, generator.random(persons))[groups]
    chance = np.clip(of_person + generator.uniform(-0.01, 0.01, len(groups)), 0, 1)
    apart = np.log(2) * generator.beta(1, 4, persons)[groups]
    return {
        "sampled_extraction": seen(sampled_extraction("forget", chance, groups, samples=10), 0.255),
        "js_to_retrained of persons": seen(js_to_retrained("forget", apart, groups), float(np.log(2)) / 5),
    }


CROSSED = "cross_validated_accuracy of persons"
DOCUMENTS = tuple(
    f"{name} of persons"
    for name in ("token_accuracy", "perplexity", "extraction_strength", "exact_extraction")
)
SCORES = tuple(
    f"{name} of persons"
    for name in (
        "auc",
        "balanced_accuracy",
        "mia_efficacy",
        "tpr_at_fpr",
        "realised_fpr",
    )
)
RATIOS = ("truth_ratio_distance", "truth_ratio")
SIZES = {"5": (5,), "1 to 3": (1, 2, 3)}
CASES = (
    *(
        Case(
            family=FAMILY,
            name=f"{persons} persons of {words} documents, {memorised:.0%} memorised, {alike:.0%} alike",
            estimates=DOCUMENTS,
            simulate=one_by_one(
                partial(_documents, persons=persons, sizes=sizes, memorised=memorised, alike=alike)
            ),
            fast=200 if (persons, words, memorised, alike) == (12, "5", 0.5, 0.9) else 0,
        )
        for persons in (4, 12, 60)
        for words, sizes in SIZES.items()
        for memorised in (0.1, 0.5)
        for alike in (0.0, 0.9)
    ),
    *(
        Case(
            family=FAMILY,
            name=f"{members} against {others} persons of {words} documents, shift {shift:g}, {alike:.0%} alike",
            estimates=SCORES if shift else (*SCORES, "epsilon_lower_bound of persons"),
            simulate=one_by_one(
                partial(_scores, persons=(members, others), sizes=sizes, shift=shift, alike=alike)
            ),
            fast=40 if (members, words, shift, alike) == (12, "5", 0.0, 0.9) else 0,
        )
        for members, others in ((12, 12), (14, 60))
        for words, sizes in SIZES.items()
        for shift in (0.0, 1.0, 2.5)
        for alike in (0.0, 0.9)
    ),
    *(
        Case(
            family=FAMILY,
            name=f"12 against 12 persons, cross-validated, shift {shift:g}, {alike:.0%} alike",
            estimates=(CROSSED,),
            simulate=one_by_one(
                partial(_scores, persons=(12, 12), sizes=(5,), shift=shift, alike=alike, crossed=True)
            ),
        )
        for shift in (0.0, 1.0)
        for alike in (0.0, 0.9)
    ),
    *(
        Case(
            family=FAMILY,
            name=f"truth ratios of {persons} authors, shift {shift:g}, {alike:.0%} alike",
            estimates=RATIOS,
            simulate=one_by_one(partial(_ratios, persons=persons, shift=shift, alike=alike)),
            fast=60 if (persons, shift, alike) == (20, 1.0, 0.8) else 0,
        )
        for persons in (10, 20)
        for shift in (0.0, 1.0)
        for alike in (0.0, 0.8)
    ),
    *(
        Case(
            family=FAMILY,
            name=f"sampling and divergence, {persons} persons",
            estimates=("sampled_extraction", "js_to_retrained of persons"),
            simulate=one_by_one(partial(_sampled, persons=persons)),
            fast=200 if persons == 14 else 0,
        )
        for persons in (14, 60)
    ),
)
