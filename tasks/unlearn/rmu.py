"""Representation misdirection (RMU): push hidden states of the forget set towards a random direction.

    min over the layer scope of  E_{D_f} mean_t mse(h_t, c u) + w E_{D_r} mean_t mse(h_t, h_o,t)

h_t is what a decoder block hands on at the position t whose next token is asked for, h_o,t the original's, mse the mean
over the width of squared differences, and u a unit vector whose entries were drawn uniformly from [0, 1) before its
length was made 1: all are positive. Each document is averaged over its own positions, so that neither the batch nor
what fills rows has a part in it.

Li et al., "The WMDP Benchmark", arXiv 2403.03218. Its code takes block 7 of 32, c = 20, w = 100 and 80 steps on batches
of 4 at 5e-5, changes one weight matrix in each of blocks 5 to 7 (here the layer scope says what changes), and averages
over all positions of a batch; locuslab/open-unlearning@d3d7cf9 takes those of the target tokens themselves, one further
than here, and is right for batches of one alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tasks.errors import AuditError
from tasks.unlearn.base import SearchRange, register, require
from tasks.unlearn.parts.paired import Paired

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from tasks.objectives.base import Batch
    from tasks.unlearn.run import UnlearningRun


@register("rmu")
@dataclass(frozen=True, kw_only=True)
class RepresentationMisdirection(Paired):
    """Misdirect what a block hands on of the forget set, and hold it where it was for the retain set."""

    epochs: int = 1
    """Passes over the forget set."""
    batch_size: int = 4
    """Forget examples per step, and as many retained ones."""
    lr: float = 5e-5
    """Learning rate; small models need 1e-4 to 1e-3."""
    block: int = 7
    """Decoder block whose output is misdirected, from 0; the published one is a quarter of the way up."""
    steering: float = 20.0
    """Length c of the vector that hidden states are pushed towards."""
    retain_weight: float = 100.0
    """Weight w of the distance from the original's hidden states on the retain set; 0 does not read it."""

    passes: ClassVar[str] = "3*E*nf"
    paper: ClassVar[str] = "Li et al. 2024, arXiv 2403.03218"
    search: ClassVar[Mapping[str, SearchRange]] = {
        "lr": ("loguniform", 1e-5, 1e-2),
        "steering": ("loguniform", 1.0, 100.0),
        "retain_weight": ("loguniform", 1.0, 1000.0),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.block >= 0, "block", "0 or more", self.block)
        require(self.steering > 0, "steering", "a positive number", self.steering)

    def check_scope(self, parameters: Mapping[str, nn.Parameter], model: nn.Module) -> None:
        """Refuse a model with fewer blocks, and a scope in which nothing leads to the block's output."""
        from tasks.networks.language_models import decoder_blocks
        from tasks.networks.layers import layer_groups

        blocks = decoder_blocks(model)
        if self.block >= len(blocks):
            raise AuditError(
                f"block: expected 0 to {len(blocks) - 1}, as the model has {len(blocks)}, got {self.block}"
            )
        stems = [
            name for group in layer_groups(model) if group.name == "stem" for name in group.parameter_names
        ]
        before = {id(p) for block in blocks[: self.block + 1] for p in block.parameters()}
        if not any(name in stems or id(p) in before for name, p in parameters.items()):
            raise AuditError(
                f"block: expected one that is not below the scope, whose weights do not reach it, got {self.block}"
            )

    def __call__(self, run: UnlearningRun) -> None:
        """Step on both distances at once."""
        self.check_scope(run.trainable, run.model)
        super().__call__(run)

    def forgetting(self, run: UnlearningRun, epoch: int) -> Iterator[Tensor]:
        """Distances of the forget documents from c u; the vector goes to the device once an epoch."""
        goal = None
        for batch in run.batches(run.forget, self.batch_size, "forget", epoch):
            hidden = self._hidden(run, batch)
            if goal is None:
                goal = self.steering * direction(hidden.shape[-1], run.generator("rmu", "direction")).to(
                    hidden
                )
            yield _distances(hidden, goal, batch)

    def retain_loss(self, run: UnlearningRun, batch: Batch) -> Tensor:
        """Mean distance from the original's hidden states."""
        return _distances(self._hidden(run, batch), self._hidden(run, batch, run.original), batch).mean()

    def _hidden(self, run: UnlearningRun, batch: Batch, teacher: nn.Module | None = None) -> Tensor:
        """What the block hands on, `n x T x d`, float32: of the model that is unlearned, or of a teacher."""
        from tasks.networks.language_models import after_block

        with after_block(teacher or run.model, self.block) as seen:
            if teacher is None:
                run.outputs(batch.inputs)
            else:
                run.teacher_outputs(teacher, batch.inputs)
        return seen[0].float()


def direction(width: int, generator: torch.Generator) -> Tensor:
    """A unit vector, `width`, with entries uniform in [0, 1) before its length is made 1; on the CPU."""
    import torch

    drawn = torch.rand(width, generator=generator)
    return drawn / drawn.norm()


def _distances(hidden: Tensor, goal: Tensor, batch: Batch) -> Tensor:
    """Mean square of the difference over the width and over each document's positions, `n`."""
    from tasks.objectives.language import mean_over_targets

    return mean_over_targets((hidden - goal).square().mean(dim=-1), batch)
