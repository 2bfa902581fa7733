"""The plan of an audit of outputs: the cells of a sweep, about models that were made elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.config.settings import Axes, Data, Execution, SweepConfig
from orchestrator.outputs.description import Request
from orchestrator.outputs.files import Rows
from orchestrator.outputs.needs import chosen_attacks
from orchestrator.outputs.runs import Run, Runs, fewest, kind_of, runs_of
from orchestrator.outputs.sources import AGAIN, RETRAINED, Sources
from orchestrator.plan.answers import declare
from orchestrator.plan.cells import Cell, ModelSpec, ModelSubject, Plan, Role, ShadowSubject, Subject
from orchestrator.plan.elsewhere import MadeElsewhere
from orchestrator.plan.given_identity import GivenIdentity
from orchestrator.plan.names import (
    OVER_METHODS,
    NamedAttack,
    NamedMethod,
    build_attack,
    build_method,
    check_tables,
)
from orchestrator.plan.plugins import plugin_digest, plugin_name
from orchestrator.plan.points import REFERENCES, ROLES
from orchestrator.plan.shadows import BASE_METHOD, RETRAINED_METHOD, ShadowGroup, ShadowSet
from tasks.errors import AuditError
from tasks.shadows.given import GivenLayout
from tasks.shadows.layout import TargetPool
from tasks.training.recipe import Recipe

RESERVED = (*ROLES, BASE_METHOD, RETRAINED_METHOD, AGAIN, OVER_METHODS)


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
    """A plan, and where the outputs behind it are."""

    plan: Plan
    sources: Sources
    models: Mapping[str, tuple[Rows, int]]
    """Outputs of a model, and its number among them, by id."""
    runs: Mapping[str, tuple[Run, ...]] = field(default_factory=dict)
    """Runs of each group of shadow models, by id."""


def prepare(request: Request, sources: Sources) -> Prepared:
    """Plan everything that these outputs can answer.

    Raises:
        AuditError: a name is taken, an attack is asked for that they cannot answer, or there is nothing to say.
    """
    for method in sources.methods():
        if method in RESERVED or "/" in method or method != method.strip():
            raise AuditError(
                f"outputs.models: method: expected a name other than {', '.join(RESERVED)}, got '{method}'"
            )
    runs, without = runs_of(sources)
    seeds, unmeasured, left_out = _seeds(request, sources)
    attacks, notes = chosen_attacks(
        request, sources, runs, without_runs=without, without_models=unmeasured if not seeds else ""
    )
    config = SweepConfig(
        name=request.name,
        data=Data(name=request.outputs.dataset),
        axes=Axes(
            architecture=(sources.architecture,),
            method=tuple(sources.methods()) or ("no_op",),
            attack=tuple(attacks),
            forget_set=tuple(sources.data.forget_sets),
            seed=tuple(range(max(seeds, 1))),
        ),
        attacks=request.attacks,
        evaluation=request.evaluation,
        answers=request.answers,
        execution=Execution(backend="inline", device="cpu"),
    )
    check_tables(config)
    kept = [note for note in (left_out, runs.note if runs else "") if note]
    return _Builder(config, sources, runs, seeds).prepared((*sources.notes, *kept, *notes))


def _seeds(request: Request, sources: Sources) -> tuple[int, str, str]:
    """How many models of each kind are measured one by one, why none is, and which of those asked for are left out."""
    if sources.kind != "logits":
        return 0, "they need logits", ""
    retrained = [rows for (method, _), rows in sources.models.items() if method == RETRAINED]
    if not retrained or sources.original is None:
        return 0, "they need originals and retrained models", ""
    others = {kind_of(*key): rows.shape[0] for key, rows in sources.models.items() if key[0] != AGAIN}
    counts = {"originals": sources.original.shape[0], **others}
    asked = {kind: min(count, request.outputs.seeds) for kind, count in counts.items()}
    number, note = fewest(asked, subject="models that are measured by themselves")
    return number, "", note


class _Builder:
    def __init__(self, config: SweepConfig, sources: Sources, runs: Runs | None, seeds: int) -> None:
        self._config, self._sources, self._runs, self._num_seeds = config, sources, runs, seeds
        self._architecture, self._data = sources.architecture, sources.data
        self._identity = GivenIdentity(config, sources.data, kind=sources.kind, versions=sources.versions())
        named = {text: build_method(config, text) for text in (*REFERENCES, "no_op")}
        made = {text: NamedMethod(text=text, base=text, built=MadeElsewhere()) for text in sources.methods()}
        self._methods = {**named, **made}
        self._attacks = {
            text: build_attack(config, text, objective=sources.data.labels.objective)
            for text in config.axes.attack
        }
        self._models: dict[str, ModelSpec] = {}
        self._outputs: dict[str, tuple[Rows, int]] = {}
        self._groups: dict[str, ShadowGroup] = {}
        self._group_runs: dict[str, tuple[Run, ...]] = {}
        self._shadows = None if runs is None else self._shadow_set(runs)

    def prepared(self, notes: tuple[str, ...]) -> Prepared:
        cells = {cell.cell_id: cell for cell in self._cells()}
        if not cells:
            raise AuditError(
                "outputs: nothing can be said of these outputs: " + ("; ".join(notes) or "give more models")
            )
        made = [*cells, *self._models, *self._groups]
        plan = Plan(
            config=self._config,
            data=self._data,
            cells=tuple(cells.values()),
            models=self._models,
            shadow_sets={} if self._shadows is None else {self._architecture: self._shadows},
            shadow_groups=self._groups,
            methods=self._methods,
            attacks=self._attacks,
            plugins=self._plugins(),
            settings={name: self._identity.setting(name) for name in made},
            answers=declare(self._config.answers, self._attacks),
            notes=notes,
        )
        return Prepared(plan=plan, sources=self._sources, models=self._outputs, runs=self._group_runs)

    def _plugins(self) -> dict[str, str]:
        classes = [type(attack.built) for attack in self._attacks.values()]
        return {plugin_name(cls): plugin_digest(cls) for cls in classes if plugin_name(cls)}

    def _cells(self) -> Iterator[Cell]:
        methods = [*REFERENCES, *self._sources.methods()]
        for forget_set in self._data.forget_sets:
            for seed in self._config.axes.seed:
                for method in methods:
                    for attack in self._attacks.values():
                        subjects = self._subjects(forget_set, seed, method, attack)
                        if subjects is not None:
                            yield self._cell(forget_set, seed, method, attack, *subjects)

    def _cell(
        self,
        forget_set: str,
        seed: int,
        method: str,
        attack: NamedAttack,
        subject: Subject,
        reference: Subject,
    ) -> Cell:
        role: Role = ROLES.get(method, "audited")
        return Cell(
            cell_id=self._identity.cell(subject.id, reference.id, attack, forget_set, seed),
            subject=subject,
            reference=reference,
            architecture=self._architecture,
            named_method=self._methods[method],
            scope="all",
            named_attack=attack,
            forget_set=forget_set,
            seed=seed,
            role=role,
        )

    def _subjects(
        self, forget_set: str, seed: int, method: str, attack: NamedAttack
    ) -> tuple[Subject, Subject] | None:
        if attack.built.subject == "shadow_models":
            return self._group_subjects(forget_set, seed, method, attack)
        if len(self._data.forget_sets[forget_set].ids) < attack.built.least_forgotten:
            return None
        if seed >= self._num_seeds or (RETRAINED, forget_set) not in self._sources.models:
            return None
        model, reference = self._model(forget_set, seed, method), self._model(forget_set, seed, "retrain")
        if model is None or reference is None:
            return None
        return ModelSubject(model.model_id), ModelSubject(reference.model_id)

    def _group_subjects(
        self, forget_set: str, seed: int, method: str, attack: NamedAttack
    ) -> tuple[Subject, Subject] | None:
        if self._runs is None or seed != self._config.axes.seed[0] or method == "retrain_again":
            return None
        name = RETRAINED_METHOD if method == "retrain" else method
        if (name, forget_set) not in self._runs.groups or (attack.built.game == "G0") != (
            attack.built.game == "G0" and method == "no_op"
        ):
            return None
        if attack.built.game != "G0" and not self._runs.groups[name, forget_set]:
            return None
        control = (RETRAINED, forget_set) in self._runs.groups
        reference = self._group(forget_set, "retrain" if control else "no_op")
        return ShadowSubject(self._group(forget_set, method)), ShadowSubject(reference)

    def _model(self, forget_set: str, seed: int, method: str) -> ModelSpec | None:
        """The model of a seed; None where there is none."""
        original, identity = self._sources.original, self._identity
        if method == "no_op":
            assert original is not None
            made = identity.original(self._architecture, seed, forget_set)
            return self._add(made, original, seed, kind="original")
        key = {"retrain": RETRAINED, "retrain_again": AGAIN}.get(method, method)
        rows = self._sources.models.get((key, forget_set))
        if rows is None or seed >= rows.shape[0]:
            return None
        shared: dict[str, Any] = {"forget_set": forget_set, "named_method": self._methods[method]}
        if method in ("retrain", "retrain_again"):
            replicate = 0 if method == "retrain" else 1
            made = identity.retrained(self._architecture, seed, forget_set, replicate)
            return self._add(made, rows, seed, kind="retrained", replicate=replicate, **shared)
        behind, reference = self._model(forget_set, seed, "no_op"), self._model(forget_set, seed, "retrain")
        assert behind is not None
        assert reference is not None
        made = identity.unlearned(behind.model_id, self._methods[method], forget_set, "all", seed)
        shared |= {"original_id": behind.model_id, "retrained_id": reference.model_id}
        return self._add(made, rows, seed, kind="unlearned", **shared)

    def _add(self, model_id: str, rows: Rows, seed: int, **told: Any) -> ModelSpec:
        self._outputs[model_id] = rows, seed
        spec = ModelSpec(
            model_id=model_id, architecture=self._architecture, recipe=Recipe(), seed=seed, **told
        )
        return self._models.setdefault(model_id, spec)

    def _shadow_set(self, runs: Runs) -> ShadowSet:
        data = self._data
        train = data.splits.train
        pools = tuple(
            TargetPool(name=name, ids=forget.ids, forget_size=1, draws=runs.draws(name))
            for name, forget in data.forget_sets.items()
        )
        layout = GivenLayout(
            train_ids=train,
            labels=data.labels.labels[train],
            num_shadows=runs.num_shadows,
            pools=pools,
            masks=runs.masks[:, train],
            apart=runs.apart,
        )
        set_id = self._identity.shadow_set(self._architecture, layout)
        shadows = ShadowSet(
            architecture=self._architecture,
            layout=layout,
            recipe=Recipe(),
            set_id=set_id,
            base_id=self._identity.base_group(set_id, self._architecture, BASE_METHOD),
        )
        self._groups[shadows.base_id] = shadows.base()
        self._group_runs[shadows.base_id] = runs.base
        return shadows

    def _group(self, forget_set: str, method: str) -> str:
        assert self._shadows is not None
        assert self._runs is not None
        name = RETRAINED_METHOD if method == "retrain" else method
        named = self._methods[method]
        group_id = self._identity.shadow_group(
            self._shadows.set_id, self._architecture, name, named, "all", forget_set
        )
        self._groups[group_id] = ShadowGroup(
            group_id=group_id,
            architecture=self._architecture,
            method=name,
            scope="all",
            pool=forget_set,
            named_method=named,
        )
        self._group_runs[group_id] = self._runs.groups[name, forget_set]
        return group_id
