"""Which examples each shadow model trains on and forgets, all derived from one seed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from math import lgamma, log
from typing import Literal

import numpy as np

from tasks.errors import AuditError, unknown_name
from tasks.runtime.seeding import derive_seed, numpy_generator
from tasks.shadows.canaries import Canaries
from tasks.shadows.observations import State

MIN_SHADOWS = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class TargetPool:
    """The audited examples of one forget family, and how forget sets are drawn from them."""

    name: str
    ids: np.ndarray
    """Training examples that are targets, int64."""
    forget_size: int
    """Examples per forget set; 0 takes every target that the shadow was trained on."""
    draws: int = 1
    """Forget sets per shadow."""
    rule: Literal["counter", "partition"] = "counter"
    """counter: the least often forgotten targets first; partition: slices of a random permutation."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", np.unique(np.asarray(self.ids, dtype=np.int64)))
        if self.forget_size < 0 or self.draws < 1:
            raise AuditError(
                f"pool '{self.name}': expected forget_size >= 0 and draws >= 1, "
                f"got {self.forget_size} and {self.draws}"
            )
        if self.forget_size == 0 and self.draws != 1:
            raise AuditError(
                f"pool '{self.name}': forget_size 0 (all members) allows 1 draw, got {self.draws}"
            )


@dataclass(frozen=True, kw_only=True)
class StateCounts:
    """How often each target of a pool is in each state, over all shadows."""

    unlearned: np.ndarray
    """Observations (shadow x draw), int64, one per target."""
    retained: np.ndarray
    never: np.ndarray
    unlearned_bases: np.ndarray
    """Shadows with at least one such observation: the effective sample size."""
    never_bases: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class ShadowLayout:
    """Complementary shadow pairs stratified by class and target pool, with balanced forget draws.

    Shadows 2p and 2p + 1 split the universe in two halves, so every example is trained on by exactly half
    of the shadows and rows are equal up to rounding. Everything is a function of the fields: a worker that
    knows them and its shadow's number derives its data, seeds and forget sets alone.
    """

    train_ids: np.ndarray
    """The universe: sorted training ids, int64 (canaries included)."""
    labels: np.ndarray
    """True labels of `train_ids`."""
    num_shadows: int
    pools: tuple[TargetPool, ...]
    canaries: Canaries | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.num_shadows < MIN_SHADOWS or self.num_shadows % 2:
            near = max(MIN_SHADOWS, self.num_shadows + self.num_shadows % 2)
            raise AuditError(
                f"num_shadows: expected an even number of at least {MIN_SHADOWS} (complementary pairs), "
                f"got {self.num_shadows}; nearest {near}"
            )
        if len(self.labels) != len(self.train_ids) or (np.diff(self.train_ids) <= 0).any():
            raise AuditError("layout: expected sorted distinct train_ids with one label each")
        names = [pool.name for pool in self.pools]
        if len(set(names)) < len(names):
            raise AuditError(f"pools: expected distinct names, got {', '.join(names)}")
        for pool in self.pools:
            self._check_pool(pool)
        if self.canaries is not None and not np.isin(self.canaries.ids, self.train_ids).all():
            raise AuditError("canaries: every canary must be among the training ids")
        self._check_distinct_masks()

    def _check_pool(self, pool: TargetPool) -> None:
        if not len(pool.ids) or not np.isin(pool.ids, self.train_ids).all():
            raise AuditError(f"pool '{pool.name}': expected a non-empty subset of the training ids")
        most = self._fewest_members(pool)
        if pool.forget_size > most:
            raise AuditError(
                f"pool '{pool.name}': forget_size: expected at most {most} "
                f"(a shadow trains on half of {len(pool.ids)} targets), got {pool.forget_size}"
            )

    def _fewest_members(self, pool: TargetPool) -> int:
        """Targets of the same pools are contiguous strata: each such group is halved to within one."""
        ids = self.train_ids[np.isin(self.train_ids, pool.ids) & ~self._coin_flipped]
        groups = np.stack([np.isin(ids, other.ids) for other in self.pools])
        _, sizes = np.unique(groups, axis=1, return_counts=True)
        return int((sizes // 2).sum())

    def _check_distinct_masks(self) -> None:
        _, sizes = np.unique(self._strata[~self._coin_flipped], return_counts=True)
        bits = sum((lgamma(n + 1) - lgamma(n // 2 + 1) - lgamma(n - n // 2 + 1)) / log(2) for n in sizes)
        bits += int(self._coin_flipped.sum())
        if bits < 2 * np.log2(self.num_pairs) + 20:
            raise AuditError(
                f"layout: {len(self.train_ids)} training examples in {len(sizes)} strata cannot give "
                f"{self.num_pairs} distinct halves; expected more examples or fewer shadows"
            )

    # -- pairs and seeds ---------------------------------------------------------------------------

    @property
    def num_pairs(self) -> int:
        """Complementary pairs: the folds of every cross-fit."""
        return self.num_shadows // 2

    def pair(self, shadow: int) -> int:
        """The fold of a shadow."""
        return self._checked(shadow) // 2

    def half(self, shadow: int) -> int:
        """0 or 1: the half of the pairs it belongs to (select on one, report on the other)."""
        return self.pair(shadow) % 2

    def init_seed(self, shadow: int) -> int:
        """Seed of the shadow's initial weights; distinct for every shadow."""
        return derive_seed("shadow", self.seed, self._checked(shadow), "init")

    def order_seed(self, shadow: int) -> int:
        """Seed of the shadow's minibatch order and augmentation."""
        return derive_seed("shadow", self.seed, self._checked(shadow), "order")

    def unlearn_seed(self, shadow: int, pool: str, draw: int) -> int:
        """Seed of one unlearning, the same for every method (paired comparison)."""
        return derive_seed("shadow", self.seed, self._checked(shadow), "unlearn", self.pool(pool).name, draw)

    def pool(self, name: str) -> TargetPool:
        """The target pool called `name`."""
        for pool in self.pools:
            if pool.name == name:
                return pool
        raise unknown_name("target pool", name, [pool.name for pool in self.pools])

    def _checked(self, shadow: int) -> int:
        if not 0 <= shadow < self.num_shadows:
            raise AuditError(f"shadow: expected 0..{self.num_shadows - 1}, got {shadow}")
        return shadow

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything that decides who sees what; part of a shadow's identity."""
        sha = hashlib.sha256(json.dumps([self.num_shadows, self.seed]).encode())
        arrays = [self.train_ids, self.labels]
        if self.canaries is not None:
            sha.update(self.canaries.inclusion.encode())
            if self.canaries.images is not None:
                sha.update(self.canaries.digest.encode())
            arrays += [self.canaries.ids, self.canaries.labels]
        for pool in self.pools:
            sha.update(json.dumps([pool.name, pool.forget_size, pool.draws, pool.rule]).encode())
            arrays.append(pool.ids)
        for array in arrays:
            sha.update(len(array).to_bytes(8, "little") + np.asarray(array).astype("<i8").tobytes())
        return sha.hexdigest()

    # -- membership --------------------------------------------------------------------------------

    @cached_property
    def _coin_flipped(self) -> np.ndarray:
        if self.canaries is None or self.canaries.inclusion == "balanced":
            return np.zeros(len(self.train_ids), dtype=bool)
        return np.isin(self.train_ids, self.canaries.ids)

    @cached_property
    def _targets(self) -> np.ndarray:
        """Positions of the targets of any pool, drawn from their own stream: forget draws need only these."""
        return np.flatnonzero(np.isin(self.train_ids, self._all_target_ids))

    @cached_property
    def _all_target_ids(self) -> np.ndarray:
        return (
            np.unique(np.concatenate([pool.ids for pool in self.pools])) if self.pools else np.empty(0, int)
        )

    @cached_property
    def _background(self) -> np.ndarray:
        return np.setdiff1d(np.arange(len(self.train_ids)), self._targets)

    @cached_property
    def _strata(self) -> np.ndarray:
        groups = [np.isin(self.train_ids, pool.ids) for pool in self.pools]
        if self.canaries is not None:
            groups.append(np.isin(self.train_ids, self.canaries.ids))
        columns = np.stack([*(g.astype(np.int64) for g in groups), self.labels.astype(np.int64)], axis=1)
        return np.unique(columns, axis=0, return_inverse=True)[1].reshape(-1)

    def _first_half(self, pair: int, positions: np.ndarray, part: str, offset: int) -> np.ndarray:
        """Members of the pair's first shadow: every second position in stratified random order."""
        generator = numpy_generator("shadow", self.seed, "pair", pair, part)
        coins = generator.random(len(positions)) < 0.5
        flipped = self._coin_flipped[positions]
        order = np.argsort(self._strata[positions] + generator.random(len(positions)))
        order = order[~flipped[order]]
        members = coins & flipped
        members[order[offset::2]] = True
        return members

    def _target_half(self, shadow: int) -> np.ndarray:
        pair = self.pair(shadow)
        offset = derive_seed("shadow", self.seed, "pair", pair, "offset") & 1
        first = self._first_half(pair, self._targets, "targets", offset)
        return first if shadow % 2 == 0 else ~first

    def member_mask(self, shadow: int) -> np.ndarray:
        """Which of `train_ids` the shadow trains on, bool, one per training example."""
        pair = self.pair(shadow)
        offset = derive_seed("shadow", self.seed, "pair", pair, "offset") & 1
        settled = int((~self._coin_flipped[self._targets]).sum())
        first = np.empty(len(self.train_ids), dtype=bool)
        first[self._targets] = self._first_half(pair, self._targets, "targets", offset)
        first[self._background] = self._first_half(
            pair, self._background, "background", (offset + settled) % 2
        )
        return first if shadow % 2 == 0 else ~first

    def members(self, shadow: int) -> np.ndarray:
        """Sorted training ids of the shadow, int64."""
        return self.train_ids[self.member_mask(shadow)]

    # -- forget draws ------------------------------------------------------------------------------

    def target_members(self, pool: str) -> np.ndarray:
        """Which targets of a pool each shadow trains on, bool, `shadows x targets`."""
        return self._pool_members[self.pool(pool).name]

    @cached_property
    def _pool_members(self) -> dict[str, np.ndarray]:
        everyone = np.stack([self._target_half(shadow) for shadow in range(self.num_shadows)])
        ids = self.train_ids[self._targets]
        return {pool.name: everyone[:, np.isin(ids, pool.ids)] for pool in self.pools}

    def forget_matrix(self, pool: str) -> np.ndarray:
        """Which targets each draw forgets, bool, `shadows x draws x targets` (in `pool.ids` order)."""
        return self._forget_matrices[self.pool(pool).name]

    @cached_property
    def _forget_matrices(self) -> dict[str, np.ndarray]:
        return {pool.name: self._draw_all(pool) for pool in self.pools}

    def _draw_all(self, pool: TargetPool) -> np.ndarray:
        members = self._pool_members[pool.name]
        if pool.forget_size == 0:
            return members[:, None, :].copy()
        chosen = np.zeros((self.num_shadows, pool.draws, len(pool.ids)), dtype=bool)
        forgotten = np.zeros(len(pool.ids))
        for shadow in range(self.num_shadows):
            generator = numpy_generator("shadow", self.seed, shadow, "forget", pool.name)
            used = np.zeros(len(pool.ids))
            for draw in range(pool.draws):
                tie = generator.random(len(pool.ids))
                # A target returns only when the shadow's others were forgotten as often: a partition.
                rank = used * (self.num_shadows * pool.draws + 1)
                rank += tie if pool.rule == "partition" else forgotten + tie
                rank[~members[shadow]] = np.inf
                taken = np.argsort(rank)[: pool.forget_size]
                chosen[shadow, draw, taken] = True
                used[taken] += 1
                forgotten[taken] += 1
        return chosen

    def forget(self, shadow: int, pool: str, draw: int) -> np.ndarray:
        """Sorted ids that draw `draw` of the shadow forgets; always among its own members."""
        target_pool = self.pool(pool)
        if not 0 <= draw < target_pool.draws:
            raise AuditError(f"pool '{pool}': draw: expected 0..{target_pool.draws - 1}, got {draw}")
        return target_pool.ids[self.forget_matrix(pool)[self._checked(shadow), draw]]

    # -- states ------------------------------------------------------------------------------------

    def states(self, shadow: int, example_ids: np.ndarray, *, pool: str = "", draw: int = 0) -> np.ndarray:
        """State of each example in one run, int8 (`State`); without a pool nothing is forgotten.

        Args:
            shadow: the base model.
            example_ids: any ids; those outside the universe are TEST.
            pool: target pool of the unlearning; empty for the base model itself.
            draw: forget draw.
        """
        ids = np.asarray(example_ids)
        where = np.minimum(np.searchsorted(self.train_ids, ids), len(self.train_ids) - 1)
        known = self.train_ids[where] == ids
        state = np.where(self.member_mask(shadow)[where], State.RETAINED, State.NEVER).astype(np.int8)
        state[~known] = State.TEST
        if pool:
            state[np.isin(ids, self.forget(shadow, pool, draw))] = State.UNLEARNED
        return state

    def counts(self, pool: str) -> StateCounts:
        """Exact observations per target and state, over all shadows and draws of the pool."""
        forgotten, members = self.forget_matrix(pool), self.target_members(pool)
        draws = forgotten.shape[1]
        unlearned = forgotten.sum((0, 1))
        return StateCounts(
            unlearned=unlearned,
            retained=members.sum(0) * draws - unlearned,
            never=(~members).sum(0) * draws,
            unlearned_bases=forgotten.any(1).sum(0),
            never_bases=(~members).sum(0),
        )
