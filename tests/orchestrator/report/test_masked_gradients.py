"""Logits times a thousand hide their gradients: verdict, pages and queries say so, of rows with known answers."""

import re
from html import unescape

import pytest

from orchestrator.report.certificate import as_page, certify
from orchestrator.report.facts.facts import gather_facts
from orchestrator.report.page import report_page
from orchestrator.report.subject import Subject
from orchestrator.results.charts.answers import Answers
from orchestrator.results.charts.kinds import KINDS
from orchestrator.results.connection import Results
from orchestrator.store.store import Store
from tests.support.audited import write_cell, write_run
from tests.support.report_pages import checked

EPS = 0.1
MEASURE = f"robust_accuracy:test,param={EPS}"
CLEAN = 0.9
HIDDEN = {"retrain": 0.3, "retrain_again": 0.302, "no_op": 0.31, "kept": 0.6}
"""Accuracy that an attack blind to the scale of logits leaves; logits times a thousand leave PGD with `CLEAN`."""
SENTENCE = (
    "Masked gradients: under pgd robust accuracy is only an upper bound, of these models or of the retrainings that "
    "they are held against: doing nothing, kept."
)
CAPTION = "Some models seem more robust here than they are"


def write_attacked(store, method, seed, attack, accuracy, *, zero=None, scale_free):
    """Robust accuracy +- .02 at eps 0 and `EPS`, and what the attack could not try."""
    more = {
        "attack_family": "adversarial",
        "attack_params_json": '{"norm": "Linf"}',
        "scale_free": scale_free,
    }
    cell = write_cell(store, method, seed=seed, attack=attack, **more)
    rows = []
    for eps, value in ((0.0, CLEAN), (EPS, accuracy)):
        row = {"split": "test", "variant": "", "param": eps, "n": 400, "higher_is": "better"}
        ends = {"ci_low": value - 0.02, "ci_high": value + 0.02}
        rows.append(row | {"metric": "robust_accuracy", "value": value} | ends)
        if zero is not None:
            rows.append(row | {"metric": "zero_gradient_share", "value": zero})
    store.write("metrics", cell, rows)


def write_layers(store, method, seed, gap):
    """The gap of one layer."""
    cell = write_cell(store, method, seed=seed)
    row = {"layer": "norm", "layer_index": 0, "definition": "post_norm", "gap": gap}
    store.write("layers", cell, [row | {"ci_low": gap - 0.1, "ci_high": gap + 0.1}])


TRIED = {"with APGD": ("pgd", "apgd"), "gradients that vanish": ("pgd",), "PGD alone": ("pgd",)}


@pytest.fixture(params=TRIED, scope="module")
def attacked(request, tmp_path_factory):
    """Results of PGD on logits times a thousand: a scale-free attack finds more, nothing can be tried, or neither.

    And the attacks, and whether the bound is flagged.
    """
    zero = 0.9 if request.param == "gradients that vanish" else 0.0
    store = Store(str(tmp_path_factory.mktemp("made")))
    write_run(store, primary=(MEASURE,))
    for place, (method, hidden) in enumerate(HIDDEN.items()):
        for seed in range(3):
            wobble = 0.002 * (-1) ** (seed + place)
            write_layers(store, method, seed, gap=0.1 * place)
            write_attacked(store, method, seed, "pgd", CLEAN + wobble, zero=zero, scale_free=False)
            if "apgd" in TRIED[request.param]:
                write_attacked(store, method, seed, "apgd", hidden + wobble, zero=0.0, scale_free=True)
    with Results(store.root) as results:
        yield (
            results,
            TRIED[request.param],
            request.param != "PGD alone",
        )


def words(text):
    """What a page prints, without its SQL."""
    text = re.sub(r"<details class='sql'>.*?</details>", "", text, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", text)).split())


def test_pgd_shows_no_equivalence_where_a_scale_free_attack_found_more_or_gradients_vanish(attacked):
    results, attacks, flagged = attacked
    text = "select * from verdicts where method = 'kept' and metric = 'robust_accuracy' and param > 0"
    found = {
        r["attack"]: (r["masked_gradients"], r["verdict"], r["reason"]) for r in results.sql(text).to_pylist()
    }
    (model,) = results.sql("from model_verdicts where method = 'kept'").to_pylist()
    bound = (True, "undecided", "masked gradients") if flagged else (None, "shown equivalent", "")
    assert found == {attack: {"pgd": bound, "apgd": (False, "told apart", "")}[attack] for attack in attacks}
    assert model["verdict"] == ("told apart" if "apgd" in attacks else bound[1])


def test_the_report_says_so_beside_its_rows(attacked):
    results, _, flagged = attacked
    said = checked(report_page(gather_facts(Answers(results)))).words
    said = said[: said.index("The SQL behind everything")]
    assert (SENTENCE in said) is flagged
    assert said.count(CAPTION) == (3 if flagged else 0)  # robustness, fairness, layers


def test_captions_and_rows_of_evenness_against_robustness_are_marked(attacked):
    results, attacks, flagged = attacked
    rows = results.query("gap_and_robustness").to_pylist()
    assert {(r["attack"], r["masked"]) for r in rows} == (
        {("pgd", True), ("apgd", False)} if "apgd" in attacks else {("pgd", flagged or None)}
    )
    rows = results.query("fairness_vs_robustness").to_pylist()
    assert {(r["attack"], r["models"], r["masked"]) for r in rows} == (
        {("pgd", 12, 12), ("apgd", 12, 0)} if "apgd" in attacks else {("pgd", 12, 12 if flagged else None)}
    )
    for name in ("fairness", "layers"):
        notes = [row["note"] for row in KINDS[name].rows(Answers(results))]
        assert any("masked gradients" in note for note in notes) is flagged


def test_the_certificate_says_so_among_what_it_does_not_show(attacked):
    results, _, flagged = attacked
    subject = Subject(architecture="net", forget_set="mine", method="kept", scope="all")
    page = words(as_page(certify(results, subject)))
    limits = page[page.index("What this does not show") : page.index("Origin")]
    sentence = SENTENCE.replace("doing nothing, kept", "kept")
    assert (sentence in limits) is flagged
    assert ("The query robust_drop has them." in limits) is flagged
