"""Canaries: which examples they replace, under which labels, and what out-of-distribution ones look like."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from PIL import Image

from tasks.datasets.digits import Digits
from tasks.datasets.synthetic import Synthetic
from tasks.errors import AuditError
from tasks.shadows.canaries import (
    BorrowedImages,
    Canaries,
    ColourFields,
    as_type,
    borrow,
    fitted,
    mislabelled_canaries,
    out_of_distribution_canaries,
)
from tasks.shadows.layout import ShadowLayout

IDS = np.arange(300)


def planted(*, seed: int = 1, count: int = 60, **changes: object) -> Canaries:
    values = {"num_classes": 5, "seed": seed, "exclude": IDS[:100], "inclusion": "independent"}
    images = ColourFields(count=count, shape=(3, 8, 8), seed=seed)
    return out_of_distribution_canaries(IDS, **({"images": images} | values | changes))  # type: ignore[arg-type]


def borrowed(source: Synthetic | Digits, count: int, shape: tuple[int, int, int], seed: int = 0):
    labels = source.read_labels()
    return borrow(
        source, labels, name="x", source_digest=source.digest(), count=count, shape=shape, seed=seed
    )


def layout_of(canaries: Canaries | None) -> ShadowLayout:
    return ShadowLayout(train_ids=IDS, labels=IDS % 5, num_shadows=64, pools=(), canaries=canaries)


def test_mislabelled_canaries_have_wrong_labels_and_avoid_the_pools() -> None:
    canaries = mislabelled_canaries(IDS, IDS % 5, count=40, num_classes=5, seed=1, exclude=IDS[:100])
    assert (canaries.labels != canaries.ids % 5).all()
    assert canaries.labels.max() < 5
    assert canaries.ids.min() >= 100
    assert len(np.unique(canaries.ids)) == 40


def test_foreign_canaries_avoid_the_pools_and_have_labels_uniform_over_the_classes() -> None:
    canaries = planted()
    assert canaries.ids.min() >= 100
    assert (np.diff(canaries.ids) > 0).all()
    assert len(canaries.ids) == 60
    many = planted(count=200, exclude=None).labels
    counts = np.bincount(many, minlength=5)
    assert (counts > 20).all()  # 40 on average, standard deviation 5.7
    assert 20 < (many == planted(count=200, exclude=None).ids % 5).sum() < 60  # the true label too, by chance


def test_the_seed_decides_everything() -> None:
    one, again, other = planted(), planted(), planted(seed=2)
    assert one.images is not None
    assert again.images is not None
    assert other.images is not None
    np.testing.assert_array_equal(one.ids, again.ids)
    np.testing.assert_array_equal(one.labels, again.labels)
    np.testing.assert_array_equal(one.images.read(), again.images.read())
    assert one.digest == again.digest != other.digest
    assert not np.array_equal(one.ids, other.ids)
    assert not np.array_equal(one.images.read(), other.images.read())


def test_membership_of_foreign_canaries_is_a_coin_that_knows_neither_label_nor_image() -> None:
    canaries = planted(count=100)
    masks = np.stack([layout_of(canaries).member_mask(j) for j in range(64)])
    inside = masks[0::2][:, np.isin(IDS, canaries.ids)]
    assert (masks[0::2] ^ masks[1::2]).all()
    assert inside.sum(1).std() > 2  # a binomial of 100 has 5, a balanced half 0
    relabelled = replace(canaries, labels=(canaries.labels + 1) % 5)
    assert relabelled.images is not None
    again = replace(relabelled, images=ColourFields(count=100, shape=(3, 8, 8), seed=9))
    np.testing.assert_array_equal(masks, [layout_of(again).member_mask(j) for j in range(64)])


def test_the_layout_is_named_by_kind_and_images_and_keeps_its_name_without_them() -> None:
    wrong = mislabelled_canaries(IDS, IDS % 5, count=10, num_classes=5, seed=0, inclusion="independent")
    known = {
        "none": "96ec02d3",
        "mislabelled": "f295bbc0",
    }
    assert layout_of(None).digest[:8] == known["none"]
    assert layout_of(wrong).digest[:8] == known["mislabelled"]
    images = ColourFields(count=10, shape=(1, 8, 8), seed=0)
    foreign = replace(wrong, kind="out_of_distribution", images=images)
    others = [
        wrong,
        foreign,
        replace(foreign, images=replace(images, seed=1)),
        replace(foreign, images=replace(images, shape=(1, 4, 4))),
        replace(foreign, images=borrowed(Synthetic(seed=1), 10, (1, 8, 8))),
        replace(foreign, images=borrowed(Synthetic(seed=2), 10, (1, 8, 8))),
        replace(foreign, images=borrowed(Synthetic(seed=2), 10, (1, 8, 8), seed=1)),
    ]
    assert len({layout_of(canaries).digest for canaries in others}) == len(others)


# -- images --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (3, 5, 9), (1, 1, 2), (2, 3, 1)])
def test_colour_fields_are_images_of_the_audited_shape(shape: tuple[int, int, int]) -> None:
    images = ColourFields(count=7, shape=shape, seed=0).read()
    assert images.shape == (7, *shape)
    assert images.dtype == np.uint8
    assert len({image.tobytes() for image in images}) == 7


def test_colour_fields_interpolate_between_random_corners() -> None:
    images = ColourFields(count=2000, shape=(1, 7, 10), seed=3).read().astype(float)
    corner = images[:, 0, 0, 0]
    assert corner.min() < 5
    assert corner.max() > 250
    assert abs(corner.mean() - 127.5) < 5  # standard error 1.65
    # knots at every second row and third column; halfway is the mean of the neighbours, to rounding
    middle = (images[:, :, 0, :] + images[:, :, 2, :]) / 2
    assert np.abs(images[:, :, 1, ::3] - middle[..., ::3]).max() <= 1
    third = (2 * images[..., 0] + images[..., 3]) / 3
    assert np.abs(images[..., 1] - third).max() <= 1


@pytest.mark.parametrize("size", [2, 7, 10])
def test_colour_fields_are_bilinear_between_four_knots_that_span_the_image(size: int) -> None:
    """An image of 4 x 4 pixels shows the knots themselves."""
    knots = ColourFields(count=3, shape=(1, 4, 4), seed=5).read()[:, 0].astype(float)
    place = np.linspace(0, 3, size)
    for image, corners in zip(
        ColourFields(count=3, shape=(1, size, size), seed=5).read(), knots, strict=True
    ):
        down = np.stack([np.interp(place, np.arange(4), column) for column in corners.T], axis=1)
        both = np.stack([np.interp(place, np.arange(4), row) for row in down])
        assert np.abs(image[0] - both).max() <= 0.5


def test_no_two_of_a_thousand_grey_fields_are_alike() -> None:
    images = ColourFields(count=1000, shape=(1, 8, 8), seed=0).read().reshape(1000, -1).astype(float)
    distance = ((images[:, None, ::7] - images[None, :, ::7]) ** 2).mean(-1) ** 0.5
    assert distance[~np.eye(1000, dtype=bool)].min() > 8


def test_borrowed_images_are_distinct_images_of_the_source_with_their_pixels() -> None:
    source = Synthetic(num_train=50, num_test=10, channels=3, height=8, width=8)
    found = borrowed(source, 60, (3, 8, 8))
    assert sorted(found.image_ids) == list(range(60))  # every part, each image at most once
    np.testing.assert_array_equal(found.read(), source.read_images()[found.image_ids])
    assert not np.array_equal(found.image_ids, borrowed(source, 60, (3, 8, 8), seed=1).image_ids)
    assert found.provenance["images_digest"] == source.digest()


def test_images_are_read_only_when_they_are_asked_for() -> None:
    @dataclass(frozen=True)
    class Unread(Synthetic):
        def read_images(self) -> np.ndarray:
            raise AssertionError("read")

    images = borrowed(Unread(), 10, (3, 4, 4))
    assert isinstance(images, BorrowedImages)
    canaries = out_of_distribution_canaries(IDS, images=images, num_classes=5, seed=0)
    assert layout_of(canaries).digest
    with pytest.raises(AssertionError, match="read"):
        images.read()


def test_float_images_of_another_size_become_the_audited_shape() -> None:
    images = borrowed(Digits(), 20, (3, 12, 16)).read()
    assert images.shape == (20, 3, 12, 16)
    assert images.dtype == np.float32
    assert images.min() >= 0
    assert images.max() <= 1
    np.testing.assert_array_equal(images[:, 0], images[:, 2])


@pytest.mark.parametrize(
    ("have", "want"), [((6, 6), (6, 6)), ((32, 32), (8, 8)), ((8, 12), (5, 5)), ((9, 7), (20, 30))]
)
def test_resizing_crops_the_centre_and_is_what_pillow_makes_of_a_grey_image(
    have: tuple[int, int], want: tuple[int, int]
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 1, *have), dtype=np.uint8)
    found = fitted(images, (1, *want))
    assert found.dtype == np.uint8
    scale = min(have[0] / want[0], have[1] / want[1])
    box = [(have[1] - scale * want[1]) / 2, (have[0] - scale * want[0]) / 2]
    box += [box[0] + scale * want[1], box[1] + scale * want[0]]
    for image, mine in zip(images, found, strict=True):
        theirs = Image.fromarray(image[0]).resize(want[::-1], Image.Resampling.BILINEAR, box=tuple(box))
        assert np.abs(np.asarray(theirs).astype(int) - mine[0]).max() <= 1


def test_colour_becomes_luma_as_pillow_makes_it() -> None:
    images = np.random.default_rng(1).integers(0, 256, (4, 3, 8, 8), dtype=np.uint8)
    for image, mine in zip(images, fitted(images, (1, 8, 8)), strict=True):
        theirs = np.asarray(Image.fromarray(image.transpose(1, 2, 0)).convert("L")).astype(int)
        assert np.abs(theirs - mine[0]).max() <= 1
    white = np.full((1, 3, 8, 8), 255, dtype=np.uint8)
    assert (fitted(white, (1, 8, 8)) == 255).all()


def test_types_are_exchanged_without_loss() -> None:
    images = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    floats = as_type(images, np.dtype(np.float32))
    assert floats.dtype == np.float32
    assert (floats.min(), floats.max()) == (0, 1)
    np.testing.assert_array_equal(as_type(floats, np.dtype(np.uint8)), images)
    assert as_type(images, images.dtype) is images


def test_what_cannot_be_planted_is_refused() -> None:
    with pytest.raises(AuditError, match="at most 200 and two classes, got 201"):
        planted(count=201)
    with pytest.raises(AuditError, match="two classes, got 60, 1"):
        planted(num_classes=1)
    with pytest.raises(AuditError, match="expected at least 70 images, one for each canary; 'x' has 60"):
        borrowed(Synthetic(num_train=50, num_test=10), 70, (3, 8, 8))
    with pytest.raises(AuditError, match="cannot turn images of 2 channels"):
        borrowed(Synthetic(channels=2), 5, (3, 8, 8))
    with pytest.raises(AuditError, match="images with kind out_of_distribution alone, got 'mislabelled'"):
        Canaries(ids=IDS[:7], labels=IDS[:7], images=ColourFields(count=7, shape=(1, 8, 8), seed=0))
    with pytest.raises(AuditError, match="alone, got 'out_of_distribution'"):
        Canaries(ids=IDS[:7], labels=IDS[:7], kind="out_of_distribution")
    with pytest.raises(AuditError, match="6 labels and 7 images for 7"):
        Canaries(ids=IDS[:7], labels=IDS[:6])
