-- What does restricting unlearning to some layers save, and what does it cost in closeness to retraining?
-- shown: architecture, forget_set, method, scope, gap, gap_low, gap_high, speedup, trainable_share
-- shown: device_seconds, retrained_device_seconds, noise_floor, gap_difference, setting_label
-- grain: dataset, architecture, forget set, measure (variant, param, game), method, scope and setting, over
-- seeds
-- param metric = "accuracy": measure of closeness
-- param split = "forget": where it is measured
-- param attack = "none": the cells it is taken from
-- gap is the mean distance to the retrained model of the same seed; its 95 % interval is the wider of
-- Student's t over seeds and the mean of the seeds' own, and with fewer than three seeds reaches from the
-- lowest to the highest end of these; it is unknown where one of them has none.
-- noise_floor: the same distance for a second retrained model. speedup is retraining's device seconds
-- divided by unlearning's, with the shared stages that it rests on; times are null where seeds ran on several
-- kinds of device. paired_seeds: those at which scope `all`
-- of the method stands in the answer too, with the same parameters, or with those that a search of the same
-- budget chose for it; there gap_difference is gap less that of scope `all`, with its 95 % interval, got
-- likewise, and cost_of_all the device seconds of this scope by those of scope `all`, on the same kind of
-- device.
with audited as (
    select
        leaderboard.model_id,
        leaderboard.dataset,
        leaderboard.architecture,
        leaderboard.forget_set,
        leaderboard.method,
        leaderboard.scope,
        leaderboard.setting,
        leaderboard.conditions,
        leaderboard.seed,
        leaderboard.variant,
        leaderboard.param,
        leaderboard.game,
        abs(leaderboard.difference) as gap,
        distance_low(greatest(leaderboard.difference_low, -leaderboard.difference_high)) as gap_low,
        greatest(-leaderboard.difference_low, leaderboard.difference_high) as gap_high,
        leaderboard.noise_floor,
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
    where leaderboard.metric = $metric
        and leaderboard.split = $split
        and leaderboard.attack = $attack
        and leaderboard.role = 'audited'
        and leaderboard.label is null
        and leaderboard.difference is not null
),
paired as (
    select
        audited.*,
        audited.gap - whole.gap as gap_difference,
        if(
            whole.model_id = audited.model_id,
            0.0,
            difference_low(
                audited.gap, audited.gap_low, audited.gap_high, whole.gap, whole.gap_low, whole.gap_high
            )
        ) as apart_low,
        if(
            whole.model_id = audited.model_id,
            0.0,
            difference_high(
                audited.gap, audited.gap_low, audited.gap_high, whole.gap, whole.gap_low, whole.gap_high
            )
        ) as apart_high,
        if(audited.device = whole.device, audited.device_seconds / nullif(whole.device_seconds, 0), null)
            as cost_of_all
    from audited
    left join audited as whole
        on whole.scope = 'all'
        and whole.method = audited.method
        and whole.forget_set = audited.forget_set
        and whole.conditions = audited.conditions
        and whole.tuning_trials is not distinct from audited.tuning_trials
        and whole.unscoped is not distinct from audited.unscoped
        and whole.seed = audited.seed
        and whole.variant = audited.variant
        and whole.param is not distinct from audited.param
        and whole.game is not distinct from audited.game
    -- of several searches that of the same setting, then one that chose the same parameters
    qualify row_number() over (
        partition by audited.model_id, audited.setting, audited.variant, audited.param, audited.game
        order by
            cast(whole.setting = audited.setting as integer) desc,
            cast(whole.params_json = audited.params_json as integer) desc,
            whole.setting
    ) = 1
)
select
    dataset,
    architecture,
    forget_set,
    variant,
    param,
    game,
    method,
    scope,
    any_value(setting_labels.label) as setting_label,
    count(*) as seeds,
    avg(trainable_parameters) as trainable_parameters,
    avg(trainable_parameters / num_parameters) as trainable_share,
    if(count(distinct device) > 1, null, avg(device_seconds)) as device_seconds,
    if(count(distinct device) > 1, null, avg(retrained_device_seconds)) as retrained_device_seconds,
    avg(retrained_device_seconds / nullif(device_seconds, 0)) as speedup,
    avg(samples) as samples,
    max(peak_bytes) as peak_bytes,
    avg(gap) as gap,
    distance_low(distances_low(gap, gap_low)) as gap_low,
    distances_high(gap, gap_high) as gap_high,
    avg(noise_floor) as noise_floor,
    count(gap_difference) as paired_seeds,
    avg(gap_difference) as gap_difference,
    distances_low(gap_difference, apart_low) as gap_difference_low,
    distances_high(gap_difference, apart_high) as gap_difference_high,
    avg(cost_of_all) as cost_of_all,
    paired.setting
from paired
left join setting_labels on setting_labels.setting = paired.setting
group by dataset, architecture, forget_set, variant, param, game, method, scope, paired.setting
order by
    dataset, architecture, forget_set, variant, param, game, method, trainable_parameters, scope,
    paired.setting;
