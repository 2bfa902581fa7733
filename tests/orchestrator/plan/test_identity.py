"""What every id holds: for each setting and each version, the ids that it changes and that it must leave alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator.config.settings import Data, Evaluation, Execution, Shadows, SweepConfig, Unlearning, load
from orchestrator.plan import identity
from orchestrator.plan.cells import Plan
from orchestrator.plan.grid import make_plan
from orchestrator.plan.identity import Identity
from orchestrator.plan.score_file import write_scores
from orchestrator.plan.setting import Setting, flatten
from tasks.attacks.lira import ULiRA
from tasks.attacks.pixel_attacks import FGSM
from tasks.datasets.digits import Digits
from tasks.datasets.synthetic import Synthetic
from tasks.forget_sets.random_draws import Random
from tasks.training.recipe import Recipe
from tasks.unlearn.finetune import Finetune
from tests.support.shadow_sweeps import TEXT

TRAINED = {"original", "retrained"}
MODEL_CELLS = {"none", "fgsm"}
MODELS = TRAINED | {"unlearned"} | MODEL_CELLS
OF_METHOD = {"unlearned", *MODEL_CELLS, "group", "u_lira"}
SHADOWS = {"set", "base", "group", "control", "u_lira"}
EVERY = {*TRAINED, "shared", *OF_METHOD, *SHADOWS}
OF_UNLEARNING = OF_METHOD | {"shared"}
FEW = {"shadows.forget_fraction": 0.25, "shadows.draws": 2}
PLANTED = {"shadows.canaries": 4, "shadows.canary_kind": "out_of_distribution"}


def config_of(**changes: Any) -> SweepConfig:
    path = Path(CONFIG["path"])
    if not path.exists():
        path.write_text(
            TEXT.replace("[architectures.net]", "[attacks.fgsm]\neps = [0.1]\n[architectures.net]")
        )
    axes = {"axes.attack": ["none", "fgsm", "u_lira"]}
    return load(str(path), {**axes, **changes})


CONFIG: dict[str, str] = {}


@pytest.fixture(scope="module", autouse=True)
def _file(tmp_path_factory: pytest.TempPathFactory) -> None:
    CONFIG["path"] = str(tmp_path_factory.mktemp("identity") / "audit.toml")


def ids(**changes: Any) -> dict[str, str]:
    """The id of one stage of every sort, of the first value of each axis."""
    return ids_of(make_plan(config_of(**changes)))


def ids_and_settings(**changes: Any) -> tuple[dict[str, str], dict[str, Setting]]:
    """The same, and the settings of those that have one."""
    plan = make_plan(config_of(**changes))
    found = ids_of(plan)
    return found, {name: plan.settings[made] for name, made in found.items() if made in plan.settings}


def ids_of(plan: Plan) -> dict[str, str]:
    axes = plan.config.axes
    place = {"architecture": axes.architecture[0], "forget_set": axes.forget_set[0], "seed": axes.seed[0]}
    mine = {"method": axes.method[0], "scope": axes.scope[0], **place}
    cells = {c.named_attack.base: c for c in plan.cells if mine.items() <= c.axes.items()}
    unlearned = plan.models[cells["none"].subject.id]
    assert unlearned.original_id
    assert unlearned.named_method
    shared = Identity(plan.config, plan.data).shared(
        "saliency", unlearned.original_id, unlearned.named_method, axes.forget_set[0], axes.seed[0]
    )
    shadows = plan.shadow_sets[axes.architecture[0]]
    return {
        "original": unlearned.original_id,
        "retrained": cells["none"].reference.id,
        "unlearned": unlearned.model_id,
        "shared": shared,
        "set": shadows.set_id,
        "base": shadows.base().group_id,
        "group": cells["u_lira"].subject.id,
        "control": cells["u_lira"].reference.id,
        **{name: cells[name].cell_id for name in ("none", "fgsm", "u_lira")},
    }


def changed(before: Mapping[str, object], after: Mapping[str, object]) -> set[str]:
    assert before.keys() == after.keys()
    return {name for name in before if before[name] != after[name]}


def changed_settings(
    before: Mapping[str, Setting], after: Mapping[str, Setting], kind: str = "setting"
) -> set[str]:
    """Stages of which a digest of the setting changed."""
    return changed(*({n: getattr(s, kind) for n, s in side.items()} for side in (before, after)))


DATA = [
    ("data.options.seed", 2, EVERY),
    ("data.options.noise", 0.7, EVERY),
    ("data.validation_fraction", 0.2, EVERY),
    ("data.split_seed", 1, EVERY),
    ("data.limit", 150, EVERY),
    ("data.mean", [0.4], EVERY),
    ("data.std", [0.3], EVERY),
]
TRAINING = [
    ("training.epochs", 13, EVERY),
    ("training.batch_size", 17, EVERY),
    ("training.optimizer", "adam", EVERY),
    ("training.lr", 0.06, EVERY),
    ("training.momentum", 0.8, EVERY),
    ("training.weight_decay", 1e-3, EVERY),
    ("training.schedule", "step", EVERY),
    ("training.warmup_epochs", 2.0, EVERY),
    ("training.augmentation", "shift", EVERY),
    ("training.label_smoothing", 0.1, EVERY),
    ("training.grad_clip", 1.0, EVERY),
    ("architectures.net.training.lr", 0.06, EVERY),
    ("architectures.net.timm", "resnet34", EVERY),
    ("architectures.net.options.channels", [8, 8, 8, 16], EVERY),
    ("architectures.net.stem", "timm", EVERY),
    ("execution.precision", "bf16", EVERY),
    ("execution.device", "cuda", EVERY),
    ("axes.seed", [1], {*TRAINED, "unlearned", "shared", *MODEL_CELLS, "u_lira"}),
]
UNLEARNING = [
    ("axes.forget_set", ["random:fraction=0.3,draw=1"], EVERY - {"original"}),
    ("axes.forget_set", ["random:fraction=0.2"], EVERY - {"original"}),
    ("axes.scope", ["head"], OF_METHOD),
    ("methods.finetune.lr", 0.5, OF_METHOD),
    ("tuning.chosen", {"net/finetune/all": {"lr": 0.5}}, OF_METHOD),
    ("unlearning.norm_statistics", "freeze", OF_UNLEARNING),
    ("unlearning.augment", False, OF_UNLEARNING),
]
EVALUATION = [
    ("evaluation.bootstrap", 51, {*MODEL_CELLS, "u_lira"}),
    ("evaluation.batch_size", 1000, {*MODEL_CELLS, "base", "group", "control", "u_lira"}),
    ("evaluation.fprs", [0.01], {*MODEL_CELLS, "u_lira"}),
    ("evaluation.attack_splits", ["test"], {*MODEL_CELLS, "u_lira"}),
    ("evaluation.fairness_split", "retain", {*MODEL_CELLS, "u_lira"}),
    ("evaluation.fairness_definitions", ["norm_sigma"], {*MODEL_CELLS, "u_lira"}),
    ("attacks.fgsm.eps", [0.2], {"fgsm"}),
    ("attacks.u_lira.folds", 4, {"u_lira"}),
    ("axes.attack", ["none", "fgsm:eps=0.1;", "u_lira"], {"fgsm"}),  # its text names its random stream
]
SHADOW_MODELS = [
    ("shadows.num", 18, SHADOWS),
    ("shadows.seed", 1, SHADOWS),
    ("shadows.canaries", 4, SHADOWS),
    ("shadows.strategy", "grouped:2", SHADOWS),
    ("shadows.batch", 4, SHADOWS),
    ("shadows.trajectories", False, {"group", "u_lira"}),
    ("shadows.retrain_control", False, {"control", "u_lira"}),
]
NOTHING = [
    ("name", "other", set()),
    ("plugins", ["nothing.rests.on.it"], set()),
    ("axes.architecture", ["net", "resnet34"], set()),
    ("axes.method", ["finetune", "gradient_ascent"], set()),
    ("axes.scope", ["all", "head"], set()),
    ("axes.attack", ["u_lira", "fgsm", "none"], set()),
    ("axes.attack", ["none", "pgd", "fgsm", "u_lira"], set()),
    ("axes.seed", [0, 1], set()),
    ("axes.method", ["named"], {"group", "u_lira"}),  # groups lie below the names of their methods
    ("axes.architecture", ["other"], {"base", "group", "control", "u_lira"}),
    ("exclude", [{"attack": "fgsm", "scope": "head"}], set()),
    ("tuning.seed", 3, set()),
    ("execution.backend", "local", set()),
    ("execution.hosts", 3, set()),
    ("execution.threads", 2, set()),
    ("execution.resident_gib", 1.0, set()),
    ("execution.keep_unlearned", False, set()),
    ("execution.stage_timeout", 10.0, set()),
    ("execution.max_failures", 1, set()),
    ("shadows.keep_weights", False, set()),
]
SETTINGS = [*DATA, *TRAINING, *UNLEARNING, *EVALUATION, *SHADOW_MODELS, *NOTHING]


@pytest.mark.parametrize(
    ("key", "value", "expected"), SETTINGS, ids=lambda v: str(v) if isinstance(v, str) else ""
)
def test_each_setting_changes_the_ids_of_what_it_changes(key: str, value: Any, expected: set[str]) -> None:
    named = {"architectures.other.timm": "resnet18", "methods.named": {"base": "finetune", "epochs": 1}}
    options = {"architectures.other.options": {"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 16]}}
    same = named | options
    (before, settings), (after, others) = ids_and_settings(**same), ids_and_settings(**same, **{key: value})
    assert changed(before, after) == expected
    if key == "axes.seed":
        assert changed_settings(settings, others) == set()
    elif key == "axes.forget_set":  # shadow models are drawn for all forget sets together
        assert changed_settings(settings, others) == (expected & settings.keys()) - MODELS
    else:
        assert changed_settings(settings, others) == expected & settings.keys()
    if key.startswith(("methods.", "unlearning.", "tuning.chosen")) or key == "axes.scope":
        assert changed_settings(settings, others, "conditions") == set()


PAIRS = [
    ({"shadows.strategy": "loop"}, {"shadows.batch": 4}, set()),
    (FEW | {"shadows.num": 128}, {"shadows.forget_fraction": 0.2}, SHADOWS),
    (FEW | {"shadows.num": 128}, {"shadows.draws": 1}, SHADOWS),
    ({"shadows.canaries": 4}, {"shadows.canary_kind": "out_of_distribution"}, SHADOWS),
    (PLANTED, {"shadows.canary_images": "digits"}, SHADOWS),
    (
        PLANTED | {"shadows.canary_images": "synthetic:seed=5,channels=1,num_classes=3"},
        {"shadows.canary_images": "synthetic:seed=6,channels=1,num_classes=3"},
        SHADOWS,
    ),
    (
        {"data.name": "digits", "data.options": {}, "data.test_fraction": 0.2},
        {"data.test_fraction": 0.3},
        EVERY,
    ),
    ({"axes.method": ["rum"]}, {"methods.rum.base_params": {"epochs": 1}}, OF_METHOD),
]


@pytest.mark.parametrize(("start", "change", "expected"), PAIRS)
def test_settings_that_count_where_others_stand(start: Any, change: Any, expected: set[str]) -> None:
    (before, settings), (after, others) = ids_and_settings(**start), ids_and_settings(**{**start, **change})
    assert changed(before, after) == expected
    assert changed_settings(settings, others) == expected & settings.keys()


VERSIONS = [
    (identity, "CODE_VERSION", {}, EVERY),
    (Synthetic, "version", {}, EVERY),
    (Digits, "version", {}, set()),
    (Digits, "version", PLANTED | {"shadows.canary_images": "digits"}, SHADOWS),
    (Finetune, "version", {}, OF_UNLEARNING),
    (Finetune, "version", {"axes.method": ["rum"], "methods.rum.base_method": "finetune"}, OF_METHOD),
    (FGSM, "version", {}, {"fgsm"}),
    (ULiRA, "version", {}, {"u_lira"}),
    (Random, "version", {}, set()),  # the examples that it chooses count
]


@pytest.mark.parametrize(("owner", "name", "settings", "expected"), VERSIONS)
def test_a_raised_version_makes_again_what_rests_on_it(
    owner: Any, name: str, settings: Any, expected: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before, held = ids_and_settings(**settings)
    monkeypatch.setattr(owner, name, 99)
    after, others = ids_and_settings(**settings)
    assert changed(before, after) == expected
    assert changed_settings(held, others) == expected & held.keys()
    assert changed_settings(held, others, "unversioned") == set()


@pytest.mark.parametrize(
    ("plugin", "expected"),
    [(Synthetic, EVERY), (Finetune, OF_UNLEARNING), (FGSM, {"fgsm"}), (ULiRA, {"u_lira"}), (Random, set())],
)
def test_the_code_of_a_plugin_counts_where_it_decides(
    plugin: type, expected: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before, held = ids_and_settings()
    monkeypatch.setattr(identity, "plugin_digest", lambda cls: "edited" if cls is plugin else "")
    after, others = ids_and_settings()
    assert changed(before, after) == expected
    assert changed_settings(held, others) == expected & held.keys()
    assert changed_settings(held, others, "unversioned") == set()


def test_methods_that_rank_by_scores_hold_them(tmp_path: Path) -> None:
    ranked = {"axes.method": ["rum"], "methods.rum.ranking": "memorisation"}
    files = []
    for name in ("first", "second"):
        generator = np.random.default_rng(len(files))
        files.append(tmp_path / f"{name}.npz")
        write_scores(files[-1], {"memorisation": generator.normal(size=180)}, {})
    found = [ids(**ranked, **{"data.scores": str(file)}) for file in files]
    assert changed(*found) == OF_METHOD
    assert not changed(*(ids(**{"data.scores": str(file)}) for file in files))


def poisoned(**changes: Any) -> Plan:
    axes = {"axes.attack": ["none"], "axes.forget_set": ["backdoor:target=0,count=9,size=2"]}
    return make_plan(config_of(**axes, **changes))


@pytest.mark.parametrize(
    "text", ["target=1,count=9", "target=0,count=9,size=3", "target=0,count=9,value=0.5"]
)
def test_what_poisons_training_counts_in_every_model(text: str) -> None:
    forget = [f"backdoor:{text},draw=0"]
    other = make_plan(config_of(**{"axes.attack": ["none"], "axes.forget_set": forget}))
    assert not poisoned().models.keys() & other.models.keys()
    held = [{s.setting for s in plan.settings.values()} for plan in (poisoned(), other)]
    assert held[0] == held[1]  # poison is the forget set's


def test_labels_that_poison_training_count(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = poisoned()
    (forget,) = plan.data.forget_sets.values()
    (name,) = plan.data.forget_sets
    relabelled = dataclasses.replace(forget, train_labels=dict.fromkeys(forget.train_labels, 2))
    data = dataclasses.replace(plan.data, forget_sets={name: relabelled})
    other = Identity(plan.config, data)
    assert other.original("net", 0, name) not in plan.models
    assert other.retrained("net", 0, name, 0) not in plan.models
    moved = dataclasses.replace(forget, provenance={"explained": "otherwise"})
    same = Identity(plan.config, dataclasses.replace(plan.data, forget_sets={name: moved}))
    assert same.original("net", 0, name) in plan.models


def test_cells_of_a_search_are_tested_on_something_else() -> None:
    plan = make_plan(config_of())
    cell = plan.cells[0]
    place = cell.subject.id, cell.reference.id, cell.named_attack, cell.forget_set, cell.seed
    searched = dataclasses.replace(plan.data, test_split="validation")
    assert Identity(plan.config, plan.data).cell(*place) == cell.cell_id
    assert Identity(plan.config, searched).cell(*place) != cell.cell_id


def test_shared_stages_know_which_forget_set_they_depend_on() -> None:
    forget = ["random:fraction=0.3", "random:fraction=0.3,draw=1"]
    plan = make_plan(config_of(**{"axes.forget_set": forget, "axes.attack": ["none"]}))
    made, method = Identity(plan.config, plan.data), plan.methods["finetune"]
    for name, kinds in (("saliency", 2), ("fisher_train", 1)):
        assert len({made.shared(name, "original", method, forget_set, 0) for forget_set in forget}) == kinds
    one = made.shared("saliency", "original", method, forget[0], 0)
    others = [
        made.shared("fisher", "original", method, forget[0], 0),
        made.shared("saliency", "other", method, forget[0], 0),
        made.shared("saliency", "original", method, forget[0], 1),
    ]
    assert len({one, *others}) == 4


def test_each_argument_counts() -> None:
    forget = ["random:fraction=0.3", "random:fraction=0.3,draw=1"]
    plan = make_plan(config_of(**{"axes.forget_set": forget}))
    made, method, attack = Identity(plan.config, plan.data), plan.methods["finetune"], plan.attacks["none"]
    other = dataclasses.replace(attack, base="other")
    for make, arguments, change in (
        (made.retrained, ("net", 0, forget[0], 0), ("resnet18", 1, forget[1], 1)),
        (
            made.unlearned,
            ("id", method, forget[0], "all", 0),
            ("x", plan.methods["no_op"], forget[1], "head", 1),
        ),
        (made.shadow_group, ("id", "net", "m", method, "all", "p"), ("x", "y", "n", None, "head", "q")),
        (made.cell, ("a", "b", attack, forget[0], 0), ("x", "y", other, forget[1], 1)),
    ):
        whole = {make(*arguments)}
        for place, value in enumerate(change):
            if value is not None:
                whole.add(make(*arguments[:place], value, *arguments[place + 1 :]))
        assert len(whole) == 1 + len([value for value in change if value is not None]), make


def test_all_forget_sets_and_seeds_of_a_plan_share_their_settings() -> None:
    forget = ["random:fraction=0.3", "random:fraction=0.3,draw=1"]
    plan = make_plan(config_of(**{"axes.forget_set": forget, "axes.seed": [0, 1]}))
    settings: dict[tuple[str, ...], set[str]] = {}
    for cell in plan.cells:
        place = (cell.method, cell.scope, cell.attack)
        settings.setdefault(place, set()).add(plan.settings[cell.cell_id].setting)
    assert {len(held) for held in settings.values()} == {1}
    assert len(set.union(*settings.values())) == len(settings)


def test_references_share_their_conditions_with_what_is_compared_with_them() -> None:
    for changes in ({}, {"shadows.retrain_control": False}):
        plan = make_plan(config_of(**changes))
        conditions: dict[str, set[str]] = {}
        for cell in plan.cells:
            conditions.setdefault(cell.attack, set()).add(plan.settings[cell.cell_id].conditions)
        assert {len(held) for held in conditions.values()} == {1}
        assert len(set.union(*conditions.values())) == len(conditions)


def test_a_setting_reads_like_the_configuration() -> None:
    plan = make_plan(config_of(**{"methods.finetune.lr": 0.5, "axes.attack": ["fgsm", "u_lira"]}))
    audited = {c.named_attack.base: plan.settings[c.cell_id] for c in plan.cells if c.method == "finetune"}
    model, shadows = (audited[name].entries for name in ("fgsm", "u_lira"))
    told = {
        "method.lr": "0.5",
        "attack.eps": "[0.1]",
        "execution.device": '"cpu"',
        "scope": '"all"',
        "code": "2",
    }
    assert told.items() <= model.items()
    assert {"training.epochs", "architecture.options.channels", "evaluation.bootstrap"} <= model.keys()
    assert shadows["shadows.num"] == str(plan.config.shadows.num)
    assert shadows["reference.method.name"] == '"retrain"'
    versions = {row["key"] for row in audited["fgsm"].rows() if row["is_version"]}
    assert {"code", "method.version", "method.plugin", "attack.version", "data.plugin"} <= versions
    assert "method.lr" not in versions


def test_a_parameter_may_be_called_like_what_a_setting_says_itself() -> None:
    taken = identity._with_parameters({"version": 1}, _Named(version=7, lr=0.1))
    assert flatten(taken) == {"version": "1", "lr": "0.1", "params.version": "7"}


@dataclasses.dataclass(frozen=True)
class _Named:
    version: int
    lr: float


def test_shadows_of_one_set_differ_by_their_number() -> None:
    shadows = make_plan(config_of()).shadow_sets["net"]
    base = shadows.base()
    assert len({shadows.shadow_id(0), shadows.shadow_id(1), base.key(0), base.key(1)}) == 4


@pytest.mark.parametrize(
    ("table", "cls"),
    [
        ("data", Data),
        ("training", Recipe),
        ("unlearning", Unlearning),
        ("evaluation", Evaluation),
        ("shadows", Shadows),
        ("execution", Execution),
    ],
)
def test_every_setting_is_in_the_table(table: str, cls: type) -> None:
    """A new setting must be placed: whoever adds one says which ids it changes."""
    told = {key for key, _, _ in SETTINGS} | {key for _, change, _ in PAIRS for key in change}
    told |= {"data.name", "data.scores", "data.options", "shadows.canary_options"}  # by content, shown above
    assert {f"{table}.{f.name}" for f in dataclasses.fields(cls)} - told == set()
