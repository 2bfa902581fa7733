"""Membership attacks on one model: areas, rates at a threshold, bounds of epsilon."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from scipy import stats

from tasks.measure.population import PopulationScoring, Statistic
from tasks.metrics.membership import (
    POPULATION_GAME,
    auc,
    balanced_accuracy,
    cross_validated_accuracy,
    epsilon_lower_bound,
    mia_efficacy,
    tpr_at_fpr,
)
from tasks.metrics.scores import MembershipScores
from tasks.training.scoring import Outputs
from tests.benchmarks.coverage.case import Case, Seen, about_their_mean, one_by_one, seen

FAMILY = "population"
SIZES = ((36, 36), (36, 360), (60, 60), (120, 360), (1000, 1000))
"""Members and non-members."""


def _scores(member: np.ndarray, score: np.ndarray, threshold: float | None = None) -> MembershipScores:
    return MembershipScores(
        statistic="svc_confidence",
        game=POPULATION_GAME,
        ids=np.arange(len(score)),
        member=member,
        score=score,
        threshold=threshold,
    )


def _normal(
    generator: np.random.Generator,
    *,
    sizes: tuple[int, int],
    shift: float,
    spread: float,
    fprs: tuple[float, ...],
) -> dict[str, Seen]:
    """Members normal (shift, spread), others normal (0, 1); the rule says member above half the shift."""
    m, n = sizes
    member = np.arange(m + n) < m
    score = generator.normal(size=m + n) * np.where(member, spread, 1.0) + shift * member
    scores = _scores(member, score, shift / 2)
    hit, alarm = stats.norm.sf(-shift / 2 / spread), stats.norm.sf(shift / 2)
    drawn = {
        "auc": seen(auc(scores), stats.norm.cdf(shift / np.hypot(1, spread))),
        "balanced_accuracy": seen(balanced_accuracy(scores), (1 + hit - alarm) / 2),
        "mia_efficacy": seen(mia_efficacy(scores), 1 - hit),
    }
    others = np.sort(score[~member])[::-1]
    for fpr in fprs:
        if fpr * n < 1:
            continue
        rate, realised = tpr_at_fpr(scores, fpr)
        truth = stats.norm.sf((stats.norm.isf(fpr) - shift) / spread)
        threshold = others[min(int(np.floor(fpr * n + 1e-9)), n - 1)]
        drawn[f"tpr_at_fpr at {fpr}"] = seen(rate, truth)
        drawn[f"realised_fpr at {fpr}"] = seen(realised, stats.norm.sf(threshold))
    return drawn


def _binary(
    generator: np.random.Generator, *, sizes: tuple[int, int], rates: tuple[float, float]
) -> dict[str, Seen]:
    """Scores of right answers alone: 1 or 0."""
    m, n = sizes
    member = np.arange(m + n) < m
    score = (generator.random(m + n) < np.where(member, *rates)).astype(float)
    truth = 0.5 + (rates[0] - rates[1]) / 2
    scores = _scores(member, score, 0.5)
    return {"auc": seen(auc(scores), truth), "balanced_accuracy": seen(balanced_accuracy(scores), truth)}


def _response(generator: np.random.Generator, *, each: int, epsilon: float) -> dict[str, Seen]:
    """Randomised response, whose epsilon is known; two answers, blurred so that any threshold may be taken."""
    member = np.arange(2 * each) < each
    honest = generator.random(2 * each) < np.exp(epsilon) / (1 + np.exp(epsilon))
    score = np.where(honest, member, ~member) + 0.3 * generator.random(2 * each)
    bound, _ = epsilon_lower_bound(_scores(member, score), generator=generator)
    return {"epsilon_lower_bound": seen(bound, epsilon)}


def _crossed_response(generator: np.random.Generator, *, each: int, epsilon: float) -> dict[str, Seen]:
    """Randomised response in the margins, read by logistic regressions that judge each other's examples."""
    sides = []
    for number, member in enumerate((True, False)):
        honest = generator.random(each) < np.exp(epsilon) / (1 + np.exp(epsilon))
        margins = 2.0 * (honest == member) + 0.3 * generator.random(each)
        logits = np.stack([margins, np.zeros(each)], axis=1).astype(np.float32)
        ids = np.arange(each) + number * each
        sides.append(Outputs.of_logits(ids=ids, labels=np.zeros(each, np.int64), logits=logits))
    attack = PopulationScoring(statistics=("logistic_loss",), draws=2)
    (scores,) = attack.score(sides[0], sides[0], sides[1], generator=generator)
    bound, _ = epsilon_lower_bound(scores, generator=generator)
    return {"epsilon_lower_bound of logistic_loss": seen(bound, epsilon)}


def _outputs(generator: np.random.Generator, n: int, margin: float, start: int) -> Outputs:
    logits = generator.normal(size=(n, 2))
    labels = np.arange(n) % 2
    logits[np.arange(n), labels] += generator.normal(margin, 2, size=n)
    return Outputs.of_logits(ids=np.arange(start, start + n), labels=labels, logits=logits.astype(np.float32))


