"""The distinct models behind the cells of a plan: each once, named by its content. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from orchestrator.config.settings import SweepConfig
from orchestrator.plan.cells import ModelSpec
from orchestrator.plan.data import DataPlan
from orchestrator.plan.elsewhere import MadeElsewhere
from orchestrator.plan.given_files import RETRAINED, GivenFile, GivenFiles
from orchestrator.plan.identity import Identity
from orchestrator.plan.names import NamedMethod
from orchestrator.plan.points import CONTROL, unaudited

TRAINED_ANEW = ("retrain", "retrain_again", CONTROL)
"""Methods of the retrained models, by which of the independent ones they are."""


class Models:
    """Makes the models of one plan; equal content gives one model however many cells ask.

    Args:
        config: with a named device.
        data: of the plan.
        identity: makes their ids.
        method: a value of the method axis, resolved for an architecture and a scope.
        files: the finished models; None where all are made here.
    """

    def __init__(
        self,
        config: SweepConfig,
        data: DataPlan,
        identity: Identity,
        method: Callable[..., NamedMethod],
        files: GivenFiles | None,
    ) -> None:
        self._config, self._data, self._identity = config, data, identity
        self._method, self._files = method, files
        self.specs: dict[str, ModelSpec] = {}
        """By id."""
        # A grid asks for the same model once for each attack and scope: 100,000 cells must plan in seconds.
        self.of = cache(self._make_model)
        self._trained = cache(self._make_trained)
        self._recipes = {name: config.recipe(name) for name in config.axes.architecture}
        self._unaudited = unaudited(config)

    def _make_model(
        self, architecture: str, forget_set: str, seed: int, method: str, scope: str
    ) -> ModelSpec | None:
        """The model at a place; None where it is of a method whose models are given, and none is for the forget set."""
        named: NamedMethod = self._method(method, architecture, scope)
        if named.built.from_scratch:
            return self._trained(architecture, seed, forget_set, replicate=named.built.replicate)
        original = self._trained(architecture, seed, forget_set, replicate=None)
        if named.base == "no_op":
            return original
        file = self._file(f"unlearned.{method}", forget_set, seed)
        if isinstance(named.built, MadeElsewhere) and file is None:
            return None
        reference = self.reference(architecture, seed, forget_set)
        return self._add(
            ModelSpec(
                model_id=self._identity.unlearned(original.model_id, named, forget_set, scope, seed),
                kind="unlearned",
                architecture=architecture,
                recipe=self._recipes[architecture],
                seed=seed,
                forget_set=forget_set,
                named_method=named,
                scope=scope,
                original_id=original.model_id,
                pretrained_id=original.pretrained_id,
                retrained_id=reference.model_id if reference is not None else None,
                file=file,
            )
        )

    def reference(self, architecture: str, seed: int, forget_set: str) -> ModelSpec | None:
        """What models are compared with; None where no retrained model is given and nothing says how to train one."""
        if "retrain" not in self._unaudited:
            return None
        return self._trained(architecture, seed, forget_set, replicate=0)

    def _file(self, role: str, forget_set: str, seed: int) -> GivenFile | None:
        """Where a finished model is read from; None for one that is made here."""
        return self._files.of(role, forget_set, seed) if self._files is not None else None

    def _make_trained(
        self, architecture: str, seed: int, forget_set: str, *, replicate: int | None
    ) -> ModelSpec:
        """The original (`replicate` None) or a retrained model."""
        place = architecture, seed, forget_set
        pretrained = self.pretrained(architecture)
        if replicate is None:
            poisons = self._data.forget_sets[forget_set].poisons
            return self._add(
                ModelSpec(
                    model_id=self._identity.original(*place),
                    kind="original",
                    architecture=architecture,
                    recipe=self._recipes[architecture],
                    seed=seed,
                    forget_set=forget_set if poisons else None,
                    pretrained_id=pretrained,
                    file=self._file("original", forget_set, seed),
                )
            )
        role = RETRAINED[replicate] if replicate < len(RETRAINED) else ""
        return self._add(
            ModelSpec(
                model_id=self._identity.retrained(*place, replicate),
                kind="retrained",
                architecture=architecture,
                recipe=self._recipes[architecture],
                seed=seed,
                forget_set=forget_set,
                replicate=replicate,
                pretrained_id=pretrained,
                named_method=self._method(TRAINED_ANEW[replicate]),
                file=self._file(role, forget_set, seed),
            )
        )

    def pretrained(self, architecture: str) -> str | None:
        """Id of the base that every training of an architecture starts from; None where none is asked for."""
        base, recipe = self._identity.pretrained(architecture), self._config.pretraining
        if base is None or recipe is None:
            return None
        spec = ModelSpec(
            model_id=base, kind="pretrained", architecture=architecture, recipe=recipe, seed=recipe.seed
        )
        return self._add(spec).model_id

    def _add(self, spec: ModelSpec) -> ModelSpec:
        return self.specs.setdefault(spec.model_id, spec)
