"""Interval macros of SQL, as every query session makes them."""

from __future__ import annotations

import re
from functools import cache, partial
from importlib.resources import files

import duckdb
import numpy as np
import pyarrow as pa
from scipy import stats

from tasks.statistics.intervals import newcombe, wilson
from tests.benchmarks.coverage.case import Case, Seen

FAMILY = "macros"


@cache
def session() -> duckdb.DuckDBPyConnection:
    """A session that holds the macros alone."""
    here = files("orchestrator.results")
    text = "\n".join((here / f"{name}.sql").read_text() for name in ("student", "views"))
    connection = duckdb.connect()
    for statement in re.findall(r"^create or replace temp macro .*?;$", text, flags=re.DOTALL | re.MULTILINE):
        connection.execute(statement)
    return connection


def interval_macros() -> set[str]:
    """What the macros give intervals of: their names without `_low` and `_high`."""
    listed = session().execute(
        "select function_name from duckdb_functions() where macro_definition is not null"
    )
    ends = {name for (name,) in listed.fetchall()}
    return {
        name.removesuffix("_low") for name in ends if f"{name.removesuffix('_low')}_high" in ends - {name}
    }


def ends(macro: str, columns: dict[str, pa.Array | np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Both ends over rows of arguments, infinite where there is none."""
    session().register("rows_of_arguments", pa.table(columns))
    arguments = ", ".join(columns)
    found = session().execute(
        f"select {macro}_low({arguments}) as low, {macro}_high({arguments}) as high from rows_of_arguments"
    )
    low, high = (np.ma.filled(column.astype(float), np.nan) for column in found.fetchnumpy().values())
    return low, high


def _wilson(generator: np.random.Generator, runs: int, *, n: int, share: float) -> dict[str, Seen]:
    value = generator.binomial(n, share, size=runs) / n
    return {"wilson": Seen(value, *ends("wilson", {"share": value, "n": np.full(runs, n)}), share)}


def _models(
    generator: np.random.Generator, n: int, shares: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Right answers of models on the same examples, of which a half (shared) has the same fate under all of them.

    Args:
        generator: of all.
        n: examples.
        shares: expected share of right answers, `runs x models`.

    Returns:
        Number of right answers, `runs x models`; which examples are shared, and their fates, `runs x n`.
    """
    runs, models = shares.shape
    fate = generator.random((runs, n))
    shared = generator.random((runs, n)) < 0.5
    own = generator.random((runs, models, n))
    latent = np.where(shared[:, None], fate[:, None], own)
    return (latent < shares[:, :, None]).sum(axis=2), shared, fate


def _difference(generator: np.random.Generator, runs: int, *, n: int, gap: float) -> dict[str, Seen]:
    hits, _, _ = _models(generator, n, np.tile([0.9 - gap, 0.9], (runs, 1)))
    ours, theirs = hits.T
    (low, high), (reference_low, reference_high) = wilson(ours, n), wilson(theirs, n)
    columns = {"value": ours / n, "low": low, "high": high, "reference": theirs / n}
    columns |= {"reference_low": reference_low, "reference_high": reference_high}
    return {"difference": Seen((ours - theirs) / n, *ends("difference", columns), -gap)}


def _seeds(
    generator: np.random.Generator, runs: int, *, n: int, seeds: int, training: float, gap: float
) -> dict[str, Seen]:
    """Two models of each seed, `gap` apart, and a third as good as the first; training moves each by so much.

    The truth of a mean difference is that of these examples, and with fewer than three seeds, which show nothing of
    training, that of all; of a mean distance it is always that of all.
    """
    moved = training * generator.normal(size=(runs, 3, seeds))
    shares = np.clip(0.9 - gap * np.array([1, 0, 1])[:, None] + moved, 0, 1)
    hits, shared, fate = _models(generator, n, shares.reshape(runs, -1))
    ours, theirs, others = hits.reshape(runs, 3, seeds).transpose(1, 0, 2)
    truth = np.full(runs, -gap)
    if seeds >= 3:
        right = [stats.norm.cdf((rate - fate) / max(training, 1e-9)) for rate in (0.9 - gap, 0.9)]
        truth = np.where(shared, right[0] - right[1], -gap).mean(axis=1)
    value, low, high = (ours - theirs) / n, *newcombe(ours, n, theirs, n)
    distances = [_distance(one, theirs, n) for one in (ours, others)]
    far = float(np.abs(-gap + np.sqrt(2) * training * generator.normal(size=100_000)).mean())
    (first, near, most), (second, near_2, most_2) = distances
    apart = first - second
    apart_low = apart - np.hypot(first - near, most_2 - second)
    apart_high = apart + np.hypot(most - first, second - near_2)
    return {
        "seeds": _over_seeds(value, low, high, truth),
        "distances": _of_each(*distances[0], far),
        "distances of several models": _of_each(
            (first + second) / 2, (near + near_2) / 2, (most + most_2) / 2, far
        ),
        "distances, differences of": _of_each(apart, apart_low, apart_high, 0.0),
    }


def _distance(ours: np.ndarray, theirs: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distance of two models and the ends of its own interval."""
    low, high = newcombe(ours, n, theirs, n)
    return np.abs(ours - theirs) / n, np.maximum(0.0, np.maximum(low, -high)), np.maximum(-low, high)


def _over_seeds(values: np.ndarray, low: np.ndarray, high: np.ndarray, truth: np.ndarray | float) -> Seen:
    """A mean over seeds, `runs x seeds`."""
    runs, seeds = values.shape
    spread = values.std(axis=1, ddof=1) if seeds > 1 else np.zeros(runs)
    columns = {"mean": values.mean(axis=1), "sd": spread, "seeds": np.full(runs, seeds)}
    found = [
        ends("seeds", columns | {"outermost": outermost})[end]
        for end, outermost in ((0, low.min(axis=1)), (1, high.max(axis=1)))
    ]
    return Seen(values.mean(axis=1), found[0], found[1], truth)


def _of_each(
    values: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    truth: np.ndarray | float,
    macro: str = "distances",
) -> Seen:
    """A mean over seeds, `runs x seeds`, by an aggregate that is given the row of each seed."""
    runs, seeds = values.shape
    columns = {"value": values.ravel(), "low": low.ravel(), "high": high.ravel()}
    session().register("rows_of_seeds", pa.table({"run": np.repeat(np.arange(runs), seeds)} | columns))
    found = session().execute(
        f"select {macro}_low(value, low) as low, {macro}_high(value, high) as high from rows_of_seeds "
        "group by run order by run"
    )
    return Seen(values.mean(axis=1), *found.fetchnumpy().values(), truth)


def _values(
    generator: np.random.Generator, runs: int, *, n: int, seeds: int, training: float, share: float
) -> dict[str, Seen]:
    """Shares of right answers of one model a seed; the truth is what other seeds would give on these examples."""
    moved = training * generator.normal(size=(runs, seeds))
    hits, shared, fate = _models(generator, n, np.clip(share + moved, 0, 1))
    anew = float(np.clip(share + training * generator.normal(size=100_000), 0, 1).mean())
    right = stats.norm.cdf((share - fate) / max(training, 1e-9))
    truth = np.where(shared, right, anew).mean(axis=1)
    return {"values": _of_each(hits / n, *wilson(hits, n), truth, macro="values")}


def _spearman(generator: np.random.Generator, runs: int, *, n: int, rho: float) -> dict[str, Seen]:
    """Independent pairs, normal with correlation `rho`."""
    x = generator.normal(size=(runs, n))
    y = rho * x + np.sqrt(1 - rho**2) * generator.normal(size=(runs, n))
    ranks = (values.argsort(axis=1).argsort(axis=1) - (n - 1) / 2 for values in (x, y))
    value = np.prod(list(ranks), axis=0).sum(axis=1) / (n * (n**2 - 1) / 12)
    truth = 6 / np.pi * np.arcsin(rho / 2)
    return {"spearman": Seen(value, *ends("spearman", {"rho": value, "n": np.full(runs, n)}), truth)}


METHODS = np.array([[-1.2, 0.3, 0.9, -0.4, 1.5, -0.2, 0.1, 0.6], [-1.0, 0.1, -0.9, 0.4, 0.9, -0.9, 0.5, 1.0]])
"""What each method does to evenness and to robustness, in every original alike."""


def _rank_sums(
    generator: np.random.Generator, runs: int, originals: int, strata: int, rho: float, methods: float
) -> list[np.ndarray]:
    """Sums of products of centred ranks, `runs x originals`: models of one original share much, in all its strata."""

    def pair(*shape: int, correlation: float = rho) -> np.ndarray:
        x, noise = generator.normal(size=(2, *shape))
        return np.stack([x, correlation * x + np.sqrt(1 - correlation**2) * noise])

    count = METHODS.shape[1]
    values = pair(runs, originals, strata, count) + 2 * pair(runs, originals, 1, 1, correlation=-0.8)
    values += 0.7 * pair(runs, originals, 1, count) + methods * METHODS[:, None, None, None]
    ranks = values.argsort(axis=-1).argsort(axis=-1) - (count - 1) / 2
    return [(ranks[i] * ranks[j]).sum(axis=(2, 3)) for i, j in ((0, 1), (0, 0), (1, 1))]


def _stratified(
    generator: np.random.Generator, runs: int, *, originals: int, strata: int, rho: float, methods: float
) -> dict[str, Seen]:
    sums = _rank_sums(generator, runs, originals, strata, rho, methods)
    many = [total.sum() for total in _rank_sums(generator, 20_000, 1, strata, rho, methods)]
    columns = {name: pa.array(list(total)) for name, total in zip(("xy", "xx", "yy"), sums, strict=True)}
    xy, xx, yy = (total.sum(axis=1) for total in sums)
    truth = many[0] / np.sqrt(many[1] * many[2])
    return {"stratified": Seen(xy / np.sqrt(xx * yy), *ends("stratified", columns), truth)}


CASES = (
    *(
        Case(
            family=FAMILY,
            name=f"{originals} originals, {strata} forget sets, 8 models, correlation {rho}, methods {methods}",
            estimates=("stratified",),
            simulate=partial(_stratified, originals=originals, strata=strata, rho=rho, methods=methods),
            fast=300 if (originals, strata, rho, methods) == (5, 3, 0.5, 0.0) else 0,
        )
        for originals in (4, 5, 8)
        for strata in (1, 3)
        for rho, methods in ((0.0, 0.0), (0.5, 0.0), (0.85, 0.0), (0.3, 1.0))
    ),
    *(
        Case(
            family=FAMILY,
            name=f"{n} examples, share {share:.6g}",
            estimates=("wilson",),
            simulate=partial(_wilson, n=n, share=share),
            fast=500 if (n, share) == (36, 0.1) else 0,
        )
        for n in (12, 36, 240, 1000)
        for share in (0.17 / n, 0.1, 0.5)
    ),
    *(
        Case(
            family=FAMILY,
            name=f"two models on {n} examples, gap {gap}",
            estimates=("difference",),
            simulate=partial(_difference, n=n, gap=gap),
            fast=300 if (n, gap) == (120, 0.05) else 0,
        )
        for n in (36, 120, 1000)
        for gap in (0.0, 0.05, 0.3)
    ),
    *(
        Case(
            family=FAMILY,
            name=f"{seeds} seeds of {n} examples, training moves accuracy by {training}, gap {gap}",
            estimates=("seeds", "distances", "distances of several models", "distances, differences of"),
            simulate=partial(_seeds, n=n, seeds=seeds, training=training, gap=gap),
            fast=300 if (n, seeds, training, gap) == (120, 5, 0.005, 0.0) else 0,
        )
        for n in (36, 120, 1000)
        for seeds, training in ((3, 0.0), (3, 0.02), (5, 0.005), (5, 0.02), (2, 0.002), (1, 0.002))
        for gap in (0.0, 0.05, 0.2)
    ),
    *(
        Case(
            family=FAMILY,
            name=f"{seeds} seeds of {n} examples, training moves a share of {share} by {training}",
            estimates=("values",),
            simulate=partial(_values, n=n, seeds=seeds, training=training, share=share),
            fast=300 if (n, seeds, training, share) == (62, 3, 0.0, 0.99) else 0,
        )
        for n in (62, 120, 1000)
        for seeds in (3, 5)
        for training, share in (
            *((0.0, share) for share in (0.5, 0.95, 0.99, 0.999)),
            *((0.01, share) for share in (0.5, 0.95, 0.99)),
            (
                0.001,
                0.999,
            ),  # not .01: half of the models would reach 1, and three seeds may show none of the others
        )
    ),
    *(
        Case(
            family=FAMILY,
            name=f"{n} independent pairs, correlation {rho}",
            estimates=("spearman",),
            simulate=partial(_spearman, n=n, rho=rho),
            fast=500 if (n, rho) == (30, 0.5) else 0,
        )
        for n in (10, 30, 200)
        for rho in (0.0, 0.5, 0.9)
    ),
)
