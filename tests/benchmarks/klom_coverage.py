"""How often the interval of KLoM's excess holds its mean, and what KLoM of equal models is by chance. NumPy, CPU.

    python -m tests.benchmarks.klom_coverage [--repeats 200] [--examples 242] [--models 16 32 64]

Margins of an example are normal around its difficulty. Half of the variance within an example, or none, is what an
unlearned and a retrained model share by their training set; a part of the rest is common to all examples of a model.
"""

from __future__ import annotations

import argparse

import numpy as np

from tasks.metrics.klom import Margins, klom

SETTINGS = {
    "equal": (0.0, 1.0, 1.0, 0.5, 0.3),
    "equal, models differ as a whole": (0.0, 1.0, 1.0, 0.5, 0.8),
    "all shifted by .5": (0.5, 1.0, 1.0, 0.5, 0.3),
    "a fifth shifted by 2": (2.0, 0.2, 1.0, 0.5, 0.3),
    "shifted by 1 and narrower": (1.0, 1.0, 0.7, 0.5, 0.3),
    "shifted by 1, models differ as a whole": (1.0, 1.0, 1.0, 0.0, 0.8),
}
"""Shift, share of the examples that it moves, spread of the unlearned, shared by data, common to a model."""


def simulate(
    generator: np.random.Generator, models: int, examples: int, setting: tuple[float, ...]
) -> Margins:
    """One split of new examples under new models."""
    shift, share, spread, shared, common = setting
    shape = models, examples
    data, difficulty = generator.normal(size=shape), generator.normal(0, 2, examples)
    scale = np.exp(generator.normal(0, 0.4, examples))
    sides = []
    for _ in range(2):
        own = np.sqrt(1 - common) * generator.normal(size=shape)
        own += np.sqrt(common) * generator.normal(size=(models, 1))
        sides.append(np.sqrt(shared) * data + np.sqrt(1 - shared) * own)
    moved = shift * (generator.random(examples) < share)
    return Margins(
        split="forget",
        example_ids=np.arange(examples),
        pair=np.arange(models),
        unlearned=difficulty + scale * (spread * sides[0] + moved),
        retrained=difficulty + scale * sides[1],
        inside=np.ones(shape, dtype=bool),
    )


def main() -> None:
    """Print a line for each setting and number of models."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--examples", type=int, default=242)
    parser.add_argument("--models", type=int, nargs="+", default=[16, 32, 64])
    asked = parser.parse_args()
    generator = np.random.default_rng(0)
    for models in asked.models:
        for name, setting in SETTINGS.items():
            found = [
                klom(
                    simulate(generator, models, asked.examples, setting),
                    exchanges=30,
                    repeats=50,
                    generator=generator,
                )
                for _ in range(asked.repeats)
            ]
            by_chance = np.array([one.value_by_chance for one in found])
            excess, half = np.array([(one.value, one.half_width) for one in found]).T
            excess -= by_chance
            covered = np.mean(np.abs(excess - excess.mean()) <= half)
            print(
                f"{models} models, {name}: by chance {by_chance.mean():.2f}, excess {excess.mean():+.2f} "
                f"(sd {excess.std():.2f}), half width {half.mean():.2f}, coverage {covered:.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
