"""What a data source gives is what it promised: a plug-in's mistake is a line, and no wrong number."""

from __future__ import annotations

import numpy as np

from tasks.datasets.base import DataSource, Labels
from tasks.datasets.spread import LOOKED_AT, spread
from tasks.errors import AuditError
from tasks.text.documents import MOST_WORDS, Documents, check_documents, hash_documents

SMALL = 1 << 26
"""Values of all images up to which a plan reads every one: a tenth of a second."""


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
    _check_words(name, labels)
    count, classes = len(labels.labels), labels.num_classes
    if len(labels.is_test) != count:
        raise AuditError(f"{name}.read_labels: is_test: expected {count} values, got {len(labels.is_test)}")
    if labels.vocabulary:
        _check_text(name, labels)
    elif len(labels.image_shape) != 3 or not all(_is_size(side) for side in labels.image_shape):
        raise AuditError(
            f"{name}.read_labels: image_shape: expected channels, height and width, got {labels.image_shape!r:.60}"
        )
    _check_groups(name, labels)
    outside = labels.labels[(labels.labels < 0) | (labels.labels >= classes)]
    if len(outside):
        raise AuditError(
            f"{name}.read_labels: expected labels from 0 to {classes - 1}, as there are {classes} class_names, "
            f"got {outside[0]}"
        )


def _check_words(name: str, labels: Labels) -> None:
    """Refuse names that are no text: they are shown, recorded and looked up."""
    for field in ("class_names", "coarse_names", "fine_names", "group_names", "notes"):
        words = getattr(labels, field)
        if not isinstance(words, (tuple, list)) or not all(isinstance(word, str) for word in words):
            raise AuditError(f"{name}.read_labels: {field}: expected a tuple of text, got {words!r:.60}")


def _is_size(side: object) -> bool:
    return isinstance(side, (int, np.integer)) and not isinstance(side, bool) and int(side) >= 1


def checked_names(source: DataSource, labels: Labels) -> tuple[str, ...]:
    """What people call each example, or nothing.

    Raises:
        AuditError: there are more or fewer names than examples, or one is no text.
    """
    names = source.names()
    if not isinstance(names, (tuple, list)) or not all(isinstance(name, str) for name in names):
        raise AuditError(f"{type(source).__name__}.names: expected a tuple of text, got {names!r:.60}")
    if names and len(names) != len(labels.labels):
        raise AuditError(
            f"{type(source).__name__}.names: expected {len(labels.labels)} names, got {len(names)}"
        )
    return tuple(names)


def _check_text(name: str, labels: Labels) -> None:
    if not 2 <= labels.vocabulary <= MOST_WORDS:
        raise AuditError(
            f"{name}.read_labels: vocabulary: expected 2 to {MOST_WORDS} words, got {labels.vocabulary}"
        )
    if labels.longest < 2:
        raise AuditError(f"{name}.read_labels: longest: expected 2 tokens or more, got {labels.longest}")
    if labels.image_shape:
        raise AuditError(f"{name}.read_labels: expected image_shape or vocabulary, got both")
    if labels.num_classes != 1:
        raise AuditError(
            f"{name}.read_labels: class_names: expected one, as documents have no classes, got {labels.num_classes}"
        )


def _check_groups(name: str, labels: Labels) -> None:
    groups = labels.groups
    if groups is None:
        return
    if not isinstance(groups, np.ndarray) or groups.dtype != np.int64 or groups.shape != labels.labels.shape:
        raise AuditError(
            f"{name}.read_labels: groups: expected int64 of shape {labels.labels.shape}, {_told(groups)}"
        )
    if len(groups) and not 0 <= groups.min() <= groups.max() < len(labels.group_names):
        raise AuditError(
            f"{name}.read_labels: groups: expected numbers from 0 to {len(labels.group_names) - 1}, as there are "
            f"{len(labels.group_names)} group_names, got {groups.min()} to {groups.max()}"
        )


