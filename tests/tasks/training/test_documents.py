"""Documents on the device: batches as wide as their longest document, scores without logits, gradients by example."""

import dataclasses

import numpy as np
import pytest
import torch

from tasks.contracts.small_text import (
    RECIPE,
    SOURCE,
    small_documents,
    small_language_model,
    small_language_original,
    training_ids,
)
from tasks.errors import AuditError, Diverged
from tasks.objectives.language import NOTHING
from tasks.runtime import weights
from tasks.runtime.devices import Engine
from tasks.text.words import VOCABULARY
from tasks.training import documents
from tasks.training.gradients import gradients_by_example, mean_squared_gradients, summed_gradient
from tasks.training.lockstep import train_shadows
from tasks.training.resident import batch_lengths, concatenate, images_of
from tasks.training.scoring import score
from tasks.training.strategy_text import Strategy
from tasks.training.train import train

FOUND = SOURCE.read_inputs()
IDS = np.array([5, 0, 17, 3, 8, 30, 2])


def test_a_batch_is_as_wide_as_its_longest_document_and_says_what_follows_each_token():
    subset = small_documents().subset(IDS)
    for batch in subset.batches(3, generator=torch.Generator().manual_seed(0)):
        own = [FOUND.ids(int(i)) for i in batch.ids]
        assert batch.inputs.shape == batch.targets.shape == (len(own), max(map(len, own)) - 1)
        assert (batch.inputs.dtype, batch.targets.dtype) == (torch.int64, torch.int64)
        for row, ids in enumerate(own):
            assert batch.inputs[row, : len(ids) - 1].tolist() == ids[:-1]
            assert batch.targets[row].tolist() == ids[1:] + [NOTHING] * (
                batch.targets.shape[1] - len(ids) + 1
            )


def shuffled_ids(seed, batch_size=4):
    """Ids of the batches of one shuffled pass over all documents."""
    everything = small_documents().subset(np.arange(len(FOUND)))
    generator = torch.Generator().manual_seed(seed)
    return [batch.ids.tolist() for batch in everything.batches(batch_size, generator=generator)]


def test_a_shuffled_pass_holds_each_document_once_and_fills_up_little(monkeypatch):
    found = shuffled_ids(0)
    assert sorted(i for own in found for i in own) == list(range(len(FOUND)))
    assert sorted(map(len, found)) == sorted(batch_lengths(len(FOUND), 4))
    assert found == shuffled_ids(0) != shuffled_ids(1)
    filled = [sum(FOUND.lengths[own].max() * len(own) for own in shuffled_ids(seed)) for seed in range(5)]
    monkeypatch.setattr(documents, "POOLED", 1)
    at_random = [sum(FOUND.lengths[own].max() * len(own) for own in shuffled_ids(seed)) for seed in range(5)]
    assert sum(filled) < 0.85 * sum(at_random)


