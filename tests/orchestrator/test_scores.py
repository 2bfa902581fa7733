"""Risk scores from stored observations: their numbers, their file, and what ranks by them."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
from shadow_sweeps import TEXT, finished

from orchestrator.config import SweepConfig
from orchestrator.grid import make_plan
from orchestrator.risk_file import read_scores, write_scores
from orchestrator.scores import main
from orchestrator.shadow_scores import shadow_scores
from orchestrator.store import Store
from tasks import fields
from tasks.errors import AuditError, UnknownName


def config(**changes: object) -> SweepConfig:
    """The tiny sweep with some values by dotted key."""
    tables = tomllib.loads(TEXT)
    for key, value in changes.items():
        table, _, name = key.partition("__")
        tables[table][name] = value
    return fields.build(SweepConfig, tables, where="test")


@pytest.fixture(scope="module")
def risk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("risk") / "risk.npz"
    assert main([str(finished() / "results"), "--architecture", "net", "--output", str(path)]) == 0
    return path


def plan_scores(path: Path) -> dict[str, np.ndarray]:
    return dict(make_plan(config(data__scores=str(path))).data.scores.values)


def test_scores_are_those_of_numpy(risk: Path) -> None:
    table = Store(str(finished() / "results")).read("observations").to_pylist()
    base = [r for r in table if r["method"] == "none"]
    found = plan_scores(risk)
    assert {name: values.shape for name, values in found.items()} == {
        "memorisation": (180,),
        "privacy_risk": (180,),
    }
    splits = make_plan(config()).data.splits
    assert np.isfinite(found["memorisation"][splits.train]).all()
    assert np.isnan(found["memorisation"][splits.test]).all()
    for i in splits.train[:10].tolist():
        inside = [r for r in base if r["example_id"] == i and r["state"] == "retained"]
        outside = [r for r in base if r["example_id"] == i and r["state"] == "never"]
        assert (len(inside), len(outside)) == (8, 8)
        answers = [np.mean([r["correct"] for r in rows]) for rows in (inside, outside)]
        assert found["memorisation"][i] == pytest.approx(answers[0] - answers[1])
        phi = [np.array([r["phi"] for r in rows]) for rows in (inside, outside)]
        spread = phi[0].std(ddof=1) + phi[1].std(ddof=1)
        assert found["privacy_risk"][i] == pytest.approx(abs(phi[0].mean() - phi[1].mean()) / spread)


def test_halves_rest_on_different_shadow_models() -> None:
    root = str(finished() / "results")
    halves = [shadow_scores(root, architecture="net", half=h) for h in (0, 1)]
    assert [provenance["num_shadows"] for _, provenance in halves] == [8, 8]
    first, second = (scores["privacy_risk"] for scores, _ in halves)
    known = np.isfinite(first) & np.isfinite(second)
    assert known.sum() > 50
    assert not np.allclose(first[known], second[known])


def test_the_file_is_reproducible_and_says_where_it_comes_from(risk: Path, tmp_path: Path) -> None:
    again = tmp_path / "risk.npz"
    main([str(finished() / "results"), "--architecture", "net", "--output", str(again)])
    assert again.read_bytes() == risk.read_bytes()
    with np.load(risk, allow_pickle=False) as content:
        provenance = json.loads(str(content["provenance"]))
    store = Store(str(finished() / "results"))
    assert provenance["architecture"] == "net"
    assert provenance["num_shadows"] == 16
    assert provenance["run_ids"] == store.read("runs")["run_id"].to_pylist()
    assert provenance["dataset_digest"] == store.read("shadows")["dataset_digest"][0].as_py()


def test_a_forget_set_is_chosen_by_risk(risk: Path) -> None:
    kind = "by_score:score=privacy_risk,level=high,count=20"
    chosen = make_plan(config(data__scores=str(risk), axes__forget_set=[kind])).data.forget_sets[kind]
    scores = plan_scores(risk)["privacy_risk"]
    train = make_plan(config()).data.splits.train
    expected = train[np.argsort(-scores[train], kind="stable")[:20]]
    assert set(chosen.ids.tolist()) == set(expected.tolist())
    assert chosen.provenance["scores"]["num_shadows"] == 16
    assert set(chosen.provenance["scores_sha256"]) == {"privacy_risk"}


def test_scores_enter_the_identity_of_what_ranks_by_them_alone(risk: Path, tmp_path: Path) -> None:
    content = read_scores(str(risk), num_examples=180, dataset_digest=make_plan(config()).data.digest)
    changed = {**content.values, "privacy_risk": content.values["privacy_risk"] + 1}
    other = tmp_path / "other.npz"
    write_scores(other, changed, content.provenance)
    methods = ["finetune", "by_risk"]
    plans = [
        make_plan(config(data__scores=str(path), axes__method=methods, axes__attack=["none", "u_lira_g2"]))
        for path in (risk, other)
    ]
    ids = [{(c.method, c.attack): c.model_id for c in plan.cells} for plan in plans]
    for place in ids[0]:
        assert (ids[0][place] == ids[1][place]) == (place[0] != "by_risk")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"axes__forget_set": ["by_score:score=memorisation,level=high,count=9"]},
            r"forget_sets.by_score.*'memorisation', and none is given; run python -m orchestrator.scores",
        ),
        ({"axes__method": ["by_risk"]}, "methods.by_risk: ranks by the score 'privacy_risk'"),
        ({"data__scores": "/nowhere/risk.npz"}, "no file '/nowhere/risk.npz'; python -m orchestrator.scores"),
    ],
)
def test_missing_scores_name_the_command(changes: dict[str, object], message: str) -> None:
    with pytest.raises(AuditError, match=message) as caught:
        make_plan(config(**changes))
    assert "\n" not in str(caught.value)


def test_scores_of_other_data_are_refused(risk: Path, tmp_path: Path) -> None:
    with pytest.raises(AuditError, match="of other data"):
        read_scores(str(risk), num_examples=180, dataset_digest="f" * 64)
    short = tmp_path / "short.npz"
    write_scores(short, {"risk": np.zeros(7)}, {})
    with pytest.raises(AuditError, match="for each of 180 examples"):
        read_scores(str(short), num_examples=180, dataset_digest="f")


def test_results_without_such_shadow_models_are_refused(tmp_path: Path) -> None:
    Store(str(tmp_path)).check_ready()
    with pytest.raises(AuditError, match="holds no shadow models"):
        shadow_scores(str(tmp_path), architecture="net")
    with pytest.raises(UnknownName, match="Did you mean 'net'"):
        shadow_scores(str(finished() / "results"), architecture="nett")
