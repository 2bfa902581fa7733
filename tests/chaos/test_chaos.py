"""A few seeded kills of each kind; `python -m tests.chaos` goes on for longer."""

import pytest

from tests.chaos.harness import Chaos
from tests.orchestrator.sweeps import write_config


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("backend", "kinds"),
    [("inline", ["driver"] * 4), ("local", ["host", "trial", "dispatcher", "gcs", "host", "ray", "driver"])],
)
def test_kills_lose_and_double_nothing(tmp_path, backend, kinds):
    chaos = Chaos(write_config(tmp_path), tmp_path, 11, lambda line: None)
    chaos.complete(backend, kinds)
    if backend == "inline":
        chaos.pair(backend)
    assert chaos.tally.differences == []
    assert chaos.tally.kills == chaos.tally.survived
    assert sum(chaos.tally.kills.values()) >= len(kinds)
