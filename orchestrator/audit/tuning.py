"""Equal-budget tuning: every method gets the same number of trials on a forget set that the audit never sees.

For each architecture, audited method and scope: the configured values, then random draws from the method's
ranges, compared with a retrained model of its own seed on a tuning forget set, and on the validation set in
place of the test set. The trials are a sweep like any other, in results of its own below the audit's
(`<results>/search`), so every backend runs them, they resume, and equal trials are computed once. On Ray
they are Tune trials over the listed points; the list does not depend on the backend, so the choice does not.

Trials run to their end: Tune's early-stopping schedulers (ASHA, median stopping) do not apply, for three reasons.
An intermediate value exists for methods with epochs alone; influence, SSD and Fisher forgetting take one step,
so the rest would get more draws for an equal budget, and equal budgets are the point. What a method has reached
early says little of where it ends: NoT, CT, MSG and SCRUB's max steps damage the model first and repair it
later, l1 and cosine schedules have their last value at the last epoch, and a trial that does nothing starts at a
small gap, so that a rung after one epoch would keep timid values and stop strong ones. And asynchronous halving
compares with whoever has reported by then: two backends, or a resumed run, would choose differently. The one
early stop is that of a trial whose loss is no longer finite.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow.compute as pc

from orchestrator.config.answers import Answers
from orchestrator.config.settings import Axes, SweepConfig, Tuning, canonical, digest
from orchestrator.estimate.cost import SearchEstimate
from orchestrator.plan.answers import SPLITS
from orchestrator.plan.cells import Cell, Plan
from orchestrator.plan.grid import make_plan
from orchestrator.plan.names import NamedMethod, place
from orchestrator.plan.search import FORGET_SET, SearchConfig
from orchestrator.plan.search_space import points
from orchestrator.store.inventory import HISTORY, lost
from orchestrator.store.json_columns import json_column
from orchestrator.store.store import Store, search_store
from tasks import fields
from tasks.errors import AuditError, unknown_name
from tasks.registry import parse_text

GAPS = {"classify": "average_gap", "language": "average_token_gap"}
"""What is minimised unless another metric is named, by what models are trained for."""
NO_BETTER_END = "tuning.metric: '{}' is neither better high nor low; take a gap such as average_gap"
RunPlan = Callable[[Plan, Store], None]
Place = tuple[str, str, str]
"""Architecture, method and scope."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One point of a method's search space."""

    number: int
    params: Mapping[str, Any]
    """Values of the searched fields."""
    variant: str
    """Name on the method axis of the search."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """Every trial of an audit, and the sweep that measures them."""

    plan: Plan
    trials: Mapping[Place, Sequence[Trial]]
    cells: Mapping[Place, Sequence[Cell]]
    """The cell of each trial, in the same order."""
    metric: str
    budget: int

    def search_id(self, where: Place) -> str:
        """Content of one search: equal trials on equal data under one metric."""
        ids = [cell.cell_id for cell in self.cells[where]]
        return digest({"cells": ids, "metric": self.metric, "place": where, "budget": self.budget})

    def missing(self, store: Store) -> list[Place]:
        """Searches without a result."""
        done = store.keys("tuning")
        return [where for where in self.trials if self.search_id(where) not in done]


def plan_search(plan: Plan) -> Search:
    """The trials of every method that is audited on the first forget set and has something to search.

    What is chosen serves the other forget sets too; a method that is kept from the first stays as configured.

    Raises:
        AuditError: no such method has a search range, or a configured range is wrong.
    """
    config = plan.config
    first = config.axes.forget_set[0]
    cells = [c for c in plan.cells if c.role == "audited" and c.forget_set == first]
    places = dict.fromkeys((c.architecture, c.method, c.scope) for c in cells)
    lists = {name: _trials(config, plan.methods[name]) for name in dict.fromkeys(m for _, m, _ in places)}
    trials = {where: lists[where[1]] for where in places if lists[where[1]]}
    if not trials:
        raise AuditError(f"tuning: no method that is audited on forget set {first} has a field to search")
    searching = make_plan(_search_config(plan, trials))
    metric = config.tuning.metric or GAPS[plan.data.labels.objective]
    check_metric(metric, searching)
    by_content = {_content((c.architecture, "", c.scope), c.named_method): c for c in searching.cells}
    return Search(
        plan=searching,
        trials=trials,
        cells={
            where: [by_content[_content(where, searching.methods[t.variant])] for t in found]
            for where, found in trials.items()
        },
        metric=metric,
        budget=config.tuning.trials,
    )


def check_metric(text: str, searching: Plan) -> None:
    """Refuse what no trial will have, or what says nothing of which trial is better, before any is run.

    Args:
        text: `metric` or `metric:split`.
        searching: the sweep of the trials.

    Raises:
        AuditError: no attack of it reports the metric; there is no such split; or the metric has no better end.
    """
    reported = {
        metric.name: metric for attack in searching.attacks.values() for metric in attack.built.metrics
    }
    name, _, split = text.partition(":")
    if name not in reported:
        raise unknown_name("metric", name, reported, where="tuning.metric")
    if split and split not in SPLITS:
        raise unknown_name("split", split, SPLITS, where="tuning.metric")
    reading = reported[name].reading(split)
    if reading.higher_is == "closer_to_retrained" and not name.endswith("_gap"):
        raise AuditError(NO_BETTER_END.format(name))


def _trials(config: SweepConfig, method: NamedMethod) -> list[Trial]:
    if method.built.from_scratch:
        return []
    name, index = parse_text(method.text, where="methods")[0], config.axes.method.index(method.text)
    found = enumerate(points(method, config.tuning))
    return [Trial(number=t, params=p, variant=f"{name}#{index}.{t}") for t, p in found]


def _search_config(plan: Plan, trials: Mapping[Place, Sequence[Trial]]) -> SearchConfig:
    config = plan.config
    tables: dict[str, dict[str, Any]] = {}
    for (_, text, _), found in trials.items():
        method = plan.methods[text]
        configured = fields.to_plain(method.built)
        tables |= {t.variant: {"base": method.base, **configured, **t.params} for t in found}
    audit = {f.name: getattr(config, f.name) for f in dataclasses.fields(SweepConfig)}
    changed = {
        "name": f"{config.name}-search",
        "axes": Axes(
            architecture=tuple(dict.fromkeys(a for a, _, _ in trials)),
            method=tuple(tables),
            scope=tuple(dict.fromkeys(s for _, _, s in trials)),
            forget_set=(FORGET_SET,),
            seed=(config.tuning.seed,),
        ),
        "exclude": (),
        "methods": {**config.methods, **tables},
        "attacks": {},
        "answers": Answers(),
        "evaluation": replace(config.evaluation, fairness_definitions=()),
        "tuning": Tuning(),
        "audited_forget_sets": config.axes.forget_set,
        "points": tuple((a, t.variant, s) for (a, _, s), found in trials.items() for t in found),
    }
    return SearchConfig(**(audit | changed))


def _content(where: Place, method: NamedMethod) -> tuple[str, str]:
    """What a trial's cell is known by: variants of equal content share one cell, under one of their names."""
    return f"{where[0]}/{where[2]}", f"{method.base} {canonical(method.built)}"


