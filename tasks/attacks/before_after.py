"""Which examples unlearning left worse off than the original model had them, and how many retraining would."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tasks.attacks.base import Measurement, Need, register
from tasks.attacks.per_example import Block, PerExample, single_examples
from tasks.attacks.views import ShadowView
from tasks.errors import AuditError
from tasks.metrics import before_after
from tasks.metrics.audit import RUNS_MISSING
from tasks.metrics.base import Metric, MetricValue
from tasks.metrics.before_after import STATISTIC, Worsening, forgotten, retained, worse_metrics
from tasks.metrics.per_example import discoveries
from tasks.shadows.games import compare
from tasks.shadows.observations import Observations, named_by


@register("before_after")
@dataclass(frozen=True, kw_only=True)
class BeforeAfter(PerExample):
    """Every forgotten and every retained example against itself in the same shadow models before they unlearned."""

    needs: ClassVar[frozenset[Need]] = frozenset(("shadows", "reference_shadows"))
    metrics: ClassVar[tuple[Metric, ...]] = (*before_after.METRICS, RUNS_MISSING)
    version: ClassVar[int] = 2

    fdr: float = 0.1
    """False-discovery rate at which single examples count as worse off (Benjamini-Hochberg)."""

    def __post_init__(self) -> None:
        if not 0 < self.fdr < 1:
            raise AuditError(f"fdr: expected a number in (0, 1), got {self.fdr}")

    def measure_one(self, view: ShadowView) -> Measurement:
        """Counts, shares beside the retrained models', and a p-value of each example.

        Raises:
            AuditError: observations are missing, or too few.
        """
        reference = view.reference_runs()
        metrics: list[MetricValue] = []
        named = named_by(STATISTIC, view.statistic)
        blocks: list[Block] = []
        beside = (None, None) if reference is None else self._worsenings(view, reference)
        for found, other in zip(self._worsenings(view, view.runs()), beside, strict=True):
            told = discoveries(found.p_value, rate=self.fdr, num_statistics=view.num_statistics)
            metrics += worse_metrics(
                found,
                other,
                rate=self.fdr,
                num_statistics=view.num_statistics,
                variant=named_by("", view.statistic),
            )
            values = {
                "change": found.mean,
                "p_value": found.p_value,
                "q_value": told.q_value,
            }
            columns = {name: {"score": value} for name, value in values.items()}
            blocks += single_examples(view, named, found.split, found.example_ids, columns)
        return Measurement(metrics=metrics, examples=blocks)

    def _worsenings(self, view: ShadowView, runs: Observations) -> tuple[Worsening, Worsening]:
        """Of the forgotten and of the retained examples."""
        forget = view.audited(compare(runs, "G2")).of_examples(view.targets).example_ids
        retain = view.audited(compare(runs, "G3")).example_ids
        base = view.base()
        return forgotten(base, runs, np.sort(forget)), retained(base, runs, np.sort(retain))
