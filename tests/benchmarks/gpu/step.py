"""The training step as a card would like it: draws uploaded once an epoch, fixed buffers, no question to the host.

It does what `tasks.training.train` does, draw for draw, so that a CUDA graph of it trains the same model.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tasks.images.augment import Moves, interleave
from tasks.objectives.base import Batch
from tasks.runtime.devices import Engine
from tasks.runtime.seeding import torch_generator
from tasks.training.train import learning_rate, make_optimizer
from tests.benchmarks.gpu.subjects import Subject
from tests.benchmarks.gpu.together import Models

WARM_UP = 3
"""Steps before a capture: they make gradients, optimiser state and workspaces, and compile."""


class Step:
    """Steps of one epoch for `K` models, each with its own order, moves and batch.

    Args:
        subject: data and recipe.
        models: what is trained.
        engine: device and precision; not fp16, whose scaler asks the host.
        numbers: of the models, which name their random streams.
    """

    def __init__(
        self, subject: Subject, models: Models, engine: Engine, numbers: Sequence[int] = (0,)
    ) -> None:
        self.subject, self.models, self.engine, recipe = subject, models, engine, subject.recipe
        self.generators = [torch_generator("train", *seed_path(number)) for number in numbers]
        self.move = subject.data.augmentation(recipe.augmentation)
        self.optimizer = make_optimizer(
            models.parameters(),
            recipe.optimizer,
            lr=recipe.lr,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            nesterov=recipe.momentum > 0,
        )
        device, count = engine.device, subject.batch * len(numbers)
        self.rate = torch.zeros((), device=device)
        self.ids = torch.zeros(count, dtype=torch.int64, device=device)
        self.shifts = torch.zeros((2, count), dtype=torch.int64, device=device)
        self.mirrored = torch.zeros(count, dtype=torch.bool, device=device)
        self.total = torch.zeros(len(numbers), device=device)
        for group in self.optimizer.param_groups:
            # A number would be frozen into a graph; Adam's count of steps is on the device where capturable.
            group["lr"] = self.rate
            if "capturable" in group:
                group["capturable"] = device.type == "cuda"
        self._buffers = [self.rate, self.ids]
        self._buffers += [self.shifts, self.mirrored] if self.move is not None else []
        self._epoch: list[tuple[Tensor, ...]] = []
        self._graph: torch.cuda.CUDAGraph | None = None
        self.stream: torch.cuda.Stream | None = None

    def run(self, steps: int) -> None:
        """An epoch of so many steps."""
        self.upload(steps)
        for number in range(steps):
            self.step(number)

    def upload(self, steps: int) -> None:
        """Draw orders and moves of an epoch, as a loop draws them, and copy each to the device at once."""
        recipe, batch = self.subject.recipe, self.subject.batch
        orders = [torch.randperm(steps * batch, generator=g) for g in self.generators]
        rates = torch.tensor([learning_rate(recipe, step, steps) for step in range(steps)])
        parts = [rates, torch.stack(orders, dim=1).view(steps, -1)]
        if self.move is not None:
            moves = [interleave([self.move.draw([batch], g) for g in self.generators]) for _ in range(steps)]
            parts += [torch.stack([move[k] for move in moves]) for k in range(2)]
        device = self.engine.device
        self._epoch = list(zip(*(part.to(device) for part in parts), strict=True))

    def step(self, number: int) -> None:
        """One step of the epoch that was uploaded."""
        for own, new in zip(self._buffers, self._epoch[number], strict=True):
            own.copy_(new)
        if self._graph is None:
            self.compute()
        else:
            self._graph.replay()

    def compute(self) -> None:
        """Batch, forward, backward and update, from the buffers alone."""
        data, count = self.subject.data, self.models.count
        inputs = data.inputs(self.ids)
        if self.move is not None:
            inputs = self.move.apply(inputs, Moves(self.shifts, self.mirrored))
        batch = Batch(inputs, data.labels[self.ids], self.ids)
        with self.engine.autocast():
            outputs = self.models(inputs)
        if count == 1:
            losses = data.objective.loss(outputs.float(), batch).view(1)
        else:
            losses = data.objective.losses(outputs.float(), batch).view(-1, count).mean(dim=0)
        self.optimizer.zero_grad(set_to_none=True)
        self.engine.backward(losses.sum())
        self.engine.step(self.optimizer)
        self.total += losses.detach() * self.subject.batch

    def capture(self) -> Step:
        """Record `compute` as a CUDA graph on a stream of its own; models and optimiser are then as they were.

        cuBLAS keeps one workspace for each stream: graphs captured on a common one would write to the same
        workspace when they are replayed at once. The steps before it read whatever lies in the buffers.
        """
        before = [tensor.detach().clone() for tensor in self.models.state()]
        self.stream = torch.cuda.Stream(self.engine.device)
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            for _ in range(WARM_UP):
                self.compute()
        torch.cuda.current_stream().wait_stream(self.stream)
        self.optimizer.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self.stream):
            self.compute()
        self._graph = graph
        self.total.zero_()
        with torch.no_grad():
            for tensor, old in zip(self.models.state(), before, strict=True):
                tensor.copy_(old)
            for state in self.optimizer.state.values():
                for value in state.values():
                    if isinstance(value, Tensor):
                        value.zero_()  # momenta and Adam's counts begin at zero, and a graph reads these tensors
        return self


def seed_path(number: int) -> tuple[str, int]:
    """Names the random stream of a model."""
    return ("gpu benchmark", number)
