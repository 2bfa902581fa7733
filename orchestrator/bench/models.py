"""Models of a sweep: made once, stored, and kept on the device while there is room."""

from __future__ import annotations

import dataclasses
import json
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from torch import nn

from orchestrator.bench.attempt import FAILURES, FailedBefore, StageFailed, Stages, failure
from orchestrator.bench.data import BenchData
from orchestrator.errors import one_line
from orchestrator.plan.building import built
from orchestrator.plan.cells import ModelSpec, Plan
from orchestrator.plan.given_files import GivenFile
from orchestrator.plan.identity import Identity
from orchestrator.records.rows import ELSEWHERE, model_row
from orchestrator.store.files import CannotWrite
from orchestrator.store.store import Store
from tasks.errors import AuditError
from tasks.networks.finished import load_finished
from tasks.networks.scopes import bind
from tasks.runtime import weights
from tasks.training.resident import Subset
from tasks.training.train import train
from tasks.unlearn.run import Meter, Tensors, UnlearningRun, unlearn


class ModelBench:
    """Trains and unlearns the models of one plan.

    Args:
        plan: the whole plan of the sweep.
        store: where finished models are found and written.
        stages: of this process.
        data: the images of the sweep.
    """

    def __init__(self, plan: Plan, store: Store, stages: Stages, data: BenchData) -> None:
        self.plan, self.store, self.engine = plan, store, stages.engine
        self._stages, self._data = stages, data
        self._resident: OrderedDict[str, nn.Module] = stages.cache()
        self._identity = Identity(plan.config, plan.data)

    def forget(self) -> None:
        """Keep no model on the device."""
        self._resident.clear()

    def drop(self, model_id: str) -> None:
        """Keep one model no longer on the device: the next to ask gets it as it was stored, or made anew."""
        self._resident.pop(model_id, None)

    def initial(self, base: str | None, architecture: str, seed_path: tuple[str | int, ...]) -> nn.Module:
        """What training starts from: the pretrained base, whatever the path; or a new model where there is none.

        Raises:
            StageFailed: the base could not be made.
        """
        model = self.build(architecture, seed_path)
        if base is not None:
            with (
                self._stages.measured()
            ):  # nor is making or reading the base work of the stage that starts from it
                model.load_state_dict(self._behind(base, "pretrained base").state_dict())
        return model

    def _behind(self, model_id: str, called: str) -> nn.Module:
        """A model that another starts from.

        Raises:
            StageFailed: it could not be made.
        """
        try:
            return self.get(model_id)
        except CannotWrite:
            raise
        except FAILURES as error:
            raise StageFailed(f"the {called} failed: {one_line(error)}") from error

    def build(self, architecture: str, seed_path: tuple[str | int, ...]) -> nn.Module:
        """A new model of an architecture on the axis; equal paths give equal bits."""
        with self._stages.measured():  # made on the CPU: no work of the stage that asks for it
            return build(self.plan, architecture, seed_path).to(self.engine.device)

    def get(self, model_id: str) -> nn.Module:
        """The model, resident, in eval mode: from memory, from the store, or made now."""
        if model_id in self._resident:
            self._resident.move_to_end(model_id)
            return self._resident[model_id]
        spec = self.plan.models[model_id]
        if self.store.has_blob("weights", model_id):
            model: nn.Module = self.build(spec.architecture, ("empty",))
            weights.load(model, self.store.get_blob("weights", model_id))
        else:
            self._refuse_failed(model_id)
            model = self._make(spec)
        model.eval()
        self._keep(model_id, model)
        return model

    def _refuse_failed(self, model_id: str) -> None:
        """A model that has failed is not tried again by each cell and host, which may cost a time limit each."""
        if not self.store.has("models", model_id):
            return
        row = self.store.read("models", model_id).to_pylist()[0]
        if row["status"] == "failed":
            raise FailedBefore(row["error_type"], row["error"])

    def _make(self, spec: ModelSpec) -> nn.Module:
        row = model_row(self.plan, spec, device=ELSEWHERE if spec.file else self.engine.name)

        def record(error: BaseException) -> None:
            written = row | failure(error) | {"finished_at": datetime.now(UTC)}
            self.store.write("models", spec.model_id, [written])

        def work() -> tuple[nn.Module, dict[str, Any]]:
            if spec.file is not None:
                return self._read(spec, spec.file)
            return self._unlearn(spec) if spec.kind == "unlearned" else self._train(spec)

        try:
            with self._stages.limited(record), self._stages.measured() as cost:
                model, details = self._stages.with_room(work)
        except CannotWrite:
            raise
        except FAILURES as error:
            record(error)
            raise
        data = weights.dump(model)
        if spec.kind != "unlearned" or self.plan.config.execution.keep_unlearned:
            self.store.put_blob("weights", spec.model_id, data)
        row |= details | {"weights_digest": weights.digest(data), "finished_at": datetime.now(UTC)}
        if spec.file is not None:  # what making it took nobody here knows
            self.store.write("models", spec.model_id, [row])
            return model
        row |= dataclasses.asdict(cost)
        self.store.write("models", spec.model_id, [row])
        self._stages.write_cost(spec.model_id, spec.stage, cost, row)
        return model

    def _read(self, spec: ModelSpec, file: GivenFile) -> tuple[nn.Module, dict[str, Any]]:
        """A finished model.

        Raises:
            AuditError: its file was edited since planning, or cannot be read.
        """
        if file.edited():
            raise AuditError(f"{file.key}: {file.path} was edited after planning; run the same command again")
        model = self.build(spec.architecture, ("empty",))
        told = load_finished(model, file.path)
        return model, {
            "num_parameters": sum(p.numel() for p in model.parameters()),
            "rests_on_json": "[]",
            "notes_json": json.dumps(
                {"file": file.path.name, "sha256": file.digest, "told": told}, sort_keys=True
            ),
        }

    def _train(self, spec: ModelSpec) -> tuple[nn.Module, dict[str, Any]]:
        seed_path = training_path(spec.kind, spec.seed, spec.replicate)
        model = self.initial(spec.pretrained_id, spec.architecture, seed_path)
        subset = self._data.training_set(spec)
        report = train(
            model,
            subset,
            spec.recipe,
            seed_path=seed_path,
            engine=self.engine,
            augmentation=subset.data.augmentation(spec.recipe.augmentation),
        )
        count = sum(p.numel() for p in model.parameters())
        return model, {
            "samples": report.samples,
            "steps": report.steps,
            "forward_samples": 0,
            "num_parameters": count,
            "trainable_parameters": count,
            "rests_on_json": "[]",
        }

    def _unlearn(self, spec: ModelSpec) -> tuple[nn.Module, dict[str, Any]]:
        assert spec.original_id is not None
        assert spec.named_method is not None
        original = self._behind(spec.original_id, "original model")
        model = self.build(spec.architecture, ("empty",))
        model.load_state_dict(original.state_dict())
        rests_on: set[str] = set()
        run = self._unlearning_run(spec, model, rests_on)
        with run.forget.data.unchanged(by=f"method '{spec.method}'"):
            meter = unlearn(spec.named_method.built, run)
        return model, {
            "samples": meter.samples,
            "steps": meter.steps,
            "forward_samples": meter.forward_samples,
            "num_parameters": sum(p.numel() for p in model.parameters()),
            "trainable_parameters": run.scope.num_parameters,
            "rests_on_json": json.dumps(sorted(rests_on)),
            "notes_json": json.dumps(run.notes, sort_keys=True),
        }

    def _unlearning_run(self, spec: ModelSpec, model: nn.Module, rests_on: set[str]) -> UnlearningRun:
        """The run of one unlearned model over this plan's data; the stages that it asks for come into `rests_on`."""
        assert spec.forget_set is not None
        config = self.plan.config
        data = self._data.resident(spec.forget_set)

        def subset(split: str) -> Subset:
            return self._data.relabelled(
                data.subset(self._data.split(spec.forget_set or "", split)), spec.forget_set
            )

        def shared(name: str, compute: Callable[[], tuple[Tensors, Meter]]) -> Tensors:
            key = self._shared_id(spec, name)
            rests_on.add(key)
            with self._stages.measured():  # reading and keeping it is no work of the run either
                return self._shared(key, spec, compute)

        def fresh(purpose: tuple[str | int, ...]) -> nn.Module:
            return self.initial(spec.pretrained_id, spec.architecture, purpose)

        return UnlearningRun(
            model=model,
            scope=bind(spec.scope, model, norm_statistics=config.unlearning.norm_statistics),
            forget=subset("forget"),
            retain=subset("retain"),
            validation=subset("validation"),
            seed=spec.seed,
            fresh_model=fresh,
            recipe=None
            if self.plan.config.given is not None and not self.plan.config.given.retrain
            else spec.recipe,
            retrain_path=training_path("retrained", spec.seed, 0),
            engine=self.engine,
            augmentation=data.augmentation(spec.recipe.augmentation) if config.unlearning.augment else None,
            shared=shared,
            scores=self.plan.data.scores.values,
        )

    def _shared_id(self, spec: ModelSpec, name: str) -> str:
        assert spec.original_id is not None
        assert spec.named_method is not None
        assert spec.forget_set is not None
        return self._identity.shared(name, spec.original_id, spec.named_method, spec.forget_set, spec.seed)

    def _shared(self, key: str, spec: ModelSpec, compute: Callable[[], tuple[Tensors, Meter]]) -> Tensors:
        """A stored stage that depends on the original, the forget set and its own name, not on the scope.

        Its cost is written before its tensors, which say that it is finished: none is there without a cost.
        """
        if self.store.has_blob("shared", key):
            return weights.load_tensors(self.store.get_blob("shared", key), device=self.engine.device)
        with self._stages.measured() as cost:
            tensors, meter = compute()
        counts = {"samples": meter.samples, "forward_samples": meter.forward_samples}
        data = weights.dump_tensors(tensors)
        told = {"model_id": spec.original_id, "output_digest": weights.digest(data), **counts}
        self._stages.write_cost(key, "share", cost, told)
        self.store.put_blob("shared", key, data)
        return tensors

    def _keep(self, model_id: str, model: nn.Module) -> None:
        """Hold a model on the device; the least recently used ones go when the bytes are spent.

        Its last gradients, as many bytes again, nobody reads.
        """
        model.zero_grad(set_to_none=True)
        self._resident[model_id] = model
        budget = self.plan.config.execution.resident_gib * 2**30
        sizes = {k: sum(t.nbytes for t in m.state_dict().values()) for k, m in self._resident.items()}
        while sum(sizes.values()) > budget and len(self._resident) > 1:
            oldest, _ = self._resident.popitem(last=False)
            del sizes[oldest]


def build(plan: Plan, architecture: str, seed_path: tuple[str | int, ...]) -> nn.Module:
    """A new model of an architecture on the axis, on the CPU."""
    return built(plan.config, plan.data.labels, architecture, seed_path)


def training_path(kind: str, seed: int, replicate: int) -> tuple[str | int, ...]:
    """Names the initialisation and the data order of a model that is trained from scratch."""
    return (kind, seed, replicate)
