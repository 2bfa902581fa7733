"""Finished models: the guide's example as it stands, audited three ways; and what no retrained model leaves unsaid."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator import certificate as certificate_command
from orchestrator import run
from orchestrator import sweep as sweep_command
from orchestrator.outputs import __main__ as outputs_command
from orchestrator.results.connection import Results
from orchestrator.store.store import Store
from tests.support.commands import here, ran_script
from tests.support.finished_models import BEGIN, write_model
from tests.support.pages import WORKED

MODULES: dict[str, Callable[[list[str]], int]] = {
    "orchestrator.sweep": sweep_command.main,
    "orchestrator.outputs": outputs_command.main,
    "orchestrator.certificate": certificate_command.main,
}
ROUNDING = 1e-5
"""By which numbers from logits may differ whose sums another loop took in another order."""
FITTED = 0.05
"""The same of support vector machines, which stop at a tolerance: what differs by rounding ends elsewhere."""


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the guide's example, after all of its commands."""
    folder = tmp_path_factory.mktemp("example")
    for block in WORKED.fenced("python"):
        (folder / block.partition("\n")[0].removeprefix("# ")).write_text(block)
    given, outputs, *_ = WORKED.fenced("toml")
    (folder / "given.toml").write_text(given)
    (folder / "outputs.toml").write_text(outputs)
    for command in WORKED.commands:
        _, *words = shlex.split(command)
        if words[0] == "-m":
            more = ["--no-report"] if words[1] == "orchestrator.sweep" else []
            ran = here(MODULES[words[1]], *words[2:], *more, folder=folder)
            undecided = 4 if words[1] == "orchestrator.certificate" else 0
            assert ran.returncode == undecided, f"{command}\n{ran.stderr}"
        else:
            ran_script(folder, *words)
    return folder


Numbers = dict[tuple[str, str], dict[str, float]]


@pytest.fixture(scope="module")
def measured(example: Path) -> dict[str, Numbers]:
    """Numbers in each of the results."""
    return {name: numbers(example / name) for name in ("results-given", "results-outputs")}


def numbers(results: Path) -> Numbers:
    """Values and intervals by the place of the metric, of every method and attack."""
    with Results(str(results)) as opened:
        rows = opened.sql(
            "select cells.method, cells.attack, metrics.* from metrics join plan_cells as cells "
            "on cells.cell_id = metrics.cell_id"
        ).to_pylist()
    found: Numbers = {}
    for row in rows:
        row.pop("cell_id")
        cell = found.setdefault((row.pop("method"), row.pop("attack")), {})
        held = {name: row.pop(name) for name in ("value", "ci_low", "ci_high")}
        cell |= {json.dumps([row, name]): value for name, value in held.items() if value is not None}
    return found


def test_files_and_the_program_agree_to_the_last_bit(example: Path, measured: dict[str, Numbers]) -> None:
    given = measured["results-given"]
    for attack in ("none", "population"):
        ours, theirs = (given[method, attack] for method in ("longer", "rerun"))
        assert len(ours) > 50
        assert ours == theirs
        assert ours != given["no_op", attack]
    store = Store(str(example / "results-given"))
    cells = {row["cell_id"]: row["method"] for row in store.read("cells").to_pylist()}
    for table in ("examples", "layers"):
        rows: dict[str, list[str]] = {"longer": [], "rerun": []}
        for row in store.read(table).to_pylist():
            method = cells[row.pop("cell_id")]
            if method in rows:
                rows[method].append(json.dumps(row, sort_keys=True))
        assert sorted(rows["longer"]) == sorted(rows["rerun"]) != []
    made = {row["method"]: row for row in store.read("models").to_pylist() if row["kind"] == "unlearned"}
    assert made["longer"]["weights_digest"] == made["rerun"]["weights_digest"]
    assert made["longer"]["seconds"] is None
    assert made["rerun"]["seconds"] > 0


@pytest.mark.parametrize("method", ["longer", "no_op", "retrain", "retrain_again"])
def test_outputs_agree_on_all_that_logits_suffice_for(
    example: Path, measured: dict[str, Numbers], method: str
) -> None:
    for attack in ("none", "population"):
        ours, theirs = (measured[name][method, attack] for name in ("results-given", "results-outputs"))
        assert ours.keys() == theirs.keys()
        for place, value in ours.items():
            fitted = "svc" in place or "mia" in place
            if not fitted:
                assert value == pytest.approx(theirs[place], abs=ROUNDING, rel=ROUNDING), place
            elif '"auc"' in place:
                assert value == pytest.approx(theirs[place], abs=FITTED), place
    layers = Store(str(example / "results-outputs")).read("layers")
    assert layers.num_rows == 0  # the one thing that needs more


