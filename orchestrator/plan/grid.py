"""From axes to cells to the distinct models behind them, each named by its content.

Imports neither torch nor ray: the plan of a sweep must answer in about a second.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from orchestrator.config.settings import Data, SweepConfig, digest
from orchestrator.plan.cells import Cell, DataPlan, ModelSpec, Plan, Role, matches, train_labels_by_side
from orchestrator.plan.score_file import RiskScores, read_scores
from orchestrator.plan.search import SearchConfig, tuning_forget_set
from orchestrator.plan.shadows import (
    CANARY_POOL,
    RETRAINED_METHOD,
    ShadowGroup,
    ShadowSet,
    canary_images,
    forgets_canaries,
    make_layout,
)
from orchestrator.plan.sources import read_source, saying
from tasks import fields
from tasks.attacks.base import Attack, attacks
from tasks.datasets.base import DataSource, Labels
from tasks.datasets.contents import content_hashes
from tasks.datasets.splits import Splits, make_splits
from tasks.errors import AuditError, unknown_name
from tasks.forget_sets.base import ForgetKind, ForgetRequest, ForgetSet, forget_kinds
from tasks.forget_sets.resolve import resolve as resolve_forget_set
from tasks.networks.scope_text import check_text
from tasks.registry import Registry, parse_text
from tasks.shadows.layout import ShadowLayout
from tasks.unlearn.base import Method, methods

CODE_VERSION = 1
"""Raised by whoever changes what any number would come out as."""

REFERENCES: dict[str, Role] = {"retrain": "reference", "retrain_again": "noise_floor", "no_op": "ceiling"}
"""Methods that every forget set is also run with: what a perfect, a repeated and no unlearning look like."""


AXIS = {"methods": "axes.method", "attacks": "axes.attack", "forget_sets": "axes.forget_set"}
"""Axis whose values name the entries of a table."""


def resolve(
    registry: Registry,
    tables: Mapping[str, Mapping[str, Any]],
    text: str,
    *,
    where: str,
    base_key: str = "base",
) -> tuple[str, dict[str, Any]]:
    """Turn a value of an axis into a registered name and its parameters.

    `text` is a name, a name of a table, or `name:key=value,...`; what is written inline wins over the table,
    and a table wins over the defaults of the class.
    """
    name, inline = parse_text(text, where=AXIS[where])
    table = dict(tables.get(name, {}))
    base = table.pop(base_key, name)
    if not isinstance(base, str):
        raise AuditError(f"{where}.{name}.{base_key}: expected the name of a {registry.kind}, got {base!r}")
    if base not in registry.names():
        place = f"{where}.{name}.{base_key}" if base != name else AXIS[where]
        raise unknown_name(registry.kind, base, {*registry.names(), *tables}, where=place)
    return base, {**table, **inline}


def place(architecture: str, method: str, scope: str) -> str:
    """Key of what tuning has chosen for a method there."""
    return f"{architecture}/{method}/{scope}"


def build_method(
    config: SweepConfig, text: str, architecture: str = "", scope: str = ""
) -> tuple[str, Method]:
    """The method that an axis value names, with its hyper-parameters; those that were tuned for the place."""
    base, values = resolve(methods, config.methods, text, where="methods")
    values |= config.tuning.chosen.get(place(architecture, text, scope), {})
    return base, methods.build(base, values, where=f"methods.{text}")


def build_attack(config: SweepConfig, text: str) -> tuple[str, Attack]:
    """The attack that an axis value names, with its parameters."""
    base, values = resolve(attacks, config.attacks, text, where="attacks")
    return base, attacks.build(base, values, where=f"attacks.{text}")


def read_split(config: SweepConfig) -> tuple[DataSource, Labels, Splits]:
    """The configured data set, its labels, and how they are split."""
    source, labels = read_source(
        config.data.name, config.data.options, name_at="data.name", options_at="data.options"
    )
    _check_normalisation(config.data, channels=labels.image_shape[0])
    splits = make_splits(
        labels,
        validation_fraction=config.data.validation_fraction,
        test_fraction=config.data.test_fraction,
        seed=config.data.split_seed,
    )
    return source, labels, splits


def plan_data(config: SweepConfig) -> DataPlan:
    """Read labels, split them, and choose the forget sets."""
    source, labels, splits = read_split(config)
    with saying("data.options"):
        content = source.digest()
    scores = read_scores(config.data.scores, num_examples=len(labels.labels), dataset_digest=content)
    request = ForgetRequest(
        labels=labels,
        splits=splits,
        scores=scores.values,
        hashes=lambda: content_hashes(source, content),
    )
    searching = isinstance(config, SearchConfig)
    names = config.audited_forget_sets if isinstance(config, SearchConfig) else config.axes.forget_set
    kinds = [build_forget_kind(config, text) for text in names]
    for text, kind in zip(names, kinds, strict=True):
        scores.require(kind.needs, where=f"forget_sets.{text}")
    chosen = []
    for text, kind in zip(names, kinds, strict=True):
        with saying(f"forget_sets.{text}"):
            chosen.append(_with_scores(resolve_forget_set(kind, request), scores, kind.needs))
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
    )


def _check_normalisation(data: Data, *, channels: int) -> None:
    for name in ("mean", "std"):
        count = len(getattr(data, name))
        if count not in (1, channels):
            raise AuditError(
                f"data.{name}: expected 1 number, or {channels} as there are channels, got {count}"
            )


def _check_tables(config: SweepConfig) -> None:
    """Refuse a misspelt table or exclusion, which would silently do nothing."""
    for where, registry, base_key in (
        ("methods", methods, "base"),
        ("attacks", attacks, "base"),
        ("forget_sets", forget_kinds, "kind"),
    ):
        tables = getattr(config, where)
        for name, table in tables.items():
            if base_key not in table and name not in registry.names():
                raise unknown_name(registry.kind, name, registry.names(), where=where)
    for axis, registry, tables in (("method", methods, config.methods), ("attack", attacks, config.attacks)):
        for rule in config.exclude:
            values = rule.get(axis, [])
            for value in values if isinstance(values, (list, tuple)) else [values]:
                name = str(value).partition(":")[0]
                if not set("*?[") & set(name) and name not in (*registry.names(), *tables):
                    raise unknown_name(registry.kind, name, (*registry.names(), *tables), where="exclude")


def _with_scores(forget: ForgetSet, scores: RiskScores, names: Iterable[str]) -> ForgetSet:
    """The forget set with the origin of the scores that chose it in its provenance."""
    used = {name: scores.digest(name) for name in names}
    if not used:
        return forget
    origin = {"scores": dict(scores.provenance), "scores_sha256": used}
    return replace(forget, provenance={**forget.provenance, **origin})


def build_forget_kind(config: SweepConfig, text: str) -> ForgetKind:
    """The kind of forget set that an axis value names, with its parameters."""
    kind, values = resolve(forget_kinds, config.forget_sets, text, where="forget_sets", base_key="kind")
    return forget_kinds.build(kind, values, where=f"forget_sets.{text}")


def make_plan(config: SweepConfig) -> Plan:
    """Expand the grid, check every name and parameter, and name each distinct model.

    Raises:
        AuditError: anything in the configuration that can be known to be wrong before models are built.
    """
    _check_tables(config)
    for text in config.axes.scope:
        with saying("axes.scope"):
            check_text(text)
    builder = _Builder(config, plan_data(config))
    wanted = _wanted(config)
    points = [point for point in _points(config) if wanted(dict(zip(_AXES, point, strict=True)))]
    cells = [builder.cell(*point) for point in points]
    unique = {cell.cell_id: cell for cell in cells if cell is not None}
    if not any(cell.role == "audited" for cell in unique.values()):
        raise AuditError(
            "nothing to audit: every audited cell is excluded, or its attacks are about models that have not "
            "unlearned (game G0); exclude less, or add an attack"
        )
    return Plan(
        config=config,
        data=builder.data,
        cells=tuple(unique.values()),
        models=builder.models,
        shadow_sets=builder.shadow_sets,
        shadow_groups=builder.shadow_groups,
    )


_AXES = ("architecture", "forget_set", "seed", "method", "scope", "attack")


def _points(config: SweepConfig) -> Iterable[tuple[Any, ...]]:
    axes = config.axes
    audited = [m for m in axes.method if m not in REFERENCES]
    for architecture, forget_set, seed in itertools.product(axes.architecture, axes.forget_set, axes.seed):
        pairs = [(m, "all") for m in REFERENCES] + list(itertools.product(audited, axes.scope))
        for (method, scope), attack in itertools.product(pairs, axes.attack):
            yield architecture, forget_set, seed, method, scope, attack


def _wanted(config: SweepConfig) -> Callable[[Mapping[str, Any]], bool]:
    """Which points of the grid become cells; a search takes its trials and what they are compared with."""
    if not isinstance(config, SearchConfig):
        return lambda point: not _excluded(config, point)
    trials = set(config.points)
    controls = ("retrain", "no_op")
    return lambda p: p["method"] in controls or (p["architecture"], p["method"], p["scope"]) in trials


def _excluded(config: SweepConfig, point: Mapping[str, Any]) -> bool:
    if point["method"] in REFERENCES:
        return False
    for rule in config.exclude:
        allowed = {k: v if isinstance(v, (list, tuple)) else [v] for k, v in rule.items()}
        if all(any(matches(point[k], v) for v in values) for k, values in allowed.items()):
            return True
    return False


class _Builder:
    """Names models and cells; equal content gives one model however many cells ask."""

    def __init__(self, config: SweepConfig, data: DataPlan) -> None:
        self.config = config
        self.data = data
        self.models: dict[str, ModelSpec] = {}
        self.shadow_sets: dict[str, ShadowSet] = {}
        self.shadow_groups: dict[str, ShadowGroup] = {}
        self._method = cache(lambda *place: build_method(config, *place))
        for text in (*config.axes.method, *REFERENCES):
            built = self._method(text)[1]  # what is wrong is said even where no cell asks for the method
            data.scores.require(built.needs_scores, where=f"methods.{text}")
        self._sides = cache(lambda forget_set: train_labels_by_side(data, forget_set))
        self._attacks = {text: build_attack(config, text) for text in config.axes.attack}
        for text, (_, attack) in self._attacks.items():
            if attack.on_canaries and not config.shadows.canaries:
                raise AuditError(f"axes.attack: '{text}' needs canaries; set shadows.canaries, got 0")
        self._measured = {text: self._measurement(*entry) for text, entry in self._attacks.items()}
        self._forget_digests = {name: forget.digest for name, forget in data.forget_sets.items()}
        # A grid asks for the same model once for each attack and scope: 100,000 cells must plan in seconds.
        self._model = cache(self._make_model)
        self._trained = cache(self._make_trained)
        self._check_forget = cache(self._refuse_forget)
        self._layout = cache(self._make_layout)
        self._recipes = {name: config.recipe(name) for name in config.axes.architecture}

    def cell(
        self, architecture: str, forget_set: str, seed: int, method: str, scope: str, attack: str
    ) -> Cell | None:
        """The cell at a point of the grid; None where an attack on shadow models has none there."""
        _, built = self._attacks[attack]
        self._check_forget(method, forget_set)
        if built.subject == "shadow_models":
            stages = self._shadow_stages(architecture, forget_set, seed, method, scope, built)
            if stages is None:
                return None
        else:
            reference = self._trained(architecture, seed, forget_set, replicate=0)
            stages = self._model(architecture, forget_set, seed, method, scope).model_id, reference.model_id
        identity = {
            "model": stages[0],
            "reference": stages[1],
            "measured": self._measured[attack],
            "forget": self._forget_digests[forget_set],
        }
        if self.data.test_split != "test":
            identity["test"] = self.data.test_split
        return Cell(
            cell_id=digest(identity),
            model_id=stages[0],
            reference_id=stages[1],
            architecture=architecture,
            method=method,
            scope=scope,
            attack=attack,
            forget_set=forget_set,
            seed=seed,
            role=REFERENCES.get(method, "audited"),
        )

    def _measurement(self, base: str, attack: Attack) -> str:
        """Digest of how a model is measured: the attack and what holds for every evaluation."""
        return digest(
            [base, attack.version, fields.to_plain(attack), fields.to_plain(self.config.evaluation)]
        )

    def _refuse_forget(self, method: str, forget_set: str) -> None:
        """Refuse a method that cannot forget such a set, by the labels on both sides."""
        try:
            self._method(method)[1].check_forget(*self._sides(forget_set))
        except AuditError as error:
            where = f"{method} with forget set {forget_set}"
            raise AuditError(f"{where}: {error}; exclude the combination with an [[exclude]] table") from None

    def _shadow_stages(
        self, architecture: str, forget_set: str, seed: int, method: str, scope: str, attack: Attack
    ) -> tuple[str, str] | None:
        """Group of the cell and of its reference.

        Shadow models average over initialisations, so they serve the first seed alone; they know one
        retrained control; and game G0 is about models that have not unlearned. An attack on canaries is not
        about the forget set, and stands at the first of the axis alone; after unlearning, canaries are forgotten.
        """
        control = self.config.shadows.retrain_control
        if (
            seed != self.config.axes.seed[0]
            or method == "retrain_again"
            or (method == "retrain" and not control)
        ):
            return None
        if attack.game == "G0" and method != "no_op":
            return None
        if attack.on_canaries and forget_set != self.config.axes.forget_set[0]:
            return None
        pool = CANARY_POOL if forgets_canaries(attack) else forget_set
        shadows = self._shadow_set(architecture)
        self._add_group(shadows.base())
        reference = self._shadow_group(shadows, "retrain" if control else "no_op", "all", pool)
        return self._shadow_group(shadows, method, scope, pool), reference

    def _shadow_set(self, architecture: str) -> ShadowSet:
        if architecture in self.shadow_sets:
            return self.shadow_sets[architecture]
        layout = self._layout()
        identity = {
            **self._training_identity(architecture),
            "layout": layout.digest,
            "strategy": self.config.shadows.strategy,
        }
        if self.config.shadows.strategy != "loop":
            identity["batch"] = self.config.shadows.batch  # it bounds the stacks, and so moves last bits
        found = ShadowSet(
            architecture=architecture,
            layout=layout,
            recipe=self._recipes[architecture],
            identity=digest(identity),
        )
        self.shadow_sets[architecture] = found
        return found

    def _make_layout(self) -> ShadowLayout:
        """The same for every architecture."""
        data, settings = self.data, self.config.shadows
        return make_layout(
            settings,
            train_ids=data.splits.train,
            labels=data.labels.labels,
            forget_sets=data.forget_sets,
            attacks=[attack for _, attack in self._attacks.values()],
            images=canary_images(settings, shape=data.labels.image_shape, audited_digest=data.digest),
        )

    def _shadow_group(self, shadows: ShadowSet, method: str, scope: str, forget_set: str) -> str:
        base, built = self._method(method, shadows.architecture, scope)
        identity = {
            "base": base,
            "version": built.version,
            "params": fields.to_plain(built),
            "unlearning": self.config.unlearning,
            "trajectories": self.config.shadows.trajectories,
            **self._scores_identity(built),
        }
        name = RETRAINED_METHOD if method == "retrain" else method
        return self._add_group(shadows.group(name, scope, forget_set, identity))

    def _scores_identity(self, built: Method) -> dict[str, Any]:
        """The numbers of the stored scores that a method ranks by; nothing where it reads none."""
        used = {name: self.data.scores.digest(name) for name in built.needs_scores}
        return {"scores": used} if used else {}

    def _add_group(self, group: ShadowGroup) -> str:
        self.shadow_groups[group.group_id] = group
        return group.group_id

    def _make_model(
        self, architecture: str, forget_set: str, seed: int, method: str, scope: str
    ) -> ModelSpec:
        base, built = self._method(method, architecture, scope)
        if built.from_scratch:
            return self._trained(architecture, seed, forget_set, replicate=built.replicate)
        original = self._trained(architecture, seed, forget_set, replicate=None)
        if base == "no_op":
            return original
        reference = self._trained(architecture, seed, forget_set, replicate=0)
        identity = {
            "kind": "unlearned",
            "original": original.model_id,
            "forget": self._forget_digests[forget_set],
            "method": base,
            "version": built.version,
            "params": fields.to_plain(built),
            "scope": scope,
            "unlearning": self.config.unlearning,
            "seed": seed,
            **self._scores_identity(built),
        }
        return self._add(
            identity,
            ModelSpec(
                model_id="",
                kind="unlearned",
                architecture=architecture,
                recipe=self._recipes[architecture],
                seed=seed,
                forget_set=forget_set,
                method=method,
                scope=scope,
                original_id=original.model_id,
                retrained_id=reference.model_id,
            ),
        )

    def _make_trained(
        self, architecture: str, seed: int, forget_set: str, *, replicate: int | None
    ) -> ModelSpec:
        """The original (`replicate` None) or a retrained model."""
        forget = self.data.forget_sets[forget_set]
        retrained = replicate is not None
        identity: dict[str, Any] = {
            **self._training_identity(architecture),
            "kind": "retrained" if retrained else "original",
            "seed": seed,
        }
        if retrained:
            identity |= {"forget": self._forget_digests[forget_set], "replicate": replicate}
        if forget.poisons:
            identity["poison"] = {"forget": forget.digest, "provenance": forget.provenance}
        return self._add(
            identity,
            ModelSpec(
                model_id="",
                kind="retrained" if retrained else "original",
                architecture=architecture,
                recipe=self._recipes[architecture],
                seed=seed,
                forget_set=forget_set if retrained or forget.poisons else None,
                replicate=replicate or 0,
                method={None: "", 0: "retrain", 1: "retrain_again"}[replicate],
            ),
        )

    def _training_identity(self, architecture: str) -> dict[str, Any]:
        """What every model that is trained from scratch depends on."""
        return {
            "code": CODE_VERSION,
            "data": self.data.digest,
            "splits": self.data.splits.digest,
            "normalisation": [self.config.data.mean, self.config.data.std],
            "timm": self.config.architecture(architecture).timm,
            "options": self.config.architecture(architecture).options,
            "recipe": self._recipes[architecture],
            "precision": self.config.execution.precision,
        }

    def _add(self, identity: Mapping[str, Any], spec: ModelSpec) -> ModelSpec:
        named = replace(spec, model_id=digest(identity))
        return self.models.setdefault(named.model_id, named)
