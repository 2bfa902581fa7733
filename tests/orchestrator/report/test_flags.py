"""Flags of the report that contradict each other, or name what cannot be written, are one line before any work."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.report.__main__ import main
from orchestrator.results.claim_sentences import _number
from tests.support.commands import here


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--width", "3"), "--width: expected --figures DIRECTORY beside it"),
        (("--style", "grey"), "--style: expected --figures DIRECTORY beside it"),
        (("--facts", "page", "--output", "page"), "--facts: expected another file than --output"),
        (("--output", "."), "--output: expected a file, got the directory ."),
        (("--figures", "a file/figures"), "--figures: expected a directory, got the file"),
        (("--output", "report.pdf"), "no form with the suffix '.pdf'. Valid: .htm, .html"),
        (("--facts", "facts.csv"), "--facts: no form with the suffix '.csv'. Valid: .json"),
        (
            ("--figures", "forest.pdf"),
            "--figures: expected a directory such as forest, got forest.pdf, a name for a file",
        ),
        (("--figures", "f", "--width", "1e9"), "--width: expected 100 or less, got 1e9"),
        (("--figures", "f", "--width", "nan"), "--width: expected 1 or more, got nan"),
        (("--watch", "--every", "9" * 20), "--every: expected 86400 or less, got 999"),
        (("--figures", "figures", "--watch"), "--figures: expected without --watch"),
    ],
)
def test_it_is_one_line_and_nothing_is_written(tmp_path: Path, words: tuple[str, ...], told: str) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "a file").touch()
    ran = here(main, "results", *words, folder=tmp_path)
    assert ran.returncode == 2
    (line,) = ran.stderr.splitlines()
    assert told in line
    assert {path.name for path in tmp_path.iterdir()} == {"results", "a file"}


def test_a_sentence_has_no_zero_below_zero() -> None:
    assert (_number(-1e-9), _number(-1e-9, "+"), _number(-0.25, "+")) == ("0.000", "+0.000", "-0.250")
