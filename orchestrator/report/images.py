"""Pixels or words of single examples, read again from the data set that the run names; nothing is fetched."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.config.plugins import without_code_of
from orchestrator.results.own_queries import ask
from orchestrator.store.json_columns import json_column
from tasks.errors import AuditError

if TYPE_CHECKING:
    from orchestrator.results.connection import Results


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Images of examples as data URIs, or documents, and names of classes; or why there are none."""

    images: dict[int, str]
    documents: dict[int, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    """In pieces: words, and the kind of fact that they state or nothing."""
    groups: dict[int, str] = field(default_factory=dict)
    """Whose documents are; names."""
    class_names: tuple[str, ...] = ()
    why_not: str = ""

    def class_name(self, label: int | None) -> str:
        """The name of a class; its number where names are unknown."""
        if label is not None and 0 <= label < len(self.class_names):
            return self.class_names[label]
        return str(label)


def read_examples(results: Results, ids: Iterable[int], *, asked: bool) -> Examples:
    """Read the images of some examples, if the data set still is what the run saw, and they may be shown.

    A page goes to people who may not see the data: of a person's examples it has the ids alone, unless more is asked
    for. What ships with a package or is made of nothing (`DataSource.embedded`) anybody may see.

    Args:
        results: the results.
        ids: of the examples.
        asked: whether they are to be shown whatever the data set.
    """
    rows = ask(results, "latest_run")
    if not rows:
        return Examples(images={}, why_not="no run is recorded, so the data set is unknown")
    recorded = json_column(rows[0]["config_json"], dict, where="runs.config_json")
    config = recorded.get("data")
    if not isinstance(config, dict) or not isinstance(config.get("name"), str):
        return Examples(images={}, why_not="the run recorded no configuration, so the data set is unknown")
    try:
        with without_code_of("the run", recorded.get("plugins", ())):
            source = _source(config)
        if not (asked or source.origin.embedded):
            return Examples(images={}, why_not="the data are not embedded, and --examples was not given")
        if source.digest() != rows[0]["dataset_digest"]:
            return Examples(images={}, why_not="the data set on this machine is not the one that was audited")
        labels = source.read_labels()
        if labels.vocabulary:
            inside = [i for i in ids if 0 <= i < len(labels.labels)]
            return Examples(
                images={},
                documents={i: beginning(source.pieces(i)) for i in inside},
                groups={}
                if labels.groups is None
                else {i: labels.group_names[labels.groups[i]] for i in inside},
            )
        pixels = source.read_images()
    except (AuditError, OSError) as error:
        return Examples(images={}, why_not=f"the data set cannot be read here: {error}")
    images = {i: data_uri(pixels[i]) for i in ids if 0 <= i < len(pixels)}
    return Examples(images=images, class_names=tuple(labels.class_names))


def _source(config: dict[str, Any]) -> Any:
    from tasks.datasets.base import datasets
    from tasks.datasets.limited import limited
    from tasks.registry import parse_text

    name, inline = parse_text(config["name"], where="data.name")
    source = datasets.build(name, {**config.get("options", {}), **inline}, where="data.options")
    limit, seed = config.get("limit", 0), config.get("split_seed", 0)
    return limited(source, source.read_labels(), limit, seed)[0] if limit else source


MOST_CHARACTERS = 600
"""Of a document that are shown."""
WIDEST = 64
"""Pixels of an image that is shown as it is."""


def beginning(pieces: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """A document in pieces, the beginning of a long one."""
    kept: list[tuple[str, str]] = []
    room = MOST_CHARACTERS
    for words, kind in pieces:
        kept.append((words[:room] + (" ..." if len(words) > room else ""), kind))
        room -= len(words)
        if room < 0:
            break
    return tuple(kept)


def data_uri(image: np.ndarray) -> str:
    """A `C x H x W` image, uint8 or float32 in [0, 1], as a data URI: its pixels, or of a large one a small picture."""
    from PIL import Image

    pixels = image if image.dtype == np.uint8 else np.clip(image * 255.0, 0, 255).astype(np.uint8)
    picture = Image.fromarray(pixels[0] if len(pixels) == 1 else np.moveaxis(pixels[:3], 0, 2))
    sink = io.BytesIO()
    if max(picture.size) <= WIDEST:
        picture.save(sink, format="PNG", optimize=True)
        return "data:image/png;base64," + base64.b64encode(sink.getvalue()).decode()
    picture.thumbnail((WIDEST, WIDEST))
    picture.save(sink, format="JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(sink.getvalue()).decode()
