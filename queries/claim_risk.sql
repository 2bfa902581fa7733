-- Are examples of higher privacy risk easier to unlearn (arXiv 2410.06446)?
-- grain: dataset, architecture, conditions, scope, forget set and method; method "(mean)" carries the claim
-- shown: dataset, architecture, method, removed_high, removed_low, effect!, effect_low, effect_high, margin, verdict!
-- param scope = "all": only models of this layer scope
-- param margin = 0.05 from 0 to 1: smallest difference of removed shares that matters
-- Pairs of shadow models fall into folds of two, folds into halves. risk: mean by standard deviation of the
-- separation of phi (trained on it against not) before unlearning, in one half; high and low are the halves of the
-- targets by it. Outcome, in the other half: the squared separation before (there) and after (left), which counts
-- forgetting too much as well; it is the mean of the product of a fold's two pairs. The halves then change places.
-- removed: 1 - left / there, means over targets and folds: what there was to remove is taken out. effect:
-- removed_high less removed_low, jackknife over folds with Student's t. Without taking it out: left_effect, left of
-- low less of high. Under "(mean)" left is a mean over methods. No interval where low has less than three standard
-- errors of separation before: a share of that says nothing.
with risks as (
    select
        shadow_set,
        example_id,
        half,
        avg(separation) filter (where pair // 2 % 2 <> half)
            / nullif(stddev_samp(separation) filter (where pair // 2 % 2 <> half), 0) as risk
    from separations
    cross join (select unnest([0, 1]) as half)
    where method = 'none'
    group by all
),
judged as (
    select
        {
            dataset: after.dataset, architecture: after.architecture, conditions: after.conditions,
            scope: after.scope, forget_set: after.forget_set
        } as place,
        {method: after.method, setting: after.setting} as which,
        after.fold,
        risks.risk,
        after.squared as remaining, before.squared as there,
        median(risks.risk) over (partition by after.setting, after.scope, after.forget_set, after.fold) as middle
    from squared_separations as after
    join squared_separations as before
        on before.method = 'none'
        and before.shadow_set = after.shadow_set
        and before.example_id = after.example_id
        and before.fold = after.fold
    join risks
        on risks.shadow_set = after.shadow_set
        and risks.example_id = after.example_id
        and risks.half = after.fold % 2
    where after.epoch is null
        and after.squared * before.squared is not null
        and after.scope = $scope
        and after.method in (select plan_cells.method from plan_cells where plan_cells.role = 'audited')
),
by_fold as (
    select
        place,
        coalesce(which.method, '(mean)') as method,
        if(grouping(which) = 1, place.conditions, which.setting) as setting,
        fold,
        count(distinct which) as methods,
        count(*) // methods as targets,
        avg(remaining) filter (where risk >= middle) as left_high,
        avg(remaining) filter (where risk < middle) as left_low,
        avg(there) filter (where risk >= middle) as there_high,
        avg(there) filter (where risk < middle) as there_low
    from judged
    group by grouping sets ((place, fold), (place, which, fold))
),
without_one as (
    select
        *,
        (sum(left_low) over every - left_low) / (sum(there_low) over every - there_low)
            - (sum(left_high) over every - left_high) / (sum(there_high) over every - there_high) as other
    from by_fold
    window every as (partition by place, method, setting)
),
pooled as (
    select
        place,
        method,
        setting,
        max(methods) as methods,
        max(targets) as targets,
        count(*) as folds,
        1 - sum(left_high) / sum(there_high) as removed_high,
        1 - sum(left_low) / sum(there_low) as removed_low,
        removed_high - removed_low as effect,
        coalesce(
            units_without(stddev_samp(other), folds, 'folds of two pairs of shadow models'),
            if(avg(there_low) * sqrt(folds) < 3 * stddev_samp(there_low), 'nothing to remove where risk is low', null)
        ) as no_interval,
        if(no_interval is null, units_half_width(stddev_samp(other) * (folds - 1), folds), null) as half,
        avg(left_low - left_high) as left_effect,
        units_half_width(stddev_samp(left_low - left_high), folds) as left_half
    from without_one
    group by all
)
select
    place.*,
    setting_labels.label as setting_label,
    method = '(mean)' as is_claim,
    pooled.* exclude (place, setting, no_interval, half, left_half),
    effect - half as effect_low,
    effect + half as effect_high,
    left_effect - left_half as left_effect_low,
    left_effect + left_half as left_effect_high,
    $margin as margin,
    claim_verdict(effect - half, effect + half, $margin) as verdict,
    no_interval
from pooled
left join setting_labels on setting_labels.setting = pooled.setting
order by all;
