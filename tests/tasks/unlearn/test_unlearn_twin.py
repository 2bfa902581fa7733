"""Twin machine unlearning: features, the classifier, the twin problem, the relabelling."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors

from tasks.errors import AuditError
from tasks.unlearn.base import methods
from tasks.unlearn.parts.twin_problem import (
    fit_binary_classifier,
    flip_radius,
    neighbour_distance,
    scale_features,
)
from tasks.unlearn.run import unlearn
from tasks.unlearn.twin import Twin
from tests.support.tiny_unlearning import NUM_CLASSES, changed, tiny_run

SHORT = Twin(epochs=1, twin_epochs=1, curriculum_epochs=1, classifier_epochs=20)


def test_neighbour_distance_is_that_of_scikit_learn():
    generator = np.random.default_rng(0)
    x, y = generator.standard_normal((20, 5)), generator.integers(0, 3, 20)
    refs, ref_y = generator.standard_normal((50, 5)), generator.integers(0, 3, 50)
    found = neighbour_distance(*(torch.from_numpy(a) for a in (x, y, refs, ref_y)), k=5)
    for i in range(20):
        nearest = NearestNeighbors(n_neighbors=5).fit(refs[ref_y == y[i]])
        assert float(found[i]) == pytest.approx(nearest.kneighbors(x[i : i + 1])[0].mean(), rel=1e-6)


def test_neighbours_of_an_absent_class_are_those_of_all_classes():
    x, refs = torch.zeros(1, 2), torch.tensor([[3.0, 4.0], [0.0, 1.0]])
    alone = neighbour_distance(x, torch.tensor([2]), refs, torch.tensor([0, 1]), k=5)
    assert float(alone) == pytest.approx(3.0)
    few = neighbour_distance(x, torch.tensor([0]), refs, torch.tensor([0, 1]), k=5)
    assert float(few) == pytest.approx(5.0)


def test_flip_radius_is_the_first_radius_of_an_independent_attack():
    run = tiny_run()
    eps, steps = 0.4, 8
    found = flip_radius(run, run.original, run.forget, eps=eps, steps=steps)
    for row in range(len(run.forget)):
        image = run.forget.data.inputs(run.forget.ids[row : row + 1])
        label = run.forget.targets[row : row + 1]
        expected = eps * (steps + 1) / steps
        for step in range(steps + 1):
            image.requires_grad_(True)
            z = run.original(image)
            if int(z.argmax()) != int(label):
                expected = eps * step / steps
                break
            loss = torch.nn.functional.cross_entropy(z, label)
            image = (image + eps / steps * torch.autograd.grad(loss, image)[0].sign()).detach().clamp(0, 1)
        assert float(found[row]) == pytest.approx(expected, abs=1e-6)
    assert len(found.unique()) > 1


def test_scaling_clips_outliers_and_uses_the_fitted_range():
    fitted = torch.cat([torch.linspace(0, 1, 101), torch.tensor([1000.0])])[:, None].repeat(1, 2)
    fitted[:, 1] = 7.0
    first, second = scale_features(fitted, torch.tensor([[-5.0, 7.0], [1e6, 9.0]]))
    assert float(first[-1, 0]) == 1.0
    assert float(first[100, 0]) < 1.0
    assert float(first[50, 0]) == pytest.approx(0.5 / (0.7575 + 1.5 * 0.505), rel=1e-3)
    assert torch.all(first[:, 1] == 0)
    assert second.tolist() == [[0.0, 0.0], [1.0, 0.0]]
    apart, _ = scale_features(torch.tensor([[10.0], [12.0], [14.0]]), torch.zeros(1, 1))
    assert apart.flatten().tolist() == [0.0, 0.5, 1.0]


def test_logistic_classifier_agrees_with_scikit_learn():
    generator = np.random.default_rng(1)
    x = generator.random((400, 3))
    y = generator.random(400) < 1 / (1 + np.exp(-(6 * x[:, 0] - 4 * x[:, 2])))
    predict = fit_binary_classifier(
        torch.from_numpy(x).float(), torch.from_numpy(y), hidden=0, lr=0.05, epochs=300, batch_size=128,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    ours = predict(torch.from_numpy(x).float()).numpy()
    theirs = LogisticRegression(C=1e6).fit(x, y).predict_proba(x)[:, 1]
    assert np.abs(ours - theirs).max() < 0.05


def test_hidden_layer_learns_what_a_line_cannot():
    x = torch.rand(400, 2, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] > 0.5) != (x[:, 1] > 0.5)
    accuracies = []
    for hidden in (0, 16):
        predict = fit_binary_classifier(
            x,
            y,
            hidden=hidden,
            lr=0.05,
            epochs=80,
            batch_size=64,
            generator=torch.Generator().manual_seed(0),
        )
        accuracies.append(float(((predict(x) >= 0.5) == y).float().mean()))
    assert accuracies[0] < 0.7
    assert accuracies[1] > 0.9


def test_the_twin_learns_the_validation_set_that_the_original_never_saw():
    run = tiny_run(noise=0.8)
    method = Twin(twin_epochs=40, twin_lr=5e-3)
    images = run.validation.data.inputs(run.validation.ids)
    with torch.no_grad():
        before = run.original(images).argmax(1) == run.validation.targets
    after = method._twin(run)(images).argmax(1) == run.validation.targets
    assert torch.equal(~before, method.twin_hard(run))
    assert bool(after.all())
    assert not bool(before.all())
    assert not changed(run)


def test_only_hard_examples_change_label_and_never_to_their_own():
    run = tiny_run()
    hard = torch.arange(12) % 2 == 0
    draws = []
    for seed in range(40):
        run.seed = seed
        labels = SHORT.relabel(run, hard)
        assert torch.equal(labels[~hard], run.forget.targets[~hard])
        assert not torch.any(labels[hard] == run.forget.targets[hard])
        draws.append((labels - run.forget.targets)[hard] % NUM_CLASSES)
    assert set(torch.cat(draws).tolist()) == {1, 2}
    run.seed = 0
    with_own = Twin(exclude_true=False).relabel(run, torch.ones(12, dtype=torch.bool))
    assert torch.any(with_own == run.forget.targets)


def test_easy_examples_keep_their_labels_and_hard_ones_are_forgotten(monkeypatch):
    hard = torch.arange(12) < 6
    monkeypatch.setattr(Twin, "predict_hard", lambda self, run: hard)
    run = tiny_run()
    unlearn(Twin(epochs=15, lr=0.05, batch_size=16), run)
    with torch.no_grad():
        right = run.model(run.forget.data.inputs(run.forget.ids)).argmax(1) == run.forget.targets
    assert float(right[~hard].float().mean()) > float(right[hard].float().mean()) + 0.3
    assert run.notes == {"hard_rate": 0.5}


def test_predictions_are_better_than_calling_everything_hard_or_easy():
    run = tiny_run(forget=24, noise=0.8)
    hard = Twin(twin_epochs=20, twin_lr=2e-3).predict_hard(run)
    assert hard.shape == (24,)
    assert run.notes["classifier_accuracy"] >= max(
        run.notes["twin_hard_rate"], 1 - run.notes["twin_hard_rate"]
    )


@pytest.mark.parametrize("scope", ["all", "head"])
def test_whole_method_is_deterministic_counts_its_cost_and_keeps_to_the_scope(scope):
    first, second = tiny_run(scope), tiny_run(scope)
    state = torch.random.get_rng_state()
    meter = unlearn(SHORT, first)
    unlearn(SHORT, second)
    assert torch.equal(state, torch.random.get_rng_state())
    a, b = first.model.state_dict(), second.model.state_dict()
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert scope == "all" or changed(first) == {"fc.weight", "fc.bias"}
    everything, steps = 96, SHORT.attack_steps + 1
    assert meter.samples == 60 + 2 * everything + steps * (36 + 12)
    assert set(first.notes) == {"hard_rate", "twin_hard_rate", "classifier_accuracy"}


def test_zero_epochs_change_nothing():
    run = tiny_run()
    unlearn(Twin(epochs=0, twin_epochs=1, curriculum_epochs=1, classifier_epochs=1), run)
    assert not changed(run)


@pytest.mark.parametrize(
    ("field", "value"), [("neighbours", 0), ("noise", -1.0), ("threshold", 2.0), ("epochs", -1)]
)
def test_bad_values_are_refused_by_name(field, value):
    with pytest.raises(AuditError, match=f"twin: {field}: expected"):
        methods.build("twin", {field: value}, where="twin")
