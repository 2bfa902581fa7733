"""Results as large as a large sweep's, made in seconds: rows drawn by SQL, written by the store's own writers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from orchestrator.plan.answers import Declared
from orchestrator.store import compaction
from orchestrator.store.schema import conform
from orchestrator.store.store import Store
from orchestrator.store.tables import TABLES
from tests.support.audited import ROLES
from tests.support.fabricated import setting_of, write_plan

PRIMARY = (("accuracy", "forget"), ("accuracy", "retain"), ("accuracy", "test"))
FAMILIES = ("none", "population", "adversarial", "per_example")
RUN = "large-1"
MOST_AT_ONCE = 400
"""Cells whose rows of examples are made at once."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How many of what a sweep has; `cells` says how many cells that makes."""

    seeds: int = 3
    forget_sets: int = 1
    architectures: int = 1
    methods: int = 9
    scopes: int = 1
    attacks: int = 4
    """The first is none, the second population, of the others each adversarial but the fourth, which is per example."""
    examples: int = 40
    """Forgotten examples that each cell has rows of, and as many retained and test ones."""
    sets_with_examples: int | None = None
    """Forget sets whose cells have such rows, each a file; None: all."""
    name: str = ""
    """Put into every name, to make it long."""
    failed: bool = False
    """Whether every cell failed."""

    @property
    def models(self) -> list[tuple[str, str]]:
        """Method and scope."""
        audited = [
            (f"method_{i}{self.name}", f"part_{j}") for i in range(self.methods) for j in range(self.scopes)
        ]
        return [(method, "all") for method in ROLES] + audited

    @property
    def cells(self) -> int:
        """How many cells."""
        return self.seeds * self.forget_sets * self.architectures * len(self.models) * self.attacks


SHAPES = {
    "seeds": Shape(seeds=192),
    "settings": Shape(seeds=3, forget_sets=13, methods=30, scopes=2),
    "forget sets": Shape(seeds=3, forget_sets=104, methods=4),
    "attacks": Shape(seeds=3, forget_sets=13, attacks=20),
    "long names": Shape(seeds=3, forget_sets=26, methods=14, scopes=2, name="_of_a_long_name" * 4),
    "models": Shape(seeds=1, forget_sets=20, methods=250, scopes=2, attacks=1),
    "places": Shape(seeds=1, forget_sets=1250, methods=4, attacks=1),
    "failures": Shape(seeds=12, forget_sets=16, failed=True),
}
"""Of some 10,000 cells each; "failures" of fewer, none of which finished."""


def write_large(root: str, shape: Shape) -> Store:
    """Write the results of a shape into a new directory.

    Differences from retraining grow with the number of the method and scatter over seeds; the same shape gives the same
    rows.
    """
    store = Store(root)
    store.check_ready()
    with duckdb.connect() as session:
        session.register("grid", _grid(shape))
        own = {
            "seeds": shape.seeds,
            "forget_sets": shape.forget_sets,
            "name": shape.name,
            "failed": shape.failed,
        }
        cells = session.sql(CELLS, params=own).to_arrow_table()
        session.register("cells", cells)
        _write_settings(store, shape, cells)
        tables = {"cells": cells}
        if not shape.failed:
            tables |= {name: session.sql(text).to_arrow_table() for name, text in MADE.items()}
        for name, rows in tables.items():
            _publish(store, name, rows)
        if not shape.failed:
            _write_examples(store, shape, session)
    said = Declared(
        primary=tuple(map(_measure, PRIMARY)), margins={metric: 0.05 for metric, _ in PRIMARY}
    ).rows()
    planned = cells["cell_id"].to_pylist()
    plan = {"plan_json": json.dumps({"cells": len(planned)}), "answers_json": json.dumps(said)}
    write_plan(
        store,
        RUN,
        planned,
        name="large",
        dataset="digits",
        seeds_json=json.dumps(list(range(shape.seeds))),
        **plan,
    )
    return store


def _measure(place: tuple[str, str]) -> Any:
    from orchestrator.config.answers import Measure

    return Measure.parse(":".join(place))


def _grid(shape: Shape) -> pa.Table:
    """Architecture, method, scope and attack with the digests of their setting."""
    attacks = [_attack(i) for i in range(shape.attacks)]
    rows = []
    for architecture in (f"net_{i}{shape.name}" for i in range(shape.architectures)):
        for (place, (method, scope)), (attack, family) in (
            (model, attack) for model in enumerate(shape.models) for attack in attacks
        ):
            row = {"architecture": architecture, "method": method, "scope": scope, "attack": attack}
            rows.append(
                row
                | {
                    "number": place,
                    "attack_family": family,
                    "role": ROLES.get(method, "audited"),
                    "setting": _setting(row).setting,
                    "conditions": _setting(row).conditions,
                }
            )
    return pa.Table.from_pylist(rows)


