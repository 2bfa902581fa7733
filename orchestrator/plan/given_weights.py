"""What the files of finished models hold: each is read once for all that a plan asks of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.config.architectures import Architecture
from orchestrator.config.settings import SweepConfig, digest
from orchestrator.plan.building import outline
from orchestrator.plan.data import DataPlan
from orchestrator.plan.given_files import GivenFile, GivenFiles
from orchestrator.plan.sources import saying
from tasks.datasets.base import Labels
from tasks.errors import AuditError
from tasks.networks.hugging_face_options import HuggingFaceOptions
from tasks.networks.timm_options import is_small

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class ReadFile:
    """What was found in a file that fits."""

    told: tuple[str, ...]
    """What a plan says of it."""
    sketch: str
    """Two that differ in this differ in their weights."""


_READ: dict[tuple[str, str], ReadFile] = {}
"""Of this process, by digest of the file and of all that it was held against."""


def read_files(config: SweepConfig, data: DataPlan, files: GivenFiles) -> dict[str, ReadFile]:
    """What was found in every file, by its digest.

    Raises:
        AuditError: a file cannot be read, does not fit the architecture or the words of the documents, or holds what no
            trained model does.
    """
    (name,) = config.axes.architecture
    table, labels = config.architecture(name), data.labels
    pixels = labels.image_shape, labels.num_classes, config.data.mean, config.data.std
    held_against = digest([table, labels.vocabulary, pixels])
    found: dict[str, ReadFile] = {}
    model: nn.Module | None = None
    for _, listed in files.lists():
        for file in listed:
            key = file.digest, held_against
            with saying(file.key):
                _check_configuration(table, data, file.path)
                if key not in _READ:
                    model = model or outline(config, labels, name)
                    _READ[key] = _read(model, file.path, table, labels)
            found[file.digest] = _READ[key]
    return found


def weights_of(
    config: SweepConfig, data: DataPlan, files: GivenFiles, read: Mapping[str, ReadFile]
) -> dict[str, str]:
    """Digest of the weights in every file, by that of the file; only those that may be alike are read for it again."""
    from tasks.networks.finished import fingerprint, read_finished  # torch: a plan without files does without

    alike: dict[str, dict[str, GivenFile]] = {}
    for _, listed in files.lists():
        for file in listed:
            alike.setdefault(read[file.digest].sketch, {})[file.digest] = file
    found: dict[str, str] = {}
    for sketch, those in alike.items():
        if len(those) == 1:
            found |= dict.fromkeys(those, sketch)
            continue
        model = outline(config, data.labels, config.axes.architecture[0])
        found |= {name: fingerprint(read_finished(model, file.path)[0]) for name, file in those.items()}
    return found


def told_of_lists(files: GivenFiles, read: Mapping[str, ReadFile]) -> Iterator[str]:
    """Every list of files, and what is converted in reading them."""
    for key, listed in files.lists():
        told = dict.fromkeys(line for file in listed for line in read[file.digest].told)
        yield f"{key}: {', '.join(map(_shown, listed))}{''.join(f'; {line}' for line in told)}"


def _read(model: nn.Module, path: Path, table: Architecture, labels: Labels) -> ReadFile:
    from tasks.networks.finished import read_finished, sketch

    try:
        state, told = read_finished(model, path)
    except AuditError as error:
        raise AuditError(f"{error}{_of_stem(table, labels, str(error))}") from None
    return ReadFile(told=told, sketch=sketch(state))


def _check_configuration(table: Architecture, data: DataPlan, path: Path) -> None:
    """Refuse a folder of another architecture, or of other words than the documents are in."""
    if not path.is_dir() or not isinstance(sizes := table.sizes, HuggingFaceOptions):
        return
    sizes.check_alike(path, data.labels.vocabulary)
    HuggingFaceOptions(weights=str(path), options=table.options).check(data.source, data.labels)


def _of_stem(table: Architecture, labels: Labels, message: str) -> str:
    """What may be meant where shapes differ and Lethe has made the stem for small images."""
    if table.objective == "language":
        return ""
    _, height, width = labels.image_shape
    small = table.stem == "auto" and is_small(table.stem, (height, width), weights=bool(table.weights))
    fits = small and "of another shape" in message
    return '; the stem is made for small images here: stem = "timm" keeps timm\'s' if fits else ""


def _shown(file: GivenFile) -> str:
    return f"{file.path} (SHA-256 {file.digest[:12]})"
