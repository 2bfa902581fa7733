"""KLoM of shadow models: which runs stand against which."""

from types import SimpleNamespace

import numpy as np
import pytest

from tasks.attacks.klom import Klom
from tasks.attacks.views import ShadowView
from tasks.contracts.small_views import SETTINGS, SmallShadows
from tasks.errors import AuditError
from tasks.shadows.layout import ShadowLayout, TargetPool
from tasks.shadows.observations import Observations, RunBlock
from tests.tasks.metrics.test_klom import looped

SHADOWS, TARGETS, TRAINED, EXAMPLES = 16, 8, 60, 80


def observe(method: str, *, draws: int, seed: int, shift: float = 0.0) -> Observations:
    """Targets 0 to 7, of which each draw forgets two; retained examples up to 59; test examples from there."""
    pool = TargetPool(name="t", ids=np.arange(TARGETS), forget_size=2, draws=draws, rule="partition")
    trained, ids = np.arange(TRAINED), np.arange(EXAMPLES)
    layout = ShadowLayout(train_ids=trained, labels=trained % 2, num_shadows=SHADOWS, pools=(pool,))
    generator = np.random.default_rng(seed)
    blocks = []
    for shadow in range(SHADOWS):
        for draw in range(draws):
            state = layout.states(shadow, ids, pool="t", draw=draw)
            phi = (generator.normal(size=EXAMPLES) + shift).astype(np.float32)
            blocks.append(RunBlock(shadow=shadow, draw=draw, state=state, phi=phi))
    return Observations.from_blocks(blocks, method=method, scope="all", family="t", example_ids=ids)


def measure(unlearned: Observations, retrained: Observations, reference: str = "retrained"):
    """Metrics by name and split, and rows of single examples by statistic, split and id."""
    source = SimpleNamespace(
        canaries=None,
        forget_ids=np.arange(TARGETS),
        labels=np.arange(EXAMPLES) % 2,
        planned=(SHADOWS, int(unlearned.draw.max()) + 1),
        reference=reference,
        unlearned=lambda: unlearned,
        retrained=lambda: retrained,
    )
    attack = Klom(exchanges=20)
    found = attack.measure(ShadowView(attack, source, name="klom", settings=SETTINGS))
    rows = {
        (statistic, split, int(example)): score
        for block in found.examples
        for statistic, split, example, score in zip(
            block["statistic"], block["split"], block["example_id"], block["score"], strict=True
        )
    }
    return {(row.metric, row.split): row for row in found.metrics}, rows


def first_runs(one: Observations, example: int, state: int, key: str) -> dict[int, float]:
    values: dict[int, float] = {}
    for run in np.flatnonzero(one.state[:, example] == state):
        values.setdefault(int(getattr(one, key)[run]), float(one.phi[run, example]))
    return values


def matched(first: dict[int, float], second: dict[int, float]) -> float:
    common = sorted(first.keys() & second.keys())
    assert len(common) > 1
    return looped([first[key] for key in common], [second[key] for key in common])


def test_each_shadow_model_stands_against_its_own_retraining_once():
    unlearned, retrained = observe("m", draws=2, seed=0, shift=1.0), observe("retrained", draws=2, seed=1)
    metrics, rows = measure(unlearned, retrained)
    for split, example, state in (("forget", 3, 2), ("retain", 20, 1), ("test", 70, 3)):
        wanted = matched(*(first_runs(one, example, state, "shadow") for one in (unlearned, retrained)))
        assert rows["klom", split, example] == pytest.approx(wanted, abs=1e-5)
    assert {split for _, split, _ in rows} == {"forget", "retain", "test"}
    assert {example for _, split, example in rows if split == "retain"} == set(range(TARGETS, TRAINED))
    assert metrics["klom", "test"].n == EXAMPLES - TRAINED
    assert metrics["klom", "test"].declared.reading("test").kind == "utility"


def test_a_draw_of_which_one_model_failed_is_left_out_on_both_sides():
    """The second draw then stands in, of both: never the first draw of one against the second of the other."""
    unlearned, retrained = observe("m", draws=2, seed=0), observe("retrained", draws=2, seed=1)
    lacks = (retrained.shadow != 5) | (retrained.draw != 0)
    with_both = (unlearned.shadow != 5) | (unlearned.draw != 0)
    _, rows = measure(unlearned, retrained.of_runs(lacks))
    _, wanted = measure(unlearned.of_runs(with_both), retrained.of_runs(lacks))
    assert rows == wanted
    _, whole = measure(unlearned, retrained)
    assert rows != whole


def test_retrained_models_stand_against_further_retrained_ones():
    retrained = observe("retrained", draws=2, seed=1)
    metrics, rows = measure(retrained, retrained, "itself")
    wanted = matched(first_runs(retrained, 3, 2, "pair"), first_runs(retrained, 3, 0, "pair"))
    assert rows["klom", "forget", 3] == pytest.approx(wanted, abs=1e-5)
    draws = [retrained.of_runs(retrained.draw == draw) for draw in (0, 1)]
    wanted = matched(*(first_runs(one, 70, 3, "shadow") for one in draws))
    assert rows["klom", "test", 70] == pytest.approx(wanted, abs=1e-5)
    assert metrics["klom", "retain"].value > 0


def test_one_draw_holds_no_further_retrained_models_but_on_the_forget_set():
    retrained = observe("retrained", draws=1, seed=1)
    metrics, _ = measure(retrained, retrained, "itself")
    assert {split for name, split in metrics if name == "klom"} == {"forget"}


def test_canaries_are_in_no_split():
    source = SmallShadows(canaries=False)
    attack = Klom()
    found = attack.measure(ShadowView(attack, source, name="klom", settings=SETTINGS))
    ids = np.concatenate([block["example_id"] for block in found.examples])
    assert not np.isin(ids, source.canaries.ids).any()
    values = {(row.metric, row.split): row.value for row in found.metrics}
    assert values["klom_excess", "forget"] > values["klom_excess", "test"]


def test_without_retrained_models_there_is_none():
    doing_nothing = observe("no_op", draws=1, seed=1)
    with pytest.raises(AuditError, match=r"got those of 'no_op'; set shadows\.retrain_control"):
        measure(observe("m", draws=1, seed=0), doing_nothing, "base")
    with pytest.raises(AuditError, match="exchanges: expected at least 1"):
        Klom(exchanges=0)
