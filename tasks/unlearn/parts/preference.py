"""The loss of preference optimisation, and what it compares.

    -(2 / beta) log sigma(beta m)

falls as the margin m rises, ever more gently; at m = 0 it is (2 / beta) ln 2, with slope -1.

Rafailov et al., "Direct Preference Optimization", arXiv 2305.18290, has it without the factor 2, which is that of
Zhang et al., arXiv 2404.05868, and of the public codes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from tasks.objectives.base import Batch
    from tasks.unlearn.run import UnlearningRun


def preference(margin: Tensor, *, beta: float, weight: float = 1.0) -> Tensor:
    """The loss of each margin, `n`, times a weight."""
    import torch.nn.functional as F

    return -2 * weight / beta * F.logsigmoid(beta * margin)


def rise(run: UnlearningRun, batch: Batch) -> Tensor:
    """By how much each example's answer is less likely than under the original, `n`, in nats summed over its tokens."""
    original = run.losses(batch, run.teacher_outputs(run.original, batch.inputs))
    return (run.losses(batch) - original) * run.objective.answers(batch)
