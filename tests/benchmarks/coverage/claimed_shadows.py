"""Made results of known truth for the claims on shadow models: pairs that share what they add to all examples."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from scipy import stats

from tests.benchmarks.coverage.claimed import Judged
from tests.support.claim_session import crossed, judged, names, rows_of

METHODS = names("method", 3)
PLACE = {"architecture": "net", "scope": "all", "forget_set": "random", "shadow_set": "shadows"}
AUDITED = crossed({"method": METHODS}, role="audited")
EPOCHS = 4


def per_example(
    generator: np.random.Generator,
    runs: int,
    *,
    shadows: int,
    shift: float,
    difficulty: float,
    targets: int = 40,
) -> Judged:
    """phi of targets that lie `difficulty` apart and move by `shift` where they were forgotten: where they are alike, a
    threshold on the loss sees as much as an attack that knows each of them."""
    axes = {
        "dataset": names("run", runs),
        "method": METHODS,
        "shadow": range(shadows),
        "example_id": range(targets),
    }
    shape = tuple(map(len, axes.values()))
    first = generator.random((runs, 1, shadows // 2, targets)) < 0.5
    forgotten = np.stack([first, ~first], axis=3).reshape(runs, 1, shadows, targets)
    phi = difficulty * stats.norm.ppf((np.arange(targets) + 0.5) / targets) + shift * forgotten
    phi = (
        phi
        + 0.3 * generator.normal(size=(runs, 1, shadows, 1))
        + np.sqrt(0.5) * generator.normal(size=(runs, 1, shadows, targets))
    )
    phi = phi + np.sqrt(0.5) * generator.normal(size=shape)
    table = crossed(
        axes,
        phi=phi,
        state=np.where(forgotten, "unlearned", "never"),
        setting=np.asarray(METHODS)[:, None, None],
        conditions=np.asarray(axes["dataset"])[:, None, None, None],
        epoch=None,
        **PLACE,
    )
    tables = {"phi_by_shadow": table, "plan_cells": AUDITED}
    return judged(rows_of("claim_per_example", tables, ["attacks_by_pair"]))


def worse_off(
    generator: np.random.Generator, runs: int, *, shadows: int, more: float, alike: float
) -> Judged:
    """Shares that methods leave worse off, `more` than retraining does; a correlation of `alike` among methods."""
    axes = {"dataset": names("run", runs), "method": METHODS}
    noise = np.sqrt(alike) * generator.normal(size=(runs, 1, shadows)) + np.sqrt(
        1 - alike
    ) * generator.normal(size=(runs, len(METHODS), shadows))
    each = more + 0.1 * noise
    mean, error = each.mean(axis=2), each.std(axis=2, ddof=1) / np.sqrt(shadows)
    reach = stats.t.ppf(0.975, shadows - 1) * error
    shared = {
        "architecture": "net",
        "forget_set": "random",
        "scope": "all",
        "role": "audited",
        "split": "retain",
        "variant": "",
        "seed": 0,
        "param": 0.1,
        "setting": np.char.add(np.asarray(axes["dataset"])[:, None], np.asarray(METHODS)),
        "cell_id": np.char.add(np.asarray(axes["dataset"])[:, None], np.asarray(METHODS)),
        "n": 100,
        "ci_low": 0.0,
        "ci_high": 1.0,
        "retrained": 0.5,
        "difference": mean,
        "difference_low": mean - reach,
        "difference_high": mean + reach,
    }
    rows = [
        crossed(axes, metric=metric, value=value, **shared)
        for metric, value in (("examples_worse_than_before", 5.0), ("share_worse_than_before", 0.5 + mean))
    ]
    settings = crossed(axes, setting=shared["setting"], conditions=np.asarray(axes["dataset"])[:, None])
    return judged(rows_of("claim_worse_off", {"leaderboard": pa.concat_tables(rows), "settings": settings}))


def trajectories(spread: float, targets: int = 60) -> np.ndarray:
    """Mean separation by epoch and target."""
    return np.linspace(1, -0.5, EPOCHS)[:, None] + spread * stats.norm.ppf(
        (np.arange(targets) + 0.5) / targets
    )


def stopping(
    generator: np.random.Generator, runs: int, *, pairs: int, spread: float, targets: int = 60
) -> Judged:
    """Separations that fall from 1 to -.5 over epochs, `spread` apart over examples."""
    per_target = trajectories(spread, targets)
    axes = {
        "dataset": names("run", runs),
        "method": METHODS,
        "epoch": range(1, EPOCHS + 1),
        "pair": range(pairs),
        "example_id": range(targets),
    }
    # of a separation the standard deviation is sqrt(2) of phi's, which is the unit
    shared = 0.2 * generator.normal(size=(runs, 1, EPOCHS, pairs, 1))
    noise = np.sqrt(2 - 0.2**2) * generator.normal(size=(runs, 1, 1, pairs, targets))
    noise = 0.8 * noise + 0.6 * np.sqrt(2 - 0.2**2) * generator.normal(size=tuple(map(len, axes.values())))
    table = _separations(axes, per_target[:, None, :] + shared + noise)
    tables = {"separations": table, "plan_cells": AUDITED}
    return judged(rows_of("claim_stopping", tables, ["squared_separations"]))


def risk(
    generator: np.random.Generator,
    runs: int,
    *,
    pairs: int,
    kept_high: float,
    kept_low: float,
    skewed: bool = False,
    targets: int = 60,
) -> Judged:
    """Separations before of .8 to 2, of whose square `kept_high` is left above the median, `kept_low` below.

    Where they are `skewed`, they are from 0 to 5 with a long tail, the share that is left goes from the one to the
    other step by step, and noise has the tails of Student's t with 5 degrees of freedom.
    """
    before, place = np.sqrt(np.linspace(0.64, 4, targets)), np.arange(targets) >= targets // 2
    if skewed:
        place = (np.arange(targets) + 0.5) / targets
        before = np.exp(0.8 * stats.norm.ppf(place) - 0.3)
    kept = kept_low + (kept_high - kept_low) * place
    axes = {"dataset": names("run", runs), "pair": range(pairs), "example_id": range(targets)}

    def drawn() -> np.ndarray:
        size = (runs, pairs, targets)
        return generator.standard_t(5, size=size) / np.sqrt(5 / 3) if skewed else generator.normal(size=size)

    common, rows = drawn(), []
    for method, mean in (("none", before), *((name, before * np.sqrt(kept)) for name in METHODS)):
        noise = np.sqrt(0.5) * common + np.sqrt(0.5) * drawn()
        noise += 0.2 * generator.normal(size=(runs, pairs, 1))
        rows.append(
            _separations(
                {**axes, "method": [method], "epoch": [None]}, (mean + np.sqrt(2) * noise)[..., None, None]
            )
        )
    tables = {"separations": pa.concat_tables(rows), "plan_cells": AUDITED}
    return judged(rows_of("claim_risk", tables, ["halved_separations"]))


def _separations(axes: dict, separation: np.ndarray) -> pa.Table:
    run = np.asarray(axes["dataset"]).reshape(-1, *(1,) * (len(axes) - 1))
    own = {name: value for name, value in PLACE.items() if name != "shadow_set"}
    ages = axes["epoch"]
    table = crossed(
        {**axes, "epoch": range(len(list(ages)))},
        separation=separation,
        conditions=run,
        shadow_set=run,
        **own,
    )
    if ages == [None]:
        table = table.set_column(
            table.column_names.index("epoch"), "epoch", pa.nulls(table.num_rows, pa.int32())
        )
    return table.append_column("setting", table["method"])
