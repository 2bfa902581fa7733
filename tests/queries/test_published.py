"""Published values: derived columns recompute, misprints are marked, and the table joins with results."""

import csv
from collections import defaultdict
from pathlib import Path

import pytest

from orchestrator.results.catalogue import DIRECTORY
from orchestrator.results.connection import Results, published
from orchestrator.results.published import PUBLISHED
from orchestrator.store.store import Store
from tasks.unlearn.base import methods
from tests.support.fabricated import fabricated_setting

ROWS = published().to_pylist()
OURS_LACKS = {
    "boundary_shrink_curvature",
    "boundary_shrink_pgd_weighted",
    "coun",
    "llmu",
    "rmu",
    "task_arithmetic",
}
"""Published methods that Lethe does not have; every other name must be a registered one."""


def values(row_set: str) -> dict[str, dict[str, float]]:
    """By method and metric, without misprints."""
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for row in ROWS:
        if row["row_set"] == row_set and not row["misprint"]:
            found[row["method"]][row["metric"]] = row["value"]
    return found


def recomputed(table: dict[str, dict[str, float]], metrics: tuple[str, ...]) -> dict[str, float]:
    """Mean absolute difference to the retrained row, for the rows that have every term."""
    gold = table["retrain"]
    return {
        method: sum(abs(row[m] - gold[m]) for m in metrics) / len(metrics)
        for method, row in table.items()
        if all(m in row for m in metrics)
    }


def test_file_has_the_columns_of_the_schema_in_their_order():
    with Path(DIRECTORY / "published.csv").open(newline="", encoding="utf-8") as file:
        assert next(csv.reader(file)) == PUBLISHED.names
    assert len(ROWS) > 300


def test_every_row_says_where_it_comes_from():
    for row in ROWS:
        assert row["row_set"], row
        assert row["paper"], row
        assert row["mark"] in {"P", "C", "2", "R"}, row
        assert row["unit"] in {"percent", "fraction", "minutes", "seconds", "pflops"}, row
        assert row["value"] >= 0, row
        assert row["unit"] != "percent" or row["value"] <= 100, row
        assert row["unit"] != "fraction" or row["value"] <= 1, row


def test_no_value_is_given_twice():
    keys = [
        tuple(
            row[k]
            for k in ("row_set", "forget_set", "architecture", "method", "attack", "metric", "param", "note")
        )
        for row in ROWS
    ]
    assert len(keys) == len(set(keys))


def test_a_row_set_is_of_one_paper_and_one_data_set():
    for name in ("paper", "dataset"):
        found = defaultdict(set)
        for row in ROWS:
            found[row["row_set"]].add(row[name])
        assert all(len(v) == 1 for v in found.values()), name


def test_methods_carry_our_names():
    """Of those that are published for images; `rmu` is one for language models."""
    ours = {name for name in methods.names() if methods.get(name).objectives != {"language"}}
    assert {row["method"] for row in ROWS} - ours == OURS_LACKS


@pytest.mark.parametrize(
    ("row_set", "metrics", "gap", "rows", "tolerance"),
    [
        ("salun_table1_random10", ("ua", "ra", "ta", "mia_efficacy"), "average_gap_mia", 11, 0.0051),
        ("coun_random10", ("ua", "ra", "ta", "mia_efficacy"), "average_gap_mia", 9, 0.0051),
        ("coun_random50", ("ua", "ra", "ta", "mia_efficacy"), "average_gap_mia", 4, 0.0051),
        ("amun_random10", ("fa", "ra", "ta", "mia_auc"), "average_gap_rmia", 8, 0.03),
    ],
)
def test_average_gap_recomputes(row_set, metrics, gap, rows, tolerance):
    table = values(row_set)
    found = recomputed(table, metrics)
    assert len(found) == rows
    for method, value in found.items():
        assert value == pytest.approx(table[method][gap], abs=tolerance), method


def test_the_misprint_is_marked_and_is_one():
    [row] = [row for row in ROWS if row["misprint"]]
    assert (row["row_set"], row["method"], row["metric"]) == ("coun_random50", "neggrad_plus", "ua_gap")
    ua = values("coun_random50")["neggrad_plus"]["ua"]
    right, wrong = values("coun_random50")["retrain"]["ua"], values("coun_random10")["retrain"]["ua"]
    assert abs(ua - wrong) == pytest.approx(row["value"], abs=0.0051)
    assert abs(ua - right) > 4 * row["value"]


def test_four_papers_disagree_on_fine_tuning():
    gaps = {
        row["row_set"]: row["value"]
        for row in ROWS
        if row["method"] == "finetune"
        and row["metric"].startswith("average_gap")
        and row["row_set"].endswith("10")
    }
    assert gaps == {
        "salun_table1_random10": 3.78,
        "coun_random10": 0.65,
        "amun_random10": 2.06,
        "regun_random10": 2.79,
    }


