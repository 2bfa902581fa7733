"""Risk of each example from the shadow models of a finished sweep: `python -m orchestrator.scores RESULTS`.

The scores are what forget sets of kind `by_score` and sequential methods (rum, rsu) rank by: memorisation
(Feldman 2020) and privacy risk (Carlini et al. 2022), from the observations of the shadow models as trained.
Everything is read from the results; torch is not imported.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro

from orchestrator.errors import Exit, run_command
from orchestrator.risk_file import write_scores

EXAMPLES = """examples:
  python -m orchestrator.scores results --architecture resnet18 --output risk.npz
  python -m orchestrator.scores results --architecture resnet18 --half 0 --output risk.npz
  then in the configuration of the next audit: [data] scores = "risk.npz", and a forget set with
  kind = "by_score", score = "privacy_risk", level = "high", count = 100
"""


@dataclass(frozen=True, kw_only=True)
class Command:
    """Write the memorisation and privacy risk of every training example, from shadow models."""

    results: Annotated[str, tyro.conf.Positional]
    """Results directory of a sweep with per-example attacks."""
    architecture: str
    """Whose shadow models are asked."""
    output: Path
    """The .npz to write."""
    half: Literal["all", "0", "1"] = "all"
    """Use the even (0) or odd (1) shadow pairs alone, so that the others report without selection bias."""
    of: Literal["correct", "confidence"] = "correct"
    """Memorisation of right answers (Feldman), or of the confidence in the label (finer with few shadows)."""


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, read the observations, and write the scores."""
    command = tyro.cli(
        Command,
        args=arguments,
        prog="python -m orchestrator.scores",
        description=f"{Command.__doc__}\n\n{EXAMPLES}",
    )
    from orchestrator.shadow_scores import shadow_scores

    half = None if command.half == "all" else int(command.half)
    scores, provenance = shadow_scores(
        command.results, architecture=command.architecture, half=half, of=command.of
    )
    digest = write_scores(command.output, scores, provenance)
    known = int(np.isfinite(scores["memorisation"]).sum())
    sys.stdout.write(
        f"{command.output}: {', '.join(scores)} of {known} examples, "
        f"{provenance['num_shadows']} shadow models, sha256 {digest[:16]}\n"
    )
    return Exit.FINISHED


if __name__ == "__main__":
    sys.exit(run_command(main))
