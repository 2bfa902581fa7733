import pytest
import torch

from tasks.images.augment import Augmentation, augmentation
from tasks.runtime.seeding import torch_generator

IMAGES = torch.rand(64, 3, 6, 6, generator=torch.Generator().manual_seed(0)) + 0.1


def test_same_generator_same_bits_and_no_global_draw():
    state = torch.get_rng_state()
    augment = Augmentation(padding=2, flip=True)
    first, again, other = (augment(IMAGES, torch_generator("a", seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)
    assert first.shape == IMAGES.shape


def test_every_image_is_a_shift_of_itself_filled_with_zeros():
    moved = Augmentation(padding=1, flip=False)(IMAGES, torch_generator("shift"))
    padded = torch.nn.functional.pad(IMAGES, (1,) * 4)
    found = set()
    for image, frame in zip(moved, padded, strict=True):
        matches = [
            (row, column)
            for row in range(3)
            for column in range(3)
            if torch.equal(image, frame[:, row : row + 6, column : column + 6])
        ]
        assert len(matches) == 1
        found.add(matches[0])
    assert len(found) == 9


def test_mirroring_takes_each_image_or_its_mirror():
    mirrored = Augmentation(padding=0, flip=True)(IMAGES, torch_generator("flip"))
    turned = [torch.equal(a, b.flip(-1)) for a, b in zip(mirrored, IMAGES, strict=True)]
    kept = [torch.equal(a, b) for a, b in zip(mirrored, IMAGES, strict=True)]
    assert all(t != k for t, k in zip(turned, kept, strict=True))
    assert 16 < sum(turned) < 48


def test_no_padding_and_no_mirror_is_the_identity():
    assert torch.equal(Augmentation(padding=0, flip=False)(IMAGES, torch_generator("x")), IMAGES)


@pytest.mark.parametrize(
    ("name", "size", "expected"),
    [
        ("none", 32, None),
        ("shift", 8, Augmentation(padding=1, flip=False)),
        ("shift", 4, Augmentation(padding=1, flip=False)),
        ("crop_flip", 32, Augmentation(padding=4, flip=True)),
    ],
)
def test_names(name, size, expected):
    assert augmentation(name, size) == expected
