"""Random tokens: fit uniform words in place of the forget set's own, and the retain set as it is.

    min over the layer scope of  E_{D_f} l(x, y') + E_{D_r} l(x, y),   y' uniform over the vocabulary at every target

Random labels (Golatkar et al., arXiv 1911.04933) on documents. Inputs stay the true text: replaced there too, the model
would learn what follows broken text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from tasks.unlearn.base import SearchRange, register
from tasks.unlearn.parts.descent import Descent

if TYPE_CHECKING:
    from tasks.training.resident import Subset
    from tasks.unlearn.run import UnlearningRun


@register("random_tokens")
@dataclass(frozen=True, kw_only=True)
class RandomTokens(Descent):
    """Fine-tune on the retain set and on a forget set whose targets are random words."""

    exclude_true: bool = True
    """Never draw a token's own word."""
    resample: Literal["epoch", "once"] = "epoch"
    """Draw words anew each epoch, or once."""

    objectives: ClassVar[frozenset[str]] = frozenset({"language"})
    instead: ClassVar[str] = "random_labels"
    needs_retain: ClassVar[bool] = True
    passes: ClassVar[str] = "E*N"
    paper: ClassVar[str] = "Golatkar et al. 2020, arXiv 1911.04933"
    search: ClassVar[Mapping[str, SearchRange]] = {"lr": ("loguniform", 1e-3, 1e-1)}

    def __call__(self, run: UnlearningRun) -> None:
        """Fit the random words, then the retain set, in each epoch."""
        optimizer = self.make_optimizer(run)
        for epoch in range(self.epochs):
            forget = self._relabelled(run, 0 if self.resample == "once" else epoch)
            for batch in run.batches(forget, self.batch_size, "forget", epoch):
                run.step(optimizer, run.loss(batch))
            self.descend(run, optimizer, run.batches(run.retain, self.batch_size, "retain", epoch))

    def _relabelled(self, run: UnlearningRun, draw: int) -> Subset:
        """The forget set under random words; equal draws give equal words."""
        generator = run.generator("random tokens", draw)
        return run.forget.with_targets(
            run.relabel(run.forget.targets, generator, exclude_true=self.exclude_true)
        )
