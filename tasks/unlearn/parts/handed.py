"""What a program is handed: the placeholders of its arguments. Imports no torch."""

from __future__ import annotations

import re

HANDED = {
    "original": "original.safetensors",
    "unlearned": "unlearned.safetensors",
    "forget_ids": "forget_ids.txt",
    "retain_ids": "retain_ids.txt",
    "validation_ids": "validation_ids.txt",
    "data": "data.npz",
    "trainable": "trainable.txt",
    "scope": "",
    "seed": "",
    "device": "",
}
"""What a placeholder stands for: the name of a file in the program's folder; empty: text."""
PLACEHOLDER = re.compile(r"\{([A-Za-z_]\w*)\}")
FORM = "1"
"""Raised whenever other files are handed over, or the same in another form."""
