"""Random labels (RL, also amnesiac unlearning): fit wrong labels on the forget set, the true ones elsewhere.

    min over the layer scope of  E_{D_f} CE(f(x), y') + E_{D_r} CE(f(x), y),   y' uniform over the classes

Golatkar et al., arXiv 1911.04933 (section 5, "random labels"); Graves et al., arXiv 2010.10981 (section 3).
The field's codes differ in what y' may be and in the order of the two sets: SalUn's draws over *all* classes
(on ten classes a tenth of the labels stay true) and passes over D_f, then D_r; amnesiac codes exclude y.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from tasks.unlearn.base import SearchRange, register
from tasks.unlearn.parts.descent import Descent

if TYPE_CHECKING:
    from torch import Tensor

    from tasks.objectives.base import Batch
    from tasks.training.resident import Subset
    from tasks.unlearn.run import UnlearningRun


@register("random_labels")
@dataclass(frozen=True, kw_only=True)
class RandomLabels(Descent):
    """Fine-tune on the retain set and a randomly relabelled forget set."""

    exclude_true: bool = False
    """Never draw an example's own label."""
    exclude_class: bool = False
    """Never draw any class that the forget set holds (class forgetting)."""
    resample: Literal["epoch", "once"] = "epoch"
    """Draw labels anew each epoch (equal to per batch: an example is seen once an epoch), or once."""
    order: Literal["sequential", "mixed"] = "sequential"
    """sequential: the forget set, then the retain set; mixed: both shuffled together."""

    needs_retain: ClassVar[bool] = True
    passes: ClassVar[str] = "E*N"
    paper: ClassVar[str] = "Golatkar et al. 2020, arXiv 1911.04933"
    search: ClassVar[Mapping[str, SearchRange]] = {"lr": ("loguniform", 1e-3, 1e-1)}

    def __call__(self, run: UnlearningRun) -> None:
        """Fit the random labels."""
        self.fit(run, after_step=lambda _epoch: None)

    def fit(self, run: UnlearningRun, *, after_step: Callable[[int], None]) -> None:
        """Fit the random labels, calling `after_step(epoch)` after each optimiser step (masks, prox)."""
        optimizer = self.make_optimizer(run)
        for epoch in range(self.epochs):
            draw = 0 if self.resample == "once" else epoch
            forget = run.forget.with_targets(self.relabel(run, draw))
            for batch in self._epoch(run, forget, epoch):
                run.step(optimizer, run.loss(batch))
                after_step(epoch)
            run.end_epoch()

    def relabel(self, run: UnlearningRun, draw: int) -> Tensor:
        """Random targets for the forget set; equal draws give equal targets."""
        targets = run.forget.targets
        return run.relabel(
            targets,
            run.generator("random labels", draw),
            exclude_true=self.exclude_true,
            excluded=targets.unique() if self.exclude_class else None,
        )

    def _epoch(self, run: UnlearningRun, forget: Subset, epoch: int) -> Iterator[Batch]:
        if self.order == "mixed":
            from tasks.training.resident import concatenate

            yield from run.batches(concatenate(forget, run.retain), self.batch_size, "mixed", epoch)
            return
        yield from run.batches(forget, self.batch_size, "forget", epoch)
        yield from run.batches(run.retain, self.batch_size, "retain", epoch)
