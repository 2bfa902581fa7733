from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import AuditError
from tasks.images.augment import Augmentation
from tasks.runtime.seeding import torch_generator
from tasks.training.resident import ResidentData, batch_lengths, concatenate


@pytest.fixture
def data():
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (20, 2, 4, 4), dtype=np.uint8)
    return ResidentData.put(images, np.arange(20) % 3, 3, torch.device("cpu"))


def test_bytes_become_pixels_in_the_unit_interval(data):
    batch = data.subset(np.array([3, 1])).batch(torch.tensor([1, 0]))
    assert batch.inputs.dtype == torch.float32
    torch.testing.assert_close(batch.inputs[0], data.images[1].float() / 255)
    assert batch.ids.tolist() == [1, 3]
    assert batch.targets.tolist() == [1, 0]
    assert data.images.dtype == torch.uint8
    assert data.nbytes == 20 * 2 * 16 + 20 * 8


def test_float_pixels_are_kept(data):
    images = np.random.default_rng(1).random((5, 1, 2, 2), dtype=np.float32)
    floats = ResidentData.put(images, np.zeros(5), 2, torch.device("cpu"))
    assert np.array_equal(floats.inputs(torch.tensor([4, 0])).numpy(), images[[4, 0]])
    assert floats.labels.dtype == torch.int64


def test_put_copies_the_host_arrays():
    images = np.zeros((2, 1, 2, 2), dtype=np.float32)
    data = ResidentData.put(images, np.zeros(2), 2, torch.device("cpu"))
    images += 1
    assert not data.images.any()


def test_changing_a_batch_leaves_the_resident_images_alone(data):
    floats = ResidentData(images=data.images.float() / 255, labels=data.labels, num_classes=3)
    before = floats.images.clone()
    next(floats.subset(np.arange(20)).batches(20)).inputs.zero_()
    assert torch.equal(floats.images, before)


def test_batches_keep_the_order_without_a_generator(data):
    subset = data.subset(np.array([5, 2, 9, 7, 0]))
    batches = list(subset.batches(2))
    assert [b.ids.tolist() for b in batches] == [[5, 2], [9, 7, 0]]


def test_a_shuffled_pass_is_a_permutation_and_repeats_with_its_generator(data):
    subset = data.subset(np.arange(20))
    passes = [
        torch.cat([b.ids for b in subset.batches(6, generator=torch_generator("order", seed))]).tolist()
        for seed in (0, 0, 1)
    ]
    assert passes[0] == passes[1] != passes[2]
    assert sorted(passes[0]) == list(range(20))


def test_augmentation_applies_to_shuffled_passes_only(data):
    subset = data.subset(np.arange(20))
    augmentation = Augmentation(padding=2, flip=True)
    plain = next(subset.batches(20, augmentation=augmentation))
    assert torch.equal(plain.inputs, data.inputs(subset.ids))
    shuffled = next(subset.batches(20, generator=torch_generator("a"), augmentation=augmentation))
    assert not torch.equal(shuffled.inputs, data.inputs(shuffled.ids))
    assert torch.equal(shuffled.targets, data.labels[shuffled.ids])


def test_other_targets_travel_with_their_examples(data):
    subset = data.subset(np.array([4, 8, 6])).with_targets(torch.tensor([2, 0, 1]))
    by_id = {
        int(i): int(y)
        for b in subset.batches(2, generator=torch_generator("x"))
        for i, y in zip(b.ids, b.targets, strict=True)
    }
    assert by_id == {4: 2, 8: 0, 6: 1}
    assert subset.at(torch.tensor([2, 0])).targets.tolist() == [1, 2]
    both = concatenate(subset, data.subset(np.array([0])))
    assert both.ids.tolist() == [4, 8, 6, 0]
    assert both.targets.tolist() == [2, 0, 1, 0]
    assert data.labels[4] == 1


@given(st.integers(0, 200), st.integers(1, 50))
def test_batch_lengths_cover_the_pass_and_leave_no_single_example(count, batch_size):
    lengths = batch_lengths(count, batch_size)
    assert sum(lengths) == count
    assert all(0 < n <= batch_size + 1 for n in lengths)
    if count > 1 and batch_size > 1:
        assert 1 not in lengths
    assert len(lengths) in (-(-count // batch_size), -(-count // batch_size) - 1)


def test_examples_that_a_block_writes_into_are_refused_and_put_right():
    images, labels = np.full((4, 1, 2, 2), 7, dtype=np.uint8), np.arange(4)

    def make():
        return ResidentData.put(images, labels, 4, torch.device("cpu"))

    data = replace(make(), again=make)
    subset = data.subset(np.arange(2))
    with data.unchanged(by="method 'reads'"):
        subset.batch(torch.arange(2)).inputs.zero_()
        subset.targets.zero_()
    for act in (lambda: data.images.zero_(), lambda: data.labels.add_(1)):
        with (
            pytest.raises(AuditError, match="'blanks' wrote into the images or labels"),
            data.unchanged(by="'blanks'"),
        ):
            act()
        assert np.array_equal(data.images.numpy(), images)
        assert data.labels.tolist() == [0, 1, 2, 3]
    with pytest.raises(IndexError), data.unchanged(by="'fails'"):
        data.images.zero_().numpy()[9]
    assert np.array_equal(data.images.numpy(), images)
