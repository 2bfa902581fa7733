"""An unlearned model against the retrained one on the same examples: gaps, their means and products, distances."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import numpy as np

from tasks.metrics.reference import DISTANCES, output_distances, signed_gaps, summary_gaps
from tasks.training.scoring import Outputs
from tests.benchmarks.coverage.case import Case, Seen, one_by_one, seen

FAMILY = "gaps"
SIZES = {
    "120/1000/360": (120, 1000, 360),
    "36/324/360": (36, 324, 360),
    "5000/20000/10000": (5000, 20_000, 10_000),
}
"""Forgotten, retained and test examples."""
GAPS = {
    "no gap": (0.0, 0.0, 0.0, 0.0),
    "gaps of .004": (0.004, 0.004, 0.004, 0.004),
    "gaps of .03, .005, .01": (0.03, 0.005, 0.01, 0.02),
    "gaps of .06, .01, .03": (0.06, 0.01, 0.03, 0.05),
    "gaps of .2, .02, .05": (0.2, 0.02, 0.05, 0.1),
    "a gap of .1 in forget alone": (0.1, 0.0, 0.0, 0.0),
}
"""In UA, RA, TA and MIA-efficacy."""
ACCURACIES = {"forget": 0.1, "retain": 0.98, "test": 0.9, "mia": 0.2}
"""Of the retrained model; the forget term counts errors."""
CHANGED = {"forget": 0.06, "retain": 0.01, "test": 0.05, "mia": 0.08}
"""Share of examples on which the models differ, at least."""
NAMES = (
    *("ua_gap", "ra_gap", "ta_gap", "mia_gap", "average_gap", "average_gap_mia"),
    *("tug_of_war", "tug_of_war_mia", "tug_of_war_factor"),
)


def _pair(latent: np.ndarray, rate: float, gap: float, changed: float) -> tuple[np.ndarray, np.ndarray]:
    """Answers of the unlearned and of the retrained model from one uniform number an example."""
    changed = max(changed, gap)
    only_ours, only_theirs = (changed + gap) / 2, (changed - gap) / 2
    both = rate - only_theirs
    ours = latent < both + only_ours
    return ours, (latent < both) | ((latent >= both + only_ours) & (latent < both + only_ours + only_theirs))


def _summaries(
    generator: np.random.Generator, *, sizes: tuple[int, ...], gaps: tuple[float, ...]
) -> dict[str, Seen]:
    pairs, gap_of = {}, dict(zip(("forget", "retain", "test", "mia"), gaps, strict=True))
    for term, n in zip(("forget", "retain", "test"), sizes, strict=True):
        pairs[term] = _pair(generator.random(n), ACCURACIES[term], gap_of[term], CHANGED[term])
    # examples that are forgotten rather look like non-members: half of them share the number behind both terms
    latent = np.where(
        generator.random(sizes[0]) < 0.5, np.sort(generator.random(sizes[0])), generator.random(sizes[0])
    )
    pairs["mia"] = _pair(latent, ACCURACIES["mia"], gap_of["mia"], CHANGED["mia"])
    truths = {
        f"{name}_gap": gap_of[term] for name, term in zip(("ua", "ra", "ta", "mia"), gap_of, strict=True)
    }
    truths["average_gap"], truths["average_gap_mia"] = float(np.mean(gaps[:3])), float(np.mean(gaps))
    kept = 1 - np.array(gaps)
    truths["tug_of_war"], truths["tug_of_war_mia"] = float(kept[:3].prod()), float(kept[1:].prod())
    drawn = {}
    for row in (*signed_gaps(pairs), *summary_gaps(pairs)):
        if row.metric != "tug_of_war_factor":
            drawn[row.metric] = seen(row, truths[row.metric])
        elif row.split == "forget" and not row.variant:
            drawn[row.metric] = seen(row, 1 - gaps[0])
    return drawn


Logits = Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]
CLASSES = 10


def _fitted(scale: float) -> Logits:
    """Confident answers that two trainings move a little; margins as of digits and CIFAR-10."""

    def draw(generator: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        shared = generator.normal(size=(n, CLASSES))
        shared[:, 0] += generator.normal(8, 3, size=n)
        return tuple(shared + scale * generator.normal(size=(n, CLASSES)) for _ in range(2))  # type: ignore[return-value]

    return draw


def _few_differ(share: float) -> Logits:
    """Both sure of the same class, but for a share of the examples."""

    def draw(generator: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        ours = generator.normal(size=(n, CLASSES))
        theirs = ours + 0.1 * generator.normal(size=(n, CLASSES))
        ours[:, 0] += 9
        theirs[np.arange(n), (generator.random(n) < share).astype(int)] += 9
        return ours, theirs

    return draw


POPULATIONS = {
    "outputs alike": _fitted(0.3),
    "outputs apart": _fitted(1.5),
    "1 of 20 answers differs": _few_differ(0.05),
    "half of the answers differ": _few_differ(0.5),
}


def _distances(generator: np.random.Generator, population: str, n: int) -> dict[str, Seen]:
    logits = POPULATIONS[population](generator, n)
    ours, theirs = (
        Outputs(ids=np.arange(n), labels=np.zeros(n, np.int64), logits=z.astype(np.float32), statistics={})
        for z in logits
    )
    return {row.metric: seen(row, 0.0) for row in output_distances("forget", ours, theirs)}


@cache
def _means(population: str) -> dict[str, float]:
    """Mean distances in the population, from a sample that is large enough."""
    drawn = _distances(np.random.default_rng(0), population, 50_000)
    return {name: float(one.value) for name, one in drawn.items()}


def _against_means(generator: np.random.Generator, *, population: str, n: int) -> dict[str, Seen]:
    wanted = {metric.name for metric in DISTANCES}
    if population == "1 of 20 answers differs" and n < 360:
        wanted.discard(
            "kl_to_retrained"
        )  # of no largest value, and the sample may hold none of the rare large ones
    drawn = _distances(generator, population, n)
    return {name: drawn[name]._replace(truth=_means(population)[name]) for name in drawn.keys() & wanted}


CASES = (
    *(
        Case(
            family=FAMILY,
            name=f"{words} examples, {which}",
            estimates=NAMES,
            simulate=one_by_one(partial(_summaries, sizes=sizes, gaps=gaps)),
            fast=100 if (words, which) == ("120/1000/360", "no gap") else 0,
        )
        for words, sizes in SIZES.items()
        for which, gaps in GAPS.items()
    ),
    *(
        Case(
            family=FAMILY,
            name=f"{n} examples, {population}",
            estimates=tuple(metric.name for metric in DISTANCES),
            simulate=one_by_one(partial(_against_means, population=population, n=n)),
            fast=60 if (n, population) == (120, "outputs alike") else 0,
        )
        for n in (36, 120, 360, 1000)
        for population in POPULATIONS
    ),
)
