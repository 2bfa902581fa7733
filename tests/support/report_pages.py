"""A page of a report as a parser sees it: elements, ids, links, scripts, text."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

from orchestrator.report.templates import source_hash

VOID = {"meta", "link", "img", "br", "input", "hr", "wbr"}


class Page(HTMLParser):
    """Counts what must balance, and collects ids, links, handlers, scripts and words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.handlers: list[str] = []
        self.scripts: list[str] = []
        self.parts: list[str] = []
        self.policy = ""
        self._goes_on = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.handlers += [name for name in found if name.startswith("on")]
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found[name] for name in ("src", "href", "action", "srcset") if name in found]
        if found.get("http-equiv") == "Content-Security-Policy":
            self.policy = found["content"]
        if tag == "script":
            self.scripts.append("")
        if tag not in VOID:
            self.open.append(tag)
        self._goes_on = tag == "wbr"

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID and (not self.open or self.open.pop() != tag):
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data
        elif self._goes_on:
            self.parts[-1] += data
        elif self.open and self.open[-1] != "style":
            self.parts.append(data)
        self._goes_on = False

    @property
    def words(self) -> str:
        """What it prints, blanks made one."""
        return " ".join(" ".join(self.parts).split())

    @property
    def data(self) -> dict[str, Any]:
        """What its script reads."""
        found: dict[str, Any] = json.loads(self.scripts[0])
        return found


def checked(text: str) -> Page:
    """Parse a page; it must be well formed, need nothing but itself, and run its own two scripts alone."""
    page = Page(text)
    assert not page.wrong
    assert not page.open
    assert len(page.ids) == len(set(page.ids))
    assert all(link.startswith(("data:", "#")) for link in page.links)
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert not page.handlers
    assert len(page.scripts) == 3
    hashes = re.findall(r"'sha256-[^']+'", page.policy)
    assert hashes == [source_hash(script) for script in page.scripts[1:]]
    assert page.policy.startswith("default-src 'none'; img-src data:;")
    return page
