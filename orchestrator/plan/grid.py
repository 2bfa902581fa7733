"""From axes to cells to the distinct models behind them, each named by its content.

Imports neither torch nor ray: the plan of a sweep must answer in about a second.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache

from orchestrator.config.settings import SweepConfig
from orchestrator.plan.answers import declare
from orchestrator.plan.bases import Base, assumptions, bases
from orchestrator.plan.cells import Cell, ModelSubject, Plan, ShadowSubject, Subject
from orchestrator.plan.data import DataPlan, plan_data, train_labels_by_side
from orchestrator.plan.device import check_precision, this_machines_device
from orchestrator.plan.elsewhere import MadeElsewhere
from orchestrator.plan.exclusions import check_exclusions, idle
from orchestrator.plan.file_identity import FileIdentity
from orchestrator.plan.fits import check_axes, check_models, check_prompts, told_of_classes, told_of_models
from orchestrator.plan.given import what_is_given
from orchestrator.plan.given_files import given_files
from orchestrator.plan.given_fits import check_given, told_of_files
from orchestrator.plan.identity import Identity
from orchestrator.plan.models import Models
from orchestrator.plan.names import build_attack, build_method, check_reserved, check_tables
from orchestrator.plan.plugins import Defined, architecture_builder, plugin_digest, plugin_name
from orchestrator.plan.points import CONTROL, ROLES, points, unaudited
from orchestrator.plan.setting import Setting
from orchestrator.plan.shadows import (
    BASE_METHOD,
    CANARY_POOL,
    RETRAINED_METHOD,
    ShadowGroup,
    ShadowSet,
    canary_images,
    make_layout,
)
from orchestrator.plan.sources import saying
from tasks.attacks.base import Attack
from tasks.errors import AuditError
from tasks.networks.scope_text import check_text
from tasks.plugged import calling
from tasks.shadows.layout import ShadowLayout

NO_SHADOW_CONTROL = (
    f"{CONTROL} has no row under attacks on shadow models; each of them is retrained once more with "
    'answers.control = "all"'
)


def make_plan(config: SweepConfig, *, told: bool = True) -> Plan:
    """Expand the grid, check every name and parameter, and name each distinct model.

    Args:
        config: the audit.
        told: whether it is to say what the user should know, for which files of weights are read. Workers, whose plan
            nobody reads, leave that to the process that started them.

    Raises:
        AuditError: anything in the configuration that can be known to be wrong before models are built.
    """
    check_tables(config)
    check_exclusions(config)
    check_reserved(config, (BASE_METHOD, RETRAINED_METHOD))
    for text in config.axes.scope:
        with saying("axes.scope"):
            check_text(text)
    config, notes = _with_device(config)
    check_precision(config.execution)
    builder = _Builder(config, plan_data(config))
    cells = [builder.cell(*point) for point in points(config)]
    unique = {cell.cell_id: cell for cell in cells if cell is not None}
    if not any(cell.role == "audited" for cell in unique.values()):
        raise AuditError(
            "nothing to audit: every audited cell is excluded, or its attacks are about models that have not "
            "unlearned (game G0); exclude less, or add an attack"
        )
    started = bases(config, builder.data.labels)
    if config.answers.control == "models" and builder.shadow_groups:
        notes += (NO_SHADOW_CONTROL,)
    return Plan(
        config=config,
        data=builder.data,
        cells=tuple(unique.values()),
        models=builder.models,
        shadow_sets=builder.shadow_sets,
        shadow_groups=builder.shadow_groups,
        methods=builder.methods,
        attacks=builder.attacks,
        plugins=builder.plugins(),
        settings=builder.settings(unique),
        answers=declare(config.answers, builder.attacks, objective=builder.data.labels.objective),
        bases=started,
        notes=tuple(_notes(config, builder, started, notes)) if told else (),
    )


def _notes(
    config: SweepConfig, builder: _Builder, started: Iterable[Base], more: Iterable[str]
) -> Iterator[str]:
    """What the user should know of a plan."""
    data = builder.data
    yield from more
    yield from assumptions(started)
    yield from told_of_models(config, data.labels)
    yield from told_of_files(config, data, builder.files)
    yield from told_of_classes(data.labels, data.splits.train)
    yield from idle(config)
    yield from data.labels.notes
    for name, forget in data.forget_sets.items():
        yield from (f"forget_sets.{name}: {note}" for note in forget.notes)
    yield from (f"{note}; these cells are left out" for note in builder.notes)


def _with_device(config: SweepConfig) -> tuple[SweepConfig, tuple[str, ...]]:
    """The configuration with a named device: workers are to use the same kind, whatever their machines have."""
    if config.execution.device != "auto":
        return config, ()
    device = this_machines_device()
    named = replace(config, execution=replace(config.execution, device=device))
    if config.execution.backend != "cluster":
        return named, ()
    told = f'execution.device = "auto" is {device}, which this machine has; for nodes that have another: '
    return named, (f'{told}execution.device = "{"cpu" if device == "cuda" else "cuda"}"',)


class _Builder:
    """Makes models and cells; equal content gives one model however many cells ask."""

    def __init__(self, config: SweepConfig, data: DataPlan) -> None:
        self.config = config
        self.data = data
        self.shadow_sets: dict[str, ShadowSet] = {}
        self.shadow_groups: dict[str, ShadowGroup] = {}
        self.notes: dict[str, None] = {}
        """What the user should know, each once."""
        self._method = cache(lambda *place: build_method(config, *place))
        self.methods = {text: self._method(text) for text in (*config.axes.method, *unaudited(config))}
        for text, method in self.methods.items():  # said even where no cell asks for the method
            data.scores.require(method.built.needs_scores, where=f"methods.{text}")
        self._sides = cache(lambda forget_set: train_labels_by_side(data, forget_set))
        objective = data.labels.objective
        self.attacks = {text: build_attack(config, text, objective=objective) for text in config.axes.attack}
        check_models(config, data.source, data.labels)
        check_axes(data.labels, self.methods.values(), self.attacks.values())
        check_prompts(config, data.source, data.labels, self.methods.values())
        for text, attack in self.attacks.items():
            if attack.built.on_canaries and not config.shadows.canaries:
                raise AuditError(f"axes.attack: '{text}' needs canaries; set shadows.canaries, got 0")
        self.files = given_files(config)
        self._identity = Identity(config, data)
        if config.given is not None and self.files is not None:
            check_given(config, data, self.methods.values(), self.attacks.values())
            self._identity = FileIdentity(config, data, self.files, trains=config.given.retrain)
        self._models = Models(config, data, self._identity, self._method, self.files)
        self._check_forget = cache(self._refuse_forget)
        self._check_attack = cache(self._refuse_attack)
        self._layout = cache(self._make_layout)
        self.models = self._models.specs

    def plugins(self) -> dict[str, str]:
        """Name and digest of the plug-ins and programs behind the data and every value of the axes."""
        parts = [part for method in self.methods.values() for part in (method.built, *method.built.parts)]
        classes = [type(built) for built in (*parts, *(attack.built for attack in self.attacks.values()))]
        tables = map(self.config.architecture, self.config.axes.architecture)
        builders = filter(None, (architecture_builder(table.timm) for table in tables))
        found: list[Defined] = [*classes, *builders]
        named = {plugin_name(defined): defined for defined in found if plugin_name(defined)}
        programs = {name: told for method in self.methods.values() for name, told in method.programs.items()}
        return {
            **self.data.plugins,
            **{name: plugin_digest(defined) for name, defined in named.items()},
            **programs,
        }

    def settings(self, cells: Iterable[str]) -> dict[str, Setting]:
        """The settings of cells, given by their ids, and of all that was made for them."""
        made = itertools.chain(cells, self.models, self.shadow_groups)
        return {name: self._identity.setting(name) for name in made}

    def cell(
        self, architecture: str, forget_set: str, seed: int, method: str, scope: str, attack: str
    ) -> Cell | None:
        """The cell at a point of the grid; None where the attack has nothing to look at there."""
        named = self.attacks[attack]
        self._check_forget(method, forget_set)
        if self._too_few(attack, forget_set):
            return None
        self._check_attack(architecture, attack, forget_set)
        subject: Subject
        reference: Subject | None
        if named.built.subject == "shadow_models":
            groups = self._shadow_stages(architecture, forget_set, seed, method, scope, named.built)
            if groups is None:
                return None
            subject, reference = map(ShadowSubject, groups)
        else:
            model = self._models.of(architecture, forget_set, seed, method, scope)
            if model is None:
                self.notes[f"given.unlearned.{method}: no files for forget set '{forget_set}'"] = None
                return None
            retrained = self._models.reference(architecture, seed, forget_set)
            subject = ModelSubject(model.model_id)
            reference = ModelSubject(retrained.model_id) if retrained is not None else None
        return Cell(
            cell_id=self._identity.cell(
                subject.id, reference.id if reference is not None else None, named, forget_set, seed
            ),
            subject=subject,
            reference=reference,
            architecture=architecture,
            named_method=self._method(method, architecture, scope),
            scope=scope,
            named_attack=named,
            forget_set=forget_set,
            seed=seed,
            role=ROLES.get(method, "audited"),
        )

    def _refuse_forget(self, method: str, forget_set: str) -> None:
        """Refuse a method that cannot forget such a set, by the labels on both sides."""
        try:
            with calling(self.methods[method].built):
                self.methods[method].built.check_forget(*self._sides(forget_set))
        except AuditError as error:
            where = f"{method} with forget set {forget_set}"
            raise AuditError(f"{where}: {error}; exclude the combination with an [[exclude]] table") from None

    def _refuse_attack(self, architecture: str, attack: str, forget_set: str) -> None:
        """Refuse an attack that could say nothing of the models of an architecture on such a forget set."""
        given = what_is_given(self.config, self.data, architecture, forget_set)
        with saying(f"axes.attack: '{attack}'", self.attacks[attack].built):
            self.attacks[attack].built.check_given(given)

    def _too_few(self, attack: str, forget_set: str) -> bool:
        """Whether an attack can say nothing of so small a forget set; a note says that its cells are left out."""
        least, size = self.attacks[attack].built.least_forgotten, len(self.data.forget_sets[forget_set].ids)
        if size >= least or self.attacks[attack].built.on_canaries:
            return False
        told = (
            f"axes.forget_set: '{forget_set}' has {size} of the {least} examples that attack '{attack}' needs"
        )
        self.notes[told] = None
        return True

    def _shadow_stages(
        self, architecture: str, forget_set: str, seed: int, method: str, scope: str, attack: Attack
    ) -> tuple[str, str] | None:
        """Group of the cell and of its reference.

        Shadow models average over initialisations, so they serve the first seed alone; they know one retrained
        control, and one more where it is to be judged; and game G0 is about models that have not unlearned. An attack
        on canaries is not about the forget set, and stands at the first of the axis alone; after unlearning, canaries
        are forgotten.
        """
        control = self.config.shadows.retrain_control
        if (
            seed != self.config.axes.seed[0]
            or method == "retrain_again"
            or (method == "retrain" and not control)
            or (method == CONTROL and not (control and self.config.answers.control == "all"))
        ):
            return None
        if isinstance(self.methods[method].built, MadeElsewhere):
            self.notes[
                f"given.unlearned.{method}: attacks on shadow models need the method itself, to run it on each of them "
                "(guide/extend.md#a-program-as-a-method)"
            ] = None
            return None
        if attack.game == "G0" and method != "no_op":
            return None
        if attack.on_canaries and forget_set != self.config.axes.forget_set[0]:
            return None
        pool = CANARY_POOL if attack.forgets_canaries else forget_set
        shadows = self._shadow_set(architecture)
        self._add_group(shadows.base())
        reference = self._shadow_group(shadows, "retrain" if control else "no_op", "all", pool)
        return self._shadow_group(shadows, method, scope, pool), reference

    def _shadow_set(self, architecture: str) -> ShadowSet:
        if architecture not in self.shadow_sets:
            layout = self._layout()
            set_id = self._identity.shadow_set(architecture, layout)
            self.shadow_sets[architecture] = ShadowSet(
                architecture=architecture,
                layout=layout,
                recipe=self.config.recipe(architecture),
                set_id=set_id,
                pretrained_id=self._models.pretrained(architecture),
                base_id=self._identity.base_group(set_id, architecture, BASE_METHOD),
            )
        return self.shadow_sets[architecture]

    def _make_layout(self) -> ShadowLayout:
        """The same for every architecture."""
        data, settings = self.data, self.config.shadows
        return make_layout(
            settings,
            train_ids=data.splits.train,
            labels=data.labels.labels,
            forget_sets=data.forget_sets,
            attacks=[attack.built for attack in self.attacks.values()],
            images=canary_images(settings, shape=data.labels.image_shape, audited_digest=data.digest),
        )

    def _shadow_group(self, shadows: ShadowSet, method: str, scope: str, pool: str) -> str:
        named = self._method(method, shadows.architecture, scope)
        name = RETRAINED_METHOD if method == "retrain" else method
        place = shadows.architecture, name
        return self._add_group(
            ShadowGroup(
                group_id=self._identity.shadow_group(shadows.set_id, *place, named, scope, pool),
                architecture=shadows.architecture,
                method=name,
                scope=scope,
                pool=pool,
                named_method=named,
            )
        )

    def _add_group(self, group: ShadowGroup) -> str:
        self.shadow_groups[group.group_id] = group
        return group.group_id
