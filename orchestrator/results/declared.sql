-- What the selected run declared: a row for each metric with its margin (null: none), and one for each primary measure,
-- in which null takes any split, game, variant, attack and param, and * in a variant any text. declared_after: the run
-- found rows of the metric, and the first run that asked for one of their cells had declared another margin, or had
-- that measure primary where this one has not, or the other way round. A measure dropped so keeps its row.
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
asked_before as (
    select
        cells.cell_id,
        cells.attack,
        arg_min(runs.run_id, runs.ordinal) as run_id
    from selected
    join plans as asked on asked.run_id = selected.run_id
    join cells on cells.cell_id = asked.cell_id and cells.status = 'finished'
    join plans as other on other.cell_id = cells.cell_id
    join runs on runs.run_id = other.run_id
    where selected.found_rows
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
