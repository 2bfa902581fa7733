"""What a data source gives is what it promised: a plug-in's mistake is a line, and no wrong number."""

from __future__ import annotations

import numpy as np

from tasks.datasets.base import DataSource, Labels
from tasks.errors import AuditError


def check_labels(source: DataSource, labels: Labels) -> None:
    """Refuse labels that do not describe a data set.

    Raises:
        AuditError: a type, a length or a class is wrong.
    """
    name = type(source).__name__
    if not isinstance(labels, Labels):
        raise AuditError(f"{name}.read_labels: expected Labels, got {labels!r:.60}")
    for field, kind in (("labels", np.int64), ("is_test", np.bool_)):
        array = getattr(labels, field)
        if not isinstance(array, np.ndarray) or array.dtype != kind or array.ndim != 1:
            raise AuditError(
                f"{name}.read_labels: {field}: expected an array of {kind.__name__}, {_told(array)}"
            )
    count, classes = len(labels.labels), labels.num_classes
    if len(labels.is_test) != count:
        raise AuditError(f"{name}.read_labels: is_test: expected {count} values, got {len(labels.is_test)}")
    if len(labels.image_shape) != 3:
        raise AuditError(
            f"{name}.read_labels: image_shape: expected channels, height and width, got {labels.image_shape}"
        )
    outside = labels.labels[(labels.labels < 0) | (labels.labels >= classes)]
    if len(outside):
        raise AuditError(
            f"{name}.read_labels: expected labels from 0 to {classes - 1}, as there are {classes} class_names, "
            f"got {outside[0]}"
        )


def checked_images(source: DataSource, labels: Labels) -> np.ndarray:
    """All images of a source (`N x C x H x W`, uint8 or float32 in [0, 1]).

    Raises:
        AuditError: they are of another shape than the labels say, or of another type or range.
    """
    images, name = source.read_images(), type(source).__name__
    expected = (len(labels.labels), *labels.image_shape)
    if not isinstance(images, np.ndarray) or images.shape != expected:
        raise AuditError(f"{name}.read_images: expected an array of shape {expected}, {_told(images)}")
    if images.dtype not in (np.uint8, np.float32):
        raise AuditError(f"{name}.read_images: expected uint8 or float32, {_told(images)}")
    if images.dtype == np.float32 and not 0 <= images.min() <= images.max() <= 1:  # nor is NaN
        raise AuditError(
            f"{name}.read_images: expected float32 in [0, 1], got {images.min()} to {images.max()}"
        )
    return images


def _told(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"got {value.dtype} of shape {value.shape}"
    return f"got {type(value).__name__}"
