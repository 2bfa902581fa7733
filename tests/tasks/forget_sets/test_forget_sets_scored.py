"""Kinds that read scores: strata by score, and groups by entanglement."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tasks.errors import AuditError
from tasks.forget_sets.base import ForgetRequest, forget_kinds
from tasks.forget_sets.entangled import Entanglement, entanglement_score
from tasks.forget_sets.resolve import resolve
from tasks.forget_sets.scored import ByScore, Level, pick
from tests.tasks.forget_sets.test_forget_sets_drawn import REQUEST

TRAIN = REQUEST.splits.train
N = len(REQUEST.labels.labels)


def scored(**scores: np.ndarray) -> ForgetRequest:
    return replace(REQUEST, scores=scores)


@settings(max_examples=80, deadline=None)
@given(
    arrays(np.float64, st.integers(3, 30), elements=st.sampled_from([0.0, 0.1, 0.4, 0.5, 0.6, 0.9, 1.0])),
    st.sampled_from(get_args(Level)),
    st.data(),
)
def test_pick_takes_the_extremes_and_the_middle(
    scores: np.ndarray, level: Level, data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, len(scores)))
    chosen = pick(scores, level, count, middle=0.5)
    assert len(set(chosen.tolist())) == count
    rest = np.delete(scores, chosen)
    if len(rest) == 0:
        return
    if level == "low":
        assert scores[chosen].max() <= rest.min()
    elif level == "high":
        assert scores[chosen].min() >= rest.max()
    elif level == "mid":
        assert np.abs(scores[chosen] - 0.5).max() <= np.abs(rest - 0.5).min()
    else:
        assert (np.sort(scores)[: -(-count // 3)] == np.sort(scores[chosen])[: -(-count // 3)]).all()
        assert np.sort(scores)[-1] == scores[chosen].max() or count < 3


def test_mix_is_a_third_of_each() -> None:
    scores = np.linspace(0, 1, 101)
    assert sorted(pick(scores, "mix", 9, middle=0.5)) == [0, 1, 2, 49, 50, 51, 98, 99, 100]
    assert sorted(pick(scores, "mix", 5, middle=0.5)) == [0, 1, 50, 51, 100] or sorted(
        pick(scores, "mix", 5, middle=0.5)
    ) == [0, 1, 49, 50, 100]


def test_ties_go_to_the_smaller_id() -> None:
    ids = resolve(ByScore(score="memorisation", level="high", count=4), scored(memorisation=np.ones(N))).ids
    assert ids.tolist() == TRAIN[:4].tolist()


def test_unknown_scores_and_other_splits_are_never_chosen() -> None:
    scores = np.full(N, np.nan)
    known = TRAIN[10:20]
    scores[known] = np.arange(10.0)
    scores[REQUEST.splits.test] = 99.0
    request = scored(privacy_risk=scores)
    for level in get_args(Level):
        ids = resolve(ByScore(score="privacy_risk", level=level, count=9), request).ids
        assert set(ids.tolist()) <= set(known.tolist())
    with pytest.raises(
        AuditError, match="at most 10, the training examples whose privacy_risk is known, got 11"
    ):
        resolve(ByScore(score="privacy_risk", level="low", count=11), request)


def test_middle_is_one_half_for_memorisation_and_the_median_elsewhere() -> None:
    scores = np.zeros(N)
    scores[TRAIN] = np.concatenate([np.linspace(0.0, 0.2, len(TRAIN) - 3), [0.48, 0.5, 0.55]])
    request = scored(memorisation=scores, privacy_risk=scores)

    def mean(**values: Any) -> float:
        chosen = resolve(ByScore(level="mid", count=3, **values), request)
        assert chosen.provenance["mean_score"] == pytest.approx(scores[chosen.ids].mean())
        return float(scores[chosen.ids].mean())

    assert mean(score="memorisation") == pytest.approx((0.48 + 0.5 + 0.55) / 3)
    assert mean(score="privacy_risk") == pytest.approx(np.median(scores[TRAIN]), abs=1e-3)
    assert mean(score="privacy_risk", middle=0.15) == pytest.approx(0.15, abs=1e-3)


def test_needs_are_known_before_the_scores_exist() -> None:
    assert ByScore(score="memorisation", level="low", count=1).needs == ("memorisation",)
    assert Entanglement(level="low", count=1).needs == ("features",)
    with pytest.raises(AuditError, match="no score 'memorisation'"):
        resolve(ByScore(score="memorisation", level="low", count=1), REQUEST)
    with pytest.raises(AuditError, match=f"score 'memorisation': expected {N} rows, got 3"):
        resolve(ByScore(score="memorisation", level="low", count=1), scored(memorisation=np.ones(3)))


def radial() -> tuple[np.ndarray, np.ndarray]:
    """Features in opposite pairs, so that the mean is 0 and the norm is the distance."""
    half = len(TRAIN) // 2
    radius = np.random.default_rng(0).permutation(np.arange(1.0, half + 1))
    angle = np.random.default_rng(1).uniform(0, np.pi, half)
    points = radius[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    features = np.full((N, 2), 1e6)
    features[TRAIN[:half]], features[TRAIN[half : 2 * half]] = points, -points
    return features, np.linalg.norm(features, axis=1)


def test_groups_by_distance_from_the_centre() -> None:
    assert len(TRAIN) == 216
    features, distance = radial()
    ranked = TRAIN[np.argsort(distance[TRAIN], kind="stable")]
    groups = np.array_split(ranked, 12)
    kind = Entanglement(level="mid", count=10, groups=12, low=(0, 1), mid=(5,), high=(11,))
    request = scored(features=features)

    def distances(kind: Entanglement) -> list[float]:
        return sorted(distance[resolve(kind, request).ids].tolist())

    np.testing.assert_allclose(distances(kind), sorted(distance[groups[5][:10]]))
    low = np.concatenate(groups[:2])[:30]
    np.testing.assert_allclose(distances(replace(kind, level="low", count=30)), sorted(distance[low]))
    mixed = np.concatenate([groups[0][:3], groups[5][:3], groups[11][:3]])
    np.testing.assert_allclose(distances(replace(kind, level="mix", count=9)), sorted(distance[mixed]))


def test_entanglement_score_is_recorded_and_orders_levels() -> None:
    features, _ = radial()
    chosen = resolve(Entanglement(level="low", count=10), scored(features=features))
    retain = np.setdiff1d(TRAIN, chosen.ids)
    expected = entanglement_score(features[retain], features[chosen.ids])
    assert chosen.provenance["entanglement_score"] == pytest.approx(expected)


def test_entanglement_score_in_closed_form() -> None:
    retain, forget = np.array([[1.0, 0], [3.0, 0]]), np.array([[-1.0, 1], [-1.0, -1]])
    # Means (2, 0) and (-1, 0), centre (.5, 0); within 1 + 1; between (1.5^2 + 1.5^2) / 2.
    assert entanglement_score(retain, forget) == pytest.approx(2 / 2.25)
    shifted = entanglement_score(retain + 7, forget + 7)
    assert shifted == pytest.approx(2 / 2.25)
    assert entanglement_score(retain, forget + np.array([2.5, 0])) > 2 / 2.25
    assert entanglement_score(retain, retain) == float("inf")


def test_features_that_are_unknown_are_left_out() -> None:
    features, _ = radial()
    features[TRAIN[::2], 1] = np.nan
    ids = resolve(Entanglement(level="high", count=5), scored(features=features)).ids
    assert np.isfinite(features[ids]).all()


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("by_score", {"score": "", "level": "low", "count": 1}, "score: expected text, got"),
        ("by_score", {"score": "f", "level": "low", "count": 0}, "count: expected at least 1, got 0"),
        ("by_score", {"score": "f", "level": "hgih", "count": 1}, "Did you mean 'high'"),
        ("by_score", {"score": "features", "level": "low", "count": 1}, r"has \(2,\) values an example"),
        ("entanglement", {"level": "low", "count": 0}, "count: expected at least 1, got 0"),
        (
            "entanglement",
            {"level": "low", "count": 1, "groups": 14},
            r"high: expected groups in 0..13, got \[14\]",
        ),
        ("entanglement", {"level": "low", "count": 1, "mid": []}, r"mid: expected groups in 0..14, got \[\]"),
        ("entanglement", {"level": "high", "count": 60}, "60 from level high, whose groups hold 14"),
    ],
)
def test_refuses(name: str, values: dict[str, Any], message: str) -> None:
    with pytest.raises(AuditError, match=message):
        resolve(forget_kinds.build(name, values, where="forget"), scored(features=radial()[0], f=np.ones(N)))
