"""No variable of the environment changes a number: digests of trainings and unlearnings under each of them."""

from __future__ import annotations

import ast
import functools
import os
import re
import subprocess
import sys
from pathlib import Path

import accelerate
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import PartialState

from tasks.runtime.devices import Engine
from tasks.runtime.environment import is_launcher, without_launcher

ROOT = Path(__file__).parents[3]
DIGESTS = """
import hashlib, sys
import orchestrator  # as every command and worker does first
import numpy as np, torch
from tasks.runtime import weights
from tasks.contracts import small_run
from tasks.runtime.devices import Engine, limit_threads
from tasks.networks.models import build
from tasks.training.recipe import Recipe
from tasks.training.resident import ResidentData
from tasks.training.train import train
from tasks.unlearn.base import methods

def digest(data):
    return hashlib.sha256(data).hexdigest()[:12]

def trained(name, options, precision):
    model = build(name, options, image_shape=(1, 16, 16), num_classes=4, mean=0.5, std=0.25, seed_path=("a",))
    engine = Engine(device="auto", precision=precision)
    recipe = Recipe(epochs=2, batch_size=16, lr=0.05)
    train(model.to(engine.device), data.subset(range(40)), recipe, seed_path=("b",), engine=engine)
    return weights.dump(model)

limit_threads(1)
generator = np.random.default_rng(0)
images = generator.random((40, 1, 16, 16)).astype(np.float32)
data = ResidentData.put(images, np.arange(40) % 4, 4, Engine(device="auto").device)
net = "resnet18", {"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 16]}
print("convolutions", digest(trained(*net, "no")))
print("bf16", digest(trained(*net, "bf16")))
small = {"depth": 2, "img_size": 16, "embed_dim": 48, "num_heads": 3}
print("attention", digest(trained("vit_tiny_patch16_224", small, "no")))
run = small_run()
methods.build("finetune", {}, where="test")(run)
print("unlearning", digest(weights.dump(run.model)))
table = generator.standard_normal((300, 300))
print("numpy", digest((table @ table).tobytes() + (table.astype("f4") @ table.astype("f4")).tobytes()))
"""
CHANGED = {
    "gradients": {"ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "4"},
    "device": {"ACCELERATE_TORCH_DEVICE": "meta"},
    "plug-ins": {
        "ACCELERATE_USE_DEEPSPEED": "true",
        "ACCELERATE_USE_MEGATRON_LM": "true",
        "ACCELERATE_USE_PARALLELISM_CONFIG": "true",
        "PARALLELISM_CONFIG_TP_SIZE": "2",
        "ACCELERATE_USE_SAGEMAKER": "true",
    },
    "launcher": {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"},
    "mpi": {"PMI_SIZE": "2", "OMPI_COMM_WORLD_SIZE": "2", "MV2_COMM_WORLD_SIZE": "2"},
    "malformed": {
        "FORK_LAUNCHED": "perhaps",
        "ACCELERATE_DYNAMO_USE_FULLGRAPH": "maybe",
        "ACCELERATE_LOG_LEVEL": "loud",
    },
    "timm": {"TIMM_FUSED_ATTN": "0"},
    "timm's class": {"TIMM_USE_NAFLEXVIT": "true"},
    "ATen": {"ATEN_CPU_CAPABILITY": "default"},
    "oneDNN": {"ONEDNN_MAX_CPU_ISA": "SSE41"},
    "oneDNN's old name": {"DNNL_MAX_CPU_ISA": "SSE41"},
    "MKL": {"MKL_CBWR": "COMPATIBLE"},
    "MKL's instructions": {"MKL_ENABLE_INSTRUCTIONS": "SSE4_2"},
    "OpenBLAS": {"OPENBLAS_CORETYPE": "Nehalem"},
    "threads": {"OMP_NUM_THREADS": "2"},
}
"""Every one of these once changed a digest, or ended the program, on an Intel processor with AVX-512."""
TOGETHER = {
    "accelerate": ("gradients", "device", "plug-ins", "launcher", "mpi", "malformed"),
    "kernels": ("timm", "timm's class", "ATen", "oneDNN", "MKL", "MKL's instructions"),
    "numpy": ("OpenBLAS", "threads"),
}
HARMLESS = {
    "NCCL_IB_DISABLE",
    "NCCL_P2P_DISABLE",
    "OMP_NUM_THREADS",
    "PT_HPU_LAZY_MODE",
}
"""What accelerate reads elsewhere: of links between devices, of launched CPU processes, of Gaudi."""


def digests(environment: dict[str, str]) -> str:
    """What the program prints in a process of its own."""
    known = {name: value for name, value in os.environ.items() if not is_launcher(name)}
    told = {**known, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment}
    ran = subprocess.run(
        [sys.executable, "-c", DIGESTS], env=told, cwd=ROOT, capture_output=True, text=True, timeout=200
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@functools.cache
def undisturbed() -> str:
    return digests({})


@pytest.mark.parametrize("names", TOGETHER.values(), ids=TOGETHER)
def test_variables_change_no_number(names: tuple[str, ...]) -> None:
    assert digests({k: v for name in names for k, v in CHANGED[name].items()}) == undisturbed()


@pytest.mark.slow
@pytest.mark.parametrize("variables", CHANGED.values(), ids=CHANGED)
def test_a_variable_alone_changes_no_number(variables: dict[str, str]) -> None:
    """Two may hide each other."""
    assert digests(variables) == undisturbed()


def read_by(path: Path) -> set[str]:
    """Variables that a module of accelerate reads, and prefixes of them."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if (
            isinstance(node, ast.Call)
            and node.args
            and re.search(r"(environ\.get|getenv|_from_env)$", ast.unparse(node.func))
        ):
            first = node.args[0].elts if isinstance(node.args[0], ast.List) else node.args[:1]
            found |= {item.value for item in first if isinstance(item, ast.Constant)}
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            targets = {target.id for target in node.targets if isinstance(target, ast.Name)}
            found |= {node.value.value} if targets & {"prefix", "env_prefix"} else set()
    return found


def test_every_variable_that_accelerate_reads_is_known() -> None:
    """A new release may read another, which is then hidden too, or named as harmless."""
    base = Path(accelerate.__file__).parent
    files = ("state.py", "accelerator.py", "parallelism_config.py", "utils/dataclasses.py")
    found = {name for file in files for name in read_by(base / file)}
    assert {"ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "PMI_SIZE", "LOCAL_RANK", "FSDP_"} <= found
    assert {name for name in found if not is_launcher(name)} <= HARMLESS


def test_the_users_program_keeps_its_launcher_and_its_accelerator(monkeypatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    with without_launcher():
        mine = Accelerator(cpu=True, gradient_accumulation_steps=8)
    engine = Engine(device="cpu", precision="bf16")
    assert os.environ["WORLD_SIZE"] == "4"
    assert (mine.gradient_accumulation_steps, mine.mixed_precision) == (8, "no")
    assert PartialState().device.type == "cpu"
    weight = torch.ones(2, requires_grad=True)
    engine.backward((3 * weight).sum())
    assert torch.equal(weight.grad, torch.full((2,), 3.0))


def test_cublas_works_in_the_one_way_whatever_the_user_asks_for(monkeypatch) -> None:
    """Another size of its workspace is another order of sums; :0:0 is none that is deterministic."""
    for name, value in (("CUBLAS_WORKSPACE_CONFIG", ":0:0"), ("NVIDIA_TF32_OVERRIDE", "0")):
        monkeypatch.setenv(name, value)
    Engine(device="cpu")
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert "NVIDIA_TF32_OVERRIDE" not in os.environ
