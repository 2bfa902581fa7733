"""The command that a page gives where something is missing names the configuration that the page rests on."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from orchestrator.config.settings import canonical, load
from orchestrator.results.commands import configuration, configurations, query, sweep
from orchestrator.results.connection import Results
from orchestrator.store.store import Store
from tasks import fields
from tests.support.fabricated import write_plan


@pytest.mark.parametrize(
    ("name", "changes", "found"),
    [
        ("quick", {"execution.device": "cuda"}, "quick"),
        ("quick", {"data.split_seed": 1}, "CONFIGURATION"),  # a copy of the preset that was edited
        ("quick", {"axes.seed": [0]}, "CONFIGURATION"),
        ("mine", {}, "CONFIGURATION"),
    ],
)
def test_a_preset_as_it_ships_is_named_and_nothing_else_is_taken_for_it(
    tmp_path: Path, name: str, changes: dict[str, object], found: str
) -> None:
    store = Store(str(tmp_path))
    store.check_ready()
    config = canonical(fields.to_plain(load("quick", changes)))
    write_plan(store, "one", [], name=name, config_json=config)
    with Results(str(tmp_path)) as results:
        assert configuration(results) == found


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ([], "twin"),
        (["quick"], "twin"),
        (["mine"], "CONFIGURATION"),
        (["quick", "mine"], "CONFIGURATION"),
        (["mine", "quick"], "CONFIGURATION"),
        (["mine", "twin"], "twin"),
    ],
)
def test_a_claim_is_measured_by_its_preset_unless_results_are_of_the_users_own_configuration(
    tmp_path: Path, names: list[str], found: str
) -> None:
    store = Store(str(tmp_path))
    store.check_ready()
    for name in names:
        config = canonical(fields.to_plain(load("quick" if name == "mine" else name)))
        write_plan(store, f"run-{name}", [], name=name, config_json=config)
    with Results(str(tmp_path), "all" if names else None) as results:
        assert configurations(results, ["twin"])["twin"] == found
    for run, name in ((f"run-{names[0]}", names[0]), (None, names[-1])) if names else ():
        with Results(str(tmp_path), run) as results:
            assert configurations(results, ["twin"])["twin"] == (
                "CONFIGURATION" if name == "mine" else "twin"
            )


def test_a_directory_with_a_blank_is_one_word_of_the_command(tmp_path: Path) -> None:
    root = tmp_path / "my results"
    Store(str(root)).check_ready()
    with Results(str(root)) as results:
        assert sweep(results, "--rerun failed").endswith(f" CONFIGURATION --rerun failed --out '{root}'")
        command = query(results, "roc_one_cell", {"cell_id": "it's"})
    assert shlex.split(command)[-1] == "cell_id=it's"
