-- What the selected run declared: a row for each metric with its margin (null: none), and one for each primary measure,
-- in which null takes any split, game, variant, attack and param, and * in a variant any text. declared_after: when the
-- run began there were rows of the metric, of its own cells or of others of the same data set, architecture, forget set,
-- method and scope (another seed, another setting of method or evaluation), and the first run that asked for one of these
-- cells had declared another margin, or had that measure primary where this one has not, or the other way round. A measure
-- dropped so keeps its row.
-- A metric that the run could not report has the margin of the catalogue.
create or replace temp view declared as
with declarations as (
    select
        run_id,
        unnest(
            from_json(
                answers_json,
                '[{
                    "place": {
                        "metric": "VARCHAR", "split": "VARCHAR", "game": "VARCHAR",
                        "variant": "VARCHAR", "attack": "VARCHAR", "param": "DOUBLE"
                    },
                    "is_primary": "BOOLEAN",
                    "margin": "DOUBLE"
                }]'
            ),
            recursive := false,
            max_depth := 1
        ) as declaration
    from runs
),
selected as (
    select
        run_id,
        ordinal,
        cast(plan_json ->> '$.cells_before' as bigint) > 0 as found_rows
    from runs
    where run_id = (select run_id from asked_run) or (select run_id from asked_run) = 'all'
    order by ordinal desc, run_id desc
    limit 1
),
asked as (
    select cells.*
    from cells
    semi join (plans semi join selected on selected.run_id = plans.run_id) as own on own.cell_id = cells.cell_id
),
asked_before as (
    select
        cells.cell_id,
        cells.attack,
        arg_min(runs.run_id, runs.ordinal) as run_id
    from cells
    cross join selected
    join plans as other on other.cell_id = cells.cell_id
    join runs on runs.run_id = other.run_id
    left join runs as writer on writer.run_id = cells.run_id
    where cells.status = 'finished'
        and (
            (selected.found_rows and cells.cell_id in (select asked.cell_id from asked))
            or (
                writer.ordinal < selected.ordinal
                and (cells.dataset, cells.architecture, cells.forget_set, cells.method, cells.scope) in (
                    select (asked.dataset, asked.architecture, asked.forget_set, asked.method, asked.scope)
                    from asked
                )
            )
        )
    group by all
),
earlier as (
    select distinct
        asked_before.run_id,
        asked_before.attack,
        metrics.metric
    from asked_before
    join metrics on metrics.cell_id = asked_before.cell_id
),
-- Of each run and each place that one of them named: its margin, whether it is primary, whether the run named it.
said as (
    select
        declarations.run_id,
        places.place,
        any_value(declaration.margin) as margin,
        bool_or(declaration.is_primary and declaration.place = places.place) as is_primary,
        bool_or(declaration.place = places.place) as is_named
    from (select distinct declaration.place from declarations) as places
    join declarations on declaration.place.metric = places.place.metric
    group by all
),
judged as (
    select
        mine.*,
        exists (
            select 1
            from earlier
            join said as theirs on theirs.run_id = earlier.run_id and theirs.place = mine.place
            where earlier.metric = mine.place.metric
                and earlier.attack = coalesce(mine.place.attack, earlier.attack)
                and (theirs.margin is distinct from mine.margin or theirs.is_primary <> mine.is_primary)
        ) as declared_after
    from said as mine
    semi join selected on selected.run_id = mine.run_id
)
select
    place.metric,
    place.split,
    place.game,
    place.variant,
    place.attack,
    place.param,
    is_primary,
    margin,
    declared_after
from judged
where is_named or declared_after
union all
select
    metric,
    null as split,
    null as game,
    null as variant,
    null as attack,
    null as param,
    false as is_primary,
    margin,
    false as declared_after
from metric_declarations
where reading = '' and metric not in (select judged.place.metric from judged);
