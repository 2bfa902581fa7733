-- What does restricting unlearning to some layers save, and what does it cost in closeness to retraining?
-- grain: dataset, architecture, forget set, measure (variant, param, game), method, scope and setting, over
-- seeds
-- param metric = "accuracy": measure of closeness
-- param split = "forget": where it is measured
-- param attack = "none": the cells it is taken from
-- speedup is retraining's device seconds divided by unlearning's. gap is the mean distance to the retrained
-- model of the same seed; its 95 % interval is Student's t over seeds from three seeds on, and with fewer
-- reaches from the lowest to the highest end of the seeds' own. noise_floor: the same distance for a second
-- retrained model.
with audited as (
    select
        model_id,
        dataset,
        architecture,
        forget_set,
        method,
        scope,
        setting,
        seed,
        variant,
        param,
        game,
        abs(difference) as gap,
        distance_low(greatest(difference_low, -difference_high)) as gap_low,
        greatest(-difference_low, difference_high) as gap_high,
        noise_floor
    from leaderboard
    where metric = $metric
        and split = $split
        and attack = $attack
        and role = 'audited'
        and label is null
        and difference is not null
),
priced as (
    select
        audited.*,
        unlearned.trainable_parameters,
        unlearned.num_parameters,
        unlearned.device_seconds,
        unlearned.samples,
        unlearned.peak_bytes,
        retrained.device_seconds as retrained_device_seconds
    from audited
    join models as unlearned on unlearned.model_id = audited.model_id
    left join models as retrained on retrained.model_id = unlearned.retrained_id
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
    avg(device_seconds) as device_seconds,
    avg(retrained_device_seconds) as retrained_device_seconds,
    avg(retrained_device_seconds / nullif(device_seconds, 0)) as speedup,
    avg(samples) as samples,
    max(peak_bytes) as peak_bytes,
    avg(gap) as gap,
    distance_low(seeds_low(avg(gap), stddev_samp(gap), count(*), min(gap_low))) as gap_low,
    seeds_high(avg(gap), stddev_samp(gap), count(*), max(gap_high)) as gap_high,
    avg(noise_floor) as noise_floor,
    priced.setting
from priced
left join setting_labels on setting_labels.setting = priced.setting
group by dataset, architecture, forget_set, variant, param, game, method, scope, priced.setting
order by
    dataset, architecture, forget_set, variant, param, game, method, trainable_parameters, scope,
    priced.setting;
