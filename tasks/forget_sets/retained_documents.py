"""Copies of forget documents that stay in the retain set: by content hash, and by the runs of words they share.

The distance of a forget document from a retained one is the share of its runs of `RUN` tokens that the other does not
hold; of the whole document where it is shorter. Public audits of language models remove what shares .8 of runs of 13
(mimir); documents of the generated corpus have 22 tokens, hence shorter runs. NumPy only.
"""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np

from tasks.errors import AuditError
from tasks.forget_sets.retained_copies import RetainedCopies, same_hashes
from tasks.text.documents import Documents, hash_documents

RUN = 8
"""Tokens of a run."""
COMPARED = f"runs of {RUN} tokens"
NEAR = 0.2
"""Share of runs that are not shared below which two documents are called near copies."""


def find_document_copies(documents: Documents, *, forget: np.ndarray, retained: np.ndarray) -> RetainedCopies:
    """Search the retain set for copies of each forget document.

    Args:
        documents: all, by id.
        forget: `F` ids.
        retained: `R` ids.
    """
    if not len(forget) or not len(retained):
        raise AuditError("copies: expected forget and retained examples, got none of one kind")
    holders: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
    for i in retained.tolist():
        for run in _runs(documents.ids(i)):
            holders[run].append(i)
    nearest = np.full(len(forget), retained[0], dtype=np.int64)
    distance = np.ones(len(forget), dtype=np.float32)
    for place, i in enumerate(forget.tolist()):
        runs = _runs(documents.ids(i))
        shared = Counter(holder for run in runs for holder in holders.get(run, ()))
        if shared:
            nearest[place], count = min(shared.items(), key=lambda item: (-item[1], item[0]))
            distance[place] = 1 - count / len(runs)
    return RetainedCopies(
        exact=same_hashes(hash_documents(documents), forget, retained),
        nearest=nearest,
        distance=distance,
        bound=NEAR,
        compared=COMPARED,
    )


def _runs(ids: list[int]) -> set[tuple[int, ...]]:
    return {tuple(ids[start : start + RUN]) for start in range(max(1, len(ids) - RUN + 1))}
