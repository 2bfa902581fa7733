"""IDK: fit refusals on the prompts of the forget set, and the retain set as it is.

    min over the layer scope of  E_{D_f} l(prompt, refusal) + w E_{D_r} l(x)

Maini et al., "TOFU", arXiv 2401.06121 (preference optimisation, its first form). A refusal is drawn anew for
each document in each epoch. Public code draws it from a hundred that come with TOFU and takes both terms as one batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tasks.unlearn.base import register
from tasks.unlearn.parts.refusals import Refusing

if TYPE_CHECKING:
    from torch import Tensor

    from tasks.unlearn.run import UnlearningRun


@register("idk")
@dataclass(frozen=True, kw_only=True)
class Idk(Refusing):
    """Fine-tune on refusals in place of what is to be forgotten, beside the retain set."""

    passes: ClassVar[str] = "2*E*nf"
    paper: ClassVar[str] = "Maini et al. 2024, arXiv 2401.06121"

    def forgetting(self, run: UnlearningRun, epoch: int) -> Iterator[Tensor]:
        """Losses of the refusals."""
        for _, batch in self.pairs(run, epoch):
            yield run.losses(batch)
