"""`auto` is a named device in the plan: the one of this machine, found without torch."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.audit.request import configured, planned
from orchestrator.bench.check import check_models
from orchestrator.config.settings import load
from orchestrator.plan import device, grid
from orchestrator.plan.cells import Plan
from orchestrator.plan.grid import make_plan
from tasks.errors import AuditError
from tests.support.sweeps import sweep, write_config


class Driver:
    """What libcuda answers on a machine."""

    def __init__(self, gpus: int, error: int = 0) -> None:
        self.gpus, self.error = gpus, error

    def cuInit(self, flags: int) -> int:
        return self.error

    def cuDeviceGetCount(self, count: object) -> int:
        count._obj.value = self.gpus  # type: ignore[attr-defined]
        return 0


@pytest.mark.parametrize(
    ("driver", "built_for_cuda", "visible", "expected"),
    [
        (Driver(2), True, None, "cuda"),
        (Driver(0), True, None, "cpu"),
        (Driver(1, error=100), True, None, "cpu"),
        (Driver(1), False, None, "cpu"),
        (Driver(1), True, "", "cpu"),
        (None, True, None, "cpu"),
    ],
)
def test_the_gpu_counts_where_driver_and_torch_have_it(
    driver: Driver | None,
    built_for_cuda: bool,
    visible: str | None,
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def load_library(name: str) -> Driver:
        assert name == "libcuda.so.1"
        if driver is None:
            raise OSError(name)
        return driver

    monkeypatch.setattr(ctypes, "CDLL", load_library)
    monkeypatch.setattr(device, "_torch_has_cuda", lambda: built_for_cuda)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert device.this_machines_device() == expected


def test_apple_silicon_has_mps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(device.platform, "machine", lambda: "arm64")
    assert device.this_machines_device() == "mps"


@pytest.mark.parametrize(("line", "expected"), [("'12.4'", True), ("None", False)])
def test_the_build_of_torch_is_read_from_its_version_file(
    line: str, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("")
    (tmp_path / "torch" / "version.py").write_text(f"debug = False\ncuda: Optional[str] = {line}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert device._torch_has_cuda() is expected


def test_the_answer_is_that_of_torch() -> None:
    program = (
        "import sys\n"
        "from orchestrator.plan.device import this_machines_device\n"
        "found = this_machines_device()\n"
        "assert not {'torch', 'ray'} & set(sys.modules)\n"
        "import torch\n"
        "has = {'cuda': torch.cuda.is_available(), 'mps': torch.backends.mps.is_available()}\n"
        "assert found == next((name for name, there in has.items() if there), 'cpu'), found\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def of_the_device(plan: Plan) -> list[str]:
    return [note for note in plan.notes if "execution.device" in note]


def test_the_plan_names_the_device_and_says_so_for_a_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(write_config(tmp_path))
    monkeypatch.setattr(grid, "this_machines_device", lambda: "cpu")
    here = make_plan(load(path, {"execution.device": "auto"}))
    assert (here.config.execution.device, of_the_device(here)) == ("cpu", [])
    assert here.models.keys() == make_plan(load(path, {"execution.device": "cpu"})).models.keys()
    cluster = {"execution.device": "auto", "execution.backend": "cluster"}
    (note,) = of_the_device(make_plan(load(path, cluster)))
    assert 'execution.device = "auto" is cpu' in note
    assert note.endswith('execution.device = "cuda"')
    assert of_the_device(make_plan(load(path, cluster | {"execution.device": "cuda"}))) == []


@pytest.mark.parametrize("backend", ["inline", "local"])
def test_a_device_that_is_not_here_is_said_before_anything_is_written(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "this_machines_device", lambda: "cpu")
    monkeypatch.setattr(device, "_torch_has_cuda", lambda: True)
    words = [write_config(tmp_path), "--out", tmp_path / "results", "--backend", backend]
    for more in ([], ["--dry-run"]):
        ran = sweep(*words, "--set", "execution.device=cuda", *more)
        assert ran.returncode == 2
        assert ran.stderr == (
            "error: execution.device: this machine has no cuda device (none answers); use auto or cpu, or "
            "--backend cluster where nodes have one\n"
        )
    assert not (tmp_path / "results").exists()


def test_a_head_without_gpus_plans_and_checks_what_its_workers_run(tmp_path: Path) -> None:
    asked = {"execution.device": "cuda", "execution.hosts": 8, "execution.backend": "cluster"}
    config = configured(str(write_config(tmp_path)), asked)
    check_models(planned(config))
    with pytest.raises(AuditError, match="last-99 of an architecture with 4 blocks"):
        check_models(planned(configured(config, {"axes.scope": ["last-99"]})))


@pytest.mark.parametrize(
    ("named", "precision", "expected"),
    [("cpu", "tf32", "no or bf16"), ("cpu", "fp16", "no or bf16"), ("mps", "tf32", "no or bf16 or fp16")],
)
def test_a_precision_that_no_such_device_has_is_said_while_planning(
    named: str, precision: str, expected: str, tmp_path: Path
) -> None:
    asked = {"execution.device": named, "execution.precision": precision, "execution.backend": "cluster"}
    told = f"execution.precision: '{precision}' is not for device {named}; expected {expected}"
    with pytest.raises(AuditError, match=told):
        make_plan(load(str(write_config(tmp_path)), asked))


def test_tf32_is_part_of_every_id(tmp_path: Path) -> None:
    path, asked = str(write_config(tmp_path)), {"execution.device": "cuda"}
    full, rounded = (make_plan(load(path, asked | {"execution.precision": p})) for p in ("no", "tf32"))
    assert not full.models.keys() & rounded.models.keys()
