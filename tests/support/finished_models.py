"""Small finished models as files, and a configuration that names them."""

from __future__ import annotations

from pathlib import Path

import safetensors.torch
import timm
import torch

NARROW = {"layers": [1, 1, 1, 1], "channels": [4, 4, 4, 4]}
BEGIN = """
[data]
name = "synthetic"
options = { num_train = 60, num_test = 20, num_classes = 3, channels = 1, height = 8, width = 8, seed = 1 }
[axes]
architecture = ["net"]
attack = ["none", "population"]
forget_set = ["random:count=10"]
[architectures.net]
timm = "resnet18"
stem = "timm"
options = { layers = [1, 1, 1, 1], channels = [4, 4, 4, 4] }
[execution]
backend = "inline"
device = "cpu"
"""


def write_model(path: Path, *, seed: int) -> None:
    """Newly initialised weights of that architecture."""
    torch.manual_seed(seed)
    model = timm.create_model("resnet18", num_classes=3, in_chans=1, **NARROW)
    path.unlink(missing_ok=True)
    safetensors.torch.save_file(model.state_dict(), path)
