"""Weights of a finished model: every one of them is the file's, the classification layer's too."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from tasks.errors import AuditError
from tasks.networks.hugging_face import LanguageModel, read_folder, told_of_folder
from tasks.networks.models import Classifier
from tasks.networks.start import (
    OF_IMAGES,
    check_names,
    check_numbers,
    head_prefixes,
    linear_heads,
    read,
    told_of_types,
)

BODY, NORMALISE = "body.", "normalise."
"""What Lethe's own names begin with: those that a program is handed, and that stand in results."""
OF_DOCUMENTS = "options, context and number of words"
SKETCHED = 64
"""Numbers of each tensor, evenly spread, by which two models are told apart before all are compared."""
State = dict[str, Tensor]


def read_finished(model: nn.Module, path: Path) -> tuple[State, tuple[str, ...]]:
    """The weights of a finished model, as the state of what `model` wraps, and what a plan says of them.

    Args:
        model: of the architecture that the file is of; its own weights may be on no device (meta).
        path: safetensors, under timm's names (or those of a plug-in's module, or of a language model), or under
            Lethe's; of a published language model also a folder as save_pretrained writes it.

    Raises:
        AuditError: the file cannot be read, does not fit, holds numbers that are not finite or variances that are
            negative, or was made for another normalisation.
    """
    body = _body(model)
    own = body.state_dict()
    if path.is_dir() and isinstance(model, LanguageModel):
        state = read_folder(path)
        check_names(own, state, (), path, expected=OF_DOCUMENTS)
        return state, told_of_folder(path)
    state = _plain(read(path), model, path)
    if isinstance(model, Classifier):
        state = linear_heads(state, head_prefixes(body))
    state = _with_ties(body, state, path)
    check_names(own, state, (), path, expected=OF_IMAGES if isinstance(model, Classifier) else OF_DOCUMENTS)
    check_numbers(own, state, path)
    return state, tuple(told_of_types(own, state))


def load_finished(model: nn.Module, path: Path) -> tuple[str, ...]:
    """Put the weights of a file into a model, which keeps its device and layout; arguments, errors as `read_finished`.

    Returns:
        What a plan says of it.
    """
    state, told = read_finished(model, path)
    _body(model).load_state_dict(state)
    return told


def sketch(state: State) -> str:
    """Digest of some numbers of each tensor: where two differ, so do the weights."""
    return _digest(
        (name, values.flatten()[:: max(1, values.numel() // SKETCHED)]) for name, values in _named(state)
    )


def fingerprint(state: State) -> str:
    """Digest of every number, in float32 where it is one: models are alike where these are."""
    return _digest(_named(state))


def _named(state: State) -> Iterator[tuple[str, Tensor]]:
    for name in sorted(state):
        yield name, state[name]


def _digest(tensors: Iterator[tuple[str, Tensor]]) -> str:
    told = hashlib.sha256()
    for name, tensor in tensors:
        values = tensor.float() if tensor.is_floating_point() else tensor
        told.update(f"{name} {tuple(values.shape)};".encode())
        told.update(values.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return told.hexdigest()


def _body(model: nn.Module) -> nn.Module:
    """What the names of a file are of: the module of timm, of a plug-in or of transformers, or Lethe's own model."""
    return model.body if isinstance(model, (Classifier, LanguageModel)) else model


def _plain(state: State, model: nn.Module, path: Path) -> State:
    """The tensors under the names of the body, if they have Lethe's."""
    if _body(model) is model:
        return state
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


def _with_ties(body: nn.Module, state: State, path: Path) -> State:
    """The tensors, with those that a file need not say twice.

    Raises:
        AuditError: it says them twice, and differently.
    """
    held: dict[int, list[str]] = {}
    for name, parameter in body.named_parameters(remove_duplicate=False):
        held.setdefault(id(parameter), []).append(name)
    found = dict(state)
    for names in held.values():
        there = [name for name in names if name in state]
        for name in there[1:]:
            one, other = state[there[0]].float(), state[name].float()
            if one.shape != other.shape or not torch.equal(one, other):
                raise AuditError(
                    f"weights: {path}: '{there[0]}' and '{name}' differ, and this architecture has one tensor for "
                    "both; say in its options that they are not tied"
                )
        found |= {name: state[there[0]] for name in names if there}
    return found
