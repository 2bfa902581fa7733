"""What queries compute over rows, in plain Python; None stands for null, which aggregates pass over."""

from __future__ import annotations

import functools
import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

from scipy import stats

Row = dict[str, Any]


def known(values: Iterable[Any]) -> list[Any]:
    """Without None."""
    return [value for value in values if value is not None]


def mean(values: Iterable[Any]) -> float | None:
    """Of those that are there."""
    there = known(values)
    return math.fsum(there) / len(there) if there else None


def spread(values: Iterable[Any]) -> float | None:
    """Standard deviation of a sample; None of fewer than two."""
    there = known(values)
    return statistics.stdev(there) if len(there) > 1 else None


def least(values: Iterable[Any]) -> Any:
    """The smallest."""
    return min(known(values), default=None)


def most(values: Iterable[Any]) -> Any:
    """The largest."""
    return max(known(values), default=None)


def total(values: Iterable[Any]) -> Any:
    """The sum; None of none."""
    there = known(values)
    return sum(there) if there else None


def less(one: float | None, other: float | None) -> float | None:
    """The first less the second."""
    return None if one is None or other is None else one - other


def over(one: float | None, other: float | None) -> float | None:
    """The first by the second; None where that is 0."""
    return None if one is None or not other else one / other


def not_below_zero(low: float | None) -> float | None:
    """The lower end of an interval of a distance."""
    return None if low is None else max(0.0, low)


@functools.cache
def t_975(df: float) -> float:
    """Quantile of Student's t."""
    return float(stats.t.ppf(0.975, df))


def student(values: Iterable[Any]) -> tuple[float | None, float | None]:
    """95 % interval of a mean."""
    there = known(values)
    if len(there) < 2:
        return None, None
    half = t_975(len(there) - 1) * statistics.stdev(there) / math.sqrt(len(there))
    centre = math.fsum(there) / len(there)
    return centre - half, centre + half


def of_seeds(
    values: Iterable[Any], lows: Iterable[Any], highs: Iterable[Any]
) -> tuple[float | None, float | None]:
    """Student's interval from three values on; with fewer from the lowest to the highest end of their own."""
    there = known(values)
    return student(there) if len(there) >= 3 else (least(lows), most(highs))


def of_seeds_or_own(
    values: Iterable[Any], lows: Iterable[Any], highs: Iterable[Any]
) -> tuple[float | None, float | None]:
    """The wider of that and of the mean ends of their own; none where one has none."""
    there, lowest, highest = known(values), known(lows), known(highs)
    if not there or not len(there) == len(lowest) == len(highest):
        return None, None
    low, high = of_seeds(there, lowest, highest)
    return least([low, statistics.fmean(lowest)]), most([high, statistics.fmean(highest)])


def wilson(share: float | None, n: int) -> tuple[float | None, float | None]:
    """95 % interval of a share of n; where hits or misses are at most 10 the one-sided Poisson limit, if farther."""
    if share is None:
        return None, None
    hits = round(share * n)
    low, high = stats.binomtest(hits, n).proportion_ci(method="wilson")

    def limit(few: int) -> float:
        return float(stats.chi2.ppf(0.05, 2 * few)) / 2 / n if 0 < few <= 10 else float(few > 0)

    return max(0.0, min(low, limit(hits))), min(1.0, max(high, 1 - limit(n - hits)))


def rank_correlation(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Spearman's; None where all values of a side are equal."""
    if len(set(one)) < 2 or len(set(other)) < 2:
        return None
    return statistics.correlation(*(stats.rankdata(side).tolist() for side in (one, other)))


def of_correlation(rho: float | None, n: int) -> tuple[float | None, float | None]:
    """95 % interval on Fisher's scale with the variance of Bonett and Wright; None below four."""
    if rho is None or n < 4:
        return None, None
    if abs(rho) >= 1:
        return rho, rho
    half = stats.norm.ppf(0.975) * math.sqrt((1 + rho**2 / 2) / (n - 3))
    return math.tanh(math.atanh(rho) - half), math.tanh(math.atanh(rho) + half)


def gathered(rows: Iterable[Row], *keys: str | Callable[[Row], Hashable]) -> list[tuple[Row, list[Row]]]:
    """Rows that agree in the keys, with a row of these keys alone."""
    groups: dict[tuple[Hashable, ...], list[Row]] = defaultdict(list)
    for row in rows:
        groups[tuple(row[key] if isinstance(key, str) else key(row) for key in keys)].append(row)
    return [
        ({key: value for key, value in zip(keys, place, strict=True) if isinstance(key, str)}, some)
        for place, some in groups.items()
    ]


def picked(row: Mapping[str, Any], *keys: str) -> Row:
    """Some columns of a row."""
    return {key: row[key] for key in keys}


def column(rows: Iterable[Row], key: str) -> list[Any]:
    """A column of rows."""
    return [row[key] for row in rows]
