-- Is twin unlearning closest to retraining (arXiv 2408.11433)?
-- grain: dataset, architecture, conditions and method
-- shown: dataset, architecture, method, gap, standing, standing_low, standing_high, effect!, effect_low,
-- shown: effect_high, margin, verdict!
-- param method = "twin": the method that is said to be closest
-- param scope = "all": only models of this layer scope
-- param metric = "accuracy": measure of closeness, on the forget, retain and test set alike
-- param attack = "none": the cells it is taken from
-- param margin = 0.005 from 0 to 1: smallest lead over the next that matters
-- gap: distance to the retrained model of the seed, mean over splits and forget sets. A method counts where it has
-- every forget set and original that $method has. Of each rival effect is its gap less that of $method, paired by
-- original, Student's t at 95 %. Of the claim it is the lead over the closest rival: the least of these. Its lower
-- end is the least lower end (all rivals have to be beaten: intersection-union, no correction), its upper end the
-- least upper end after Bonferroni over rivals. standing_low and standing_high: the rank among methods by Holm over all
-- pairs: one more than the methods shown closer, and the number of methods less those shown farther, at 5 %.
with gaps as (
    select * from distances_over_splits
    where metric = $metric
        and attack = $attack
        and scope = $scope
),
asked as (
    select place, seed, forget_set, splits, count(*) over (partition by place) as needed
    from gaps
    where method = $method
    qualify row_number() over (partition by place, seed, forget_set order by setting) = 1
),
by_original as (
    select gaps.place, gaps.method, gaps.setting, gaps.seed, avg(gaps.gap) as gap
    from gaps
    join asked using (place, seed, forget_set, splits)
    group by gaps.place, gaps.method, gaps.setting, gaps.seed
    qualify sum(count(*)) over (partition by gaps.place, gaps.setting) = any_value(asked.needed)
),
pairs as (
    select
        own.place,
        own.method,
        own.setting,
        rival.method as rival,
        rival.setting as rival_setting,
        count(*) as originals,
        avg(own.gap) as gap,
        avg(rival.gap - own.gap) as lead,
        stddev_samp(rival.gap - own.gap) as sd,
        lead * sqrt(originals) / nullif(sd, 0) as t,
        t_deviate(t, originals - 1) as deviate
    from by_original as own
    join by_original as rival
        on rival.place = own.place and rival.seed = own.seed and rival.setting <> own.setting
    group by all
),
tested as (
    select
        *,
        t_two_sided(t, originals - 1, deviate) as p,
        units_half_width(sd, originals) as half,
        t_upper(normal_upper(0.025 / count(*) over (partition by place, setting)), originals - 1) * sd / sqrt(originals)
            as wide
    from pairs
),
-- either direction of a pair has a row: the first of m pairs is that of rows 1 and 2
stepped as (
    select *, p * (count(*) over (partition by place) // 2 + 1 - (row_number() over steps + 1) // 2) as p_step
    from tested
    window steps as (partition by place order by p, least(setting, rival_setting), greatest(setting, rival_setting))
),
holm as (
    select *, originals >= 4 and sd > 1e-12 and max(p_step) over (partition by place order by p) <= 0.05 as differ
    from stepped
),
placed as (
    select
        place,
        method,
        setting,
        max(originals) as originals,
        count(*) + 1 as methods,
        any_value(gap) as gap,
        1 + count_if(differ and lead < 0) as standing_low,
        count(*) + 1 - count_if(differ and lead > 0) as standing_high,
        case when method = $method then min(lead) else -any_value(lead) filter (where rival = $method) end as effect,
        case
            when count(half) < count(*) then null
            when method = $method then min(lead - half)
            else any_value(-lead - half) filter (where rival = $method)
        end as effect_low,
        case
            when count(half) < count(*) then null
            when method = $method then min(lead + wide)
            else any_value(-lead + half) filter (where rival = $method)
        end as effect_high,
        arg_min(rival, lead) as closest_rival,
        units_without(if(count(half) < count(*), 0.0, 1.0), max(originals), 'originals (seeds)') as no_interval
    from holm
    group by place, method, setting
)
select
    place.*,
    setting_labels.label as setting_label,
    method = $method as is_claim,
    rank() over (partition by place order by gap) as standing,
    placed.* exclude (place, setting),
    $margin as margin,
    case when method = $method then claim_verdict(effect_low, effect_high, $margin) end as verdict
from placed
left join setting_labels on setting_labels.setting = placed.setting
order by place, standing, method, setting_label;
