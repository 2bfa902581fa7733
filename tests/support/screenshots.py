"""Pictures of a report in a browser, to be looked at: python -m tests.support.screenshots results/report.html pictures

At 1440 and 390 pixels, light and dark, each with every chart drawn; without a script; and as it prints.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.support.browsers import Browser, launched

WIDTHS = (1440, 390)
SCHEMES = ("light", "dark")
HEIGHT = 900
DRAWN = "[...document.querySelectorAll('figure .chart')].every((chart) => chart.querySelector('svg'))"


def screenshots(
    browser: Browser,
    report: Path,
    folder: Path,
    widths: Iterable[int] = WIDTHS,
    schemes: Iterable[str] = SCHEMES,
) -> list[Path]:
    """Write the pictures into a folder; their paths.

    Args:
        browser: that opens the page.
        report: a page.
        folder: made if it is not there; pictures of the same names are replaced.
        widths: of the window, pixels.
        schemes: of colours.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for width in widths:
        window = {"width": width, "height": HEIGHT}
        for scheme in schemes:
            page, _ = browser.opened(report, viewport=window, color_scheme=scheme)
            page.wait_for_function("document.body.dataset.ready === '1'")
            page.evaluate("drawAll()")
            page.wait_for_function(DRAWN)
            made.append(folder / f"{width}-{scheme}.png")
            page.screenshot(path=made[-1], full_page=True)
        page, _ = browser.opened(report, viewport=window, java_script_enabled=False)
        made.append(folder / f"{width}-without-script.png")
        page.screenshot(path=made[-1], full_page=True)
    page, _ = browser.opened(report)
    page.wait_for_function("document.body.dataset.ready === '1'")
    made.append(folder / "printed.pdf")
    page.pdf(path=made[-1], format="A4")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Picture a page in a folder."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.screenshots", description=__doc__)
    parser.add_argument("report", type=Path, help="a page")
    parser.add_argument("folder", type=Path, help="for the pictures; made if it is not there")
    asked = parser.parse_args(arguments)
    if not asked.report.is_file():
        parser.error(f"report: no file {asked.report}")
    try:
        with launched() as browser:
            made = screenshots(browser, asked.report.absolute(), asked.folder)
    except pytest.skip.Exception as lack:
        parser.error(str(lack))
    sys.stdout.write("".join(f"{path}\n" for path in made))
    return 0


if __name__ == "__main__":
    sys.exit(main())
