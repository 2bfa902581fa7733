"""Membership scores from the outputs of one unlearned model: one attacker for all examples, no shadow models.

Loss threshold (Yeom et al. 2018), logistic regression on losses (SCRUB, Kurmanji et al. 2023), SVC on scalar
features (Jia et al. 2023; SalUn, Fan et al. 2024), modified entropy (Song and Mittal 2021, eq. 7); of documents the
least likely tokens (min-k, Shi et al. 2023; min-k++, Zhang et al. 2024), zlib and the base (Carlini et al. 2021).
They overstate protection (Hayes et al. 2024): U-LiRA and RMIA judge each example on its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from tasks.errors import AuditError
from tasks.metrics.membership import POPULATION_GAME
from tasks.metrics.scores import MembershipScores

if TYPE_CHECKING:
    from tasks.training.scoring import Outputs

Statistic = Literal[
    "loss_threshold",
    "mentr",
    "logistic_loss",
    "svc_confidence",
    "svc_correctness",
    "svc_entropy",
    "svc_modified_entropy",
    "min_k",
    "min_k_pp",
    "zlib",
    "reference",
]
OF_DOCUMENTS: tuple[Statistic, ...] = ("min_k", "min_k_pp", "zlib", "reference")
"""Statistics of documents alone, each read as it is: higher is more member-like. zlib is the mean log-likelihood over
the bytes of the document's own text after zlib (Carlini et al. 2021, 2012.07805): a mean over a length, so that of two
equal means that of the longer text is the higher. Where forgotten and tested documents differ in length it detects
length. reference is the mean log-likelihood less that under the base that training started from: what training added.
"""
USUAL_OF_DOCUMENTS: tuple[Statistic, ...] = ("loss_threshold", "min_k_pp")
"""What is scored of documents where an audit names nothing: the mean over tokens, and what it hides."""
OF_CLASSES: tuple[Statistic, ...] = ("mentr", "svc_entropy", "svc_modified_entropy")
"""Statistics of the logits of classes."""
STATISTICS: tuple[Statistic, ...] = (
    "loss_threshold",
    "mentr",
    "logistic_loss",
    "svc_confidence",
    "svc_correctness",
    "svc_entropy",
    "svc_modified_entropy",
)
"""Of classes; the first, logistic_loss, svc_confidence and svc_correctness are of documents too."""
GAMMA = 1.0
"""scikit-learn's gamma "auto" is 1 / features, and each attack reads one."""
LOSS_LIMIT = 100.0
"""SCRUB's clip of the losses that logistic regression reads."""


def entropy(outputs: Outputs) -> np.ndarray:
    """Entropy of the predicted distribution, `n`, nats."""
    logs = outputs.log_probabilities
    return -(np.exp(logs) * logs).sum(axis=1)


def modified_entropy(outputs: Outputs) -> np.ndarray:
    """-(1 - p_y) log p_y - sum over k != y of p_k log(1 - p_k), `n`; low on confident right answers.

    log(1 - p_k) comes from the logits of the other classes, so it stays finite where p_k rounds to 1.
    """
    logs = outputs.log_probabilities
    rows, top = np.arange(len(outputs)), logs.argmax(axis=1)
    p = np.exp(logs)
    others = logs.copy()
    others[rows, top] = -np.inf
    log_rest = np.log1p(-np.where(p < 0.75, p, 0.0))
    largest = others.max(axis=1)
    log_rest[rows, top] = largest + np.log(np.exp(others - largest[:, None]).sum(axis=1))
    terms = p * log_rest
    label = outputs.labels
    terms[rows, label] = np.exp(log_rest[rows, label]) * logs[rows, label]
    return -terms.sum(axis=1)


FEATURES: dict[str, Callable[[Outputs], np.ndarray]] = {
    "svc_confidence": lambda outputs: np.exp(-outputs.loss),
    "svc_correctness": lambda outputs: outputs.correct.astype(np.float64),
    "svc_entropy": entropy,
    "svc_modified_entropy": modified_entropy,
}


