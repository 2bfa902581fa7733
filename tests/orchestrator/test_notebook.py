"""The example notebook runs from its first cell to its last on real results."""

import sys

import pytest

from orchestrator.errors import run_command
from orchestrator.notebook.__main__ import main
from tests.support.audited import audited_root


def test_without_marimo_it_is_one_line(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "marimo", None)
    monkeypatch.delitem(sys.modules, "orchestrator.notebook.notebook", raising=False)
    assert run_command(main) == 2
    assert capsys.readouterr().err == "error: notebook: needs the package marimo: pip install marimo\n"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_every_cell_runs():
    pytest.importorskip("marimo")
    from orchestrator.notebook.notebook import app

    outputs, names = app.run(defs={"root": audited_root(), "run": None})
    cells = list(app._cell_manager.cells())
    assert len(outputs) == len(cells) - 1  # without the one that reads --results
    assert set(names["audited"].method) == {"finetune", "gradient_ascent"}
    assert set(names["audited"].verdict) == {"undecided"}  # one seed
    assert (names["forgetting"].method == "no_op").any()
    assert names["seconds"].loc[("unlearn", "cpu"), "stages"] == 4
    forest = names["forest"]
    assert forest.rows
    kind, drawing = next(iter(forest._repr_mimebundle_().items()))
    assert "svg" in kind
    assert "finetune" in str(drawing)
