"""What may be said of a model of timm, and what Lethe makes of it for small images. Imports neither torch nor timm."""

from __future__ import annotations

import functools
import importlib.util
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from tasks.errors import AuditError, UnknownName, nearest

Stem = Literal["auto", "small", "timm"]
SMALL_IMAGE = 64
"""Longest side, in pixels, up to which stems and patches made for 224 pixels are made smaller."""
LOADING = frozenset(
    {
        *(
            "pretrained",
            "pretrained_cfg",
            "pretrained_cfg_overlay",
            "pretrained_strict",
            "pretrained_filter_fn",
        ),
        *("pretrained_model_args", "checkpoint_path", "cache_dir"),
    }
)
"""Options by which timm would look for weights, and download them."""
_OF_THE_DATA = {"num_classes": "there are classes", "in_chans": "images have channels"}
_MODEL = re.compile(r"@register_model\s+def (\w+)\(")
_FORMER = re.compile(r"register_model_deprecations\(__name__, \{(.*?)\}\)", re.DOTALL)
_KEY = re.compile(r"['\"]([^'\"]+)['\"]\s*:")
_RESIDUAL = ("resnet", "resnetv2", "res2net", "resnest", "sknet")
"""Modules of timm whose models are of the classes ResNet and ResNetV2."""


def check_options(options: Mapping[str, Any]) -> None:
    """Refuse options that Lethe would have to ignore.

    Raises:
        AuditError: one of them asks for weights, or says what the data say.
    """
    for name in options:
        if name in LOADING:
            raise AuditError(
                f"options.{name}: expected none: timm would look for weights that are no part of the model's identity, "
                'and may download them; weights = "FILE.safetensors" starts from a file'
            )
        if name in _OF_THE_DATA:
            raise AuditError(
                f"options.{name}: expected none: there are as many as {_OF_THE_DATA[name]}; leave it out"
            )


def is_small(stem: Stem, size: tuple[int, int], *, weights: bool) -> bool:
    """Whether a stem, or the patches, are made smaller than timm's.

    Args:
        stem: as configured; auto does so for small images, unless there are weights, which are of timm's.
        size: height, width.
        weights: whether the model starts from some.
    """
    return stem == "small" or (stem == "auto" and not weights and max(size) <= SMALL_IMAGE)


def small_patch(timm_name: str, size: tuple[int, int]) -> int | None:
    """Side of the patches that images of a size are cut into; None: timm's, which are no larger, or unknown."""
    patch = re.search(r"_patch(\d+)", timm_name)
    return max(2, min(size) // 8) if patch and int(patch[1]) > min(size) // 8 else None


def is_residual(timm_name: str) -> bool:
    """Whether a model is of timm's class ResNet or ResNetV2, whose stem can be made smaller."""
    return timm_name.partition(".")[0] in _residual_names()


@functools.cache
def _residual_names() -> frozenset[str]:
    sources = _sources()
    return frozenset(name for module in _RESIDUAL for name in _MODEL.findall(sources.get(module, "")))


@functools.cache
def _sources() -> dict[str, str]:
    """Modules of timm's models by name. Found and read, not imported: timm takes seconds, and the plan has one."""
    spec = importlib.util.find_spec("timm")
    folder = Path((spec.submodule_search_locations or [""])[0]) / "models" if spec else Path()
    return {file.stem: file.read_text(encoding="utf-8") for file in sorted(folder.glob("*.py"))}


def check_name(timm_name: str) -> None:
    """Refuse a name that timm does not have, and a tag of weights that it does not know.

    Raises:
        UnknownName: there is no such model; the message names the nearest.
    """
    (name, dot, _), own = timm_name.partition("."), _own_names()
    if timm_name in own:
        return
    added = _registered() - own
    if name in added:
        return
    tag = re.compile(rf"['\"]({re.escape(name)}\.\w+)['\"]")
    tags = (
        {found for source in _sources().values() for found in tag.findall(source)} if name in own else set()
    )
    if name in own and dot and (timm_name in tags or not tags):  # of some, tags are made as timm is imported
        return
    valid = tags or own | added
    raise UnknownName(
        f"no timm model '{timm_name}'.{nearest(timm_name, valid)} Valid: the names of timm.list_models()"
    )


@functools.cache
def _own_names() -> frozenset[str]:
    """Names of timm's models, those of former days among them."""
    texts = _sources().values()
    former = [name for text in texts for table in _FORMER.findall(text) for name in _KEY.findall(table)]
    return frozenset([name for text in texts for name in _MODEL.findall(text)] + former)


def _registered() -> set[str]:
    """Architectures of plug-ins: whoever registered one has imported timm."""
    if "timm" not in sys.modules:
        return set()
    from timm.models import list_models

    return set(list_models())


def told_of(
    timm_name: str, options: Mapping[str, Any], stem: Stem, size: tuple[int, int], *, weights: bool
) -> tuple[str, ...]:
    """What a plan says of a model that is not as timm has it, or not as its name says."""
    told = []
    if is_small(stem, size, weights=weights):
        patch = small_patch(timm_name, size)
        if is_residual(timm_name):
            told.append(
                "stem: its first convolution is 3x3 with stride 1 and no pooling follows, for small images; "
                'stem = "timm" keeps timm\'s'
            )
        elif patch is not None and "patch_size" not in options:
            told.append(
                f'stem: images are cut into patches of {patch} pixels, for small images; stem = "timm" keeps timm\'s'
            )
    if "." in timm_name and not weights:
        told.append(
            f"timm: '{timm_name.partition('.')[2]}' names published weights, which are not loaded; "
            'weights = "FILE.safetensors" starts from a file'
        )
    return tuple(told)
