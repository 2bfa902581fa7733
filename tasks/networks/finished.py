"""Weights of a finished model: every one of them is the file's, the classification layer's too."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from tasks.errors import AuditError
from tasks.networks.models import Classifier
from tasks.networks.start import check_names, check_numbers, head_prefixes, linear_heads, read, told_of_types

BODY, NORMALISE = "body.", "normalise."
"""What Lethe's own names begin with: those that a program is handed, and that stand in results."""


def load_finished(model: Classifier, path: Path) -> tuple[str, ...]:
    """Put the weights of a file into a model, which keeps its device and layout.

    Args:
        model: of the architecture that the file is of.
        path: safetensors, under timm's names (or those of a plug-in's module), or under Lethe's.

    Returns:
        What a plan says of it.

    Raises:
        AuditError: the file cannot be read, does not fit, holds numbers that are not finite, or was made for another
            normalisation.
    """
    own = model.body.state_dict()
    state = linear_heads(_plain(read(path), model, path), head_prefixes(model.body))
    check_names(own, state, (), path)
    check_numbers(own, state, path)
    model.body.load_state_dict(state)
    return tuple(told_of_types(own, state))


def _plain(state: dict[str, Tensor], model: Classifier, path: Path) -> dict[str, Tensor]:
    """The tensors under the names of the body, if they have Lethe's."""
    if not any(name.startswith(BODY) for name in state) or not all(
        name.startswith((BODY, NORMALISE)) for name in state
    ):
        return state
    for name, tensor in model.state_dict().items():
        if name.startswith(NORMALISE) and name in state:
            found = state[name].to(tensor)
            if found.shape != tensor.shape or not torch.equal(found, tensor):
                key = f"data.{name.removeprefix(NORMALISE)}"
                raise AuditError(
                    f"weights: {path}: '{name}' is {found.flatten().tolist()}; expected {key}, which is "
                    f"{tensor.flatten().tolist()}"
                )
    return {name.removeprefix(BODY): v for name, v in state.items() if name.startswith(BODY)}
