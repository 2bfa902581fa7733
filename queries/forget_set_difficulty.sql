-- Which forget sets are hard to unlearn, over all methods?
-- grain: dataset, architecture, forget set, attack, measure (variant, param, game) and conditions
-- param metric = "accuracy": measure of closeness
-- param split = "forget": where it is measured
-- gap is the mean over seeds of the models' mean distance to the retrained one of their seed. Models of one
-- seed share their original and that retrained one, so seeds are what the 95 % interval counts: it is the
-- wider of Student's t over seeds and the mean ends of the models' own, and with fewer than three seeds
-- reaches from the lowest to the highest such mean; it is unknown where a model has none, and where one seed
-- has other models, or settings of one, than another. share_differing: of the models with an interval those
-- whose interval excludes 0; null where none has one. noise_floor: the same mean distance of a second
-- retraining.
with audited as (
    select
        *,
        abs(difference) as distance,
        distance_low(greatest(difference_low, -difference_high)) as nearest,
        greatest(-difference_low, difference_high) as farthest
    from leaderboard
    where metric = $metric
        and split = $split
        and role = 'audited'
        and label is null
        and difference is not null
),
by_seed as (
    select
        dataset,
        architecture,
        forget_set,
        attack,
        variant,
        param,
        game,
        conditions,
        seed,
        max(forget_size) as forget_size,
        count(*) as models,
        string_agg(setting, ' ' order by setting) as settings,
        avg(distance) as gap,
        if(count(nearest) < count(*), null, avg(nearest)) as gap_low,
        if(count(farthest) < count(*), null, avg(farthest)) as gap_high,
        max(distance) as largest_gap,
        first(method order by round(distance, 12) desc, method) as hardest_for,
        count(nearest) as bounded,
        count(*) filter (difference_low > 0 or difference_high < 0) as differing,
        avg(noise_floor) as noise_floor
    from audited
    group by all
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
    count(*) as seeds,
    cast(sum(models) as bigint) as models,
    avg(gap) as gap,
    if(count(distinct settings) > 1, null, distance_low(distances_low(gap, gap_low))) as gap_low,
    if(count(distinct settings) > 1, null, distances_high(gap, gap_high)) as gap_high,
    max(largest_gap) as largest_gap,
    first(hardest_for order by round(largest_gap, 12) desc, hardest_for) as hardest_for,
    sum(differing) / nullif(sum(bounded), 0) as share_differing,
    avg(noise_floor) as noise_floor,
    conditions
from by_seed
left join setting_labels on setting_labels.setting = by_seed.conditions
group by dataset, architecture, forget_set, attack, variant, param, game, conditions
order by dataset, architecture, attack, variant, param, game, conditions, gap desc, forget_set;
