"""The page of a real sweep, which several files of tests look at."""

from __future__ import annotations

import functools

from orchestrator.report.facts.facts import Facts
from orchestrator.report.write import build
from tests.support.audited import audited_root


@functools.cache
def audited_page() -> tuple[str, Facts]:
    """The page of the finished sweep and what it says; made once in a process."""
    return build(audited_root())
