"""What a model of documents writes from memory when its words are drawn, not chosen: leaks of sampled continuations.

Hayes et al. 2024 (2410.19482) call a document (n, p)-discoverable where one of n samples reproduces it with probability
p. A sample that has said the true words so far goes on from the true text, so the chance of saying all of them is the
product of their probabilities under it: of n samples some one does so with 1 - (1 - product)^n. That is what counting
drawn texts estimates; nothing is drawn here, and a rate of one in a million costs no more than another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tasks.attacks.base import Attack, Given, Measurement, Need, register
from tasks.attacks.extraction import SPLITS, longest_of
from tasks.attacks.views import ModelView
from tasks.errors import AuditError
from tasks.metrics import documents
from tasks.metrics.base import Metric


@register("sampling")
@dataclass(frozen=True, kw_only=True)
class Sampling(Attack):
    """Sample what follows a document's first tokens, several times: how often some sample is the true text."""

    prefix: int = 5
    """Target tokens of each document that are given, besides what comes before the first of them."""
    continuation: int = 5
    """Tokens after them that a sample has to say; documents with fewer are left out."""
    samples: int = 100
    """Samples of each document."""
    temperature: float = 1.0
    """By which logits are divided before a word is drawn; of all words, without a cut."""

    family: ClassVar[str] = "extraction"
    objectives: ClassVar[frozenset[str]] = frozenset({"language"})
    needs: ClassVar[frozenset[Need]] = frozenset(("generation",))
    metrics: ClassVar[tuple[Metric, ...]] = (documents.SAMPLED_EXTRACTION,)

    def __post_init__(self) -> None:
        for name, least in (("prefix", 0), ("continuation", 1), ("samples", 1)):
            if getattr(self, name) < least:
                raise AuditError(f"{name}: expected at least {least}, got {getattr(self, name)}")
        if not 0 < self.temperature < float("inf"):
            raise AuditError(f"temperature: expected a number above 0, got {self.temperature}")

    def check_given(self, given: Given) -> None:
        """Refuse a prefix and a continuation that no document of a split is long enough for.

        Raises:
            AuditError: there is such a split.
        """
        asked = self.prefix + self.continuation
        for split, longest in longest_of(given):
            if longest < asked:
                raise AuditError(
                    f"prefix, continuation: expected at most the {longest} tokens of the longest document of the "
                    f"{split} split together, got {asked}"
                )

    def measure(self, view: ModelView) -> Measurement:
        """Chance that some sample is the true text, on forget, retain and test documents."""
        from tasks.measure.sampled import sampled_chances

        metrics, examples = [], []
        with view.readable() as model:
            for split in SPLITS:
                subset = view.subset(split)
                if not len(subset):
                    continue
                ids, chance = sampled_chances(
                    model,
                    subset,
                    prefix=self.prefix,
                    continuation=self.continuation,
                    samples=self.samples,
                    temperature=self.temperature,
                    batch_size=view.settings.batch_size,
                )
                groups = view.groups
                own = None if groups is None else groups[ids]
                metrics.append(documents.sampled_extraction(split, chance, own, samples=self.samples))
                examples.append({"split": np.full(len(ids), split), "example_id": ids, "score": chance})
        return Measurement(metrics=metrics, examples=examples)
