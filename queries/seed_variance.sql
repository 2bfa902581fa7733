-- How much of a result is the seed?
-- shown: method, scope, metric, split, mean, mean_low, mean_high, sd, seeds, attack, variant, param
-- shown: forget_set, architecture, half_width_within, game, setting_label
-- grain: dataset, architecture, forget set, attack, metric (split, variant, param, game), method, scope and
-- setting
-- param metric = null: only this metric
-- param split = null: only this split
-- sd is the standard deviation over seeds; the 95 % interval of the mean is Student's t from three seeds on,
-- for two may agree by chance, and never within the mean ends of the seeds' own; where a seed has none, there
-- is none for a metric that compares with the retrained model, nor where the seeds agree. Where most
-- trainings reach a bound and few fall far short of it, three seeds may show none of these (simulated: .89 in
-- place of .95).
-- half_width_within: of a seed's own interval, that is of the examples.
select
    dataset,
    architecture,
    forget_set,
    attack,
    leaderboard.metric,
    split,
    variant,
    param,
    game,
    method,
    scope,
    role,
    setting_labels.label as setting_label,
    count(*) as seeds,
    avg(value) as mean,
    mean_low(value, ci_low, compares, low, high) as mean_low,
    mean_high(value, ci_high, compares, low, high) as mean_high,
    stddev_samp(value) as sd,
    min(value) as least,
    max(value) as most,
    avg((ci_high - ci_low) / 2) as half_width_within,
    leaderboard.higher_is,
    leaderboard.setting,
    leaderboard.conditions
from leaderboard
left join setting_labels on setting_labels.setting = leaderboard.setting
left join metric_declarations as declared on declared.metric = leaderboard.metric and declared.reading = ''
where leaderboard.label is null
    and ($metric is null or leaderboard.metric = $metric)
    and ($split is null or split = $split)
group by all
order by
    dataset, architecture, forget_set, attack, leaderboard.metric, split, variant, param, game, role, method,
    scope, leaderboard.setting;
