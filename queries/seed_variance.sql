-- How much of a result is the seed?
-- grain: dataset, architecture, forget set, attack, metric (split, variant, param, game), method and scope
-- param metric = null: only this metric
-- param split = null: only this split
-- The interval of the mean is Student's t over seeds; it is empty with one seed.
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
    count(*) as seeds,
    avg(value) as mean,
    avg(value) - t975(count(*) - 1) * stddev_samp(value) / sqrt(count(*)) as mean_low,
    avg(value) + t975(count(*) - 1) * stddev_samp(value) / sqrt(count(*)) as mean_high,
    stddev_samp(value) as sd,
    min(value) as least,
    max(value) as most,
    avg((ci_high - ci_low) / 2) as half_width_within,
    higher_is
from leaderboard
where label is null
    and ($metric is null or metric = $metric)
    and ($split is null or split = $split)
group by all
order by dataset, architecture, forget_set, attack, metric, split, variant, param, game, role, method, scope;
