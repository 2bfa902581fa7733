"""Risk scores from stored observations: their numbers, their file, and what ranks by them."""

from __future__ import annotations

import json
import subprocess
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch

from orchestrator.config.settings import SweepConfig
from orchestrator.plan.grid import make_plan
from orchestrator.plan.score_file import read_scores, write_scores
from orchestrator.scores.__main__ import main
from orchestrator.scores.features import feature_scores
from orchestrator.scores.risk import shadow_scores
from orchestrator.store.store import Store
from tasks import fields
from tasks.errors import AuditError, UnknownName
from tasks.runtime import weights
from tests.support.commands import here
from tests.support.shadow_sweeps import TEXT, copied, finished, sweep

HEAD = ("body.fc.weight", "body.fc.bias")
"""The last layer of the tiny network."""


LEVELS = ("low", "mid", "high")
CHOSEN = {
    **{("privacy_risk", level): f"by_score:score=privacy_risk,level={level},count=12" for level in LEVELS},
    **{("entanglement", level): f"entanglement:level={level},count=7" for level in LEVELS},
}


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


def test_levels_of_memorisation_come_from_the_same_file(risk: Path) -> None:
    kinds = [f"by_score:score=memorisation,level={level},count=12" for level in LEVELS]
    chosen = make_plan(config(data__scores=str(risk), axes__forget_set=kinds)).data.forget_sets
    scores = plan_scores(risk)["memorisation"]
    train = make_plan(config()).data.splits.train
    low, mid, high = (scores[chosen[kind].ids] for kind in kinds)
    assert low.max() <= np.sort(scores[train])[11]
    assert high.min() >= np.sort(scores[train])[-12]
    rest = np.setdiff1d(train, chosen[kinds[1]].ids)
    assert np.abs(mid - 0.5).max() <= np.abs(scores[rest] - 0.5).min() + 1e-12  # RUM's middle


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
    ids = [{(c.method, c.attack): c.subject.id for c in plan.cells} for plan in plans]
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


def run_scores(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command as a user types it."""
    return here(main, folder / "results", "--architecture", "net", *arguments)


@pytest.fixture(scope="module")
def by_score(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shadow models and an original are trained, scored by the command, and forget sets swept by the scores."""
    folder = copied(tmp_path_factory.mktemp("by_score"))
    trained = sweep(folder, attack='["none"]')
    assert trained.returncode == 0, trained.stderr
    scored = run_scores(folder, "--kinds", "risk", "features", "--output", str(folder / "risk.npz"))
    assert scored.returncode == 0, scored.stderr
    assert "memorisation and privacy_risk of" in scored.stdout
    assert "16 shadow models, 16 features of" in scored.stdout
    names = ", ".join(f'"{text}"' for text in CHOSEN.values())
    ran = sweep(folder, attack='["none"]', forget_set=f"[{names}]", scores=f'"{folder / "risk.npz"}"')
    assert ran.returncode == 0, ran.stderr
    return folder


def test_forget_sets_by_score_and_entanglement_come_out_as_rows(by_score: Path) -> None:
    store = Store(str(by_score / "results"))
    cells = [r for r in store.read("cells").to_pylist() if r["forget_set"] in CHOSEN.values()]
    assert {r["status"] for r in cells} == {"finished"}
    assert {(r["forget_set"], r["method"]) for r in cells} >= {(s, "finetune") for s in CHOSEN.values()}
    measured = set(store.read("metrics")["cell_id"].to_pylist())
    assert {r["cell_id"] for r in cells} <= measured
    originals = [r for r in store.read("models").to_pylist() if r["kind"] == "original"]
    assert len(originals) == 1  # the sweep by score forgets from the model that was asked


def test_levels_are_ordered_and_name_their_origin(by_score: Path) -> None:
    with np.load(by_score / "risk.npz", allow_pickle=False) as content:
        arrays = {name: content[name] for name in content.files if name != "provenance"}
    store = Store(str(by_score / "results"))
    rows = store.read("forget_sets").to_pylist()
    (original,) = [r for r in store.read("models").to_pylist() if r["kind"] == "original"]
    known = np.isfinite(arrays["features"]).all(axis=1)
    assert np.array_equal(np.flatnonzero(known), make_plan(config()).data.splits.train)
    distance = np.linalg.norm(arrays["features"] - arrays["features"][known].mean(axis=0), axis=1)
    values = {**arrays, "entanglement": distance}
    for score in ("privacy_risk", "entanglement"):
        means = []
        for level in LEVELS:
            mine = [r for r in rows if r["forget_set"] == CHOSEN[score, level]]
            means.append(values[score][[r["example_id"] for r in mine]].mean())
            origin = json.loads(mine[0]["provenance_json"])
            assert len(mine) == (7 if score == "entanglement" else 12)
            assert origin["scores"]["features"]["model_id"] == original["model_id"]
            assert origin["scores"]["features"]["weights_sha256"] == original["weights_digest"]
            assert origin["scores"]["num_shadows"] == 16
            assert ("entanglement_score" in origin) == (score == "entanglement")
        assert means[0] < means[1] < means[2], score


def test_features_are_the_inputs_of_the_head(by_score: Path, tmp_path: Path) -> None:
    """Applied to them, the original's last layer gives the logits behind the stored phi."""
    path = tmp_path / "features.npz"
    again = run_scores(by_score, "--kinds", "features", "--output", str(path))
    assert again.returncode == 0, again.stderr
    with np.load(path, allow_pickle=False) as content, np.load(by_score / "risk.npz") as both:
        assert set(content.files) == {"features", "provenance"}
        features = content["features"]
        assert np.array_equal(features, both["features"], equal_nan=True)
    store = Store(str(by_score / "results"))
    (original,) = [r for r in store.read("models").to_pylist() if r["kind"] == "original"]
    tensors = weights.load_tensors(
        store.get_blob("weights", original["model_id"]), device=torch.device("cpu")
    )
    weight, bias = (tensors[name].double().flatten(1 if "weight" in name else 0).numpy() for name in HEAD)
    plan = make_plan(config())
    ids = plan.data.splits.train
    logits = features[ids] @ weight.T + bias
    labels = plan.data.labels.labels[ids]
    true = logits[np.arange(len(ids)), labels]
    rest = np.where(np.arange(3) == labels[:, None], -np.inf, logits)
    phi = dict(zip(ids.tolist(), true - np.logaddexp.reduce(rest, axis=1), strict=True))
    (cell,) = [
        r
        for r in store.read("cells").to_pylist()
        if (r["role"], r["forget_set"], r["attack"]) == ("ceiling", CHOSEN["entanglement", "low"], "none")
    ]
    stored = [
        r
        for r in store.read("examples", cell["cell_id"], attack="none").to_pylist()
        if r["example_id"] in phi
    ]
    assert len(stored) > 50
    for row in stored:
        assert row["phi"] == pytest.approx(phi[row["example_id"]], rel=1e-3, abs=1e-3)


def test_features_need_a_trained_original(tmp_path: Path) -> None:
    """A sweep of shadow models alone trains no original; the message says which does."""
    ran = run_scores(finished(), "--kinds", "features", "--output", str(tmp_path / "f.npz"))
    assert ran.returncode == 2
    assert "holds no original model of 'net'; a sweep with an attack such as none" in ran.stderr
    with pytest.raises(AuditError, match=r"ranks by the score 'features'.*--kinds features on the results"):
        make_plan(config(axes__forget_set=["entanglement:level=low,count=5"]))
    with pytest.raises(UnknownName, match="Did you mean 'net'"):
        feature_scores(str(finished() / "results"), architecture="nett")
