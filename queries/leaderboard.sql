-- Which unlearning method comes closest to the retrained model?
-- grain: dataset, architecture, forget set, attack, metric (split, variant, param, game), method and scope
-- param metric = null: only this metric
-- param split = null: only this split
-- param attack = null: only this attack
-- param forget_set = null: only this forget set
-- difference is value minus that of the retrained model of the same seed. Its interval is Student's t over
-- seeds, and with one seed Newcombe's from the intervals of both. noise_floor: a second retrained model.
with over_seeds as (
    select
        dataset,
        architecture,
        forget_set,
        attack,
        metric,
        split,
        variant,
        param,
        game,
        method,
        scope,
        role,
        higher_is,
        count(distinct seed) as seeds,
        avg(value) as value,
        avg(retrained) as retrained,
        avg(difference) as difference,
        t975(count(difference) - 1) * stddev_samp(difference) / sqrt(count(difference)) as half_width,
        min(difference_low) as single_low,
        max(difference_high) as single_high,
        avg(noise_floor) as noise_floor
    from leaderboard
    where label is null
        and ($metric is null or metric = $metric)
        and ($split is null or split = $split)
        and ($attack is null or attack = $attack)
        and ($forget_set is null or forget_set = $forget_set)
    group by all
)
select
    dataset,
    architecture,
    forget_set,
    attack,
    metric,
    split,
    variant,
    param,
    game,
    rank() over (
        partition by dataset, architecture, forget_set, attack, metric, split, variant, param, game, role
        order by abs(difference) nulls last
    ) as rank,
    method,
    scope,
    role,
    seeds,
    value,
    retrained,
    difference,
    coalesce(difference - half_width, single_low) as difference_low,
    coalesce(difference + half_width, single_high) as difference_high,
    noise_floor,
    higher_is
from over_seeds
order by
    dataset,
    architecture,
    forget_set,
    attack,
    metric,
    split,
    variant,
    param,
    game,
    role,
    rank,
    method,
    scope;
