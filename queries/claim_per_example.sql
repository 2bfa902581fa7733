-- Are attacks on each example stronger than attacks on the average (arXiv 2403.01218)?
-- grain: dataset, architecture, conditions, scope, forget set and method; method "(mean)" carries the claim
-- shown: dataset, architecture, method, population, per_example, effect!, effect_low, effect_high, margin, verdict!, pairs
-- param scope = "all": only models of this layer scope
-- param margin = 0.02 from 0 to 0.5: smallest difference of AUC that matters
-- AUC of both attacks on the same unlearned shadow models (view attacks_by_pair), of the methods that the plan has as
-- audited. effect: per_example less population, mean over the models of a pair and, under "(mean)", over methods; then
-- over pairs of shadow models with Student's t. Methods count that have every pair.
with paired as (
    select
        dataset,
        architecture,
        conditions,
        scope,
        forget_set,
        setting,
        method,
        pair,
        population,
        per_example,
        count(*) over (partition by conditions, scope, forget_set, setting) as measured
    from attacks_by_pair
    where scope = $scope
        and method in (select plan_cells.method from plan_cells where plan_cells.role = 'audited')
),
by_pair as (
    select
        dataset,
        architecture,
        conditions,
        scope,
        forget_set,
        coalesce(method, '(mean)') as method,
        any_value(setting) as setting,
        pair,
        count(distinct setting) as methods,
        avg(population) as population,
        avg(per_example) as per_example
    from (
        select *
        from paired
        qualify measured = max(measured) over (partition by dataset, architecture, conditions, scope, forget_set)
    )
    group by grouping sets (
        (dataset, architecture, conditions, scope, forget_set, pair),
        (dataset, architecture, conditions, scope, forget_set, method, setting, pair)
    )
),
pooled as (
    select
        dataset,
        architecture,
        conditions,
        scope,
        forget_set,
        method,
        if(method = '(mean)', conditions, setting) as setting,
        max(methods) as methods,
        count(*) as pairs,
        avg(population) as population,
        avg(per_example) as per_example,
        avg(per_example - population) as effect,
        units_half_width(stddev_samp(per_example - population), pairs) as half,
        units_without(stddev_samp(per_example - population), pairs, 'pairs of shadow models') as no_interval
    from by_pair
    group by all
)
select
    dataset,
    architecture,
    scope,
    forget_set,
    setting_labels.label as setting_label,
    method = '(mean)' as is_claim,
    method,
    methods,
    pairs,
    population,
    per_example,
    effect,
    effect - half as effect_low,
    effect + half as effect_high,
    $margin as margin,
    claim_verdict(effect - half, effect + half, $margin) as verdict,
    no_interval,
    conditions
from pooled
left join setting_labels on setting_labels.setting = pooled.setting
order by dataset, architecture, conditions, scope, forget_set, is_claim desc, method, pooled.setting;
