"""Whether a model is still to the last bit what it was: one digest of all that decides what it computes."""

from __future__ import annotations

import hashlib

import torch
from torch import nn


def fingerprint(model: nn.Module) -> str:
    """SHA-256 of parameters, buffers, train and eval modes, gradient switches and the number of hooks."""
    told = hashlib.sha256()
    for name, module in model.named_modules():
        hooks = len(module._forward_hooks) + len(module._forward_pre_hooks) + len(module._backward_hooks)
        told.update(f"{name} {type(module).__name__} {module.training} {hooks};".encode())
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        told.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} {tensor.requires_grad};".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        told.update(flat.view(torch.uint8).numpy().data)
    return told.hexdigest()
