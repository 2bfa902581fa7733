"""Kullback-Leibler divergence between two samples by histogram, as KLoM takes it of margins.

Georgiev et al. 2024 (arXiv:2410.23232) and their released code (RoyRin/data-unlearning-bench): values clipped to +-100,
20 equal bins over the joint range, the second histogram floored at 1e-5 where the first is positive. Two accidents of
that code are left out: its last bin is open, so that the largest value of all is in no bin, and it scales the floored
histogram back to a sum of one, which changes a divergence by less than 2e-4.
"""

from __future__ import annotations

import numpy as np

BINS = 20
FLOOR = 1e-5
CLIP = 100.0


def bin_members(first: np.ndarray, second: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which bin each value lies in, one histogram a column with bins of its own.

    Args:
        first, second: values, `R x E`.
        inside: which of them count, `R x E`, bool; the same for both.

    Returns:
        Of each sample `R x BINS x E`, float32: 1 in the bin of a value that counts, 0 elsewhere.
    """
    first, second = (np.clip(values.astype(np.float64), -CLIP, CLIP) for values in (first, second))
    low = np.minimum(first, second).min(0, initial=CLIP, where=inside)
    high = np.maximum(first, second).max(0, initial=-CLIP, where=inside)
    width = np.where(high > low, high - low, 1.0) / BINS
    numbers = np.arange(BINS)[None, :, None]
    members = []
    for values in (first, second):
        code = np.where(inside, np.clip((values - low) / width, 0, BINS - 1).astype(np.int8), np.int8(-1))
        members.append((code[:, None, :] == numbers).astype(np.float32))
    return members[0], members[1]


def divergence(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """KL(first || second) of histograms, `... x E`, in nats; 0 of an empty one.

    Args:
        first, second: weights by bin, `... x BINS x E`.
    """
    p, q = (weights / np.maximum(weights.sum(-2, keepdims=True), FLOOR) for weights in (first, second))
    ratio = np.where(p > 0, p, 1.0) / np.maximum(q, FLOOR)
    return np.sum(p * np.log(ratio), axis=-2)
