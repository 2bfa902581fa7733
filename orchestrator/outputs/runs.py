"""Which models stand for runs of shadow models, and in which state each has every example.

Of shadow models with masks the masks say it. Where there are none, the models that were trained on everything stand
for them: the i-th original, its unlearned model and the i-th retrained one are the runs of "shadow model" 2i, and the
i-th that was retrained again is a second draw of the retrained group, which never saw what the first forgot. Numbers
are even since pairs are what fits leave out and intervals resample, and here every model is independent of the others.
Games that need examples which an unlearned model never saw (G0, G2, G3) then have none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from orchestrator.outputs.files import Rows
from orchestrator.outputs.sources import AGAIN, RETRAINED, Sources
from tasks.shadows.observations import State

LEAST = 16
"""Fewest models of each kind in the place of shadow models. Where they differ as a whole by half a standard deviation
and unlearning moves examples by one, nominal 95 % held .91 with 16 and .95 with 32 (simulated as by
`tests.benchmarks.coverage.given`)."""
APART = 2
"""From the number of one model in the place of a shadow model to that of the next."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """One model in the place of a shadow model, or of what came of one."""

    shadow: int
    draw: int
    rows: Rows
    number: int
    """Of the model in its file."""
    trained_on: np.ndarray
    """`N`, bool."""
    forgotten: np.ndarray | None = None
    """`N`, bool; None: nothing."""

    def states(self, example_ids: np.ndarray, is_test: np.ndarray) -> np.ndarray:
        """State of each of the examples, int8.

        Args:
            example_ids: `E`.
            is_test: `N`, bool.
        """
        state = np.where(self.trained_on, State.RETAINED, State.NEVER).astype(np.int8)
        if self.forgotten is not None:
            state[self.forgotten] = State.UNLEARNED
        state[is_test] = State.TEST
        return state[example_ids]


@dataclass(frozen=True, kw_only=True, eq=False)
class Runs:
    """All of them."""

    masks: np.ndarray
    """`shadow models x N`, bool: what each was trained on."""
    base: tuple[Run, ...]
    groups: dict[tuple[str, str], tuple[Run, ...]]
    """By method (`retrained`, `no_op`) and forget set."""
    apart: int = 1
    """From the number of one shadow model to that of the next."""
    has_never: bool
    """Whether some models never saw what others unlearned."""
    note: str = ""
    """Which models are left out, where there are not as many of each kind."""

    @property
    def num_shadows(self) -> int:
        """Shadow models."""
        return len(self.masks)

    def draws(self, forget_set: str) -> int:
        """Most models of one group that came of one shadow model."""
        found = [
            1 + max(run.draw for run in runs)
            for (_, name), runs in self.groups.items()
            if name == forget_set and runs
        ]
        return max(found, default=1)


def runs_of(sources: Sources) -> tuple[Runs | None, str]:
    """What stands for shadow models, and why nothing does where it is None."""
    if sources.shadow is not None:
        return _of_shadows(sources), ""
    return _of_models(sources)


def _of_shadows(sources: Sources) -> Runs:
    rows, masks = sources.shadow, sources.members
    assert rows is not None
    assert masks is not None
    base = tuple(Run(shadow=j, draw=0, rows=rows, number=j, trained_on=masks[j]) for j in range(len(masks)))
    groups: dict[tuple[str, str], tuple[Run, ...]] = {}
    for (method, forget_set), drawn in sources.drawn.items():
        groups[method, forget_set] = tuple(
            Run(
                shadow=j, draw=k, rows=drawn.rows, number=n, trained_on=masks[j], forgotten=drawn.forgotten[n]
            )
            for n, (j, k) in sorted(enumerate(drawn.places), key=lambda item: item[1])
        )
        if method == RETRAINED or ("no_op", forget_set) not in groups:
            groups["no_op", forget_set] = tuple(
                Run(
                    shadow=run.shadow,
                    draw=run.draw,
                    rows=rows,
                    number=run.shadow,
                    trained_on=run.trained_on,
                    forgotten=run.forgotten,
                )
                for run in groups[method, forget_set]
            )
    for forget_set in sources.data.forget_sets:
        groups.setdefault(("no_op", forget_set), ())
    return Runs(masks=masks, base=base, groups=groups, has_never=True)


def fewest(counts: Mapping[str, int], *, subject: str) -> tuple[int, str]:
    """How many models there are of every kind, and a line that says which are left out, empty where none is.

    Args:
        counts: models by kind, as a person calls it ("originals", "scrub on asked").
        subject: what rests on them.
    """
    number = min(counts.values())
    least = ", ".join(kind for kind, count in counts.items() if count == number)
    left = ", ".join(
        f"{count - number} of {count} {kind}" for kind, count in counts.items() if count > number
    )
    told = f"{subject}: {number} models of each kind, as many as there are of {least}; left out are {left}"
    return number, told if left else ""


def kind_of(method: str, forget_set: str) -> str:
    """What a person calls models of a method."""
    named = {RETRAINED: "retrained models", AGAIN: "models retrained again"}.get(method, method)
    return f"{named} on {forget_set}"


def _of_models(sources: Sources) -> tuple[Runs | None, str]:
    data = sources.data
    kept = [name for name in data.forget_sets if (RETRAINED, name) in sources.models]
    if sources.original is None or not kept:
        return None, "they need shadow models with masks, or originals and retrained models"
    taken = {kind_of(*key): rows.shape[0] for key, rows in sources.models.items() if key[1] in kept}
    counts = {"originals": sources.original.shape[0], **taken}
    number, note = fewest(counts, subject="models in the place of shadow models")
    if number < LEAST or any((AGAIN, name) not in sources.models for name in kept):
        return (
            None,
            f"they need {LEAST} models of each kind, of retrained ones twice as many; there are {number}",
        )
    everything = np.isin(np.arange(len(data.labels.labels)), data.splits.train)
    masks = np.broadcast_to(everything, (number, len(everything)))
    base = tuple(
        Run(shadow=APART * i, draw=0, rows=sources.original, number=i, trained_on=everything)
        for i in range(number)
    )
    groups: dict[tuple[str, str], tuple[Run, ...]] = {}
    for name in kept:
        forgotten = np.isin(np.arange(len(everything)), data.forget_sets[name].ids)
        retained = everything & ~forgotten

        def unlearned(rows: Rows, forgotten: np.ndarray = forgotten) -> Iterator[Run]:
            for i in range(number):
                yield Run(
                    shadow=APART * i, draw=0, rows=rows, number=i, trained_on=everything, forgotten=forgotten
                )

        again = sources.models[AGAIN, name]
        control = [
            (run, Run(shadow=run.shadow, draw=1, rows=again, number=run.number, trained_on=retained))
            for run in unlearned(sources.models[RETRAINED, name])
        ]
        groups[RETRAINED, name] = tuple(run for pair in control for run in pair)
        groups["no_op", name] = tuple(unlearned(sources.original))
        for (method, forget_set), rows in sources.models.items():
            if forget_set == name and method not in (RETRAINED, AGAIN):
                groups[method, name] = tuple(unlearned(rows))
    return Runs(masks=masks, base=base, groups=groups, apart=APART, has_never=False, note=note), ""
