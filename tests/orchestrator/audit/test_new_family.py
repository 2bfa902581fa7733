"""A plug-in adds a family of attacks with a metric of its own, without an edit of Lethe; and attacks that overstep."""

import pytest

from orchestrator.store.store import Store
from tests.support.commands import ROOT
from tests.support.sweeps import changed, started_sweep

PLUGIN = '''
from dataclasses import dataclass
from typing import ClassVar

import torch

from tasks.attacks.base import Attack, Measurement, register
from tasks.metrics.base import Metric, MetricValue
from tasks.metrics.utility import ACCURACY, proportion
from tasks.training.scoring import score

QUANTISED = Metric(
    name="quantised_forget_accuracy",
    about="share of right answers on the forget set once weights are rounded",
    low=0,
    high=1,
    kind="forgetting",
    higher_is="closer_to_retrained",
    error="binomial",
    margin=0.02,
    margin_because="two answers in a hundred",
)

@register("quantise")
@dataclass(frozen=True, kw_only=True)
class Quantise(Attack):
    """Round the weights: what unlearning moved a little comes back."""

    family: ClassVar[str] = "quantisation"
    needs: ClassVar[frozenset] = frozenset({"copy"})
    metrics: ClassVar[tuple] = (QUANTISED,)
    bits: int = 8
    """Of each weight."""

    def measure(self, view):
        model, levels = view.copy(), 2 ** (self.bits - 1) - 1
        with torch.no_grad():
            for weights in model.parameters():
                step = weights.abs().max().clamp(min=1e-12) / levels
                weights.copy_((weights / step).round() * step)
        found = score(model, view.subset("forget"))
        block = {"split": ["forget"] * len(found), "example_id": found.ids, "correct": found.correct}
        return Measurement(metrics=[proportion(QUANTISED, "forget", found.correct)], examples=[block])

class Oversteps(Attack):
    family: ClassVar[str] = "offences"
    needs: ClassVar[frozenset] = frozenset({"gradients"})
    metrics: ClassVar[tuple] = (ACCURACY,)

@register("greedy")
@dataclass(frozen=True, kw_only=True)
class Greedy(Oversteps):
    def measure(self, view):
        return Measurement(metrics=[proportion(ACCURACY, "test", view.outputs()["test"].correct)])

@register("stray")
@dataclass(frozen=True, kw_only=True)
class Stray(Oversteps):
    def measure(self, view):
        return Measurement(metrics=[proportion(QUANTISED, "test", view.subset("test").targets.numpy() == 0)])

@register("vandal")
@dataclass(frozen=True, kw_only=True)
class Vandal(Oversteps):
    def measure(self, view):
        with view.differentiable() as model, torch.no_grad():
            for weights in model.parameters():
                weights.zero_()
        return Measurement(metrics=[])

@register("writer")
@dataclass(frozen=True, kw_only=True)
class Writer(Oversteps):
    needs: ClassVar[frozenset] = frozenset({"shadows"})

    def measure(self, view):
        return Measurement(metrics=[])
'''
TOLD = {
    "greedy": "attack 'greedy' asks for outputs without declaring that it needs 'outputs'; add it to Greedy.needs",
    "stray": "attack 'stray' reports 'quantised_forget_accuracy', which Stray.metrics does not declare; add it there",
    "vandal": "attack 'vandal' changed the model that it measures (weights, modes, gradient switches or hooks); "
    "expected it untouched: work on view.copy()",
    "writer": "attack 'writer' needs 'shadows', which its subject (model) does not offer; "
    "expected copy, generation, gradients, outputs",
}


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """The store of a sweep with one good and four bad attacks between two of Lethe's."""
    folder = tmp_path_factory.mktemp("family")
    (folder / "attacks_of_mine.py").write_text(PLUGIN)
    names = ["none", *TOLD, "quantise:bits=8", "quantise:bits=2", "fgsm"]
    text = changed(
        {
            'name = "tiny"': 'name = "tiny"\nplugins = ["attacks_of_mine"]',
            '["none", "fgsm", "population"]': "[" + ", ".join(f'"{name}"' for name in names) + "]",
            '["all", "head"]': '["all"]',
            '["finetune", "gradient_ascent"]': '["finetune"]',
        }
    )
    (folder / "audit.toml").write_text(text)
    out = folder / "results"
    ran = started_sweep(folder / "audit.toml", "--out", out, report=True, PYTHONPATH=f"{folder}:{ROOT}")
    assert ran.returncode == 1, ran.stderr
    assert "Traceback" not in ran.stderr
    return Store(str(out))


@pytest.fixture(scope="module")
def cells(swept):
    return swept.read("cells").to_pylist()


def rows_of(swept, cells, attack, method, table="metrics"):
    (found,) = [c["cell_id"] for c in cells if (c["attack"], c["method"]) == (attack, method)]
    return [row for row in swept.read(table).to_pylist() if row["cell_id"] == found]


def test_a_new_family_is_one_file(swept, cells):
    for method in ("finetune", "retrain", "no_op"):
        (fine,) = rows_of(swept, cells, "quantise:bits=8", method)
        (coarse,) = rows_of(swept, cells, "quantise:bits=2", method)
        assert fine["metric"] == coarse["metric"] == "quantised_forget_accuracy"
        assert fine["higher_is"] == "closer_to_retrained"
        assert fine["n"] == 22
        answers = rows_of(swept, cells, "quantise:bits=8", method, "examples")
        assert sum(row["correct"] for row in answers) == round(22 * fine["value"])
    families = {c["attack"]: c["attack_family"] for c in cells}
    assert families["quantise:bits=8"] == "quantisation"
    assert not any(c["error"] for c in cells if c["attack"].startswith("quantise"))


@pytest.mark.parametrize("attack", TOLD)
def test_an_attack_that_oversteps_is_a_failed_row_of_one_line(cells, attack):
    found = {(c["status"], c["error_type"], c["error"]) for c in cells if c["attack"] == attack}
    assert found == {("failed", "AuditError", TOLD[attack])}


def test_what_is_measured_after_an_edited_model_is_as_if_it_had_not_been(swept, cells):
    """The vandal zeroed all weights between `none` and `fgsm`, whose accuracy at radius 0 is the plain one."""
    for method in ("finetune", "retrain", "no_op"):
        plain, attacked = (rows_of(swept, cells, attack, method) for attack in ("none", "fgsm"))
        before = {r["split"]: r["value"] for r in plain if r["metric"] == "accuracy" and r["label"] is None}
        clean = [r for r in attacked if r["metric"] == "robust_accuracy" and r["param"] == 0]
        after = {r["split"]: r["value"] for r in clean if r["label"] is None}
        assert after == {split: before[split] for split in ("forget", "retain", "test")}
