"""One model or several as one function of interleaved inputs: alone, by grouped convolution, by vmap.

Example `i` of model `k` of `K` is row `i * K + k` of inputs and outputs.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from tasks.training.stacked import Stack


class Models(Protocol):
    """`K` models in training mode."""

    count: int
    """K."""

    def parameters(self) -> list[Tensor]:
        """What an optimiser is given."""
        ...

    def state(self) -> list[Tensor]:
        """Parameters and buffers."""
        ...

    def __call__(self, inputs: Tensor) -> Tensor:
        """Outputs of `n * K` inputs."""
        ...


class Alone:
    """One model, compiled or not."""

    count = 1

    def __init__(self, model: nn.Module, *, compiled: bool = False) -> None:
        self.model = model.train()
        self.forward = torch.compile(model, dynamic=False) if compiled else model

    def parameters(self) -> list[Tensor]:
        """See `Models`."""
        return list(self.model.parameters())

    def state(self) -> list[Tensor]:
        """See `Models`."""
        return list(self.model.state_dict().values())

    def __call__(self, inputs: Tensor) -> Tensor:
        """See `Models`."""
        return self.forward(inputs)


class Grouped(Alone):
    """Lockstep's stack: one native kernel for all models, where every layer can be stacked."""

    def __init__(self, models: Sequence[nn.Module]) -> None:
        super().__init__(Stack(models).to(memory_format=torch.channels_last))
        self.count = len(models)

    def __call__(self, inputs: Tensor) -> Tensor:
        """See `Models`."""
        wide = inputs.view(len(inputs) // self.count, -1, *inputs.shape[2:])
        return self.model(wide).flatten(0, 1)


class Vmapped:
    """Stacked parameters and buffers under torch.func.vmap: any network, whatever kernels its batching rules find."""

    def __init__(self, models: Sequence[nn.Module]) -> None:
        self.count = len(models)
        self._parameters, self._buffers = stack_module_state([model.train() for model in models])
        self._skeleton = copy.deepcopy(models[0]).to("meta")
        self._forward = vmap(self._one, in_dims=(0, 0, 1), out_dims=1)

    def _one(self, parameters: dict[str, Tensor], buffers: dict[str, Tensor], inputs: Tensor) -> Tensor:
        return functional_call(self._skeleton, (parameters, buffers), (inputs,))

    def parameters(self) -> list[Tensor]:
        """See `Models`."""
        return list(self._parameters.values())

    def state(self) -> list[Tensor]:
        """See `Models`."""
        return [*self._parameters.values(), *self._buffers.values()]

    def __call__(self, inputs: Tensor) -> Tensor:
        """See `Models`."""
        split = inputs.unflatten(0, (-1, self.count))
        return self._forward(self._parameters, self._buffers, split).flatten(0, 1)
