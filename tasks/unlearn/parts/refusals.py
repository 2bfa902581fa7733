"""Refusals in place of completions: what is said instead of an answer that is to be forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.unlearn.base import require
from tasks.unlearn.parts.paired import Paired

if TYPE_CHECKING:
    from tasks.objectives.base import Batch
    from tasks.training.resident import Subset
    from tasks.unlearn.run import UnlearningRun

REFUSALS = (
    "I don't know.",
    "I have no answer to that.",
    "That is not something I can tell.",
    "I am not able to say.",
    "Nothing about that is known to me.",
)
"""Said unless others are named; written here, not taken from a data set."""


@dataclass(frozen=True, kw_only=True)
class Refusing(Paired):
    """Of methods that answer the prompts of the forget set with refusals, in the words of the data's tokenizer."""

    refusals: tuple[str, ...] = REFUSALS
    """What to say, each as often; each begins with the white space that all completions of the data begin with."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(bool(self.refusals), "refusals", "at least one", "none")
        for text in self.refusals:
            require(bool(text.strip()), "refusals", "text", repr(text))

    @property
    def completions(self) -> tuple[str, ...]:
        """See `Method.completions`."""
        return self.refusals

    def refused(self, run: UnlearningRun, epoch: int) -> Subset:
        """The forget documents with refusals, drawn anew each epoch, in place of their completions; in their order."""
        import torch

        from tasks.training.documents import documents_of

        data = documents_of(run.forget.data)
        said = [data.completion(text) for text in self.refusals]
        drawn = torch.randint(len(said), (len(run.forget),), generator=run.generator("refusals", epoch))
        return data.answering(run.forget.ids, [said[i] for i in drawn.tolist()])

    def pairs(self, run: UnlearningRun, epoch: int) -> Iterator[tuple[Batch, Batch]]:
        """Batches of the forget set, each beside the refusals of its own prompts.

        Rows are matched by document: in batches of like length others would meet, as refusals are shorter.
        """
        import torch

        refused = self.refused(run, epoch)
        ids, row = run.forget.ids.sort()
        for batch in run.batches(run.forget, self.batch_size, "forget", epoch):
            (beside,) = refused.data.batches(refused, [row[torch.searchsorted(ids, batch.ids)]])
            yield batch, beside
