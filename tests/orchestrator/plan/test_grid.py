"""The plan: cells, sharing, identity, selection, refusals."""

import subprocess
import sys

import pytest

from orchestrator.config.settings import load
from orchestrator.plan.cells import select
from orchestrator.plan.grid import make_plan
from orchestrator.plan.points import REFERENCES
from tasks.errors import AuditError
from tests.support.sweeps import changed, write_config


def plan_of(tmp_path, replacements=None, **overrides):
    path = tmp_path / "audit.toml"
    path.write_text(changed(replacements or {}))
    return make_plan(load(str(path), overrides))


def test_cells_and_distinct_models(tmp_path):
    plan = plan_of(tmp_path)
    # 3 attacks x (2 methods x 2 scopes + 3 references)
    assert len(plan.cells) == 3 * (2 * 2 + 3)
    kinds = [m.kind for m in plan.models.values()]
    assert kinds.count("original") == 1
    assert kinds.count("retrained") == 2
    assert kinds.count("unlearned") == 4
    assert {c.role for c in plan.cells if c.method in REFERENCES} == {"reference", "noise_floor", "ceiling"}


def test_every_cell_of_a_forget_set_shares_one_reference(tmp_path):
    plan = plan_of(tmp_path, {'["random:fraction=0.2"]': '["random:fraction=0.2", "class:label=1"]'})
    for forget_set in plan.data.forget_sets:
        assert len({c.reference.id for c in plan.cells if c.forget_set == forget_set}) == 1
    assert len({c.reference.id for c in plan.cells}) == 2
    assert len([m for m in plan.models.values() if m.kind == "original"]) == 1


@pytest.mark.parametrize(
    ("key", "value", "same"),
    [
        ("execution.backend", "local", True),
        ("execution.hosts", 3, True),
        ("execution.threads", 2, True),
        ("name", "other", True),
        ("execution.precision", "bf16", False),
        ("training.lr", 0.2, False),
        ("data.validation_fraction", 0.2, False),
        ("data.mean", [0.4], False),
        ("architectures.net.options.channels", [4, 4, 4, 8], False),
        ("axes.seed", [1], False),
    ],
)
def test_identity_follows_what_can_change_a_number(tmp_path, key, value, same):
    before = set(plan_of(tmp_path).models)
    after = set(plan_of(tmp_path, **{key: value}).models)
    assert (before == after) is same
    assert same or not before & after


def test_a_hyper_parameter_changes_only_its_method(tmp_path):
    before, after = plan_of(tmp_path), plan_of(tmp_path, **{"methods.finetune.lr": 0.5})
    changed_methods = {m.method for m in after.models.values() if m.model_id not in before.models}
    assert changed_methods == {"finetune"}


def test_attack_parameters_change_cells_but_no_model(tmp_path):
    before, after = plan_of(tmp_path), plan_of(tmp_path, **{"attacks.fgsm.eps": [0.1]})
    assert before.models.keys() == after.models.keys()
    different = {c.attack for c in after.cells} - {
        c.attack for c in after.cells if c.cell_id in {b.cell_id for b in before.cells}
    }
    assert different == {"fgsm"}


def test_a_named_variant_is_its_base_with_other_parameters(tmp_path):
    plan = plan_of(
        tmp_path,
        {
            '["finetune", "gradient_ascent"]': '["finetune", "long"]',
            "[attacks.fgsm]": "[methods.long]\nbase = 'finetune'\nepochs = 2\n[attacks.fgsm]",
        },
    )
    assert {m.method for m in plan.models.values() if m.kind == "unlearned"} == {"finetune", "long"}


def test_inline_parameters_equal_a_table(tmp_path):
    table = plan_of(tmp_path)
    inline = plan_of(tmp_path, **{"axes.method": ["finetune:epochs=1", "gradient_ascent"]})
    assert table.models.keys() == inline.models.keys()


def test_exclusions_spare_references(tmp_path):
    plan = plan_of(
        tmp_path,
        exclude=[{"method": "gradient_ascent", "scope": ["head"]}, {"attack": "fgsm", "scope": "head"}],
    )
    pairs = {(c.method, c.scope, c.attack) for c in plan.cells}
    assert ("gradient_ascent", "head", "none") not in pairs
    assert ("finetune", "head", "fgsm") not in pairs
    assert ("finetune", "head", "none") in pairs
    assert ("retrain", "all", "fgsm") in pairs


