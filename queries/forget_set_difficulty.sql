-- Which forget sets are hard to unlearn, over all methods?
-- grain: dataset, architecture, forget set, attack, measure (variant, param, game) and conditions
-- param metric = "accuracy": measure of closeness
-- param split = "forget": where it is measured
-- gap is the mean distance to the retrained model; share_differing counts models whose interval excludes 0.
-- The interval of gap is Student's t over models, as if they were independent.
with audited as (
    select *
    from leaderboard
    where metric = $metric
        and split = $split
        and role = 'audited'
        and label is null
        and difference is not null
)
select
    dataset,
    architecture,
    forget_set,
    attack,
    variant,
    param,
    game,
    any_value(setting_labels.label) as setting_label,
    max(forget_size) as forget_size,
    count(*) as models,
    avg(abs(difference)) as gap,
    avg(abs(difference)) - t975(count(*) - 1) * stddev_samp(abs(difference)) / sqrt(count(*)) as gap_low,
    avg(abs(difference)) + t975(count(*) - 1) * stddev_samp(abs(difference)) / sqrt(count(*)) as gap_high,
    max(abs(difference)) as largest_gap,
    first(method order by round(abs(difference), 12) desc, method) as hardest_for,
    avg(case when difference_low > 0 or difference_high < 0 then 1.0 else 0.0 end) as share_differing,
    avg(noise_floor) as noise_floor,
    conditions
from audited
left join setting_labels on setting_labels.setting = audited.conditions
group by dataset, architecture, forget_set, attack, variant, param, game, conditions
order by dataset, architecture, attack, variant, param, game, conditions, gap desc, forget_set;