def _attack(number: int) -> tuple[str, str]:
    family = FAMILIES[number] if number < 2 else FAMILIES[3 if number == 3 else 2]
    names = {0: "none", 1: "population", 2: "pgd", 3: "u_lira"}
    return names.get(number, f"attack_{number}"), family


def _setting(row: Mapping[str, Any]) -> Any:
    return setting_of(row, **{"training.epochs": 8, "data.name": "digits"})


def _write_settings(store: Store, shape: Shape, cells: pa.Table) -> None:
    names = ("architecture", "method", "scope", "attack")
    distinct = {tuple(row[name] for name in names) for row in cells.select(list(names)).to_pylist()}
    settings = [_setting(dict(zip(names, values, strict=True))) for values in sorted(distinct)]
    store.write_all("settings", {setting.setting: setting.rows() for setting in settings})


def _publish(store: Store, table: str, rows: pa.Table) -> None:
    """Rows of many keys in one file, as `Store.write_all` does, which takes them key by key."""
    known = TABLES[table]
    compaction.publish(
        store.arrow_files, known, conform(rows, known.file_schema), set(rows[known.key].to_pylist())
    )


def _write_examples(store: Store, shape: Shape, session: duckdb.DuckDBPyConnection) -> None:
    """A file for each cell that has rows of examples, as a sweep leaves them."""
    sets = [f"set_{i}{shape.name}" for i in range(shape.forget_sets)][: shape.sets_with_examples]
    asked = (
        "select cell_id, attack from cells where attack_family = $family and list_contains($sets, forget_set) "
        "order by all"
    )
    for family, text in EXAMPLES.items():
        found = session.sql(asked, params={"family": family, "sets": sets}).fetchall()
        for part in range(0, len(found), MOST_AT_ONCE):
            taken = found[part : part + MOST_AT_ONCE]
            session.register("taken", pa.table({"cell_id": [cell for cell, _ in taken]}))
            rows = session.sql(text, params={"examples": shape.examples}).to_arrow_table()
            for (cell, attack), own in zip(taken, _by_cell(rows, len(taken)), strict=True):
                store.write("examples", cell, own.drop_columns(["cell_id"]), attack=attack)


def _by_cell(rows: pa.Table, count: int) -> Iterator[pa.Table]:
    each = len(rows) // count
    return (rows.slice(each * i, each) for i in range(count))


