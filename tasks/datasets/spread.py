"""Which examples of a data set a plan looks at: a few, evenly spread."""

from __future__ import annotations

import numpy as np

LOOKED_AT = 64
"""Examples of a data set that a plan looks at; decoding every one takes minutes for a million."""


def spread(count: int, most: int) -> list[int]:
    """At most so many of the first `count` numbers, evenly spread, the first and the last among them."""
    return sorted(set(np.linspace(0, count - 1, min(count, most)).astype(int).tolist())) if count else []
