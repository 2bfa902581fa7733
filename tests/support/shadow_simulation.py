"""Synthetic observations whose per-example distinguishability is known, for the membership tests."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from tasks.shadows.games import Comparison
from tasks.shadows.layout import ShadowLayout, TargetPool
from tasks.shadows.observations import Observations, RunBlock, State

TEST_IDS = 1_000_000


def make_layout(
    shadows: int, targets: int, size: int, draws: int = 1, *, examples: int = 0, seed: int = 0
) -> ShadowLayout:
    """One pool "t" of the first `targets` examples, four classes."""
    ids = np.arange(examples or targets + 40)
    pool = TargetPool(name="t", ids=ids[:targets], forget_size=size, draws=draws)
    return ShadowLayout(train_ids=ids, labels=ids % 4, num_shadows=shadows, pools=(pool,), seed=seed)


@lru_cache(maxsize=8)
def _states(layout: ShadowLayout, tests: int, base: bool) -> dict[tuple[int, int], np.ndarray]:
    """States of the targets and test examples by (shadow, draw); simulations observe one layout many times."""
    ids = np.concatenate([layout.pools[0].ids, TEST_IDS + np.arange(tests)])
    runs = ((j, d) for j in range(layout.num_shadows) for d in range(1 if base else layout.pools[0].draws))
    return {(j, d): layout.states(j, ids, pool="" if base else "t", draw=d) for j, d in runs}


def observe(
    layout: ShadowLayout,
    generator: np.random.Generator,
    *,
    shift: float | np.ndarray = 0.0,
    retained: float | np.ndarray = 3.0,
    spread: float | np.ndarray = 1.0,
    never_spread: float | np.ndarray = 1.0,
    offset: float = 0.0,
    correlation: float = 0.0,
    tests: int = 0,
    base: bool = False,
    method: str = "m",
) -> Observations:
    """Gaussian phi around each example's own difficulty.

    Args:
        layout: shadows and draws of pool "t".
        generator: of the noise.
        shift: mean of UNLEARNED above NEVER, in units of its spread, scalar or one per target.
        retained: the same for RETAINED.
        spread: standard deviation of UNLEARNED and RETAINED.
        never_spread: standard deviation of NEVER.
        offset: added to every example of every run: a global shift of the outputs.
        correlation: between the draws of one shadow.
        tests: test examples.
        base: the base models instead, where nothing is unlearned.
        method: name.
    """
    targets = layout.pools[0].ids
    ids = np.concatenate([targets, TEST_IDS + np.arange(tests)])
    difficulty = np.random.default_rng(layout.seed).normal(0, 2, len(ids))
    pad = (0, tests)
    means = {State.UNLEARNED: shift, State.RETAINED: retained}
    padded = {s: np.pad(np.broadcast_to(np.asarray(m, float), len(targets)), pad) for s, m in means.items()}
    wide = np.pad(np.broadcast_to(np.asarray(spread, float), len(targets)), pad, constant_values=1)
    narrow = np.pad(np.broadcast_to(np.asarray(never_spread, float), len(targets)), pad, constant_values=1)
    states = _states(layout, tests, base)
    state = np.stack(list(states.values()))
    drawn = generator.normal(size=(layout.num_shadows, 1 + len(states) // layout.num_shadows, len(ids)))
    noise = np.sqrt(correlation) * drawn[:, :1] + np.sqrt(1 - correlation) * drawn[:, 1:]
    trained = np.isin(state, [int(s) for s in means])
    phi = difficulty + offset + np.where(trained, wide, narrow) * noise.reshape(state.shape)
    for one, mean in padded.items():
        phi += np.where(state == one, mean, 0.0)
    phi = phi.astype(np.float32)
    loss = np.logaddexp(0, -phi)
    blocks = [
        RunBlock(shadow=shadow, draw=draw, state=state[row], phi=phi[row], loss=loss[row])
        for row, (shadow, draw) in enumerate(states)
    ]
    return Observations.from_blocks(blocks, method=method, scope="all", family="t", example_ids=ids)


def before_and_after(
    layout: ShadowLayout,
    generator: np.random.Generator,
    *,
    unlearned: float | np.ndarray,
    kept: float | np.ndarray,
    shared: float,
) -> tuple[Observations, Observations]:
    """Base models, in which members lie 2 above the unseen, and unlearned ones with a part of the noise in common."""
    base = observe(layout, generator, base=True, retained=2.0, method="none")
    after = observe(layout, generator, shift=unlearned, retained=kept, correlation=0.5)
    calm = observe(layout, np.random.default_rng(0), base=True, retained=2.0, spread=0.0, never_spread=0.0)
    level = observe(
        layout, np.random.default_rng(0), shift=unlearned, retained=kept, spread=0.0, never_spread=0.0
    )
    noise = np.sqrt(shared) * (base.phi - calm.phi)[after.shadow] + np.sqrt(1 - shared) * (
        after.phi - level.phi
    )
    return base, replace(after, phi=(level.phi + noise).astype(np.float32))


@dataclass(frozen=True, kw_only=True, eq=False)
class Swapped(Comparison):
    """A game of one draw whose hypotheses change places at random within each pair and example: a true null."""

    def block(self, columns: slice) -> tuple[np.ndarray, np.ndarray]:
        """As of the game, with other labels."""
        phi, label = super().block(columns)
        coin = np.random.default_rng(columns.start).random((self.shadow.max() // 2 + 1, label.shape[1])) < 0.5
        partner = np.searchsorted(self.shadow, self.shadow ^ 1)
        return phi, np.where(coin[self.shadow // 2], label[partner], label)


def swapped(comparison: Comparison) -> Comparison:
    """The same runs under the null."""
    return Swapped(**vars(comparison))
