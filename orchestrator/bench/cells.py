"""Cells of a sweep: models under attacks, from their outputs to rows."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pyarrow as pa
from torch import nn

from orchestrator.bench.attempt import Stages
from orchestrator.bench.data import BenchData
from orchestrator.bench.models import ModelBench
from orchestrator.bench.per_example import ShadowCells
from orchestrator.plan.cells import Cell, ModelSubject, Plan
from orchestrator.plan.data import forgotten_classes
from orchestrator.records import rows
from orchestrator.store.store import Store
from tasks.attacks.base import AdversarialAttack, PopulationAttack
from tasks.errors import AuditError, Diverged
from tasks.measure import evaluate
from tasks.measure.fairness import fairness_gaps
from tasks.measure.robustness import RobustOutputs, robust_outputs
from tasks.metrics.base import Metric
from tasks.runtime.costs import measure
from tasks.runtime.seeding import numpy_generator
from tasks.training.scoring import Outputs, score

KEPT_OUTPUTS = 8
"""Models whose outputs a process keeps: cells of one model follow each other, and share its reference."""


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
        self._shadow_cells = ShadowCells(plan, store)

    def forget(self) -> None:
        """Keep no outputs of models."""
        self._outputs.clear()

    def measure(self, cell: Cell) -> None:
        """Measure a cell and write its rows, but for the one in `cells`."""
        attack, subject = cell.named_attack.built, cell.subject
        model = self._models.get(subject.model_id) if isinstance(subject, ModelSubject) else None
        with measure(self.engine.device) as cost:
            if model is None:
                metrics, examples = self._shadow_cells.measure(cell, attack, self._settings(cell))
            elif isinstance(attack, AdversarialAttack):
                metrics, examples = self._adversarial(cell, model, attack)
            elif isinstance(attack, PopulationAttack):
                metrics, examples = self._population(cell, attack)
            elif attack.family == "none":
                metrics, examples = self._plain(cell, model)
            else:
                raise AuditError(
                    f"attack '{cell.attack}' follows no known protocol (family '{attack.family}')"
                )
        self.store.write("metrics", cell.cell_id, rows.metric_rows(cell.cell_id, metrics))
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

    def _all_outputs(self, model_id: str) -> Outputs:
        """Logits of a model on every example of the data set, in order."""
        if model_id not in self._outputs:
            model = self._models.get(model_id)
            everything = self._data.resident(None).subset(np.arange(len(self.plan.data.labels.labels)))
            batch_size = self.plan.config.evaluation.batch_size
            outputs = score(model, everything, batch_size=batch_size)
            if not np.isfinite(outputs.logits).all():
                raise Diverged("the model's logits are not finite; lower the learning rate of its method")
            self._outputs[model_id] = outputs
            while len(self._outputs) > KEPT_OUTPUTS:
                self._outputs.popitem(last=False)
        self._outputs.move_to_end(model_id)
        return self._outputs[model_id]

    def _outputs_by_split(self, model_id: str, forget_set: str) -> dict[str, Outputs]:
        outputs = self._all_outputs(model_id)
        splits = ("forget", "retain", "test", "validation")
        return {split: outputs.at(self._data.split(forget_set, split)) for split in splits}

    def _plain(self, cell: Cell, model: nn.Module) -> tuple[list[Metric], pa.Table]:
        evaluation = self.plan.config.evaluation
        outputs = self._outputs_by_split(cell.subject.id, cell.forget_set)
        metrics = evaluate.model_metrics(
            outputs,
            self._outputs_by_split(cell.reference.id, cell.forget_set),
            forgotten_classes=forgotten_classes(self.plan.data, cell.forget_set),
            settings=self._settings(cell),
        )
        ids = self._data.split(cell.forget_set, evaluation.fairness_split)
        gaps = fairness_gaps(
            model,
            self._data.resident(None).subset(ids),
            definitions=evaluation.fairness_definitions,
            bootstrap=evaluation.fairness_bootstrap,
            seed_path=("fairness", cell.seed),
        )
        self.store.write("layers", cell.cell_id, rows.layer_rows(cell.cell_id, gaps))
        return metrics, rows.outputs_table(outputs)

    def _adversarial(
        self, cell: Cell, model: nn.Module, attack: AdversarialAttack
    ) -> tuple[list[Metric], pa.Table]:
        evaluation = self.plan.config.evaluation
        found: dict[str, RobustOutputs] = {}
        for split in evaluation.attack_splits:
            found[split] = robust_outputs(
                attack,
                model,
                self._data.resident(None).subset(self._data.split(cell.forget_set, split)),
                seed_path=("attack", cell.seed, cell.attack, split),
                batch_size=evaluation.batch_size,
            )
        return evaluate.robust_metrics(found, settings=self._settings(cell)), rows.robust_table(found)

    def _population(self, cell: Cell, attack: PopulationAttack) -> tuple[list[Metric], pa.Table]:
        outputs = self._outputs_by_split(cell.subject.id, cell.forget_set)
        scores = attack.score(
            outputs["forget"],
            outputs["retain"],
            outputs["test"],
            generator=numpy_generator("population", cell.seed),
        )
        metrics = evaluate.membership_metrics(scores, settings=self._settings(cell))
        return metrics, rows.scores_table(scores, self.plan.data.labels.labels)

    def _settings(self, cell: Cell) -> evaluate.Settings:
        evaluation = self.plan.config.evaluation
        return evaluate.Settings(
            bootstrap=evaluation.bootstrap,
            fprs=evaluation.fprs,
            seed=cell.seed,
        )
