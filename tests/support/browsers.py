"""A Chromium of the system that opens written pages: what the tests in a browser share."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
"""Found before the tests hide the programs of the machine."""
FLAGS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
ALIKE = {"offline": True, "reduced_motion": "reduce"}
WIDE = {"width": 1440, "height": 900}


class Browser:
    """Opens pages, one at a time; those of equal options share a context, which takes as long to make as a page."""

    def __init__(self, launched: Any) -> None:
        self._launched = launched
        self._contexts: dict[str, Any] = {}
        self._page: Any = None

    def opened(self, path: Path, **context: Any) -> tuple[Any, list[str]]:
        """The page, and what it complained of or asked for; the page that was open before is closed.

        Args:
            path: of the page.
            context: options of the context: `viewport`, `color_scheme`, `java_script_enabled`.
        """
        if self._page is not None:
            self._page.close()
        options = {"viewport": WIDE} | context
        if repr(options) not in self._contexts:
            self._contexts[repr(options)] = self._launched.new_context(**ALIKE, **options)
        said: list[str] = []
        self._page = page = self._contexts[repr(options)].new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on(
            "request",
            lambda request: None if request.url.startswith(("file:", "data:")) else said.append(request.url),
        )
        page.goto(path.as_uri())
        return page, said


@contextmanager
def launched() -> Iterator[Browser]:
    """A browser; the test skips where there is none, or no playwright to drive it."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs pip install 'lethe[browser]'")
    if CHROMIUM is None:
        pytest.skip("needs a Chromium of the system")
    with playwright.sync_playwright() as session:
        chromium = session.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield Browser(chromium)
        chromium.close()
