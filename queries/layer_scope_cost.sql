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
from scopes_beside_all as paired
left join setting_labels on setting_labels.setting = paired.setting
where metric = $metric
    and split = $split
    and attack = $attack
group by dataset, architecture, forget_set, variant, param, game, method, scope, paired.setting
order by
    dataset, architecture, forget_set, variant, param, game, method, trainable_parameters, scope,
    paired.setting;
