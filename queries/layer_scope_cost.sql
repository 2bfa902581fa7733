-- What does restricting unlearning to some layers save, and what does it cost in closeness to retraining?
-- grain: dataset, architecture, forget set, method and scope, over seeds
-- param metric = "accuracy": measure of closeness
-- param split = "forget": where it is measured
-- param attack = "none": the cells it is taken from
-- speedup is retraining's device seconds divided by unlearning's. gap is the mean distance to the retrained
-- model of the same seed; its 95 % interval is Student's t over seeds from three seeds on, and with fewer
-- reaches from the lowest to the highest end of the seeds' own. noise_floor: the same distance for a second
-- retrained model. Of cells measured more than once the latest counts.
with audited as (
    select
        model_id,
        dataset,
        architecture,
        forget_set,
        method,
        scope,
        seed,
        avg(abs(difference)) as gap,
        avg(greatest(difference_low, -difference_high, 0)) as gap_low,
        avg(greatest(-difference_low, difference_high)) as gap_high,
        avg(noise_floor) as noise_floor
    from leaderboard
    semi join plan_cells using (cell_id)
    where metric = $metric
        and split = $split
        and attack = $attack
        and role = 'audited'
        and label is null
        and difference is not null
    group by all
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
    method,
    scope,
    count(*) as seeds,
    avg(trainable_parameters) as trainable_parameters,
    avg(trainable_parameters / num_parameters) as trainable_share,
    avg(device_seconds) as device_seconds,
    avg(retrained_device_seconds) as retrained_device_seconds,
    avg(retrained_device_seconds / nullif(device_seconds, 0)) as speedup,
    avg(samples) as samples,
    max(peak_bytes) as peak_bytes,
    avg(gap) as gap,
    greatest(0, seeds_low(avg(gap), stddev_samp(gap), count(*), min(gap_low))) as gap_low,
    seeds_high(avg(gap), stddev_samp(gap), count(*), max(gap_high)) as gap_high,
    avg(noise_floor) as noise_floor
from priced
group by dataset, architecture, forget_set, method, scope
order by dataset, architecture, forget_set, method, trainable_parameters, scope;
