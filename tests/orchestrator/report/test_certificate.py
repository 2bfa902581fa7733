"""The certificate: every name checked, controls beside evidence, nothing promised."""

import json
import re
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html import unescape

import numpy as np
import pytest

from orchestrator.certificate import main
from orchestrator.errors import printable
from orchestrator.report.certificate import Request, as_json, as_page, certify, copies
from orchestrator.report.certificate_examples import CHANCE, exposed_examples
from orchestrator.report.certificate_finding import judged_model
from orchestrator.report.subject import Subject, choose
from orchestrator.report.templates import number
from orchestrator.results.connection import Results
from orchestrator.results.evidence import gather, signed
from orchestrator.store.store import Store
from tasks.errors import AuditError, UnknownName
from tests.support.audited import (
    ROLES,
    audited_root,
    copied,
    write_accuracy,
    write_cell,
    write_membership,
    write_models,
    write_run,
)
from tests.support.browsers import CHROMIUM

ASKED = {"forget_set": "random:fraction=0.2", "method": "finetune", "scope": "all"}
SUBJECT = Subject(architecture="net", forget_set="mine", method="kept", scope="all")


@pytest.fixture
def store(tmp_path):
    store = Store(str(tmp_path / "made"))
    write_run(store)
    return store


@pytest.fixture(scope="module")
def audited():
    """A session over the finished sweep."""
    with Results(audited_root()) as results:
        yield results


def test_names_what_was_asked_and_done(audited, tmp_path, capsys):
    output = tmp_path / "c.html"
    flags = ["--forget-set", "random:fraction=0.2", "--method", "finetune", "--scope", "all"]
    asked = [*flags, "--reference", "DSR <17>", "--requested", "2024-05-17"]
    code = main([audited_root(), *asked, "--output", str(output)])
    page = output.read_text()
    forgotten = audited.sql("select example_id, forget_digest from forget_sets order by 1").to_pylist()
    model = audited.sql("select * from models where method = 'finetune' and scope = 'all'").to_pylist()[0]
    assert forgotten[0]["forget_digest"] in page
    assert model["model_id"] in page
    assert model["weights_digest"][:32] in page
    assert "epochs = 1" in page
    shown = re.search(r'<summary>all ids</summary><p class="ids">(.*?)</p>', page, flags=re.DOTALL)[1]
    assert [int(i) for i in shown.split()] == [r["example_id"] for r in forgotten]
    for control in ("retrained again", "doing nothing", "What this does not show", "not proof"):
        assert control in page
    assert not re.search(r"\b(safe|guarantee[sd]?|compliant)\b", page.lower())
    assert "<dd>DSR &lt;17&gt;</dd>" in page
    assert "<dd>2024-05-17</dd>" in page
    captured = capsys.readouterr()
    assert captured.out == ""
    assert code == {"told apart": 3, "shown equivalent": 0, "undecided": 4}[captured.err.splitlines()[-1]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"forget_set": "random:fraction=0.3"}, r"--forget-set: .*Did you mean 'random:fraction=0.2'"),
        ({"method": "finetun"}, r"--method: .*Did you mean 'finetune'"),
        ({"scope": "heads"}, r"--scope: .*Did you mean 'head'"),
        ({"architecture": "nett"}, r"--architecture: .*Did you mean 'net'"),
    ],
)
def test_unknown_names_give_the_nearest(audited, change, message):
    with pytest.raises(UnknownName, match=message):
        choose(audited, **(ASKED | change))


def test_a_scope_must_be_named_where_there_are_several(audited):
    with pytest.raises(AuditError, match="--scope: expected one of all, head"):
        choose(audited, **{k: v for k, v in ASKED.items() if k != "scope"})


def test_results_without_cells_say_what_makes_them(tmp_path):
    Store(str(tmp_path)).check_ready()
    with Results(str(tmp_path)) as results, pytest.raises(AuditError, match=r"orchestrator\.sweep"):
        choose(results, **ASKED)


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({"purged": "ids & pixels were purged"}, "ids & pixels were purged"),
        ({"not_searched": "too large"}, "not looked for: too large"),
        (None, "not looked for: these results are older than the search"),
    ],
)
def test_why_nobody_looked_for_copies_is_said(known, said):
    row = {"example_id": 3, "retained_distance": None, "retained_exact": None}
    assert copies([row | {"provenance_json": json.dumps({"retained_copies": known})}]) == said


