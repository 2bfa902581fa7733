"""The claims as `python -m orchestrator.query claims` shows them."""

from __future__ import annotations

import dataclasses
import functools
import json
import shlex
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from orchestrator.errors import printable
from orchestrator.results.answer import write, write_content
from orchestrator.results.claims import ClaimAnswer
from orchestrator.results.forms import Format

CLAIMS = "claims"
"""In place of the name of a query."""
WIDTH = 110
"""Characters of a line, where a terminal has room for them."""


def show(found: Sequence[ClaimAnswer], form: Format, output: Path | None, root: str, run: str) -> None:
    """Write the answers: as text in the form of a table, with the SQL of each and one row for each in every other.

    Args:
        found: what `answers` gave.
        form: of the answer.
        output: file; None for stdout.
        root: the results, as the user named them.
        run: that they rest on, or all.

    Raises:
        AuditError: the file cannot be written.
    """
    import pyarrow as pa  # not for --help

    if form != "table":
        rows = [dataclasses.asdict(one) for one in found]
        plain = [
            row
            | {
                "presets": " ".join(row["presets"]),
                "missing": ", ".join(row["missing"]),
                "parameters": json.dumps(row["parameters"]),
            }
            for row in rows
        ]
        write(pa.Table.from_pylist(plain), form, output)
        return
    from orchestrator.results.terminal import room  # rich, likewise

    width = min(WIDTH, (room() if output is None else None) or WIDTH)
    text = "".join(f"{printable(line)}\n" for line in lines(found, root, run, width))
    write_content(text.encode(), form, output)


def lines(found: Sequence[ClaimAnswer], root: str, run: str, width: int = WIDTH) -> Iterator[str]:
    """The question, the sentence, and the query behind it or the command that is missing; commands are never broken."""
    wrap = functools.partial(textwrap.wrap, width=width, subsequent_indent="    ", break_on_hyphens=False)
    letter = ""
    for one in found:
        if one.claim != letter:
            letter = one.claim
            yield from wrap(f"({letter}) {one.question}")
        said = one.sentence.removesuffix(one.command).rstrip()
        yield from wrap(said, initial_indent="    ")
        if said != one.sentence:
            yield f"    {one.command}"
        if one.verdict == "undecided" or one.missing:
            yield f"    {'what is missing' if one.missing else 'more of it'}: {one.command}"
    answered = {one.claim for one in found if one.place}
    yield f"{len(answered)} of {len({one.claim for one in found})} claims answered"
    where = f"--run {shlex.quote(run)} --results {shlex.quote(root)}"
    yield f"rows behind a claim: python -m orchestrator.query NAME {where}"
    names = ", ".join(f"{one.claim} {one.name}" for one in _first_of_each(found))
    yield from wrap(f"NAME: {names}; its SQL: queries/NAME.sql")


def _first_of_each(found: Sequence[ClaimAnswer]) -> list[ClaimAnswer]:
    return list({one.claim: one for one in reversed(found)}.values())[::-1]
