"""Statistics of membership scores, each with an interval; pooled over the examples of one attack.

Intervals take the scores as independent, and the attacker as refitted on as many other examples. Where fits judge each
other's examples (`MembershipScores.folds`) their errors are correlated by n_test / (n_test + n_train), and k folds have
1 + k n_test / n_train times the variance of independent ones (Nadeau and Bengio 2003, Machine Learning 52: 239-281):
1.5 times the width for 5 folds. Simulated coverage of nominal 95 % is then .97 to 1, and .86 to .96 without.
Where one example was scored under many shadow models, the errors are those of `tasks.metrics.two_way` instead. Where
examples belong together (`MembershipScores.groups`) those of different groups are independent: means are over groups
(`tasks.statistics.groups`), and counts are as few as if a group said one thing.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tasks.errors import AuditError
from tasks.metrics.base import Metric, MetricValue, Reading
from tasks.metrics.scores import MembershipScores
from tasks.statistics.epsilon import epsilon_from_counts
from tasks.statistics.groups import independent_number, one_of_each, share_interval
from tasks.statistics.intervals import clopper_pearson, newcombe, wilson
from tasks.statistics.roc import auc_interval, tpr_interval

SPLIT_OF_GAME = {"G1": "forget", "G2": "forget", "G3": "retain"}
POPULATION_GAME = "G2-population"
"""Game G2 with the test set as H0, pooled over examples."""
AUC = Metric(
    name="auc",
    about="area under the ROC curve of an attacker; 0.5: no better than a coin",
    low=0,
    high=1,
    kind="forgetting",
    higher_is="closer_to_retrained",
    error="two_way",
    instead={POPULATION_GAME: Reading("forgetting", "closer_to_retrained", "auc")},
    margin=0.05,
    margin_because="an attacker with an AUC of .55 is right 3.5 times in a hundred more often than a coin",
)
BALANCED_ACCURACY = Metric(
    name="balanced_accuracy",
    about="(TPR + TNR) / 2 of an attacker's own decisions",
    low=0,
    high=1,
    kind="forgetting",
    higher_is="closer_to_retrained",
    error="two_way",
    instead={POPULATION_GAME: Reading("forgetting", "closer_to_retrained", "binomial")},
    margin=0.035,
    margin_because="the accuracy of an attacker with an AUC of .55, for normal scores of one variance",
)
TPR_AT_FPR, REALISED_FPR = (
    Metric(
        name=name,
        about=about,
        low=0,
        high=1,
        kind="forgetting",
        higher_is="closer_to_retrained",
        error="two_way",
        instead={POPULATION_GAME: Reading("forgetting", "worse", "binomial")},
        margin=None,
        margin_because="what difference matters depends on the false-positive rate that is asked for",
    )
    for name, about in (
        ("tpr_at_fpr", "share of members that an attacker finds at a given false-positive rate"),
        (
            "realised_fpr",
            "the false-positive rate of the threshold of tpr_at_fpr, with the interval of its rate on new non-members",
        ),
    )
)
EPSILON_LOWER_BOUND = Metric(
    name="epsilon_lower_bound",
    about="epsilon that is refuted at 95 %: unlearning is no more private than this",
    low=0,
    high=float("inf"),
    kind="forgetting",
    higher_is="worse",
    error="bound",
    margin=None,
    margin_because="a low lower bound does not show a low epsilon",
)
EPSILON_CEILING = Metric(
    name="epsilon_ceiling",
    about="what epsilon_lower_bound would be under perfect separation of as many examples",
    low=0,
    high=float("inf"),
    kind="forgetting",
    higher_is="better",
    error="none",
    instead={POPULATION_GAME: Reading("forgetting", "worse", "none")},
    no_interval="it follows from the number of examples alone",
    margin=None,
    margin_because="it says what the audit can show, nothing of the model",
)
MIA_EFFICACY = Metric(
    name="mia_efficacy",
    about="share of the forget set that an SVC of retain against test calls non-member",
    low=0,
    high=1,
    kind="forgetting",
    higher_is="closer_to_retrained",
    error="binomial",
    margin=0.05,
    margin_because="the SVC's own fit moves the share by a few examples in a hundred",
)
CROSS_VALIDATED_ACCURACY = Metric(
    name="cross_validated_accuracy",
    about="accuracy of a logistic regression on the loss, held out; 0.5: no better than a coin",
    low=0,
    high=1,
    kind="forgetting",
    higher_is="closer_to_retrained",
    error="binomial",
    margin=0.035,
    margin_because="as of balanced_accuracy",
)
METRICS = (
    AUC,
    BALANCED_ACCURACY,
    TPR_AT_FPR,
    REALISED_FPR,
    EPSILON_LOWER_BOUND,
    EPSILON_CEILING,
    MIA_EFFICACY,
    CROSS_VALIDATED_ACCURACY,
)


def metric_of(
    scores: MembershipScores,
    declared: Metric,
    value: float,
    ends: tuple[float | None, float | None],
    *,
    n: int,
    param: float | None = None,
) -> MetricValue:
    """A row for one statistic of these scores, under their game."""
    return MetricValue(
        declared=declared,
        split=SPLIT_OF_GAME.get(scores.game[:2], "all"),
        value=float(value),
        ci_low=None if ends[0] is None else float(ends[0]),
        ci_high=None if ends[1] is None else float(ends[1]),
        n=n,
        param=param,
        game=scores.game,
        variant=scores.statistic,
    )


def auc(scores: MembershipScores) -> MetricValue:
    """Area under the ROC curve; 0.5 is indistinguishable, above and below both tell."""
    result = auc_interval(scores.score, scores.member, groups=scores.groups)
    return metric_of(
        scores,
        AUC,
        result.value,
        _widened(scores, result.value, (result.low, result.high)),
        n=len(scores.ids),
    )


def balanced_accuracy(scores: MembershipScores) -> MetricValue:
    """(TPR + TNR) / 2 at the threshold that the attack fixed itself; score > threshold says member."""
    if scores.threshold is None:
        raise AuditError(f"balanced_accuracy: '{scores.statistic}' fixed no threshold")
    called, member = scores.score > scores.threshold, scores.member
    m, n = _sizes(member)
    hits, alarms = int(called[member].sum()), int(called[~member].sum())
    value = (1 + hits / m - alarms / n) / 2
    if scores.groups is None:
        low, high = newcombe(hits, m, alarms, n)
    else:  # as Newcombe puts two intervals together (Zou and Donner 2008)
        of_hits, of_alarms = (share_interval(called[side], scores.groups[side]) for side in (member, ~member))
        middle = hits / m - alarms / n
        low = middle - np.hypot(hits / m - of_hits[0], of_alarms[1] - alarms / n)
        high = middle + np.hypot(of_hits[1] - hits / m, alarms / n - of_alarms[0])
    ends = float(1 + low) / 2, float(1 + high) / 2
    return metric_of(scores, BALANCED_ACCURACY, value, _widened(scores, value, ends), n=m + n)


def tpr_at_fpr(scores: MembershipScores, fpr: float) -> tuple[MetricValue, MetricValue]:
    """True positive rate at a false positive rate of at most `fpr`, and the rate that was realised.

    The threshold is the smallest score of the non-members that keeps their share above it within `fpr`; the interval of
    the true positive rate allows for its error. How many of them exceed it is therefore fixed, but not what share of
    non-members that were not seen does: Clopper-Pearson's interval holds that share, for it is at most the beta
    variate (alarms + 1, n - alarms) behind the high end. n is the number of members, and of non-members for the
    realised rate.

    Raises:
        AuditError: `fpr` is below 1 / non-members, which no count can show.
    """
    m, n = _sizes(scores.member)
    if not 0 < fpr < 1:
        raise AuditError(f"tpr_at_fpr: expected an FPR in (0, 1), got {fpr}")
    if fpr * n < 1 - 1e-9:
        raise AuditError(f"tpr_at_fpr: {n} non-members cannot resolve an FPR of {fpr}; at least {1 / n:.2g}")
    others = np.sort(scores.score[~scores.member])[::-1]
    threshold = others[min(int(np.floor(fpr * n + 1e-9)), n - 1)]
    alarms = int((others > threshold).sum())
    hits = int((scores.score[scores.member] > threshold).sum())
    sides = None if scores.groups is None else (scores.groups[scores.member], scores.groups[~scores.member])
    low, high = tpr_interval(scores.score[scores.member], others, fpr, groups=sides)
    ends = _widened(scores, hits / m, (min(low, hits / m), max(high, hits / m)))
    rate = metric_of(scores, TPR_AT_FPR, hits / m, ends, n=m, param=fpr)
    counted = independent_number(None if sides is None else sides[1], n)
    ends = _widened(scores, alarms / n, _ends(clopper_pearson(alarms / n * counted, counted)))
    realised = metric_of(scores, REALISED_FPR, alarms / n, ends, n=n, param=fpr)
    return rate, realised


def epsilon_lower_bound(
    scores: MembershipScores,
    *,
    generator: np.random.Generator,
    delta: float = 1e-5,
) -> tuple[MetricValue, MetricValue]:
    """Lower bound of epsilon, and the ceiling that perfect separation of this many examples would give.

    The rule (threshold and side) is chosen on a random half and counted on the other, so the bound holds at
    95 % for a rule that no count has seen. It bounds the largest privacy loss, at `delta`, of any rule on what the
    scores are made of. Where fits judged each other's examples (`MembershipScores.folds`) the counts are a little
    dependent; in simulations of known epsilon the bound holds as often.

    Where examples belong together, one of each group counts, drawn at random: the counts are of independent examples.

    Raises:
        AuditError: fewer than 2 members or non-members, or groups of them.
    """
    if scores.groups is not None:
        rows = one_of_each(scores.groups, generator)
        scores = replace(scores, member=scores.member[rows], score=scores.score[rows], groups=None)
    if min(_sizes(scores.member)) < 2:
        raise AuditError("epsilon_lower_bound: expected at least 2 members and 2 non-members")
    choose, count = _random_halves(scores.member, generator)
    sign, threshold = _best_rule(scores.score[choose], scores.member[choose], delta)
    called, member = sign * scores.score[count] > threshold, scores.member[count]
    m, n = _sizes(member)
    bound = epsilon_from_counts(called[member].sum(), m, called[~member].sum(), n, delta=delta)
    ceiling = epsilon_from_counts(np.array(m), m, np.array(0), n, delta=delta)
    found = metric_of(
        scores,
        EPSILON_LOWER_BOUND,
        float(bound),
        (float(bound), None),
        n=m + n,
        param=delta,
    )
    highest = metric_of(scores, EPSILON_CEILING, float(ceiling), (None, None), n=m + n, param=delta)
    return found, highest


def _random_halves(member: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    first = np.zeros(len(member), dtype=bool)
    for group in (np.flatnonzero(member), np.flatnonzero(~member)):
        first[generator.permutation(group)[: len(group) // 2]] = True
    return first, ~first


def _best_rule(score: np.ndarray, member: np.ndarray, delta: float) -> tuple[float, float]:
    """Side and threshold of the largest bound on these counts; every distinct score is a candidate."""
    m, n = _sizes(member)
    best = (-1.0, 1.0, 0.0)
    for sign in (1.0, -1.0):
        values, inverse = np.unique(sign * score, return_inverse=True)
        hits = m - np.cumsum(np.bincount(inverse[member], minlength=len(values)))
        alarms = n - np.cumsum(np.bincount(inverse[~member], minlength=len(values)))
        bounds = epsilon_from_counts(hits, m, alarms, n, delta=delta)
        k = int(bounds.argmax())
        following = values[min(k + 1, len(values) - 1)]
        if bounds[k] > best[0]:
            best = (float(bounds[k]), sign, float(values[k] + following) / 2)
    return best[1], best[2]


def mia_efficacy(scores: MembershipScores) -> MetricValue:
    """Share of the forget set that an SVC of retain against test calls non-member (SalUn's "MIA-efficacy").

    Not calibrated: a retrained model scores about 0.11 to 0.17 on CIFAR-10, not 1; read it beside retraining.
    """
    called = scores.score[scores.member] <= (scores.threshold or 0.0)
    groups = None if scores.groups is None else scores.groups[scores.member]
    ends = _ends(share_interval(called, groups))
    return metric_of(scores, MIA_EFFICACY, float(called.mean()), ends, n=len(called))


def cross_validated_accuracy(
    scores: MembershipScores, *, generator: np.random.Generator, draws: int = 5
) -> MetricValue:
    """Accuracy of a logistic regression on the score in SCRUB's protocol; 0.5 is ideal.

    Each draw balances members and non-members at random, then averages 5 stratified splits, 10 % held out.
    The interval is Wilson's at the smaller side: resampling adds no examples, and held-out accuracies vary more than
    independent answers, for the fits share their examples (standard deviation up to 1.35 of the binomial one at 12 to
    36 a side, by simulation).

    Raises:
        AuditError: fewer than 10 members or non-members.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedShuffleSplit, cross_val_score

    smaller = min(_sizes(scores.member))
    if smaller < 10:
        raise AuditError(f"cross_validated_accuracy: expected 10 members and 10 non-members, got {smaller}")
    x = np.clip(scores.score, -100, 100)[:, None]
    accuracies = []
    for _ in range(draws):
        rows = np.concatenate(
            [generator.permutation(np.flatnonzero(scores.member == side))[:smaller] for side in (True, False)]
        )
        splits = StratifiedShuffleSplit(
            n_splits=5, test_size=0.1, random_state=int(generator.integers(2**31))
        )
        model = LogisticRegression(max_iter=1000)
        accuracies.append(cross_val_score(model, x[rows], scores.member[rows], cv=splits).mean())
    value = float(np.mean(accuracies))
    counted = float(smaller)
    if scores.groups is not None:
        own = (scores.groups[side] for side in (scores.member, ~scores.member))
        counted = min(counted, *(independent_number(side, len(side)) for side in own))
    ends = _ends(wilson(value * counted, counted))
    return metric_of(scores, CROSS_VALIDATED_ACCURACY, value, ends, n=2 * smaller)


def _widened(scores: MembershipScores, value: float, ends: tuple[float, float]) -> tuple[float, float]:
    """Interval within [0, 1] for what the fits behind the scores have in common; n_test / n_train is 1 / (k - 1)."""
    by = float(np.sqrt(1 + scores.folds / (scores.folds - 1))) if scores.folds else 1.0
    return max(0.0, value - by * (value - ends[0])), min(1.0, value + by * (ends[1] - value))


def _sizes(member: np.ndarray) -> tuple[int, int]:
    m, n = int(member.sum()), int((~member).sum())
    if not m or not n:
        raise AuditError(f"membership: expected members and non-members, got {m} and {n}")
    return m, n


def _ends(pair: tuple[np.ndarray, np.ndarray]) -> tuple[float, float]:
    return float(pair[0]), float(pair[1])
