"""A report whose every name and text tries to break out of its page."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.report.facts.confusion import Answered, Confusion, Matrix
from orchestrator.report.facts.drawn import Drawn, column
from orchestrator.report.facts.examples import Exhibits, Gallery, PlaceExamples, Shown
from orchestrator.report.facts.facts import Facts, gather_facts
from orchestrator.report.facts.history import History, Line, PlaceHistory
from orchestrator.results.charts.answers import Answers
from orchestrator.results.connection import Results
from orchestrator.store.store import Store
from tests.support.audited import write_accuracy, write_cell, write_run

HOSTILE = (
    "</script></style><script>document.title='PWNED'</script>"
    "<img src=x onerror=\"document.title='PWNED'\">{{7*7}}\u2028'"
)
LONG = "x" * 300
RIGHT_TO_LEFT = "\u05e9\u05db\u05d7\u05d4 \U0001f9e0"


def hostile_facts(root: str) -> Facts:
    """Of results, written there, whose architecture, forget set, methods, class names and texts are hostile."""
    store = Store(root)
    write_run(store)
    for method, value in (
        ("retrain", 0.5),
        ("retrain_again", 0.5),
        ("no_op", 1.0),
        (HOSTILE, 0.9),
        (LONG, 0.7),
        (RIGHT_TO_LEFT, 0.6),
    ):
        for seed in range(3):
            known = {"cell_id": f"{len(method)}-{value}-{seed}", "model_id": f"{len(method)}-{value}-{seed}"}
            place = {"architecture": HOSTILE, "forget_set": HOSTILE, "reference_id": f"7-0.5-{seed}"}
            cell = write_cell(store, method, seed=seed, **known, **place)
            write_accuracy(store, cell, value + 0.001 * seed, 0.04)
    with Results(store.root) as results:
        found = gather_facts(Answers(results))
    shown = Shown(example=1, notes=(HOSTILE,), text=((HOSTILE, HOSTILE),))
    gallery = Gallery(title=HOSTILE, statistic=HOSTILE, caption=HOSTILE, shown=(shown,))
    places = tuple(PlaceExamples(galleries=(gallery,), groups=()) for _ in found.places)
    exhibits = Exhibits(images={}, classes={1: HOSTILE}, why_not=HOSTILE, documents=True, places=places)
    cell = Answered(row=0, column=0, share=900, retrained=1000)
    matrix = Matrix(
        place=0, label=HOSTILE, split=HOSTILE, seeds=3, classes=(1,), left_out=0, examples=(5,), cells=(cell,)
    )
    confusion = Confusion(matrices=(matrix,), left_out=0, names={1: HOSTILE})
    row = {"place": 0, "example": 1, "label": HOSTILE, "epoch": 0, "value": 1.0, "low": 0.5, "high": 1.5}
    rows = [
        row | {"epoch": epoch, "without": 0.0, "without_low": None, "without_high": None} for epoch in (0, 1)
    ]
    columns = {name: column([r[name] for r in rows]) for name in rows[0]}
    line = Line(example=1, label=HOSTILE, values=(1.0, 1.0), retrained=0.0)
    history = History(
        drawn=Drawn(name="history", rows=2, left_out=0, remark="", columns=columns),
        places=(PlaceHistory(epochs=(0, 1), lines=(line,), left_out=0, examples=1, of=1),),
    )
    return replace(found, headline=HOSTILE, exhibits=exhibits, confusion=confusion, history=history)
