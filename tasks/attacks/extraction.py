"""What a model of documents can be made to write from memory: greedy extraction, from prefixes of any length.

Greedy decoding goes on with the true text as long as every likeliest token is the true one. So what it writes to the
end of a document is known from the model's answers under the true text, and no text needs to be generated.
Extraction strength: Carlini et al. 2021 (2012.07805) in the form of the public code, whose corner cases are not kept:
there, a model that is wrong throughout scores 1 / n, and 1 where n = 1; here 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tasks.attacks.base import Attack, Given, Measurement, Need, register
from tasks.attacks.views import ModelView
from tasks.errors import AuditError
from tasks.metrics import documents
from tasks.metrics.base import Metric

SPLITS = ("forget", "retain", "test")


def longest_of(given: Given) -> Iterator[tuple[str, int]]:
    """Each split that has documents, and the tokens that are asked for of its longest."""
    tokens = given.tokens()
    for split in SPLITS:
        ids = given.split(split)
        if len(ids):
            yield split, int(tokens[ids].max())


@register("extraction")
@dataclass(frozen=True, kw_only=True)
class Extraction(Attack):
    """Write documents from their first tokens: how much of each, and how many to the end."""

    prefixes: tuple[int, ...] = (5,)
    """Tokens of each document that exact extraction is given, besides the one that begins every document."""

    version: ClassVar[int] = 2
    family: ClassVar[str] = "extraction"
    objectives: ClassVar[frozenset[str]] = frozenset({"language"})
    needs: ClassVar[frozenset[Need]] = frozenset(("outputs",))
    metrics: ClassVar[tuple[Metric, ...]] = documents.EXTRACTION_METRICS

    def __post_init__(self) -> None:
        if not self.prefixes or min(self.prefixes) < 0 or len(set(self.prefixes)) != len(self.prefixes):
            raise AuditError(f"prefixes: expected different numbers from 0, got {list(self.prefixes)}")

    def check_given(self, given: Given) -> None:
        """Refuse a prefix that no document of a split is longer than.

        Raises:
            AuditError: there is one.
        """
        for split, longest in longest_of(given):
            if max(self.prefixes) >= longest:
                raise AuditError(
                    f"prefixes: expected less than the {longest} tokens of the longest document of the {split} split, "
                    f"got {max(self.prefixes)}"
                )

    def measure(self, view: ModelView) -> Measurement:
        """Extraction strength and exact extraction on forget, retain and test documents.

        Raises:
            AuditError: no document of a split is longer than a prefix.
        """
        found = view.outputs()
        outputs = {split: found[split] for split in SPLITS}
        metrics = []
        for split, part in outputs.items():
            metrics.append(documents.extraction_strength(split, part))
            metrics += [documents.exact_extraction(split, part, prefix) for prefix in self.prefixes]
        examples = [
            {
                "split": np.full(len(part), split),
                "example_id": part.ids,
                "tokens": part.statistics["tokens"].astype(np.int32),
                "extraction": part.statistics["extraction"],
            }
            for split, part in outputs.items()
        ]
        return Measurement(metrics=metrics, examples=examples)
