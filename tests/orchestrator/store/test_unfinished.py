"""Which directories their writers have left behind."""

from __future__ import annotations

from pathlib import Path

from orchestrator.store.unfinished import DIRECTORY, abandoned, directory_beside


def test_a_directory_is_abandoned_once_its_writer_has_gone(tmp_path: Path) -> None:
    with directory_beside(tmp_path / "results") as made:
        assert DIRECTORY.fullmatch(made.name)["target"] == "results"
        assert not abandoned(made)
    assert abandoned(made)


def test_neither_a_link_nor_what_is_not_there_is_abandoned(tmp_path: Path) -> None:
    """A link would lead to files that no writer of results has made."""
    elsewhere, link = tmp_path / "elsewhere", tmp_path / ".results.partial-0123abcd"
    elsewhere.mkdir()
    link.symlink_to(elsewhere)
    assert not abandoned(link)
    assert not abandoned(tmp_path / "absent")
