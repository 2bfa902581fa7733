"""The best values of the table of a paper, by the direction that each metric declares."""

from __future__ import annotations

from orchestrator.results.aligned import without_dust
from orchestrator.results.paper.columns import Key
from orchestrator.results.paper.table import PaperTable, Row


def best(table: PaperTable) -> set[tuple[int, Key]]:
    """Row and column of the best unlearned model of each place, and of those that read the same.

    Controls do not compete, nor does a model without a rival. Closest to the retrained model is what has the least
    mean over seeds of |value - retrained|, so that differences of opposite sign do not cancel.
    """
    found = set()
    for key in table.columns:
        losses: dict[tuple[str, ...], list[tuple[float, int]]] = {}
        for index, row in enumerate(table.rows):
            value = table.values.get((index, key))
            loss = None if value is None else _loss(value)
            if row["role"] == "audited" and loss is not None:
                losses.setdefault(table.place(row), []).append((loss, index))
        for rivals in losses.values():
            least = min(loss for loss, _ in rivals)
            found |= {(index, key) for loss, index in rivals if loss == least and len(rivals) > 1}
    return found


def _loss(value: Row) -> float | None:
    """How far a value is from what its direction asks for, to the digits that are shown; None where nothing tells."""
    mean, wish = value["mean"], value["higher_is"]
    asked = {"better": mean and -mean, "worse": mean, "closer_to_retrained": value["distance"]}.get(wish)
    if asked is None or asked != asked:
        return None
    return _as_shown(asked)


def _as_shown(value: float) -> float:
    """Rounded as forms show it."""
    value = without_dust(value)
    return round(value, 3) if 1e-3 <= abs(value) < 1e5 else float(f"{value:.2e}")
