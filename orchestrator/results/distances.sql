-- How far audited models are from the retrained model of their seed, alone and beside unlearning in all layers.

-- One row per audited model (not a group of shadow models), measure and evaluation: how far it is from the retrained model
-- of its seed, and where forgetting takes and under which conditions.
create or replace temp view distances_to_retrained as
select
    leaderboard.*,
    abs(leaderboard.difference) as gap,
    distance_low(greatest(leaderboard.difference_low, -leaderboard.difference_high)) as gap_low,
    greatest(-leaderboard.difference_low, leaderboard.difference_high) as gap_high,
    models.params_json,
    cells.tuning_trials,
    if(cells.tuning_trials is null, parts.unscoped_part, parts.unlearning_part) as unscoped,
    costs.device,
    costs.trainable_parameters,
    costs.num_parameters,
    costs.device_seconds,
    costs.retrained_device_seconds,
    costs.samples,
    costs.peak_bytes
from leaderboard
join plan_models as models on models.model_id = leaderboard.model_id
join model_costs as costs on costs.model_id = leaderboard.model_id
join plan_cells as cells on cells.cell_id = leaderboard.cell_id
left join setting_parts as parts on parts.setting = leaderboard.setting
where leaderboard.role = 'audited'
    and leaderboard.label is null
    and leaderboard.difference is not null;

-- Each of them beside the model of the same method, seed and measure whose scope is `all`: with the same parameters, or
-- with those that a search of the same budget chose for it. gap_difference: its gap less that one's, with an interval
-- that takes the two as independent; cost_of_all: its device seconds by that one's, on the same kind of device.
create or replace temp view scopes_beside_all as
select
    audited.*,
    audited.gap - whole.gap as gap_difference,
    if(
        whole.model_id = audited.model_id,
        0.0,
        difference_low(audited.gap, audited.gap_low, audited.gap_high, whole.gap, whole.gap_low, whole.gap_high)
    ) as apart_low,
    if(
        whole.model_id = audited.model_id,
        0.0,
        difference_high(audited.gap, audited.gap_low, audited.gap_high, whole.gap, whole.gap_low, whole.gap_high)
    ) as apart_high,
    device_ratio(audited.device_seconds, audited.device, whole.device_seconds, whole.device) as cost_of_all
from distances_to_retrained as audited
left join distances_to_retrained as whole
    on whole.scope = 'all'
    and whole.method = audited.method
    and whole.forget_set = audited.forget_set
    and whole.conditions = audited.conditions
    and whole.tuning_trials is not distinct from audited.tuning_trials
    and whole.unscoped is not distinct from audited.unscoped
    and whole.seed = audited.seed
    and whole.metric = audited.metric
    and whole.split = audited.split
    and whole.attack = audited.attack
    and whole.variant = audited.variant
    and whole.param is not distinct from audited.param
    and whole.game is not distinct from audited.game
-- of several searches that of the same setting, then one that chose the same parameters
qualify row_number() over (
    partition by
        audited.metric, audited.split, audited.attack, audited.model_id, audited.setting, audited.variant,
        audited.param, audited.game, audited.forget_set
    order by
        cast(whole.setting = audited.setting as integer) desc,
        cast(whole.params_json = audited.params_json as integer) desc,
        whole.setting
) = 1;

-- Each model's mean distance over the forget, retain and test set, of a metric that is taken on each of them.
create or replace temp view distances_over_splits as
select
    {dataset: dataset, architecture: architecture, conditions: conditions} as place,
    attack,
    metric,
    method,
    coalesce(base, method) as base,
    scope,
    setting,
    params_json,
    forget_set,
    seed,
    avg(gap) as gap,
    count(*) as splits
from distances_to_retrained
left join base_methods using (setting)
where split in ('forget', 'retain', 'test')
    and variant = ''
    and param is null
    and game is null
group by all;