def cell(cell_id: str, method: str, *, forget_set: str = "random:fraction=0.1", attack: str = "none") -> dict:
    reference = f"retrain-{forget_set}"
    role = "reference" if method == "retrain" else "audited"
    row = {
        "cell_id": cell_id,
        "model_id": reference if role == "reference" else f"{method}-{forget_set}",
        "reference_id": reference,
        "run_id": "run",
        "dataset": "cifar10",
        "architecture": "resnet18",
        "method": method,
        "scope": "all",
        "attack": attack,
        "forget_set": forget_set,
        "seed": 0,
        "role": role,
        "status": "finished",
    }
    return row | fabricated_setting(row)


def metric(cell_id: str, name: str, split: str, value: float, variant: str = "") -> dict:
    return {
        "cell_id": cell_id, "metric": name, "split": split, "variant": variant, "value": value,
        "ci_low": value - 0.01, "ci_high": value + 0.01, "n": 100, "higher_is": "closer_to_retrained",
    }  # fmt: skip


@pytest.fixture
def results(tmp_path):
    """Our retrained and fine-tuned models on two forget sets, and SalUn under the population attack."""
    store = Store(str(tmp_path))
    written = {
        "gold": (cell("gold", "retrain"), [("ua", "forget", 0.05), ("ta", "test", 0.93)]),
        "ft": (cell("ft", "finetune:lr=0.02"), [("ua", "forget", 0.01), ("ta", "test", 0.94)]),
        "gold2": (cell("gold2", "retrain", forget_set="class:label=1"), [("ua", "forget", 1.0)]),
        "ft2": (cell("ft2", "finetune", forget_set="class:label=1"), [("ua", "forget", 0.4)]),
        "mia": (cell("mia", "salun", attack="population"), []),
    }
    store.check_ready()
    for name, (row, found) in written.items():
        rows = [metric(name, *values) for values in found]
        if name == "mia":
            rows = [
                metric(name, "mia_efficacy", "forget", 0.2, "svc_confidence"),
                metric(name, "mia_efficacy", "forget", 0.9, "svc_entropy"),
            ]
        store.write("metrics", name, rows)
        store.write("cells", name, [row])
    with Results(str(tmp_path)) as session:
        yield session


def test_published_values_stand_beside_ours(results):
    rows = results.query("published_vs_ours", row_set="salun_table1_random10", method="finetune").to_pylist()
    by = {(row["metric"], row["forget_set"]): row for row in rows}
    assert set(by) == {
        ("ua", "random:fraction=0.1"),
        ("ta", "random:fraction=0.1"),
        ("ua", "class:label=1"),
    }
    row = by["ua", "random:fraction=0.1"]
    assert row["published"] == pytest.approx(0.0063)
    assert row["published_retrained"] == pytest.approx(0.0524)
    assert row["published_difference"] == pytest.approx(0.0063 - 0.0524)
    assert row["ours"] == pytest.approx(0.01)
    assert row["our_method"] == "finetune:lr=0.02"
    assert row["ours_retrained"] == pytest.approx(0.05)
    assert row["ours_difference"] == pytest.approx(-0.04)
    assert row["same_setting"] is True
    assert by["ua", "class:label=1"]["same_setting"] is False


def test_row_sets_stay_apart_and_each_keeps_its_own_retrained_model(results):
    rows = results.query("published_vs_ours", method="finetune").to_pylist()
    ua = {
        row["row_set"]: (row["published"], row["published_retrained"])
        for row in rows
        if row["metric"] == "ua" and row["same_setting"]
    }
    assert ua["salun_table1_random10"] == pytest.approx((0.0063, 0.0524))
    assert ua["coun_random10"] == pytest.approx((0.0376, 0.0481))
    assert ua["amun_random10"] == pytest.approx((1 - 0.9516, 1 - 0.9449))
    assert "coun_random50" not in ua


def test_membership_efficacy_is_that_of_the_confidence(results):
    rows = results.query("published_vs_ours", method="salun").to_pylist()
    found = {(row["row_set"], row["ours"]) for row in rows if row["metric"] == "mia_efficacy"}
    assert found == {(name, 0.2) for name in ("salun_table1_random10", "coun_random10", "coun_random50")}


def test_misprints_and_other_scopes_do_not_appear(results):
    assert "ua_gap" not in {row["metric"] for row in results.query("published_vs_ours").to_pylist()}
    assert results.query("published_vs_ours", scope="head").num_rows == 0


def test_joining_never_multiplies_a_published_value(results):
    rows = results.query("published_vs_ours").to_pylist()
    keys = [
        (r["row_set"], r["method"], r["metric"], r["published_forget_set"], r["note"], r["cell_id"])
        for r in rows
    ]
    assert len(keys) == len(set(keys)) > 0