def test_excluding_every_audited_cell_is_refused(tmp_path):
    with pytest.raises(AuditError, match="every audited cell is excluded"):
        plan_of(tmp_path, exclude=[{"method": "*"}])


def test_selection_keeps_the_references_of_what_it_keeps(tmp_path):
    chosen = select(plan_of(tmp_path), "method=finetune,attack=fgsm", 0)
    assert {c.method for c in chosen.cells} == {"finetune", *REFERENCES}
    assert {c.attack for c in chosen.cells} == {"fgsm"}
    assert len([c for c in select(plan_of(tmp_path), "", 1).cells if c.role == "audited"]) == 1
    with pytest.raises(AuditError, match="no axis 'metod'"):
        select(plan_of(tmp_path), "metod=finetune", 0)
    with pytest.raises(AuditError, match=r"no method 'scrub'\. Valid: finetune, gradient_ascent"):
        select(plan_of(tmp_path), "method=scrub", 0)


@pytest.mark.parametrize(
    ("replacements", "message"),
    [
        (
            {'"gradient_ascent"]': '"gradient_acsent"]'},
            "no unlearning method 'gradient_acsent'. Did you mean 'gradient_ascent'?",
        ),
        ({'"fgsm", "population"]': '"fgms", "population"]'}, "no attack 'fgms'. Did you mean 'fgsm'?"),
        (
            {'["random:fraction=0.2"]': '["randm:fraction=0.2"]'},
            "no forget-set kind 'randm'. Did you mean 'random'?",
        ),
        (
            {'["random:fraction=0.2"]': '["random:fractoin=0.2"]'},
            "no key 'fractoin'. Did you mean 'fraction'?",
        ),
        ({'["random:fraction=0.2"]': '["random:count=0"]'}, "count"),
        ({'["random:fraction=0.2"]': '["random:count=100000"]'}, "100000"),
        ({'["random:fraction=0.2"]': '["class:label=9"]'}, "9"),
        ({'["all", "head"]': '["all", "hed"]'}, "head"),
        ({'["all", "head"]': '["all", "regex:("]'}, "regex"),
        (
            {'name = "synthetic"': 'name = "syntetic"'},
            "data.name: no data set 'syntetic'. Did you mean 'synthetic'?",
        ),
        ({'name = "synthetic"': 'name = "cifar10:root=nowhere"', "options = {": "#"}, "nowhere"),
        ({"eps = [0.05]": "eps = [-0.05]"}, "eps"),
        ({"[methods.finetune]\nepochs = 1": "[methods.finetune]\nepochs = -1"}, "epochs"),
    ],
)
def test_bad_names_and_values_are_refused_before_any_work(tmp_path, replacements, message):
    with pytest.raises(AuditError) as caught:
        plan_of(tmp_path, replacements)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_dry_run_prints_the_plan_without_torch_or_ray(tmp_path):
    path = write_config(tmp_path)
    program = (
        "import sys\n"
        "from orchestrator import sweep\n"
        f"sys.argv = ['sweep', {str(path)!r}, '--dry-run', '--out', {str(tmp_path / 'r')!r}]\n"
        "code = sweep.main()\n"
        "assert code == 0 and not {'torch', 'ray', 'timm'} & set(sys.modules)\n"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "cells       21 (3 reference, 3 noise floor, 3 ceiling, 12 audited)" in shown.stdout
    assert not (tmp_path / "r").exists()


def test_cells_of_attacks_that_need_more_forgotten_examples_are_left_out_and_said_so(tmp_path):
    one = '"random:count=1"'
    plan = plan_of(tmp_path, {'["random:fraction=0.2"]': f'["random:fraction=0.2", {one}]'})
    places = {(cell.forget_set, cell.attack) for cell in plan.cells}
    assert ("random:fraction=0.2", "population") in places
    assert {attack for forget_set, attack in places if forget_set == "random:count=1"} == {"none", "fgsm"}
    (note,) = [note for note in plan.notes if "random:count=1" in note]
    assert "has 1 of the 2 examples that attack 'population' needs; these cells are left out" in note


def test_labels_of_a_plan_cannot_be_written_into(tmp_path):
    with pytest.raises(ValueError, match="read-only"):
        plan_of(tmp_path).data.labels.labels[0] = 1
