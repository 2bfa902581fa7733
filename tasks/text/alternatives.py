"""Other answers to a question: one that says the same in other words, and some that are wrong. NumPy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.text.documents import Documents


@dataclass(frozen=True, kw_only=True, eq=False)
class Alternatives:
    """`M` answers, each a document: the prompt of an example, and another answer to it, which alone is asked for."""

    example: np.ndarray
    """`M`, int64: id of the example whose prompt it answers; ascending."""
    right: np.ndarray
    """`M`, bool: whether it says what the example says, in other words. One of each example is, one or more are not."""
    documents: Documents
