"""What several test processes need is made by one of them; what fails to be made is made again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support import made_once


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A place of this test's own, in the stead of that of the session."""
    of_session = [*made_once._shared]
    made_once.share(tmp_path)
    yield tmp_path
    made_once._shared[:] = of_session


def test_of_those_that_ask_at_once_one_makes_and_the_others_wait(place: Path) -> None:
    """Threads stand for processes here: the lock is of a file that each opens."""
    made: list[Path] = []

    def make(folder: Path) -> None:
        made.append(folder)
        time.sleep(0.2)  # longer than it takes the others to ask
        (folder / "results").write_text("whole")

    with ThreadPoolExecutor(3) as pool:
        folders = [pool.submit(made_once.made_once, "thing", make) for _ in range(3)]
        assert {(folder.result() / "results").read_text() for folder in folders} == {"whole"}
    assert made == [place / "thing"]


def test_what_could_not_be_made_leaves_nothing_to_be_taken_for_it(place: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise ValueError("no room")

    with pytest.raises(ValueError, match="no room"):
        made_once.made_once("thing", fail)
    folder = made_once.made_once("thing", lambda folder: (folder / "whole").touch())
    assert [path.name for path in folder.iterdir()] == ["whole"]
