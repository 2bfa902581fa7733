"""What an attack gets to see: of one model, or of a group of shadow models; nothing that it did not declare."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from tasks.attacks.base import Attack, Need
from tasks.attacks.sources import ModelSource, ShadowSource
from tasks.errors import AuditError
from tasks.objectives.names import PHI
from tasks.runtime.seeding import numpy_generator
from tasks.shadows.games import Comparison, compare
from tasks.shadows.observations import Observations, State

if TYPE_CHECKING:
    import torch
    from torch import nn

    from tasks.measure.evaluate import Settings
    from tasks.measure.fairness import LayerGap
    from tasks.shadows.canaries import Canaries
    from tasks.text.alternatives import Alternatives
    from tasks.training.resident import Subset
    from tasks.training.scoring import Outputs


class _View:
    """What both views have in common.

    Args:
        attack: whose declarations hold.
        name: of the attack on its axis.
        settings: of the evaluation, and the seed of the cell.

    Raises:
        AuditError: the attack needs what such a view cannot give.
    """

    offers: ClassVar[frozenset[Need]]

    def __init__(self, attack: Attack, *, name: str, settings: Settings) -> None:
        self._attack, self.name, self.settings = attack, name, settings
        self.asked: set[Need] = set()
        """Of what it declares, what the attack has asked for so far."""
        for need in sorted(attack.needs - self.offers):
            raise AuditError(
                f"attack '{name}' needs '{need}', which its subject ({attack.subject}) does not offer; "
                f"expected {', '.join(sorted(self.offers))}"
            )

    def _require(self, what: str, *needs: Need) -> None:
        self.asked |= self._attack.needs & {needs[0]}
        if not self._attack.needs & set(needs):
            kind = type(self._attack).__name__
            raise AuditError(
                f"attack '{self.name}' asks for {what} without declaring that it needs '{needs[0]}'; "
                f"add it to {kind}.needs"
            )

    def seed_path(self, *purpose: str | int) -> tuple[str | int, ...]:
        """Names a random stream of this attack and seed, equal for every model: comparisons are paired."""
        return ("attack", self.settings.seed, self.name, *purpose)

    def generator(self, *purpose: str | int) -> np.random.Generator:
        """A NumPy generator for one purpose; see `seed_path`."""
        return numpy_generator(*self.seed_path(*purpose))

    def torch_generator(self, *purpose: str | int) -> torch.Generator:
        """A torch generator, on the CPU, for one purpose; see `seed_path`."""
        from tasks.runtime.seeding import torch_generator

        return torch_generator(*self.seed_path(*purpose))


class ModelView(_View):
    """One model.

    Args:
        attack, name, settings: see `_View`.
        source: of the model.
    """

    offers = frozenset(("outputs", "gradients", "copy", "generation"))

    def __init__(self, attack: Attack, source: ModelSource, *, name: str, settings: Settings) -> None:
        super().__init__(attack, name=name, settings=settings)
        self._source = source

    @property
    def labels(self) -> np.ndarray:
        """True labels of the data set, by example id."""
        return self._source.labels

    @property
    def groups(self) -> np.ndarray | None:
        """Of whom each example is (person, author), by id; None: each stands for itself."""
        return self._source.groups

    @property
    def forgotten_classes(self) -> tuple[int, ...]:
        """Classes of which no training example is retained."""
        return self._source.forgotten_classes

    def outputs(self) -> Mapping[str, Outputs]:
        """Answers of the model by split: forget, retain, test, validation."""
        self._require("outputs", "outputs")
        return self._source.outputs()

    def reference_outputs(self) -> Mapping[str, Outputs] | None:
        """Answers of the retrained model on the same splits and examples; None where none is known."""
        self._require("outputs of the retrained model", "outputs")
        return self._source.reference_outputs()

    def base_outputs(self) -> Mapping[str, Outputs]:
        """Answers of the base that training started from, on the same splits and examples."""
        self._require("outputs of the base", "outputs")
        return self._source.base_outputs()

    def compressed_bytes(self) -> np.ndarray:
        """Bytes of each document's own text after zlib, by example id, int64; versions of zlib may differ by a few."""
        self._require("the text of documents", "outputs")
        return self._source.compressed_bytes()

    def js_to_reference(self, split: str) -> np.ndarray:
        """Jensen-Shannon divergence of the model from the retrained one on each example, `n`, in nats."""
        self._require("the distance to the retrained model", "outputs")
        return self._source.js_to_reference(split)

    def alternatives(self) -> Alternatives | None:
        """Other answers to the questions of some examples; None: the data set has none."""
        self._require("other answers", "generation")
        return self._source.alternatives()

    def alternative_losses(self) -> np.ndarray:
        """Mean loss of the model over the tokens of each of these answers, `M`."""
        self._require("losses of other answers", "generation")
        return self._source.alternative_losses()

    def reference_alternative_losses(self) -> np.ndarray:
        """The same of the retrained model."""
        self._require("losses of other answers", "generation")
        return self._source.reference_alternative_losses()

    def layer_gaps(self) -> list[LayerGap]:
        """Fairness gaps of the model's normalisation layers, as the settings say; none without the model."""
        from tasks.measure.fairness import fairness_gaps

        self._require("what the layers see", "outputs")
        if self._source.model is None:
            return []
        return fairness_gaps(
            self._source.model,
            self._source.subset(self.settings.fairness_split),
            definitions=self.settings.fairness_definitions,
            seed_path=("fairness", self.settings.seed),
        )

    def subset(self, split: str) -> Subset:
        """The examples and true targets of a split: forget, retain, test or validation."""
        self._require("examples", "gradients", "copy", "generation")
        return self._source.subset(split)

    @contextmanager
    def readable(self) -> Iterator[nn.Module]:
        """The language model in eval mode, without gradients."""
        import torch

        from tasks.runtime.modes import evaluating

        self._require("the language model", "generation")
        with evaluating(self._model()) as model, torch.no_grad():
            yield model

    @contextmanager
    def differentiable(self) -> Iterator[nn.Module]:
        """The model in eval mode with its parameters frozen: gradients reach images alone."""
        from tasks.runtime.modes import evaluating, frozen

        self._require("the model", "gradients")
        with evaluating(self._model()) as model, frozen(model):
            yield model

    def copy(self) -> nn.Module:
        """A copy of the model that may be changed and trained."""
        self._require("a copy of the model", "copy")
        return copy.deepcopy(self._model())

    def _model(self) -> nn.Module:
        if self._source.model is None:
            raise AuditError(f"attack '{self.name}' needs the model, of which only outputs are known")
        return self._source.model