def tuned(plan: Plan, store: Store, run_plan: RunPlan) -> SweepConfig | None:
    """Complete the searches of a plan and return its configuration with the values they chose.

    Args:
        plan: the audit, whose configuration asks for trials.
        store: results of the audit.
        run_plan: computes what is missing of a plan, into the results that it is given.

    Returns:
        None where the run was interrupted before every trial had ended.
    """
    search, inner = plan_search(plan), search_store(store)
    missing = search.missing(store)
    damaged = inner.files.usable() and (
        not inner.marked() or any(part not in HISTORY for part, _ in lost(inner))
    )
    if missing or damaged:
        again = search.cells if damaged else missing
        wanted = {cell.cell_id for where in again for cell in search.cells[where]}
        references = {c.cell_id for c in search.plan.cells if c.role != "audited"}
        run_plan(search.plan.only(wanted | references), inner)
        if wanted - inner.keys("cells"):
            return None
        _write_searches(search, missing, store, inner)
    return with_choices(plan.config, search, store)


def summarise(search: Search, store: Store) -> SearchEstimate:
    """Counts for the plan that a person reads."""
    return SearchEstimate(
        budget=search.budget,
        searches=len(search.trials),
        missing_searches=len(search.missing(store)),
        trials=sum(len(found) for found in search.trials.values()),
        forget_size=len(search.plan.data.forget_sets[FORGET_SET].ids),
    )


