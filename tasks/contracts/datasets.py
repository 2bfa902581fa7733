"""What every data set must hold to: plans read its labels alone, and every process reads the same examples."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from tasks.contracts.described import fields_are_described
from tasks.contracts.small import global_random_state
from tasks.datasets.base import DataSource
from tasks.datasets.checks import check_labels, checked_inputs, checked_public
from tasks.datasets.contents import hash_images
from tasks.text.documents import Documents, hash_documents


def dataset_is_described(source: DataSource) -> None:
    """A frozen dataclass, every field with a doc string, that reaches another process as it is."""
    fields_are_described(source)
    assert copy.deepcopy(source) == source, f"{type(source).__name__}: another process would get another"


def digest_names_the_content(source: DataSource) -> None:
    """Text that is not empty, equal for an equal data set; of its public part too."""
    again = dataclasses.replace(source)  # type: ignore[type-var]
    for name in ("digest", "public_digest"):
        first, second = getattr(source, name)(), getattr(again, name)()
        assert isinstance(first, str), f"{type(source).__name__}.{name}: expected text, got {first!r:.60}"
        assert first == second, f"{type(source).__name__}.{name}: two equal data sets have two digests"
    assert source.digest(), f"{type(source).__name__}.digest: expected text, got none"
    assert bool(source.public_digest()) == (source.read_public() is not None), (
        f"{type(source).__name__}: expected public_digest exactly where read_public gives documents"
    )


def labels_hold(source: DataSource) -> None:
    """Labels describe every example, names are distinct, and parts name examples."""
    labels, name = source.read_labels(), f"{type(source).__name__}.read_labels"
    check_labels(source, labels)
    assert len(labels.labels), f"{name}: expected examples, got none"
    for field in ("class_names", "coarse_names", "fine_names", "group_names"):
        names = getattr(labels, field)
        assert len(set(names)) == len(names), f"{name}: {field}: expected distinct names"
    for part, ids in labels.parts.items():
        assert np.isin(ids, np.arange(len(labels.labels))).all(), f"{name}: part '{part}': unknown examples"


def inputs_hold(source: DataSource) -> None:
    """Images or documents are as many, as large and as long as the labels say; of the public part too."""
    labels = source.read_labels()
    checked_inputs(source, labels)
    if source.public_digest():
        checked_public(source, labels)


def reading_repeats_itself(source: DataSource) -> None:
    """Two readings agree to the last bit, and so do content hashes with what was read."""
    again = dataclasses.replace(source)  # type: ignore[type-var]
    name = type(source).__name__
    first, second = (_arrays(one.read_labels()) for one in (source, again))
    assert first == second, f"{name}.read_labels: two readings differ"
    inputs = source.read_inputs()
    assert _bits(inputs) == _bits(again.read_inputs()), f"{name}: two readings of the examples differ"
    hashes = source.content_hashes()
    if hashes is not None:
        own = hash_documents(inputs) if isinstance(inputs, Documents) else hash_images(inputs)
        assert np.array_equal(hashes, own), f"{name}.content_hashes: expected those of the examples"


def reading_leaves_no_trace(source: DataSource) -> None:
    """The global random state is as it was."""
    before = global_random_state()
    source.read_labels()
    source.read_inputs()
    assert global_random_state() == before, f"{type(source).__name__}: touched the global random state"


def _arrays(labels: Any) -> dict[str, Any]:
    """Fields with arrays as bytes, so that they can be compared."""
    return {f.name: _bytes(getattr(labels, f.name)) for f in dataclasses.fields(labels)}


def _bytes(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _bytes(entry) for key, entry in value.items()}
    return (value.dtype.str, value.shape, value.tobytes()) if isinstance(value, np.ndarray) else value


def _bits(inputs: np.ndarray | Documents) -> tuple[Any, ...]:
    parts = (inputs.tokens, inputs.lengths, inputs.asked) if isinstance(inputs, Documents) else (inputs,)
    return tuple(_bytes(np.asarray(part)) for part in parts)


DATASET_CONTRACTS: tuple[Callable[[DataSource], None], ...] = (
    dataset_is_described,
    digest_names_the_content,
    labels_hold,
    inputs_hold,
    reading_repeats_itself,
    reading_leaves_no_trace,
)


def check_dataset(source: DataSource) -> None:
    """Run every contract of data sets.

    Args:
        source: a data set that is read within seconds: every example is, several times.

    Raises:
        AssertionError: a contract is broken.
        AuditError: labels or examples are not what they should be; the message says how.
    """
    for contract in DATASET_CONTRACTS:
        contract(source)
