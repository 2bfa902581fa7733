"""What a program is handed as files, and the weights that it gives back.

Weights are safetensors under the names of the model's state dict, ids are text with one a line, `data.npz` holds the
examples that a method may use and no others: see `tasks.training.resident.Resident.plain`.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from tasks.errors import AuditError
from tasks.networks.finished import BODY
from tasks.networks.models import Classifier
from tasks.runtime import weights
from tasks.runtime.costs import count_program
from tasks.runtime.program import ProgramFailed, Supervised, cleaned, supervised
from tasks.training.resident import Subset
from tasks.unlearn.parts.handed import HANDED
from tasks.unlearn.run import UnlearningRun

if TYPE_CHECKING:
    from torch import nn

HEADER_BYTES = 1 << 20
"""That the header of what a program writes may be longer than ours, for names of its own among the metadata."""
ROOM_BYTES, ROOM_FACTOR = 1 << 30, 4
"""What a program may write besides: a gigabyte, and so many times what it was handed."""
LARGEST_SEED = 2**32
"""NumPy takes no larger."""


def run_on_files(
    run: UnlearningRun,
    handed: Container[str],
    arguments: Callable[[Mapping[str, str]], Sequence[str]],
    *,
    own_names: bool = False,
) -> None:
    """Run a program on the original of a run, and put what it wrote into `run.model`.

    Args:
        run: gives what is handed over.
        handed: placeholders that the program's arguments hold; files of others are not written.
        arguments: of what every placeholder stands for: the program and its arguments.
        own_names: whether the program calls parameters as the network within the model does, not as the model.

    Raises:
        ProgramFailed: see `tasks.runtime.program` and `read_weights`.
    """
    with supervised() as place:
        network = run.model.body if own_names and isinstance(run.model, Classifier) else run.model
        original = weights.dump(network)
        values = _hand_over(run, handed, place.folder, original, "" if network is run.model else BODY)
        given = sum(path.stat().st_size for path in place.folder.iterdir())
        seconds = place.run(
            arguments(values),
            environment=cleaned(torch.get_num_threads()),
            most_bytes=ROOM_BYTES + ROOM_FACTOR * given,
        )
        count_program(run.device, seconds)
        _take(network, place, most_bytes=len(original) + HEADER_BYTES)


def _hand_over(
    run: UnlearningRun, handed: Container[str], folder: Path, original: bytes, prefix: str
) -> dict[str, str]:
    """Write the files that are asked for, with names less a prefix, and return what every placeholder stands for."""
    write: Mapping[str, Callable[[Path], object]] = {
        "original": lambda path: path.write_bytes(original),
        "unlearned": lambda path: None,
        "forget_ids": lambda path: _write_ids(path, run.forget),
        "retain_ids": lambda path: _write_ids(path, run.retain),
        "validation_ids": lambda path: _write_ids(path, run.validation),
        "data": lambda path: _write_data(path, run),
        "trainable": lambda path: path.write_text(
            "".join(f"{n.removeprefix(prefix)}\n" for n in sorted(run.scope.movable)), "utf-8"
        ),
    }
    for name in write:
        if name in handed:
            write[name](folder / HANDED[name])
    text = {"scope": run.scope.text, "seed": str(run.seed % LARGEST_SEED), "device": str(run.device)}
    return text | {name: str(folder / file) for name, file in HANDED.items() if file}


def _write_ids(path: Path, subset: Subset) -> None:
    path.write_text("".join(f"{i}\n" for i in subset.ids.tolist()), "ascii")


def _write_data(path: Path, run: UnlearningRun) -> None:
    """The examples of the run, by ascending id, under the targets that the run gives them."""
    parts = [subset for subset in (run.forget, run.retain, run.validation) if len(subset)]
    joined = Subset(
        data=run.forget.data,
        ids=torch.cat([part.ids for part in parts]),
        targets=torch.cat([part.targets for part in parts]),
    )
    np.savez(path, **joined.data.plain(joined.at(joined.ids.argsort())))  # type: ignore[arg-type]


def _take(model: nn.Module, place: Supervised, *, most_bytes: int) -> None:
    """Put the weights that the program wrote into the model.

    Raises:
        ProgramFailed: there are none, they are longer than they may be or damaged, their names, shapes or types are
            not the model's, or one is not finite.
    """
    path = place.folder / HANDED["unlearned"]
    try:
        found = path.lstat()
    except OSError:
        raise ProgramFailed(
            f"the program ended well and wrote no {{unlearned}}{place.last_lines()}"
        ) from None
    if not stat.S_ISREG(found.st_mode):
        raise ProgramFailed("{unlearned}: expected a file, got a link, a folder or something else")
    if found.st_size > most_bytes:
        raise ProgramFailed(
            f"{{unlearned}}: expected at most {most_bytes:,} bytes, as the original has, got {found.st_size:,}"
        )
    try:
        weights.load(model, path.read_bytes())
    except AuditError as error:
        raise ProgramFailed(f"{{unlearned}}: {error}") from None
    except OSError as error:
        raise ProgramFailed(f"{{unlearned}}: cannot be read: {error.strerror}") from None
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ProgramFailed(f"{{unlearned}}: '{name}' holds a number that is not finite")
