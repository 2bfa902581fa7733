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
from tasks.text.documents import Documents
from tasks.training.resident import Resident, Subset

MOST_LOGITS = 2**23
"""Most logits of one forward pass in scoring; fixed, so that results do not depend on free memory."""


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
    again: Callable[[], Resident] | None = field(default=None, compare=False)

    called: ClassVar[str] = "documents"

    @classmethod
    def put(cls, documents: Documents, vocabulary: int, device: torch.device) -> ResidentDocuments:
        """Copy host arrays to the device once."""
        return cls(
            tokens=torch.from_numpy(documents.tokens.copy()).to(device),
            asked=torch.from_numpy(documents.asked[:, 1:].copy()).to(device),
            lengths=torch.from_numpy(documents.lengths.copy()).to(device),
            vocabulary=vocabulary,
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

    def most_scored(self, batch_size: int) -> int:
        """Documents whose logits are few enough to be held at once."""
        return max(1, min(batch_size, MOST_LOGITS // (self.asked.shape[1] * self.vocabulary)))
