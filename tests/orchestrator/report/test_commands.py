"""The command that a page gives where something is missing names the configuration that the page rests on."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.config.settings import canonical, load
from orchestrator.report.blocks import Context, Missing
from orchestrator.report.commands import configuration
from orchestrator.report.write import build
from orchestrator.results.connection import Results
from orchestrator.results.evidence import gather
from orchestrator.store.store import Store
from tasks import fields
from tests.support.audited import audited_root
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


def test_no_command_of_a_page_falls_back_on_the_preset_that_a_bare_sweep_runs() -> None:
    _, sections = build(audited_root())
    commands = [b.command for s in sections for b in s.blocks if isinstance(b, Missing)]
    assert commands
    assert all(one.startswith("python -m orchestrator.sweep CONFIGURATION ") for one in commands)


def test_a_directory_with_a_blank_is_one_word_of_the_command() -> None:
    with Results(audited_root()) as results:
        context = Context(results=results, root="my results", evidence=gather(results))
        assert context.sweep("--rerun failed").endswith(" CONFIGURATION --rerun failed --out 'my results'")
