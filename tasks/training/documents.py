"""Documents held on the device for the whole run: ids in two or four bytes, batches as wide as their longest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from tasks.errors import AuditError
from tasks.images.augment import Augmentation, AugmentationName
from tasks.objectives.base import Batch
from tasks.objectives.language import NOTHING, Language
from tasks.text.documents import Documents, documents
from tasks.training.resident import Resident, Subset

MOST_LOGITS, MOST_ON_CPU = 2**23, 2**20
"""Most logits of one forward pass in scoring, fixed, so that results do not depend on free memory. A CPU's caches hold
few: beyond them an embedded corpus takes twice the time."""
POOLED = 4
"""Batches of a shuffled pass that are sorted by length together. Of embedded documents .86 to .89 of what is computed
then is no filling, of batches at random .61 to .67. More fill up less, but batches of like documents teach less: after
15 epochs the loss of trained documents was 1.30 with batches at random, 1.36 with 4 and 1.39 with 8."""


def no_prompts(text: str) -> Sequence[int]:
    """Refuse.

    Raises:
        AuditError: always.
    """
    raise AuditError(f"expected documents with prompts, which can be answered with '{text:.40}', got others")


@dataclass(frozen=True)
class ResidentDocuments(Resident):
    """Documents, what is asked of each, and a class for each."""

    tokens: Tensor
    """`N x T + 1`, uint16 or int32."""
    asked: Tensor
    """`N x T`, bool: whether the token after each position is asked for."""
    lengths: Tensor
    """`N`, int64: tokens of each document."""
    vocabulary: int
    completion: Callable[[str], Sequence[int]] = field(default=no_prompts, compare=False)
    """Ids of a text as what is said after a prompt, by the tokenizer of the documents; refuses where none has one."""
    again: Callable[[], Resident] | None = field(default=None, compare=False)

    called: ClassVar[str] = "documents"

    @classmethod
    def put(
        cls,
        documents: Documents,
        vocabulary: int,
        device: torch.device,
        *,
        completion: Callable[[str], Sequence[int]] = no_prompts,
    ) -> ResidentDocuments:
        """Copy host arrays to the device once."""
        return cls(
            tokens=torch.from_numpy(documents.tokens.copy()).to(device),
            asked=torch.from_numpy(documents.asked[:, 1:].copy()).to(device),
            lengths=torch.from_numpy(documents.lengths.copy()).to(device),
            vocabulary=vocabulary,
            completion=completion,
        )

    @property
    def objective(self) -> Language:
        """Language modelling."""
        return Language(self.vocabulary)

    @property
    def held(self) -> tuple[Tensor, ...]:
        """Tokens, what is asked for, and lengths."""
        return self.tokens, self.asked, self.lengths

    def subset(self, ids: np.ndarray) -> Subset:
        """A view of the given example ids, in the given order; targets are int32, -1 where nothing is asked for."""
        index = torch.from_numpy(np.array(ids, dtype=np.int64)).to(self.device)
        following = self.tokens[index][:, 1:].int()
        return Subset(data=self, ids=index, targets=torch.where(self.asked[index], following, NOTHING))

    def answering(self, ids: Tensor, completions: Sequence[Sequence[int]]) -> Subset:
        """The prompts of documents with other completions, as examples of their own, in the same order.

        The host waits once for the prompts.

        Args:
            ids: `n`, of documents that have prompts.
            completions: ids of words for each of them.
        """
        ends = self.asked[ids].int().argmax(dim=1, keepdim=True) + 1
        given = torch.cat([ends, self.tokens[ids].long()], dim=1).tolist()
        prompts = [end for end, *_ in given]
        rows = [[*row[:end], *said] for (end, *row), said in zip(given, completions, strict=True)]
        made = self.put(documents(rows, prompts=prompts), self.vocabulary, self.device)
        return made.subset(np.arange(len(rows)))

    def batches(self, subset: Subset, rows: Sequence[Tensor]) -> Iterator[Batch]:
        """Ids of all tokens but the last, and targets, as wide as the longest document of the batch.

        The host waits once for the widths of all batches.
        """
        ids = [subset.ids[chosen] for chosen in rows]
        widths = torch.stack([self.lengths[own].max() for own in ids]).tolist() if ids else []
        for chosen, own, width in zip(rows, ids, widths, strict=True):
            yield Batch(self.tokens[own, : width - 1].long(), subset.targets[chosen, : width - 1].long(), own)

    def plain(self, subset: Subset) -> dict[str, np.ndarray]:
        """`ids`, and documents one behind the other: `tokens` (int32), `asked` (bool) and `offsets` (`n + 1`, int64).

        Document `i` is `tokens[offsets[i]:offsets[i + 1]]`. A token is asked for where the model's loss is about saying
        it; the first of a document never is.
        """
        lengths = self.lengths[subset.ids].cpu().numpy()
        tokens = self.tokens[subset.ids].cpu().numpy().astype(np.int32)
        asked = np.pad((subset.targets != NOTHING).cpu().numpy(), ((0, 0), (1, 0)))
        inside = np.arange(tokens.shape[1]) < lengths[:, None]
        return {
            "ids": subset.ids.cpu().numpy(),
            "tokens": tokens[inside],
            "asked": asked[inside],
            "offsets": np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        }

    def augmentation(self, name: AugmentationName) -> Augmentation | None:
        """None.

        Raises:
            AuditError: another is asked for.
        """
        if name != "none":
            raise AuditError(f"augmentation: expected none, as the examples are documents, got '{name}'")
        return None

    def shuffled(
        self, subset: Subset, lengths: Sequence[int], generator: torch.Generator
    ) -> Sequence[Tensor]:
        """Rows of batches of documents of like length, which are filled up with less.

        Documents are shuffled and dealt to pools of `POOLED` batches; each pool is sorted by length, cut into batches,
        and all batches are shuffled. Documents of one length are exchangeable, and so are batches; what is given up is
        that documents of very different lengths meet in one batch as often. Which batch is the short one is drawn too.
        """
        drawn = [lengths[i] for i in torch.randperm(len(lengths), generator=generator).tolist()]
        order = torch.randperm(len(subset), generator=generator)
        pools = (
            torch.arange(len(drawn)).div(POOLED, rounding_mode="floor").repeat_interleave(torch.tensor(drawn))
        )
        order, pools = torch.stack([order, pools]).to(self.device)
        place = pools * (self.tokens.shape[1] + 1) + self.lengths[subset.ids[order]]
        batches = order[place.argsort(stable=True)].split(drawn)
        return [batches[i] for i in torch.randperm(len(drawn), generator=generator).tolist()]

    def most_scored(self, batch_size: int) -> int:
        """Documents of any length whose logits may be held at once."""
        return max(1, min(batch_size, MOST_LOGITS // (self.asked.shape[1] * self.vocabulary)))

    def scored(self, subset: Subset, batch_size: int) -> Sequence[Tensor]:
        """Rows by length, as many at once as there is room for their logits; the host waits once."""
        lengths, order = self.lengths[subset.ids].sort(stable=True)
        room = MOST_ON_CPU if self.device.type == "cpu" else MOST_LOGITS
        counts: list[int] = []
        for length in lengths.tolist():
            most = min(batch_size, room // (max(1, length - 1) * self.vocabulary))
            if counts and counts[-1] < most:
                counts[-1] += 1
            else:
                counts.append(1)
        return order.split(counts)


def documents_of(data: Resident) -> ResidentDocuments:
    """The same, for code of documents alone.

    Raises:
        AuditError: these are none.
    """
    if not isinstance(data, ResidentDocuments):
        raise AuditError(f"expected documents, got {data.called}")
    return data
