-- Are examples of higher privacy risk easier to unlearn (arXiv 2410.06446)?
-- grain: dataset, architecture, conditions, scope, forget set and method; method "(mean)" carries the claim
-- shown: dataset, architecture, method, removed_high, removed_low, effect!, effect_low, effect_high, margin, verdict!
-- param scope = "all": only models of this layer scope
-- param margin = 0.05 from 0 to 1: smallest difference, as a share of what there was, that matters
-- Every other pair of shadow models is of one half. risk: mean of the separation of phi (trained on it against not) before
-- unlearning in one half, by its standard deviation, whose square is drawn half the way to the mean over targets. high and
-- low: means over targets by the rank of their risk, and by the reverse rank. Outcome, in the other half: the squared
-- separation before (there) and after (left), which counts forgetting too much as well: the mean product of two different
-- pairs (view halved_separations). The halves then change places. removed: 1 - left / there. effect: left_low
-- less the share of there_low that is left at high risk, by the mean of there; above 0 where a larger share is removed at
-- high risk, and a number where low risk has nothing to remove. Jackknife over pairs, which leaves each out of risk and
-- outcome, with Student's t. Without taking out what there was: left_effect, left of low less of high. Under "(mean)" left
-- is a mean over methods. Methods count that have all pairs that the models as trained have.
with before as (
    select *, mean / sqrt((variance + avg(variance) over (partition by shadow_set, place, half, removed)) / 2) as risk
    from halved_separations
    where which.method = 'none'
),
judged as (
    select
        after.place, after.which, after.half, deleted.removed, after.squared as remaining, there.squared as there,
        rank() over (targets order by risky.risk) as high, count(*) over targets + 1 - high as low
    from (select distinct shadow_set, removed from before) as deleted
    join halved_separations as after
        on after.shadow_set = deleted.shadow_set
        and after.removed = if(deleted.removed % 2 = after.half, deleted.removed, -1)
    join before as there
        on (there.shadow_set, there.example_id) = (after.shadow_set, after.example_id)
        and (there.half, there.removed, there.pairs) = (after.half, after.removed, after.pairs)
    join before as risky
        on (risky.shadow_set, risky.example_id, risky.half) = (after.shadow_set, after.example_id, 1 - after.half)
        and risky.removed = if(deleted.removed % 2 = risky.half, deleted.removed, -1)
    where after.scope = $scope
        and after.which.method in (select plan_cells.method from plan_cells where plan_cells.role = 'audited')
    window
        targets as (partition by after.place, after.which, after.half, deleted.removed),
        halves as (partition by after.place, after.which)
    qualify min(after.half) over halves < max(after.half) over halves
),
by_half as (
    select
        place, coalesce(which.method, '(mean)') as method,
        if(grouping(which) = 1, place.conditions, which.setting) as setting,
        removed, count(distinct which) as methods, count(*) // methods as targets,
        sum(high * remaining) / sum(high) as left_high, sum(low * remaining) / sum(low) as left_low,
        sum(high * there) / sum(high) as there_high, sum(low * there) / sum(low) as there_low
    from judged
    group by grouping sets ((place, half, removed), (place, which, half, removed))
),
replicates as (
    select
        place, method, setting, removed, max(methods) as methods, min(targets) as targets,
        1 - avg(left_high) / avg(there_high) as removed_high, 1 - avg(left_low) / avg(there_low) as removed_low,
        (avg(there_high) + avg(there_low)) / 2 as there,
        (avg(left_low) - avg(there_low) * avg(left_high) / avg(there_high)) / there as effect,
        avg(left_low) - avg(left_high) as left_effect
    from by_half
    group by all
),
pooled as (
    select
        place, method, setting,
        any_value(columns(* exclude (place, method, setting, removed))) filter (where removed = -1),
        count(*) - 1 as pairs,
        coalesce(
            if(pairs < 8, 'it takes 8 pairs of shadow models, here ' || if(pairs = 1, 'is 1', 'are ' || pairs), null),
            units_without(stddev_samp(effect), pairs, 'pairs of shadow models'),
            if(
                max(there) filter (where removed = -1)
                    < 3 * (pairs - 1) / sqrt(pairs) * stddev_samp(there) filter (where removed >= 0),
                'nothing to remove',
                null
            )
        ) as no_interval,
        units_half_width(stddev_samp(effect) filter (where removed >= 0) * (pairs - 1), pairs) as half,
        units_half_width(stddev_samp(left_effect) filter (where removed >= 0) * (pairs - 1), pairs) as left_half
    from replicates
    group by place, method, setting
)
select
    place.*,
    setting_labels.label as setting_label,
    method = '(mean)' as is_claim,
    pooled.* exclude (place, setting, no_interval, half, left_half, there),
    if(no_interval is null, effect - half, null) as effect_low,
    if(no_interval is null, effect + half, null) as effect_high,
    left_effect - left_half as left_effect_low,
    left_effect + left_half as left_effect_high,
    $margin as margin,
    claim_verdict(effect_low, effect_high, $margin) as verdict,
    no_interval
from pooled
left join setting_labels on setting_labels.setting = pooled.setting
order by all;
