"""Does the model still prefer right answers to wrong ones, where a retrained model does not? By TOFU's truth ratio."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tasks.attacks.base import Attack, Given, Measurement, Need, register
from tasks.attacks.views import ModelView
from tasks.errors import AuditError
from tasks.metrics import truth_ratio
from tasks.metrics.base import Metric

SPLITS = ("forget", "retain")


@register("truth_ratio")
@dataclass(frozen=True, kw_only=True)
class TruthRatio(Attack):
    """Compare wrong answers with a paraphrased right one, question by question, and with the retrained model's view.

    For data sets that bring such answers (TOFU's files whose names end in _perturbed).
    """

    family: ClassVar[str] = "truth_ratio"
    objectives: ClassVar[frozenset[str]] = frozenset({"language"})
    needs: ClassVar[frozenset[Need]] = frozenset(("generation",))
    metrics: ClassVar[tuple[Metric, ...]] = truth_ratio.METRICS

    @property
    def reads_alternatives(self) -> bool:
        """They are all that it reads."""
        return True

    def check_given(self, given: Given) -> None:
        """Refuse forget sets without such answers.

        Raises:
            AuditError: no forgotten example has any.
        """
        if not len(np.intersect1d(given.split("forget"), given.alternatives())):
            raise AuditError(
                "expected forgotten examples with paraphrased and wrong answers, and the data set has none of these; "
                "TOFU's stand in files such as forget10_perturbed.json"
            )

    def measure(self, view: ModelView) -> Measurement:
        """Truth ratios of forgotten and of retained questions, and their distance from the retrained model's."""
        found = view.alternatives()
        assert found is not None
        with_answers = np.unique(found.example)
        ours, theirs = (
            truth_ratio.log_ratios(losses, found.example, found.right)
            for losses in (view.alternative_losses(), view.reference_alternative_losses())
        )
        metrics, examples = [], []
        for split in SPLITS:
            rows = np.isin(with_answers, view.subset(split).ids.cpu().numpy())
            if not rows.any():
                continue
            ids = with_answers[rows]
            groups = None if view.groups is None else view.groups[ids]
            metrics += [
                truth_ratio.truth_ratio(split, ours[rows], groups),
                truth_ratio.truth_ratio_distance(
                    split,
                    ours[rows],
                    theirs[rows],
                    groups,
                    generator=view.generator("bootstrap", split),
                    resamples=view.settings.bootstrap,
                ),
            ]
            examples.append({"split": np.full(len(ids), split), "example_id": ids, "score": ours[rows]})
        return Measurement(metrics=metrics, examples=examples)
