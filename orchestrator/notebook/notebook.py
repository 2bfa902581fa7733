"""A notebook on the results of a sweep: `marimo edit orchestrator/notebook/notebook.py -- --results results`.

It is a plain Python file: each function is a cell, what it takes are the names that other cells return.
`python -m orchestrator.notebook` runs every cell on the directory `results`.
"""

import marimo

app = marimo.App(width="medium", app_title="Unlearning audit")


@app.cell
def _():
    import marimo as mo

    from orchestrator.results.connection import Results

    return Results, mo


@app.cell
def _(mo):
    root = str(mo.cli_args().get("results") or "results")
    run = mo.cli_args().get("run")  # a run's id, or all; without it the latest
    return root, run


@app.cell
def _(Results, mo, root, run):
    results = Results(root, run and str(run))
    names = ", ".join(f"`{name}`" for name in results.names)
    mo.md(f"# Unlearning audit\n\nTables and views of `{root}`: {names}")
    return (results,)


@app.cell
def _(mo):
    mo.md(
        "## Which models can be told from retraining?\n\nThe view `model_verdicts`, by the query of that name: "
        "what the report and the certificate say."
    )
    return


@app.cell
def _(results):
    verdicts = results.query("model_verdicts").to_pandas()
    audited = verdicts.loc[
        verdicts.role == "audited",
        [
            *("architecture", "forget_set", "method", "scope", "setting_label", "verdict", "told_apart"),
            *("shown_equivalent", "undecided", "primary_measures", "seeds", "settles"),
        ],
    ]
    audited
    return (audited,)


@app.cell
def _(mo):
    mo.md(
        "## A chart of the report\n\n`results.chart` takes the names of `--figures`, and the place and choices: "
        '`results.chart("robustness", forget_set="random", attack="pgd")`.'
    )
    return


@app.cell
def _(results):
    forest = results.chart("forest")
    forest
    return (forest,)


@app.cell
def _(mo):
    mo.md(
        "## Your own SQL\n\nParameters are `$name`; `verdicts` has every measure, with its test and its margin."
    )
    return


@app.cell
def _(results):
    forgetting = results.sql(
        """
        select architecture, forget_set, method, scope, role, setting_labels.label as setting_label, seeds, value,
            retrained, difference, difference_low, difference_high, margin, family, p_adjusted, verdict
        from verdicts
        left join setting_labels on setting_labels.setting = verdicts.setting
        where metric = $metric and split = $split and attack = 'none'
        order by architecture, forget_set, distance
        """,
        metric="accuracy",
        split="forget",
    ).to_pandas()
    forgetting
    return (forgetting,)


@app.cell
def _(mo):
    mo.md(
        "## A view as a DataFrame\n\nTables such as `costs` hold what every run has paid for; views, such as "
        "`cost_by_stage`, rest on the cells of the run above."
    )
    return


@app.cell
def _(results):
    costs = results.to_df("cost_by_stage")
    seconds = costs.groupby(["stage", "device"])[["stages", "seconds"]].sum()
    seconds
    return (seconds,)
