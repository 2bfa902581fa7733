"""The data of a sweep while it is planned: labels, splits and forget sets, without pixels. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from orchestrator.config.settings import SweepConfig
from orchestrator.plan.fits import check_classes, check_kind, check_normalisation
from orchestrator.plan.names import build_forget_kind
from orchestrator.plan.plugins import plugin_digest, plugin_name
from orchestrator.plan.score_file import RiskScores, read_scores
from orchestrator.plan.search import SearchConfig, tuning_forget_set
from orchestrator.plan.sources import read_source, saying
from tasks.datasets.base import DataSource, Labels
from tasks.datasets.checks import check_some_images, checked_names
from tasks.datasets.contents import content_hashes
from tasks.datasets.splits import Splits, make_splits
from tasks.errors import AuditError
from tasks.forget_sets.base import ForgetRequest, ForgetSet
from tasks.forget_sets.resolve import resolve


@dataclass(frozen=True, kw_only=True)
class DataPlan:
    """The data set of a sweep without its pixels."""

    source: DataSource
    digest: str
    labels: Labels
    splits: Splits
    forget_sets: Mapping[str, ForgetSet]
    scores: RiskScores = field(default_factory=RiskScores)
    """Scores of an earlier audit that forget sets and methods rank by."""
    test_split: Literal["test", "validation"] = "test"
    """What models are tested on: tuning selects on the validation set and leaves the test set alone."""
    plugins: Mapping[str, str] = field(default_factory=dict)
    """Name and digest of the plug-ins that gave the data set or chose a forget set."""

    def split(self, forget_set: str, split: str) -> np.ndarray:
        """Ids of the examples of a split; forget and retain are parts of the training set."""
        if split == "forget":
            return self.forget_sets[forget_set].ids
        if split == "retain":
            return np.setdiff1d(self.splits.train, self.forget_sets[forget_set].ids)
        return getattr(self.splits, self.test_split if split == "test" else split)


def read_split(config: SweepConfig) -> tuple[DataSource, Labels, Splits]:
    """The configured data set, its labels, and how they are split."""
    source, labels = read_source(
        config.data.name,
        config.data.options,
        name_at="data.name",
        options_at="data.options",
        limit=config.data.limit,
        seed=config.data.split_seed,
    )
    check_normalisation(config.data, labels)
    if not labels.vocabulary:
        with saying("data.options"):
            check_some_images(source, labels)
    check_classes(labels)
    splits = make_splits(
        labels,
        validation_fraction=config.data.validation_fraction,
        test_fraction=config.data.test_fraction,
        seed=config.data.split_seed,
        may_lack_validation=config.given is not None,
    )
    return source, labels, splits


def plan_data(config: SweepConfig) -> DataPlan:
    """Read labels, split them, and choose the forget sets."""
    source, labels, splits = read_split(config)
    with saying("data.options", source.origin):
        content = source.digest()
        if not isinstance(content, str) or not content:
            raise AuditError(
                f"{type(source).__name__}.digest: expected text that names the content, got {content!r}"
            )
    scores = read_scores(config.data.scores, num_examples=len(labels.labels), dataset_digest=content)
    request = ForgetRequest(
        labels=labels,
        splits=splits,
        scores=scores.values,
        hashes=lambda: content_hashes(source, content),
        names=lambda: checked_names(source, labels),
        limited=source.origin is not source,
    )
    searching = isinstance(config, SearchConfig)
    names = config.audited_forget_sets if isinstance(config, SearchConfig) else config.axes.forget_set
    kinds = [build_forget_kind(config, text) for text in names]
    for text, kind in zip(names, kinds, strict=True):
        check_kind(kind, labels, where=f"forget_sets.{text}")
        with saying(f"forget_sets.{text}", kind):
            needed = kind.needs
        scores.require(needed, where=f"forget_sets.{text}")
    chosen = []
    for text, kind in zip(names, kinds, strict=True):
        with saying(f"forget_sets.{text}", kind, source.origin):
            chosen.append(_with_scores(resolve(kind, request), scores, kind.needs))
    if searching:
        names, chosen = config.axes.forget_set, [tuning_forget_set(kinds[0], chosen, request)]
    return DataPlan(
        source=source,
        digest=content,
        labels=labels,
        splits=splits,
        scores=scores,
        forget_sets=dict(zip(names, chosen, strict=True)),
        test_split="validation" if searching else "test",
        plugins={
            plugin_name(c): plugin_digest(c) for c in map(type, (source.origin, *kinds)) if plugin_name(c)
        },
    )


def _with_scores(forget: ForgetSet, scores: RiskScores, names: Iterable[str]) -> ForgetSet:
    """The forget set with the origin of the scores that chose it in its provenance."""
    used = {name: scores.digest(name) for name in names}
    if not used:
        return forget
    origin = {"scores": dict(scores.provenance), "scores_sha256": used}
    return replace(forget, provenance={**forget.provenance, **origin})


def forgotten_classes(data: DataPlan, forget_set: str) -> tuple[int, ...]:
    """Classes of which no training example is retained."""
    gone = np.setdiff1d(*train_labels_by_side(data, forget_set))
    return tuple(int(c) for c in gone)


def train_labels_by_side(data: DataPlan, forget_set: str) -> tuple[np.ndarray, np.ndarray]:
    """True labels of the forgotten and of the retained training examples, by id (`nf` and `nr`, int64)."""
    forget = data.forget_sets[forget_set].ids
    retained = np.setdiff1d(data.splits.train, forget)
    return data.labels.labels[forget], data.labels.labels[retained]
