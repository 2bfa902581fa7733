-- Are attacks on each example stronger than attacks on the average (arXiv 2403.01218)?
-- grain: dataset, architecture, conditions, scope, forget set and method; method "(mean)" carries the claim
-- shown: dataset, architecture, method, population, per_example, effect!, effect_low, effect_high, margin, verdict!, pairs
-- param scope = "all": only models of this layer scope
-- param margin = 0.02 from 0 to 0.5: smallest difference of AUC that matters
-- AUC of both attacks on the same unlearned shadow models (view attacks_by_pair), of the methods that the plan has as
-- audited. effect: per_example less population, mean over the models of a pair and, under "(mean)", over methods; then
-- over pairs of shadow models with Student's t. The attack on a pair learns from all others, so that pairs are not
-- independent: the squared error is (1 / pairs + 1 / (pairs - 1)) times their variance (Nadeau and Bengio 2003).
-- Methods count that share their pairs, chosen for most of both.
with alike as (
    select
        *,
        list_sort(list(pair) over (partition by conditions, scope, forget_set, setting)) as measured
    from attacks_by_pair
    where scope = $scope
        and method in (select plan_cells.method from plan_cells where plan_cells.role = 'audited')
),
counted as (
    select *, count(*) over (partition by dataset, architecture, conditions, forget_set, measured) as most from alike
),
kept as (
    select *
    from counted
    qualify dense_rank() over (
        partition by dataset, architecture, conditions, forget_set order by most desc, measured
    ) = 1
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
    from kept
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
        units_half_width(stddev_samp(per_example - population), pairs) * sqrt(1 + pairs / (pairs - 1)) as half,
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
