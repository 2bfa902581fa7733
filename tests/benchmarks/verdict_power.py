"""How often the verdict is wrong, and how often it sees: the SQL itself over thousands of simulated audits.

    python -m tests.benchmarks.verdict_power [--audits 2000]

Each audit is a forget set of one table: a method, the control that does nothing, a retrained model and a second one,
over seeds that they share. A model's accuracy over trainings is a Beta variable; its answers are right independently,
or, where the examples are shared, each with a chance of its own that is the same for all models.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from tests.support.verdict_session import declared, judge

SEED = 20261128
MARGIN = 0.02
"""Of accuracy, unless an audit declares another."""
DOING_NOTHING = 12.0
"""Training standard deviations that the control that does nothing is off."""


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What is simulated."""

    seeds: int = 3
    n: int = 10_000
    """Examples."""
    rate: float = 0.9
    """Mean accuracy of retraining."""
    sd: float = 0.005
    """Standard deviation of the accuracy over trainings."""
    ratio: float = 1.0
    """That of the method to it."""
    off: float = 0.0
    """By how many of it the method lies above retraining."""
    agreement: float = 0.0
    """Share of examples that every model answers alike; the others are right by chance."""
    seed_sd: float = 0.0
    """Standard deviation of what a seed (its data, its forget set) adds to all its models alike."""
    measures: int = 1
    """Primary measures of each model, independent of each other."""

    def values(
        self, generator: np.random.Generator, shift: np.ndarray, *, off: float, ratio: float
    ) -> np.ndarray:
        """Accuracies of one model, shaped as `shift`: what the seed adds, `audits x measures x seeds`."""
        mean, sd = self.rate + off * self.sd, ratio * self.sd
        if sd == 0 or not 0 < mean < 1:
            rates = np.full(shift.shape, np.clip(mean, 0, 1))
        else:
            size = mean * (1 - mean) / sd**2 - 1
            rates = generator.beta(mean * size, (1 - mean) * size, shift.shape)
        alike = round(self.agreement * self.n)
        right = round(self.rate * alike) + generator.binomial(self.n - alike, np.clip(rates + shift, 0, 1))
        return np.asarray(right / self.n)


LEADERBOARD = """
create temp view leaderboard as
select
    cast(null as varchar) as cell_id,
    'simulated' as dataset,
    truth as architecture,
    cast(audit as varchar) as forget_set,
    method,
    'all' as scope,
    role,
    's' as setting,
    'c' as conditions,
    'none' as attack,
    'none' as attack_family,
    'accuracy' as metric,
    'forget' as split,
    cast(measure as varchar) as variant,
    cast(null as double) as param,
    cast(null as varchar) as game,
    'closer_to_retrained' as higher_is,
    seed,
    cast(null as integer) as num_shadows,
    cast(null as varchar) as group_id,
    cast(null as integer) as label,
    n,
    value,
    cast(null as double) as ci_low,
    cast(null as double) as ci_high,
    retrained,
    value - retrained as difference,
    cast(null as double) as difference_error,
    cast(null as double) as difference_df
from answers;
"""
"""Accuracy on the forget set as a view of the same columns as in a session over results."""


def answers_of(truth: Truth, name: str, generator: np.random.Generator, audits: int) -> pa.Table:
    """One row per audit, measure, model and seed."""
    shift = np.repeat(generator.normal(0, truth.seed_sd, (audits, 1, truth.seeds)), truth.measures, axis=1)
    retrained = truth.values(generator, shift, off=0, ratio=1)
    models = {
        "method": ("audited", truth.values(generator, shift, off=truth.off, ratio=truth.ratio)),
        "retrain_again": ("noise_floor", truth.values(generator, shift, off=0, ratio=1)),
        "no_op": ("ceiling", truth.values(generator, shift, off=DOING_NOTHING, ratio=1)),
    }
    shape = audits, truth.measures, truth.seeds
    audit, measure, seed = (places.ravel() for places in np.indices(shape))
    parts = [
        pa.table(
            {
                "truth": pa.repeat(name, values.size),
                "audit": audit,
                "measure": measure,
                "seed": seed,
                "method": pa.repeat(method, values.size),
                "role": pa.repeat(role, values.size),
                "n": pa.repeat(truth.n, values.size),
                "value": values.ravel(),
                "retrained": retrained.ravel(),
            }
        )
        for method, (role, values) in models.items()
    ]
    return pa.concat_tables(parts)


