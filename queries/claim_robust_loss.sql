-- Do unlearned models lose robust accuracy against retrained ones (arXiv 2504.13610)?
-- grain: dataset, architecture, conditions (with the attack) and radius
-- shown: dataset, architecture, attack, eps, effect!, effect_low, effect_high, margin, verdict!, originals, no_interval
-- builds on: robust_drop
-- param scope = "all": only models of this layer scope
-- param split = "test": where robust accuracy is measured
-- param attack = null: only this attack
-- param margin = 0.02 from 0 to 1: smallest loss of robust accuracy that matters
-- effect: robust accuracy of the retrained model of the same seed less that of the unlearned one, mean over forget sets,
-- settings of a base method, base methods and originals. The last two are random: two-way layout without replication,
-- variance (MS_methods + MS_originals - MS_rest) / (methods x originals), at least that of either alone, Student's t with
-- Satterthwaite's degrees of freedom (Searle, Casella, McCulloch 1992, ch. 4). The layout has to be full: an original of a
-- setting counts with every forget set, a setting where no gradients are masked (set_aside: how many are, its own or the
-- retrained model's), and of these those that share the same originals, chosen for most models. is_claim: the attack that
-- is blind to the scale of logits, at the radius at which retrained models are nearest to half right.
with paired as (
    select
        {
            dataset: own.dataset, architecture: own.architecture, conditions: own.conditions, attack: own.attack,
            eps: own.eps
        } as place,
        concat_ws(' ', own.method, nullif(own.setting_label, '')) as method,
        own.seed,
        coalesce(any_value(base), any_value(own.method)) as base,
        avg(-own.difference) as loss, avg(own.retrained) as retrained,
        bool_or(coalesce(own.masked_gradients, false) or coalesce(theirs.masked_gradients, false)) as masked
    from robust_drop as own
    left join robust_drop as theirs
        on theirs.role = 'reference'
        and (theirs.dataset, theirs.architecture, theirs.forget_set, theirs.attack, theirs.variant)
        = (own.dataset, own.architecture, own.forget_set, own.attack, own.variant)
        and (theirs.conditions, theirs.split, theirs.eps, theirs.seed) = (own.conditions, own.split, own.eps, own.seed)
    left join base_methods on base_methods.setting = own.setting
    where own.role = 'audited' and own.eps > 0 and own.difference is not null
        and own.scope = $scope
    group by 1, 2, 3
    qualify count(*) = max(count(*)) over (partition by place)
),
counted as (
    select *, list_sort(list(seed) over one_method) as measured, bool_or(masked) over one_method as is_masked
    from paired
    window one_method as (partition by place, method)
),
alike as (
    select *, count(*) over (partition by place, measured) as models from counted where not is_masked
),
kept as (
    select * from alike qualify dense_rank() over (partition by place order by models desc, measured) = 1
),
by_base as (
    select place, base, seed, avg(loss) as loss, avg(retrained) as retrained, count(*) as settings from kept group by all
),
centred as (
    select
        *,
        avg(loss) over (partition by place, base) - avg(loss) over (partition by place) as of_method,
        avg(loss) over (partition by place, seed) - avg(loss) over (partition by place) as of_original,
        loss - avg(loss) over (partition by place) as of_both
    from by_base
),
layout as (
    select
        place,
        count(distinct base) as methods, count(distinct seed) as originals,
        cast(sum(settings) / originals as bigint) as settings,
        avg(loss) as effect, avg(retrained) as retrained,
        sum(of_method ** 2) / nullif(methods - 1, 0) / count(*) as a,
        sum(of_original ** 2) / nullif(originals - 1, 0) / count(*) as b,
        sum((of_both - of_method - of_original) ** 2) / nullif((methods - 1) * (originals - 1), 0) / count(*) as c,
        greatest(a + b - c, a, b) as variance,
        variance ** 2 / (
            a ** 2 / (methods - 1) + b ** 2 / (originals - 1) + c ** 2 / ((methods - 1) * (originals - 1))
        ) as df
    from centred
    group by place
),
aside as (
    select place, count(distinct method) as set_aside from counted where is_masked group by place
),
judged as (
    select
        *,
        coalesce(set_aside, 0) as left_out,
        if(methods < 2, 'it takes 2 methods, here is 1', units_without(sqrt(variance), originals, 'originals (seeds)'))
            as no_interval,
        if(no_interval is null, t975(greatest(df, 1)) * sqrt(variance), null) as half,
        row_number() over (
            partition by place.dataset, place.architecture
            order by
                place.attack in (select attack from plan_cells where scale_free) desc, originals desc,
                place.attack, abs(retrained - 0.5), place.eps, place.conditions
        ) = 1 as is_claim
    from layout
    left join aside using (place)
)
select
    place.*,
    setting_labels.label as setting_label,
    is_claim,
    methods, settings, originals,
    left_out as set_aside,
    retrained,
    effect,
    effect - half as effect_low, effect + half as effect_high,
    $margin as margin,
    claim_verdict(effect - half, effect + half, $margin) as verdict,
    no_interval
from judged
left join setting_labels on setting_labels.setting = place.conditions
order by place;
