"""Scores of each example from a finished sweep, for forget sets: `python -m orchestrator.scores RESULTS`.

Two kinds, written to one file that `[data] scores` of the next audit names:

* `risk`: memorisation (Feldman 2020) and privacy risk (Carlini et al. 2022), from the observations of the
  shadow models as trained. Forget sets of kind `by_score` take low, middle or high ones, and sequential
  methods (rum, rsu) order by them.
* `features`: what the original model's classification layer sees of each training example. Forget sets of
  kind `entanglement` are cut by their distance from the centre (Zhao et al. 2024).

The file carries its provenance: results, architecture, digest of the data, shadow models or the model with
its seed and the digest of its weights. It enters the provenance of every forget set that is chosen by it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from orchestrator.command_line import Flag, ResultsDirectory, parse
from orchestrator.config.plugins import load_plugins
from orchestrator.errors import Exit, run_command
from orchestrator.plan.score_file import check_target, write_scores
from orchestrator.scores.collect import Kind, collect, summary

EXAMPLES = """examples (after python -m orchestrator.sweep ulira --out results):
  python -m orchestrator.scores results --architecture resnet_small \\
      --output risk.npz
  python -m orchestrator.scores results --architecture resnet_small \\
      --output risk.npz --half 0
  python -m orchestrator.scores results --architecture resnet_small \\
      --output risk.npz --kinds risk features

Then in the next audit: [data] scores = "risk.npz", and forget sets such as
  kind = "by_score", score = "privacy_risk", level = "high", count = 100
  kind = "entanglement", level = "low", count = 100
"""


@dataclass(frozen=True, kw_only=True)
class Command:
    """Write scores of the training examples: memorisation and privacy risk, or penultimate features."""

    results: ResultsDirectory = "results"
    """Results directory of a sweep: with per-example attacks for risk, with any other for features."""
    architecture: Annotated[str, Flag(value="NAME")]
    """Whose models are asked."""
    output: Annotated[Path, Flag(value="FILE")]
    """The .npz to write."""
    kinds: tuple[Kind, ...] = ("risk",)
    """risk: memorisation and privacy risk from shadow models; features: of the original model."""
    run: Annotated[str | None, Flag(value="ID", otherwise="the latest that has such models")] = None
    """Whose models are asked, of the runs of the results."""
    half: Literal["all", "0", "1"] = "all"
    """risk: use the even (0) or odd (1) shadow pairs alone, so that the others report without selection
    bias."""
    of: Literal["correct", "confidence"] = "correct"
    """risk: memorisation of right answers (Feldman), or of the confidence in the label (finer with few
    shadows)."""
    seed: Annotated[int | None, Flag(value="N", otherwise="the first of the run")] = None
    """features: seed of the original model."""
    plugins: Annotated[tuple[str, ...], Flag(value="MODULE", otherwise="none")] = ()
    """Your modules to import, where the data set or the architecture comes from them."""


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, compute what is asked for, and write it."""
    command = parse(Command, arguments, prog="python -m orchestrator.scores", examples=EXAMPLES)
    check_target(command.output)
    load_plugins(command.plugins, named_by="--plugins")
    scores, provenance = collect(
        command.results,
        kinds=command.kinds,
        architecture=command.architecture,
        half=None if command.half == "all" else int(command.half),
        of=command.of,
        seed=command.seed,
        run=command.run,
    )
    digest = write_scores(command.output, scores, provenance)
    sys.stdout.write(f"{command.output}: {summary(scores, provenance)}, sha256 {digest[:16]}\n")
    return Exit.FINISHED


if __name__ == "__main__":
    sys.exit(run_command(main))
