"""Which shadow models a sweep needs and what is unlearned from each; imports neither torch nor ray."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from orchestrator.config.settings import Shadows
from orchestrator.plan.identity import observations_id, shadow_id
from orchestrator.plan.names import NamedMethod
from orchestrator.plan.sources import read_source, saying
from tasks.attacks.base import Attack
from tasks.errors import AuditError
from tasks.forget_sets.base import ForgetSet
from tasks.shadows.budget import Demands, check_demands
from tasks.shadows.canaries import (
    Canaries,
    CanaryImages,
    ColourFields,
    borrow,
    mislabelled_canaries,
    out_of_distribution_canaries,
)
from tasks.shadows.layout import ShadowLayout, TargetPool
from tasks.training.recipe import Recipe

BASE_METHOD = "none"
"""The shadow models as trained."""
RETRAINED_METHOD = "retrained"
"""The exact control: each shadow model trained again without each of its draws."""
LEAST_EPSILON, WISHED_EPSILON = 0.01, 1.0
"""An attack on epsilon that could show less than the first is refused; less than the second, the plan says so."""
CANARY_POOL = "canaries"
"""Targets of the one-run audit after unlearning: every canary that a shadow model trained on is forgotten."""


@dataclass(frozen=True, kw_only=True)
class ShadowGroup:
    """One unlearning (method, scope, target pool) of every shadow model of an architecture."""

    group_id: str
    architecture: str
    method: str
    """Name on the method axis, or `none` and `retrained`."""
    scope: str
    pool: str
    """The forget set whose examples are the targets; empty for the base models."""
    named_method: NamedMethod | None = None
    """What is unlearned with; None for the base models."""

    @property
    def from_scratch(self) -> bool:
        """Whether its models are trained without what the shadow models forget: an exact control."""
        return self.named_method is not None and self.named_method.built.from_scratch

    @property
    def unlearns(self) -> bool:
        """Whether its models are shadow models after a method."""
        return self.named_method is not None and not self.from_scratch

    @property
    def replicate(self) -> int:
        """Which of the exact controls that are independent of each other."""
        return self.named_method.built.replicate if self.named_method else 0

    def key(self, shadow: int) -> str:
        """Key of the observations of one shadow model."""
        return observations_id(self.group_id, shadow)


@dataclass(frozen=True, kw_only=True)
class ShadowSet:
    """The shadow models of one architecture."""

    architecture: str
    layout: ShadowLayout
    recipe: Recipe
    set_id: str
    base_id: str
    """Of the group of the models as trained."""
    pretrained_id: str | None = None
    """The base that all of them start from; None: random weights."""

    def shadow_id(self, shadow: int) -> str:
        """Identity of one shadow model."""
        return shadow_id(self.set_id, shadow)

    def base(self) -> ShadowGroup:
        """The observations of the models as trained."""
        return ShadowGroup(
            group_id=self.base_id, architecture=self.architecture, method=BASE_METHOD, scope="", pool=""
        )


def make_layout(
    settings: Shadows,
    *,
    train_ids: np.ndarray,
    labels: np.ndarray,
    forget_sets: Mapping[str, ForgetSet],
    attacks: Iterable[Attack] = (),
    images: CanaryImages | None = None,
) -> ShadowLayout:
    """Complementary pairs whose target pools are the forget sets of the sweep.

    Args:
        settings: numbers of shadows and draws.
        train_ids: the universe, sorted.
        labels: labels of the whole data set, by example id.
        forget_sets: by name on the axis.
        attacks: of the sweep; where one forgets canaries, these are a target pool too.
        images: of out-of-distribution canaries, see `canary_images`.

    Raises:
        AuditError: a forget set poisons training, there is no room for the canaries, or too few observations
            would remain.
    """
    poisoned = [name for name, forget in forget_sets.items() if forget.poisons]
    if poisoned:
        raise AuditError(
            f"shadows: forget set '{poisoned[0]}' changes what the original is trained on; "
            "per-example attacks need forget sets that do not"
        )
    if settings.canaries and CANARY_POOL in forget_sets:
        raise AuditError(
            f"axes.forget_set: '{CANARY_POOL}' is what the planted canaries are called; expected another name"
        )
    pools = tuple(_pool(settings, name, forget.ids) for name, forget in forget_sets.items())
    canaries = _canaries(settings, train_ids, labels, pools, images)
    attacks = tuple(attacks)
    if any(attack.forgets_canaries for attack in attacks):
        assert canaries is not None
        pools += (TargetPool(name=CANARY_POOL, ids=canaries.ids, forget_size=0),)
    layout = ShadowLayout(
        train_ids=train_ids,
        labels=labels[train_ids],
        num_shadows=settings.num,
        pools=pools,
        canaries=canaries,
        seed=settings.seed,
    )
    check_demands(layout, Demands(per_example=True))
    for game in {attack.game for attack in attacks if attack.bounds_epsilon}:
        check_demands(layout, Demands(per_example=False, games=(game,), epsilon=LEAST_EPSILON))
    return layout


def wished(attack: Attack, fprs: tuple[float, ...]) -> Demands:
    """What an attack is meant to show; `tasks.shadows.budget.shortfalls` tells which of it will be missing.

    Args:
        attack: any attack; one that needs no shadow model asks for nothing.
        fprs: false-positive rates of the evaluation.
    """
    return Demands(
        games=(attack.game,),
        fpr=fprs if attack.rates else (),
        per_example=False,
        epsilon=WISHED_EPSILON if attack.bounds_epsilon else 0.0,
    )


def _pool(settings: Shadows, name: str, ids: np.ndarray) -> TargetPool:
    if settings.forget_fraction == 0.5:
        return TargetPool(name=name, ids=ids, forget_size=0)
    size = max(1, round(settings.forget_fraction * len(ids)))
    draws = settings.draws or max(1, (len(ids) // 2) // size)
    return TargetPool(name=name, ids=ids, forget_size=size, draws=draws, rule="partition")


def canary_images(settings: Shadows, *, shape: tuple[int, ...], audited_digest: str) -> CanaryImages | None:
    """The images of out-of-distribution canaries, chosen but not read; None where canaries are mislabelled.

    Args:
        settings: number, kind and origin of the canaries.
        shape: channels, height and width of the audited data set.
        audited_digest: of its content.

    Raises:
        AuditError: the data set that they come from is unknown, cannot be read, is the audited one, or has
            too few images.
    """
    if settings.canary_kind != "out_of_distribution":
        return None
    if not settings.canary_images:
        return ColourFields(count=settings.canaries, shape=shape, seed=settings.seed)
    name_at, options_at = "shadows.canary_images", "shadows.canary_options"
    source, labels = read_source(
        settings.canary_images, settings.canary_options, name_at=name_at, options_at=options_at
    )
    with saying(options_at):
        content = source.digest()
    name = settings.canary_images.partition(":")[0]
    if content == audited_digest:
        raise AuditError(f"{name_at}: expected another data set than the audited one, got '{name}'")
    with saying(name_at):
        return borrow(
            source,
            labels,
            name=name,
            source_digest=content,
            count=settings.canaries,
            shape=shape,
            seed=settings.seed,
        )


def _canaries(
    settings: Shadows,
    train_ids: np.ndarray,
    labels: np.ndarray,
    pools: Iterable[TargetPool],
    images: CanaryImages | None,
) -> Canaries | None:
    if not settings.canaries:
        return None
    num_classes, targets = int(labels.max()) + 1, np.concatenate([pool.ids for pool in pools])
    with saying("shadows"):
        if images is not None:
            return out_of_distribution_canaries(
                train_ids,
                images=images,
                num_classes=num_classes,
                seed=settings.seed,
                exclude=targets,
                inclusion="independent",
            )
        return mislabelled_canaries(
            train_ids,
            labels[train_ids],
            count=settings.canaries,
            num_classes=num_classes,
            seed=settings.seed,
            exclude=targets,
            inclusion="independent",
        )


def summarise(sets: Iterable[ShadowSet], groups: Iterable[ShadowGroup]) -> dict[str, int]:
    """Trainings, unlearnings and exact retrainings that the shadows of a sweep cost in all."""
    layouts = {s.architecture: s.layout for s in sets}
    counts = {"shadow_trainings": sum(layout.num_shadows for layout in layouts.values())}
    counts |= {"shadow_unlearnings": 0, "shadow_retrainings": 0}
    for group in groups:
        if group.method == BASE_METHOD:
            continue
        layout = layouts[group.architecture]
        runs = layout.num_shadows * layout.pool(group.pool).draws
        kind = "shadow_retrainings" if group.from_scratch else "shadow_unlearnings"
        counts[kind] += runs
    return counts


def batch_of(layout: ShadowLayout, shadow: int, size: int) -> range:
    """The shadow models that are trained together with one, whatever is left to do.

    Lockstep training rounds by the size of its stack: fixed batches keep a resumed sweep equal to an
    undisturbed one, bit for bit.
    """
    start = shadow - shadow % size
    return range(start, min(start + size, layout.num_shadows))
