-- Which methods leave examples worse off than the original model had them, and does retraining do so too?
-- shown: method, scope, statistic, split, tested, worse, control, share, control_share, share_difference
-- shown: forget_set, architecture, fdr, seed, setting_label
-- grain: finished cell of the attack before_after, split and statistic
-- param split = null: forget or retain
-- param forget_set = null: only this forget set
-- A forgotten example is worse off where it is further from never seen, on either side, than before unlearning in the
-- same shadow models; a retained one where phi is lower. worse: how many of tested are found at the false-discovery
-- rate of the attack (Benjamini-Hochberg over signed-rank tests); control is the same for retrained models, which owe
-- the loss to the smaller training set alone. share: of (shadow model, example), one half where nothing happened; its
-- difference to the control is paired by shadow model.
with counted as (
    select *
    from leaderboard
    where metric = 'examples_worse_than_before'
        and ($split is null or split = $split)
        and ($forget_set is null or forget_set = $forget_set)
),
shares as (
    select *
    from leaderboard
    where metric = 'share_worse_than_before'
)
select
    counted.dataset,
    counted.architecture,
    counted.forget_set,
    counted.split,
    if(counted.variant = '', 'phi', counted.variant) as statistic,
    counted.role,
    counted.method,
    counted.scope,
    counted.seed,
    setting_labels.label as setting_label,
    counted.n as tested,
    cast(counted.value as bigint) as worse,
    cast(counted.retrained as bigint) as control,
    counted.param as fdr,
    shares.value as share,
    shares.ci_low as share_low,
    shares.ci_high as share_high,
    shares.retrained as control_share,
    shares.difference as share_difference,
    shares.difference_low as share_difference_low,
    shares.difference_high as share_difference_high,
    counted.cell_id,
    counted.setting
from counted
join shares on shares.cell_id = counted.cell_id and shares.split = counted.split
    and shares.variant = counted.variant
left join setting_labels on setting_labels.setting = counted.setting
order by
    counted.dataset, counted.architecture, counted.forget_set, counted.split, counted.variant, counted.role,
    counted.method, counted.scope, counted.seed, counted.setting;