CELLS = """
with models_of_cells as (
    select grid.*, seed, forget_set, $failed as failed,
        hash(architecture, forget_set, seed, method, scope) % 1000 / 1000 as luck,
        concat_ws('-', architecture, forget_set, method, scope, seed) as model_name,
        concat_ws('-', architecture, forget_set, 'retrain', 'all', seed) as reference_name
    from grid, range($seeds) as s(seed),
        (select 'set_' || i || $name as forget_set from range($forget_sets) as f(i))
)
select
    left(sha256(model_name || attack), 20) as cell_id,
    left(sha256(model_name), 20) as model_id,
    left(sha256(reference_name), 20) as reference_id,
    setting, conditions, 'large-1' as run_id, 'digits' as dataset, architecture, method, scope, attack, attack_family,
    '{}' as attack_params_json, '{}' as method_params_json, forget_set, left(sha256(forget_set), 20) as forget_digest,
    100 as forget_size, seed, role, if(failed, 'failed', 'finished') as status,
    if(failed, 'Diverged', null) as error_type, if(failed, 'loss is nan at step ' || number, null) as error,
    0.5 + luck as seconds, timestamptz '2026-03-01 12:00:00+00' + to_seconds(number) as finished_at, 'here' as host,
    if(attack_family = 'per_example', 32, null) as num_shadows,
    number, luck,
    case role when 'ceiling' then 1.0 when 'audited' then 0.9 + 0.09 * (number % 11) / 10 else 0.9 end as remembered
from models_of_cells
order by cell_id
"""
MODELS = """
select distinct on (model_id)
    model_id, if(role in ('audited', 'ceiling'), 'unlearned', 'retrained') as kind, dataset, architecture, forget_set,
    method, scope, seed, reference_id as retrained_id, 'finished' as status, 1000 as num_parameters,
    1000 as trainable_parameters, 5000 as samples, 'cpu' as device, 1 << 20 as peak_bytes,
    if(role in ('audited', 'ceiling'), 2 + 7 * luck, 50 + 10 * luck) as seconds, seconds as device_seconds
from cells
"""
METRICS = """
with
    of_cells as (
        select *, 0.02 * (hash(cell_id, 1) % 1000 / 1000 - 0.5) as noise from cells
    ),
    plain as (
        select cell_id, 'accuracy' as metric, split, '' as variant, label, null::double as param, null as game,
            if(split = 'forget', remembered, 0.92) + noise as value, 0.04 as half, 'closer_to_retrained' as higher_is
        from of_cells, unnest(['forget', 'retain', 'test']) as s(split), unnest([null, 0, 1, 2]) as l(label)
        where attack_family = 'none'
        union all
        select cell_id, metric, 'all', '', null, null, null, remembered - 0.9 + abs(noise), null, 'worse'
        from of_cells, unnest(['average_gap', 'tug_of_war', 'average_gap_mia']) as m(metric)
        where attack_family = 'none'
        union all
        select cell_id, 'class_accuracy_gap', split, '', null, null, null, 0.1 + noise, 0.05, 'worse'
        from of_cells, unnest(['forget', 'test']) as s(split)
        where attack_family = 'none'
    ),
    robust as (
        select cell_id, 'robust_accuracy', split, '', null, eps, null, 0.9 - 6 * eps + noise, 0.05, 'better'
        from of_cells, unnest(['forget', 'test']) as s(split), unnest([0.0, 0.05, 0.1]) as e(eps)
        where attack_family = 'adversarial'
        union all
        select cell_id, 'robust_accuracy_area', split, '', null, 0.1, null, 0.6 + noise, 0.05, 'better'
        from of_cells, unnest(['forget', 'test']) as s(split)
        where attack_family = 'adversarial'
    ),
    membership as (
        select cell_id, 'auc', 'forget', variant, null, null, game, 0.5 + 2 * (remembered - 0.9) + noise, 0.03,
            'closer_to_retrained'
        from of_cells, (values
            ('population', 'loss_threshold', 'G2-population'),
            ('population', 'logistic_loss', 'G2-population'),
            ('per_example', 'likelihood_ratio:pooled', 'G2'),
            ('per_example', 'likelihood_ratio:most_vulnerable_tenth', 'G2')
        ) as v(family, variant, game)
        where family = attack_family
    ),
    whole as (from plain union all from robust union all from membership)
select cell_id, metric, split, variant, label, param, game, value, value - half as ci_low, value + half as ci_high,
    200 as n, higher_is
from whole
"""
LAYERS = """
select cell_id, 'stages.' || i || '.norm' as layer, i as layer_index, 'norm' as kind, definition, null as label,
    0.1 + 0.2 * (hash(cell_id, i) % 1000 / 1000) as gap, 1.0 as sigma, 100 as n
from cells, range(3) as l(i), unnest(['post_norm', 'norm_sigma']) as d(definition)
where attack_family = 'none'
"""
COSTS = f"""
select model_id as stage_id, model_id, if(kind = 'retrained', 'retrain', 'unlearn') as stage, device, seconds,
    device_seconds, peak_bytes, samples
from ({MODELS})
"""
MADE = {"models": MODELS, "metrics": METRICS, "layers": LAYERS, "costs": COSTS}
_OWN = "from cells join taken on taken.cell_id = cells.cell_id, range($examples) as e(i)"
EXAMPLES = {
    "none": f"""
select cells.cell_id, (i + 1000 * place)::int as example_id, split, (i % 10)::int as label,
    (3 + 40 * (remembered - 0.9) * (split = 'forget')::int + 2 * (hash(i, seed, cells.cell_id) % 1000 / 1000))::float
        as phi,
    hash(i, cells.cell_id) % 1000 / 1000 < remembered as correct
{_OWN}, (values ('forget', 0), ('retain', 1), ('test', 2)) as s(split, place)
order by cells.cell_id, split, i
""",
    "population": f"""
select cells.cell_id, (i + 2000 * (not member)::int)::int as example_id, if(member, 'forget', 'test') as split,
    'loss_threshold' as statistic, member,
    (hash(i, cells.cell_id) % 1000 / 1000 + member::int * (remembered - 0.9))::float as score
{_OWN}, unnest([true, false]) as m(member)
order by cells.cell_id, member, i
""",
    "per_example": f"""
select cells.cell_id, i::int as example_id, 'forget' as split, (i % 10)::int as label, statistic, null::bool as member,
    if(statistic like '%auc', 0.5 + 2 * (remembered - 0.9), 0.5)
        * (hash(i, cells.cell_id, statistic) % 1000 / 1000 + 0.5)::float as score
{_OWN}, unnest(['likelihood_ratio:auc', 'likelihood_ratio:p_value', 'likelihood_ratio:q_value']) as k(statistic)
order by cells.cell_id, statistic, i
""",
}
