"""A browser for the tests of a file, and results whose every name is hostile, which two files look at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from orchestrator.report.facts.facts import Facts
from tests.support.browsers import Browser, launched
from tests.support.hostile import hostile_facts


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """For one file: while playwright runs, no other test of the process could run an event loop of its own."""
    with launched() as browser:
        yield browser


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Facts:
    """Of results whose architecture, forget set, methods, class names and texts are hostile."""
    return hostile_facts(str(tmp_path_factory.mktemp("made")))
