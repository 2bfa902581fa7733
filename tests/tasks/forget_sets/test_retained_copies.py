"""Copies that stay in the retain set: planted ones are found, unlike images are not, large searches are left out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.datasets.contents import hash_images
from tasks.datasets.digits import Digits
from tasks.errors import AuditError
from tasks.forget_sets.retained_copies import (
    MOST_PRODUCTS,
    MOST_VALUES,
    NEAR,
    find_copies,
    products,
    thumbnails,
    too_large,
)

FORGET = np.arange(0, 60)
RETAINED = np.arange(60, 400)


def photographs(seed: int = 0, count: int = 400, side: int = 32) -> np.ndarray:
    """Smooth colour images that differ in what they show, `count x 3 x side x side`, uint8."""
    generator = np.random.default_rng(seed)
    waves = generator.normal(size=(count, 3, 5, 5)) / (1 + np.add.outer(np.arange(5), np.arange(5)))
    basis = np.cos(np.pi * np.outer(np.arange(5), (np.arange(side) + 0.5) / side))
    images = np.einsum("ncij,ih,jw->nchw", waves, basis, basis)
    return np.clip(128 + 50 * images, 0, 255).astype(np.uint8)


def search(images: np.ndarray):
    return find_copies(images, hash_images(images), forget=FORGET, retained=RETAINED)


def test_planted_copies_are_found_and_nothing_else() -> None:
    """Trap 20: exact copies, noise of 5 levels and lossy rounding; a mirrored image is out of sight."""
    images, generator = photographs(), np.random.default_rng(1)
    images[[100, 101]] = images[3]
    noise = generator.normal(0, 5, images[0].shape)
    images[200] = np.clip(images[7] + noise, 0, 255).astype(np.uint8)
    images[201] = images[9] // 16 * 16 + 8
    images[202] = images[11][:, :, ::-1]
    copies = search(images)
    np.testing.assert_array_equal(np.flatnonzero(copies.exact), [3])
    assert copies.exact[3] == 2
    assert copies.distance[3] == 0
    assert copies.nearest[3] in (100, 101)
    np.testing.assert_array_equal(FORGET[copies.near], [7, 9])
    np.testing.assert_array_equal(copies.nearest[[7, 9]], [200, 201])
    assert copies.nearest[11] != 202 or copies.distance[11] > NEAR


def test_distances_are_those_of_a_plain_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.forget_sets.retained_copies._CHUNK", 37)
    images = photographs(2)
    copies = search(images)
    small = images.reshape(len(images), 3, 16, 2, 16, 2).mean((3, 5)) / 255
    for place in (0, 17, 59):
        distance = np.sqrt(((small[RETAINED] - small[FORGET[place]]) ** 2).mean((1, 2, 3)))
        assert copies.nearest[place] == RETAINED[distance.argmin()]
        assert copies.distance[place] == pytest.approx(distance.min(), rel=1e-5)


def test_no_two_digits_are_near_copies() -> None:
    """1,797 images by 43 writers: the documented closest pair lies beyond the threshold."""
    images = Digits().read_images()
    ids = np.arange(len(images))
    copies = find_copies(images, hash_images(images), forget=ids[::2], retained=ids[1::2])
    assert not copies.exact.any()
    assert 0.04 < copies.distance.min() < 0.06


@given(height=st.integers(1, 40), width=st.integers(1, 40), seed=st.integers(0, 9))
def test_averaging_keeps_constants_and_never_enlarges_a_difference(
    height: int, width: int, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    images = generator.random((3, 2, height, width), dtype=np.float32)
    images[2] = 0.25
    small = thumbnails(images, np.arange(3))
    assert small.shape == (3, 2 * min(height, 16) * min(width, 16))
    np.testing.assert_allclose(small[2], 0.25, rtol=1e-5)
    if height % min(height, 16) == width % min(width, 16) == 0:
        apart = np.sqrt(((images[0] - images[1]) ** 2).mean())
        assert np.sqrt(((small[0] - small[1]) ** 2).mean()) <= apart * (1 + 1e-5)


def test_what_is_too_large_says_so() -> None:
    cifar = {"shape": (3, 32, 32), "num_examples": 60_000, "forget": 5_000, "retained": 45_000}
    assert too_large(**cifar) is None
    assert products((3, 32, 32), 5_000, 45_000) == 5_000 * 45_000 * 768 < MOST_PRODUCTS
    assert products((1, 8, 8), 2, 3) == 6 * 64
    assert "5,000 x 45,000 examples" in str(too_large(**cifar, most_products=10**9))
    imagenet = {"shape": (3, 224, 224), "num_examples": 1_281_167, "forget": 1, "retained": 1_281_166}
    assert MOST_VALUES < 3 * 224 * 224 * 1_281_167
    assert "1.9e+11 pixel values" in str(too_large(**imagenet))


def test_an_empty_side_is_refused() -> None:
    images = photographs(count=4)
    with pytest.raises(AuditError, match="got none"):
        find_copies(images, hash_images(images), forget=FORGET[:0], retained=RETAINED[:1])
