-- Which classes pay for unlearning?
-- grain: finished cell, metric by class, and class
-- param metric = "accuracy": a metric that is kept by class
-- param split = "test": where it is measured
-- param method = null: only this method
-- Of cells measured more than once the latest counts.
select
    dataset,
    architecture,
    forget_set,
    attack,
    metric,
    split,
    variant,
    param,
    label,
    method,
    scope,
    seed,
    role,
    value,
    ci_low,
    ci_high,
    retrained,
    difference,
    difference_low,
    difference_high,
    noise_floor,
    n,
    higher_is
from leaderboard
semi join plan_cells using (cell_id)
where label is not null
    and metric = $metric
    and split = $split
    and ($method is null or method = $method)
order by dataset, architecture, forget_set, attack, metric, variant, param, label, role, method, scope, seed;
