"""Made results of known truth for the claims on models: originals that share an effect, methods that differ."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tests.support.claim_session import crossed, judged, names, rows_of

Judged = dict[str, np.ndarray]
SPLITS = ("forget", "retain", "test")
METHODS = names("method", 5)
LAYERS = ("norm1", "norm2", "norm3")


def robustness(
    generator: np.random.Generator, runs: int, *, originals: int, together: float, layers: int
) -> Judged:
    """Fairness gaps and accuracy lost: in an original both move with the models by `together`, in `layers` of three."""
    models = names("model", 8)
    axes = {"dataset": names("run", runs), "seed": range(originals), "model": models}
    shape = tuple(map(len, axes.values()))
    shared = generator.normal(size=shape) + 0.7 * generator.normal(size=(runs, originals, 1))
    lost = 0.4 + 0.05 * (together * shared + np.sqrt(1 - together**2) * generator.normal(size=shape))
    key = np.array(
        [f"{run}-{seed}-{model}" for run in axes["dataset"] for seed in axes["seed"] for model in models]
    )
    key = key.reshape(shape)
    placed = {
        "architecture": "net",
        "forget_set": "random",
        "setting": "s",
        "scope": "all",
        "role": "audited",
    }
    cells = crossed(
        axes, cell_id=key, model_id=key, attack_family="adversarial", attack="apgd", scale_free=True, **placed
    )
    plain = {
        "metric": "robust_accuracy",
        "split": "test",
        "variant": "",
        "label": None,
        "attack": "apgd",
        **placed,
    }
    conditions = np.asarray(axes["dataset"])[:, None, None]
    accuracies = [
        crossed(axes, cell_id=key, model_id=key, conditions=conditions, param=eps, value=value, **plain)
        for eps, value in ((0.0, np.full(shape, 0.95)), (0.1, 0.95 - lost))
    ]
    gap = 1 + 0.2 * generator.normal(size=(*shape, 3))
    gap[..., :layers] += 0.3 * shared[..., None]
    gaps = crossed(
        {**axes, "layer": LAYERS},
        cell_id=key[..., None],
        layer_index=np.arange(3),
        definition="norm_sigma",
        label=None,
        gap=gap,
    )
    masking = crossed(axes, cell_id=key, split="test", eps=0.1, masked_gradients=False)
    tables = {
        "leaderboard": _stacked(accuracies),
        "plan_cells": cells,
        "layers": gaps,
        "gradient_masking": masking,
        "setting_parts": crossed({"setting": ["s"]}, surroundings="same"),
    }
    return judged(rows_of("claim_fairness_and_robustness", tables))


def robust_loss(
    generator: np.random.Generator, runs: int, *, originals: int, loss: float, methods: float, seeds: float
) -> Judged:
    """Loss of robust accuracy: methods differ by `methods`, originals by `seeds`, the rest by .02."""
    roles = {**dict.fromkeys(METHODS, "audited"), "retrain": "reference"}
    axes = {"dataset": names("run", runs), "seed": range(originals), "method": list(roles)}
    shape = tuple(map(len, axes.values()))
    drawn = loss + methods * generator.normal(size=(runs, 1, len(METHODS)))
    drawn = (
        drawn
        + seeds * generator.normal(size=(runs, originals, 1))
        + 0.02 * generator.normal(size=(*shape[:2], 5))
    )
    difference = np.concatenate([-drawn, np.zeros((*shape[:2], 1))], axis=2)
    key = np.char.add(np.char.add(np.asarray(axes["dataset"])[:, None, None], [f"-{m}-" for m in roles]), "")
    key = np.char.add(key, np.arange(originals).astype(str)[None, :, None])
    plain = {
        "architecture": "net",
        "forget_set": "random",
        "setting": "s",
        "scope": "all",
        "attack": "apgd",
        "metric": "robust_accuracy",
        "split": "test",
        "variant": "",
        "label": None,
        "higher_is": "better",
        "role": np.array(list(roles.values())),
        "cell_id": key,
        "conditions": np.asarray(axes["dataset"])[:, None, None],
        "n": 64,
        "noise_floor": 0.0,
    }
    zeros = dict.fromkeys(("ci_low", "ci_high", "difference_low", "difference_high"), 0.0)
    values = [
        crossed(axes, param=eps, value=0.5 + gap, retrained=0.5, difference=gap, **plain, **zeros)
        for eps, gap in ((0.0, np.zeros(shape)), (0.1, difference))
    ]
    masking = crossed(
        axes, cell_id=key, split="test", eps=0.1, masked_gradients=False, zero_gradient_share=0.0
    )
    cells = crossed({"attack": ["apgd"]}, scale_free=True)
    tables = {"leaderboard": _stacked(values), "gradient_masking": masking, "plan_cells": cells}
    return judged(rows_of("claim_robust_loss", tables))


def scopes(
    generator: np.random.Generator, runs: int, *, originals: int, farther: float, cost: float
) -> Judged:
    """Distances of a scope less those of all layers, by method, original and split; cost ratios about `cost`."""
    axes = {"dataset": names("run", runs), "method": METHODS, "seed": range(originals), "split": SPLITS}
    shape = tuple(map(len, axes.values()))
    difference = farther + 0.01 * generator.normal(size=shape)
    difference += (
        0.01 * generator.normal(size=(runs, 1, originals, 1)) + 0.02 * np.linspace(-1, 1, 5)[:, None, None]
    )
    ratio = np.exp(np.log(cost) + 0.1 * generator.normal(size=shape[:3]))[..., None]
    table = crossed(
        axes,
        architecture="net",
        forget_set="random",
        conditions=np.asarray(axes["dataset"])[:, None, None, None],
        scope="intermediate+last",
        setting="s",
        unscoped="u",
        metric="accuracy",
        attack="none",
        variant="",
        gap_difference=difference,
        cost_of_all=ratio,
    )
    return judged(rows_of("claim_scopes", {"scopes_beside_all": table}))


def order(generator: np.random.Generator, runs: int, *, originals: int, nearer: float) -> Judged:
    """Distances of sequences: by risk nearer than at random by `nearer`, spread over originals of .006."""
    orders = {"high_to_low": nearer, "low_to_high": -nearer, "shuffled": 0.0}
    axes = {"run": names("run", runs), "order": list(orders), "seed": range(originals)}
    gap = 0.04 + 0.01 * generator.normal(size=(runs, 1, originals)) - np.array(list(orders.values()))[:, None]
    gap = gap + 0.006 * generator.normal(size=(runs, 3, originals))
    params = np.array([f'{{"base_method": "b", "order": "{name}", "ranking": "r"}}' for name in orders])
    return judged(rows_of("claim_order", {"distances_over_splits": _distances(axes, gap, params[:, None])}))


def closest(generator: np.random.Generator, runs: int, *, originals: int, leads: tuple[float, ...]) -> Judged:
    """Distances of twin unlearning and of rivals that are farther by `leads`, spread over originals of .01."""
    axes = {
        "run": names("run", runs),
        "method": ["twin", *names("rival", len(leads))],
        "seed": range(originals),
    }
    gap = 0.05 + np.array([0.0, *leads])[:, None] + 0.02 * generator.normal(size=(runs, 1, originals))
    gap = gap + 0.01 * generator.normal(size=(runs, 1 + len(leads), originals))
    return judged(rows_of("claim_closest", {"distances_over_splits": _distances(axes, gap, "{}")}))


def _distances(axes: dict, gap: np.ndarray, params: np.ndarray | str) -> pa.Table:
    table = crossed(
        axes,
        attack="none",
        metric="accuracy",
        scope="all",
        forget_set="random",
        params_json=params,
        gap=gap,
        splits=3,
    )
    run = table["run"]
    fields = {"dataset": run, "architecture": pa.array(["net"] * len(run)), "conditions": run}
    place = pa.StructArray.from_arrays(
        [
            pa.chunked_array(c).combine_chunks() if isinstance(c, pa.ChunkedArray) else c
            for c in fields.values()
        ],
        names=list(fields),
    )
    names_of = table["method"] if "method" in table.column_names else table["order"]
    table = (
        table.append_column("place", place).append_column("setting", names_of).append_column("base", names_of)
    )
    return table if "method" in table.column_names else table.append_column("method", names_of)


def _stacked(tables: list[pa.Table]) -> pa.Table:
    return pa.concat_tables(tables)
