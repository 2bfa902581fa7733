-- What do experiment trackers show of each model?
-- grain: finished cell and metric
select
    coalesce(cells.model_id, cells.group_id) as subject_id,
    cells.role,
    cells.dataset,
    cells.architecture,
    cells.method,
    cells.scope,
    cells.forget_set,
    cells.seed,
    cells.method_params_json,
    cells.attack,
    metrics.metric,
    metrics.split,
    metrics.variant,
    metrics.param,
    metrics.value,
    metrics.ci_low,
    metrics.ci_high
from plan_cells as cells
join metrics on metrics.cell_id = cells.cell_id
where metrics.label is null
order by
    cells.dataset,
    cells.architecture,
    cells.forget_set,
    cells.method,
    cells.scope,
    cells.seed,
    cells.setting,
    metrics.metric,
    metrics.split,
    metrics.variant,
    metrics.param,
    metrics.game;
