-- What do the retrained models give on each measure, over seeds?
-- grain: place, conditions, measure (attack, metric, split, variant, param, game), method, scope and role
select
    dataset,
    architecture,
    forget_set,
    conditions,
    attack,
    attack_family,
    metric,
    split,
    variant,
    param,
    game,
    method,
    scope,
    role,
    count(distinct seed) as seeds,
    avg(value) as value,
    min(ci_low) as value_low,
    max(ci_high) as value_high
from leaderboard
where label is null
    and role in ('reference', 'noise_floor')
group by all
order by all;
