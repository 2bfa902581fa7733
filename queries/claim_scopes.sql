-- Do the intermediate and last layers suffice, and are they cheap (arXiv 2504.13610)?
-- grain: dataset, architecture, conditions and scope
-- shown: dataset, architecture, scope, effect!, effect_low, effect_high, margin, cost_ratio, verdict!, originals, no_interval
-- param scope = "intermediate+last": the scope that the claim is about
-- param metric = "accuracy": measure of closeness, on the forget, retain and test set alike
-- param attack = "none": the cells it is taken from
-- param margin = 0.02 from 0 to 1: largest difference of distances that does not matter
-- effect: distance to the retrained model of the seed less that of scope `all` of the same method, in its view
-- scopes_beside_all, mean over splits, forget sets and methods, then over originals with Student's t. Suffices: the
-- upper of two one-sided tests at 5 % (effect below margin); equivalent: the lower too (effect above -margin). Cheap:
-- cost_ratio, the geometric mean of device seconds by those of scope `all`, paired likewise, has its interval below 1.
-- supported: both (each test at its level, so their conjunction too); contradicted: the effect is shown above
-- the margin, or the ratio not below 1. Methods count that have every forget set, split and original.
with differences as (
    select
        dataset,
        architecture,
        conditions,
        scope,
        concat_ws(' ', method, unscoped) as method,
        seed,
        count(*) as parts,
        avg(gap_difference) as difference,
        avg(ln(cost_of_all)) as log_cost
    from scopes_beside_all
    where metric = $metric
        and attack = $attack
        and split in ('forget', 'retain', 'test')
        and variant = ''
        and scope <> 'all'
        and gap_difference is not null
    group by all
),
complete as (
    select *
    from differences
    qualify min(parts) over (partition by dataset, architecture, conditions, scope, method)
        = max(parts) over (partition by dataset, architecture, conditions, scope)
        and count(*) over (partition by dataset, architecture, conditions, scope, method)
        = count(distinct seed) over (partition by dataset, architecture, conditions, scope)
),
by_original as (
    select
        dataset,
        architecture,
        conditions,
        scope,
        seed,
        count(*) as methods,
        avg(difference) as difference,
        if(count(log_cost) = count(*), avg(log_cost), null) as log_cost
    from complete
    group by all
),
pooled as (
    select
        dataset,
        architecture,
        conditions,
        scope,
        max(methods) as methods,
        count(*) as originals,
        avg(difference) as effect,
        stddev_samp(difference) as sd,
        units_half_width(sd, originals) as half,
        t95(originals - 1) * sd / sqrt(originals) as half_one_sided,
        units_without(sd, originals, 'originals (seeds)') as no_interval,
        if(count(log_cost) = count(*), avg(log_cost), null) as log_cost,
        if(count(log_cost) = count(*), units_half_width(stddev_samp(log_cost), originals), null) as log_half
    from by_original
    group by dataset, architecture, conditions, scope
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
    dataset,
    architecture,
    setting_labels.label as setting_label,
    scope = $scope as is_claim,
    scope,
    methods,
    originals,
    effect,
    effect - half as effect_low,
    effect + half as effect_high,
    $margin as margin,
    suffices,
    suffices and effect - half_one_sided > -$margin as is_equivalent,
    exp(log_cost) as cost_ratio,
    exp(log_cost - log_half) as cost_ratio_low,
    exp(log_cost + log_half) as cost_ratio_high,
    case
        when is_worse or is_dear then 'contradicted'
        when suffices and is_cheap then 'supported'
        else 'undecided'
    end as verdict,
    no_interval,
    conditions
from judged
left join setting_labels on setting_labels.setting = conditions
order by dataset, architecture, conditions, scope;