def test_failed_cells_are_no_evidence(tmp_path):
    root = copied(tmp_path)
    store = Store(root)
    run_id = min(store.keys("runs"))
    write_cell(store, "scrub", run_id=run_id, status="failed", error_type="Diverged", error="loss is nan")
    reason = r"--method: every cell of 'scrub' has failed there \(Diverged: loss is nan\)"
    with Results(root) as results, pytest.raises(AuditError, match=reason):
        choose(results, forget_set="mine", method="scrub")


VALUES = {"retrain": 0.5, "retrain_again": 0.503, "retrain_third": 0.501, "no_op": 1.0}


APART = "is told apart on 1 of 1 primary measure, most clearly: accuracy on the forgotten examples differs"
EQUIVALENT = "is shown equivalent on the one primary measure, within the margins below"
SAYS_NOTHING = (
    "To settle it: doing nothing is not told apart here either, so this says nothing about equivalence"
)


@pytest.mark.parametrize(
    ("untouched", "seeds", "findings"),
    [
        (1.0, 3, {"kept": APART, "same": EQUIVALENT, "no_op": "It is."}),
        (0.5, 3, {"same": SAYS_NOTHING, "no_op": "the audit lacks power here"}),
        (1.0, 1, {"kept": "The unlearned model is neither told from one retrained"}),
    ],
)
def test_the_finding_is_the_verdict(store, untouched, seeds, findings):
    write_models(store, VALUES | {"no_op": untouched, "kept": 0.9, "same": 0.502}, seeds=seeds)
    with Results(store.root) as results:
        verdicts = {r["method"]: r["verdict"] for r in results.query("model_verdicts").to_pylist()}
        pages = {
            method: as_page(
                certify(results, replace(SUBJECT, method=method, role=ROLES.get(method, "audited")))
            )
            for method in findings
        }
    for method, finding in findings.items():
        page = pages[method]
        assert finding in page
        chip = re.search(r'<p class="verdict"><span class="chip \w+">(.*?)</span>', page)[1]
        assert chip == verdicts[method]
        assert "declared before anything was measured" in page
        assert f"over {seeds} seed" in page
        assert "cannot be judged" in page
    if "no_op" in pages:
        assert ("lacks power" in pages["no_op"]) is (untouched == 0.5)
        more = "seeds in place of 3 would tell a difference of 0.05 apart"
        assert (more in pages["no_op"]) is (untouched == 0.5)


def test_every_primary_measure_stands_beside_its_controls_and_what_failed_is_said(store):
    write_models(store, VALUES | {"kept": 0.9})
    write_cell(store, "kept", attack="pgd", status="failed", error_type="Diverged", error="loss is nan")
    with Results(store.root) as results:
        page = as_page(certify(results, SUBJECT))
        (row,) = results.sql("from verdicts where method = 'kept'").to_pylist()
        (control,) = results.sql("from verdicts where method = 'no_op'").to_pylist()
    table = page[page.index("<h2>What the finding rests on</h2>") :]
    assert '<th scope="row">accuracy on the forgotten examples</th>' in table
    cells = re.findall(r"<td>(.*?)</td>", table)[:9]
    assert "None" not in page
    assert cells[0].startswith(number(row["value"]))
    assert cells[1:4] == [number(row["retrained"]), number(row["again"]), number(control["value"])]
    ends = f"{signed(row['difference_low'])} to {signed(row['difference_high'])}"
    assert cells[4] == f"{signed(row['difference'])}<small>{ends}</small>"
    assert cells[5:7] == ["0.05", "&lt; 0.001"]
    assert row["verdict"] in cells[7]
    assert cells[8] == "3 seeds, 10000 examples"
    assert "A further retraining, which has forgotten, is shown equivalent." in page
    assert "Incomplete: 1 measurement of this model has failed" in page
    assert "pgd: Diverged: loss is nan" in page


def test_a_margin_declared_after_rows_were_there_is_said(tmp_path):
    store = Store(str(tmp_path / "made"))
    for run_id, margin, before in (("first", 0.01, 0), ("second", 0.05, 4)):
        write_run(store, run_id, margin=margin, cells_before=before)
        write_models(store, VALUES | {"kept": 0.9}, run_id=run_id)
    with Results(store.root) as results:
        page = as_page(certify(results, SUBJECT))
    assert "was declared after rows of it were there" in page
    assert "0.05<small>declared after</small>" in page
    assert "declared before anything was measured" not in page


