"""Results that answer all nine claims, with what was drawn: an effect, none, or too few originals to say."""

from __future__ import annotations

import atexit
import functools
import json
import shutil
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np

from orchestrator.store.store import Store
from tests.support.fabricated import setting_of

Kind = Literal["effect", "none", "few"]
SPLITS = ("forget", "retain", "test")
ORDERS = {"rsu": "high_to_low", "rsu_reversed": "low_to_high", "rsu_shuffled": "shuffled"}
METHODS = ("finetune", "scrub", "twin", *ORDERS)
SCOPED = "intermediate+last"
LAYERS = ("norm1", "norm2")
EPS = 0.1
TARGETS = 24
EPOCHS = (1, 2)
SHADOWED = ("finetune", "scrub")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Made:
    """The results and the numbers in them."""

    root: str
    seeds: int
    shadows: int
    gaps: dict[tuple[str, str], np.ndarray]
    """Of method and scope: distances to the retrained model, seeds x splits."""
    costs: dict[tuple[str, str], np.ndarray]
    """Device seconds of each seed."""
    losses: dict[str, np.ndarray]
    """Of a method of scope all: robust accuracy of the retrained model less its own, by seed."""
    unevenness: dict[str, np.ndarray]
    """Fairness gaps, seeds x layers."""
    trained: np.ndarray
    """Whether a shadow model was trained on a target, shadows x targets."""
    phi: dict[tuple[str, int | None], np.ndarray]
    """Of a method (none: as trained) and epoch (None: the end): shadows x targets."""
    worse: dict[tuple[str, str], tuple[float, float, float, int, int]]
    """Of method and split: share, difference to retraining, its error, examples worse, after retraining."""


