-- Is twin unlearning closest to retraining (arXiv 2408.11433)?
-- grain: dataset, architecture, conditions, method and setting
-- shown: dataset, architecture, method, gap, standing, standing_low, standing_high, effect!, effect_low, effect_high, verdict!
-- param method = "twin": the method that is said to be closest, or the base of such
-- param scope = "all": only models of this layer scope
-- param metric = "accuracy": measure of closeness, on the forget, retain and test set alike
-- param attack = "none": the cells it is taken from
-- param margin = 0.005 from 0 to 1: smallest lead over the next that matters
-- gap: distance to the retrained model of the seed, mean over splits and forget sets. Each setting of $method is judged by
-- itself, against methods of another base that have every forget set and original that this setting has. Of each of these
-- rivals effect is its gap less that of $method (its setting with most originals, of these the closest), paired by original,
-- Student's t at 95 %. Of the claim it is the least of these. Its lower end is the least lower end (all rivals have to be
-- beaten: intersection-union, no correction), its upper end the least upper end after Bonferroni over rivals. unmeasured:
-- rivals that were asked for on some of these, and have not all: while there are any, nothing is supported. standing_low and
-- standing_high: the rank by Holm over all pairs: one more than the methods shown closer, and all less those farther, at 5 %.
with asked as (
    select
        place, setting as own, base as own_base, seed, forget_set, splits, count(*) over (partition by place, setting) as needed
    from distances_over_splits
    where metric = $metric and attack = $attack and scope = $scope and (method = $method or base = $method)
),
by_original as (
    select asked.place, own, own_base, method, setting, seed, avg(gap) as gap
    from asked
    join distances_over_splits using (place, seed, forget_set, splits)
    where metric = $metric and attack = $attack and scope = $scope and (setting = own or base <> own_base)
    group by asked.place, own, own_base, method, setting, seed
    qualify sum(count(*)) over (partition by asked.place, own, setting) = any_value(asked.needed)
),
absent as (
    select asked.place as here, asked.own as beside, string_agg(distinct rival.method, ', ' order by rival.method) as unmeasured
    from asked
    join planned_cells as rival
        on {dataset: dataset, architecture: architecture, conditions: conditions} = asked.place
        and (rival.seed, rival.forget_set, rival.role) = (asked.seed, asked.forget_set, 'audited')
    left join base_methods on base_methods.setting = rival.setting
    where attack = $attack and scope = $scope and coalesce(base, rival.method) <> own_base
        and (asked.own, rival.setting) not in (select (own, setting) from by_original)
    group by all
),
pairs as (
    select
        place, own, closer.method, closer.setting, rival.method as rival, rival.setting as rival_setting, count(*) as originals,
        avg(closer.gap) as gap,
        avg(rival.gap - closer.gap) as lead, stddev_samp(rival.gap - closer.gap) as sd,
        lead * sqrt(originals) / nullif(sd, 0) as t,
        t_deviate(t, originals - 1) as deviate
    from by_original as closer
    join by_original as rival using (place, own, seed)
    where rival.setting <> closer.setting
    group by all
),
tested as (
    select
        *,
        t_two_sided(t, originals - 1, deviate) as p, units_half_width(sd, originals) as half,
        t_upper(normal_upper(0.025 / count(*) over (partition by place, own, setting)), originals - 1)
            * sd / sqrt(originals) as wide
    from pairs
),
-- either direction of a pair has a row: the first of m pairs is that of rows 1 and 2
stepped as (
    select *, p * (count(*) over (partition by place, own) // 2 + 1 - (row_number() over steps + 1) // 2) as p_step
    from tested
    window steps as (partition by place, own order by p, least(setting, rival_setting), greatest(setting, rival_setting))
),
holm as (
    select *, originals >= 4 and sd > 1e-12 and max(p_step) over (partition by place, own order by p) <= 0.05 as differ
    from stepped
),
placed as (
    select
        place, own, method, setting, max(originals) as originals, count(*) + 1 as methods, any_value(gap) as gap,
        1 + count_if(differ and lead < 0) as standing_low, methods - count_if(differ and lead > 0) as standing_high,
        if(setting = own, arg_min(rival, lead), null) as closest_rival,
        if(setting = own, min(lead), -any_value(lead) filter (where rival_setting = own)) as effect,
        case
            when setting <> own then -any_value(lead + half) filter (where rival_setting = own)
            when count(half) = count(*) then min(lead - half)
        end as effect_low,
        case
            when setting <> own then -any_value(lead - half) filter (where rival_setting = own)
            when count(half) = count(*) then min(lead + wide)
        end as effect_high,
        units_without(arg_max(sd, half is null) filter (where own in (setting, rival_setting)), max(originals), 'originals (seeds)') as no_interval
    from holm
    group by place, own, method, setting
),
stood as (
    select
        *,
        if(isfinite(gap), rank() over (partition by place, own order by gap), null) as standing,
        max(if(setting = own, originals, null)) over (partition by place, own) as own_originals,
        max(if(setting = own, gap, null)) over (partition by place, own) as own_gap,
        if(setting = own, claim_verdict(effect_low, effect_high, $margin), null) as judged
    from placed
)
select
    place.*,
    setting_labels.label as setting_label,
    stood.setting = own as is_claim,
    stood.* exclude (place, own, own_originals, own_gap, judged),
    if(is_claim, absent.unmeasured, null) as unmeasured,
    $margin as margin,
    if(judged = 'supported' and absent.unmeasured is not null, 'undecided', judged) as verdict
from stood
left join absent on here = stood.place and beside = own
left join setting_labels on setting_labels.setting = stood.setting
qualify is_claim or own = first_value(own) over (partition by place order by own_originals desc, own_gap, own)
order by place, standing, method, setting_label;
