"""The hypotheses a membership number compares (G0-G3), as labels on runs, and the scores attacks return."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from tasks.errors import AuditError, unknown_name
from tasks.shadows.observations import COLUMN_BLOCK, Observations, State, named_by

GAMES = {
    "G0": "trained on, base model / never trained on, base model",
    "G1": "unlearned, unlearned model / forgotten by retraining or never trained on, model not unlearned",
    "G2": "unlearned / never trained on, same unlearned model",
    "G3": "retained / never trained on, same unlearned model",
}
MIN_BASES = 3

_POSITIVE = {
    "G0": (State.RETAINED, State.UNLEARNED),
    "G1": (State.UNLEARNED,),
    "G2": (State.UNLEARNED,),
    "G3": (State.RETAINED,),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """H1 against H0 for every example: runs x examples, with the unit that a fit must leave out.

    Labels are +1 (H1), 0 (H0) or -1 (neither). Columns are produced blockwise from the observations.
    """

    game: str
    example_ids: np.ndarray
    """`E`: the examples with enough shadows on both sides."""
    excluded: np.ndarray
    """Examples that were observed under H1 but have fewer than `MIN_BASES` shadows on a side."""
    shadow: np.ndarray
    """`R`, int32."""
    draw: np.ndarray
    """`R`, int32."""
    fold: np.ndarray
    """`R`, int32 from 0: what a fit leaves out together; whole pairs, one or several."""
    sources: tuple[tuple[Observations, tuple[State, ...], tuple[State, ...]], ...]
    """Stacked observations with the states that count as H1 and as H0 in each."""

    @property
    def statistic(self) -> str:
        """What is compared: phi, or what was put in its place."""
        return self.sources[0][0].statistic

    @property
    def num_folds(self) -> int:
        """Number of folds."""
        return int(self.fold.max()) + 1

    def block(self, columns: slice) -> tuple[np.ndarray, np.ndarray]:
        """Statistics and labels of some examples.

        Returns:
            phi, `R x b`, float64; label, `R x b`, int8.
        """
        ids = self.example_ids[columns]
        values, labels = [], []
        for observations, positive, negative in self.sources:
            where = np.searchsorted(observations.example_ids, ids)
            state = observations.state[:, where]
            label = np.full(state.shape, -1, dtype=np.int8)
            label[np.isin(state, [int(s) for s in negative])] = 0
            label[np.isin(state, [int(s) for s in positive])] = 1
            labels.append(label)
            values.append(observations.phi[:, where].astype(np.float64))
        return np.concatenate(values), np.concatenate(labels)

    def blocks(self, block: int = COLUMN_BLOCK) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """All columns, a slice at a time, as `(columns, phi, label)`."""
        for start in range(0, len(self.example_ids), block):
            columns = slice(start, min(start + block, len(self.example_ids)))
            yield (columns, *self.block(columns))

    def population(self) -> tuple[np.ndarray, np.ndarray]:
        """Statistics of the test examples, which no shadow was trained on.

        Returns:
            phi, `R x Z`, float64; source, `R`: which observations each run belongs to.

        Raises:
            AuditError: no test example was observed.
        """
        shared: np.ndarray | None = None
        for observations, _, _ in self.sources:
            tests = observations.example_ids[(observations.state[0] == State.TEST)]
            shared = tests if shared is None else np.intersect1d(shared, tests)
        if shared is None or not len(shared):
            raise AuditError(
                "rmia: expected test examples among the observations (the population Z), got none"
            )
        values, source = [], []
        for number, (observations, _, _) in enumerate(self.sources):
            where = np.searchsorted(observations.example_ids, shared)
            values.append(observations.phi[:, where].astype(np.float64))
            source.append(np.full(len(observations.shadow), number))
        return np.concatenate(values), np.concatenate(source)

    def of_examples(self, example_ids: np.ndarray) -> Comparison:
        """The same game about the given examples alone, where present."""
        return replace(
            self,
            example_ids=self.example_ids[np.isin(self.example_ids, example_ids)],
            excluded=self.excluded[np.isin(self.excluded, example_ids)],
        )

    def folded_by(self, fold: np.ndarray) -> Comparison:
        """The same comparison with another unit of cross-fitting (`R` integers)."""
        return replace(self, fold=np.unique(fold, return_inverse=True)[1].reshape(-1).astype(np.int32))

    def cross_fitted(self, folds: int) -> Comparison:
        """Pairs dealt into at most `folds` folds of two pairs or more; 0 leaves out one pair at a time.

        Scores of one example can be ranked only under one fit: ranked across folds, a leave-one-out AUC
        is biased below one half (.45 under the null, at any number of shadows).
        """
        pair = np.unique(self.shadow // 2, return_inverse=True)[1].reshape(-1)
        number = int(pair.max()) + 1
        return self.folded_by(pair if folds == 0 else pair % max(2, min(folds, number // 2)))


def compare(
    observations: Observations,
    game: str,
    *,
    reference: Observations | None = None,
    reference_state: State = State.NEVER,
    min_shadows: int = MIN_BASES,
) -> Comparison:
    """Set up a game.

    Args:
        observations: runs of the audited method (of the base models, for G0).
        game: G0 to G3.
        reference: only for G1: runs of models that were not unlearned - retrained models with
            `reference_state=UNLEARNED` (forgotten by retraining), or base models with NEVER.
        reference_state: the state that is H0 among the reference runs.
        min_shadows: fewest shadows that an example needs under either hypothesis.

    Raises:
        AuditError: the game is unknown, a reference is missing or superfluous, or no example qualifies.
    """
    if game not in GAMES:
        raise unknown_name("membership game", game, GAMES)
    if (game == "G1") != (reference is not None):
        needs = "needs reference runs that were not unlearned" if game == "G1" else "takes no reference runs"
        raise AuditError(f"game {game} {needs} ({GAMES[game]})")
    positive = _POSITIVE[game]
    sources: list[tuple[Observations, tuple[State, ...], tuple[State, ...]]]
    if reference is None:
        sources = [(observations, positive, (State.NEVER,))]
    else:
        sources = [(observations, positive, ()), (reference, (), (reference_state,))]
    ids, excluded = _qualified(sources, min_shadows)
    if not len(ids):
        raise AuditError(
            f"game {game} on {observations.method}/{observations.scope}/{observations.family}: expected "
            f"examples with at least {min_shadows} shadows under each hypothesis, found none"
        )
    shadow = np.concatenate([source.shadow for source, _, _ in sources])
    return Comparison(
        game=game,
        example_ids=ids,
        excluded=excluded,
        shadow=shadow,
        draw=np.concatenate([source.draw for source, _, _ in sources]),
        fold=np.unique(shadow // 2, return_inverse=True)[1].reshape(-1).astype(np.int32),
        sources=tuple(sources),
    )


def _qualified(
    sources: list[tuple[Observations, tuple[State, ...], tuple[State, ...]]], min_shadows: int
) -> tuple[np.ndarray, np.ndarray]:
    ids = sources[0][0].example_ids
    for source, _, _ in sources[1:]:
        ids = np.intersect1d(ids, source.example_ids)
    counts = np.zeros((2, len(ids)), dtype=np.int64)
    for source, positive, negative in sources:
        where = np.searchsorted(source.example_ids, ids)
        for side, states in enumerate((negative, positive)):
            if states:
                counts[side] += source.ever(*states)[where]
    enough = (counts >= min_shadows).all(0)
    return ids[enough], ids[~enough & (counts[1] > 0)]


def one_per_shadow(label: np.ndarray, shadow: np.ndarray) -> np.ndarray:
    """Keep the first run of each shadow, example and hypothesis: draws of a shadow are one observation.

    Args:
        label: `R x b`, int8.
        shadow: `R`: its number in each run.
    """
    kept = label.copy()
    for number in np.unique(shadow):
        rows = np.flatnonzero(shadow == number)
        for side in (0, 1):
            mine = label[rows] == side
            later = mine & (np.cumsum(mine, axis=0) > 1)
            block = kept[rows]
            block[later] = -1
            kept[rows] = block
    return kept


@dataclass(frozen=True, kw_only=True, eq=False)
class PerExampleScores:
    """One score for every (run, example) that the game labels; higher means more member-like."""

    statistic: str
    game: str
    example_ids: np.ndarray
    """`E`, int64."""
    excluded: np.ndarray
    shadow: np.ndarray
    """`R`, int32."""
    draw: np.ndarray
    fold: np.ndarray
    """`R`: runs of equal fold were scored by one fit, which none of them entered."""
    label: np.ndarray
    """`R x E`, int8: 1 = H1, 0 = H0, -1 = not in the game."""
    score: np.ndarray
    """`R x E`, float32; 0 where the label is -1."""
    threshold: float | None
    """Decide H1 above it: the 1/2 rule of likelihood attacks; None where the statistic has none."""

    @property
    def pair(self) -> np.ndarray:
        """`R`, from 0: the complementary pair of each run, the unit of resampling."""
        return np.unique(self.shadow // 2, return_inverse=True)[1].reshape(-1)

    @property
    def decision(self) -> np.ndarray:
        """`R x E`, bool: H1 is accepted.

        Raises:
            AuditError: the statistic has no rule of its own; calibrate a threshold on other shadows.
        """
        if self.threshold is None:
            raise AuditError(f"{self.statistic} has no 1/2 rule; use a shadow-calibrated threshold")
        return self.score > self.threshold

    def of_examples(self, example_ids: np.ndarray) -> PerExampleScores:
        """The given examples, where present."""
        keep = np.isin(self.example_ids, example_ids)
        return replace(
            self, example_ids=self.example_ids[keep], label=self.label[:, keep], score=self.score[:, keep]
        )


def empty_scores(comparison: Comparison, statistic: str, threshold: float | None) -> PerExampleScores:
    """Score container of a comparison for an attack to fill block by block; `statistic` is its name under phi."""
    shape = (len(comparison.shadow), len(comparison.example_ids))
    return PerExampleScores(
        statistic=named_by(statistic, comparison.statistic),
        game=comparison.game,
        example_ids=comparison.example_ids,
        excluded=comparison.excluded,
        shadow=comparison.shadow,
        draw=comparison.draw,
        fold=comparison.fold,
        label=np.full(shape, -1, dtype=np.int8),
        score=np.zeros(shape, dtype=np.float32),
        threshold=threshold,
    )
