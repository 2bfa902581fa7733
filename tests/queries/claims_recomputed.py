"""What each claim's query has to say of made results, in plain Python: effect and both ends of its interval."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping

import numpy as np
from scipy import stats

from tests.support.claim_results import EPOCHS, METHODS, ORDERS, SCOPED, SHADOWED, Made

Estimate = tuple[float, float, float]


def of_units(values: np.ndarray, wider: float = 1.0) -> Estimate:
    """Mean of independent units with Student's t; where they are not independent its reach is so much wider."""
    reach = wider * stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean()), float(values.mean() - reach), float(values.mean() + reach)


def jackknife(effect: Callable[[np.ndarray], float], units: int) -> Estimate:
    """Of what the kept units give, with Student's t."""
    kept = np.ones(units, bool)
    whole = effect(kept)
    without = np.array([effect(kept & (np.arange(units) != unit)) for unit in range(units)])
    error = np.sqrt((units - 1) / units * ((without - without.mean()) ** 2).sum())
    reach = stats.t.ppf(0.975, units - 1) * error
    return whole, whole - reach, whole + reach


def fairness(made: Made) -> Estimate:
    """Rank correlation within originals, jackknife over them on Fisher's scale."""
    sums = []
    for seed in range(made.seeds):
        uneven = [made.unevenness[name][seed].mean() for name in made.losses]
        lost = [0.4 + made.losses[name][seed] for name in made.losses]
        x, y = (stats.rankdata(np.round(values, 12)) - (len(values) + 1) / 2 for values in (uneven, lost))
        sums.append((x @ y, x @ x, y @ y))
    total = np.array(sums).sum(axis=0)

    def fisher(xy: float, xx: float, yy: float) -> float:
        return float(np.arctanh(xy / np.sqrt(xx * yy)))

    without = np.array([fisher(*(total - one)) for one in np.array(sums)])
    k = made.seeds
    reach = stats.t.ppf(0.975, k - 1) * np.sqrt((k - 1) / k * ((without - without.mean()) ** 2).sum())
    centre = fisher(*total)
    return float(np.tanh(centre)), float(np.tanh(centre - reach)), float(np.tanh(centre + reach))


def robust_loss(made: Made) -> Estimate:
    """Grand mean of a two-way layout, both ways random."""
    table = np.array([made.losses[name] for name in METHODS])
    m, k = table.shape
    rows, columns = table.mean(axis=1, keepdims=True), table.mean(axis=0, keepdims=True)
    rest = ((table - rows - columns + table.mean()) ** 2).sum() / ((m - 1) * (k - 1)) / (m * k)
    by_rows, by_columns = rows.var(ddof=1) / m, columns.var(ddof=1) / k
    variance = max(by_rows + by_columns - rest, by_rows, by_columns)
    df = variance**2 / (by_rows**2 / (m - 1) + by_columns**2 / (k - 1) + rest**2 / ((m - 1) * (k - 1)))
    reach = stats.t.ppf(0.975, max(df, 1)) * np.sqrt(variance)
    return table.mean(), table.mean() - reach, table.mean() + reach


def scopes(made: Made) -> Estimate:
    """Over originals, of means over methods and splits."""
    pairs = [abs(made.gaps[name, SCOPED]) - abs(made.gaps[name, "all"]) for name in METHODS]
    return of_units(np.mean(pairs, axis=(0, 2)))


