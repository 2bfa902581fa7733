"""The shadow layout: balanced, disjoint, derived from the seed, and refused where it cannot show enough."""

from dataclasses import replace

import numpy as np
import pytest

from tasks.errors import AuditError, UnknownName
from tasks.shadows.budget import Demands, check_demands, observations_per_state
from tasks.shadows.canaries import Canaries
from tasks.shadows.layout import ShadowLayout, TargetPool
from tasks.shadows.observations import State
from tests.support.shadow_simulation import make_layout


def two_pools(**changes: object) -> ShadowLayout:
    ids = np.arange(600)
    values = {
        "train_ids": ids,
        "labels": ids % 5,
        "num_shadows": 16,
        "pools": (
            TargetPool(name="random", ids=ids[:100], forget_size=25, draws=2),
            TargetPool(name="class", ids=ids[50::5][:60], forget_size=10, draws=3, rule="partition"),
        ),
        "seed": 3,
    }
    return ShadowLayout(**(values | changes))  # type: ignore[arg-type]


def test_pairs_are_complementary_and_every_example_is_in_half_of_the_shadows() -> None:
    layout = two_pools()
    masks = np.stack([layout.member_mask(j) for j in range(16)])
    assert (masks[0::2] ^ masks[1::2]).all()
    assert (masks.sum(0) == 8).all()
    assert set(masks.sum(1)) == {300}


def test_halves_are_stratified_by_class_and_pool() -> None:
    layout = two_pools()
    inside = np.isin(layout.train_ids, layout.pools[0].ids)
    for shadow in range(16):
        mask = layout.member_mask(shadow)
        for label in range(5):
            stratum = (layout.labels == label) & ~np.isin(
                layout.train_ids, np.concatenate([p.ids for p in layout.pools])
            )
            assert abs(int(mask[stratum].sum()) * 2 - int(stratum.sum())) <= 1
        # a pool is a few contiguous groups of strata, each split to within one example
        assert abs(int(mask[inside].sum()) - 50) <= 2


def test_masks_and_seeds_are_distinct() -> None:
    """Trap 17: no two shadows share a split or a stream."""
    layout = make_layout(256, 40, 10)
    masks = {layout.member_mask(j).tobytes() for j in range(256)}
    assert len(masks) == 256
    assert len({layout.init_seed(j) for j in range(256)} | {layout.order_seed(j) for j in range(256)}) == 512


def test_forget_sets_are_members_targets_and_disjoint_within_a_partition() -> None:
    """Trap 13: F is a subset of IN and of T, and never sits in the retain set."""
    layout = two_pools()
    for shadow in range(16):
        members = layout.members(shadow)
        for pool in layout.pools:
            sets = [layout.forget(shadow, pool.name, d) for d in range(pool.draws)]
            for chosen in sets:
                assert len(chosen) == pool.forget_size
                assert np.isin(chosen, members).all()
                assert np.isin(chosen, pool.ids).all()
            retain = np.setdiff1d(members, sets[0])
            assert not np.isin(sets[0], retain).any()
            # as many draws as fit in the members share no example
            fits = len(np.intersect1d(members, pool.ids)) // pool.forget_size
            together = np.concatenate(sets[:fits])
            assert len(np.unique(together)) == len(together)


def test_a_further_round_of_the_partition_is_another_partition() -> None:
    layout = make_layout(4, 40, 10, 4)
    sets = [frozenset(layout.forget(0, "t", d)) for d in range(4)]
    assert len(set(sets)) == 4
    assert sets[0] | sets[1] == sets[2] | sets[3]


@pytest.mark.parametrize(("size", "draws"), [(10, 1), (20, 1), (10, 2), (7, 3)])
def test_the_counter_balances_states(size: int, draws: int) -> None:
    """guide/games.md#the-layout-of-shadow-models: n_U = N D k / P, n_O = N D / 2, n_R the rest."""
    counts = make_layout(64, 40, size, draws).counts("t")
    assert np.ptp(counts.unlearned) <= 2
    assert counts.unlearned.mean() == pytest.approx(64 * draws * size / 40)
    assert (counts.never == 64 * draws / 2).all()
    assert (counts.unlearned + counts.retained == 64 * draws / 2).all()


def test_a_full_partition_unlearns_every_member_once() -> None:
    """guide/games.md#the-layout-of-shadow-models: D = P / (2k) gives n_U = N / 2."""
    counts = make_layout(32, 40, 10, 2).counts("t")
    assert (counts.unlearned == 16).all()
    assert (counts.unlearned_bases == 16).all()
    assert (counts.never_bases == 16).all()


def test_states_agree_with_masks_and_forget_sets() -> None:
    layout = two_pools()
    ids = np.concatenate([layout.train_ids, [10_000]])
    for shadow, other in ((4, 5), (5, 4)):
        state = layout.states(shadow, ids, pool="random", draw=1)
        forgotten = set(layout.forget(shadow, "random", 1))
        assert ids[state == State.TEST].tolist() == [10_000]
        assert set(ids[state == State.UNLEARNED]) == forgotten
        assert set(ids[state == State.NEVER]) == set(layout.members(other))
        assert set(ids[state == State.RETAINED]) == set(layout.members(shadow)) - forgotten
        assert (layout.states(shadow, ids) != State.UNLEARNED).all()


