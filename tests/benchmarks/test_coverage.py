"""Every estimate that Lethe prints has a coverage case, and those that are quick cover, on fixed streams."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from tests.benchmarks.coverage import __main__ as program
from tests.benchmarks.coverage import registry
from tests.benchmarks.coverage.case import Case, Seen, measure

FAST = [case for case in registry.CASES if case.fast]


def test_every_metric_and_macro_with_an_interval_has_a_case():
    assert list(registry.uncovered()) == []
    measured = {registry.metric_of(name) for case in registry.CASES for name in case.estimates}
    assert not measured & registry.WITHOUT.keys()


def test_cases_have_names_of_their_own():
    names = [(case.family, case.name) for case in registry.CASES]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("case", FAST, ids=lambda case: f"{case.family}: {case.name}")
def test_quick_cases_cover(case: Case):
    shown = measure(case, case.fast)
    assert {one.estimate for one in shown} == set(case.estimates)
    for one in shown:
        assert not one.short, f"{one.estimate}: {one.share:.3f} of {one.runs} runs"


def _half_width(generator: np.random.Generator, runs: int, *, width: float) -> dict[str, Seen]:
    value = generator.normal(size=runs)
    return {"made_up": Seen(value, value - width, value + width, 0.0)}


@pytest.mark.parametrize(("width", "code"), [(1.6, 1), (1.96, 0), (2.6, 0)])
def test_the_program_judges(width: float, code: int, monkeypatch, capsys):
    case = Case(
        family="made up", name="normal", estimates=("made_up",), simulate=partial(_half_width, width=width)
    )
    monkeypatch.setattr(registry, "CASES", (case,))
    assert program.main(["--only", "made_up"]) == code
    printed = capsys.readouterr()
    assert ("below 0.93" in printed.err) == (code == 1)
    assert ("ideal" in printed.out) == (width > 2)


def test_a_name_that_no_case_holds_is_refused(capsys):
    assert program.main(["--only", "acuracy"]) == 2
    assert "no case holds 'acuracy'" in capsys.readouterr().err
