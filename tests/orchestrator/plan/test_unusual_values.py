"""Values that no audit can have are refused while planning, by their key; odd ones that it can have are taken."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from orchestrator.audit import request
from orchestrator.audit.tuning import plan_search
from orchestrator.config.settings import SweepConfig, load
from orchestrator.plan.cells import Plan
from orchestrator.plan.grid import make_plan
from orchestrator.records.provenance import run_identity
from orchestrator.store.paths import safe_name
from tasks.errors import AuditError
from tests.support.sweeps import SYNTHETIC_DATA, changed

OPTIONS = "options = { layers = [1, 1, 1, 1], channels = [4, 4, 4, 4] }"
RATE, METHOD, SEED = "batch_size = 32", "[methods.finetune]", "seed = [0]"
FORGET, ATTACKS, NAME = '["random:fraction=0.2"]', '"fgsm", ', 'name = "tiny"'
NO_FGSM = {"[attacks.fgsm]\neps = [0.05]\n": ""}
TIMM = 'timm = "resnet18"'


def before(table: str) -> dict[str, str]:
    """One more table."""
    return {"[axes]": f"{table}\n[axes]"}


def option(value: str) -> dict[str, str]:
    return {OPTIONS: f"options = {{ drop_rate = {value} }}"}


def rate(value: str) -> dict[str, str]:
    return {RATE: f"{RATE}\nlr = {value}"}


NUMBERS = {
    "a rate of nan": (rate("nan"), "training.lr: expected a finite number, got nan"),
    "a rate of 400 digits": (rate("9" * 400), "training.lr: expected a whole number below 2^63"),
    "a rate of a method": (
        {METHOD: f"{METHOD}\nlr = {'9' * 400}"},
        "methods.finetune.lr: expected a whole number",
    ),
    "a rate of 5,000 digits": (rate("9" * 5000), "not valid TOML: Exceeds the limit"),
    "an option of nan": (option("nan"), "net.options.drop_rate: expected a finite number, got nan"),
    "an infinite option": (option("-inf"), "options.drop_rate: expected a finite number, got -inf"),
    "a nested option": (option("[[1], [1e400]]"), "options.drop_rate[1][0]: expected a finite number"),
    "a date": (
        option("2026-11-30"),
        "options.drop_rate: expected text, a number, true or false, a list or a table",
    ),
    "a time": (option("07:32:00"), "options.drop_rate: expected text, a number"),
    "a large option": (
        option("9" * 30),
        "options.drop_rate: expected a whole number below 2^63, got one of 30",
    ),
    "a large seed": ({SEED: f"seed = [{2**63}]"}, "axes.seed[0]: expected a whole number below 2^63"),
    "a large seed of the split": (
        before(f"split_seed = {2**63}"),
        "data.split_seed: expected a whole number",
    ),
    "a large seed of the data": (
        {"seed = 1": f"seed = {2**64}"},
        "data.options.seed: expected a whole number",
    ),
    "a large inline value": (
        {FORGET: f'["random:count={2**63}"]'},
        "forget_sets.random:count=9223372036854775808.count: expected a whole number",
    ),
}
NAMES = {
    "no name": ({NAME: 'name = " "'}, "name: expected 1 to 200 printable characters, got ' '"),
    "a name with a line break": ({NAME: 'name = "a\\nb"'}, "name: expected 1 to 200 printable characters"),
    "a long name": ({NAME: f'name = "{"a" * 201}"'}, "name: expected 1 to 200 printable characters"),
    "an unknown model": (
        {TIMM: 'timm = "resnet81"'},
        "architectures.net: no timm model 'resnet81'. Did you mean",
    ),
    "a hub": ({TIMM: 'timm = "hf_hub:timm/resnet18"'}, "no timm model 'hf_hub:timm/resnet18'"),
    "an unknown tag": ({TIMM: 'timm = "resnet18.a1_in2k"'}, "Did you mean 'resnet18.a1_in1k'?"),
    "a bare unknown model": ({'["net"]': '["resnet81"]'}, "axes.architecture: no timm model 'resnet81'"),
}
ROLES = {
    name: (
        before(f'[{table}."{entry}"]\n{base}'),
        f"{table}.{entry}: expected a name of its own for a variant of",
    )
    for name, (table, entry, base) in {
        "the reference": ("methods", "retrain", 'base = "finetune"'),
        "the noise floor": ("methods", "retrain_again", 'base = "scrub"'),
        "the ceiling": ("methods", "no_op", 'base = "finetune"'),
        "the control": ("methods", "retrain_third", 'base = "finetune"'),
        "another method": ("methods", "scrub", 'base = "finetune"'),
        "no attack": ("attacks", "none", 'base = "pgd"'),
        "another attack": ("attacks", "pgd", 'base = "apgd"'),
        "another kind": ("forget_sets", "class", 'kind = "random"\nfraction = 0.1'),
    }.items()
} | {
    name: (before(f'[methods."{name}"]\nbase = "finetune"'), f"methods.{name}: expected another name")
    for name in ("none", "retrained", "(mean)")
}
EXCLUSIONS = {
    "an empty rule": (before("[[exclude]]"), "exclude[0]: expected axis = value"),
    "an empty list": (before("[[exclude]]\nmethod = []"), "exclude[0].method: expected a value or a list"),
    "a list that is empty beside others": (
        before('[[exclude]]\nmethod = "finetune"\nseed = []'),
        "exclude[0].seed: expected a value",
    ),
    "a seed in quotes": (before('[[exclude]]\nseed = "0"'), "exclude[0].seed: expected int, got '0'"),
    "a number as a method": (before("[[exclude]]\nmethod = [1]"), "exclude[0].method: expected str, got 1"),
    "a misspelt scope": (
        before('[[exclude]]\nscope = "haed"'),
        "exclude[0].scope: no layer scope 'haed'. Did you",
    ),
    "a misspelt attack": (
        before('[[exclude]]\nattack = "fgms"'),
        "exclude: no attack 'fgms'. Did you mean 'fgsm'?",
    ),
}
CLASSES = {
    "autoattack on three": (
        {ATTACKS: '"autoattack", ', **NO_FGSM},
        "axes.attack: 'autoattack': AutoAttack: needs at least 4 classes, got 3; use apgd",
    ),
    "a ratio of logits on two": (
        {ATTACKS: '"apgd:loss=dlr", ', "num_classes = 3": "num_classes = 2", **NO_FGSM},
        "APGD: needs at least 3 classes, got 2",
    ),
}
PATHS = {
    "no path": (
        {SYNTHETIC_DATA: 'name = "image_folder"\noptions = { root = "" }\n'},
        "data.options.root: expected text, got ''",
    ),
    "a long path": (
        {SYNTHETIC_DATA: f'name = "npz"\noptions = {{ path = "{"a" * 300}" }}\n'},
        f"data.options: {'a' * 300}: File name too long",
    ),
    "a long list": ({FORGET: f'["file:path={"a" * 300}.csv"]'}, "File name too long"),
    "long weights": ({TIMM: f'{TIMM}\nweights = "{"a" * 300}.safetensors"'}, "File name too long"),
    "long scores": (before(f'scores = "{"a" * 300}.npz"'), "File name too long"),
}
REFUSED = {**NUMBERS, **NAMES, **ROLES, **EXCLUSIONS, **CLASSES, **PATHS}


def planned(folder: Path, changes: dict[str, str]) -> Plan:
    (folder / "audit.toml").write_text(changed(changes))
    return make_plan(load(str(folder / "audit.toml")))


@pytest.mark.parametrize(("changes", "told"), REFUSED.values(), ids=REFUSED)
def test_a_value_that_no_audit_can_have_is_refused_by_its_key(changes, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AuditError) as caught:
        planned(tmp_path, changes)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("metric", "told"),
    [
        ("avergae_gap", "tuning.metric: no metric 'avergae_gap'. Did you mean 'average_gap'?"),
        ("auc", "tuning.metric: no metric 'auc'"),  # no attack of the search reports it
        ("accuracy:tset", "tuning.metric: no split 'tset'. Did you mean 'test'?"),
    ],
)
def test_what_no_trial_would_have_is_refused_before_any_is_run(metric, told, tmp_path):
    plan = planned(tmp_path, before(f'[tuning]\ntrials = 2\nmetric = "{metric}"'))
    with pytest.raises(AuditError) as caught:
        plan_search(plan)
    assert told in str(caught.value)


def test_a_metric_with_its_split_is_tuned_for(tmp_path):
    plan = planned(tmp_path, before('[tuning]\ntrials = 2\nmetric = "accuracy:retain"'))
    assert plan_search(plan).metric == "accuracy:retain"


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        ("tiny", "tiny-2026"),
        ("my audit", "my-audit-2026"),
        ("Prüfung", "Prufung-2026"),
        ("../x", "x-2026"),
        ("a/b: c", "a-b-c-2026"),
        (".hidden", "hidden-2026"),
        ("監査", "audit-2026"),
        ("n" * 200, "n" * 80 + "-2026"),
    ],
)
def test_a_run_is_called_by_what_of_a_name_may_name_a_file(name, begins, tmp_path):
    plan = planned(tmp_path, {NAME: f'name = "{name}"'})
    found = run_identity(plan.config, datetime(2026, 11, 30, tzinfo=UTC), 1)
    assert found.startswith(begins)
    assert safe_name("runs", found) == found
    assert plan.config.name == name


def test_names_of_audits_differ_where_their_plain_forms_do_not():
    now = datetime(2026, 11, 30, tzinfo=UTC)
    one, other = (SweepConfig(name=name, axes=load("quick").axes) for name in ("audit 1", "audit-1"))
    assert run_identity(one, now, 1) != run_identity(other, now, 1)


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ('scope = "last-1"', "exclude[0].scope: 'last-1' takes nothing out: axes.scope holds all, head"),
        ("seed = [0, 7]\nmethod = 'finetune'", "exclude[0].seed: 7 takes nothing out: axes.seed holds 0"),
        ('architecture = "resnet*"', "exclude[0].architecture: 'resnet*' takes nothing out"),
        ('method = "scrub"', "exclude[0].method: 'scrub' takes nothing out"),
    ],
)
def test_a_rule_that_takes_nothing_out_is_said(rule, told, tmp_path):
    found = [n for n in planned(tmp_path, before(f"[[exclude]]\n{rule}")).notes if n.startswith("exclude")]
    assert len(found) == 1
    assert found[0].startswith(told)


def test_rules_that_take_something_out_are_not_spoken_of(tmp_path):
    plan = planned(tmp_path, before('[[exclude]]\nmethod = ["fine*"]\nscope = "head"'))
    assert not any(note.startswith("exclude") for note in plan.notes)
    assert {c.scope for c in plan.cells if c.method == "finetune"} == {"all"}


def test_classes_that_nothing_is_trained_on_are_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    labels = np.arange(60) % 3 + 1
    np.savez("a.npz", images=np.zeros((60, 1, 8, 8), np.uint8), labels=labels)
    data = {SYNTHETIC_DATA: 'name = "npz"\noptions = { path = "a.npz" }\n'}
    (told,) = [note for note in planned(tmp_path, data).notes if note.startswith("data:")]
    assert told.startswith(
        "data: 1 of 4 classes have no training example (0); models have an output for each"
    )
    np.savez("a.npz", images=np.zeros((60, 1, 8, 8), np.uint8), labels=labels - 1)
    assert not [note for note in planned(tmp_path, data).notes if note.startswith("data:")]


def test_images_of_one_class_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("a.npz", images=np.zeros((60, 1, 8, 8), np.uint8), labels=np.zeros(60, int))
    with pytest.raises(AuditError, match=r"^data: expected two classes or more, got 1"):
        planned(tmp_path, {SYNTHETIC_DATA: 'name = "npz"\noptions = { path = "a.npz" }\n'})


@pytest.mark.parametrize("backend", ["local", "cluster"])
def test_ray_without_docstrings_is_refused_before_any_work(backend, tmp_path, monkeypatch):
    """`python -OO` takes docstrings away, and Ray cannot be imported without its own."""
    (tmp_path / "audit.toml").write_text(changed({'backend = "inline"': f'backend = "{backend}"'}))
    config = load(str(tmp_path / "audit.toml"))
    flags = {name: getattr(sys.flags, name) for name in dir(sys.flags) if name[0] != "_"}
    monkeypatch.setattr(sys, "flags", SimpleNamespace(**(flags | {"optimize": 2})))
    with pytest.raises(
        AuditError, match=r"^execution\.backend: Ray cannot be imported .*take --backend inline"
    ):
        request.planned(config)
    inline = replace(config, execution=replace(config.execution, backend="inline"))
    assert request.planned(inline).cells


@pytest.mark.parametrize("name", ["resnet18.a1_in1k", "vit_base_patch16_224_in21k", "lambda_resnet26t"])
def test_names_of_timm_with_tags_and_of_former_days_are_known(name, tmp_path):
    assert planned(tmp_path, {f"{TIMM}\n{OPTIONS}": f'timm = "{name}"'}).cells
