"""What unlearning does to which class: answers of a model beside those of the retrained one, class by class."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow.compute as pc

from orchestrator.report.facts.board import Board
from orchestrator.results.charts.answers import Answers, Row
from orchestrator.results.evidence import Place

QUERY = "class_confusion"
MOST_CLASSES = 20
"""Classes of a matrix; of more those whose answers change most."""
MOST_CELLS = 6_000
"""Cells that hold an answer, of all matrices of a page together."""
SPLITS = {"forget": "forgotten examples", "test": "test examples"}
PERMILLE = 1000


@dataclass(frozen=True, kw_only=True)
class Answered:
    """A cell of a matrix, shares in thousandths of the examples of the class."""

    row: int
    column: int
    """Of the matrix; the number of its classes where it is a class that the matrix leaves out."""
    share: int
    retrained: int


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """The answers of a model on a split; rows are true classes, columns the classes that it answers."""

    place: int
    label: str
    """Of the model."""
    split: str
    """In words."""
    seeds: int
    classes: tuple[int, ...]
    """Those that are shown, in order."""
    left_out: int
    """Classes that are not, for these change more."""
    examples: tuple[int, ...]
    """Of each class that is shown."""
    cells: tuple[Answered, ...]
    """Those in which the model or the retrained one has an answer."""

    @property
    def lines(self) -> list[list[tuple[int, int]]]:
        """Of each class that is shown: the shares of the model and of the retrained one, by column."""
        held = {(cell.row, cell.column): (cell.share, cell.retrained) for cell in self.cells}
        size = len(self.classes)
        return [[held.get((row, column), (0, 0)) for column in range(size + 1)] for row in range(size)]

    @property
    def others(self) -> bool:
        """Whether answers fall into classes that are left out."""
        return any(cell.column == len(self.classes) for cell in self.cells)


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """The matrices of a page."""

    matrices: tuple[Matrix, ...]
    """By place; of each the forgotten examples first, and the model that is farthest from retraining first."""
    left_out: int
    """For which there is no room."""
    names: Mapping[int, str]
    """Of classes."""


def confusion(
    answers: Answers, places: Sequence[Place], boards: Sequence[Board], names: Sequence[str]
) -> Confusion:
    """As many matrices as a page has room for: of each place and split the farthest model first, then the others.

    Args:
        answers: of the results.
        places: in order.
        boards: their leaderboards.
        names: of classes by number, where they are known and may be shown.
    """
    groups = _answered(answers, places)
    stands = {key: _rank(answers, rows[0], boards[key[0]], key[1]) for key, rows in groups.items()}
    ordered = sorted(groups, key=lambda key: (stands[key], tuple(SPLITS).index(key[2]), key[0]))
    room, kept = MOST_CELLS, []
    for key in ordered:
        if len(groups[key]) <= room:
            kept.append(key)
            room -= len(groups[key])
    found = [_matrix(key, groups[key]) for key in sorted(kept, key=lambda k: (k[0], ordered.index(k)))]
    shown = {label for matrix in found for label in matrix.classes}
    return Confusion(
        matrices=tuple(found),
        left_out=len(groups) - len(found),
        names={label: names[label] if 0 <= label < len(names) else str(label) for label in sorted(shown)},
    )


Key = tuple[int, str, str]
"""Place, model and split."""


def _answered(answers: Answers, places: Sequence[Place]) -> dict[Key, list[Row]]:
    """The rows of the query of audited models and doing nothing."""
    numbers = {(p.dataset, p.architecture, p.forget_set): i for i, p in enumerate(places)}
    table = answers.results.query(QUERY)
    table = table.filter(pc.is_in(table["split"], value_set=pc.cast([*SPLITS], "string")))
    table = table.filter(pc.is_in(table["role"], value_set=pc.cast(["audited", "ceiling"], "string")))
    groups: dict[Key, list[Row]] = defaultdict(list)
    for row in table.to_pylist():
        number = numbers.get((row["dataset"], row["architecture"], row["forget_set"]))
        if number is not None:
            groups[number, answers.label(row), row["split"]].append(row)
    return groups


def _rank(answers: Answers, row: Row, board: Board, label: str) -> int:
    """How many models of the place stay farther from retraining than that of a row, by its name there, which may not be
    the label of the row; controls come last."""
    names = [one.label for one in reversed(board.audited)]
    name = answers.judged_name(row, label)
    return names.index(name) if name in names else len(names)


def _matrix(key: Key, rows: Sequence[Row]) -> Matrix:
    number, label, split = key
    classes, left_out = _shown(rows)
    at = {label: i for i, label in enumerate(classes)}
    sizes = {row["label"]: row["examples"] for row in rows}
    return Matrix(
        place=number,
        label=label,
        split=SPLITS[split],
        seeds=max(row["seeds"] for row in rows),
        classes=classes,
        left_out=left_out,
        examples=tuple(sizes.get(label, 0) for label in classes),
        cells=tuple(_cells(rows, at)),
    )


def _shown(rows: Sequence[Row]) -> tuple[tuple[int, ...], int]:
    """The classes of a matrix, and how many are left out: those whose examples are answered as before, or too few."""
    changes: dict[int, float] = defaultdict(float)
    for row in rows:
        for label in (row["label"], row["predicted"]):
            changes[label] += abs(row["difference"])
    most = sorted(changes, key=lambda label: (-changes[label], label))
    return tuple(sorted(most[:MOST_CLASSES])), len(most[MOST_CLASSES:])


def _cells(rows: Sequence[Row], at: Mapping[int, int]) -> Iterator[Answered]:
    """The cells of the classes that are shown, answers of others summed in a column behind them."""
    sums: dict[tuple[int, int], list[float]] = defaultdict(lambda: [0.0, 0.0])
    for row in rows:
        if row["label"] in at:
            cell = sums[at[row["label"]], at.get(row["predicted"], len(at))]
            cell[0] += row["share"]
            cell[1] += row["retrained"]
    for (line, column), (share, retrained) in sorted(sums.items()):
        yield Answered(
            row=line, column=column, share=round(share * PERMILLE), retrained=round(retrained * PERMILLE)
        )
