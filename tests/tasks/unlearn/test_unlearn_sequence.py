"""Rankings, the split into groups, and unlearning group after group."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tasks.errors import AuditError, UnknownName
from tasks.networks.scopes import bind
from tasks.training.resident import ResidentData, concatenate
from tasks.unlearn.base import Method, methods
from tasks.unlearn.parts.risk import (
    PROXIES,
    calibrated_loss,
    curvature,
    entanglement,
    holdout_kl,
    risk_scores,
    short_recipe,
    train_briefly,
)
from tasks.unlearn.run import UnlearningRun, unlearn
from tasks.unlearn.sequence import COMPUTED_RANKINGS, Rsu, Rum
from tests.support.tiny_unlearning import TinyNet, changed, tiny_run

RECIPE = short_recipe(2, 0.05)
SEEN: list[tuple[list[int], list[int], int, Any]] = []


@pytest.fixture
def recorder(monkeypatch):
    """A base method that writes down what each stage offers, and moves the head by one."""
    SEEN.clear()

    @dataclass(frozen=True, kw_only=True)
    class Recorder(Method):
        step: float = 1.0
        extra: dict = field(default_factory=dict)

        def __call__(self, run):
            original = run.original.fc.bias.detach().clone()
            SEEN.append((run.forget.ids.tolist(), run.retain.ids.tolist(), run.seed, original))
            with torch.no_grad():
                run.model.fc.bias += self.step
            run.loss(run.forget.batch(torch.arange(len(run.forget))))
            run.note("stage", len(SEEN))
            run.end_epoch()

    methods.names()
    monkeypatch.setitem(methods._entries, "recorder", Recorder)
    return Recorder


def test_every_proxy_is_listed_for_the_plan():
    assert tuple(sorted(PROXIES)) == COMPUTED_RANKINGS


def test_groups_follow_the_scores_and_each_stage_starts_where_the_last_ended(recorder):
    scores = np.zeros(96)
    scores[:12] = [5, 1, 9, 3, 11, 7, 0, 10, 2, 8, 4, 6]
    run = tiny_run(scores={"memorisation": scores})
    meter = unlearn(Rum(base_method="recorder", ranking="memorisation", groups=3), run)
    groups = [ids for ids, *_ in SEEN]
    assert groups == [[1, 3, 6, 8], [0, 5, 10, 11], [2, 4, 7, 9]]
    assert all(retain == list(range(12, 60)) for _, retain, _, _ in SEEN)
    starts = [bias for *_, bias in SEEN]
    for k, start in enumerate(starts):
        assert torch.allclose(start, run.original.fc.bias + k)
    assert len({seed for _, _, seed, _ in SEEN}) == 3
    assert meter.samples == 12
    assert run.notes == {"group0_stage": 1.0, "group1_stage": 2.0, "group2_stage": 3.0}


def test_reversed_order_takes_the_same_groups_backwards(recorder):
    run = tiny_run()
    unlearn(Rum(base_method="recorder", order="low_to_high"), run)
    unlearn(Rum(base_method="recorder", order="high_to_low"), tiny_run())
    groups = [ids for ids, *_ in SEEN]
    assert groups[:3] == groups[:2:-1]


def test_shuffled_control_partitions_the_same_examples_without_a_ranking(recorder):
    run = tiny_run()
    unlearn(Rum(base_method="recorder", order="shuffled", ranking="no such scores", groups=5), run)
    groups = [ids for ids, *_ in SEEN]
    assert sorted(len(g) for g in groups) == [2, 2, 2, 3, 3]
    assert sorted(i for group in groups for i in group) == list(range(12))
    assert groups != [sorted(g) for g in np.array_split(np.arange(12), 5)]


def test_ties_go_by_example_id(recorder):
    run = tiny_run(scores={"constant": np.ones(96)})
    unlearn(Rum(base_method="recorder", ranking="constant", groups=2), run)
    assert [ids for ids, *_ in SEEN] == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]


def test_more_groups_than_examples_leaves_the_empty_ones_out(recorder):
    unlearn(Rum(base_method="recorder", groups=5), tiny_run(forget=3))
    assert [len(ids) for ids, *_ in SEEN] == [1, 1, 1]


def test_each_group_may_have_its_own_method(recorder):
    run = tiny_run()
    method = Rum(
        group_methods=("no_op", "recorder", "recorder"), group_params={"recorder": {"step": 2.0}}, groups=3
    )
    unlearn(method, run)
    assert len(SEEN) == 2
    assert torch.allclose(run.model.fc.bias, run.original.fc.bias + 4)


def test_epochs_are_counted_over_all_groups(recorder):
    epochs = []
    run = tiny_run(on_epoch=lambda epoch, model: epochs.append((epoch, model.training)))
    unlearn(Rum(base_method="recorder", groups=3), run)
    assert epochs == [(1, False), (2, False), (3, False)]


def test_one_group_of_a_deterministic_method_is_that_method():
    first, second = tiny_run(), tiny_run()
    unlearn(Rum(base_method="not", base_params={"epochs": 0}, groups=1), first)
    unlearn(methods.build("not", {"epochs": 0}, where="not"), second)
    states = first.model.state_dict(), second.model.state_dict()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("scope", ["all", "head"])
@pytest.mark.parametrize(
    "method", [Rum(base_params={"epochs": 1}), Rsu(base_method="gradient_ascent", proxy_epochs=1)]
)
def test_equal_seeds_give_equal_weights_inside_the_scope(method, scope):
    runs = [tiny_run(scope, seed=seed) for seed in (0, 0, 1, 2, 3)]
    for run in runs:
        unlearn(method, run)
    first, second, *others = (torch.cat([v.flatten() for v in r.model.state_dict().values()]) for r in runs)
    assert torch.equal(first, second)
    # two seeds may put the same examples in the same groups
    assert not all(torch.equal(first, other) for other in others)
    assert scope == "all" or changed(runs[0]) == {"fc.weight", "fc.bias"}


def test_scores_that_must_be_stored_are_named_for_the_plan():
    assert Rum().needs_scores == ()
    assert Rsu(ranking="privacy_risk").needs_scores == ("privacy_risk",)
    assert Rum(ranking="memorisation", order="shuffled").needs_scores == ()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"base_method": "rsu"}, "base_method: expected a method that changes an original model, got 'rsu'"),
        (
            {"base_method": "retrain"},
            "base_method: expected a method that changes an original model, got 'retrain'",
        ),
        ({"base_params": {"learning_rate": 1}}, "base_params: no key 'learning_rate'"),
        ({"group_methods": ["no_op"]}, "group_methods: expected one method for each of 3 groups, got 1"),
        ({"group_params": {"scrub": {}}}, "group_params.scrub: expected a method of group_methods"),
        ({"groups": 0}, "groups: expected at least 1, got 0"),
    ],
)
def test_bad_values_are_refused_before_any_work(params, message):
    with pytest.raises(AuditError, match=message):
        methods.build("rum", params, where="methods.rum")


def test_a_misspelt_base_names_the_nearest():
    with pytest.raises(UnknownName, match="Did you mean 'random_labels'"):
        Rum(base_method="random_label")


def test_missing_and_broken_scores_are_refused_by_name():
    run = tiny_run(scores={"broken": np.full(96, np.nan)})
    with pytest.raises(
        AuditError, match=r"ranking: no scores 'memorisation' for this run\. Valid: broken, cal"
    ):
        risk_scores(run, "memorisation", RECIPE)
    with pytest.raises(AuditError, match="'broken' are not finite"):
        risk_scores(run, "broken", RECIPE)


@pytest.mark.parametrize("name", sorted(PROXIES))
def test_proxies_are_deterministic_leave_the_model_alone_and_are_counted(name):
    run = tiny_run()
    first = risk_scores(run, name, RECIPE)
    touched = run.meter.samples + run.meter.forward_samples
    assert touched >= len(run.forget)
    assert first.shape == (12,)
    assert np.array_equal(first, risk_scores(run, name, RECIPE))
    assert not changed(run)
    assert np.unique(first).size > 1 or name == "learning_events"


@pytest.mark.parametrize("name", ["confidence", "curvature", "holdout_kl", "calibrated_loss"])
def test_mislabelled_examples_rank_as_memorised(name):
    run = tiny_run(epochs=25)
    odd = torch.arange(12) % 4 == 0
    labels = torch.where(odd, (run.forget.targets + 1) % 3, run.forget.targets)
    forget = run.forget.with_targets(labels)
    trained = _fit_on(run, forget)
    scores = risk_scores(trained, name, short_recipe(30, 0.05))
    assert scores[odd.numpy()].mean() > scores[~odd.numpy()].mean()


def _fit_on(run, forget):
    """The run of a model that was trained until it knows the wrong labels by heart."""
    model = train_briefly(run, TinyNet(("m",)), concatenate(forget, run.retain), short_recipe(120, 0.05), "x")
    return UnlearningRun(
        model=model,
        scope=bind("all", model),
        forget=forget,
        retain=run.retain,
        validation=run.validation,
        seed=0,
        fresh_model=TinyNet,
    )


class Bowl(nn.Module):
    """Logits (q(x), 0) with a quadratic q of known Hessian, so the loss of class 1 has one in closed form."""

    def __init__(self, matrix: torch.Tensor) -> None:
        super().__init__()
        self.inner = nn.Bilinear(4, 4, 1, bias=False)
        self.head = nn.Identity()
        with torch.no_grad():
            self.inner.weight.copy_(matrix[None])

    def forward(self, images):
        x = images.flatten(1)
        q = self.inner(x, x)
        return torch.cat([q, torch.zeros_like(q)], dim=1)


def test_curvature_is_the_frobenius_norm_of_the_hessian():
    matrix = torch.diag(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    model = Bowl(matrix)
    images = np.full((1, 1, 2, 2), 0.3, dtype=np.float32)
    data = ResidentData.put(images, np.array([1]), 2, torch.device("cpu"))
    one, none = data.subset(np.array([0])), data.subset(np.arange(0))
    run = UnlearningRun(
        model=model, scope=bind("all", model), forget=one, retain=none, validation=none,
        seed=0, fresh_model=lambda _: Bowl(matrix),
    )  # fmt: skip
    x = data.inputs(one.ids)[0].double()

    def loss(v):
        q = v.flatten() @ matrix.double() @ v.flatten()
        return torch.nn.functional.softplus(q)  # cross-entropy of class 1

    hessian = torch.autograd.functional.hessian(loss, x).reshape(4, 4)
    estimate = float(curvature(run, RECIPE, draws=400, radius=1e-2))
    assert estimate == pytest.approx(float(hessian.square().sum()), rel=0.1)


def test_entanglement_is_the_distance_to_the_centroid_of_all_training_data():
    run = tiny_run()
    net = run.original
    with torch.no_grad():
        hidden = [
            torch.relu(net.conv2(torch.relu(net.bn1(net.conv1(s.data.inputs(s.ids)))))).flatten(1)
            for s in (run.forget, run.retain)
        ]
    expected = (hidden[0] - torch.cat(hidden).mean(0)).norm(dim=1)
    assert torch.allclose(entanglement(run, RECIPE), expected, atol=1e-5)


def test_calibrated_loss_and_divergence_vanish_where_the_reference_is_the_original(monkeypatch):
    run = tiny_run()
    monkeypatch.setattr("tasks.unlearn.parts.risk._reference", lambda run, _recipe: run.original)
    assert torch.all(calibrated_loss(run, RECIPE) == 0)
    assert torch.all(holdout_kl(run, RECIPE) == 0)
