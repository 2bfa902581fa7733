-- Does unlearning leave those whom nobody asked to forget worse off, more often than retraining (arXiv 2403.01218)?
-- grain: dataset, architecture, conditions, forget set, split, statistic and method; method "(mean)" carries the claim
-- shown: dataset, architecture, split, method, worse, control, tested, effect!, effect_low, effect_high, margin, verdict!
-- builds on: worse_than_before
-- param scope = "all": only models of this layer scope
-- param claim_split = "retain": retain, those whom nobody asked to forget, or forget
-- param statistic = "phi": what worse is judged by
-- param margin = 0.02 from 0 to 0.5: smallest share that matters
-- effect: share of (shadow model, example) that is worse off less the same of retrained models, paired by shadow model.
-- Under "(mean)" it is the mean over methods, whose interval is the mean of theirs: methods share their shadow models, and
-- the standard error of a mean is at most the mean of the errors, reached where they move together. worse: examples that
-- are found worse off at the false-discovery rate of the attack (Benjamini-Hochberg), of tested; control: the same number
-- after retraining; all three are sums over methods.
with known as (
    select distinct setting, conditions
    from settings
),
audited as (
    select worse_than_before.*, known.conditions, plan_cells.num_shadows
    from worse_than_before
    join plan_cells on plan_cells.cell_id = worse_than_before.cell_id
    left join known on known.setting = worse_than_before.setting
    where worse_than_before.role = 'audited'
        and worse_than_before.scope = $scope
        and worse_than_before.statistic = $statistic
),
pooled as (
    select
        dataset,
        architecture,
        conditions,
        forget_set,
        split,
        statistic,
        coalesce(method, '(mean)') as method,
        coalesce(setting, conditions) as setting,
        count(distinct setting) as methods,
        cast(sum(worse) as bigint) as worse,
        cast(sum(control) as bigint) as control,
        cast(sum(tested) as bigint) as tested,
        avg(share) as share,
        avg(control_share) as control_share,
        avg(share_difference) as effect,
        min(num_shadows) as shadows,
        case
            when shadows < 8 then 'it takes 8 shadow models, here are ' || shadows
            when count(share_difference_low) < count(*) then 'no retrained control on the same shadow models'
            when not bool_and(isfinite(share_difference_low)) then 'no finite values'
        end as no_interval,
        if(no_interval is null, avg(share_difference_low), null) as low,
        if(no_interval is null, avg(share_difference_high), null) as high
    from audited
    group by grouping sets (
        (dataset, architecture, conditions, forget_set, split, statistic),
        (dataset, architecture, conditions, forget_set, split, statistic, method, setting)
    )
)
select
    dataset,
    architecture,
    forget_set,
    split,
    statistic,
    setting_labels.label as setting_label,
    method = '(mean)' and split = $claim_split as is_claim,
    method,
    methods,
    shadows,
    worse,
    control,
    tested,
    share,
    control_share,
    effect,
    low as effect_low,
    high as effect_high,
    $margin as margin,
    claim_verdict(low, high, $margin) as verdict,
    no_interval,
    conditions
from pooled
left join setting_labels on setting_labels.setting = pooled.setting
order by dataset, architecture, conditions, forget_set, split, statistic, is_claim desc, method, pooled.setting;