SHARES = """
with rows_judged as (
    select
        architecture as truth,
        avg(cast(coalesce(p < 0.05, false) as double)) as told_apart,
        avg(cast(verdict = 'shown equivalent' as double)) as equivalent,
        median(seeds_needed) as seeds_needed
    from verdicts
    where role = 'audited'
    group by truth
),
models_judged as (
    select
        architecture as truth,
        avg(cast(verdict = 'told apart' or visible > 0 as double)) as model_told_apart,
        avg(cast(verdict = 'shown equivalent' as double)) as model_equivalent
    from model_verdicts
    where role = 'audited'
    group by architecture
)
select *
from rows_judged
join models_judged using (truth)
"""


def shares(
    truths: Mapping[str, Truth], *, audits: int, margin: float = MARGIN
) -> dict[str, dict[str, float]]:
    """By truth, the shares of audits in which the method is told apart, and in which it is shown equivalent."""
    generator = np.random.Generator(np.random.PCG64(SEED))
    rows = pa.concat_tables(answers_of(truth, name, generator, audits) for name, truth in truths.items())
    said = declared({"metric": "accuracy", "is_primary": True, "margin": margin})
    found = judge({"answers": rows, "declared": said}, SHARES, leaderboard=LEADERBOARD).to_pylist()
    return {row.pop("truth"): row for row in found}


SIZE = {
    "n = 10,000": Truth(),
    "n = 1,000": Truth(n=1000),
    "n = 121": Truth(n=121, sd=0.01),
    "n = 121, rate .99": Truth(n=121, rate=0.99, sd=0.004),
    "n = 121, rate .999": Truth(n=121, rate=0.999, sd=0),
    "n = 121, rate 1": Truth(n=121, rate=1, sd=0),
    "n = 121, rate 0": Truth(n=121, rate=0, sd=0),
    "n = 1,000, rate .999": Truth(n=1000, rate=0.999, sd=0.0005),
    "n = 121, 80 % answered alike": Truth(n=121, sd=0.01, agreement=0.8),
    "n = 10,000, seeds differ by 2 %": Truth(seed_sd=0.02),
}
"""Where the method is one more retraining, but for its spread."""
RATIOS = (0.3, 0.5, 1.0, 2.0, 3.0, 4.0)
POWER = {
    "n = 10,000": Truth(off=4),
    "n = 1,000, sd .01": Truth(n=1000, sd=0.01, off=4),
    "n = 121, sd .02 (quick)": Truth(n=121, rate=0.85, sd=0.02, off=4),
    "n = 10,000, seeds differ by 2 %": Truth(off=4, seed_sd=0.02),
}
"""Where the method is off by 4 training standard deviations."""
SEEDS = (1, 2, 3, 4, 5)


def print_shares(head: str, truths: Mapping[str, Truth], *, audits: int, of: str) -> None:
    """A line for each truth, a share for each number of seeds."""
    print(f"{head:52} {' '.join(f'{seeds:5d}' for seeds in SEEDS)} seeds")
    for name, truth in truths.items():
        found = shares({str(k): replace(truth, seeds=k) for k in SEEDS}, audits=audits)
        print(f"{name:52} {' '.join(f'{found[str(k)][of]:5.3f}' for k in SEEDS)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--audits", type=int, default=2000, help="simulated audits behind each share")
    audits = parser.parse_args().audits
    again = {
        f"{name}, spread x {ratio:g}": replace(truth, ratio=ratio)
        for name, truth in SIZE.items()
        for ratio in (RATIOS if truth.sd else (1.0,))
    }
    same = {name: replace(truth, off=0) for name, truth in POWER.items()}
    edge = {name: replace(truth, off=MARGIN / truth.sd) for name, truth in POWER.items()}
    four = {f"{name}, 4 measures": replace(truth, measures=4) for name, truth in POWER.items()}
    four |= {f"{name}, one more retraining": replace(truth, off=0) for name, truth in four.items()}
    tables = (
        ("told apart, one more retraining", again, "told_apart"),
        ("told apart, off by 4 training sd", POWER, "told_apart"),
        ("told apart on any primary measure (Holm)", four, "model_told_apart"),
        (f"equivalent within {MARGIN}, one more retraining", same, "equivalent"),
        (f"equivalent within {MARGIN}, off by it", edge, "equivalent"),
    )
    for head, truths, of in tables:
        print_shares(head, truths, audits=audits, of=of)
    for name, truth in same.items():
        spread = np.hypot(truth.sd, np.sqrt(truth.rate * (1 - truth.rate) / truth.n))
        needed = shares({name: replace(truth, seeds=5)}, audits=audits)[name]["seeds_needed"]
        print(
            f"{name}: an accuracy spreads by {spread:.3f} over trainings, the difference from two retrainings by "
            f"{spread * np.sqrt(1.5 / 3):.3f} at 3 seeds against a margin of {MARGIN}: "
            f"{needed or 5:.0f} seeds would show equivalence"
        )


if __name__ == "__main__":
    main()
