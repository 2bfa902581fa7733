"""Results with a second value of every key that a query joins, groups or partitions by, and no two values equal.

A base place is varied one key at a time: data set, architecture, forget set, examples of one name, evaluation.
Everywhere there are models of every role, two settings of one name, attacks of every family, two kinds of device, and
failed work that left its numbers behind.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from orchestrator.config.settings import canonical, digest
from orchestrator.plan.setting import Setting
from orchestrator.store.store import Store
from tests.support.every_key_numbers import Numbers
from tests.support.every_key_shadows import write_shadow_models
from tests.support.fabricated import setting_of, write_plan
from tests.support.made_once import made_once

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ONE, OTHER, THIRD, FOURTH = "a1b2c3d4", "b2c3d4e5", "c3d4e5f6", "d4e5f6a7"
FIRST_RUN, MIDDLE_RUN, LAST_RUN = "z-first", "y-middle", "a-last"
"""By name the last run comes first, so that only `ordinal` orders them."""
FAILURE = {"status": "failed", "error_type": "Diverged", "error": "loss is nan"}


@dataclass(frozen=True)
class Made:
    """One model of a place."""

    method: str
    scope: str
    role: str
    entries: Mapping[str, Any] = field(default_factory=dict)
    """Of its setting, beside the names."""


@dataclass(frozen=True)
class Attack:
    """One attack; `params` are its options."""

    name: str
    family: str
    params: Mapping[str, Any] = field(default_factory=dict)
    scale_free: bool | None = None


ROLES = (
    Made("retrain", "all", "reference"),
    Made("retrain_again", "all", "noise_floor"),
    Made("no_op", "all", "ceiling"),
)
FEW_MODELS = (*ROLES, Made("finetune", "all", "audited", {"method.lr": 0.1}), Made("scrub", "all", "audited"))
EVERY_MODEL = (
    *FEW_MODELS,
    Made("retrain_again", "all", "noise_floor", {"method.replicate": 3}),
    Made("retrain_third", "all", "control"),
    Made("finetune", "all", "audited", {"method.lr": 0.2}),
    Made("finetune", "last", "audited", {"method.lr": 0.1}),
)
PLAIN = Attack("none", "none")
PGD = Attack("pgd", "adversarial", {"norm": "Linf"}, scale_free=False)
APGD = Attack("apgd", "adversarial", {"norm": "Linf"}, scale_free=True)
FAB = Attack("fab", "adversarial", {"norm": "Linf"}, scale_free=True)
DDN = Attack("ddn", "adversarial", {"norm": "L2"}, scale_free=True)
POPULATION, QUANTILE = Attack("population", "population"), Attack("quantile", "population")
LIRA, RANK = Attack("u_lira_g2", "per_example"), Attack("rank_test", "per_example")
HARM, BEFORE = Attack("retain_harm", "per_example"), Attack("before_after", "per_example")
FEW_ATTACKS = (PLAIN, PGD, APGD, POPULATION, LIRA)
EVERY_ATTACK = (*FEW_ATTACKS, FAB, DDN, QUANTILE, RANK, HARM, BEFORE)
EVERY_SEED = (PLAIN, PGD, APGD)
FEW_SEEDS = (0, 1)
"""Seeds that have the other attacks, and rows of single examples."""


@dataclass(frozen=True)
class Place:
    """Where models are compared, and which stand there."""

    dataset: str = "cifar10"
    architecture: str = "resnet18"
    forget_set: str = "random:fraction=0.1"
    forget_digest: str = ONE
    entries: Mapping[str, Any] = field(default_factory=dict)
    seeds: tuple[int, ...] = (0, 1)
    models: tuple[Made, ...] = FEW_MODELS
    attacks: tuple[Attack, ...] = FEW_ATTACKS
    failed: tuple[tuple[str, int], ...] = ()
    """Methods and seeds whose model and cells failed, and left numbers behind."""

    @property
    def shadow_set(self) -> str:
        """Of the shadow models of its data and architecture."""
        return f"shadows-{self.dataset}-{self.architecture}"

    def stage_id(self, made: Made, seed: int | None) -> str:
        """Id of a model; of a group of shadow models where there is no seed. The original is that of any forget set."""
        forgotten = None if made.role == "ceiling" else self.forget_digest
        trained = {key: value for key, value in self.entries.items() if key.startswith("training.")}
        entries = {**trained, **made.entries}
        parts = [self.dataset, self.architecture, forgotten, made.method, made.scope, entries, seed]
        return f"{made.method}-{digest(parts)}"

    def of_setting(self, made: Made) -> dict[str, Any]:
        """Entries of the setting beside the names, and the version of the code."""
        return {"code": 2, "dataset.name": self.dataset, **self.entries, **made.entries}


BASE = Place(seeds=(0, 1, 2, 3, 5), models=EVERY_MODEL, attacks=EVERY_ATTACK, failed=(("scrub", 5),))
FAR = (BASE, FEW_MODELS[3])
"""The one model that is told apart from retraining."""
PLACES = (
    BASE,
    Place(dataset="letters", forget_digest=FOURTH),
    Place(architecture="wide", failed=(("retrain", 1),)),
    Place(forget_set="class", forget_digest=OTHER),
    Place(forget_set="class", forget_digest=THIRD, models=FEW_MODELS[:-1]),
    Place(entries={"evaluation.fprs": [0.1]}),
)
EARLIER = Place(entries={"code": 1}, seeds=(0,), attacks=(PLAIN, PGD, POPULATION))
"""Asked for by the first run alone: what the last one replaced, as the code alone is another."""
ALONE = Place(entries={"training.epochs": 3}, seeds=(0,), attacks=(PLAIN, PGD, LIRA))
"""Asked for by the first run alone, and not replaced."""


def every_key_root() -> str:
    """The results; made once, not to be written to."""
    return str(made_once("every-key", lambda folder: _fill(Store(str(folder)))))


def _fill(store: Store) -> None:
    store.check_ready()
    rows: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(dict)
    numbers = Numbers(np.random.Generator(np.random.PCG64(20260301)))
    last = [_cell(store, rows, numbers, *at) for place in PLACES for at in _cells(place)]
    first = [_cell(store, rows, numbers, *at) for place in (EARLIER, ALONE) for at in _cells(place)]
    rows["models"] |= write_shadow_models(store, numbers, rows["cells"])
    rows["tuning"] = _searches(numbers)
    for table, by_key in rows.items():
        store.write_all(table, by_key)
    for run_id, cells in ((FIRST_RUN, first + last[::7]), (MIDDLE_RUN, last[::5]), (LAST_RUN, last)):
        write_plan(store, run_id, cells, answers_json=_declared(), plan_json='{"cells_before": 0}')
    for place in {(place.dataset, place.forget_set, place.forget_digest): place for place in PLACES}.values():
        record = f"record-{place.dataset}-{place.forget_digest}"
        store.write("forget_sets", record, _forgotten(numbers, place))


def _cells(place: Place) -> Iterator[tuple[Place, Made, int, Attack]]:
    for made in place.models:
        for seed in place.seeds:
            for attack in place.attacks:
                unmeasured = attack is DDN and made.method == "scrub"
                if not unmeasured and (attack in EVERY_SEED or seed in FEW_SEEDS):
                    yield place, made, seed, attack


def _cell(
    store: Store,
    rows: dict[str, dict[str, list[dict[str, Any]]]],
    numbers: Numbers,
    place: Place,
    made: Made,
    seed: int,
    attack: Attack,
) -> str:
    """Add a cell, its numbers and its model; returns its id."""
    grouped = attack.family == "per_example"
    failed = (made.method, seed) in place.failed
    reference = ROLES[0]
    cell: dict[str, Any] = {
        "group_id" if grouped else "model_id": place.stage_id(made, None if grouped else seed),
        "reference_id": place.stage_id(reference, None if grouped else seed),
        "shadow_set": place.shadow_set if grouped else None,
        "num_shadows": 16 if grouped else None,
        "dataset": place.dataset,
        "architecture": place.architecture,
        "method": made.method,
        "scope": made.scope,
        "method_params_json": json.dumps(dict(made.entries)),
        "attack": attack.name,
        "attack_family": attack.family,
        "attack_params_json": canonical(dict(attack.params)),
        "scale_free": attack.scale_free,
        "forget_set": place.forget_set,
        "forget_digest": place.forget_digest,
        "forget_size": 100 + len(rows["cells"]),
        "seed": seed,
        "role": made.role,
        "tuning_trials": 8 if made.entries.get("method.lr") == 0.2 else None,
        "run_id": FIRST_RUN if place in (EARLIER, ALONE) or len(rows["cells"]) % 7 == 0 else LAST_RUN,
        "status": "finished",
        "finished_at": NOON,
    }
    setting = setting_of(cell, **place.of_setting(made))
    cell |= {"setting": setting.setting, "conditions": setting.conditions}
    named = [place.forget_set, place.forget_digest, seed, setting.setting]
    cell_id = digest([attack.name, cell.get("model_id") or cell["group_id"], *named])
    rows["settings"].setdefault(setting.setting, setting.rows())
    rows["cells"][cell_id] = [cell | (FAILURE if failed else {})]
    rows["metrics"][cell_id] = [
        row if (place, made) != FAR else _moved(row)
        for row in numbers.metrics(attack.name, attack.family)
        if (row["metric"], made.role) != ("average_gap", "reference")
    ]
    if attack is PLAIN:
        rows["layers"][cell_id] = numbers.layers()
    if seed in FEW_SEEDS and (examples := numbers.examples(attack.name, attack.family)):
        store.write("examples", cell_id, examples, attack=attack.name)
    device = numbers.device()
    rows["costs"][cell_id] = [numbers.cost("attack", device) | {"model_id": cell.get("model_id")}]
    if not grouped and cell["model_id"] not in rows["models"]:
        _model(rows, numbers, place, made, seed, failed)
    return cell_id


def _moved(row: dict[str, Any]) -> dict[str, Any]:
    """A row of `metrics` so far off that tests over seeds see it, if it is of accuracy on the forget set."""
    if (row["metric"], row["split"]) != ("accuracy", "forget"):
        return row
    return row | {name: row[name] + 5 for name in ("value", "ci_low", "ci_high")}


def _model(
    rows: dict[str, dict[str, list[dict[str, Any]]]],
    numbers: Numbers,
    place: Place,
    made: Made,
    seed: int,
    failed: bool,
) -> None:
    """Add the row of a model, of its setting, and what it cost."""
    entries = {"architecture.timm": place.architecture, "method.name": made.method, "scope": made.scope}
    entries |= {key: value for key, value in place.of_setting(made).items() if "evaluation" not in key}
    setting = Setting(entries={key: canonical(value) for key, value in entries.items()})
    rows["settings"].setdefault(setting.setting, setting.rows())
    kind = {"no_op": "original", "finetune": "unlearned", "scrub": "unlearned"}.get(made.method, "retrained")
    stage = {"original": "train", "retrained": "retrain"}.get(kind, "unlearn")
    model_id = place.stage_id(made, seed)
    cost = numbers.cost(stage, numbers.device())
    shared = [f"share-{place.dataset}-{place.architecture}-{seed}-{part}" for part in "ab"]
    rests = shared if made.method == "scrub" else shared[:1] if made.entries.get("method.lr") == 0.2 else []
    for stage_id in rests:
        rows["costs"].setdefault(stage_id, [numbers.cost("share", numbers.device()) | {"model_id": model_id}])
    rows["models"][model_id] = [
        {
            **{key: value for key, value in cost.items() if key != "stage"},
            "kind": kind,
            "setting": setting.setting,
            "dataset": place.dataset,
            "architecture": place.architecture,
            "forget_set": None if kind == "original" else place.forget_set,
            "forget_digest": None if kind == "original" else place.forget_digest,
            "method": made.method,
            "params_json": json.dumps(dict(made.entries)),
            "scope": made.scope,
            "seed": seed,
            "parent_id": place.stage_id(ROLES[2], seed) if kind == "unlearned" else None,
            "retrained_id": place.stage_id(ROLES[0], seed) if kind == "unlearned" else None,
            "weights_digest": digest(model_id),
            "num_parameters": numbers.count(),
            "device_seconds": cost["device_seconds"] if numbers.often() else None,
            "rests_on_json": json.dumps(rests),
            "status": "finished",
            "finished_at": NOON,
            **(FAILURE if failed else {}),
        }
    ]
    rows["costs"][model_id] = [cost | {"model_id": model_id}]


def _searches(numbers: Numbers) -> dict[str, list[dict[str, Any]]]:
    """Two searches that differ in the method, and one each on another data set, architecture and scope."""
    places = [
        ("cifar10", "resnet18", "finetune", "all"),
        ("cifar10", "resnet18", "scrub", "all"),
        ("letters", "resnet18", "finetune", "all"),
        ("cifar10", "wide", "finetune", "all"),
        ("cifar10", "resnet18", "finetune", "last"),
    ]
    found = {}
    for number, place in enumerate(places):
        axes = dict(zip(("dataset", "architecture", "method", "scope"), place, strict=True))
        found[f"search{number}"] = [axes | numbers.trial(trial, chosen=trial == 1) for trial in range(4)]
    return found


def _declared() -> str:
    place = dict.fromkeys(("split", "game", "variant", "attack", "param"))
    accuracy = {
        "place": place | {"metric": "accuracy", "split": "forget"},
        "is_primary": True,
        "margin": 0.05,
    }
    return json.dumps([accuracy])


def _forgotten(numbers: Numbers, place: Place) -> list[dict[str, Any]]:
    """Examples of a forget set: with an exact copy, a near one, a far one, and one that nobody looked for."""
    axes = {"forget_digest": place.forget_digest, "forget_set": place.forget_set, "dataset": place.dataset}
    return [
        axes | {"example_id": number, "label": number % 3} | numbers.copies(number) for number in range(6)
    ]
