"""Tuning on documents: what is minimised, and the persons that the search forgets."""

import json

import numpy as np
import pytest

from orchestrator import run
from orchestrator.config.settings import load
from orchestrator.plan.data import plan_data
from orchestrator.plan.search import tuning_forget_set
from orchestrator.store.store import Store
from tasks.datasets.base import Labels
from tasks.datasets.splits import Splits
from tasks.errors import AuditError
from tasks.forget_sets.base import ForgetRequest, forget_kinds
from tasks.forget_sets.resolve import resolve
from tests.support.language_sweeps import changed_language

AUDIT = changed_language(
    {
        'method = ["finetune", "npo"]': 'method = ["grad_diff", "npo"]',
        'scope = ["all", "last-1"]': 'scope = ["all"]',
        'attack = ["none", "population", "extraction", "sampling"]': 'attack = ["none"]',
        'forget_set = ["documents", "persons"]': 'forget_set = ["persons"]',
        "npo = { epochs = 1, batch_size = 16, lr = 1e-3 }": "npo = { epochs = 1, batch_size = 16, lr = 1e-3 }\n"
        "grad_diff = { epochs = 1, batch_size = 16, lr = 1e-9 }\n"
        '[tuning.search]\ngrad_diff = { lr = ["loguniform", 1e-3, 1e-2] }',
    }
)


def test_every_method_is_tuned_towards_retraining_on_other_persons(tmp_path):
    (tmp_path / "audit.toml").write_text(AUDIT)
    assert run(str(tmp_path / "audit.toml"), out=tmp_path / "results", tune=2).finished
    store, search = Store(str(tmp_path / "results")), Store(str(tmp_path / "results" / "search"))
    trials = store.read("tuning").to_pylist()
    assert sorted((t["method"], t["trial"]) for t in trials) == [
        (method, trial) for method in ("grad_diff", "npo") for trial in (0, 1)
    ]
    found = {}
    for row in (r for r in search.read("metrics").to_pylist() if r["label"] is None):
        found.setdefault(row["cell_id"], {})[row["metric"], row["split"]] = row["value"]
    references = {c["cell_id"]: c for c in search.read("cells").to_pylist()}
    (retrained,) = (found[cell] for cell, row in references.items() if row["role"] == "reference")
    for trial in trials:
        assert (trial["metric"], trial["budget"]) == ("average_token_gap", 2)
        gaps = [
            abs(found[trial["cell_id"]]["token_accuracy", split] - retrained["token_accuracy", split])
            for split in ("forget", "retain", "test")
        ]
        assert trial["value"] == pytest.approx(np.mean(gaps), abs=1e-6)
        assert trial["ci_low"] <= trial["value"] <= trial["ci_high"]
        same = [t["value"] for t in trials if t["method"] == trial["method"]]
        assert trial["chosen"] == (trial["value"] == min(same))
    audited = {row["method"]: row["method_params_json"] for row in store.read("cells").to_pylist()}
    for trial in (t for t in trials if t["chosen"]):
        assert json.loads(audited[trial["method"]])["lr"] == json.loads(trial["params_json"])["lr"]
    groups = plan_data(load(str(tmp_path / "audit.toml"))).labels.groups
    own, other = (
        {int(groups[row["example_id"]]) for row in held.read("forget_sets").to_pylist()}
        for held in (store, search)
    )
    assert len(other) == len(own)
    assert not own & other


def request(persons=10, of_each=3):
    count = persons * of_each
    labels = Labels(
        labels=np.zeros(count, dtype=np.int64),
        is_test=np.zeros(count, dtype=bool),
        class_names=("document",),
        vocabulary=9,
        groups=np.repeat(np.arange(persons), of_each),
        group_names=tuple(f"p{number}" for number in range(persons)),
    )
    none = np.array([], dtype=np.int64)
    return ForgetRequest(labels=labels, splits=Splits(train=np.arange(count), validation=none, test=none))


def audited(kind, asked, **values):
    built = forget_kinds.build(kind, values, where="test")
    return built, resolve(built, asked)


@pytest.mark.parametrize(
    ("kind", "values", "persons"),
    [("groups", {"fraction": 0.4}, 4), ("groups", {"count": 1}, 1), ("group", {"name": "p3"}, 1)],
)
def test_the_search_forgets_as_many_other_persons_as_a_whole(kind, values, persons):
    asked = request()
    built, first = audited(kind, asked, **values)
    groups = asked.labels.groups
    found = tuning_forget_set(built, [first], asked)
    own = set(groups[found.ids].tolist())
    assert len(own) == persons
    assert not own & set(groups[first.ids].tolist())
    assert len(found.ids) == 3 * persons


def test_persons_of_whom_another_forget_set_holds_a_document_are_left_alone():
    asked = request()
    built, first = audited("groups", asked, count=3)
    _, second = audited("random", asked, count=3)
    found = tuning_forget_set(built, [first, second], asked)
    groups = asked.labels.groups
    assert not set(groups[found.ids].tolist()) & set(groups[np.concatenate([first.ids, second.ids])].tolist())
    many, most = audited("groups", asked, count=6)
    with pytest.raises(AuditError, match=r"tuning: expected 6 groups of which no audited .* and 4 are left"):
        tuning_forget_set(many, [most], asked)


def test_single_documents_are_searched_on_single_documents():
    asked = request()
    built, first = audited("random", asked, count=5)
    found = tuning_forget_set(built, [first], asked)
    assert len(found.ids) == 5
    assert not set(found.ids.tolist()) & set(first.ids.tolist())
