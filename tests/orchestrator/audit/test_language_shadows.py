"""Shadow models of documents from one base: the floor and the ceiling stand where they must, in every statistic."""

from __future__ import annotations

import numpy as np
import pytest

from orchestrator.results import Results
from orchestrator.store.store import Store
from orchestrator.store.verify import verify
from tests.support.language_shadows import ATTACKS, STATISTICS, TEXT, of_seeds
from tests.support.sweeps import content, sweep


def run(folder, text=TEXT, *flags):
    (folder / "audit.toml").write_text(text)
    ran = sweep(folder / "audit.toml", "--out", folder / "results", *flags)
    assert ran.returncode == 0, ran.stderr
    return folder / "results"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return run(tmp_path_factory.mktemp("language-shadows"))


def aucs(path) -> dict[tuple[str, str, str], dict]:
    """Mean AUC of single examples by role, game and statistic."""
    with Results(str(path)) as results:
        rows = results.sql(
            "select role, game, variant, value, ci_low, ci_high from leaderboard "
            "where metric = 'auc' and variant like '%:example_mean'"
        ).to_pylist()
    named = {f"u_lira_online{'' if s == 'phi' else '@' + s}:example_mean": s for s in STATISTICS}
    return {(row["role"], row["game"], named[row["variant"]]): row for row in rows}


def check_floor_and_ceiling(path) -> None:
    found = aucs(path)
    assert len(found) == 3 * 2 * len(STATISTICS)
    for game in ("G1", "G2"):
        for statistic in STATISTICS:
            floor, ceiling = (found[role, game, statistic] for role in ("reference", "ceiling"))
            place = game, statistic, floor, ceiling
            assert floor["ci_low"] <= 0.5 <= floor["ci_high"], place
            assert ceiling["value"] > max(0.8, floor["ci_high"]), place


def test_retraining_is_the_floor_and_doing_nothing_the_ceiling_in_every_statistic(finished) -> None:
    check_floor_and_ceiling(finished)


@pytest.mark.slow
@pytest.mark.parametrize("corpus", [1, 2, 3])
@pytest.mark.parametrize("base", [1, 2])
def test_so_they_are_for_other_people_and_other_bases(corpus: int, base: int, tmp_path) -> None:
    check_floor_and_ceiling(run(tmp_path, of_seeds(corpus, base)))


def test_observations_hold_every_statistic_of_documents(finished) -> None:
    table = Store(str(finished)).read("observations")
    for name in ("phi", "min_k_pp", "min_k", "token_accuracy", "extraction", "loss", "correct"):
        assert table[name].null_count == 0, name
    accuracy = table["token_accuracy"].to_numpy()
    assert (table["extraction"].to_numpy() <= accuracy + 1e-6).all()
    for row in Store(str(finished)).read("shadows").to_pylist():
        assert (
            row["train_accuracy"] > row["test_accuracy"] > 0.2
        )  # of words: no document is right to its last


def test_both_statistics_are_primary_and_corrected_together(finished) -> None:
    with Results(str(finished)) as results:
        rows = results.sql(
            "select method, variant, p, p_adjusted from verdicts where family = 'primary' and metric = 'auc'"
        ).to_pylist()
    for method in ("no_op", "finetune"):
        mine = sorted((row for row in rows if row["method"] == method), key=lambda row: row["p"])
        assert {row["variant"] for row in mine} == {
            "u_lira_online:example_mean",
            "u_lira_online@min_k_pp:example_mean",
        }
        assert mine[0]["p_adjusted"] == pytest.approx(min(2 * mine[0]["p"], 1.0))


def test_a_model_and_its_shadow_models_have_one_verdict_and_a_certificate(finished) -> None:
    """They are one method: that more is observed of shadow models is no other setting of it."""
    with Results(str(finished)) as results:
        rows = results.query("model_verdicts").to_pylist()
        names = [(row["forget_set"], row["method"], row["scope"]) for row in rows]
        assert len(set(names)) == len(names)
        assert len({row["attack"] for row in results.query("verdict").to_pylist()}) > 1


def test_no_query_mixes_the_statistics(finished) -> None:
    grains = {
        "population_vs_per_example": ("attack", "method", "variant", "game", "param"),
        "per_example_vulnerability": ("attack", "method", "statistic"),
        "worse_than_before": ("method", "split", "statistic"),
        "example_auc": ("attack", "method", "statistic", "example_id"),
    }
    with Results(str(finished)) as results:
        for query, grain in grains.items():
            rows = results.query(query).to_pylist()
            keys = [tuple(row[name] for name in grain) for row in rows]
            assert len(set(keys)) == len(keys) > 0, query
            text = " ".join(str(key) for key in keys)
            assert "min_k_pp" in text, query
        apart = {
            (row["method"], row["statistic"]): row["vulnerable"]
            for row in results.query("per_example_vulnerability", attack="rank_test").to_pylist()
        }
    for statistic in STATISTICS:
        assert apart["retrain", statistic] <= 1
        assert apart["no_op", statistic] > 5


@pytest.mark.slow
def test_nothing_is_computed_twice_and_every_file_is_sound(finished) -> None:
    before = content(finished)
    ran = sweep(finished.parent / "audit.toml", "--out", finished)
    assert ran.returncode == 0, ran.stderr
    assert "to do" not in ran.stderr
    assert content(finished) == before
    assert verify(Store(str(finished))) == []


@pytest.mark.slow
def test_ray_gives_the_same_rows(finished, tmp_path) -> None:
    other = run(tmp_path, TEXT, "--backend", "local")
    for table, names in (("metrics", ("value", "ci_low")), ("observations", ("phi", "min_k_pp"))):
        one, two = (Store(str(path)).read(table).to_pandas() for path in (finished, other))
        keys = [name for name in one.columns if name not in ("host", "finished_at")]
        one, two = (frame.sort_values(keys).reset_index(drop=True) for frame in (one, two))
        for name in names:
            np.testing.assert_array_equal(one[name].to_numpy(), two[name].to_numpy())
    assert {row["attack"] for row in Store(str(other)).read("cells").to_pylist()} == set(ATTACKS)
