"""DPO: prefer a refusal to the answer that is to be forgotten.

    min over the layer scope of  -(2 / beta) E_{D_f} log sigma(beta (m(x) - m(x'))) + w E_{D_r} l(x),   m = L - L_o

x' is the document with a refusal in place of its completion, L the negative log-likelihood of a completion, summed over
its tokens, L_o the original's. Without the refusal's term it is `npo`.

Rafailov et al., "Direct Preference Optimization", arXiv 2305.18290; for unlearning Maini et al., arXiv 2401.06121, and
Zhang et al., arXiv 2404.05868; settings of locuslab/open-unlearning@d3d7cf9. A refusal is drawn anew for each
document in each epoch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tasks.unlearn.base import SearchRange, register, require
from tasks.unlearn.parts.preference import preference, rise
from tasks.unlearn.parts.refusals import Refusing

if TYPE_CHECKING:
    from torch import Tensor

    from tasks.unlearn.run import UnlearningRun


@register("dpo")
@dataclass(frozen=True, kw_only=True)
class DPO(Refusing):
    """Make refusals likelier and answers less likely than under the original, beside the retain set."""

    beta: float = 0.1
    """How soon a refusal counts as preferred."""

    passes: ClassVar[str] = "5*E*nf"
    paper: ClassVar[str] = "Rafailov et al. 2023, arXiv 2305.18290; Zhang et al. 2024, arXiv 2404.05868"
    search: ClassVar[Mapping[str, SearchRange]] = {
        "lr": ("loguniform", 1e-5, 1e-2),
        "beta": ("loguniform", 0.01, 1.0),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.beta > 0, "beta", "a positive number", self.beta)

    def forgetting(self, run: UnlearningRun, epoch: int) -> Iterator[Tensor]:
        """Losses of pairs."""
        for answer, refusal in self.pairs(run, epoch):
            yield preference(rise(run, answer) - rise(run, refusal), beta=self.beta)