def per_example(made: Made) -> Estimate:
    """Over pairs of shadow models, of means over methods and the two models."""
    differences = []
    for name in SHADOWED:
        phi, seen = made.phi[name, None].astype(float), made.trained
        raw, own = np.zeros(made.shadows // 2), np.zeros(made.shadows // 2)
        for pair in range(made.shadows // 2):
            others = np.arange(made.shadows) // 2 != pair
            for shadow in (2 * pair, 2 * pair + 1):
                ratio = []
                for target in range(phi.shape[1]):
                    there, away = (
                        phi[others & (seen[:, target] == state), target].mean() for state in (True, False)
                    )
                    ratio.append((there - away) * (phi[shadow, target] - (there + away) / 2))
                raw[pair] += _auc(phi[shadow], seen[shadow]) / 2
                own[pair] += _auc(np.array(ratio), seen[shadow]) / 2
        for pair in range(len(raw)):
            if np.delete(raw, pair).mean() < 0.5:
                own[pair] += 2 * raw[pair] - 1  # the population attack takes the other side
        differences.append(own - raw)
    pairs = made.shadows // 2
    return of_units(np.mean(differences, axis=0), wider=np.sqrt((1 / pairs + 1 / (pairs - 1)) * pairs))


def _auc(score: np.ndarray, positive: np.ndarray) -> float:
    above = [(a > b) + 0.5 * (a == b) for a, b in itertools.product(score[positive], score[~positive])]
    return float(np.mean(above))


def worse_off(made: Made) -> Estimate:
    """Mean over methods of differences and of the ends of their intervals."""
    reach = stats.t.ppf(0.975, made.shadows - 1)
    ends = [made.worse[name, "retain"][1:3] for name in SHADOWED]
    return tuple(float(np.mean([d + side * reach * e for d, e in ends])) for side in (0, -1, 1))  # type: ignore[return-value]


def separations(made: Made, name: str, epoch: int | None) -> np.ndarray:
    """By how much phi is higher in the model of a pair that was trained on a target, pairs x targets."""
    signed = np.where(made.trained, 1, -1) * made.phi[name, epoch].astype(float)
    return signed[::2] + signed[1::2]


def stopping(made: Made) -> Estimate:
    """Squared separation at the epoch that other folds choose, by the variance; jackknife over folds of two pairs."""
    by_method = []
    for name in SHADOWED:
        values = np.array([separations(made, name, epoch) for epoch in EPOCHS])
        epochs, pairs, targets = values.shape
        folds = values.reshape(epochs, pairs // 2, 2, targets)
        single = []
        for fold in range(pairs // 2):
            elsewhere = np.delete(folds, fold, axis=1).mean(axis=(1, 2))
            best = int((elsewhere**2).mean(axis=1).argmin())
            single.append(folds[best, fold].prod(axis=0).mean())
        by_method.append((np.array(single), (folds.var(axis=2, ddof=1) / 2).mean(axis=(0, 2))))

    def effect(kept: np.ndarray) -> float:
        return float(np.mean([single[kept].sum() / variance[kept].sum() for single, variance in by_method]))

    return jackknife(effect, made.shadows // 4)


def risk(made: Made) -> Estimate:
    """What is left at low risk beyond the share left at high, risk and outcome from different pairs; jackknife."""
    before, after = (
        separations(made, "none", None),
        np.array([separations(made, n, None) for n in SHADOWED]),
    )
    pairs, targets = before.shape

    def squared(values: np.ndarray) -> np.ndarray:
        products = [a * b for a, b in itertools.permutations(values, 2)]
        return np.mean(products, axis=0)

    def effect(kept: np.ndarray) -> float:
        sums = np.zeros(4)
        for half in (0, 1):
            judged, ranked = ((np.arange(pairs) % 2 == which) & kept for which in (half, 1 - half))
            variance = before[ranked].var(axis=0, ddof=1)
            high = stats.rankdata(before[ranked].mean(axis=0) / np.sqrt((variance + variance.mean()) / 2))
            left = np.mean([squared(method[judged]) for method in after], axis=0)
            there = squared(before[judged])
            weights = (high, targets + 1 - high)
            sums += [np.average(of, weights=weight) for of in (left, there) for weight in weights]
        left_high, left_low, there_high, there_low = sums
        return float((left_low - there_low * left_high / there_high) / ((there_high + there_low) / 2))

    return jackknife(effect, pairs)


def order(made: Made) -> Estimate:
    """Over originals."""
    by_risk, at_random = (
        abs(made.gaps[name, "all"]).mean(axis=1)
        for wanted in ("high_to_low", "shuffled")
        for name, taken in ORDERS.items()
        if taken == wanted
    )
    return of_units(at_random - by_risk)


def closest(made: Made) -> Estimate:
    """Least lead over a rival; least lower end, least upper end after Bonferroni."""
    gaps = {name: abs(made.gaps[name, "all"]).mean(axis=1) for name in METHODS}
    leads = [gaps[name] - gaps["twin"] for name in METHODS if name != "twin"]
    k = made.seeds
    errors = [lead.std(ddof=1) / np.sqrt(k) for lead in leads]
    low = stats.t.ppf(0.975, k - 1)
    high = stats.t.ppf(1 - 0.025 / len(leads), k - 1)
    return (
        float(min(lead.mean() for lead in leads)),
        float(min(lead.mean() - low * error for lead, error in zip(leads, errors, strict=True))),
        float(min(lead.mean() + high * error for lead, error in zip(leads, errors, strict=True))),
    )


RECOMPUTED: Mapping[str, Callable[[Made], Estimate]] = {
    "a": fairness,
    "b": robust_loss,
    "c": scopes,
    "d": per_example,
    "e": worse_off,
    "f": stopping,
    "g": risk,
    "h": order,
    "i": closest,
}
