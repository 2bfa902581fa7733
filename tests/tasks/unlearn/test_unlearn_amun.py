"""AMUN: nearest adversarial examples, and the mixture that is fitted."""

import numpy as np
import pytest
import torch
from torch import nn

from tasks.errors import AuditError
from tasks.networks.scopes import bind
from tasks.training.resident import ResidentData
from tasks.unlearn.amun import Amun
from tasks.unlearn.run import UnlearningRun, unlearn
from tests.support.tiny_unlearning import NUM_CLASSES, changed, tiny_run


class Linear(nn.Module):
    """A linear classifier of two classes: the nearest adversarial example has a closed form."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(16, 8)
        self.head = nn.Linear(8, 2)

    def forward(self, images):
        return self.head(self.layer(images.flatten(1)))


def linear_run():
    torch.manual_seed(0)
    model = Linear()
    images = np.full((20, 1, 4, 4), 0.5, dtype=np.float32)
    images += 0.05 * np.random.default_rng(0).standard_normal(images.shape).astype(np.float32)
    with torch.no_grad():
        labels = model(torch.from_numpy(images)).argmax(1).numpy()
    data = ResidentData.put(images, labels, 2, torch.device("cpu"))
    return UnlearningRun(
        model=model,
        scope=bind("all", model),
        forget=data.subset(np.arange(10)),
        retain=data.subset(np.arange(10, 20)),
        validation=data.subset(np.arange(0)),
        seed=0,
        fresh_model=lambda _: Linear(),
    )


def test_distance_to_a_linear_boundary_is_found_to_one_step():
    run = linear_run()
    found = Amun(attack_steps=50, first_eps=1e-3).adversarial_examples(run)
    assert found.ids.tolist() == list(range(10))
    with torch.no_grad():
        composed = run.original.head.weight @ run.original.layer.weight
        clean = run.forget.data.inputs(found.ids)
        z = run.original(clean)
    normal = composed[1] - composed[0]
    exact = (z[:, 1] - z[:, 0]).abs() / normal.norm()
    moved = (found.inputs - clean).flatten(1)
    lengths = moved.norm(dim=1)
    assert torch.all(lengths >= exact * (1 - 1e-4))
    assert torch.all(
        lengths <= 1.2 * exact + 1e-3
    )  # the last step is a tenth of a radius below twice the distance
    assert torch.all(torch.cosine_similarity(moved, normal[None]).abs() > 1 - 1e-4)


def test_labels_are_the_originals_own_mistakes():
    run = tiny_run()
    found = Amun(attack_steps=20).adversarial_examples(run)
    with torch.no_grad():
        predicted = run.original(found.inputs).argmax(1)
    assert len(found.ids) == len(run.forget)
    assert torch.equal(predicted, found.targets)
    assert not torch.any(found.targets == run.forget.targets[found.ids])
    assert float(found.inputs.min()) >= 0
    assert float(found.inputs.max()) <= 1


def test_an_example_that_is_already_wrong_is_its_own_adversarial_example():
    run = tiny_run()
    wrong = (run.forget.targets + 1) % NUM_CLASSES
    run.forget = run.forget.with_targets(wrong)
    with torch.no_grad():
        predicted = run.original(run.forget.data.inputs(run.forget.ids)).argmax(1)
    found = Amun(attack_steps=2, doublings=0, first_eps=1e-6).adversarial_examples(run)
    expected = torch.nonzero(predicted != wrong).squeeze(1)
    assert len(expected) > 0
    assert torch.equal(found.ids, expected)
    assert torch.equal(found.inputs, run.forget.data.inputs(found.ids))


def test_confidence_on_the_forget_set_falls_and_the_retain_set_stays():
    run = tiny_run()
    unlearn(Amun(epochs=6, lr=0.02, batch_size=16, attack_steps=20), run)
    before, after = (_confidence(m, run.forget) for m in (run.original, run.model))
    assert run.notes["adversarial_found"] == 1.0
    assert after < before
    assert _confidence(run.model, run.retain) > 0.7 * _confidence(run.original, run.retain)


@pytest.mark.parametrize(
    ("use_retain", "keep_forget", "true"),
    [(True, False, 48), (False, True, 12), (True, True, 60), (False, False, 0)],
)
def test_the_mixture_holds_what_its_switches_say(use_retain, keep_forget, true):
    run = tiny_run()
    method = Amun(use_retain=use_retain, keep_forget=keep_forget, attack_steps=10, batch_size=16)
    adversarial = method.adversarial_examples(run)
    batches = list(method._mixture(run, adversarial, 0))
    ids = torch.cat([b.ids for b in batches])
    assert len(ids) == true + len(adversarial.ids)
    kept = {
        i for s, used in ((run.retain, use_retain), (run.forget, keep_forget)) if used for i in s.ids.tolist()
    }
    assert set(ids.tolist()) == kept | set(adversarial.ids.tolist())
    assert all(len(b.inputs) == len(b.targets) == len(b.ids) for b in batches)


def test_given_up_examples_are_left_out_and_counted():
    run = tiny_run()
    unlearn(Amun(epochs=1, attack_steps=1, doublings=0, first_eps=1e-9), run)
    assert run.notes["adversarial_found"] < 1


def test_zero_epochs_change_nothing_and_the_scope_holds():
    run = tiny_run()
    unlearn(Amun(epochs=0, attack_steps=2, doublings=1), run)
    assert not changed(run)
    run = tiny_run("head")
    unlearn(Amun(epochs=1, attack_steps=10), run)
    assert changed(run) == {"fc.weight", "fc.bias"}


def test_bad_values_are_refused_by_name():
    with pytest.raises(AuditError, match="first_eps: expected a positive number, got 0"):
        Amun(first_eps=0)


def _confidence(model, subset):
    model.eval()
    with torch.no_grad():
        p = model(subset.data.inputs(subset.ids)).softmax(1)
    return float(p.gather(1, subset.targets[:, None]).mean())