class ShadowView(_View):
    """A group of shadow models, as a game sees them.

    Args:
        attack, name, settings: see `_View`.
        source: of the observations.
    """

    offers = frozenset(("shadows", "reference_shadows"))
    statistic = PHI
    """What of each example it shows."""
    num_statistics = 1
    """Of how many statistics an attack is shown one by one: who counts examples allows for it."""

    def __init__(self, attack: Attack, source: ShadowSource, *, name: str, settings: Settings) -> None:
        super().__init__(attack, name=name, settings=settings)
        self._source = source

    def of_each(self, statistics: Sequence[str]) -> Iterator[ShadowView]:
        """The same view of each of several statistics."""
        for statistic in statistics:
            view = copy.copy(self)
            view.statistic, view.num_statistics = statistic, len(statistics)
            yield view

    def _shadows(self) -> ShadowSource:
        self._require("shadow models", "shadows")
        return self._source

    @property
    def game(self) -> str:
        """The attack's."""
        return self._attack.game

    @property
    def canaries(self) -> Canaries | None:
        """Planted in the training sets of the shadow models; None where there are none."""
        return self._shadows().canaries

    @property
    def targets(self) -> np.ndarray:
        """Examples of which every run is kept, and each is tested: the forget set, or the canaries."""
        canaries = self._shadows().canaries
        if canaries is not None and self._attack.on_canaries:
            return canaries.ids
        return self._source.forget_ids

    def labels(self, ids: np.ndarray) -> np.ndarray:
        """The labels that shadow models learn, of the given examples."""
        labels, canaries = self._shadows().labels, self._source.canaries
        if canaries is not None:
            labels = labels.copy()
            labels[canaries.ids] = canaries.labels
        return labels[ids]

    @property
    def planned(self) -> int:
        """Runs that the attack would have seen had none failed."""
        shadows, draws = self._shadows().planned
        return shadows if self.game == "G0" else shadows * draws

    @property
    def observed(self) -> int:
        """Runs that there are."""
        return len(self.runs().shadow)

    def runs(self) -> Observations:
        """Of the models that the game is about: as trained in G0, unlearned in the others."""
        if self.game == "G0":
            return self.base()
        return self._shadows().unlearned().of_statistic(self.statistic)

    def base(self) -> Observations:
        """Of the shadow models as trained."""
        return self._shadows().base().of_statistic(self.statistic)

    def _retrained(self) -> Observations:
        return self._source.retrained().of_statistic(self.statistic)

    def reference_runs(self) -> Observations | None:
        """Of the reference's models, from the same shadow models; None where the game is about these or about models
        as trained."""
        self._require("shadow models of the reference", "reference_shadows")
        if self.game == "G0" or self._source.reference == "itself":
            return None
        return self._retrained()

    def comparison(self, half: int | None = None) -> Comparison:
        """The two hypotheses of the attack's game; of one half of the shadow pairs where one is named."""
        return self.audited(self._hypotheses(half))

    def reference_comparison(self) -> Comparison | None:
        """The attack's game about the reference's models, as in their own cell; None where there are no others."""
        runs = self.reference_runs()
        return None if runs is None else self.audited(_about_itself(runs, self.game))

    def audited(self, comparison: Comparison) -> Comparison:
        """The canaries alone for an attack on them; for any other the natural examples alone."""
        canaries = self._shadows().canaries
        if canaries is None:
            return comparison
        ids = np.concatenate([comparison.example_ids, comparison.excluded])
        return comparison.of_examples(ids[np.isin(ids, canaries.ids) == self._attack.on_canaries])

    def _hypotheses(self, half: int | None) -> Comparison:
        def of(observations: Observations) -> Observations:
            return observations if half is None else observations.of_half(half)

        runs = of(self.runs())
        if self.game != "G1" or self._source.reference == "itself":
            return _about_itself(runs, self.game)
        if self._source.reference == "base":
            return compare(runs, "G1", reference=of(self.base()), reference_state=State.NEVER)
        return compare(runs, "G1", reference=of(self._retrained()), reference_state=State.UNLEARNED)


def _about_itself(runs: Observations, game: str) -> Comparison:
    """A game that asks no other models. G1 of the reference is its floor: retrained without x against retrained models
    that never saw it; base models would differ by the size of their training set alone."""
    return compare(runs, game, reference=runs if game == "G1" else None, reference_state=State.NEVER)
