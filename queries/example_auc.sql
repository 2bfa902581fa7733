-- How well does a per-example attack recognise each example, over shadow models?
-- shown: method, scope, attack, statistic, example_id, auc, told_apart, retrained_auc, label, forget_set
-- shown: architecture, seed, p_value, accuracy, retrained_told_apart, setting_label
-- grain: finished cell of a per-example attack, statistic and example
-- param split = "forget": forget; retain for game G3
-- param architecture = null: only this architecture
-- param forget_set = null: only this forget set
-- param fdr = 0.1 from 0 to 1: false-discovery rate at which an example counts as told apart
-- auc is that of one example: 0.5 where its shadow models with and without it cannot be told apart. Of the
-- attack rank_test it is that of phi, mirrored at one half, with a score interval; a fitted attack's has none: it
-- learns the direction of a weak signal from noise. accuracy is balanced, of accept or reject at equal odds
-- (U-LiRA's own measure), with the exact interval of Clopper and Pearson. p_value: of rank tests of phi, for a shift
-- and for a spread, in the rows of rank_test alone; told_apart: among the examples of the cell that are called so,
-- a share fdr is expected to be false (Benjamini-Hochberg). retrained_...: the same after exact unlearning, where
-- every one is false.
with per_example as (
    select *
    from plan_cells
    where attack_family = 'per_example'
        and ($architecture is null or architecture = $architecture)
        and ($forget_set is null or forget_set = $forget_set)
),
scored as (
    select
        per_example.*,
        split_part(examples.statistic, ':', 1) as attack_statistic,
        examples.example_id,
        any_value(examples.label) as label,
        max(examples.score) filter (where examples.statistic like '%:auc') as auc,
        max(examples.score_low) filter (where examples.statistic like '%:auc') as auc_low,
        max(examples.score_high) filter (where examples.statistic like '%:auc') as auc_high,
        max(examples.score) filter (where examples.statistic like '%:accuracy') as accuracy,
        max(examples.score_low) filter (where examples.statistic like '%:accuracy') as accuracy_low,
        max(examples.score_high) filter (where examples.statistic like '%:accuracy') as accuracy_high,
        max(examples.score) filter (where examples.statistic like '%:p_value') as p_value,
        max(examples.score) filter (where examples.statistic like '%:q_value') <= $fdr as told_apart
    from examples
    join per_example on per_example.cell_id = examples.cell_id
    where examples.split = $split
        and regexp_matches(examples.statistic, ':(auc|accuracy|p_value|q_value)$')
    group by all
    having isfinite(auc)
)
select
    ours.dataset,
    ours.architecture,
    ours.forget_set,
    ours.attack,
    ours.attack_statistic as statistic,
    ours.role,
    ours.method,
    ours.scope,
    ours.seed,
    setting_labels.label as setting_label,
    ours.example_id,
    ours.label,
    ours.auc,
    ours.auc_low,
    ours.auc_high,
    ours.accuracy,
    ours.accuracy_low,
    ours.accuracy_high,
    ours.p_value,
    ours.told_apart,
    theirs.auc as retrained_auc,
    theirs.told_apart as retrained_told_apart,
    ours.setting
from scored as ours
left join setting_labels on setting_labels.setting = ours.setting
left join plan_references on plan_references.cell_id = ours.cell_id
left join scored as theirs
    on theirs.cell_id = plan_references.reference_cell_id
    and theirs.attack_statistic = ours.attack_statistic
    and theirs.example_id = ours.example_id
order by
    ours.dataset, ours.architecture, ours.forget_set, ours.attack, ours.attack_statistic, ours.role, ours.method,
    ours.scope, ours.seed, ours.setting, ours.example_id;
