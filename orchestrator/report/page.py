"""Sections as one HTML page that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from orchestrator.report.blocks import Block, Figure, Gallery, Missing, Origin, Section, Source, Table, Text
from orchestrator.report.drawing import Look

STYLE_SHEET = Path(__file__).with_name("style.css")
SHAPES = {
    "o": '<circle cx="6" cy="6" r="4"/>',
    "s": '<rect x="2.5" y="2.5" width="7" height="7"/>',
    "^": '<path d="M6 1.5 10.5 10h-9z"/>',
    "D": '<path d="M6 1 11 6 6 11 1 6z"/>',
    "v": '<path d="M6 10.5 1.5 2h9z"/>',
    "P": '<path d="M4 1h4v3h3v4H8v3H4V8H1V4h3z"/>',
    "X": '<path d="M1 3 3 1l3 3 3-3 2 2-3 3 3 3-2 2-3-3-3 3-2-2 3-3z"/>',
    "-": '<path d="M0 6h12"/>',
    "h": '<path d="M6 1l4.3 2.5v5L6 11 1.7 8.5v-5z"/>',
}
"""Markers of matplotlib in a 12 x 12 box."""


def render_page(
    title: str,
    subtitle: str,
    facts: Sequence[tuple[str, str]],
    sections: Sequence[Section],
    *,
    origin: Origin,
    refresh: int | None = None,
) -> str:
    """The whole page.

    Args:
        title: of the page.
        subtitle: one line under it, plain text.
        facts: name and value, shown at the top; plain text.
        sections: in order.
        origin: the results, for the commands beside figures.
        refresh: seconds after which a browser reads it again; None never.
    """
    contents = "".join(f'<a href="#{s.anchor}">{escape(s.title)}</a>' for s in sections)
    shown = "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in facts)
    body = "".join(_section(section, origin) for section in sections)
    return document(
        title,
        f'<header><h1>{escape(title)}</h1><p class="subtitle">{escape(subtitle)}</p>'
        f'<dl class="facts">{shown}</dl><nav aria-label="Contents">{contents}</nav></header>'
        f"<main>{body}</main>",
        refresh=refresh,
    )


def document(title: str, body: str, *, refresh: int | None = None) -> str:
    """A page with the style sheet inside."""
    style = STYLE_SHEET.read_text(encoding="utf-8")
    again = "" if refresh is None else f'<meta http-equiv="refresh" content="{refresh}">'
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f'{again}<link rel="icon" href="data:,">'
        f"<title>{escape(title)}</title><style>{style}</style></head><body>{body}</body></html>\n"
    )


def _section(section: Section, origin: Origin) -> str:
    blocks = "".join(render_block(block, origin) for block in section.blocks)
    return (
        f'<section id="{section.anchor}"><h2>{escape(section.title)}</h2>'
        f'<p class="lead">{escape(section.lead)}</p>{blocks}</section>'
    )


def render_block(block: Block, origin: Origin) -> str:
    """One block as HTML."""
    if isinstance(block, Text):
        return block.html + "".join(_sql(source, origin) for source in block.sources)
    if isinstance(block, Missing):
        command = f"<pre>{escape(block.command)}</pre>" if block.command else ""
        return f'<div class="missing"><p>{escape(block.reason)}</p>{command}</div>'
    if isinstance(block, Figure):
        return _figure(block, origin)
    if isinstance(block, Gallery):
        return _gallery(block, origin)
    return _table(block, origin)


def _figure(figure: Figure, origin: Origin) -> str:
    panels = "".join(f'<div class="panel">{panel.inline()}</div>' for panel in figure.panels)
    key = "".join(f"<span>{_glyph(look)}{escape(text)}</span>" for text, look in figure.key)
    shown = f'<div class="key">{key}</div>' if key else ""
    caption = f"<figcaption>{figure.caption}</figcaption>"
    words = f"<div>{caption}{_sql(figure.source, origin)}</div>"
    count = len(figure.panels)
    kind = "one" if count == 1 else "even" if count in (2, 4, 8) else "many"
    return (
        f'{_heading(figure)}<figure class="{kind}">{shown}<div class="panels">{panels}</div>{words}</figure>'
    )


def _heading(block: Figure | Gallery | Table) -> str:
    return f"<h3>{escape(block.title)}</h3>" if block.title else ""


def _glyph(look: Look) -> str:
    from orchestrator.report.drawing import VARIABLES

    colour = f"var({VARIABLES[look.colour]})" if look.colour in VARIABLES else look.colour
    fill = "none" if look.hollow else colour
    return (
        f'<svg class="glyph" viewBox="0 0 12 12" aria-hidden="true" style="fill: {fill}; stroke: {colour}">'
        f"{SHAPES.get(look.marker, SHAPES['o'])}</svg>"
    )


def _gallery(gallery: Gallery, origin: Origin) -> str:
    items = "".join(
        "<li>"
        + (f'<img src="{uri}" alt="">' if uri else '<span class="noimage"></span>')
        + f"<span>{caption}</span></li>"
        for uri, caption in gallery.images
    )
    caption = f"<figcaption>{gallery.caption}</figcaption>"
    words = f"{caption}{_sql(gallery.source, origin)}"
    return f'{_heading(gallery)}<figure><ul class="gallery">{items}</ul>{words}</figure>'


def _table(table: Table, origin: Origin) -> str:
    shown = len(table.rows) if table.shown is None else table.shown
    left = len(table.rows) - shown
    rows = _rows(table, 0, shown) if shown else ""
    if left > 0:
        count = f"{left} {'more ' if shown else ''}{'row' if left == 1 else 'rows'}"
        rows += (
            f"<details class='more'><summary>{count}</summary>{_rows(table, shown, shown + left)}</details>"
        )
    return (
        f"{_heading(table)}<figure>{rows}"
        f"<figcaption>{table.caption}</figcaption>{_sql(table.source, origin)}</figure>"
    )


def _rows(table: Table, start: int, end: int) -> str:
    """Some rows under the heading."""
    heading = "".join(f"<th>{escape(text)}</th>" for text in table.heading)
    rows = "".join(
        f"<tr{' class=quiet' if index in table.quiet else ''}>"
        + "".join(f"<td>{c}</td>" for c in table.rows[index])
        + "</tr>"
        for index in range(start, min(end, len(table.rows)))
    )
    return f'<div class="scroll"><table><thead><tr>{heading}</tr></thead><tbody>{rows}</tbody></table></div>'


def _sql(source: Source, origin: Origin) -> str:
    return (
        f"<details class='sql'><summary>SQL: queries/{source.query}.sql</summary>"
        f"<pre>{escape(source.command(origin.root, origin.run))}</pre><pre>{escape(source.text)}</pre></details>"
    )