def test_a_worker_derives_the_same_from_the_fields_alone() -> None:
    first, second = two_pools(), two_pools()
    assert first.digest == second.digest != two_pools(seed=4).digest
    assert (first.member_mask(7) == second.member_mask(7)).all()
    assert (first.forget(7, "class", 2) == second.forget(7, "class", 2)).all()
    assert first.unlearn_seed(7, "class", 2) == second.unlearn_seed(7, "class", 2)
    assert (first.member_mask(0) != two_pools(seed=4).member_mask(0)).any()


def test_the_digest_names_everything_that_decides_who_sees_what() -> None:
    ids, first = np.arange(600), two_pools().pools[0]
    canaries = Canaries(ids=ids[500:510], labels=ids[:10] % 5)
    changed = [replace(first, name="other"), replace(first, ids=ids[:99]), replace(first, forget_size=24)]
    changed += [replace(first, draws=1), replace(first, rule="partition")]
    layouts = [two_pools(pools=(pool,)) for pool in (first, *changed)]
    layouts += [two_pools(), two_pools(seed=4), two_pools(num_shadows=18), two_pools(labels=ids % 4)]
    layouts += [two_pools(train_ids=ids + (ids == 599))]
    with_canaries = [canaries, replace(canaries, ids=ids[501:511]), replace(canaries, labels=ids[1:11] % 5)]
    with_canaries += [replace(canaries, inclusion="independent")]
    layouts += [two_pools(canaries=some) for some in with_canaries]
    assert len({layout.digest for layout in layouts}) == len(layouts)


def test_membership_is_fair_for_every_example() -> None:
    """A coin per example and seed; 200 seeds, five standard errors."""
    first = np.mean([two_pools(seed=s, num_shadows=4).member_mask(0) for s in range(200)], axis=0)
    assert np.abs(first - 0.5).max() < 5 * 0.5 / 200**0.5


def test_independent_canaries_are_coins_and_stay_complementary() -> None:
    ids = np.arange(300)
    canaries = Canaries(ids=ids[200:], labels=ids[200:] % 5, inclusion="independent")
    layout = ShadowLayout(train_ids=ids, labels=ids % 5, num_shadows=64, pools=(), canaries=canaries)
    masks = np.stack([layout.member_mask(j) for j in range(64)])
    assert (masks.sum(0) == 32).all()
    sizes = masks[:, 200:].sum(1)
    assert sizes.std() > 2  # a binomial of 100 has 5, a balanced half 0
    assert set(masks[:, :200].sum(1)) == {100}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_shadows": 7}, "nearest 8"),
        ({"num_shadows": 2}, "at least 4"),
        ({"pools": (TargetPool(name="a", ids=np.arange(40), forget_size=21),)}, "at most 20"),
        ({"pools": (TargetPool(name="a", ids=np.array([9999]), forget_size=0),)}, "subset"),
        ({"train_ids": np.arange(600)[::-1]}, "sorted"),
        ({"canaries": Canaries(ids=np.array([9999]), labels=np.array([0]))}, "among the training ids"),
    ],
)
def test_impossible_layouts_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(AuditError, match=message):
        two_pools(**changes)


def test_too_few_examples_for_distinct_masks_are_refused() -> None:
    with pytest.raises(AuditError, match="distinct halves"):
        ShadowLayout(train_ids=np.arange(8), labels=np.zeros(8, int), num_shadows=64, pools=())


def test_unknown_pool_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'random'"):
        two_pools().forget(0, "randon", 0)


@pytest.mark.parametrize(("draws", "unlearned"), [(1, 64), (2, 128)])
def test_observations_of_the_document(draws: int, unlearned: int) -> None:
    """guide/games.md#the-layout-of-shadow-models: 256 shadows, a quarter of 1,000 targets forgotten in each draw."""
    found = observations_per_state(make_layout(256, 1000, 250, draws, examples=2000))
    assert found["t"]["unlearned"] == unlearned
    assert found["t"]["never"] == 128 * draws
    assert sum(found["t"].values()) == 256 * draws


@pytest.mark.parametrize(
    ("demands", "message"),
    [
        (
            Demands(fpr=(1e-4,), per_example=False),
            "G2 TPR at FPR 0.0001 needs 10,001 negatives, 16 shadows give 160; about 1,002 would do",
        ),
        (
            Demands(fpr=(0.004,), games=("G1",), per_example=False),
            "G1 TPR at FPR 0.004 needs 251 negatives, 16 shadows give 80; about 52 would do",
        ),
        (Demands(per_example=True), "needs 8 shadows per state"),
        (Demands(per_example=False, epsilon=4.0), "shows at most"),
    ],
)
def test_what_cannot_be_shown_is_refused(demands: Demands, message: str) -> None:
    """Trap 9: a rate below 1 / n is not resolvable. 16 shadows and 40 targets: 320 never, 160 unlearned runs.

    Of these a half chooses the threshold and a half is counted.
    """
    with pytest.raises(AuditError, match=message):
        check_demands(make_layout(16, 40, 10), demands)


def test_what_can_be_shown_passes() -> None:
    check_demands(make_layout(64, 200, 100), Demands(fpr=(0.01, 0.001), epsilon=1.3))
