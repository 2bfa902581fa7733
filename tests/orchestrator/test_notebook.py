"""The example notebook runs from its first cell to its last on real results."""

import pytest

from tests.support.audited import audited_root

marimo = pytest.importorskip("marimo")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_every_cell_runs():
    from orchestrator.notebook import app

    outputs, names = app.run(defs={"root": audited_root(), "run": None})
    cells = list(app._cell_manager.cells())
    assert len(outputs) == len(cells) - 1  # without the one that reads --results
    assert set(names["audited"].method) == {"finetune", "gradient_ascent"}
    assert set(names["audited"].verdict) == {"undecided"}  # one seed
    assert (names["forgetting"].method == "no_op").any()
    assert names["seconds"].loc["unlearn", "count"] == 4
    assert len(names["figure"].axes[0].get_yticklabels()) == len(names["shown"])
