-- How far is each model from its retrained model: beyond chance, beyond a second retraining?
-- shown: method, scope, metric, split, seed, value, retrained, difference, difference_low, difference_high
-- shown: differs, attack, variant, param, forget_set, architecture, noise_floor, game, setting_label
-- grain: finished cell and metric, without classes
-- param metric = null: only this metric
-- param split = null: only this split
-- param method = null: only this method
-- differs: the 95 % interval of the difference excludes 0. beyond_noise: it is larger than the noise floor.
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
    seed,
    role,
    setting_labels.label as setting_label,
    value,
    ci_low,
    ci_high,
    retrained,
    difference,
    difference_low,
    difference_high,
    noise_floor,
    difference_low > 0 or difference_high < 0 as differs,
    abs(difference) > noise_floor as beyond_noise,
    n,
    higher_is,
    cell_id,
    leaderboard.setting,
    leaderboard.conditions
from leaderboard
left join setting_labels on setting_labels.setting = leaderboard.setting
where leaderboard.label is null
    and ($metric is null or metric = $metric)
    and ($split is null or split = $split)
    and ($method is null or method = $method)
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
    method,
    scope,
    seed,
    leaderboard.setting,
    cell_id;