def checked_inputs(source: DataSource, labels: Labels) -> np.ndarray | Documents:
    """What models see of all examples: images, or documents.

    Raises:
        AuditError: as of `checked_images`; or they are no documents that a model can learn from.
    """
    if not labels.vocabulary:
        return checked_images(source, labels)
    where = f"{type(source).__name__}.read_inputs"
    documents = check_documents(
        source.read_inputs(), vocabulary=labels.vocabulary, where=where, fills=labels.fills
    )
    if len(documents) != len(labels.labels):
        raise AuditError(f"{where}: expected {len(labels.labels)} documents, got {len(documents)}")
    return _not_longer(documents, labels, where)


def checked_public(source: DataSource, labels: Labels) -> Documents:
    """The public part, which a base is trained on.

    Raises:
        AuditError: there is none, or its documents are none that a model can learn from.
    """
    where, found = f"{type(source).__name__}.read_public", source.read_public()
    if found is None or not len(found):
        raise AuditError(f"{where}: expected documents to train a base on, got none; leave [pretraining] out")
    documents = check_documents(found, vocabulary=labels.vocabulary, where=where, fills=labels.fills)
    return _not_longer(documents, labels, where)


def check_apart(source: DataSource) -> None:
    """Refuse a public part with an audited document in it: a base that has seen it never forgets it.

    Raises:
        AuditError: there is one.
    """
    public, hashes = source.read_public(), source.content_hashes()
    if public is None or hashes is None:
        return
    audited = {row.tobytes(): example for example, row in enumerate(hashes)}
    for place, row in enumerate(hash_documents(public)):
        if row.tobytes() in audited:
            raise AuditError(
                f"{type(source).__name__}.read_public: document {place} is also example {audited[row.tobytes()]}; "
                "expected a public part without audited documents"
            )


def _not_longer(documents: Documents, labels: Labels, where: str) -> Documents:
    if documents.longest > labels.longest:
        raise AuditError(
            f"{where}: document {int(documents.lengths.argmax())}: expected at most longest = {labels.longest} tokens, "
            f"got {documents.longest}"
        )
    return documents


def checked_images(source: DataSource, labels: Labels) -> np.ndarray:
    """All images of a source (`N x C x H x W`, uint8 or float32 in [0, 1]).

    Raises:
        AuditError: they are of another shape than the labels say, or of another type or range.
    """
    expected = (len(labels.labels), *labels.image_shape)
    return _check_images(source.read_images(), expected, f"{type(source).__name__}.read_images")


def check_some_images(source: DataSource, labels: Labels) -> None:
    """Look at images while planning: at all of a small data set, at a few where a source can read a few.

    What fails with these fails in every cell.

    Raises:
        AuditError: as of `checked_images`; or a plug-in raises.
    """
    try:
        if type(source).read_some is not DataSource.read_some:
            rows = spread(len(labels.labels), LOOKED_AT)
            where = f"{type(source).__name__}.read_some"
            _check_images(source.read_some(np.array(rows)), (len(rows), *labels.image_shape), where)
        elif labels.example_bytes <= SMALL:
            checked_images(source, labels)
    except AuditError:
        raise
    except Exception as error:  # of a plug-in, which may raise anything
        told = " ".join(f"{type(error).__name__}: {error}".split())
        raise AuditError(f"{type(source).__name__}: the images cannot be read: {told:.300}") from None


def _check_images(images: object, expected: tuple[int, ...], where: str) -> np.ndarray:
    if not isinstance(images, np.ndarray) or images.shape != expected:
        raise AuditError(f"{where}: expected an array of shape {expected}, {_told(images)}")
    if images.dtype not in (np.uint8, np.float32):
        raise AuditError(f"{where}: expected uint8 or float32, {_told(images)}")
    if images.dtype == np.float32 and not 0 <= images.min() <= images.max() <= 1:  # nor is NaN
        raise AuditError(f"{where}: expected float32 in [0, 1], got {images.min()} to {images.max()}")
    return images


def _told(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"got {value.dtype} of shape {value.shape}"
    return f"got {type(value).__name__}"
