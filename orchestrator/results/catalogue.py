"""The SQL that ships with Lethe: each file of queries/ with its question, grain and parameters."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tasks.errors import AuditError, unknown_name

# Beside this package in a checkout as in a wheel. Not importlib.resources: without Python files `queries` is
# a namespace package, merged with any other directory of that name on the path.
DIRECTORY = Path(__file__).resolve().parents[2] / "queries"
BUILDS_ON = re.compile(r"^-- builds on: (\w+)\n", re.MULTILINE)
PARAMETER = re.compile(r"-- param (?P<name>\w+)\s*(?:=\s*(?P<rest>.*))?")
RANGE = re.compile(r"\s*from (?P<low>\S+?)(?: to (?P<high>\S+?))?:")


class Range(NamedTuple):
    """Numbers that a parameter takes, both ends included."""

    low: float = -math.inf
    high: float = math.inf

    @property
    def words(self) -> str:
        """As the header of a query has it; empty where every number is taken."""
        ends = ((" from", self.low), (" to", self.high))
        return "".join(f"{word} {end:g}" for word, end in ends if math.isfinite(end))


@dataclass(frozen=True, kw_only=True)
class Query:
    """SQL text and what its header says."""

    name: str
    text: str
    question: str = ""
    grain: str = ""
    defaults: dict[str, Any] = field(default_factory=dict)
    """Parameters that may be left out."""
    required: tuple[str, ...] = ()
    """Parameters that may not."""
    shown: tuple[str, ...] = ()
    """Columns that answer the question, of a query with many; all of them where this is empty."""
    kept: tuple[str, ...] = ()
    """Those of them that a terminal never goes without, however narrow: of what a row is, and the answer."""
    ranges: dict[str, Range] = field(default_factory=dict)
    """Of parameters that are numbers, where there are limits."""
    below: str = ""
    """Name of the query that it builds on, whose answer is a table in its text."""

    def bind(self, given: dict[str, Any]) -> dict[str, Any]:
        """The values of all parameters, each of the type of its default; null stands for any text, and takes any type;
        with limits, a number.

        Raises:
            AuditError: a given name is unknown, a required one is absent, or a value is of another type or range.
        """
        known = {*self.defaults, *self.required}
        for name in given:
            if name not in known:
                raise unknown_name("parameter", name, known)
        absent = [name for name in self.required if name not in given]
        if absent:
            raise AuditError(f"expected --param {absent[0]}=VALUE")
        return {
            **self.defaults,
            **{
                name: _typed(name, value, self.defaults[name], self.ranges.get(name, Range()))
                if name in self.defaults
                else value
                for name, value in given.items()
            },
        }


def catalogue() -> dict[str, Query]:
    """Every query that ships, by name."""
    return {path.stem: read_query(path) for path in sorted(DIRECTORY.glob("*.sql"))}


def find_query(name: str) -> Query:
    """The query called `name`, or that a path ending in .sql leads to.

    Raises:
        UnknownName: there is none; the message names the nearest.
    """
    if name.endswith(".sql") and Path(name).is_file():
        return read_query(Path(name))
    known = {path.stem: path for path in sorted(DIRECTORY.glob("*.sql"))}
    stem = Path(name).stem if name.endswith(".sql") else name
    if stem not in known:
        raise unknown_name("file or query" if name.endswith(".sql") else "query", name, known)
    return read_query(known[stem])


def read_query(path: Path) -> Query:
    """Read a query file.

    Raises:
        AuditError: it cannot be read, or a default in its header is no JSON value.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise AuditError(f"query: cannot read {path}: {error}") from error
    return parse_query(path.stem, text)


