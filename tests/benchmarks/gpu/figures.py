"""Figures and why others are missing: printed as they come, as lines or as tables, and kept as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

Format = Literal["lines", "markdown"]


@dataclass(frozen=True)
class Figure:
    """One row of a part: its numbers by unit, or why there are none."""

    part: str
    name: str
    values: Mapping[str, float] = field(default_factory=dict)
    """A number by what it is in: `img/s`, `ms a step`."""
    note: str = ""
    missing: str = ""
    """Why nothing was measured; empty where something was."""
    failed: bool = False
    """It is missing for an error that nobody foresaw."""


def text(value: float) -> str:
    """Four digits, and no exponent between 0.001 and a billion."""
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:.4g}"
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.2e}"


def line(figure: Figure) -> str:
    """One line: part, name, numbers with units or the reason."""
    found = figure.missing or ", ".join(f"{text(v)} {unit}" for unit, v in figure.values.items())
    note = f"({figure.note})" if figure.note else ""
    return " ".join(filter(None, (f"{figure.part}: {figure.name}:", found, note)))


def table(part: str, figures: list[Figure]) -> Iterator[str]:
    """A Markdown table of one part, a column for each unit; what is missing is listed below."""
    measured = [f for f in figures if not f.missing]
    units = list(dict.fromkeys(unit for f in measured for unit in f.values))
    yield f"\n### {part}\n"
    if measured:
        yield "| | " + " | ".join([*units, "note"]) + " |"
        yield "|---|" + "--:|" * len(units) + "---|"
    for f in measured:
        cells = [text(f.values[unit]) if unit in f.values else "" for unit in units]
        yield "| " + " | ".join([f.name, *cells, f.note]) + " |"
    for f in figures:
        if f.missing:
            yield f"* {f.name}: {f.missing}"


class Report:
    """Collects figures; what was measured is printed and on disk even if the process is ended later."""

    def __init__(self, style: Format, path: Path | None) -> None:
        self.style, self.path = style, path
        self.figures: list[Figure] = []

    def add(self, figure: Figure) -> None:
        """Keep a figure, and print it in a style of lines."""
        self.figures.append(figure)
        if self.style == "lines":
            print(line(figure), flush=True)

    def close_part(self, part: str) -> None:
        """Print the table of a part in a style of tables, and save."""
        if self.style == "markdown":
            print(*table(part, [f for f in self.figures if f.part == part]), sep="\n", flush=True)
        self.save()

    def save(self) -> None:
        """Write all figures to the file, if there is one."""
        if self.path is not None:
            rows = [asdict(figure) for figure in self.figures]
            self.path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