@functools.cache
def claim_results(kind: Kind) -> Made:
    """Made once, not to be written to."""
    generator = np.random.default_rng({"effect": 1, "none": 2, "few": 3}[kind])
    seeds, shadows = (2, 4) if kind == "few" else (5, 16)
    is_so = kind != "none"
    root = tempfile.mkdtemp(prefix=f"lethe-claims-{kind}-")
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    trained = np.zeros((shadows, TARGETS), bool)
    trained[::2] = generator.random((shadows // 2, TARGETS)) < 0.5
    trained[1::2] = ~trained[::2]
    methods = ("retrain", *METHODS)
    losses = {
        name: (0.1 * is_so) * (name != "retrain") + 0.01 * generator.normal(size=seeds) * (name != "retrain")
        for name in methods
    }
    made = Made(
        root=root,
        seeds=seeds,
        shadows=shadows,
        gaps=_gaps(generator, seeds, is_so),
        costs={
            (name, scope): generator.uniform(0.9, 1.1, seeds) * (0.5 if scope == SCOPED else 1.0)
            for name in METHODS
            for scope in ("all", SCOPED)
        },
        losses=losses,
        unevenness={
            name: (1 + is_so * 3 * losses[name][:, None]) + 0.02 * generator.normal(size=(seeds, len(LAYERS)))
            for name in methods
        },
        trained=trained,
        phi=_phi(generator, trained, is_so),
        worse={
            (name, split): (0.5, (0.1 if is_so else -0.1) + 0.001 * place, 0.02, 9 + place, 4)
            for place, name in enumerate(SHADOWED)
            for split in ("forget", "retain")
        },
    )
    _write(made)
    return made


def _gaps(generator: np.random.Generator, seeds: int, is_so: bool) -> dict[tuple[str, str], np.ndarray]:
    near = {"twin": 0.01, "rsu": 0.025} if is_so else {}
    gaps = {}
    for name in METHODS:
        gaps[name, "all"] = near.get(name, 0.05) + 0.002 * generator.normal(size=(seeds, len(SPLITS)))
        gaps[name, SCOPED] = (
            gaps[name, "all"] + (0.0 if is_so else 0.1) + 0.002 * generator.normal(size=(seeds, 3))
        )
    if not is_so:
        gaps["finetune", "all"] -= 0.02  # a rival that is closer than twin
    return gaps


def _phi(
    generator: np.random.Generator, trained: np.ndarray, is_so: bool
) -> dict[tuple[str, int | None], np.ndarray]:
    """Before: separations of 1 to 4, more where the risk is higher. After an effect: little is left of high risk, so
    that examples differ at every epoch; without: nothing is left, and targets are alike."""
    shape = trained.shape
    risk = np.linspace(1, 4, TARGETS)
    difficulty = np.linspace(-3, 3, TARGETS) if is_so else np.zeros(TARGETS)
    left = np.where(np.arange(TARGETS) < TARGETS // 2, 0.9, 0.2) if is_so else np.full(TARGETS, 0.0)
    means = {("none", None): risk}
    for name in SHADOWED:
        means |= {(name, epoch): risk * left for epoch in (*EPOCHS, None)}
    return {
        key: (difficulty + trained * mean + 0.4 * generator.normal(size=shape)).astype(np.float32)
        for key, mean in means.items()
    }


def _write(made: Made) -> None:
    store = Store(made.root)
    store.check_ready()
    rows: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(dict)
    for seed in range(made.seeds):
        _plain(rows, made, "retrain", "all", seed)
        for method, scope in made.gaps:
            _plain(rows, made, method, scope, seed)
        for method in made.losses:
            _attacked(rows, made, method, seed)
    for method in ("retrain", *SHADOWED):
        _compared(rows, made, method)
    for table, by_key in rows.items():
        store.write_all(table, by_key)
    for method in ("none", *SHADOWED):
        for shadow in range(made.shadows):
            path = {"architecture": "net", "method": method, "scope": "none" if method == "none" else "all"}
            store.write("observations", f"work-{method}-{shadow}", _observed(made, method, shadow), **path)


def _cell(rows: dict, method: str, scope: str, seed: int, attack: str, **more: Any) -> str:
    cell_id = f"{method}-{scope}-{attack}-{seed}"
    params = {"order": ORDERS[method], "ranking": "loss", "groups": 3} if method in ORDERS else {}
    row = {
        "model_id": f"{method}-{scope}-{seed}",
        "reference_id": f"retrain-all-{seed}",
        "dataset": "digits",
        "architecture": "net",
        "method": method,
        "scope": scope,
        "attack": attack,
        "attack_family": attack,
        "method_params_json": json.dumps(params),
        "forget_set": "random",
        "forget_digest": "f0",
        "forget_size": TARGETS,
        "seed": seed,
        "role": "reference" if method == "retrain" else "audited",
        "status": "finished",
        "finished_at": NOON,
        **more,
    }
    setting = setting_of(row)
    rows["settings"][setting.setting] = setting.rows()
    rows["cells"][cell_id] = [row | {"setting": setting.setting, "conditions": setting.conditions}]
    return cell_id


def _plain(rows: dict, made: Made, method: str, scope: str, seed: int) -> None:
    """A model and its accuracies, so far above the retrained one's as it is distant."""
    cell_id = _cell(rows, method, scope, seed, "none")
    gaps = made.gaps[method, scope][seed] if method != "retrain" else np.zeros(len(SPLITS))
    shared = {"metric": "accuracy", "variant": "", "n": 1000, "higher_is": "better"}
    rows["metrics"][cell_id] = [
        {**shared, "split": split, "value": 0.8 + gap, "ci_low": 0.78 + gap, "ci_high": 0.82 + gap}
        for split, gap in zip(SPLITS, gaps, strict=True)
    ]
    [cell] = rows["cells"][cell_id]
    cost = 2.0 if method == "retrain" else float(made.costs[method, scope][seed])
    axes = ("setting", "dataset", "architecture", "forget_set", "forget_digest", "method", "scope", "seed")
    rows["models"][cell["model_id"]] = [
        {
            **{key: cell[key] for key in axes},
            "kind": "retrained" if method == "retrain" else "unlearned",
            "params_json": cell["method_params_json"],
            "retrained_id": cell["reference_id"],
            "rests_on_json": "[]",
            "device": "cpu",
            "seconds": cost,
            "device_seconds": cost,
            "num_parameters": 100,
            "trainable_parameters": 100,
            "status": "finished",
        }
    ]
    if scope == "all":
        uneven = made.unevenness[method][seed]
        rows["layers"][cell_id] = [
            {
                "layer": layer,
                "layer_index": number,
                "kind": "bn",
                "definition": "norm_sigma",
                "gap": float(gap),
            }
            for number, (layer, gap) in enumerate(zip(LAYERS, uneven, strict=True))
        ]


def _attacked(rows: dict, made: Made, method: str, seed: int) -> None:
    cell_id = _cell(
        rows,
        method,
        "all",
        seed,
        "apgd",
        attack_family="adversarial",
        attack_params_json='{"norm":"Linf"}',
        scale_free=True,
    )
    shared = {"metric": "robust_accuracy", "split": "test", "variant": "", "n": 100, "higher_is": "better"}
    values = {0.0: 0.9, EPS: 0.5 - float(made.losses[method][seed])}
    rows["metrics"][cell_id] = [
        {**shared, "param": eps, "value": value, "ci_low": value - 0.05, "ci_high": value + 0.05}
        for eps, value in values.items()
    ]


def _compared(rows: dict, made: Made, method: str) -> None:
    """A group of shadow models under before_after, and what each of them was."""
    group = f"group-{method}"
    cell_id = _cell(
        rows,
        method,
        "all",
        0,
        "before_after",
        attack_family="per_example",
        model_id=None,
        group_id=group,
        reference_id="group-retrain",
        num_shadows=made.shadows,
        shadow_set="set",
    )
    rows["metrics"][cell_id] = [
        {"split": split, "variant": "", "n": TARGETS, "higher_is": "worse", **row}
        for split in ("forget", "retain")
        for row in _worse(made, method, split)
    ]
    [cell] = rows["cells"][cell_id]
    for shadow in range(made.shadows):
        shared = {
            key: cell[key] for key in ("setting", "dataset", "architecture", "forget_set", "shadow_set")
        }
        shared |= {"kind": "shadow", "shadow": shadow, "status": "finished", "seconds": 1.0, "device": "cpu"}
        rows["models"][f"work-{method}-{shadow}"] = [
            shared | {"method": method, "scope": "all", "parent_id": group}
        ]
        rows["models"][f"work-none-{shadow}"] = [shared | {"method": "none", "scope": "none"}]


def _worse(made: Made, method: str, split: str) -> list[dict[str, Any]]:
    if method == "retrain":
        return [
            {"metric": "examples_worse_than_before", "value": 4.0, "param": 0.1},
            {"metric": "share_worse_than_before", "value": 0.4},
        ]
    share, difference, error, worse, _ = made.worse[method, split]
    paired = {"difference": difference, "difference_error": error, "difference_df": made.shadows - 1.0}
    return [
        {"metric": "examples_worse_than_before", "value": float(worse), "param": 0.1},
        {"metric": "share_worse_than_before", "value": share, **paired},
    ]


def _observed(made: Made, method: str, shadow: int) -> list[dict[str, Any]]:
    inside = "retained" if method == "none" else "unlearned"
    return [
        {
            "shadow_id": f"shadow-{shadow}",
            "shadow": shadow,
            "pool": "" if method == "none" else "random",
            "draw": 0,
            "state": inside if made.trained[shadow, target] else "never",
            "epoch": epoch,
            "example_id": target,
            "phi": float(phi[shadow, target]),
        }
        for (name, epoch), phi in made.phi.items()
        if name == method
        for target in range(TARGETS)
    ]