def parse_query(name: str, text: str) -> Query:
    """Read the header: the question, then lines `grain: ...`, `shown: COLUMN, COLUMN!, ...` (!: never left
    out), `builds on: QUERY` and `param NAME = DEFAULT [from LOW [to HIGH]]: meaning`.

    The answer of a query that another one builds on is a table of that other one, under its name; parameters of both
    are parameters of the whole, with the defaults of the upper one where it states some.
    """
    base = BUILDS_ON.search(text)
    if base:
        text, below = _built_on(BUILDS_ON.sub("", text, count=1), read_query(DIRECTORY / f"{base[1]}.sql"))
    header: list[str] = []
    for line in text.splitlines():
        if not line.startswith("--"):
            break
        header.append(line)
    defaults: dict[str, Any] = dict(below.defaults) if base else {}
    required: list[str] = list(below.required) if base else []
    ranges: dict[str, Range] = dict(below.ranges) if base else {}
    for line in header:
        match = PARAMETER.match(line)
        if match and match["rest"] is None:
            required.append(match["name"])
        elif match:
            default, limits = _default(match["rest"], where=f"{name}: {line}")
            defaults[match["name"]] = default
            if limits:
                ranges[match["name"]] = limits
    grain = [line.removeprefix("-- grain:").strip() for line in header if line.startswith("-- grain:")]
    shown = [line.removeprefix("-- shown:") for line in header if line.startswith("-- shown:")]
    question = header[0].removeprefix("--").strip() if header else ""
    return Query(
        name=name,
        text=text,
        question=question,
        grain=" ".join(grain),
        shown=tuple(re.findall(r"\w+", " ".join(shown))),
        kept=tuple(re.findall(r"(\w+)!", " ".join(shown))),
        defaults=defaults,
        required=tuple(required),
        ranges=ranges,
        below=below.name if base else "",
    )


def _built_on(text: str, below: Query) -> tuple[str, Query]:
    """The text of a query with that of the one below it as its first table."""
    head = re.match(r"(?:--[^\n]*\n)*", text)
    end = head.end() if head else 0
    body = re.sub(r"^with\b", ",", text[end:].lstrip(), count=1)
    inner = re.sub(r"\A(?:--[^\n]*\n)*", "", below.text).rstrip().rstrip(";")
    return f"{text[:end]}with {below.name} as (\n{inner}\n)\n{body}", below


def parse_value(text: str) -> Any:
    """A parameter as a user writes it: JSON where it is JSON (0.01, null, true), else the text itself."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return text if isinstance(value, (dict, list)) else value


def parse_params(texts: Iterable[str]) -> dict[str, Any]:
    """`name=value` texts as parameters.

    Raises:
        AuditError: one is of another form.
    """
    params = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise AuditError(f"--param: expected name=value, got '{text}'")
        params[name] = parse_value(value)
    return params


def listing() -> list[str]:
    """Lines on every query that ships: what it answers, one row per what, and its parameters."""
    lines = []
    for query in catalogue().values():
        lines.append(f"{query.name}: {query.question}")
        if query.grain:
            lines.append(f"    one row per {query.grain}")
        optional = [
            f"[{name}={'null' if value is None else value}]" for name, value in query.defaults.items()
        ]
        if parameters := [*(f"{name}=VALUE" for name in query.required), *optional]:
            lines.append(f"    --param {' '.join(parameters)}")
    return lines


def _default(rest: str, *, where: str) -> tuple[Any, Range | None]:
    try:
        value, end = json.JSONDecoder().raw_decode(rest)
        limits = RANGE.match(rest, end)
        ends = {} if limits is None else {k: float(v) for k, v in limits.groupdict().items() if v is not None}
    except ValueError as error:
        raise AuditError(f"{where}: expected a JSON value after '=', and numbers for its limits") from error
    return value, Range(**ends) if ends else None


def _typed(name: str, value: Any, default: Any, limits: Range) -> Any:
    """A value as the type of the default asks for."""
    is_open = default is None and limits == Range()
    if is_open or (value is None and (default is None or isinstance(default, str))):
        return value
    if isinstance(default, str):
        return value if isinstance(value, str) else json.dumps(value, default=str)
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if isinstance(default, bool):
        kind, fits = "true or false", isinstance(value, bool)
    elif isinstance(default, int):
        kind, fits = f"a whole number{limits.words}", number and float(value).is_integer()
    else:
        kind, fits = f"a number{limits.words}", number
    if not fits or (number and not (math.isfinite(value) and limits.low <= value <= limits.high)):
        raise AuditError(f"--param {name}: expected {kind}, got {json.dumps(value, default=str)}")
    return value
