"""Training examples planted to be memorised: with a wrong label, or with an image from elsewhere. NumPy only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from tasks.datasets.base import DataSource, Labels
from tasks.errors import AuditError
from tasks.runtime.seeding import numpy_generator

CanaryKind = Literal["mislabelled", "out_of_distribution"]
Inclusion = Literal["balanced", "independent"]

KNOTS = 4
"""Random values along each side of a colour field."""


class CanaryImages(Protocol):
    """Where the images of out-of-distribution canaries come from; read only where models are trained."""

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Everything that the pixels depend on, ready for JSON; part of the identity of shadow models."""
        ...

    @property
    def image_ids(self) -> np.ndarray:
        """Which image of its source each canary shows, int64."""
        ...

    def read(self) -> np.ndarray:
        """One image for each canary, `m x C x H x W`, uint8 (0..255) or float32 in [0, 1]."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Canaries:
    """Training examples planted to be memorised, each in the place of a training example of the universe."""

    ids: np.ndarray
    """Sorted training ids, int64; part of the universe. The examples that they replace are in no model."""
    labels: np.ndarray
    """The label that each is trained with."""
    kind: CanaryKind = "mislabelled"
    images: CanaryImages | None = None
    """What out-of-distribution canaries look like; None keeps the images of their places."""
    inclusion: Inclusion = "balanced"
    """balanced: stratified like every example, rows stay equal; independent: a fair coin per canary and
    pair, which the one-run audit assumes and which lets row sizes vary."""

    def __post_init__(self) -> None:
        if (self.kind == "out_of_distribution") != (self.images is not None):
            raise AuditError(
                f"canaries: expected images with kind out_of_distribution alone, got '{self.kind}'"
            )
        images = len(self.ids) if self.images is None else len(self.images.image_ids)
        if not len(self.ids) == len(self.labels) == images:
            counts = f"{len(self.labels)} labels and {images} images for {len(self.ids)}"
            raise AuditError(f"canaries: expected one label and image for each, got {counts}")

    @property
    def provenance(self) -> dict[str, Any]:
        """Kind and origin of the images, as results record them."""
        origin = {} if self.images is None else dict(self.images.provenance)
        return {"kind": "canaries", "canary_kind": self.kind, "inclusion": self.inclusion, **origin}

    @property
    def digest(self) -> str:
        """SHA-256 of kind, places, labels and origin of the images."""
        sha = hashlib.sha256(json.dumps(self.provenance, sort_keys=True).encode())
        for array in (self.ids, self.labels):
            sha.update(np.asarray(array).astype("<i8").tobytes())
        return sha.hexdigest()


def mislabelled_canaries(
    train_ids: np.ndarray,
    labels: np.ndarray,
    *,
    count: int,
    num_classes: int,
    seed: int,
    exclude: np.ndarray | None = None,
    inclusion: Inclusion = "balanced",
) -> Canaries:
    """Choose training examples at random and give each a wrong label, uniform over the other classes.

    Args:
        train_ids: the universe, int64.
        labels: true labels of `train_ids`.
        count: number of canaries.
        num_classes: number of classes.
        seed: of the choice and of the labels.
        exclude: ids that must keep their label (target pools).
        inclusion: see `Canaries.inclusion`.

    Raises:
        AuditError: fewer than `count` examples may be chosen, or there is one class only.
    """
    generator = numpy_generator("canaries", seed)
    rows = _places(train_ids, count, num_classes, exclude, generator)
    shift = generator.integers(1, num_classes, count)
    return Canaries(
        ids=train_ids[rows],
        labels=(labels[rows] + shift) % num_classes,
        kind="mislabelled",
        inclusion=inclusion,
    )


def out_of_distribution_canaries(
    train_ids: np.ndarray,
    *,
    images: CanaryImages,
    num_classes: int,
    seed: int,
    exclude: np.ndarray | None = None,
    inclusion: Inclusion = "balanced",
) -> Canaries:
    """Choose training examples at random and put a foreign image with a random label in the place of each.

    Labels are uniform over the classes: no image belongs to any, so a model can know a label only by
    memorising its canary (Aerni et al. 2024, arXiv:2404.17399, whose canaries replace examples too).

    Args:
        train_ids: the universe, int64.
        images: one image for each canary, in the order of the chosen ids.
        num_classes: number of classes.
        seed: of the choice and of the labels.
        exclude: ids that must stay as they are (target pools).
        inclusion: see `Canaries.inclusion`.

    Raises:
        AuditError: fewer examples than images may be chosen, or there is one class only.
    """
    generator = numpy_generator("canaries", "out_of_distribution", seed)
    count = len(images.image_ids)
    rows = _places(train_ids, count, num_classes, exclude, generator)
    return Canaries(
        ids=train_ids[rows],
        labels=generator.integers(0, num_classes, count),
        kind="out_of_distribution",
        images=images,
        inclusion=inclusion,
    )


def _places(
    train_ids: np.ndarray,
    count: int,
    num_classes: int,
    exclude: np.ndarray | None,
    generator: np.random.Generator,
) -> np.ndarray:
    """Sorted rows of the universe that canaries take."""
    allowed = np.flatnonzero(~np.isin(train_ids, [] if exclude is None else exclude))
    if count > len(allowed) or num_classes < 2:
        raise AuditError(
            f"canaries: expected at most {len(allowed)} and two classes, got {count}, {num_classes}"
        )
    return np.sort(generator.choice(allowed, count, replace=False))


# -- images from elsewhere -----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ColourFields:
    """Generated images that have nothing to do with any data set: smooth random colour fields.

    Every channel has values uniform over 0..255 at 4 x 4 knots, bilinear between them. Aerni et al. 2024 plant
    blank images in random colours, and photographs of another data set; this is the former with enough
    freedom (16 numbers a channel) that no two of a thousand are alike on grey images either. Low frequencies,
    unlike white noise, survive the shifts and crops of training: the model meets one image, not a new one in
    each epoch.

    What it is not: a natural image, a near neighbour of a class, or the worst case that an adversary could
    craft for a method. It is easy to tell from the data and easy to memorise, so an epsilon over such canaries
    speaks of outliers, not of typical examples. For images that share the statistics of photographs, take
    another data set (`BorrowedImages`).
    """

    count: int
    shape: tuple[int, ...]
    """Channels, height, width."""
    seed: int

    @property
    def provenance(self) -> dict[str, Any]:
        """Parameters; `version` is raised with any change of a pixel."""
        return {
            "images": "colour_fields",
            "version": 1,
            "count": self.count,
            "shape": list(self.shape),
            "seed": self.seed,
        }

    @property
    def image_ids(self) -> np.ndarray:
        """Number of each generated image."""
        return np.arange(self.count)

    def read(self) -> np.ndarray:
        """`m x C x H x W`, uint8; in integers, so that no two machines round differently."""
        channels, height, width = self.shape
        generator = numpy_generator("colour fields", self.seed)
        knots = generator.integers(0, 256, (self.count, channels, KNOTS, KNOTS))
        down, across = _bilinear(height), _bilinear(width)
        scale = int(down[0].sum() * across[0].sum())
        values = down @ knots @ across.T
        return ((2 * values + scale) // (2 * scale)).astype(np.uint8)


def _bilinear(size: int) -> np.ndarray:
    """`size x KNOTS`, int64: weights of the knots at each pixel, every row with the same sum."""
    steps = max(size - 1, 1)
    place = np.arange(size) * (KNOTS - 1)
    left = np.minimum(place // steps, KNOTS - 2)
    weights = np.zeros((size, KNOTS), dtype=np.int64)
    rows = np.arange(size)
    weights[rows, left + 1] = place - left * steps
    weights[rows, left] = steps - weights[rows, left + 1]
    return weights


@dataclass(frozen=True, kw_only=True, eq=False)
class BorrowedImages:
    """Images of another data set, in the channels and the size of the audited one."""

    source: DataSource
    name: str
    """Name of the data set, for the record."""
    source_digest: str
    seed: int
    image_ids: np.ndarray
    shape: tuple[int, ...]
    """Channels, height, width of the audited data set."""

    @property
    def provenance(self) -> dict[str, Any]:
        """The data set and the seed, which determine the choice; `version` is raised with any change of a pixel."""
        return {
            "images": self.name,
            "version": 1,
            "images_digest": self.source_digest,
            "count": len(self.image_ids),
            "shape": list(self.shape),
            "seed": self.seed,
        }

    def read(self) -> np.ndarray:
        """`m x C x H x W`, uint8 or float32, as the data set gives them."""
        return fitted(self.source.read_images()[self.image_ids], self.shape)


def borrow(
    source: DataSource,
    labels: Labels,
    *,
    name: str,
    source_digest: str,
    count: int,
    shape: tuple[int, ...],
    seed: int,
) -> BorrowedImages:
    """Choose images of a data set at random, each at most once, from all of its parts.

    Args:
        source: the data set; its images are read when they are needed.
        labels: its number of examples and shape.
        name: its name, for the record.
        source_digest: of its content.
        count: number of images.
        shape: channels, height and width that they shall have.
        seed: of the choice.

    Raises:
        AuditError: it has too few images, or its channels cannot become those asked for.
    """
    total = len(labels.labels)
    if total < count:
        raise AuditError(f"expected at least {count} images, one for each canary; '{name}' has {total}")
    channels = labels.image_shape[0]
    if channels not in (1, shape[0]) and (channels, shape[0]) != (3, 1):
        raise AuditError(f"cannot turn images of {channels} channels ('{name}') into images of {shape[0]}")
    chosen = numpy_generator("borrowed images", seed).choice(total, count, replace=False)
    return BorrowedImages(
        source=source, name=name, source_digest=source_digest, seed=seed, image_ids=chosen, shape=shape
    )


def fitted(images: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Images in other channels and another size: grey is repeated, colour becomes its luma (ITU-R BT.601).

    The largest centred part with the new sides' ratio is resized (bilinear, antialiased); nothing is stretched.

    Args:
        images: `m x C x H x W`, uint8 or float32.
        shape: channels, height and width of the result; from 1 channel to any, or from 3 to 1.

    Returns:
        Images of the same type; the very values where the shape is the same.
    """
    kind, (channels, height, width) = images.dtype, shape
    if images.shape[1:] == shape:
        return images
    pixels = images.astype(np.float32)
    if (pixels.shape[1], channels) == (3, 1):
        weights = np.array([0.299, 0.587, 0.114], dtype=np.float32)
        pixels = (pixels * weights[:, None, None]).sum(axis=1, keepdims=True)
    if pixels.shape[2:] != (height, width):
        planes = [_resized(plane, height, width) for image in pixels for plane in image]
        pixels = np.stack(planes).reshape(*pixels.shape[:2], height, width)
    pixels = np.broadcast_to(pixels, (len(pixels), *shape))
    return np.rint(pixels).astype(kind) if kind == np.uint8 else pixels.astype(kind)


def _resized(plane: np.ndarray, height: int, width: int) -> np.ndarray:
    from PIL import Image

    rows, columns = plane.shape
    scale = min(rows / height, columns / width)
    top, left = (rows - scale * height) / 2, (columns - scale * width) / 2
    box = (left, top, min(columns, left + scale * width), min(rows, top + scale * height))
    image = Image.fromarray(plane).resize((width, height), Image.Resampling.BILINEAR, box=box)
    return np.asarray(image)


def as_type(images: np.ndarray, kind: np.dtype[Any]) -> np.ndarray:
    """The same pictures as uint8 (0..255) or as floats in [0, 1].

    Args:
        images: uint8 or floating, `m x C x H x W`.
        kind: the type of the result.
    """
    if images.dtype == kind:
        return images
    if kind == np.uint8:
        return np.rint(images * 255).clip(0, 255).astype(np.uint8)
    return images.astype(kind) / (255 if images.dtype == np.uint8 else 1)
