-- Which classes pay for unlearning, or which persons and authors?
-- shown: method, scope, metric, split, label, value, retrained, difference, forget_set, architecture, attack
-- shown: param, seed, noise_floor, setting_label
-- grain: finished cell, metric by class, and class; of documents (token_accuracy) person or author by number
-- param metric = "accuracy": a metric that is kept by class
-- param split = "test": where it is measured
-- param method = null: only this method
select
    dataset,
    architecture,
    forget_set,
    attack,
    metric,
    split,
    variant,
    param,
    leaderboard.label,
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
    n,
    higher_is,
    leaderboard.setting,
    leaderboard.conditions
from leaderboard
left join setting_labels on setting_labels.setting = leaderboard.setting
where leaderboard.label is not null
    and metric = $metric
    and split = $split
    and ($method is null or method = $method)
order by
    dataset, architecture, forget_set, attack, metric, variant, param, leaderboard.label, role, method, scope,
    seed, leaderboard.setting;
