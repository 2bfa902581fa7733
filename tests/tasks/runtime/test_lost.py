"""A block that fails is asked about its device: one that works no longer is no failure of the block."""

import pytest
import torch

from tasks.errors import AuditError
from tasks.runtime import lost
from tasks.runtime.lost import DeviceLost, answers, watched
from tasks.runtime.time_limit import TimeLimit

CPU = torch.device("cpu")
ASSERT = "CUDA error: device-side assert triggered\nCUDA kernel errors might be asynchronously reported"


def test_a_failure_on_a_device_that_answers_stays_what_it_is():
    assert answers(CPU)
    assert type(met_while_watched(SystemExit(1))) is SystemExit
    with pytest.raises(AuditError, match="mine"), watched(CPU):
        raise AuditError("mine")


def met_while_watched(error):
    """What comes out of a watched block that raises, past whatever takes failures for results."""
    try:
        with watched(CPU):
            raise error
    except (Exception, SystemExit) as taken:
        return taken
    except DeviceLost as passed:
        return passed


def test_no_exception_of_a_plugin_hides_that_the_device_is_lost(monkeypatch):
    monkeypatch.setattr(lost, "answers", lambda device: False)
    met = met_while_watched(ValueError(ASSERT))
    assert type(met) is DeviceLost
    assert not isinstance(met, Exception)
    assert str(met) == "device cpu: lost to its process: CUDA error: device-side assert triggered"
    assert type(met_while_watched(TimeLimit("busy"))) is TimeLimit
    left = met_while_watched(SystemExit(ASSERT))
    assert type(left) is DeviceLost
    assert "the code called sys.exit(CUDA error: device-side assert triggered)" in str(left)


@pytest.mark.parametrize(
    ("met", "expected"),
    [
        (torch.OutOfMemoryError("full"), True),
        (
            RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be"),
            True,
        ),  # of the context itself
        (RuntimeError(ASSERT), False),
        (AssertionError("none"), False),
    ],
)
def test_a_device_without_memory_is_not_lost(met, expected, monkeypatch):
    def fails(*shape, device):
        raise met

    monkeypatch.setattr(torch, "ones", fails)
    assert answers(CPU) is expected
