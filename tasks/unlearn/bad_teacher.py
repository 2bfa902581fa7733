"""Bad teacher: distil the forget set from a random network and a part of the retain set from the original.

    min over the layer scope of  E_x [ l KL(p_rand(x) || p(x)) + (1 - l) KL(p_o(x) || p(x)) ]
    over D_f (l = 1) and a random share of D_r (l = 0), with temperature T in every softmax.

Chundawat et al., "Can Bad Teaching Induce Forgetting?", AAAI 2023, arXiv 2205.08096, section 4. Evidence:
the authors' code, vikram2000b/bad-teaching-unlearning@f1aa988 [C]: one epoch of Adam 1e-4 on batches of 256,
30 % of the retain set drawn once, T = 1 without a factor T^2, student in train mode, random teacher in eval
mode. KL is averaged over examples; that code also divides by the number of classes, which Adam does not
feel but SGD does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tasks.training.recipe import Optimizer
from tasks.unlearn.base import SearchRange, register, require
from tasks.unlearn.parts.descent import Descent

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tasks.objectives.base import Batch
    from tasks.training.resident import Subset
    from tasks.unlearn.run import UnlearningRun


@register("bad_teacher")
@dataclass(frozen=True, kw_only=True)
class BadTeacher(Descent):
    """Distillation from an incompetent teacher on the forget set, a competent one on retained examples."""

    epochs: int = 1
    """Passes over the forget set and the retained share."""
    optimizer: Optimizer = "adam"
    """sgd, adam or adamw."""
    lr: float = 1e-4
    """Learning rate."""
    weight_decay: float = 0.0
    """L2 coefficient, on the layer scope alone."""
    retain_fraction: float = 0.3
    """Share of the retain set that is used, drawn once."""
    temperature: float = 1.0
    """Temperature T of both teachers and of the student."""

    needs_retain: ClassVar[bool] = True
    second_model: ClassVar[str] = "random teacher"
    passes: ClassVar[str] = "E*(nf + retain_fraction*nr)"
    paper: ClassVar[str] = "Chundawat et al. 2023, arXiv 2205.08096"
    search: ClassVar[Mapping[str, SearchRange]] = {
        "lr": ("loguniform", 1e-5, 1e-3),
        "temperature": ("choice", (1.0, 2.0, 4.0)),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 < self.retain_fraction <= 1, "retain_fraction", "a number in (0, 1]", self.retain_fraction)
        require(self.temperature > 0, "temperature", "a positive number", self.temperature)

    def __call__(self, run: UnlearningRun) -> None:
        """Distil from both teachers."""
        incompetent = run.fresh_model(("bad_teacher",)).to(run.device).eval().requires_grad_(False)
        optimizer, examples = self.make_optimizer(run), self._examples(run)
        for epoch in range(self.epochs):
            for batch in run.batches(examples, self.batch_size, "flagged", epoch):
                run.step(optimizer, self._divergence(run, incompetent, batch))
            run.end_epoch()

    def _examples(self, run: UnlearningRun) -> Subset:
        """The forget set and the drawn retained examples."""
        import torch

        from tasks.training.resident import concatenate

        count = max(1, round(self.retain_fraction * len(run.retain)))
        drawn = torch.randperm(len(run.retain), generator=run.generator("bad_teacher", "retain"))[:count]
        return concatenate(run.forget, run.retain.at(drawn.to(run.device)))

    def _divergence(self, run: UnlearningRun, incompetent: nn.Module, batch: Batch) -> Tensor:
        """Mean divergence from the random teacher on forget examples, from the original on the others."""
        import torch

        competent = run.teacher_outputs(run.original, batch.inputs)
        forgotten = torch.isin(batch.ids, run.forget.ids).view(-1, *[1] * (competent.dim() - 1))
        teacher = torch.where(forgotten, run.teacher_outputs(incompetent, batch.inputs), competent)
        return run.divergence(run.outputs(batch.inputs), teacher, batch, self.temperature).mean()
