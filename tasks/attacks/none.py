"""No attack: the cell reports utility, distances to the retrained model and the fairness gap alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from tasks.attacks.base import Attack, Measurement, Need, register
from tasks.attacks.views import ModelView
from tasks.measure.evaluate import document_metrics, model_metrics
from tasks.metrics import documents, reference, utility
from tasks.metrics.base import Metric

if TYPE_CHECKING:
    from tasks.training.scoring import Outputs


@register("none")
@dataclass(frozen=True, kw_only=True)
class NoAttack(Attack):
    """Measure the model as it is."""

    version: ClassVar[int] = 3
    family: ClassVar[str] = "none"
    needs: ClassVar[frozenset[Need]] = frozenset(("outputs",))
    metrics: ClassVar[tuple[Metric, ...]] = (
        *utility.METRICS,
        *reference.METRICS,
        *documents.UTILITY_METRICS,
        documents.AVERAGE_TOKEN_GAP,
    )

    def measure(self, view: ModelView) -> Measurement:
        """Utility by split and class, gaps and distances to the retrained model, fairness gaps of layers.

        Documents have no classes, and of answers on them nothing is kept: utility by split, the gap, and how far the
        model is from the retrained one while both are there.
        """
        outputs = view.outputs()
        if not outputs["forget"].keeps_logits:
            return Measurement(
                metrics=document_metrics(
                    outputs,
                    view.reference_outputs(),
                    apart={split: view.js_to_reference(split) for split in ("forget", "test")},
                ),
                examples=[_of_documents(split, part) for split, part in outputs.items()],
                layers=[],
            )
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


def _of_documents(split: str, part: Outputs) -> dict[str, np.ndarray]:
    """Rows of `examples`: all that the objective says of each document."""
    found = dict(part.statistics)
    found["tokens"] = found["tokens"].astype(np.int32)
    return {"split": np.full(len(part), split), "example_id": part.ids, **found}
