"""A whole sweep of language models: one base for all, the tables of images, nothing twice, and a page."""

import json
import re

import numpy as np
import pytest

from orchestrator.config.settings import load
from orchestrator.plan.grid import make_plan
from orchestrator.report.certificate import as_page, certify
from orchestrator.report.documents import began
from orchestrator.report.subject import choose
from orchestrator.report.write import build as report
from orchestrator.results import Results
from orchestrator.store.store import Store
from tasks.datasets.fictitious_people import FictitiousPeople
from tests.support.language_sweeps import LANGUAGE, changed_language
from tests.support.sweeps import content, sweep

CELLS = 2 * 4 * (3 + 2 * 2)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("language")
    (folder / "audit.toml").write_text(LANGUAGE)
    ran = sweep(folder / "audit.toml", "--out", folder / "results")
    assert ran.returncode == 0, ran.stderr
    return folder, ran


@pytest.fixture(scope="module")
def store(finished):
    return Store(str(finished[0] / "results"))


def plan_of(folder, text=LANGUAGE):
    path = folder / "other.toml"
    path.write_text(text)
    return make_plan(load(str(path)))


def test_every_cell_has_finished_and_is_not_computed_again(finished, store):
    folder, ran = finished
    assert f"{CELLS} of {CELLS} cells finished, 0 failed" in ran.stderr
    before = content(folder / "results")
    again = sweep(folder / "audit.toml", "--out", folder / "results")
    assert again.returncode == 0, again.stderr
    assert "to do" not in again.stderr
    assert content(folder / "results") == before


def test_one_base_is_made_once_and_everything_starts_from_it(finished, store):
    models = store.read("models").to_pylist()
    (base,) = (row for row in models if row["kind"] == "pretrained")
    trained = [row for row in models if row["kind"] in ("original", "retrained")]
    assert len(trained) == 1 + 2 * 2
    assert {row["parent_id"] for row in trained} == {base["model_id"]}
    assert base["samples"] > trained[0]["samples"] / 4
    (stage,) = (row for row in store.read("costs").to_pylist() if row["stage_id"] == base["model_id"])
    assert stage["stage"] == "pretrain"
    settings = store.read("settings").to_pylist()
    assert {row["value"] for row in settings if row["key"] == "pretrained.pretraining.epochs"} == {"1"}


def test_the_base_is_named_by_its_recipe_and_the_public_part_alone(tmp_path):
    def base_and_original(text):
        plan = plan_of(tmp_path, text)
        kinds = {spec.kind: spec for spec in plan.models.values()}
        assert plan.trained()[0].kind == "pretrained"
        return kinds["pretrained"].model_id, kinds["original"].model_id

    base, original = base_and_original(LANGUAGE)
    others = {
        "training": {"epochs = 4": "epochs = 5"},
        "audited people": {"num_train = 20": "num_train = 21"},
        "seed": {"seed = [0]": "seed = [3]"},
    }
    for change in others.values():
        same, other = base_and_original(changed_language(change))
        assert same == base
        assert other != original
    for change in (
        {"[pretraining]\nepochs = 1": "[pretraining]\nepochs = 2"},
        {"[pretraining]": "[pretraining]\nseed = 1"},
        {"num_public = 30": "num_public = 31"},
        {"d = 16, layers": "d = 32, layers"},
    ):
        other = base_and_original(changed_language(change))
        assert other[0] != base
        assert other[1] != original
    table = LANGUAGE[LANGUAGE.index("[pretraining]") : LANGUAGE.index("[training]")]
    without = plan_of(tmp_path, changed_language({table: "", ', "reference"': ""}))
    assert "pretrained" not in {spec.kind for spec in without.models.values()}
    assert original not in without.models


def test_a_plan_of_some_cells_holds_the_base(tmp_path):
    plan = plan_of(tmp_path)
    for cell in plan.cells:
        assert plan.only([cell.cell_id]).trained()[0].kind == "pretrained"


def test_examples_hold_what_is_known_of_documents(store):
    source = FictitiousPeople(num_train=20, num_test=10, num_public=30)
    lengths = source.read_inputs().lengths
    rows = [row for row in store.read("examples").to_pylist() if row["attack"] == "none"]
    assert {row["split"] for row in rows} == {"forget", "retain", "test", "validation"}
    for row in rows:
        assert row["tokens"] == lengths[row["example_id"]] - 1
        assert row["predicted"] is None
        assert None not in (row["loss"], row["phi"], row["min_k"], row["min_k_pp"], row["extraction"])
        assert row["min_k"] <= -row["loss"] + 1e-6
        assert row["phi"] == pytest.approx(-row["loss"] - np.log(-np.expm1(-row["loss"])), rel=1e-4)


def test_a_forget_set_of_persons_holds_all_their_training_documents(store):
    source = FictitiousPeople(num_train=20, num_test=10, num_public=30)
    labels = source.read_labels()
    sets = store.read("forget_sets").to_pylist()
    chosen = {row["example_id"] for row in sets if row["forget_set"] == "persons"}
    people = {int(labels.groups[i]) for i in chosen}
    assert len(people) == 4
    assert chosen == set(np.flatnonzero(np.isin(labels.groups, list(people))).tolist())
    (origin,) = {row["provenance_json"] for row in sets if row["forget_set"] == "persons"}
    assert set(json.loads(origin)["groups"]) == {labels.group_names[person] for person in people}
    assert all(row["retained_distance"] > 0.2 for row in sets if row["retained_exact"] == 0)


