"""Headings of the table of a paper in words; the caption has what they leave out."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from orchestrator.results.claim_sentences import SPLITS
from orchestrator.results.paper.columns import PLACES, Key, fraction

METRICS = {"auc": "membership AUC"}
"""Metrics that read otherwise than they are called."""
ALWAYS = {"split", "param"}
"""What a heading says of a measure whether or not another column differs in it."""


def heading(key: Key, keys: Sequence[Key]) -> str:
    """Metric, split and radius, and of game, statistic and attack what tells it from other columns of the metric."""
    said = _said(key, keys)
    return ", ".join([_metric(key), *(name for place, name in _names(key).items() if place in said)])


def left_out(keys: Sequence[Key]) -> list[str]:
    """What headings do not say of their columns, once for each metric: `membership AUC: G2-population, population`."""
    found: dict[str, None] = {}
    for key in keys:
        said = _said(key, keys)
        rest = [name for place, name in _names(key).items() if place not in said]
        if rest:
            found[f"{_metric(key)}: {', '.join(rest)}"] = None
    return list(found)


def _metric(key: Key) -> str:
    return METRICS.get(key.metric, key.metric.replace("_", " "))


def _names(key: Key) -> dict[str, str]:
    """What a column has of each place, in the order of a heading."""
    words = {
        "split": "" if key.split == "all" else SPLITS.get(key.split, key.split),
        "game": key.game,
        "variant": key.variant,
        "attack": "" if key.attack == "none" else key.attack,
        "param": "" if key.param is None else f"at {fraction(key.param)}",
    }
    return {place: text for place, text in words.items() if text}


def _said(key: Key, keys: Sequence[Key]) -> Collection[str]:
    alike = [other for other in keys if other.metric == key.metric]
    return ALWAYS | {place for place in PLACES if len({getattr(other, place) for other in alike}) > 1}
