"""Who was trained on what, and forgot what: masks of shadow models, and whether they can be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from orchestrator.outputs.description import Given
from orchestrator.outputs.files import Files, Rows, mask_of
from orchestrator.plan.data import DataPlan
from tasks.errors import AuditError


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawn:
    """Models that came of shadow models, each without a part of a forget set."""

    rows: Rows
    forgotten: np.ndarray
    """`models x N`, bool."""
    shadow: np.ndarray
    """`models`, int64: number of the shadow model behind each."""
    draw: np.ndarray
    """`models`, int64: which of the models of that shadow model it is, from 0, in the order of the file."""

    @property
    def places(self) -> list[tuple[int, int]]:
        """Shadow model and draw of each model."""
        return list(zip(self.shadow.tolist(), self.draw.tolist(), strict=True))


def members_of(files: Files, model: Given, rows: Rows, data: DataPlan) -> np.ndarray:
    """What each shadow model was trained on, `models x N`, bool.

    Raises:
        AuditError: it is no such mask, or the models do not differ in the examples that are to be forgotten.
    """
    mask = mask_of(files.rows(model.members, column="member"), shape=(rows.shape[0], rows.shape[1]))
    _refuse_outside(mask, data.splits.train, model.members, "is a member", "a training example")
    if mask[:, data.splits.train].all():
        raise AuditError(
            f"{model.members}: every model was trained on every training example, so that no model is without one; "
            "models that saw all are of role 'original'"
        )
    for name, forget in data.forget_sets.items():
        targets = mask[:, forget.ids]
        if not (targets.any(axis=0) & ~targets.all(axis=0)).any():
            lacking = "without" if targets[:, 0].all() else "with"
            raise AuditError(
                f"{model.members}: expected models trained with and without the examples of forget set '{name}', "
                f"found none {lacking} example {forget.ids[0]}"
            )
    return mask


def drawn_of(files: Files, model: Given, rows: Rows, members: np.ndarray, data: DataPlan) -> Drawn:
    """Models that came of shadow models.

    Args:
        files: reads the masks.
        model: what the description says of them.
        rows: their outputs.
        members: `shadow models x N`, bool.
        data: the examples.

    Raises:
        AuditError: a mask or a number of a shadow model cannot be.
    """
    shadow = _shadow_of(files, model, rows.shape[0], num_shadows=len(members))
    forgotten = mask_of(files.rows(model.forgotten, column="forgotten"), shape=(rows.shape[0], rows.shape[1]))
    forget = data.forget_sets[model.forget_set].ids
    _refuse_outside(forgotten, forget, model.forgotten, "is forgotten", f"of forget set '{model.forget_set}'")
    idle = ~forgotten.any(axis=1)
    if idle.any():
        raise AuditError(
            f"{model.forgotten}: expected something forgotten in each model, got none in {idle.argmax()}"
        )
    for row, number in enumerate(shadow.tolist()):
        untrained = forgotten[row] & ~members[number]
        if untrained.any():
            raise AuditError(
                f"{model.forgotten}: model {row} forgets example {untrained.argmax()}, on which shadow model {number} "
                "was not trained"
            )
    draw = np.zeros(len(shadow), dtype=np.int64)
    for number in np.unique(shadow):
        draw[shadow == number] = np.arange((shadow == number).sum())
    return Drawn(rows=rows, forgotten=forgotten, shadow=shadow, draw=draw)


def check_same_draws(drawn: Mapping[tuple[str, str], Drawn], control: str) -> None:
    """Models of one draw are compared with each other: refuse a method that forgot other examples than the control.

    Args:
        drawn: by method and forget set.
        control: the method that the others are compared with.
    """
    for (method, forget_set), found in drawn.items():
        retrained = drawn.get((control, forget_set), found)
        rows = {place: row for row, place in enumerate(retrained.places)}
        for row, place in enumerate(found.places):
            other = rows.get(place)
            if other is not None and (found.forgotten[row] != retrained.forgotten[other]).any():
                raise AuditError(
                    f"{found.rows.name}: model {row} of '{method}' forgot other examples than model {other} of "
                    f"{retrained.rows.name}, and both are number {place[1]} of shadow model {place[0]}"
                )


def _shadow_of(files: Files, model: Given, count: int, *, num_shadows: int) -> np.ndarray:
    if not model.shadow:
        if count != num_shadows:
            raise AuditError(
                f"shadow: expected a file that says of which of the {num_shadows} shadow models each of these {count} "
                "models came"
            )
        return np.arange(count)
    shadow = files.vector(model.shadow, kinds="iu", what=f"{count} numbers of shadow models").astype(np.int64)
    if len(shadow) != count or shadow.min() < 0 or shadow.max() >= num_shadows:
        raise AuditError(
            f"{model.shadow}: expected {count} numbers from 0 to {num_shadows - 1}, got {len(shadow)} from "
            f"{shadow.min(initial=0)} to {shadow.max(initial=0)}"
        )
    return shadow


def _refuse_outside(mask: np.ndarray, allowed: np.ndarray, where: str, told: str, expected: str) -> None:
    outside = np.setdiff1d(np.flatnonzero(mask.any(axis=0)), allowed)
    if len(outside):
        model = int(mask[:, outside[0]].argmax())
        raise AuditError(f"{where}: example {outside[0]} {told} in model {model}, and is not {expected}")
