-- What did tuning try for each method, and what did it choose?
-- grain: data set, architecture, method, scope, search and trial
-- param method = null: only this method
-- param chosen_only = false: only the chosen trial of each search
-- value is the metric on the tuning forget set, the retain set and the validation set, against a retrained model of
-- its own; trial 0 is what was configured. gain: how much lower the value is than that of trial 0.
select
    dataset,
    architecture,
    method,
    scope,
    trial,
    chosen,
    params_json,
    metric,
    value,
    ci_low,
    ci_high,
    max(value) filter (trial = 0) over (partition by search_id) - value as gain,
    seconds,
    budget,
    forget_size,
    error,
    search_id
from tuning
where ($method is null or method = $method)
qualify chosen or not $chosen_only
order by dataset, architecture, method, scope, search_id, value nulls last, trial;
