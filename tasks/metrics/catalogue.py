"""Every metric that Lethe itself reports, by name; an attack of a plug-in brings its own."""

from __future__ import annotations

from tasks.metrics import (
    audit,
    before_after,
    documents,
    example_epsilon,
    harm,
    klom,
    membership,
    reference,
    robustness,
    truth_ratio,
    utility,
)
from tasks.metrics.base import Metric

_ROOMS = (
    utility,
    reference,
    documents,
    truth_ratio,
    robustness,
    membership,
    audit,
    harm,
    before_after,
    example_epsilon,
    klom,
)
CATALOGUE: dict[str, Metric] = {metric.name: metric for room in _ROOMS for metric in room.METRICS}