def _fitted(
    generator: np.random.Generator, *, statistic: Statistic, sizes: tuple[int, int], margin: float
) -> dict[str, Seen]:
    """Attacks that are fitted on a part of the examples they judge, with the dependence that this brings."""
    m, n = sizes
    forget, test = _outputs(generator, m, 2 + margin, 0), _outputs(generator, n, 2, 10_000)
    retain = _outputs(generator, 400, 2 + 1.5 * margin, 20_000)
    attack = PopulationScoring(statistics=(statistic,), draws=2)
    (scores,) = attack.score(forget, retain, test, generator=generator)
    rate, _ = tpr_at_fpr(scores, 0.05)
    rows = auc(scores), balanced_accuracy(scores), rate
    return dict(zip(_fitted_names(statistic), (seen(row, 0.0) for row in rows), strict=True))


def _fitted_names(statistic: Statistic) -> tuple[str, ...]:
    return tuple(f"{name} of {statistic}" for name in ("auc", "balanced_accuracy", "tpr_at_fpr at 0.05"))


def _crossed(generator: np.random.Generator, *, sizes: tuple[int, int], margin: float) -> dict[str, Seen]:
    m, n = sizes
    loss = [np.log1p(np.exp(-generator.normal(3 + gain, 2, size))) for size, gain in ((m, margin), (n, 0))]
    scores = _scores(np.arange(m + n) < m, -np.concatenate(loss))
    return {"cross_validated_accuracy": seen(cross_validated_accuracy(scores, generator=generator), 0.0)}


def _case(
    name: str, simulate: Callable[..., dict[str, Seen]], estimates: tuple[str, ...], **kwargs: int
) -> Case:
    return Case(family=FAMILY, name=name, estimates=estimates, simulate=one_by_one(simulate), **kwargs)


def _tpr_names(others: int, fprs: tuple[float, ...]) -> tuple[str, ...]:
    return tuple(
        f"{name} at {fpr}" for fpr in fprs if fpr * others >= 1 for name in ("tpr_at_fpr", "realised_fpr")
    )


FPRS = (0.01, 0.05, 0.1)
FITTED: tuple[Statistic, ...] = ("logistic_loss", "svc_confidence")
CASES = (
    *(
        _case(
            f"{m} members, {n} others, {words}",
            partial(_normal, sizes=(m, n), shift=shift, spread=spread, fprs=FPRS),
            ("auc", "balanced_accuracy", "mia_efficacy", *_tpr_names(n, FPRS)),
            fast=100 if (m, n, shift) == (60, 60, 1.0) else 0,
        )
        for m, n in SIZES
        for words, shift, spread in (
            ("no signal", 0.0, 1.0),
            ("AUC .76", 1.0, 1.0),
            ("AUC .96", 2.5, 1.0),
            ("AUC .998", 4.0, 1.0),
            ("equal means, spread 3 : 1", 0.0, 3.0),
        )
    ),
    *(
        _case(
            f"{m} members, {n} others, right answers {rates[0]} and {rates[1]}",
            partial(_binary, sizes=(m, n), rates=rates),
            ("auc", "balanced_accuracy"),
        )
        for m, n in SIZES
        for rates in ((0.95, 0.9), (0.99, 0.95), (0.5, 0.5))
    ),
    *(
        _case(
            f"randomised response at epsilon {epsilon}, {each} a side",
            partial(_response, each=each, epsilon=epsilon),
            ("epsilon_lower_bound",),
            fast=60 if (each, epsilon) == (60, 1.0) else 0,
        )
        for each in (60, 1000)
        for epsilon in (0.0, 1.0, 3.0)
    ),
    *(
        _case(
            f"randomised response at epsilon {epsilon}, {each} a side, logistic_loss",
            partial(_crossed_response, each=each, epsilon=epsilon),
            ("epsilon_lower_bound of logistic_loss",),
        )
        for each in (60, 240)
        for epsilon in (0.0, 1.0)
    ),
    *(
        Case(
            family=FAMILY,
            name=f"{m} members, {n} others, {statistic}, margin {margin}",
            estimates=_fitted_names(statistic),
            simulate=about_their_mean(
                one_by_one(partial(_fitted, statistic=statistic, sizes=(m, n), margin=margin))
            ),
            fast=20 if (statistic, m, n, margin) == ("logistic_loss", 36, 120, 1.0) else 0,
        )
        for statistic in FITTED
        for m, n in ((36, 120), (120, 360), (240, 450))
        for margin in (0.0, 0.3, 1.0)
    ),
    *(
        Case(
            family=FAMILY,
            name=f"{m} members, {n} others, cross-validated, margin {margin}",
            estimates=("cross_validated_accuracy",),
            simulate=about_their_mean(one_by_one(partial(_crossed, sizes=(m, n), margin=margin))),
        )
        for m, n in ((36, 36), (120, 360))
        for margin in (0.0, 1.0, 3.0)
    ),
)