def page_text(path: Path) -> str:
    """A page without its tags."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", path.read_text()))


def test_each_way_has_its_certificate_and_names_the_files(example: Path) -> None:
    shown = {name: page_text(example / f"{name}.html") for name in ("longer", "rerun", "outputs")}
    assert all("Record of a deletion audit" in text and "undecided" in text for text in shown.values())
    for name in ("longer", "rerun"):
        assert "retrained again, seed 0: again.safetensors, SHA-256" in shown[name]
        assert "Both retrained models of each seed were given" in shown[name]
    assert "longer, seed 0: unlearned.safetensors, SHA-256" in shown["longer"]
    assert "unlearned.safetensors, SHA-256" not in shown["rerun"]
    assert "run elsewhere" in shown["longer"]


def test_given_models_of_the_example_know_their_training_examples(example: Path) -> None:
    ran = here(sweep_command.main, "given.toml", "--out", "results-given", "--dry-run", folder=example)
    (line,) = [line for line in ran.stdout.splitlines() if "training and" in line]
    assert int(re.search(r"(\d+) of 600 training", line)[1]) > 500  # type: ignore[index]
    assert "AT CHANCE" not in ran.stdout
    assert "0 to compute" in ran.stdout
    wrong = here(
        sweep_command.main,
        "given.toml",
        "--out",
        "other",
        "--dry-run",
        "--set",
        "data.mean=[30.0]",
        folder=example,
    )
    assert "AT CHANCE" in wrong.stdout


def audited(folder: Path, text: str, begin: str = BEGIN) -> Path:
    """The results of a small audit of given models."""
    (folder / "audit.toml").write_text(begin + text)
    outcome = run(folder / "audit.toml", out=folder / "results")
    assert outcome.finished, outcome.failed["error"].to_pylist()
    return folder / "results"


def rows_of(results: Path, sql: str, run: str | None = None) -> list[dict[str, Any]]:
    with Results(str(results), run) as opened:
        found: list[dict[str, Any]] = opened.sql(sql).to_pylist()
    return found


ALONE = '[given]\noriginal = "o.safetensors"\n[given.unlearned]\ntheirs = "u.safetensors"\n'


def test_without_retrained_models_each_is_measured_by_itself_and_nothing_is_decided(tmp_path: Path) -> None:
    for seed, name in enumerate("ou"):
        write_model(tmp_path / f"{name}.safetensors", seed=seed)
    begin = BEGIN.replace('"population"', '"population", "fgsm"') + "[attacks.fgsm]\neps = [0.05]\n"
    begin += '[attacks.population]\nstatistics = ["loss_threshold"]\n'
    results = audited(tmp_path, ALONE, begin)
    measured = {row["metric"] for row in rows_of(results, "select distinct metric from metrics")}
    assert {"accuracy", "robust_accuracy", "auc"} <= measured
    assert not {"average_gap", "js_to_retrained", "agreement"} & measured
    assert rows_of(results, "select distinct retrained from leaderboard") == [{"retrained": None}]
    assert Store(str(results)).read("layers").num_rows > 0
    verdicts = rows_of(results, "select distinct verdict, reason from verdicts where family = 'primary'")
    assert verdicts == [{"verdict": "undecided", "reason": "no retrained model"}]
    page = tmp_path / "page.html"
    words = (results, "--forget-set", "random:count=10", "--method", "theirs", "--output", page)
    ran = here(certificate_command.main, *words)
    assert ran.returncode == 4, ran.stderr
    assert "No model that was retrained without the data is known here" in page_text(page)
    write_model(tmp_path / "u.safetensors", seed=9)  # another file under the same name
    audited(tmp_path, ALONE, begin)
    cells = rows_of(
        results, "select count(*) as n, method from plan_cells group by method order by method", "all"
    )
    assert cells == [{"n": 3, "method": "no_op"}, {"n": 3, "method": "theirs"}]


def test_a_stated_recipe_retrains_and_trains_shadow_models(tmp_path: Path) -> None:
    for seed, name in enumerate("ou"):
        write_model(tmp_path / f"{name}.safetensors", seed=seed)
    begin = BEGIN.replace(
        'attack = ["none", "population"]', 'method = ["theirs", "finetune"]\nattack = ["none", "u_lira"]'
    )
    text = (
        ALONE
        + "[training]\nepochs = 1\n[methods.finetune]\nepochs = 1\n[shadows]\nnum = 16\nforget_fraction = 0.5\n"
    )
    results = audited(tmp_path, text, begin)
    cells = rows_of(results, "select method, attack from plan_cells order by method, attack")
    assert [(row["method"], row["attack"]) for row in cells] == [
        ("finetune", "none"),
        ("finetune", "u_lira"),
        ("no_op", "none"),
        ("no_op", "u_lira"),
        ("retrain", "none"),
        ("retrain", "u_lira"),
        ("retrain_again", "none"),
        ("theirs", "none"),
    ]
    gaps = rows_of(
        results,
        "select distinct method from leaderboard where metric = 'accuracy' and difference is not null",
    )
    assert {row["method"] for row in gaps} == {"finetune", "no_op", "retrain", "retrain_again", "theirs"}
    settings = rows_of(
        results,
        "select distinct method, model_setting from verdicts where method = 'finetune' and family = 'primary'",
    )
    assert (
        len(settings) == 1
    )  # on single models and on shadow models it is one method: one family of measures
    made = {
        row["method"] or row["kind"]: row["seconds"] for row in Store(str(results)).read("models").to_pylist()
    }
    assert made["original"] is made["theirs"] is None
    assert made["retrain"] > 0
