-- How well does a per-example attack recognise each example, over shadow models?
-- grain: finished cell of a per-example attack, statistic and example
-- param split = "forget": forget; retain for game G3
-- param architecture = null: only this architecture
-- param forget_set = null: only this forget set
-- auc is that of one example: 0.5 where its shadow models with and without it cannot be told apart. retrained_auc is
-- the same after exact unlearning. Of cells measured more than once the latest counts.
with latest as (
    select *
    from latest_cells
    where attack_family = 'per_example'
        and ($architecture is null or architecture = $architecture)
        and ($forget_set is null or forget_set = $forget_set)
),
scored as (
    select
        latest.*,
        examples.statistic,
        examples.example_id,
        examples.label,
        examples.score as auc,
        examples.score_low as auc_low,
        examples.score_high as auc_high
    from examples
    join latest on latest.cell_id = examples.cell_id
    where examples.split = $split
        and examples.statistic like '%:auc'
        and isfinite(examples.score)
)
select
    ours.dataset,
    ours.architecture,
    ours.forget_set,
    ours.attack,
    ours.statistic,
    ours.role,
    ours.method,
    ours.scope,
    ours.seed,
    ours.example_id,
    ours.label,
    ours.auc,
    ours.auc_low,
    ours.auc_high,
    theirs.auc as retrained_auc
from scored as ours
left join scored as theirs
    on theirs.role = 'reference'
    and theirs.dataset = ours.dataset
    and theirs.architecture = ours.architecture
    and theirs.forget_set = ours.forget_set
    and theirs.seed = ours.seed
    and theirs.attack = ours.attack
    and theirs.statistic = ours.statistic
    and theirs.example_id = ours.example_id
order by
    ours.dataset, ours.architecture, ours.forget_set, ours.attack, ours.statistic, ours.role, ours.method, ours.scope,
    ours.seed, ours.example_id;
