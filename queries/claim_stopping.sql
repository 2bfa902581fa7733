-- Is there no single epoch at which unlearning should stop for all examples (arXiv 2403.01218)?
-- grain: dataset, architecture, conditions, scope, forget set and method; method "(mean)" carries the claim
-- shown: dataset, architecture, method, effect!, effect_low, effect_high, margin, verdict!, gain, folds
-- param scope = "all": only models of this layer scope
-- param margin = 0.05 from 0: smallest squared separation that matters (0.05: an AUC of .56)
-- Of each example and epoch: the squared separation of phi where it was unlearned from where it was never seen,
-- in units of phi's variance over shadow models. Pairs of shadow models fall into folds of two. The epochs, one
-- for all examples and one for each, are those of least squared mean separation in the other folds; they are
-- judged in this one by the product of its two pairs' separations, which has the squared one as its mean. effect:
-- its mean over examples and folds at the common epoch by the mean variance, and over methods, with a jackknife over
-- folds, for the variance is an estimate too, and Student's t: above 0 where no epoch protects all. gain: that less
-- the same at each example's own epoch; it counts the noise of so many choices against them, and may be negative.
-- Methods count that share their folds, chosen for most of both.
with folded as (
    select
        {
            dataset: dataset, architecture: architecture, conditions: conditions, scope: scope,
            forget_set: forget_set
        } as place,
        {method: method, setting: setting} as which,
        epoch, example_id, fold, pairs, total, squared, variance
    from squared_separations
    where epoch is not null
        and scope = $scope
        and method in (select plan_cells.method from plan_cells where plan_cells.role = 'audited')
),
judged as (
    select
        * exclude (total, pairs),
        ((sum(total) over all_folds - total) / (sum(pairs) over all_folds - pairs)) ** 2 as elsewhere
    from folded
    window all_folds as (partition by place, which, epoch, example_id)
    qualify pairs = 2 and sum(pairs) over all_folds > 2
),
by_epoch as (
    select *, avg(elsewhere) over (partition by place, which, fold, epoch) as of_all from judged
),
by_example as (
    select
        place, which, fold,
        arg_min(squared, [of_all, epoch]) as single,
        arg_min(squared, [elsewhere, epoch]) as own,
        avg(variance) as variance
    from by_epoch
    group by place, which, fold, example_id
),
by_fold as (
    select place, which, fold, avg(single) as single, avg(single - own) as gain, avg(variance) as variance
    from by_example
    group by place, which, fold
),
alike as (
    select *, list_sort(list(fold) over (partition by place, which)) as measured from by_fold
),
counted as (
    select *, count(*) over (partition by place, measured) as most from alike
),
kept as (
    select * from counted qualify dense_rank() over (partition by place order by most desc, measured) = 1
),
scaled as (
    select
        *,
        sum(single) over every / sum(variance) over every as effect,
        sum(gain) over every / sum(variance) over every as saved,
        (sum(single) over every - single) / (sum(variance) over every - variance) as effect_without,
        (sum(gain) over every - gain) / (sum(variance) over every - variance) as saved_without
    from kept
    window every as (partition by place, which)
),
replicates as (
    select
        place,
        coalesce(which.method, '(mean)') as method,
        if(grouping(which) = 1, place.conditions, which.setting) as setting,
        count(distinct which) as methods,
        avg(effect) as effect, avg(effect_without) as effect_without,
        avg(saved) as gain, avg(saved_without) as saved_without
    from scaled
    group by grouping sets ((place, fold), (place, which, fold))
),
pooled as (
    select
        place, method, setting,
        max(methods) as methods,
        count(*) as folds,
        avg(effect) as effect,
        units_half_width(stddev_samp(effect_without) * (folds - 1), folds) as half,
        units_without(stddev_samp(effect_without), folds, 'folds of two pairs of shadow models') as no_interval,
        avg(gain) as gain,
        units_half_width(stddev_samp(saved_without) * (folds - 1), folds) as gain_half
    from replicates
    group by place, method, setting
)
select
    place.*,
    setting_labels.label as setting_label,
    method = '(mean)' as is_claim,
    pooled.* exclude (place, setting, half, no_interval, gain_half),
    effect - half as effect_low,
    effect + half as effect_high,
    gain - gain_half as gain_low,
    gain + gain_half as gain_high,
    $margin as margin,
    claim_verdict(effect - half, effect + half, $margin) as verdict,
    no_interval
from pooled
left join setting_labels on setting_labels.setting = pooled.setting
order by all;
