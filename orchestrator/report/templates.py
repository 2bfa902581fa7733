"""The one environment of templates: every value is escaped, and a name that a template does not get is an error."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from orchestrator.results.evidence import agreeing, interval, probability, signed
from tasks.statistics.intervals import CONFIDENCE

PAGES = Path(__file__).with_name("pages")
ASSETS = Path(__file__).with_name("assets")
CLOSING = ("</script", "</style", "<!--")
"""What would end an element whose text is not escaped."""
IN_JSON = str.maketrans({c: f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"})


@dataclass(frozen=True, kw_only=True)
class Head:
    """The head of a page."""

    title: str
    style: Markup
    """Of `asset`: style sheets, one after the other."""
    scripts: tuple[Markup, ...] = ()
    """Of `asset`: they run in this order at the end of the page, and no other does."""
    refresh: int | None = None
    """Seconds after which the page is read again; None never."""

    @property
    def policy(self) -> str:
        """The content security policy: nothing is fetched or sent, images are in the page, scripts go by their hash."""
        sources = " ".join(map(source_hash, self.scripts)) or "'none'"
        return (
            f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {sources}; base-uri 'none'; "
            "form-action 'none'"
        )


def render(template: str, **values: Any) -> str:
    """A page of the folder `pages`, with these values.

    Raises:
        jinja2.UndefinedError: the template asks for a value that was not given.
    """
    return environment().get_template(template).render(**values)


@functools.cache
def environment() -> Environment:
    """The environment; its filters write numbers as every page does."""
    made = Environment(
        loader=FileSystemLoader(PAGES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {
        "number": number,
        "signed": signed,
        "probability": probability,
        "percent": percent,
        "json_block": json_block,
        "breakable": breakable,
    }
    made.globals |= {"agreeing": agreeing, "interval": interval, "coverage": percent(CONFIDENCE, 0)}
    return made


def asset(*names: str) -> Markup:
    """Style sheets or scripts of the folder `assets`, one after the other, as they go into a page unescaped.

    Raises:
        ValueError: one of them would end the element that it stands in.
    """
    return unescaped("\n".join((ASSETS / name).read_text(encoding="utf-8") for name in names))


def unescaped(text: str) -> Markup:
    """A text of our own that goes into a script or style element as it is.

    Raises:
        ValueError: it would end that element.
    """
    for closing in CLOSING:
        if closing in text.lower():
            raise ValueError(f"{closing} would end the element")
    return Markup(text)


def json_block(value: Any) -> Markup:
    """A value as JSON in which no parser of HTML finds an end: `<`, `>`, `&` and separators of lines are escapes.

    Raises:
        ValueError: it holds a number that JSON has not (NaN, infinity).
    """
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return unescaped(text.translate(IN_JSON))


def source_hash(text: str) -> str:
    """A script as the policy names it."""
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def number(value: float | None, digits: int = 3) -> str:
    """A number with a proper minus sign; a dash where it is unknown or not finite."""
    if value is None or not math.isfinite(value):
        return "\N{EN DASH}"
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def percent(share: float | None, digits: int = 0) -> str:
    """A share in per cent; a dash where it is unknown or not finite."""
    if share is None or not math.isfinite(share):
        return number(None)
    return f"{number(100 * share, digits)}\N{NO-BREAK SPACE}%"


def breakable(name: str) -> Markup:
    """A name that a narrow column may break behind an underscore, where no browser breaks by itself."""
    return Markup(str(escape(name)).replace("_", "_<wbr>"))


def listed(items: Iterable[object], most: int) -> str:
    """The first of some items, and how many more there are."""
    texts = [str(item) for item in items]
    left = len(texts) - most
    return ", ".join(texts[:most]) + (f" and {left} more" if left > 0 else "")
