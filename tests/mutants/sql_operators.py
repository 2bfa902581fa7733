"""What a line of SQL may become: plausible slips, each inside of one line; comments and literals stay as they are."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.mutants.mutant import Edit

COMMENT_OR_LITERAL = re.compile(r"--.*|'[^']*'")
NAME = r"(?:\w+\.)?\w+"
REPLACED: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), new)
    for pattern, new in (
        (r"(?<= )<(?= )", "<="),
        (r"(?<= )>(?= )", ">="),
        (r"(?<= )<=(?= )", "<"),
        (r"(?<= )>=(?= )", ">"),
        (r"(?<= )<(?= )|(?<= )<=(?= )", ">"),
        (r"(?<= )>(?= )|(?<= )>=(?= )", "<"),
        (r"(?<= )=(?= )", "<>"),
        (r"(?<= )(<>|!=)(?= )", "="),
        (r"\bis not distinct from\b", "="),
        (r"\bis distinct from\b", "<>"),
        (r"\bis not null\b", "is null"),
        (r"\bis null\b", "is not null"),
        (r"(?<= )\+(?= )", "-"),
        (r"(?<= )-(?= )", "+"),
        (r"(?<=[\w)] )\*(?= )", "/"),
        (r"(?<= )/(?= )", "*"),
        (r"\band(?= )", "or"),
        (r"(?<!create )\bor(?= )", "and"),
        (r"\bnot (?!null|distinct|exists|materialized|in\b)", ""),
        (r"\bnot exists\b", "exists"),
        (r"\bnot in\b", "in"),
        (r"\bmin\(", "max("),
        (r"\bmax\(", "min("),
        (r"\bleast\(", "greatest("),
        (r"\bgreatest\(", "least("),
        (r"\barg_min\(", "arg_max("),
        (r"\barg_max\(", "arg_min("),
        (r"\bavg\(", "max("),
        (r"\bmedian\(", "avg("),
        (r"\bsum\(", "max("),
        (r"\bstddev_samp\(", "stddev_pop("),
        (r"\babs\(", "("),
        (r"\bsqrt\(", "("),
        (r"\bbool_or\(", "bool_and("),
        (r"\bbool_and\(", "bool_or("),
        (r"\bcount\((?!\*)(distinct )?\w+(\.\w+)?\)", "count(*)"),
        (r"\bcount\(distinct ", "count("),
        (r"\bselect distinct\b", "select"),
        (r"\bunion all\b", "union"),
        (r"\bleft join\b", "join"),
        (r"\bfull join\b", "join"),
        (r"\bsemi join\b", "anti join"),
        (r"\banti join\b", "semi join"),
        (r" desc\b", ""),
        (r" nulls (first|last)\b", ""),
        (r"\brank\(\)", "row_number()"),
        (r"\btrue\b", "false"),
        (r"\bfalse\b", "true"),
        (r" filter \(where [^()]*(\([^()]*\)[^()]*)*\)", ""),
    )
)
REDUCED: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), new)
    for pattern, new in (
        (rf"\bcoalesce\(({NAME}), ([^()]+)\)", r"\1"),
        (rf"\bcoalesce\(({NAME}), ([^()]+)\)", r"\2"),
        (rf"\bnullif\(({NAME}), [^()]+\)", r"\1"),
        (r"\bif\(([^(),]+), ([^(),]+), ([^(),]+)\)", r"\2"),
        (r"\bif\(([^(),]+), ([^(),]+), ([^(),]+)\)", r"\3"),
        (r"\bwhen (\S.*?) then\b", r"when not (\1) then"),
        (r"^(\s*)(?:and|or) (.*[^(])$", r"\1"),
        (r"\band [^()]+$", ""),
        (rf"\b({NAME} = {NAME}) and ", ""),
    )
)
"""A part of a line, and what is left of it."""
KEYS = re.compile(r"\b(?:using \(|partition by )((?:\w+\.)?\w+(?:, (?:\w+\.)?\w+)+)", re.IGNORECASE)
ORDER = re.compile(r"\border by (\w+)(?=[,)]|$)", re.IGNORECASE)
NUMBER = re.compile(r"(?<![\w.$])\d+(?:\.\d+)?(?![\w.])")


def edits(source: str) -> list[Edit]:
    """Every change that some line of an SQL file may undergo, in the order of its lines."""
    found = {
        Edit(number, start, end, new, number, number)
        for number, line in enumerate(source.split("\n"), start=1)
        for start, end, new in _changes(
            COMMENT_OR_LITERAL.sub(lambda match: "\0" * len(match[0]), line), line
        )
        if line[start:end] != new
    }
    return sorted(found, key=lambda edit: (edit.line, edit.start, edit.end, edit.new))


def _changes(code: str, line: str) -> Iterator[tuple[int, int, str]]:
    """Start, end and what takes their place; `code` is the line with comments and literals blanked out."""
    for pattern, new in REPLACED:
        for match in pattern.finditer(code):
            yield match.start(), match.end(), new
    for pattern, template in REDUCED:
        for match in pattern.finditer(code):
            new = re.sub(
                r"\\(\d)", lambda group, match=match: line[slice(*match.span(int(group[1])))], template
            )
            yield match.start(), match.end(), new
    for match in KEYS.finditer(code):
        keys = match[1].split(", ")
        for dropped in range(len(keys)):
            yield match.start(1), match.end(1), ", ".join(keys[:dropped] + keys[dropped + 1 :])
    for match in ORDER.finditer(code):
        yield match.end(1), match.end(1), " desc"
    for match in NUMBER.finditer(code):
        yield match.start(), match.end(), "1" if float(match[0]) == 0 else f"({match[0]} + 1)"
