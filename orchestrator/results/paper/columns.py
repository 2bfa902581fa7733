"""Columns of the table of a paper: from what was asked for to the measures that the results have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from orchestrator.config.answers import Measure
from tasks.errors import AuditError, unknown_name

PLACES = ("attack", "split", "variant", "game", "param")
"""What tells measures of one metric apart."""
COSTS = ("cost", "seconds")
VERDICT = "verdict"
FLAGS = {"attack": "--attack", "split": "--split", "param": "--eps"}
SHOWN = 12
"""Values that a message lists."""


class Key(NamedTuple):
    """One measure as the results have it."""

    metric: str
    attack: str
    split: str
    variant: str
    game: str
    param: float | None

    @classmethod
    def of(cls, row: dict[str, Any]) -> Key:
        """The measure of a row of values.sql."""
        places = {name: row[name] or "" for name in ("attack", "split", "variant", "game")}
        return cls(metric=row["metric"], param=row["param"], **places)

    @property
    def text(self) -> str:
        """As `[answers]` writes it, without the attack `none`."""
        attack = None if self.attack == "none" else self.attack
        places = {"game": self.game or None, "variant": self.variant or None, "attack": attack}
        return Measure(metric=self.metric, split=self.split or None, param=self.param, **places).text


@dataclass(frozen=True, kw_only=True)
class Narrowing:
    """Values that flags name, for columns that have several; each gives a column."""

    attack: tuple[str, ...] = ()
    split: tuple[str, ...] = ()
    param: tuple[float, ...] = ()
    used: set[tuple[str, Any]] = field(default_factory=set)
    """Place and value of each that some column has."""

    def check_used(self, keys: Iterable[Key]) -> None:
        """Refuse a value that no column has.

        Raises:
            UnknownName: there is one; the message names the nearest that occurs.
        """
        known = list(keys)
        for place, flag in FLAGS.items():
            for value in getattr(self, place):
                if (place, value) not in self.used:
                    valid = {_told(getattr(key, place)) for key in known} - {""}
                    raise unknown_name(f"{place} among these columns", _told(value), valid, where=flag)


def parse_columns(texts: Iterable[str]) -> list[str]:
    """Texts of measures: columns stand behind commas or spaces, and what narrows one (key=value) behind it."""
    found: list[str] = []
    for piece in (piece.strip() for text in texts for piece in text.split(",")):
        if "=" in piece and found:
            found[-1] += f",{_decimal(piece)}"
        elif piece:
            found.append(piece)
    if twice := [text for place, text in enumerate(found) if text in found[:place]]:
        raise AuditError(f"--columns: '{twice[0]}' is given twice")
    return found


def _decimal(piece: str) -> str:
    """`eps=8/255` as `param=0.0313...`, which is what the results call it."""
    name, _, value = piece.partition("=")
    name = "param" if name.strip() == "eps" else name.strip()
    return f"{name}={radius(value, where='--columns')!r}" if name == "param" else f"{name}={value}"


def radius(text: str, *, where: str) -> float:
    """A number, or a fraction such as 8/255.

    Raises:
        AuditError: it is neither.
    """
    above, slash, below = text.partition("/")
    try:
        return float(above) / float(below) if slash else float(above)
    except (ValueError, ZeroDivisionError):
        raise AuditError(f"{where}: expected a number or a fraction such as 8/255, got '{text}'") from None


def resolve(text: str, keys: Sequence[Key], flags: Narrowing, *, every: bool = False) -> list[Key]:
    """The measures that one column asks for: one, or one for each value that flags or a pattern name.

    Args:
        text: the column.
        keys: measures of the rows that were chosen.
        flags: what narrows columns that do not say it themselves.
        every: take all that fit, where nothing tells them apart.

    Raises:
        AuditError: nothing fits, or several do that nothing tells apart.
    """
    try:
        measure = Measure.parse(text)
    except AuditError as error:
        raise type(error)(f"--columns: {error}") from None
    fitting = [key for key in keys if key.metric == measure.metric]
    if not fitting:
        valid = {key.metric for key in keys} | {VERDICT}
        raise unknown_name("metric among these rows", measure.metric, valid, where="--columns")
    chosen = set()
    for place in PLACES:
        wanted = getattr(measure, place)
        if wanted is not None:
            fitting = _narrowed(fitting, place, _test(place, wanted), told=text, wanted=wanted)
            chosen |= {place} if place == "variant" and "*" in wanted else set()
        elif named := [v for v in getattr(flags, place, ()) if any(_test(place, v)(k) for k in fitting)]:
            fitting = [key for value in named for key in fitting if _test(place, value)(key)]
            flags.used.update((place, value) for value in named)
            chosen.add(place)
        elif (absent := getattr(flags, place, ())) and _several(fitting, place):
            valid = {_told(getattr(key, place)) for key in fitting}
            raise unknown_name(f"{place} of '{text}'", _told(absent[0]), valid, where=FLAGS[place])
    if not every:
        _check_one(text, fitting, chosen)
    return fitting


def _several(keys: Sequence[Key], place: str) -> bool:
    return len({getattr(key, place) for key in keys}) > 1


def _test(place: str, wanted: Any) -> Callable[[Key], bool]:
    if place == "variant":
        return lambda key: fnmatchcase(key.variant, wanted)
    if place == "param":
        return lambda key: key.param is not None and abs(key.param - wanted) <= 1e-6 * abs(wanted)
    return lambda key: getattr(key, place) == wanted


def _narrowed(
    keys: list[Key], place: str, test: Callable[[Key], bool], *, told: str, wanted: Any
) -> list[Key]:
    fitting = [key for key in keys if test(key)]
    if not fitting:
        valid = {_told(getattr(key, place)) for key in keys} - {""}
        raise unknown_name(place, _told(wanted), valid, where=f"--columns {told}")
    return fitting


def _check_one(text: str, keys: Sequence[Key], chosen: set[str]) -> None:
    """Refuse measures that differ in what nobody has chosen: they would stand under one name."""
    several = {}
    for place in PLACES:
        values = list(dict.fromkeys(_told(getattr(key, place)) or "none" for key in keys))
        if len(values) > 1 and place not in chosen:
            several[place] = values
    if several:
        told = "; ".join(f"{place} {listed(values)}" for place, values in several.items())
        place, values = next(iter(several.items()))
        raise AuditError(
            f"--columns: '{text}' is measured with several: {told}; expected one of each, such as "
            f"{text}{':' if place == 'split' and ':' not in text else f',{place}='}{values[0]}"
            + (f", or {FLAGS[place]} with those that are meant" if place in FLAGS else "")
        )


def listed(values: Sequence[str]) -> str:
    """The first values with commas, and how many more there are."""
    more = f" and {len(values) - SHOWN} more" if len(values) > SHOWN else ""
    return ", ".join(values[:SHOWN]) + more


def _told(value: Any) -> str:
    if value is None:
        return ""
    return fraction(value) if isinstance(value, float) else str(value)


def fraction(value: float) -> str:
    """A radius as papers write it (8/255) where it is that of a pixel, else four digits."""
    steps = value * 255
    if 0 < value < 1 and abs(steps - round(steps)) < 1e-4 and round(steps):
        return f"{round(steps)}/255"
    return f"{value:.4g}"
