"""No attack: the cell reports utility, distances to the retrained model and the fairness gap alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tasks.attacks.base import Attack, Measurement, Need, register
from tasks.attacks.views import ModelView
from tasks.measure.evaluate import model_metrics
from tasks.metrics import reference, utility
from tasks.metrics.base import Metric


@register("none")
@dataclass(frozen=True, kw_only=True)
class NoAttack(Attack):
    """Measure the model as it is."""

    version: ClassVar[int] = 2
    family: ClassVar[str] = "none"
    needs: ClassVar[frozenset[Need]] = frozenset(("outputs",))
    metrics: ClassVar[tuple[Metric, ...]] = (*utility.METRICS, *reference.METRICS)

    def measure(self, view: ModelView) -> Measurement:
        """Utility by split and class, gaps and distances to the retrained model, fairness gaps of layers."""
        outputs = view.outputs()
        metrics = model_metrics(
            outputs,
            view.reference_outputs(),
            forgotten_classes=view.forgotten_classes,
            settings=view.settings,
        )
        examples = [
            {
                "split": np.full(len(part), split),
                "example_id": part.ids,
                "label": part.labels,
                "loss": part.loss,
                "phi": part.phi,
                "predicted": part.logits.argmax(axis=1),
                "correct": part.correct,
            }
            for split, part in outputs.items()
        ]
        return Measurement(metrics=metrics, examples=examples, layers=view.layer_gaps())
