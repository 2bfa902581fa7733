-- Which examples that were to be kept, and which unseen ones, does a model get wrong that retraining gets right?
-- grain: finished cell without attack, and split
-- param split = null: only this split
-- harmed: the retrained model is right and this one wrong. helped: the other way round. The interval of the share of
-- harmed examples is Wilson's at 95 %.
with pairs as (
    select
        cells.cell_id,
        cells.dataset,
        cells.architecture,
        cells.forget_set,
        cells.method,
        cells.scope,
        cells.seed,
        cells.role,
        cells.setting,
        plan_references.reference_cell_id
    from plan_cells as cells
    join plan_references on plan_references.cell_id = cells.cell_id
    where cells.attack_family = 'none'
        and cells.role <> 'reference'
),
answers as (
    select cell_id, split, example_id, correct
    from examples
    where attack = 'none'
        and split in ('retain', 'test')
        and ($split is null or split = $split)
),
counted as (
    select
        pairs.dataset,
        pairs.architecture,
        pairs.forget_set,
        ours.split,
        pairs.role,
        pairs.method,
        pairs.scope,
        pairs.seed,
        pairs.setting,
        pairs.cell_id,
        count(*) as n,
        avg(cast(theirs.correct and not ours.correct as double)) as harmed,
        avg(cast(ours.correct and not theirs.correct as double)) as helped
    from pairs
    join answers as ours on ours.cell_id = pairs.cell_id
    join answers as theirs
        on theirs.cell_id = pairs.reference_cell_id
        and theirs.split = ours.split
        and theirs.example_id = ours.example_id
    group by all
)
select
    dataset,
    architecture,
    forget_set,
    split,
    role,
    method,
    scope,
    seed,
    setting_labels.label as setting_label,
    n,
    harmed,
    wilson_low(harmed, n) as harmed_low,
    wilson_high(harmed, n) as harmed_high,
    helped,
    cell_id,
    counted.setting
from counted
left join setting_labels on setting_labels.setting = counted.setting
order by dataset, architecture, forget_set, split, role, method, scope, seed, counted.setting;
