"""Which file is which model: the lists of `[given]` beside seeds and forget sets. Imports no torch."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.config.given import FilesByForgetSet, Given, as_list
from orchestrator.config.settings import SweepConfig, digest
from orchestrator.plan.sources import saying
from tasks.errors import AuditError, unknown_name
from tasks.networks.weight_files import content_digest, weight_file
from tasks.networks.weight_folders import weights_digest

RETRAINED = ("retrained", "retrained_again")
"""Keys of the retrained models, by which of the independent ones they are."""


@dataclass(frozen=True, kw_only=True)
class GivenFile:
    """The weights of one finished model."""

    key: str
    """What names it in the configuration, such as given.unlearned.theirs[1]."""
    path: Path
    """Of a file; of a published language model perhaps of a folder as save_pretrained writes it."""
    digest: str
    """SHA-256 of its content while planning; of a folder over names and content of configuration and weights."""

    def edited(self) -> bool:
        """Whether it was written to since planning.

        Raises:
            AuditError: it is no longer there.
        """
        with saying(self.key):
            return content(self.path) != self.digest


def content(path: Path) -> str:
    """SHA-256 of a finished model in a file or a folder.

    Raises:
        AuditError: there is none.
    """
    return weights_digest(path) if path.is_dir() else content_digest(weight_file(str(path)))


class GivenFiles:
    """The files of one plan, by role, forget set and seed.

    Args:
        given: the table of the configuration.
        seeds: of the axis.
        forget_sets: names on the axis.
        folders: whether folders are models too, as of published language models.

    Raises:
        AuditError: a file is not there or is no safetensors, or lists contradict each other.
    """

    def __init__(
        self, given: Given, *, seeds: Sequence[int], forget_sets: Sequence[str], folders: bool = False
    ) -> None:
        self._given = given
        self._place = {seed: place for place, seed in enumerate(seeds)}
        self._files: dict[tuple[str, str], tuple[GivenFile, ...]] = {}
        for role, files in given.roles():
            for forget_set, key, paths in _by_forget_set(role, files, forget_sets):
                found = tuple(
                    _read(f"{key}[{place}]" if len(paths) > 1 else key, path, folders=folders)
                    for place, path in enumerate(paths)
                )
                _check_count(key, found, given, seeds)
                self._files[role, forget_set] = found
        for role, forget_set in itertools.product(RETRAINED, forget_sets):
            if self.has(role) and (role, forget_set) not in self._files:
                raise AuditError(
                    f"given.{role}: expected files for every forget set, got none for '{forget_set}'"
                )

    def has(self, role: str) -> bool:
        """Whether files are given for a role: original, retrained, retrained_again or unlearned.NAME."""
        return any(role == found for found, _ in self._files)

    def of(self, role: str, forget_set: str, seed: int) -> GivenFile | None:
        """The file of a model; None where the role has none on that forget set."""
        files = self._files.get((role, forget_set))
        return files[self._place[seed]] if files else None

    def version(self, role: str) -> str:
        """Digest of all files of a role: no number rests on old and new ones."""
        return digest({name: [file.digest for file in files] for name, files in self._of_role(role).items()})

    def lists(self) -> Iterator[tuple[str, tuple[GivenFile, ...]]]:
        """Every list of files once, by its key in the configuration."""
        seen = set()
        for (role, _), files in self._files.items():
            if files not in seen:
                seen.add(files)
                yield files[0].key.partition("[")[0] if files else role, files

    def models(self) -> Iterator[tuple[str, str, GivenFile]]:
        """Role, forget set and file of every model; an original stands beside every forget set."""
        for (role, forget_set), files in self._files.items():
            yield from ((role, forget_set, file) for file in files)

    def _of_role(self, role: str) -> Mapping[str, tuple[GivenFile, ...]]:
        return {forget_set: files for (found, forget_set), files in self._files.items() if found == role}


def given_files(config: SweepConfig) -> GivenFiles | None:
    """The finished models of a configuration; None where Lethe makes all models.

    Raises:
        AuditError: as of `GivenFiles`, or more than one architecture is on the axis.
    """
    if config.given is None:
        return None
    if len(config.axes.architecture) != 1:
        raise AuditError(
            f"axes.architecture: expected the one architecture of the models of [given], got "
            f"{list(config.axes.architecture)}; audit each in a configuration of its own, into the same results"
        )
    table = config.architecture(config.axes.architecture[0])
    return GivenFiles(
        config.given,
        seeds=config.axes.seed,
        forget_sets=config.axes.forget_set,
        folders=table.objective == "language" and not table.language,
    )


def _by_forget_set(
    role: str, files: FilesByForgetSet, forget_sets: Sequence[str]
) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Forget set, key and paths of each list of a role."""
    key = f"given.{role}"
    if not isinstance(files, dict):
        if role != "original" and len(forget_sets) > 1:
            example = f'{forget_sets[0]} = "FILE.safetensors"'
            raise AuditError(
                f"{key}: expected a table with files for each forget set ({example}, ...), as there are "
                f"{len(forget_sets)}, got {list(as_list(files))}"
            )
        yield from ((forget_set, key, as_list(files)) for forget_set in forget_sets)
        return
    for forget_set, of_set in files.items():
        if forget_set not in forget_sets:
            raise unknown_name("forget set on axes.forget_set", forget_set, forget_sets, where=key)
        yield forget_set, f"{key}.{forget_set}", as_list(of_set)


def _read(key: str, text: str, *, folders: bool) -> GivenFile:
    path = Path(os.path.expanduser(text))
    with saying(key):
        if not (folders and path.is_dir()):
            path = weight_file(text)
        try:
            return GivenFile(key=key, path=path, digest=content(path))
        except OSError as error:
            raise AuditError(f"cannot read {path}: {error.strerror}") from None


def _check_count(key: str, found: Sequence[GivenFile], given: Given, seeds: Sequence[int]) -> None:
    originals = len(given.originals)
    if key == "given.original" and originals != len(seeds):
        raise AuditError(
            f"{key}: expected a file for each of axes.seed ({len(seeds)}), got {originals}; each original is a seed"
        )
    if len(found) != originals:
        further = {
            "given.retrained": "; a second retrained model of each stands in given.retrained_again",
            "given.retrained_again": "; two retrained models of each original are all that is read",
        }.get(key.split("[")[0], "; another model of the same original is another name in [given.unlearned]")
        raise AuditError(f"{key}: expected {originals}, one for each original, got {len(found)}{further}")