@dataclass(frozen=True, kw_only=True)
class PopulationScoring:
    """Forget examples against test examples of the same classes, under the same unlearned model."""

    statistics: tuple[Statistic, ...] = STATISTICS
    """What to score; of documents loss_threshold, logistic_loss, svc_confidence, svc_correctness, min_k, min_k_pp,
    zlib, reference, and loss_threshold and min_k_pp where nothing is named."""
    draws: int = 5
    """Repetitions of the random folds and balanced subsamples; the scores of an example are averaged."""
    folds: int = 5
    """Folds of the logistic regression; an example is scored by fits that did not see it."""
    svc_examples: int = 1000
    """Most members, and as many non-members, in one SVC fit; its cost grows with the square."""

    def __post_init__(self) -> None:
        if not self.statistics:
            raise AuditError("statistics: expected at least one, got none")
        for name, lowest in (("draws", 1), ("folds", 2), ("svc_examples", 2)):
            if getattr(self, name) < lowest:
                raise AuditError(f"{name}: expected at least {lowest}, got {getattr(self, name)}")

    def check_objective(self, name: str) -> None:
        """Refuse statistics that models of an objective have not.

        Raises:
            AuditError: one of them is of other models.
        """
        foreign = OF_CLASSES if name == "language" else OF_DOCUMENTS
        for statistic in self.statistics:
            if statistic in foreign:
                fit = [s for s in get_args(Statistic) if s not in foreign]
                raise AuditError(
                    f"statistics: '{statistic}' is not of models trained to {name}; expected some of {', '.join(fit)}"
                )

    def score(
        self, forget: Outputs, retain: Outputs, test: Outputs, *, generator: np.random.Generator
    ) -> list[MembershipScores]:
        """One list of scores for each statistic; members are the forget examples.

        Raises:
            AuditError: the forget set is empty, or no test example shares a class with it.
        """
        others = np.flatnonzero(np.isin(test.labels, np.unique(forget.labels)))
        if not len(forget) or not len(others):
            raise AuditError("population attack: needs forget examples and test examples of their classes")
        results = []
        for statistic in self.statistics:
            scores, threshold = self._score(statistic, forget, retain, test, others, generator)
            crossed = statistic == "logistic_loss"
            results.append(
                MembershipScores(
                    statistic=statistic,
                    game=POPULATION_GAME,
                    ids=np.concatenate([forget.ids, test.ids[others]]),
                    member=np.repeat([True, False], [len(forget), len(others)]),
                    score=scores,
                    threshold=threshold,
                    groups=_groups(forget, test, others),
                    folds=folds_of(self.folds, len(forget), len(others)) if crossed else 0,
                )
            )
        return results

    def _score(
        self,
        statistic: str,
        forget: Outputs,
        retain: Outputs,
        test: Outputs,
        others: np.ndarray,
        generator: np.random.Generator,
    ) -> tuple[np.ndarray, float | None]:
        if statistic == "loss_threshold":
            # Yeom's rule: a member's loss is at most the mean training loss
            threshold = -float(retain.loss.mean()) if len(retain) else None
            return -np.concatenate([forget.loss, test.loss[others]]), threshold
        if statistic in OF_DOCUMENTS:
            return np.concatenate([forget.statistics[statistic], test.statistics[statistic][others]]), None
        if statistic == "mentr":
            return -np.concatenate([modified_entropy(forget), modified_entropy(test)[others]]), None
        if statistic == "logistic_loss":
            losses = np.concatenate([forget.loss, test.loss[others]])
            member = np.repeat([True, False], [len(forget), len(others)])
            scores = held_out_logits(losses, member, draws=self.draws, folds=self.folds, generator=generator)
            return scores, 0.0
        margins = self._svc_margins(statistic, forget, retain, test, generator)
        return np.concatenate([margins[0], margins[1][others]]), 0.0

    def _svc_margins(
        self, statistic: str, forget: Outputs, retain: Outputs, test: Outputs, generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean SVC margin of each forget and each test example, over one fit of every draw.

        Each draw deals the test set into two halves and fits on either; an example is scored by the fit on the
        half that it is not in. Forget examples are dealt likewise: a mean over another number of fits
        would by itself tell members from non-members.
        """
        feature = FEATURES[statistic]
        x_forget, x_retain, x_test = (feature(part) for part in (forget, retain, test))
        totals = np.zeros(len(forget)), np.zeros(len(test))
        known = np.flatnonzero(np.isin(test.labels, np.unique(retain.labels)))
        if len(known) < 2:
            raise AuditError("population attack: the SVC needs 2 test examples of retained classes")
        for _ in range(self.draws):
            halves = _deal(len(forget), generator), _deal(len(test), generator)
            halves[1][generator.permutation(known)] = np.arange(len(known)) % 2
            for k in (0, 1):
                half = known[halves[1][known] == k]
                members, non_members = balanced_fit(
                    retain.labels, test.labels, half, most=self.svc_examples, generator=generator
                )
                svc = fit_svc(x_retain[members], x_test[non_members])
                for total, x, dealt in zip(totals, (x_forget, x_test), halves, strict=True):
                    total[dealt != k] += svc_margins(svc, x[dealt != k])
        return totals[0] / self.draws, totals[1] / self.draws


def _groups(forget: Outputs, test: Outputs, others: np.ndarray) -> np.ndarray | None:
    if forget.groups is None or test.groups is None:
        return None
    return np.concatenate([forget.groups, test.groups[others]])


def _deal(count: int, generator: np.random.Generator) -> np.ndarray:
    """Deal `count` rows at random into halves 0 and 1, `count`, int64."""
    return generator.permutation(np.arange(count) % 2)


def balanced_fit(
    retain_labels: np.ndarray,
    test_labels: np.ndarray,
    half: np.ndarray,
    *,
    most: int,
    generator: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of retain and of test for one fit: class by class as many members as non-members.

    The literature's members are the *first* retain examples in index order; these are drawn at random.
    """
    half = generator.permutation(half)[:most]
    members, non_members = [], []
    for label in np.unique(test_labels[half]):
        pool = np.flatnonzero(retain_labels == label)
        mine = half[test_labels[half] == label]
        count = min(len(pool), len(mine))
        members.append(generator.choice(pool, count, replace=False))
        non_members.append(mine[:count])
    return np.concatenate(members), np.concatenate(non_members)


def fit_svc(members: np.ndarray, non_members: np.ndarray) -> Any:
    """The literature's classifier: RBF kernel, C = 3, gamma "auto", no scaling; members are positive."""
    from sklearn.svm import SVC

    x = np.concatenate([members, non_members])
    y = np.repeat([1, 0], [len(members), len(non_members)])
    # equal points with a weight pose the same problem as repeated points, and saturated features repeat
    points, counts = np.unique(np.stack([x, y]), axis=1, return_counts=True)
    # without a seed, which the fit does not use, it draws one from NumPy's global generator
    return SVC(C=3, kernel="rbf", gamma=GAMMA, random_state=0).fit(
        points[0][:, None], points[1], sample_weight=counts
    )


def svc_margins(svc: Any, x: np.ndarray) -> np.ndarray:
    """Decision function of a fitted SVC on scalars, `n`; several times faster than the library's own."""
    values, inverse = np.unique(x, return_inverse=True)
    support, weights = svc.support_vectors_[:, 0], svc.dual_coef_[0]
    parts = [
        np.exp(-GAMMA * np.square(part[:, None] - support)) @ weights
        for part in np.array_split(values, 1 + len(values) * len(support) // 2_000_000)
    ]
    return (np.concatenate(parts) + svc.intercept_[0])[inverse]


def folds_of(folds: int, members: int, others: int) -> int:
    """Folds that leave none without a member or a non-member.

    Raises:
        AuditError: there are fewer than 2 of either.
    """
    folds = min(folds, members, others)
    if folds < 2:
        raise AuditError("population attack: logistic_loss needs 2 forget and 2 test examples")
    return folds


def held_out_logits(
    losses: np.ndarray, member: np.ndarray, *, draws: int, folds: int, generator: np.random.Generator
) -> np.ndarray:
    """Mean log-odds of membership by logistic regressions on the loss that did not see the example, `n`.

    Each draw deals members and non-members into folds; each fit reads as many of both from the other folds.
    """
    from sklearn.linear_model import LogisticRegression

    x = np.clip(losses, -LOSS_LIMIT, LOSS_LIMIT)[:, None]
    groups = np.flatnonzero(member), np.flatnonzero(~member)
    folds = folds_of(folds, *map(len, groups))
    total = np.zeros(len(losses))
    for _ in range(draws):
        fold = np.empty(len(losses), dtype=np.int64)
        for rows in groups:
            fold[generator.permutation(rows)] = np.arange(len(rows)) % folds
        for k in range(folds):
            pools = [generator.permutation(rows[fold[rows] != k]) for rows in groups]
            fit = np.concatenate([pool[: min(map(len, pools))] for pool in pools])
            model = LogisticRegression(max_iter=1000).fit(x[fit], member[fit])
            total[fold == k] += model.decision_function(x[fold == k])
    return total / draws
