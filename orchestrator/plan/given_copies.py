"""Finished models that are given twice, by their weights: names, precision and header of a file do not count."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from orchestrator.plan.given_files import RETRAINED, GivenFile, GivenFiles
from tasks.errors import AuditError

TRAINED = ("original", *RETRAINED)
"""Roles whose models stand for trainings of their own: beside one forget set no two are alike, of any seeds."""


def check_apart(files: GivenFiles, weights: Mapping[str, str]) -> None:
    """Refuse one model in two places whose difference is read as that of two trainings.

    Args:
        files: of the plan.
        weights: digest of the weights in a file, by that of the file.

    Raises:
        AuditError: there are such, of one seed or of two.
    """
    first: dict[tuple[str, str, str], GivenFile] = {}
    for role, forget_set, file in files.models():
        group = "trained" if role in TRAINED else role
        other = first.setdefault((group, forget_set, weights[file.digest]), file)
        if other is not file:
            raise AuditError(
                f"{file.key}: expected another model than {other.key}, got the same weights ({file.path}): what two "
                "trainings differ by is read from these"
            )


def told_of_copies(files: GivenFiles, weights: Mapping[str, str]) -> Iterator[str]:
    """What a plan says of models that may be alike, and seldom are: an unlearned one that is an original, or one model
    of two forget sets. Arguments as of `check_apart`."""
    first: dict[str, GivenFile] = {}
    for file in {file.key: file for _, _, file in files.models()}.values():
        other = first.setdefault(weights[file.digest], file)
        if other is not file:
            original = other.key.startswith("given.original")
            told = "nothing was unlearned" if original else "they are compared all the same"
            yield f"{file.key}: the same weights as {other.key}: {told}"
