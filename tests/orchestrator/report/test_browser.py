"""The report in a real browser: it comes up, sorts, filters, opens, prints, and lets no foreign script run.

Needs playwright (extra `browser`) and a Chromium of the system.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from orchestrator.report.facts.facts import Facts
from orchestrator.report.facts.record import Failure
from orchestrator.report.page import report_page
from tests.support.audited_page import audited_page
from tests.support.browsers import Browser
from tests.support.hostile import HOSTILE, LONG
from tests.support.screenshots import SCHEMES, WIDTHS, screenshots

LOOKS = [(width, scheme) for width in WIDTHS for scheme in SCHEMES]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    written = tmp_path_factory.mktemp("page") / "report.html"
    written.write_text(audited_page()[0], encoding="utf-8", newline="")
    return written


@pytest.mark.parametrize("width", [1440, 390])
def test_it_comes_up_complains_of_nothing_and_asks_for_nothing(
    browser: Browser, path: Path, width: int
) -> None:
    page, said = browser.opened(path, viewport={"width": width, "height": 844})
    page.wait_for_function("document.body.dataset.ready === '1'")
    page.evaluate("drawAll()")
    page.wait_for_function("document.querySelectorAll('figure svg').length >= 6")
    assert said == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    heights = "[...document.querySelectorAll('nav a')].map((link) => link.getBoundingClientRect().height)"
    assert min(page.evaluate(heights)) >= 24  # what a finger hits, by WCAG 2.2
    assert page.locator("h1").inner_text()


def test_tables_sort_and_filter_and_controls_stay(browser: Browser, path: Path) -> None:
    page, _ = browser.opened(path)
    labels = (
        "[...document.querySelectorAll('.board tbody:not(.pin) tr:not([hidden]) th')].map(n => n.textContent)"
    )
    pinned = page.locator(".board .pin tr").count()
    first = page.evaluate(labels)
    page.locator(".board thead button").first.click()
    assert page.evaluate(labels) == sorted(first)
    page.locator(".board thead button").first.click()
    assert page.evaluate(labels) == sorted(first, reverse=True)
    page.locator("#find").fill(first[0])
    assert page.evaluate(labels) == [first[0]]
    assert page.locator("#count").inner_text() == f"1 of {len(first)} models"
    assert page.locator(".board .pin tr:visible").count() == pinned


def test_examples_and_methods_open_by_pointer_and_keyboard(browser: Browser, path: Path) -> None:
    page, said = browser.opened(path)
    face = page.locator(".answers [data-example]").first
    face.focus()
    page.keyboard.press("Enter")
    assert page.locator("dialog").is_visible()
    assert face.get_attribute("data-example") in page.locator("#example-title").inner_text()
    assert page.locator("dialog table tbody tr").count() >= 3
    page.keyboard.press("Escape")
    assert not page.locator("dialog").is_visible()
    page.locator('.answers a[href^="#method-"]').first.click()
    assert page.evaluate("location.hash").startswith("#method-")
    assert page.locator("details.method[open] .more table").count() >= 2
    assert said == []


def test_a_dot_says_what_it_is_and_opens(browser: Browser, path: Path) -> None:
    page, _ = browser.opened(path)
    page.locator("#differences").scroll_into_view_if_needed()
    dot = page.locator("#differences svg [aria-label]:not([aria-label=''])[role=graphics-symbol]").last
    dot.wait_for()
    box = dot.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert "difference" in page.locator(".tip").inner_text()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert page.evaluate("location.hash").startswith("#method-")


def test_the_first_stop_of_the_keyboard_skips_to_the_answer(browser: Browser, path: Path) -> None:
    page, _ = browser.opened(path)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#answer"


def test_without_a_script_tables_and_answers_are_there(browser: Browser, path: Path) -> None:
    page, _ = browser.opened(path, java_script_enabled=False)
    assert page.locator(".answers tr:visible").count() >= 2
    assert page.locator(".board tbody tr:visible").count() >= 5
    assert not page.locator(".js-only:visible").count()
    assert page.locator("noscript").count()


def test_a_link_to_a_query_opens_it_and_one_to_nothing_breaks_nothing(browser: Browser, path: Path) -> None:
    page, said = browser.opened(path)
    for wrong in ("#method-50%", "#method-none", "#%"):
        page.goto(f"{path.as_uri()}{wrong}")
        page.reload()
        page.wait_for_function("document.body.dataset.ready === '1'")
    page.evaluate("location.hash = 'query-verdict'")
    page.wait_for_function("document.getElementById('query-verdict').open")
    assert said == []


def test_it_prints_with_everything_open(browser: Browser, path: Path) -> None:
    page, _ = browser.opened(path)
    page.wait_for_function("document.body.dataset.ready === '1'")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("main details:not([open]):not(.source)").count() == 0
    page.wait_for_function("document.querySelectorAll('figure svg').length >= 6")
    assert page.pdf(format="A4").startswith(b"%PDF")
    page.emulate_media(media="print")
    page.evaluate("document.documentElement.style.width = '184mm'")  # of A4, less the margins of the sheet
    reach = (
        "Math.max(...[...document.querySelectorAll('main *')].map((n) => n.getBoundingClientRect().right))"
    )
    assert 600 < page.evaluate(reach) <= 696
    assert page.locator("figure [data-choice]:visible").count()


def test_the_longest_names_print_within_the_sheet(browser: Browser, hostile: Facts, tmp_path: Path) -> None:
    """A sheet that is wider is printed smaller, until nobody can read it."""
    failed = Failure(times=1, what="training", error="Diverged", message="x", where=LONG)
    facts = replace(hostile, record=replace(hostile.record, failures=(failed,)))
    written = tmp_path / "hostile.html"
    written.write_text(report_page(facts), encoding="utf-8", newline="")
    page, _ = browser.opened(written, viewport={"width": 696, "height": 900})
    page.evaluate("document.querySelectorAll('details').forEach((node) => { node.open = true; })")
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= 696


@pytest.mark.parametrize(
    ("width", "scheme"),
    [(390, "dark"), *(pytest.param(*one, marks=pytest.mark.slow) for one in LOOKS if one != (390, "dark"))],
)
def test_axe_finds_nothing_that_keeps_somebody_out(
    browser: Browser, path: Path, width: int, scheme: str
) -> None:
    """WCAG 2.2 A and AA and best practice, with everything open, and in the window of an example."""
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="needs pip install 'lethe[browser]'"
    ).Axe()
    page, _ = browser.opened(
        path, viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True
    )
    page.wait_for_function("document.body.dataset.ready === '1'")
    page.evaluate("drawAll()")
    page.evaluate("document.querySelectorAll('details').forEach((node) => { node.open = true; })")
    everything = axe.run(page)
    assert everything.violations_count == 0, everything.generate_report()
    page.locator("[data-example]").first.click()
    opened = axe.run(page, "dialog")
    assert opened.violations_count == 0, opened.generate_report()
    assert len(opened.response["passes"]) > 5


def test_pictures_are_taken_of_every_width_with_and_without_a_script_and_of_its_print(
    browser: Browser, path: Path, tmp_path: Path
) -> None:
    made = screenshots(browser, path, tmp_path / "pictures", widths=(390,), schemes=("dark",))
    assert [one.name for one in made] == ["390-dark.png", "390-without-script.png", "printed.pdf"]
    for picture in made[:2]:
        with Image.open(picture) as drawn:
            assert (drawn.width, drawn.height > 5000) == (390, True)
    assert made[2].read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("past_the_first_wall", [False, True])
def test_no_foreign_script_runs(
    browser: Browser, hostile: Facts, tmp_path: Path, past_the_first_wall: bool
) -> None:
    """Escaping holds; and where raw markup gets into the page, the policy does."""
    text = report_page(hostile)
    if past_the_first_wall:
        text = text.replace("<main>", f"<main>{HOSTILE}", 1)
    written = tmp_path / "hostile.html"
    written.write_text(text, encoding="utf-8", newline="")
    page, said = browser.opened(written)
    page.wait_for_function("document.body.dataset.ready === '1'")
    page.evaluate("drawAll()")
    page.locator("[data-example]").first.click()
    page.evaluate("document.querySelectorAll('details').forEach((node) => { node.open = true; })")
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") <= 1440
    assert "PWNED" not in page.evaluate("document.title").replace(HOSTILE, "")
    assert bool(said) is past_the_first_wall
