"""What every membership attack on the outputs of one model must hold to."""

from __future__ import annotations

import numpy as np

from tasks.attacks.population import PopulationAttack
from tasks.contracts.small import NUM_CLASSES
from tasks.runtime.seeding import numpy_generator
from tasks.training.scoring import Outputs


def scores_are_one_per_example(attack: PopulationAttack) -> None:
    """Finite scores, one for each example, of both members and non-members, under a named game."""
    forget, retain, test = (answers(part, 80, 1.0) for part in range(3))
    known = set(np.concatenate([forget.ids, retain.ids, test.ids]).tolist())
    for scores in attack.score(forget, retain, test, generator=numpy_generator("contracts")):
        what = f"statistic '{scores.statistic}'"
        assert len(scores.ids) == len(scores.member) == len(scores.score), f"{what}: lengths differ"
        assert len(np.unique(scores.ids)) == len(scores.ids), f"{what}: an example is scored twice"
        assert set(scores.ids.tolist()) <= known, f"{what}: scores an unknown example"
        assert np.isfinite(scores.score).all(), f"{what}: a score is not finite"
        assert 0 < scores.member.sum() < len(scores.member), f"{what}: one of the two hypotheses is empty"
        assert scores.game, f"{what}: no membership number without its game"


def perfect_separation_gives_one(attack: PopulationAttack) -> None:
    """Sure and right on members, unsure and wrong elsewhere: AUC 1, so higher is more member-like."""
    forget, retain, test = (answers(part, 80, 6.0 if part < 2 else -0.5) for part in range(3))
    for scores in attack.score(forget, retain, test, generator=numpy_generator("contracts")):
        auc = area_under_roc(scores.score, scores.member)
        assert auc > 0.999, (
            f"statistic '{scores.statistic}': AUC {auc:.3f} under perfect separation, expected 1"
        )


def equal_distributions_give_half(attack: PopulationAttack) -> None:
    """Members and non-members from one distribution: AUC within four standard errors of 0.5."""
    size = 400
    forget, retain, test = (answers(part, size, 1.0) for part in range(3))
    error = np.sqrt((2 * size + 1) / (12 * size * size))
    for scores in attack.score(forget, retain, test, generator=numpy_generator("contracts")):
        auc = area_under_roc(scores.score, scores.member)
        assert abs(auc - 0.5) < 4 * error, (
            f"statistic '{scores.statistic}': AUC {auc:.3f}, expected about 0.5"
        )


POPULATION_CONTRACTS = (
    scores_are_one_per_example,
    perfect_separation_gives_one,
    equal_distributions_give_half,
)


def area_under_roc(score: np.ndarray, member: np.ndarray) -> float:
    """Probability that a member scores above a non-member, ties counted half (Mann-Whitney)."""
    from scipy.stats import rankdata

    members = int(member.sum())
    others = len(member) - members
    return float((rankdata(score)[member].sum() - members * (members + 1) / 2) / (members * others))


def answers(part: int, count: int, confidence: float) -> Outputs:
    """Normal logits with `confidence` added to the true class."""
    generator = numpy_generator("contracts", "outputs", part, count)
    labels = np.tile(np.arange(NUM_CLASSES), count // NUM_CLASSES)
    logits = 0.3 * generator.standard_normal((count, NUM_CLASSES))
    if confidence < 0:
        logits *= 0.01
    logits[np.arange(count), labels] += confidence
    ids = part * count + np.arange(count)
    return Outputs.of_logits(ids=ids, labels=labels, logits=logits.astype(np.float32))
