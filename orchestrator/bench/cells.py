"""Cells of a sweep: models under attacks, from what an attack may see to rows."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from torch import nn

from orchestrator.bench.attempt import Stages
from orchestrator.bench.data import BenchData
from orchestrator.bench.models import ModelBench
from orchestrator.bench.shadow_source import CellShadows, StoredObservations
from orchestrator.bench.texts import Texts
from orchestrator.plan.cells import Cell, ModelSubject, Plan, ShadowSubject
from orchestrator.plan.data import forgotten_classes
from orchestrator.records import rows
from orchestrator.store.store import Store
from tasks.attacks.base import Attack, check_measurement
from tasks.attacks.views import ModelView, ShadowView
from tasks.errors import AuditError, Diverged
from tasks.measure.divergence import js_divergences
from tasks.measure.evaluate import Settings
from tasks.runtime.fingerprint import fingerprint
from tasks.text.alternatives import Alternatives
from tasks.training.resident import Subset
from tasks.training.scoring import Outputs, score

KEPT_OUTPUTS = 8
"""Models whose outputs a process keeps: cells of one model follow each other, and share its reference."""
SPLITS = ("forget", "retain", "test", "validation")


class CellBench:
    """Measures the cells of one plan.

    Args:
        plan: the whole plan of the sweep.
        store: where rows are written.
        stages: of this process.
        data: the images of the sweep.
        models: the models of the sweep.
    """

    def __init__(self, plan: Plan, store: Store, stages: Stages, data: BenchData, models: ModelBench) -> None:
        self.plan, self.store, self.engine = plan, store, stages.engine
        self._stages, self._data, self._models = stages, data, models
        self._outputs: OrderedDict[str, Outputs] = stages.cache()
        self.observations = StoredObservations(plan, store)
        self.texts = Texts(plan, stages, models)

    def forget(self) -> None:
        """Keep no outputs of models."""
        self._outputs.clear()
        self.texts.forget()

    def measure(self, cell: Cell) -> None:
        """Measure a cell and write its rows, but for the one in `cells`.

        Raises:
            AuditError: the attack asked for, reported or changed what it did not declare, or cannot measure this.
        """
        attack, subject = cell.named_attack.built, cell.subject
        model = self.model(subject.model_id) if isinstance(subject, ModelSubject) else None
        view = self._view(cell, attack, model)
        with self._unchanged(cell, attack, model), self._stages.measured() as cost:
            measurement = attack.measure(view)
        check_measurement(attack, measurement, name=cell.attack)
        examples = rows.examples_table(measurement.examples)
        if measurement.layers is not None:
            self.store.write("layers", cell.cell_id, rows.layer_rows(cell.cell_id, measurement.layers))
        self.store.write("metrics", cell.cell_id, rows.metric_rows(cell.cell_id, measurement.metrics))
        self.store.write("examples", cell.cell_id, examples, attack=cell.attack)
        self._stages.write_cost(
            cell.cell_id,
            "score" if attack.family == "none" else "attack",
            cost,
            {
                "model_id": subject.model_id if isinstance(subject, ModelSubject) else None,
                "samples": examples.num_rows,
            },
        )

    def model(self, model_id: str) -> nn.Module | None:
        """A model, resident; None where only its outputs are known."""
        return self._models.get(model_id)

    def shadows(self, cell: Cell) -> CellShadows:
        """What the attack of a cell sees of its shadow models."""
        return CellShadows(self.observations, cell)

    def _view(self, cell: Cell, attack: Attack, model: nn.Module | None) -> ModelView | ShadowView:
        """What the attack may see of the cell's model, or of its shadow models."""
        evaluation = self.plan.config.evaluation
        settings = Settings(
            bootstrap=evaluation.bootstrap,
            fprs=evaluation.fprs,
            seed=cell.seed,
            batch_size=evaluation.batch_size,
            attack_splits=evaluation.attack_splits,
            fairness_split=evaluation.fairness_split,
            fairness_definitions=evaluation.fairness_definitions,
        )
        if isinstance(cell.subject, ShadowSubject):
            return ShadowView(attack, self.shadows(cell), name=cell.attack, settings=settings)
        return ModelView(attack, _CellModel(self, cell, model), name=cell.attack, settings=settings)

    @contextmanager
    def _unchanged(self, cell: Cell, attack: Attack, model: nn.Module | None) -> Iterator[None]:
        """Refuse an attack that leaves the resident model otherwise than it was: later cells measure it too."""
        if model is None or not attack.needs & {"gradients", "copy", "generation"}:
            yield
            return
        before, changed = fingerprint(model), False
        try:
            with self._data.resident(None).unchanged(by=f"attack '{cell.attack}'"):
                yield
        finally:
            changed = fingerprint(model) != before
            if changed:
                self._models.drop(cell.subject.id)
                self._outputs.pop(cell.subject.id, None)
        if changed:
            raise AuditError(
                f"attack '{cell.attack}' changed the model that it measures (weights, modes, gradient switches or "
                "hooks); expected it untouched: work on view.copy()"
            )

    def outputs(self, model_id: str, forget_set: str) -> dict[str, Outputs]:
        """Answers of a model by split."""
        return self._by_split(self.all_outputs(model_id), forget_set)

    def _by_split(self, outputs: Outputs, forget_set: str) -> dict[str, Outputs]:
        return {split: outputs.at(self._data.split(forget_set, split)) for split in SPLITS}

    def base_outputs(self, model_id: str, forget_set: str) -> dict[str, Outputs]:
        """Answers, by split, of the base that a model's training started from."""
        spec = self.plan.models[model_id]
        outputs = self._kept(
            f"base of {spec.architecture}",
            lambda: self._score(self._models.initial(spec.pretrained_id, spec.architecture, ("base",))),
        )
        return self._by_split(outputs, forget_set)

    def all_outputs(self, model_id: str) -> Outputs:
        """Answers of a model on every example that is in a split, in order of their ids."""
        return self._kept(model_id, lambda: self.scored(model_id))

    def _kept(self, key: str, make: Callable[[], Outputs]) -> Outputs:
        if key not in self._outputs:
            outputs = make()
            if not outputs.finite:
                raise Diverged("the model's logits are not finite; lower the learning rate of its method")
            self._outputs[key] = replace(outputs, groups=self.plan.data.labels.groups)
            while len(self._outputs) > KEPT_OUTPUTS:
                self._outputs.popitem(last=False)
        self._outputs.move_to_end(key)
        return self._outputs[key]

    def scored(self, model_id: str) -> Outputs:
        """The same, asked of the model itself."""
        return self._score(self._models.get(model_id))

    def _score(self, model: nn.Module) -> Outputs:
        splits = self.plan.data.splits  # of a whole plan all examples, of a sample few
        everyone = np.sort(np.concatenate([splits.train, splits.validation, splits.test]))
        subset = self._data.resident(None).subset(everyone)
        return score(model, subset, batch_size=self.plan.config.evaluation.batch_size)

    def subset(self, forget_set: str, split: str) -> Subset:
        """Examples of a split, under their true targets."""
        return self._data.resident(None).subset(self._data.split(forget_set, split))

    def js(self, model_id: str, reference_id: str, forget_set: str, split: str) -> np.ndarray:
        """Jensen-Shannon divergence of two models on each example of a split."""
        model, reference = self._models.get(model_id), self._models.get(reference_id)
        subset = self.subset(forget_set, split)
        return js_divergences(model, reference, subset, batch_size=self.plan.config.evaluation.batch_size)


