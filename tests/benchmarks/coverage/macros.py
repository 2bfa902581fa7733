"""Interval macros of SQL, as every query session makes them."""

from __future__ import annotations

import re
from functools import cache, partial
from importlib.resources import files

import duckdb
import numpy as np
import pyarrow as pa

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


def _two_models(
    generator: np.random.Generator, runs: int, n: int, shares: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Right answers of two models on the same examples, of which a half share their fate."""
    shared = generator.random((runs, 1, n))
    own = generator.random((runs, 2, n))
    latent = np.where(generator.random((runs, 1, n)) < 0.5, shared, own)
    hits = (latent < np.stack(shares, axis=1)[:, :, None]).sum(axis=2)
    return hits[:, 0], hits[:, 1]


def _difference(generator: np.random.Generator, runs: int, *, n: int, gap: float) -> dict[str, Seen]:
    ours, theirs = _two_models(generator, runs, n, (np.full(runs, 0.9 - gap), np.full(runs, 0.9)))
    (low, high), (reference_low, reference_high) = wilson(ours, n), wilson(theirs, n)
    columns = {"value": ours / n, "low": low, "high": high, "reference": theirs / n}
    columns |= {"reference_low": reference_low, "reference_high": reference_high}
    return {"difference": Seen((ours - theirs) / n, *ends("difference", columns), -gap)}


def _seeds(
    generator: np.random.Generator, runs: int, *, n: int, seeds: int, training: float
) -> dict[str, Seen]:
    """Differences between two models of each seed, whose accuracies training moves by so much."""
    shape = runs * seeds
    shares = tuple(np.clip(0.9 + training * generator.normal(size=shape), 0, 1) for _ in range(2))
    ours, theirs = _two_models(generator, shape, n, shares)  # type: ignore[arg-type]
    low, high = (end.reshape(runs, seeds) for end in newcombe(ours, n, theirs, n))
    values = ((ours - theirs) / n).reshape(runs, seeds)
    spread = values.std(axis=1, ddof=1) if seeds > 1 else np.zeros(runs)
    columns = {"mean": values.mean(axis=1), "sd": spread, "seeds": np.full(runs, seeds)}
    lowest, _ = ends("seeds", columns | {"own": low.min(axis=1)})
    _, highest = ends("seeds", columns | {"own": high.max(axis=1)})
    return {"seeds": Seen(values.mean(axis=1), lowest, highest, 0.0)}


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
            name=f"{seeds} seeds of {n} examples, training moves accuracy by {training}",
            estimates=("seeds",),
            simulate=partial(_seeds, n=n, seeds=seeds, training=training),
            most=1000 if n > 1000 else 2000,
            fast=300 if (n, seeds, training) == (120, 3, 0.02) else 0,
        )
        for n in (120, 1000)
        for seeds, training in ((3, 0.0), (3, 0.02), (5, 0.02), (2, 0.002), (1, 0.002))
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
