"""Table 1 of a paper: numbers from SQL, nothing mixed in silence, and LaTeX that compiles whatever the names are."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import statistics
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestrator import query
from orchestrator.config.settings import canonical
from orchestrator.errors import run_command
from orchestrator.plan.setting import Setting
from orchestrator.results.connection import Results
from orchestrator.results.forms import Format
from orchestrator.results.paper.columns import Key, Narrowing, parse_columns, resolve
from orchestrator.results.paper.forms import Spread, write_paper
from orchestrator.results.paper.headings import heading, left_out
from orchestrator.results.paper.table import Choices, paper_table
from orchestrator.store.store import Store
from tasks.errors import AuditError
from tests.support import synthetic_results as synthetic
from tests.support.audited import write_accuracy, write_cell, write_models, write_run
from tests.support.fabricated import write_setting

PDFLATEX = shutil.which("pdflatex")
RANDOM = {"forget_set": "random:fraction=0.1"}
BOTH = ("accuracy:forget,accuracy:test",)
VALUES = {"retrain": 0.5, "retrain_again": 0.503, "no_op": 1.0, "near": 0.51, "far": 0.9, "same": 0.51}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Results]:
    root = str(tmp_path_factory.mktemp("results"))
    synthetic.fill(root)
    with Results(root) as session:
        yield session


@pytest.fixture
def made(tmp_path: Path) -> Store:
    store = Store(str(tmp_path / "made"))
    write_run(store)
    return store


def table(
    results: Results,
    form: Format = "csv",
    spread: Spread = "sd",
    of: Mapping[str, str] = RANDOM,
    **choices: Any,
) -> str:
    return write_paper(paper_table(results, Choices(of=of, **choices)), form, spread).decode()


def records(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_numbers_are_those_of_sql(results: Results) -> None:
    rows = {row["method"]: row for row in records(table(results, columns=BOTH))}
    assert list(rows)[:3] == ["retrain", "retrain_again", "no_op"]  # controls first
    found = results.sql(
        "select value from leaderboard where method = 'salun' and metric = 'accuracy' and split = 'forget' "
        "and forget_set = 'random:fraction=0.1' and label is null"
    )["value"].to_pylist()
    salun = rows["salun"]
    assert float(salun["accuracy:forget"]) == pytest.approx(statistics.mean(found))
    assert float(salun["accuracy:forget_sd"]) == pytest.approx(statistics.stdev(found))
    assert salun["accuracy:forget_seeds"] == "3"
    seeds = results.query("seed_variance", metric="accuracy", split="test").to_pylist()
    (same,) = [r for r in seeds if (r["method"], r["forget_set"]) == ("salun", RANDOM["forget_set"])]
    assert float(salun["accuracy:test_low"]) == same["mean_low"]
    assert float(salun["accuracy:test_high"]) == same["mean_high"]


def test_cost_and_verdict_are_those_of_the_scoreboard(results: Results) -> None:
    known = {
        row["method"]: (row["cost"], row["verdict"])
        for row in results.query("scoreboard", **RANDOM).to_pylist()
    }
    shown = json.loads(table(results, "json", columns=("cost", "verdict")))
    assert {row["method"]: (pytest.approx(row["cost"]), row["verdict"]) for row in shown} == known


def test_intervals_of_the_average_gap_are_those_of_the_scoreboard(made: Store) -> None:
    """Retraining is no distance from itself: the interval of one would be read as noise."""
    row = {
        "metric": "average_gap",
        "split": "all",
        "variant": "",
        "n": 100,
        "higher_is": "worse",
        "ci_low": 0.0,
    }
    for seed in range(3):
        for method, gap in (("retrain", 0.0), ("near", 0.01 * (1 + seed))):
            cell_id = write_cell(made, method, seed=seed)
            made.write("metrics", cell_id, [row | {"value": gap, "ci_high": gap + 0.02}])
    with Results(made.root) as results:
        known = {r["method"]: (r["gap_low"], r["gap_high"]) for r in results.query("scoreboard").to_pylist()}
        shown = json.loads(table(results, "json", of={}, columns=("average_gap",)))
    ends = {row["method"]: (row["average_gap:all_low"], row["average_gap:all_high"]) for row in shown}
    assert known["retrain"] == (0, 0)
    assert known["near"][1] > 0.03
    assert ends == {method: pytest.approx(there) for method, there in known.items()}


@pytest.mark.parametrize(
    ("spread", "words", "number"),
    [
        ("sd", "standard deviation over 3 seeds", r"\$0\.\d{3} \\pm 0\.\d{3}\$"),
        ("interval", r"95 \% interval] over 3 seeds", r"\$0\.\d{3}\\,\[0\.\d{3}, [01]\.\d{3}\]\$"),
    ],
)
def test_what_stands_beside_a_mean_is_said(results: Results, spread: Spread, words: str, number: str) -> None:
    shown = table(results, "latex", spread, columns=BOTH)
    comment, caption = shown.splitlines()[0], re.search(r"\\caption\{(.*)\}", shown)[1]  # type: ignore[index]
    assert comment.startswith("% ")
    assert words.replace("\\", "") in comment
    assert words in caption
    assert re.search(number, shown)


def test_the_best_is_bold_by_direction_with_ties_and_without_controls(made: Store) -> None:
    """Closest to the retrained model: `near` and `same` read alike; doing nothing and retraining do not compete, nor do
    seeds that differ in opposite directions come close."""
    write_models(made, VALUES)
    for seed, value in enumerate((0.2, 0.8, 0.5)):
        write_accuracy(made, write_cell(made, "apart", seed=seed), value, 0.01)
    with Results(made.root) as results:
        marked = table(results, "markdown", of={}, columns=("accuracy:forget",))
        latex = table(results, "latex", of={}, columns=("accuracy:forget",))
        text = table(results, "table", of={}, columns=("accuracy:forget",))
    assert {line.split("|")[1].strip() for line in marked.splitlines() if "**0" in line} == {"near", "same"}
    assert set(re.findall(r"^(\w+) & \$\\mathbf", latex, flags=re.MULTILINE)) == {"near", "same"}
    assert {line.split()[0] for line in text.splitlines() if re.search(r"\d\*", line)} == {"near", "same"}
    parts = [part.split(" & ")[0].strip() for part in re.split(r"\\midrule", latex)[1:]]
    assert parts == ["retrain", "apart"]


def test_several_forget_sets_are_refused_or_rows(results: Results) -> None:
    asked = "forget_set class:label=3, random:fraction=0.1; choose one with --forget-set"
    with pytest.raises(AuditError, match=asked):
        table(results, of={}, columns=BOTH)
    shown = table(results, "markdown", of={}, columns=BOTH, rows=("forget_set",))
    lines = [line.split("|") for line in shown.splitlines() if line.startswith("|")][2:]
    groups = [line[1].strip() for line in lines]
    assert len(groups) == 12
    assert groups == sorted(groups)
    assert {line[1].strip() for line in lines if "**" in line[3]} == set(
        groups
    )  # each place has its own best


def test_two_settings_of_a_method_never_meet(made: Store) -> None:
    write_models(made, VALUES)
    for lr in (0.1, 0.2):
        made_of = Setting(entries={"method.name": canonical("tuned"), "method.lr": canonical(lr)})
        write_setting(made, made_of)
        ids = {"setting": made_of.setting, "conditions": made_of.conditions}
        write_accuracy(made, write_cell(made, "tuned", cell_id=f"tuned-{lr}", **ids), 0.5 + lr, 0.01)
    with Results(made.root) as results:
        with pytest.raises(AuditError, match=r"setting .*lr=0.1.*; name it in --rows"):
            table(results, of={}, columns=("accuracy:forget",))
        rows = records(table(results, of={}, columns=("accuracy:forget",), rows=("setting",)))
    assert {r["setting"]: float(r["accuracy:forget"]) for r in rows if r["method"] == "tuned"} == {
        "lr=0.1": pytest.approx(0.6),
        "lr=0.2": pytest.approx(0.7),
    }


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"columns": ("acuracy:forget",)}, "no metric in these results 'acuracy'. Did you mean 'accuracy'"),
        (
            {"columns": ("accuracy:forgot",)},
            "--columns accuracy:forgot: no split 'forgot'. Did you mean 'forget'",
        ),
        ({"columns": ("accuracy",)}, "'accuracy' is measured with several: split forget, test"),
        ({"columns": ("robust_accuracy:test",)}, "several: param 0, 2/255, 8/255"),
        ({"columns": ("auc,variants=loss",)}, "--columns: 'auc,variants=loss'"),
        ({"columns": ("cost,cost",)}, "--columns: 'cost' is given twice"),
        ({"rows": ("methods",)}, "--rows: no kind of row 'methods'. Did you mean 'method'"),
        ({"of": RANDOM | {"scope": "al"}}, "--scope: no scope 'al'. Did you mean 'all'"),
        (
            {"columns": ("robust_accuracy",), "narrowing": Narrowing(param=(4 / 255,))},
            "--eps: no param of 'robust_accuracy' '4/255'. Did you mean",
        ),
        (
            {"columns": ("auc",), "narrowing": Narrowing(attack=("populatoin",))},
            "--attack: no attack among these columns 'populatoin'. Did you mean 'population'",
        ),
    ],
)
def test_what_nothing_fits_is_said(results: Results, choices: dict[str, Any], message: str) -> None:
    with pytest.raises(AuditError, match=re.escape(message)):
        table(results, **choices)


def test_one_seed_has_no_spread_and_says_so(made: Store) -> None:
    write_models(made, VALUES, seeds=1)
    with Results(made.root) as results:
        for spread, why in (("sd", "one seed has none"), ("interval", "takes three seeds")):
            shown = table(results, "table", spread, of={}, columns=("accuracy:forget",))  # type: ignore[arg-type]
            assert why in shown
            assert not re.search(r"\d (±|\[)", shown)


def test_radii_are_columns(results: Results) -> None:
    flags = Narrowing(param=(2 / 255, 8 / 255))
    shown = table(results, "markdown", columns=("robust_accuracy",), narrowing=flags)
    assert re.findall(r"at (\d\S+)", shown) == ["2/255", "8/255"]


def test_columns_are_read_with_what_narrows_them() -> None:
    texts = parse_columns(["accuracy:forget,auc:forget,attack=u_lira,game=G2", "robust_accuracy,eps=8/255"])
    assert texts == [
        "accuracy:forget",
        "auc:forget,attack=u_lira,game=G2",
        f"robust_accuracy,param={8 / 255!r}",
    ]
    keys = [
        Key(metric="auc", attack=attack, split="forget", variant=variant, game="", param=None)
        for attack in ("u_lira", "population")
        for variant in ("a:pooled", "b:pooled")
    ]
    assert resolve("auc,attack=u_lira,variant=*:pooled", keys, Narrowing()) == keys[:2]
    with pytest.raises(AuditError, match="several: variant a:pooled, b:pooled"):
        resolve("auc,attack=u_lira", keys, Narrowing())


HOSTILE = r"a_b%&#${}~^\<x>|*[1]--é 中🙂עב ε"


def test_headings_say_what_tells_columns_apart_and_the_caption_the_rest() -> None:
    places = {"variant": "loss_threshold", "game": "G2-population", "param": None}
    of_attack = [
        Key(metric="auc", split="forget", attack=name, **places) for name in ("population", "u_lira")
    ]
    accuracy = Key(metric="accuracy", split="retain", attack="none", variant="", game="", param=None)
    radius = Key(metric="robust_accuracy", split="test", attack="pgd", variant="", game="", param=8 / 255)
    alone = (of_attack[0], accuracy, radius)
    assert [heading(key, alone) for key in alone] == [
        "membership AUC, forgotten",
        "accuracy, retained",
        "robust accuracy, test, at 8/255",
    ]
    assert left_out(alone) == [
        "membership AUC: G2-population, loss_threshold, population",
        "robust accuracy: pgd",
    ]
    assert [heading(key, of_attack) for key in of_attack] == [
        "membership AUC, forgotten, population",
        "membership AUC, forgotten, u_lira",
    ]
    assert left_out(of_attack) == ["membership AUC: G2-population, loss_threshold"]


@pytest.mark.skipif(PDFLATEX is None, reason="there is no pdflatex on this machine")
@pytest.mark.parametrize("spread", ["sd", "interval"])
def test_a_usual_table_fits_a_line_of_article(results: Results, tmp_path: Path, spread: Spread) -> None:
    columns = (*BOTH, "robust_accuracy,eps=8/255,cost" if spread == "sd" else "verdict")
    written = table(results, "latex", spread, columns=columns)
    assert r"accuracy, \\ forgotten~$\approx$" in written
    assert "Overfull" not in printed(written, tmp_path)


def printed(written: str, folder: Path) -> str:
    """What pdfLaTeX says of a paper with the table."""
    (folder / "table.tex").write_text(written, encoding="utf-8")
    paper = r"\documentclass{article}\usepackage{booktabs}\begin{document}\listoftables\input{table}\end{document}"
    (folder / "paper.tex").write_text(paper)
    for _ in range(2):  # the second time the caption comes back from a file
        done = subprocess.run(
            [str(PDFLATEX), "-interaction=nonstopmode", "-halt-on-error", "paper.tex"],
            cwd=folder,
            env=os.environ | {"TEXMFVAR": str(folder / "texmf")},
            capture_output=True,
            text=True,
            check=False,
            errors="replace",
        )
        assert done.returncode == 0, done.stdout[-2000:]
    return done.stdout


@pytest.mark.skipif(PDFLATEX is None, reason="there is no pdflatex on this machine")
def test_it_compiles(made: Store, tmp_path: Path) -> None:
    write_models(made, VALUES, forget_set=HOSTILE)
    for place, method in enumerate((HOSTILE, "[2pt]", "*", "n" * 300)):
        write_accuracy(made, write_cell(made, method, cell_id=f"c{place}", forget_set=HOSTILE), 0.6, 0.01)
    with Results(made.root) as results:
        written = table(results, "latex", of={})
    printed(written, tmp_path)


def test_the_command_writes_what_the_suffix_names(results: Results, tmp_path: Path, capsys) -> None:
    path = tmp_path / "table1.tex"
    asked = [
        "table",
        "--results",
        results.store.root,
        "--forget-set",
        RANDOM["forget_set"],
        "--output",
        str(path),
    ]
    assert query.main([*asked, "--columns", *BOTH]) == 0
    assert path.read_text(encoding="utf-8") == table(results, "latex", columns=BOTH)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["leaderboard", "--forget-set", "x"], "--forget-set: expected with the query table alone"),
        (["table", "--param", "metric=auc"], "--param: the query table has none"),
        (["table", "--eps", "8/0"], "--eps: expected a number or a fraction such as 8/255, got '8/0'"),
    ],
)
def test_flags_that_do_not_fit_are_one_line(
    results: Results, arguments: list[str], message: str, capsys
) -> None:
    assert run_command(lambda: query.main([*arguments, "--results", results.store.root])) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"error: {message}")
    assert (captured.out, captured.err.count("\n")) == ("", 1)


def test_results_without_a_finished_cell_are_one_line(made: Store) -> None:
    with Results(made.root) as results, pytest.raises(AuditError, match="no cell has finished"):
        table(results, of={})