class _CellModel:
    """The model of one cell, as `tasks.attacks.sources.ModelSource` describes."""

    def __init__(self, bench: CellBench, cell: Cell, model: nn.Module | None) -> None:
        self._bench, self._cell, self.model = bench, cell, model
        self.labels: np.ndarray = bench.plan.data.labels.labels
        self.groups: np.ndarray | None = bench.plan.data.labels.groups

    @property
    def forgotten_classes(self) -> tuple[int, ...]:
        """Classes of which no training example is retained."""
        return forgotten_classes(self._bench.plan.data, self._cell.forget_set)

    def outputs(self) -> dict[str, Outputs]:
        """Answers of the model by split."""
        return self._bench.outputs(self._cell.subject.id, self._cell.forget_set)

    def reference_outputs(self) -> dict[str, Outputs] | None:
        """Answers of the retrained model on the same examples."""
        if self._cell.reference is None:
            return None
        return self._bench.outputs(self._cell.reference.id, self._cell.forget_set)

    def subset(self, split: str) -> Subset:
        """The examples of a split."""
        return self._bench.subset(self._cell.forget_set, split)

    def base_outputs(self) -> dict[str, Outputs]:
        """Answers of the base that training started from."""
        return self._bench.base_outputs(self._cell.subject.id, self._cell.forget_set)

    def compressed_bytes(self) -> np.ndarray:
        """Of each document's own text after zlib, by example id."""
        return self._bench.texts.compressed_bytes()

    def js_to_reference(self, split: str) -> np.ndarray:
        """From the retrained model, of each example of a split; 0 of that model itself."""
        reference = self._reference()
        if self._cell.subject.id == reference:
            return np.zeros(len(self._bench.subset(self._cell.forget_set, split)))
        return self._bench.js(self._cell.subject.id, reference, self._cell.forget_set, split)

    def alternatives(self) -> Alternatives | None:
        """Other answers to the questions of some examples."""
        return self._bench.texts.alternatives()

    def alternative_losses(self) -> np.ndarray:
        """Of the model, of each of these answers."""
        return self._bench.texts.alternative_losses(self._cell.subject.id)

    def reference_alternative_losses(self) -> np.ndarray:
        """Of the retrained model, likewise."""
        return self._bench.texts.alternative_losses(self._reference())

    def _reference(self) -> str:
        """Id of the retrained model.

        Raises:
            AuditError: none is known.
        """
        if self._cell.reference is None:
            raise AuditError(
                f"attack '{self._cell.attack}' compares with a retrained model, and none is known"
            )
        return self._cell.reference.id
