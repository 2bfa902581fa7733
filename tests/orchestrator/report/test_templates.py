"""Templates: what is given is escaped, what is not given is an error, and a policy names exactly the scripts."""

from __future__ import annotations

import json
import re

import pytest
from jinja2 import UndefinedError
from markupsafe import Markup

from orchestrator.report.templates import (
    Head,
    breakable,
    environment,
    json_block,
    listed,
    number,
    percent,
    render,
    source_hash,
    unescaped,
)

HOSTILE = "</script><script>alert(1)</script><img src=x onerror='alert(2)'>{{ 7 * 7 }}\u2028&amp;"


def test_a_value_is_text_and_a_missing_one_an_error() -> None:
    head = Head(title=HOSTILE, style=Markup("a{}"))
    page = render("base.html.j2", head=head)
    assert "<img" not in page
    assert "&lt;img src=x" in page
    assert "{{ 7 * 7 }}" in page
    with pytest.raises(UndefinedError):
        render("base.html.j2")
    with pytest.raises(UndefinedError):
        environment().from_string("{{ known.unknown }}").render(known={})


def test_a_page_refreshes_only_where_it_is_asked_to() -> None:
    plain = Head(title="t", style=Markup(""))
    assert 'http-equiv="refresh"' not in render("base.html.j2", head=plain)
    live = Head(title="t", style=Markup(""), refresh=5)
    assert '<meta http-equiv="refresh" content="5">' in render("base.html.j2", head=live)


def test_the_policy_names_the_scripts_that_are_written_and_no_other() -> None:
    scripts = (unescaped("let a = 1;\n"), unescaped("let \u00e4 = 2;"))
    page = render("base.html.j2", head=Head(title="t", style=Markup(""), scripts=scripts))
    written = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    named = re.findall(r"sha256-[^&]+", re.search(r'Policy" content="([^"]+)"', page)[1])
    assert [source_hash(text) for text in written] == [f"'{name}'" for name in named]
    assert "script-src &#39;none&#39;" in render("base.html.j2", head=Head(title="t", style=Markup("")))


def test_json_in_a_page_reads_back_and_ends_nothing() -> None:
    value = {HOSTILE: [HOSTILE, 1.5, None]}
    text = json_block(value)
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == value
    with pytest.raises(ValueError, match="JSON"):
        json_block(float("nan"))


@pytest.mark.parametrize("text", ["a </script >", "</STYLE>", "<!-- b"])
def test_what_would_end_its_element_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="would end the element"):
        unescaped(text)


def test_numbers_as_every_page_writes_them() -> None:
    assert (number(None), number(-0.12345), number(-0.0001), number(2.5, 1)) == (
        "\N{EN DASH}",
        "\N{MINUS SIGN}0.123",
        "0.000",
        "2.5",
    )
    assert (percent(0.125, 1), percent(None)) == ("12.5\N{NO-BREAK SPACE}%", "\N{EN DASH}")
    assert (listed(range(5), 3), listed("ab", 3)) == ("0, 1, 2 and 2 more", "a, b")
    assert breakable("a_b <i>_") == "a_<wbr>b &lt;i&gt;_<wbr>"
