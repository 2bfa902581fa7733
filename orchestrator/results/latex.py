"""Text and numbers for LaTeX, so that whatever a name holds compiles and shows what it says."""

from __future__ import annotations

import itertools
import math
import re
import textwrap
import unicodedata
from collections.abc import Iterable, Sequence

from orchestrator.errors import printable

SPECIAL = (
    {c: f"\\{c}" for c in "&%#_{}"}
    | {
        "$": r"$\mathdollar$",  # \$ takes a font that small installations have as bitmaps, as do signs behind \text...
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "\\": r"\textbackslash{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        '"': "''",
        "[": "{[}",  # behind a row's end it would be a length
        "*": "{*}",  # likewise no page break
        "\n": " ",
        "\t": " ",
    }
)
ACCENTS = {
    "\u0300": "`",
    "\u0301": "'",
    "\u0302": "^",
    "\u0303": "~",
    "\u0304": "=",
    "\u0306": "u",
    "\u0307": ".",
    "\u0308": '"',
    "\u030a": "r",
    "\u030b": "H",
    "\u030c": "v",
    "\u0323": "d",
    "\u0327": "c",
    "\u0331": "b",
}
"""Combining marks as commands that every font encoding has."""


def _pairs(text: str) -> dict[str, str]:
    """A mapping from words that alternate."""
    words = text.split()
    return dict(zip(words[::2], words[1::2], strict=True))


LETTERS = _pairs(r"ß \ss æ \ae Æ \AE œ \oe Œ \OE ø \o Ø \O ł \l Ł \L ı \i ȷ \j … \dots")
PLAIN = {
    "\u00a0": "~",
    "\u00a9": "(c)",
    "\u2060": "{}",
    "\u2013": "--",
    "\u2014": "---",
    "\u2018": "`",
    "\u2019": "'",
    "\u201c": "``",
    "\u201d": "''",
}
MATHS = _pairs(
    r"§ \mathsection ¶ \mathparagraph † \dagger ‡ \ddagger • \bullet "
    r"± \pm × \times · \cdot ÷ \div ≤ \leq ≥ \geq ≠ \neq ≈ \approx ∞ \infty → \to ← \leftarrow ↑ \uparrow "
    r"↓ \downarrow − - ° {}^\circ √ \surd ∈ \in ∅ \emptyset α \alpha β \beta γ \gamma δ \delta ε \varepsilon "
    r"ζ \zeta η \eta θ \theta κ \kappa λ \lambda μ \mu µ \mu ν \nu ξ \xi π \pi ρ \rho σ \sigma τ \tau "
    r"φ \varphi χ \chi ψ \psi ω \omega Γ \Gamma Δ \Delta Σ \Sigma Ω \Omega"
)
OTHER = r"\othertext"
"""Shows text of other scripts in XeLaTeX and LuaLaTeX, and the numbers of its characters in pdfLaTeX."""
OTHER_DEFINED = rf"\providecommand{{{OTHER}}}[2]{{\ifdefined\Umathcode #1\else #2\fi}}"


LINE = 345
"""Points of a line of `article`."""
SIZES = {r"\normalsize": 5.0, r"\small": 4.7, r"\footnotesize": 4.3, r"\scriptsize": 4.0}
"""Sizes of type and points of a digit there; letters and signs take less on average, what is bold a seventh more."""
GAPS = (6, 3)
"""Points between a column and its edge: as usual, and narrow."""


def escape(text: str) -> str:
    """The text as LaTeX that compiles with every engine and needs no package; see `OTHER` for other scripts."""
    composed = unicodedata.normalize("NFC", printable(text))
    composed = re.sub("-(?=-)", "-\u2060", composed)  # two hyphens, no dash
    parts = []
    for others, run in itertools.groupby(composed, key=lambda c: _known(c) is None):
        if others:
            characters = "".join(run)
            numbers = "".join(f"{{[}}U+{ord(c):04X}]" for c in characters)
            parts.append(f"{OTHER}{{{characters}}}{{{numbers}}}")
        else:
            parts += [_known(c) or "" for c in run]
    return "".join(parts)


def _known(character: str) -> str | None:
    """One character in LaTeX; None where it takes a font that there may not be."""
    if character in SPECIAL:
        return SPECIAL[character]
    if " " <= character <= "~":
        return character
    if character in PLAIN:
        return PLAIN[character]
    if character in LETTERS:
        return f"{LETTERS[character]}{{}}"
    if character in MATHS:
        return f"${MATHS[character]}$"
    letter, *marks = list(unicodedata.normalize("NFD", character))
    if not (letter.isascii() and letter.isalpha() and len(marks) == 1 and marks[0] in ACCENTS):
        return None
    return f"\\{ACCENTS[marks[0]]}{{{letter}}}"


def decimal(value: float) -> str:
    """A number in mathematics: three decimals, fewer of a large one, a power of ten beyond these."""
    if isinstance(value, int):
        return str(value)
    if not math.isfinite(value):
        return r"\infty" if value > 0 else r"-\infty" if value < 0 else r"\mathrm{nan}"
    if value and not 1e-3 <= abs(value) < 1e5:
        mantissa, exponent = f"{value:.2e}".split("e")
        return rf"{mantissa} \times 10^{{{int(exponent)}}}"
    return f"{value:.3f}" if abs(value) < 100 else f"{value:.1f}"


def tabular(columns: str, heading: Sequence[str], parts: Iterable[Sequence[Sequence[str]]]) -> list[str]:
    """Lines of a booktabs tabular; its texts are LaTeX already.

    Args:
        columns: a letter for each.
        heading: of each column.
        parts: rows, between which stand rules.
    """
    body: list[str] = []
    for rows in parts:
        body += [r"\midrule", *(f"{' & '.join(row)} \\\\" for row in rows)]
    return [
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        " & ".join(heading) + r" \\",
        *(body or [r"\midrule"]),
        r"\bottomrule",
        r"\end{tabular}",
    ]


def stacked(text: str, width: int, side: str) -> str:
    """A heading over a column, in lines where it is wider than that.

    Args:
        text: plain.
        width: of the column in characters, 1 or more.
        side: `l` or `r`.
    """
    lines = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]
    told = r" \\ ".join(map(escape, lines))
    return told if len(lines) == 1 else rf"\begin{{tabular}}[b]{{@{{}}{side}@{{}}}}{told}\end{{tabular}}"


def fitted(widths: Sequence[int]) -> list[str]:
    """What makes a table narrower, where it would be wider than a line of `article`.

    Args:
        widths: of its columns, in characters.
    """
    ways = list(itertools.product(SIZES, GAPS))
    fitting = (way for way in ways if sum(widths) * SIZES[way[0]] + 2 * way[1] * len(widths) <= LINE)
    size, gap = way = next(fitting, ways[-1])
    if way == ways[0]:
        return []
    return [size, rf"\setlength{{\tabcolsep}}{{{gap}pt}}"]


def defined(lines: Sequence[str]) -> list[str]:
    """The lines after the definition of what they use."""
    return [OTHER_DEFINED, *lines] if any(OTHER in line for line in lines) else list(lines)
