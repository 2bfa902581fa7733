"""Penultimate features of a stored original model: what forget sets of kind `entanglement` are cut by."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from orchestrator.bench.workbench import Workbench
from orchestrator.config.plugins import without_code_of
from orchestrator.config.settings import Axes, SweepConfig
from orchestrator.plan.cells import ModelSpec, Plan
from orchestrator.plan.grid import make_plan
from orchestrator.plan.score_file import score_digest
from orchestrator.scores.risk import config_of
from orchestrator.store.runs import candidates
from orchestrator.store.store import Store, existing
from tasks.errors import AuditError, unknown_name
from tasks.networks.timm_options import check_name
from tasks.runtime import weights
from tasks.training.scoring import score
from tasks.unlearn.parts.risk import head_inputs


def feature_scores(
    root: str, *, architecture: str, seed: int | None = None, run: str | None = None
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Features that the original model of a finished sweep has of its training examples.

    Zhao et al. 2024 (RUM) cut the training set by them, so examples outside it are not asked. Nothing is
    trained: the weights are those of the results.

    Args:
        root: results of a sweep that trained the original (any attack but the per-example ones does).
        architecture: name on its axis.
        seed: of the original; None takes the first of the run.
        run: id of the run whose original is asked; None: the latest that has one.

    Returns:
        `features`, `N x d` float32, NaN where not asked; provenance.

    Raises:
        AuditError: there are no results, or no such model among them.
    """
    store = existing(root)
    plan, spec = _original(store, architecture, seed, run)
    data = store.get_blob("weights", spec.model_id)
    workbench = Workbench(plan, store)
    model = workbench.models.build(architecture, ("empty",))
    weights.load(model, data)
    with workbench.stages.in_this_process(), head_inputs(model) as seen:
        subset = workbench.data.resident(None).subset(plan.data.splits.train)
        ids = score(model.eval(), subset, batch_size=plan.config.evaluation.batch_size).ids
        rows = torch.cat(seen).cpu().numpy()
    features = np.full((len(plan.data.labels.labels), rows.shape[1]), np.nan, dtype=np.float32)
    features[ids] = rows
    provenance = {
        "results": root,
        "architecture": architecture,
        "dataset_digest": plan.data.digest,
        "features": {
            "model_id": spec.model_id,
            "seed": spec.seed,
            "weights_sha256": hashlib.sha256(data).hexdigest(),
            "splits_digest": plan.data.splits.digest,
            "dimensions": rows.shape[1],
        },
        "sha256": {"features": score_digest(features)},
    }
    return {"features": features}, provenance


def _original(
    store: Store, architecture: str, seed: int | None, run_id: str | None
) -> tuple[Plan, ModelSpec]:
    """The stored original of the named run, or of the latest that has one; its plan has the same data and training."""
    known: set[str] = set()
    for run in candidates(store, run_id):
        config = config_of(run.row)
        known |= set(config.axes.architecture)
        if architecture not in config.axes.architecture:
            continue
        with without_code_of(store.root, config.plugins):
            plan = make_plan(_training_alone(config, architecture, seed))
            check_name(config.architecture(architecture).timm)
        for spec in plan.trained():
            if spec.kind == "original" and store.has_blob("weights", spec.model_id):
                # Its id holds the device of that sweep; here, any will do.
                here = replace(plan.config, execution=replace(plan.config.execution, device="auto"))
                return replace(plan, config=here), spec
    if known and architecture not in known:
        raise unknown_name("architecture", architecture, known)
    raise AuditError(
        f"results: {store.root} holds no original model of '{architecture}'"
        + ("" if seed is None else f" with seed {seed}")
        + "; a sweep with an attack such as none or population trains it"
    )


def _training_alone(config: SweepConfig, architecture: str, seed: int | None) -> SweepConfig:
    """The configuration without what its original model does not depend on, which may be a plug-in's."""
    axes = Axes(
        architecture=(architecture,),
        method=("finetune",),
        forget_set=("random:fraction=0.1",),
        seed=(config.axes.seed[0] if seed is None else seed,),
    )
    return SweepConfig(
        data=replace(config.data, scores=""),
        axes=axes,
        training=config.training,
        architectures=config.architectures,
        evaluation=config.evaluation,
        execution=config.execution,
    )
