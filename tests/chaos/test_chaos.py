"""A few seeded kills of each kind; `python -m tests.chaos` goes on for longer."""

import pytest

from tests.chaos.harness import SHADOWS, Chaos, Tally
from tests.support.sweeps import TINY, write_config


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("sweep", "backend", "kinds"),
    [
        (TINY, "inline", ["driver"] * 4),
        (TINY, "local", ["host", "trial", "dispatcher", "gcs", "host", "ray", "driver"]),
        (SHADOWS, "inline", ["driver"] * 4),
        (SHADOWS, "local", ["shadow", "pause", "raylet", "stop", "driver", "shadow", "host", "trial"]),
    ],
    ids=["cells inline", "cells on Ray", "shadows inline", "shadows on Ray"],
)
def test_kills_lose_and_double_nothing(tmp_path, sweep, backend, kinds):
    chaos = Chaos(write_config(tmp_path, sweep), tmp_path, 11, lambda line: None, Tally())
    chaos.complete(backend, kinds)
    if backend == "inline":
        chaos.pair(backend)
    assert chaos.tally.differences == []
    assert chaos.tally.kills == chaos.tally.survived
    assert sum(chaos.tally.kills.values()) >= len(kinds)
