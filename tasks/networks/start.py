"""Weights of a file as the start of a model's training: every one in its place, and every place filled but the head."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from tasks.errors import AuditError, and_more

Named = Mapping[str, Tensor]
_NEVER_NEGATIVE = {"running_var": "a variance", "num_batches_tracked": "a count of batches"}
"""Statistics that norm layers keep, by the last part of their names."""
PREFIXES = ("module.", "model.", "body.", "state_dict.", "_orig_mod.")
"""What other programs put before the names of a model's parameters."""
OF_IMAGES = "options, stem, channels, classes and size of images"


def start_from(body: nn.Module, path: Path) -> tuple[str, ...]:
    """Load the weights of a file into a model; its classification layer stays as it is where none fits.

    Args:
        body: with timm's names of parameters, or those of a plug-in.
        path: safetensors.

    Returns:
        What a plan says of it.

    Raises:
        AuditError: the file cannot be read, does not fit, or holds numbers that are not finite.
    """
    own, heads = body.state_dict(), head_prefixes(body)
    state = linear_heads(read(path), heads)
    kept = {k: v for k, v in state.items() if not (k.startswith(heads) and _shape(own, k) != v.shape)}
    new = [name for name in own if name.startswith(heads) and name not in kept]
    if new:  # nor half a layer
        kept = {k: v for k, v in kept.items() if not k.startswith(heads)}
    check_names(own, kept, heads, path)
    check_numbers(own, kept, path)
    body.load_state_dict(kept, strict=False)
    return _told(own, kept, state, new)


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a file, by name.

    Raises:
        AuditError: it cannot be read.
    """
    try:
        return safetensors.torch.load_file(path)
    except (OSError, SafetensorError) as error:
        raise AuditError(f"weights: cannot read '{path}': {error!s:.200}") from None


def head_prefixes(body: nn.Module) -> tuple[str, ...]:
    """What the names of the classification layer's parameters begin with."""
    return tuple(f"{name}." for name in classifier_names(body))


def linear_heads(state: Named, heads: tuple[str, ...]) -> dict[str, Tensor]:
    """The tensors with a classification layer that is a 1x1 convolution as the linear layer that it is."""
    return {k: v.flatten(1) if k.startswith(heads) and v.ndim == 4 else v for k, v in state.items()}


def check_numbers(own: Named, kept: Named, path: Path) -> None:
    """Refuse integers in the place of numbers, numbers that are not finite, and negative variances or counts.

    Raises:
        AuditError: there are such.
    """
    for name, tensor in kept.items():
        if own[name].is_floating_point() != tensor.is_floating_point():
            raise AuditError(f"weights: {path}: '{name}': expected {own[name].dtype}, got {tensor.dtype}")
        check_values(name, tensor, own[name].dtype, path)


def check_files(files: Iterable[Path]) -> None:
    """Refuse files whose tensors hold values that no trained model has; they are read one after the other.

    Raises:
        AuditError: as of `check_values`, or one cannot be read.
    """
    for file in files:
        try:
            with safe_open(file, framework="pt") as opened:
                for name in opened.keys():  # noqa: SIM118
                    tensor = opened.get_tensor(name)
                    dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
                    check_values(name, tensor, dtype, file)
        except (OSError, SafetensorError) as error:
            raise AuditError(f"weights: cannot read {file}: {error!s:.200}") from None


def check_values(name: str, tensor: Tensor, dtype: torch.dtype, path: Path) -> None:
    """Refuse values that no trained model has.

    Args:
        name: of the tensor.
        tensor: of a file.
        dtype: that it is to have.
        path: of the file, for messages.

    Raises:
        AuditError: it holds such.
    """
    if not tensor.numel() or tensor.dtype == torch.bool or tensor.is_complex():
        return
    low, high = tensor.to(
        dtype
    ).aminmax()  # which NaN passes through: one pass, nothing as large as the tensor
    if not (low.isfinite() and high.isfinite()):
        raise AuditError(
            f"weights: {path}: '{name}': expected finite numbers, got NaN or infinite ones, or such as "
            f"{str(dtype).removeprefix('torch.')} does not hold; save a state of the model from before it diverged"
        )
    what = _NEVER_NEGATIVE.get(name.rpartition(".")[2])
    if what and low < 0:
        raise AuditError(
            f"weights: {path}: '{name}': expected {what}, which is never negative, got {low.item():.4g}; save the "
            "state of the model anew: no training makes such a one"
        )


def told_of_types(own: Named, kept: Named) -> list[str]:
    """What a plan says of tensors that are kept in another precision."""
    converted = sorted(
        {str(v.dtype).removeprefix("torch.") for k, v in kept.items() if v.dtype != own[k].dtype}
    )
    return [f"{', '.join(converted)} of the file becomes float32"] if converted else []


def _told(own: Named, kept: Named, state: Named, new: list[str]) -> tuple[str, ...]:
    told = []
    if new:
        classes = next((len(state[name]) for name in new if name in state), 0)
        found = f"that of the file has {classes} classes" if classes else "the file has none"
        told.append(
            f"the classification layer ('{new[0]}') is newly initialised by each seed for {len(own[new[0]])} classes: "
            f"{found}"
        )
    else:
        told.append(
            "every weight is that of the file, the classification layer's too: seeds differ in nothing but the order "
            "of the data and what is drawn in training"
        )
    return (*told, *told_of_types(own, kept))


def check_names(
    own: Named, kept: Named, heads: tuple[str, ...], path: Path, *, expected: str = OF_IMAGES
) -> None:
    """Refuse tensors that are not those of a model, but for its classification layer.

    Args:
        own: of the model.
        kept: of the file.
        heads: what the names of tensors begin with that may be missing.
        path: of the file, for messages.
        expected: what the shapes follow.

    Raises:
        AuditError: one is missing, of no use, or of another shape.
    """
    needed = {name for name in own if not name.startswith(heads)}
    for prefix in PREFIXES:
        if (
            kept
            and all(name.startswith(prefix) for name in kept)
            and not any(name.startswith(prefix) for name in own)
        ):
            raise AuditError(
                f"weights: {path}: every name begins with '{prefix}'; expected names as '{min(own)}': save the tensors "
                "without it"
            )
    faults = {
        "missing": sorted(needed - kept.keys()),
        "not part of this architecture": sorted(kept.keys() - own.keys()),
        "of another shape": sorted(k for k in kept.keys() & own.keys() if kept[k].shape != own[k].shape),
    }
    for fault, names in faults.items():
        if names:
            name = names[0]
            shapes = (
                f": {_sides(kept[name])} in the file, {_sides(own[name])} here"
                if name in kept and name in own
                else ""
            )
            raise AuditError(
                f"weights: {path}: '{name}' is {fault}{and_more(names)}{shapes}; expected the weights of this "
                f"architecture with these {expected}"
            )


def _sides(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "one number"


def _shape(state: Named, name: str) -> torch.Size | None:
    return state[name].shape if name in state else None


def classifier_names(body: nn.Module) -> tuple[str, ...]:
    """Module names of the classification layer or layers (two in distilled transformers).

    Of a module that is not from timm it is the last child that has parameters.
    """
    if not hasattr(body, "get_classifier"):
        children = [
            name for name, child in body.named_children() if next(child.parameters(), None) is not None
        ]
        return tuple(children[-1:])
    found = body.get_classifier()  # type: ignore[operator]
    layers = set(found) if isinstance(found, tuple) else {found}
    return tuple(name for name, module in body.named_modules() if module in layers)