def with_choices(config: SweepConfig, search: Search, store: Store) -> SweepConfig:
    """The configuration with what the finished searches have chosen."""
    by_id = {search.search_id(where): where for where in search.trials}
    chosen = {
        place(*by_id[row["search_id"]]): json_column(row["params_json"], dict, where="tuning.params_json")
        for row in store.read("tuning").to_pylist()
        if row["chosen"] and row["search_id"] in by_id
    }
    return replace(config, tuning=replace(config.tuning, chosen=chosen))


def _write_searches(search: Search, places: Sequence[Place], store: Store, inner: Store) -> None:
    metrics = _measured(search.metric, inner)
    rows = {row["cell_id"]: row for row in inner.read("cells").to_pylist()}
    seconds = {row["model_id"]: row["device_seconds"] for row in inner.read("models").to_pylist()}
    forget = search.plan.data.forget_sets[FORGET_SET]
    for where in places:
        architecture, method, scope = where
        values = [metrics.get(cell.cell_id) for cell in search.cells[where]]
        best = choose(values)
        found = [
            {
                "dataset": search.plan.config.data.name,
                "architecture": architecture,
                "method": method,
                "scope": scope,
                "trial": trial.number,
                "params_json": json.dumps(trial.params, sort_keys=True),
                "metric": search.metric,
                **({k: value[k] for k in ("value", "ci_low", "ci_high")} if value else {}),
                "seconds": seconds.get(cell.subject.id),
                "chosen": trial.number == best,
                "budget": search.budget,
                "error": rows[cell.cell_id]["error"],
                "forget_digest": forget.digest,
                "forget_size": len(forget.ids),
                "reference_id": cell.reference_id,
                "cell_id": cell.cell_id,
            }
            for trial, cell, value in zip(search.trials[where], search.cells[where], values, strict=True)
        ]
        store.write("tuning", search.search_id(where), found)


def choose(values: Sequence[Mapping[str, Any] | None]) -> int:
    """The trial of least loss; the earlier one of equals, and the configured values where all failed."""
    losses = [float("inf") if value is None else loss(value) for value in values]
    return losses.index(min(losses))


def loss(metric: Mapping[str, Any]) -> float:
    """A row of `metrics` as something to minimise: gaps by their size, and what is better by its negative.

    Raises:
        AuditError: the metric says how close to retraining a model is only next to the retrained value.
    """
    if metric["higher_is"] == "worse":
        return float(metric["value"])
    if metric["higher_is"] == "better":
        return -float(metric["value"])
    if metric["metric"].endswith("_gap"):
        return abs(float(metric["value"]))
    raise AuditError(NO_BETTER_END.format(metric["metric"]))


def _measured(name: str, inner: Store) -> dict[str, dict[str, Any]]:
    """The row of the metric for each cell of the search.

    Raises:
        AuditError: no cell has the metric, or it has several values for one cell.
    """
    metric, _, split = name.partition(":")
    table = inner.read("metrics")
    whole = table.filter(pc.is_null(table["label"]))
    rows = whole.filter(pc.equal(whole["metric"], metric)).to_pylist()
    rows = [row for row in rows if not split or row["split"] == split]
    if not rows:
        names, splits = whole["metric"].to_pylist(), whole["split"].to_pylist()
        known = {f"{m}:{s}" for m, s in zip(names, splits, strict=True)}
        raise unknown_name("metric", name, known, where="tuning.metric")
    found = {row["cell_id"]: row for row in rows}
    if len(found) != len(rows):
        valid = ", ".join(sorted({f"{metric}:{row['split']}" for row in rows}))
        raise AuditError(f"tuning.metric: '{metric}' has several values, expected one of {valid}")
    return found
