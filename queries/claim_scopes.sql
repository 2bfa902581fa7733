-- Do the intermediate and last layers suffice, and are they cheap (arXiv 2504.13610)?
-- grain: dataset, architecture, conditions and scope
-- shown: dataset, architecture, scope, effect!, effect_low, effect_high, margin, cost_ratio, verdict!, originals, no_interval
-- param scope = "intermediate+last": the scope that the claim is about
-- param metric = "accuracy": measure of closeness, on the forget, retain and test set alike
-- param attack = "none": the cells it is taken from
-- param margin = 0.02 from 0 to 1: largest difference of distances that does not matter
-- effect: distance to the retrained model of the seed less that of scope `all` of the same method, in its view
-- scopes_beside_all, mean over splits, forget sets, settings of a base method and base methods, then over originals with
-- Student's t. Suffices: the upper of two one-sided tests at 5 % (effect below margin); equivalent: the lower too (effect
-- above -margin). Cheap: cost_ratio, the geometric mean of device seconds by those of scope `all`, paired likewise, has its
-- interval below 1. supported: both (each test at its level, so their conjunction too); contradicted: the effect is shown
-- above the margin, or the ratio not below 1. An original of a setting counts with every forget set and split, and of the
-- settings (methods: of how many base methods) those that share the same originals, chosen for most models.
with differences as (
    select
        {dataset: dataset, architecture: architecture, conditions: conditions, scope: scope} as place,
        concat_ws(' ', method, unscoped) as own,
        coalesce(any_value(base), any_value(method)) as base,
        seed,
        avg(gap_difference) as difference,
        avg(ln(cost_of_all)) as log_cost
    from scopes_beside_all
    left join base_methods using (setting)
    where metric = $metric
        and attack = $attack
        and split in ('forget', 'retain', 'test')
        and variant = ''
        and scope <> 'all'
        and gap_difference is not null
    group by 1, 2, seed
    qualify count(*) = max(count(*)) over (partition by place)
),
alike as (
    select *, list_sort(list(seed) over (partition by place, own)) as measured from differences
),
counted as (
    select *, count(*) over (partition by place, measured) as models from alike
),
kept as (
    select * from counted qualify dense_rank() over (partition by place order by models desc, measured) = 1
),
by_base as (
    select
        place, base, seed,
        count(*) as settings,
        avg(difference) as difference,
        if(count(log_cost) = count(*), avg(log_cost), null) as log_cost
    from kept
    group by place, base, seed
),
by_original as (
    select
        place, seed,
        count(*) as methods,
        sum(settings) as settings,
        avg(difference) as difference,
        if(count(log_cost) = count(*), avg(log_cost), null) as log_cost
    from by_base
    group by place, seed
),
pooled as (
    select
        place,
        max(methods) as methods,
        cast(max(settings) as bigint) as settings,
        count(*) as originals,
        avg(difference) as effect,
        stddev_samp(difference) as sd,
        units_half_width(sd, originals) as half,
        t95(originals - 1) * sd / sqrt(originals) as half_one_sided,
        units_without(sd, originals, 'originals (seeds)') as no_interval,
        if(count(log_cost) = count(*), avg(log_cost), null) as log_cost,
        if(count(log_cost) = count(*), units_half_width(stddev_samp(log_cost), originals), null) as log_half
    from by_original
    group by place
),
judged as (
    select
        *,
        half is not null and effect + half_one_sided < $margin as suffices,
        coalesce(effect - half > $margin, false) as is_worse,
        coalesce(log_cost + log_half < 0, false) as is_cheap,
        coalesce(log_cost - log_half >= 0, false) as is_dear
    from pooled
)
select
    place.dataset as dataset, place.architecture as architecture,
    setting_labels.label as setting_label,
    place.scope = $scope as is_claim,
    place.scope as scope,
    methods, settings, originals,
    effect,
    effect - half as effect_low,
    effect + half as effect_high,
    $margin as margin,
    suffices,
    suffices and effect - half_one_sided > -$margin as is_equivalent,
    exp(log_cost) as cost_ratio,
    exp(log_cost - log_half) as cost_ratio_low, exp(log_cost + log_half) as cost_ratio_high,
    case
        when is_worse or is_dear then 'contradicted'
        when suffices and is_cheap then 'supported'
        else 'undecided'
    end as verdict,
    no_interval,
    place.conditions as conditions
from judged
left join setting_labels on setting_labels.setting = place.conditions
order by dataset, architecture, conditions, scope;
