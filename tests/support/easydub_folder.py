"""A small data set in the layout of EasyDUB: margins drawn at random."""

from __future__ import annotations

from pathlib import Path

import numpy as np

SHIFT = 3.0
"""By which originals stand above retrained models on what is to be forgotten."""


def write_easydub(
    folder: Path,
    *,
    models: int,
    num_train: int,
    num_val: int,
    forget_sizes: tuple[int, ...],
    ascending: bool = False,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Write it; the ids of the forget sets, in the order of their lists.

    Args:
        folder: to write into.
        models: of pretrain, and oracles of each forget set.
        num_train: training examples.
        num_val: validation examples.
        forget_sizes: of each forget set.
        ascending: whether margins of a forget set stand in the order of ids, in place of that of its list.
        seed: of every draw.
    """
    generator = np.random.default_rng(seed)
    ids = {
        f"forget_{n}": generator.permutation(num_train)[:size] for n, size in enumerate(forget_sizes, start=1)
    }
    middle = generator.normal(4.0, 2.0, num_train + num_val).astype(np.float32)
    lists = folder / "forget_sets" / "cifar10"
    lists.mkdir(parents=True)
    for name, listed in ids.items():
        np.save(lists / f"forget_set_{name.removeprefix('forget_')}.npy", listed)
    for model in range(models):
        margins = middle + generator.standard_normal(len(middle), dtype=np.float32)
        _save(folder, "pretrain/retain", model, margins[:num_train])
        _save(folder, "pretrain/val", model, margins[num_train:])
        for name, listed in ids.items():
            _save(folder, f"pretrain/{name}", model, margins[np.sort(listed) if ascending else listed])
    for name, listed in ids.items():
        forgotten = np.isin(np.arange(len(middle)), listed)
        for model in range(models):
            margins = middle - SHIFT * forgotten + generator.standard_normal(len(middle), dtype=np.float32)
            _save(folder, f"oracle/{name}/retain", model, margins[:num_train][~forgotten[:num_train]])
            _save(folder, f"oracle/{name}/val", model, margins[num_train:])
            _save(folder, f"oracle/{name}/forget", model, margins[np.sort(listed) if ascending else listed])
    return ids


def _save(folder: Path, part: str, model: int, margins: np.ndarray) -> None:
    place = folder / "margins" / "cifar10" / part / "resnet9"
    place.mkdir(parents=True, exist_ok=True)
    np.save(place / f"id_{model}_epoch_23.npy", margins.astype(np.float32))