def test_doing_nothing_can_be_certified_and_is_found_out(tmp_path):
    root = copied(tmp_path)
    with Results(root) as results:
        subject = choose(results, **(ASKED | {"method": "no_op"}))
        page = as_page(certify(results, subject))
    assert subject.role == "ceiling"
    assert "itself the control that does nothing" in page


def excess(method, role, values, seed=0):
    return [
        {"method": method, "scope": "all", "role": role, "seed": seed, "example_id": i, "excess": value}
        for i, value in enumerate(values)
    ]


def test_exposed_examples_exceed_the_second_retraining_in_every_seed():
    noise = excess("retrain_again", "noise_floor", [i / 100 for i in range(100)])
    rows = noise + excess("kept", "audited", [2.0, 5.0, 0.1, 3.0])
    rows += excess("kept", "audited", [2.0, 5.0, 9.0, 0.0], seed=1)
    rows += excess("other", "audited", [9.0, 9.0, 9.0, 9.0])
    exposure = exposed_examples(rows, SUBJECT)
    assert exposure.ids == [1, 0]
    assert exposure.threshold == pytest.approx(0.99 * (1 - CHANCE))
    assert (exposure.judged, exposure.seeds, exposure.by_chance, exposure.control) == (4, 2, None, None)


def test_an_example_that_is_less_exposed_than_under_the_retrained_model_is_not_counted():
    """As where a second retraining answers with less confidence than the first, for the whole of a class."""
    noise = excess("retrain_again", "noise_floor", [-1.0, -2.0, -3.0])
    exposure = exposed_examples(noise + excess("kept", "audited", [-0.5, 0.5]), SUBJECT)
    assert (exposure.threshold, exposure.ids) == (0.0, [1])


def test_the_count_of_exposed_examples_stands_beside_that_of_controls_in_as_many_seeds():
    """Of a retraining 5 in 100 lie above the threshold in one seed, and those of both seeds are few."""
    generator = np.random.default_rng(0)
    rows = [
        row
        for seed in (0, 1)
        for method, role, shift in (
            ("retrain_again", "noise_floor", 0),
            ("retrain_third", "control", 0),
            ("kept", "audited", 9),
        )
        for row in excess(method, role, shift + generator.normal(size=100), seed)
    ]
    exposure = exposed_examples(rows, SUBJECT)
    assert (len(exposure.ids), exposure.seeds) == (100, 2)
    for role, count in (("noise_floor", exposure.by_chance), ("control", exposure.control)):
        mine = np.array([r["excess"] for r in rows if r["role"] == role]).reshape(2, 100)
        assert count == (mine.min(axis=0) > exposure.threshold).sum() < 5
    fewer = [r for r in rows if (r["role"], r["seed"]) != ("control", 1)]
    assert exposed_examples(fewer, SUBJECT).control is None


def test_without_a_second_retraining_no_example_is_judged():
    assert exposed_examples(excess("kept", "audited", [1.0]), SUBJECT) is None


def test_retained_examples_are_not_called_exposed(store):
    for method, shift in (("retrain", 0.0), ("kept", 9.0)):
        write_membership(store, method, shift, attack="retain_harm", split="retain")
    with Results(store.root) as results:
        assert results.query("example_auc").num_rows == 0


def test_per_example_attacks_name_the_recognised_examples(store):
    for method, shift in (("retrain", 0.0), ("retrain_again", 0.0), ("no_op", 9.0), ("kept", 9.0)):
        write_accuracy(store, write_cell(store, method), 0.5, 0.02)
        write_membership(store, method, shift)
        rows = [{"example_id": i, "split": "forget", "phi": shift + i / 100} for i in range(100)]
        store.write("examples", f"{method}-none-0", rows, attack="none")
    with Results(store.root) as results:
        page = as_page(certify(results, SUBJECT))
    assert "u_lira 100 of 100 examples (" in page
    assert "; in the retrained model " in page
    assert "100 of 100 examples keep a confidence" in page
    assert "of a further retraining, which has forgotten: not measured in as many seeds" in page
    assert "of the second retraining, so by chance: 0" in page
    assert "The verdict, undecided, rests on the primary measures above and not on these counts" in page
    assert "no per-example attack stands behind this page" not in page