def test_metrics_are_of_every_split_and_hold_their_intervals(store):
    cells = {row["cell_id"]: row for row in store.read("cells").to_pylist()}
    seen = set()
    for row in store.read("metrics").to_pylist():
        seen.add((cells[row["cell_id"]]["attack"], row["metric"], row["split"]))
        if not row["metric"].startswith("epsilon_"):
            assert row["ci_low"] - 1e-9 <= row["value"] <= row["ci_high"] + 1e-9, row
    for split in ("forget", "retain", "test"):
        assert ("none", "token_accuracy", split) in seen
        assert ("none", "perplexity", split) in seen
        assert ("extraction", "extraction_strength", split) in seen
        assert ("extraction", "exact_extraction", split) in seen
        assert ("sampling", "sampled_extraction", split) in seen
    assert ("population", "auc", "forget") in seen
    assert {("none", "js_to_retrained", split) for split in ("forget", "test")} <= seen


def test_a_model_is_at_no_distance_from_itself_and_others_are_apart(finished):
    with Results(str(finished[0] / "results")) as results:
        rows = results.sql("select role, value from leaderboard where metric = 'js_to_retrained'").to_pylist()
    assert {row["value"] for row in rows if row["role"] == "reference"} == {0.0}
    assert min(row["value"] for row in rows if row["role"] != "reference") > 0


def test_each_person_who_is_retained_or_tested_has_a_row_beside_the_retrained_model(finished):
    with Results(str(finished[0] / "results")) as results:
        rows = results.query("per_class", metric="token_accuracy", split="retain").to_pylist()
        examples = results.sql(
            "select example_id, token_accuracy from examples join cells on cells.cell_id = examples.cell_id "
            "where cells.attack = 'none' and method = 'npo' and scope = 'all' and forget_set = 'persons' "
            "and split = 'retain'"
        ).to_pylist()
    labels = FictitiousPeople(num_train=20, num_test=10, num_public=30).read_labels()
    mine = [r for r in rows if (r["method"], r["scope"], r["forget_set"]) == ("npo", "all", "persons")]
    by_person: dict[int, list[float]] = {}
    for row in examples:
        by_person.setdefault(int(labels.groups[row["example_id"]]), []).append(row["token_accuracy"])
    assert {row["label"]: row["value"] for row in mine} == pytest.approx(
        {person: np.mean(values) for person, values in by_person.items()}
    )
    assert all(
        row["retrained"] is not None and row["ci_low"] <= row["value"] <= row["ci_high"] for row in mine
    )


def test_the_statistics_of_documents_are_scored(finished):
    with Results(str(finished[0] / "results")) as results:
        rows = results.sql(
            "select distinct statistic from examples where attack = 'population' order by statistic"
        ).to_pylist()
    assert [row["statistic"] for row in rows] == ["loss_threshold", "min_k_pp", "reference", "zlib"]


def test_the_verdict_rests_on_tokens_and_the_attack(finished):
    with Results(str(finished[0] / "results")) as results:
        rows = results.sql("select distinct metric, split from verdicts where family = 'primary'").to_pylist()
    assert {(row["metric"], row["split"]) for row in rows} == {
        ("token_accuracy", "forget"),
        ("token_accuracy", "retain"),
        ("token_accuracy", "test"),
        ("auc", "forget"),
    }


def test_what_models_began_with_is_recorded_and_said(finished, store):
    (row,) = store.read("runs").select(["bases_json"]).slice(0, 1).to_pylist()
    assert json.loads(row["bases_json"]) == [
        {"architecture": "tiny_gpt", "base": "public part", "unseen": "checked"}
    ]
    with Results(str(finished[0] / "results")) as results:
        (said,) = began(results, "tiny_gpt")
        assert began(results, "other") == []
        page = as_page(
            certify(
                results,
                choose(results, forget_set="persons", method="npo", architecture="tiny_gpt", scope="all"),
            )
        )
    assert said in page
    assert "no audited document is in it, which was checked" in said
    assert "of class" not in page
    assert "all documents of 4 groups" in page


def test_copies_of_documents_are_counted_by_their_own_bound(finished, store):
    sets = store.read("forget_sets").to_pylist()
    with Results(str(finished[0] / "results")) as results:
        rows = results.query("retained_copies").to_pylist()
        wide = results.query("retained_copies", threshold=1.0).to_pylist()
    assert {row["threshold"] for row in rows} == {0.2}
    for row, most in zip(rows, wide, strict=True):
        own = [r for r in sets if r["forget_set"] == row["forget_set"]]
        assert row["near"] == sum(r["retained_exact"] == 0 and r["retained_distance"] < 0.2 for r in own)
        assert most["near"] > row["near"]


def test_a_report_shows_words_and_persons_in_place_of_pictures(finished):
    source = FictitiousPeople(num_train=20, num_test=10, num_public=30)
    page, _ = report(str(finished[0] / "results"))
    with Results(str(finished[0] / "results")) as results:
        rows = results.query("hardest_examples", top=10**6).to_pylist()
    persons = [row for row in rows if row["forget_set"] == "persons"]
    labels = source.read_labels()
    groups = {labels.group_names[labels.groups[row["example_id"]]] for row in persons}
    worst = persons[0]["example_id"]
    assert f'data-example="{worst}"' in page
    words = " ".join(
        f'<mark title="{kind}">{text}</mark>' if kind else text for text, kind in source.pieces(worst)
    )
    assert words in re.sub(r"\s+", " ", page)
    assert all(f'<th scope="row">{name}</th>' in page for name in groups)
    assert "<mark title=" in page
    assert "noimage" not in page.partition("</style>")[2]
    assert "no audited document is in it, which was checked" in page
