"""The README and the pages of the guide as text: their fenced blocks, commands, anchors, links."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "orchestrator" / "guide"


@dataclass(frozen=True)
class Page:
    """One Markdown file."""

    path: Path
    text: str

    @property
    def name(self) -> str:
        """Relative to the root."""
        return self.path.relative_to(ROOT).as_posix()

    @property
    def prose(self) -> str:
        """The text without its fenced blocks."""
        return re.sub(r"```.*?```", "", self.text, flags=re.DOTALL)

    @property
    def anchors(self) -> set[str]:
        """The anchors that GitHub gives its headings."""
        headings = re.findall(r"^#+ (.*)$", self.prose, flags=re.MULTILINE)
        return {re.sub(r"[^\w\- ]", "", h.strip().lower()).replace(" ", "-") for h in headings}

    @property
    def links(self) -> list[str]:
        """Targets of its links."""
        return re.findall(r"\]\(([^)\s]+)\)", self.prose)

    @property
    def spans(self) -> list[str]:
        """What stands between backticks in the prose, on one line."""
        return re.findall(r"`([^`\n]+)`", self.prose)

    @property
    def kinds(self) -> set[str]:
        """Languages of its fenced blocks."""
        return set(re.findall(r"^```(\w*)\n(?:.*?)^```$", self.text, flags=re.DOTALL | re.MULTILINE))

    def fenced(self, language: str) -> list[str]:
        """Its fenced blocks of a language."""
        return re.findall(rf"```{language}\n(.*?)```", self.text, flags=re.DOTALL)

    @property
    def commands(self) -> list[str]:
        """Every fenced command, without its comment."""
        lines = [
            re.sub(r"\s+#.*", "", line).strip()
            for block in self.fenced("bash")
            for line in block.splitlines()
        ]
        return [line for line in lines if line]


def read(path: Path) -> Page:
    """The page at a path."""
    return Page(path, path.read_text(encoding="utf-8"))


README = read(ROOT / "README.md")
PAGES = {path.stem: read(path) for path in sorted(GUIDE.glob("*.md"))}
"""Pages of the guide by name."""
ALL = (README, *PAGES.values())
WORKED = PAGES["given"]
"""Its commands follow each other in a folder of their own: tests/orchestrator/audit/test_given.py runs them all."""
COMMANDS = tuple(dict.fromkeys(command for page in ALL if page is not WORKED for command in page.commands))
"""Every command of every other page, once."""


def broken_links(page: Page) -> list[str]:
    """Links of a page to files or headings that do not exist, and web addresses that are none."""
    return [target for target in page.links if not _resolves(page, target)]


def _resolves(page: Page, target: str) -> bool:
    if target.startswith("http"):
        return bool(re.fullmatch(r"https://[a-z0-9.-]+\.[a-z]{2,}(/[\w./%#?=&:-]*)?", target))
    name, _, anchor = target.partition("#")
    path = (page.path.parent / name).resolve() if name else page.path
    if not path.exists():
        return False
    return not anchor or (path.suffix == ".md" and anchor in read(path).anchors)


PAGE_NAMED = re.compile(r"(?<![\w./-])((?:[\w.-]+/)*[\w-]+\.md)(?![\w(])(#[\w-]+)?")
"""A Markdown file, with or without a heading."""
TOPIC_NAMED = re.compile(r"--describe guide\.([a-z]+)\b")
DOCUMENT_NAMED = re.compile(r"\b[A-Z]{6,} \d+\.\d+\b")
"""A section of a document in capitals, as in notes that are not part of the project."""


def unknown_pages(text: str, folder: Path) -> list[str]:
    """Pages, headings of pages and sections of documents that a text in a folder names and that do not exist."""
    unknown = [name for name in TOPIC_NAMED.findall(text) if name not in PAGES]
    for name, anchor in PAGE_NAMED.findall(text):
        places = [folder / name, ROOT / name, ROOT / "orchestrator" / name, GUIDE / name]
        found = next((place.resolve() for place in places if place.is_file()), None)
        if found is None or (anchor and anchor[1:] not in read(found).anchors):
            unknown.append(name + anchor)
    return unknown + DOCUMENT_NAMED.findall(text)