def test_a_primary_measure_that_failed_is_undecided(tmp_path, capsys):
    store = Store(str(tmp_path / "made"))
    write_run(store, primary=("accuracy:forget", "accuracy:test"))
    write_models(store, VALUES | {"same": 0.502})
    assert main([store.root, "--forget-set", "mine", "--method", "same", "--format", "json"]) == 4
    assert "not measured" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--requested", "2.11.2026"], "--requested: expected a date such as 2024-05-17, got '2.11.2026'"),
        (["--requested", "2999-01-01"], "--requested: expected a date from 1970-01-01 to 20"),
        (["--requested", "1926-05-17"], "the day of the request, got '1926-05-17'"),
        (["--output", "c.pdf"], "--output: no form with the suffix '.pdf'. Valid: .htm, .html, .json"),
        (
            ["--output", "c.html", "--format", "json"],
            "--output: expected a name for --format json, got c.html, a name for page",
        ),
        (["--format", "xml"], "--format: no value 'xml'"),
        (["--output", "absent/c.html"], "--output: cannot write absent/c.html: no directory 'absent'"),
    ],
)
def test_bad_flags_are_refused_before_any_work(flags, message):
    with pytest.raises(AuditError, match=re.escape(message)):
        main(["absent", "--forget-set", "mine", "--method", "same", *flags])


def test_the_suffix_of_the_file_says_what_it_is(store, tmp_path):
    write_models(store, VALUES | {"same": 0.502})
    asked = [store.root, "--forget-set", "mine", "--method", "same", "--output"]
    main([*asked, str(tmp_path / "c.JSON")])
    assert json.loads((tmp_path / "c.JSON").read_text())["asked"]["forget_set"] == "mine"
    main([*asked, str(tmp_path / "c.htm")])
    assert (tmp_path / "c.htm").read_text().lower().startswith("<!doctype html>")


def test_models_older_than_the_request_are_said(audited):
    today = datetime.now(UTC).date()
    subject = choose(audited, **ASKED)
    (made, older) = (
        certify(audited, subject, Request(date=today + timedelta(days=days))).limits for days in (0, 3)
    )
    assert older[: len(made)] == made
    assert older[len(made) :] == (
        f"The models named above are older than the request of {today + timedelta(days=3)}: they were made without it.",
    )


def test_a_model_of_several_settings_has_no_one_certificate(store):
    write_models(store, VALUES | {"kept": 0.9})
    with Results(store.root) as results:
        evidence = gather(results)
    (model,) = [m for m in evidence.models if m.method == "kept"]
    two = replace(evidence, models=(*evidence.models, replace(model, model_setting="other")))
    with pytest.raises(AuditError, match="has 2 settings there"):
        judged_model(two, SUBJECT)
    with pytest.raises(AuditError, match="nothing of 'kept' was measured there that compares"):
        judged_model(replace(evidence, models=()), SUBJECT)


def test_names_are_text(tmp_path):
    hostile = "</style><script>alert(1)</script>{{ 7 * 7 }}\u202eעב🙂" + "n" * 300
    store = Store(str(tmp_path / "made"))
    write_run(store)
    for place, method in enumerate((*VALUES, hostile)):
        for seed in range(3):
            cell = write_cell(store, method, seed=seed, cell_id=f"c{place}-{seed}", forget_set=hostile)
            write_accuracy(store, cell, VALUES.get(method, 0.9) + 0.001 * seed, 0.01)
    with Results(store.root) as results:
        certificate = certify(results, choose(results, forget_set=hostile, method=hostile))
    page = as_page(certificate)
    assert "<script" not in page
    assert printable(hostile) in unescape(page)
    assert json.loads(as_json(certificate))["asked"]["forget_set"] == hostile


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine")
def test_it_prints_on_one_page(audited, tmp_path):
    page = as_page(certify(audited, choose(audited, **ASKED)))
    (tmp_path / "c.html").write_text(page, encoding="utf-8")
    command = [
        CHROMIUM,
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--no-pdf-header-footer",
    ]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--print-to-pdf=c.pdf", "c.html"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=120)
    pages = re.findall(rb"/Type\s*/Page\b", (tmp_path / "c.pdf").read_bytes())
    assert len(pages) == 1