def test_batches_by_length_are_still_exchangeable():
    """Neither the place of a batch in the pass nor how many documents it has tells their length."""
    first, short, every = [], [], FOUND.lengths.mean()
    for seed in range(200):
        found = shuffled_ids(seed, batch_size=len(FOUND) // 5)  # and a short one
        first.append(FOUND.lengths[found[0]].mean())
        (few,) = (own for own in found if len(own) == min(map(len, found)))
        short.append(FOUND.lengths[few].mean())
    for means in (first, short):
        assert abs(np.mean(means) - every) < 4 * np.std(means) / np.sqrt(len(means))
        assert np.std(means) > FOUND.lengths.std() / 3


def test_a_plan_knows_how_much_is_held_at_most():
    held, labels = small_documents(), SOURCE.read_labels()
    as_wide_as_the_longest_may_be = labels.longest / held.tokens.shape[1]
    flags = held.asked.nbytes + len(labels.labels)  # the plan counts one for the first token too
    expected = (held.tokens.nbytes + flags) * as_wide_as_the_longest_may_be
    assert labels.example_bytes == pytest.approx(expected)


def test_what_is_not_asked_for_is_no_target():
    prompted = dataclasses.replace(FOUND, asked=FOUND.asked.copy())
    prompted.asked[:, :4] = False
    data = documents.ResidentDocuments.put(prompted, len(VOCABULARY), torch.device("cpu"))
    (batch,) = data.subset(IDS).batches(100)
    assert bool((batch.targets[:, :3] == NOTHING).all())
    assert bool((batch.targets[:, 3] != NOTHING).all())


def test_a_selection_keeps_its_targets_when_it_is_cut_and_joined():
    data = small_documents()
    subset = data.subset(IDS)
    drawn = data.objective.relabel(subset.targets, torch.Generator().manual_seed(1))
    joined = concatenate(subset.with_targets(drawn), data.subset(np.array([1])))
    batch = joined.batch(torch.tensor([7, 2]))
    assert batch.ids.tolist() == [1, 17]
    assert batch.targets[1].tolist() == drawn[2, : batch.targets.shape[1]].tolist()


def test_scores_are_the_models_whatever_the_batch(monkeypatch):
    model, subset = small_language_original(), small_documents().subset(IDS)
    scored = score(model, subset)
    most = 3 * len(VOCABULARY) * 20
    monkeypatch.setattr(documents, "MOST_ON_CPU", most)
    shapes = []
    model.register_forward_pre_hook(lambda _, inputs: shapes.append(tuple(inputs[0].shape)))
    again = score(model, subset, batch_size=4)
    assert sum(count for count, _ in shapes) == len(IDS)
    assert len(shapes) > 2
    assert all(count == 1 or count * width * len(VOCABULARY) <= most for count, width in shapes)
    assert max(count for count, _ in shapes) <= 4
    widths = [width for _, width in shapes]
    assert widths == sorted(widths)
    assert again.ids.tolist() == IDS.tolist()
    assert not again.keeps_logits
    assert again.finite
    for i, example in enumerate(IDS):
        ids = torch.tensor(FOUND.ids(example))
        with torch.no_grad():
            logs = model(ids[None, :-1])[0].log_softmax(-1)
        expected = -float(logs.gather(-1, ids[1:, None]).mean())
        assert scored.loss[i] == pytest.approx(expected, rel=1e-5)
        assert again.loss[i] == pytest.approx(expected, rel=1e-5)
    assert np.array_equal(scored.at(IDS[[2, 0]]).statistics["tokens"], FOUND.lengths[IDS[[2, 0]]] - 1)


def test_a_model_that_answers_no_number_is_not_finite():
    model = small_language_original()
    with torch.no_grad():
        model.norm.bias[0] = torch.nan
    assert not score(model, small_documents().subset(IDS)).finite


def test_gradients_by_document_add_up():
    model, subset = small_language_original(), small_documents().subset(IDS)
    names = ["stem.tokens.weight", "blocks.0.qkv.weight", "head.weight"]
    parts = list(gradients_by_example(model, subset, names, chunk=3))
    summed = summed_gradient(model, subset)
    for name in names:
        each = torch.cat([part[name] for part in parts])
        assert len(each) == len(IDS)
        torch.testing.assert_close(each.sum(0), summed[name], rtol=1e-3, atol=1e-5)
    squared = mean_squared_gradients(model, subset)
    assert bool((squared["head.weight"] > 0).any())


def test_training_repeats_itself_and_shadow_models_are_trained_one_by_one():
    subset = small_documents().subset(training_ids()[:16])
    recipe, engine = dataclasses.replace(RECIPE, epochs=1), Engine(device="cpu")
    models = [small_language_model(("same",)) for _ in range(3)]
    train(models[0], subset, recipe, seed_path=("a",), engine=engine)
    reports = train_shadows(
        models[1:],
        [subset, subset],
        recipe,
        seed_paths=[("a",), ("b",)],
        engine=engine,
        strategy=Strategy.parse("grouped:2"),
    )
    assert [report.fallback for report in reports] == ["expected images, got documents"] * 2
    first, second, third = map(weights.dump, models)
    assert first == second != third


def test_a_loss_that_is_no_number_ends_a_training():
    subset = small_documents().subset(training_ids()[:16])
    recipe = dataclasses.replace(RECIPE, epochs=1, lr=1e30)
    with pytest.raises(Diverged, match="non-finite loss or weight in epoch 1"):
        train(small_language_model(("same",)), subset, recipe, seed_path=("a",), engine=Engine(device="cpu"))


def test_documents_that_somebody_wrote_into_are_put_right():
    data = small_documents().made_by(small_documents)
    told = pytest.raises(AuditError, match="method 'x' wrote into the documents that all stages share")
    with told, data.unchanged(by="method 'x'"):
        data.tokens[0, 1] = 7
    assert data.tokens[0].tolist() == FOUND.tokens[0].tolist()
    with data.unchanged(by="method 'x'"):
        data.subset(IDS)


def test_documents_are_no_images():
    with pytest.raises(AuditError, match="expected images, got documents"):
        images_of(small_documents())
    assert small_documents().augmentation("none") is None
    with pytest.raises(
        AuditError, match="augmentation: expected none, as the examples are documents, got 'shift'"
    ):
        small_documents().augmentation("shift")
