"""What is checked of outputs before any work, and the statistics that come of them, a model at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orchestrator.outputs.description import Kind
from orchestrator.outputs.files import Rows
from tasks.errors import AuditError

MANY = 20
"""Values from which on one can tell probabilities by their range."""


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """What one model showed of every example."""

    phi: np.ndarray
    """`N`, float64: log(p / (1 - p)), p the probability of the true label."""
    loss: np.ndarray
    """`N`, float64: -log p."""
    correct: np.ndarray | None
    """`N`, bool; None where the kind does not tell."""


def statistics(kind: Kind, values: np.ndarray, labels: np.ndarray) -> Statistics:
    """Statistics of one model.

    Args:
        kind: of the values.
        values: `N`, or `N x K` of logits.
        labels: `N`, int64.
    """
    if kind == "logits":
        from tasks.training.scoring import Outputs

        found = Outputs.of_logits(
            ids=np.arange(len(labels)), labels=np.array(labels), logits=np.array(values)
        )
        return Statistics(phi=found.phi, loss=found.loss, correct=found.correct)
    wide = values.astype(np.float64)
    if kind == "margins":
        return Statistics(phi=wide, loss=np.logaddexp(0.0, -wide), correct=None)
    return Statistics(phi=wide - np.log(-np.expm1(wide)), loss=-wide, correct=None)


def check_shape(kind: Kind, rows: Rows) -> None:
    """Refuse arrays that are not of the kind by their header alone.

    Raises:
        AuditError: they have other axes, or hold no floating-point numbers.
    """
    wanted = 3 if kind == "logits" else 2
    if len(rows.shape) != wanted:
        told = "models x examples x classes" if kind == "logits" else "models x examples"
        raise AuditError(f"{rows.name}: {kind}: expected {told}, got shape {rows.shape}")
    if rows.dtype.kind != "f":
        raise AuditError(f"{rows.name}: {kind}: expected floating-point numbers, got {rows.dtype}")
    if kind == "logits" and rows.shape[2] < 2:
        raise AuditError(f"{rows.name}: logits: expected two classes or more, got {rows.shape[2]}")
    if 0 in rows.shape:
        raise AuditError(f"{rows.name}: expected at least one model and one example, got shape {rows.shape}")


def check_values(kind: Kind, rows: Rows) -> None:
    """Read every number once.

    Raises:
        AuditError: a number is not finite or cannot be of the kind; the first such model and example are named.
    """
    probable = rows.shape[1] >= MANY
    for model in range(rows.shape[0]):
        row = rows.row(model)
        _refuse(rows, model, row, ~np.isfinite(row), "a finite number")
        if kind == "log_likelihoods":
            _refuse(
                rows, model, row, row >= 0, "a log-likelihood below 0 (of what rounds to 0 only margins tell)"
            )
        probable = probable and _are_probabilities(kind, row)
    if probable:
        remedy = "log_likelihoods of np.log(p)" if kind == "margins" else "np.log(p), which are logits"
        raise AuditError(
            f"{rows.name}: {kind}: expected {kind}, got what looks like probabilities; give {remedy}"
        )


def _are_probabilities(kind: Kind, row: np.ndarray) -> bool:
    if row.min() < 0 or row.max() > 1 or kind == "log_likelihoods":
        return False
    return kind == "margins" or bool(np.allclose(row.sum(axis=1), 1, atol=1e-3))


def _refuse(rows: Rows, model: int, row: np.ndarray, wrong: np.ndarray, expected: str) -> None:
    if wrong.any():
        place = np.unravel_index(int(wrong.argmax()), wrong.shape)
        raise AuditError(
            f"{rows.name}: model {model}, example {place[0]}: expected {expected}, got {row[place]} "
            f"({int(wrong.sum())} such values of this model)"
        )
