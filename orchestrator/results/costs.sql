-- Device seconds by those of another model; null where the other ran on another kind of device, or took none.
create or replace temp macro device_ratio(seconds, device, other_seconds, other_device) as
    seconds / nullif(if(other_device = device, other_seconds, null), 0);

-- What models cost: one row per finished model behind the plan.
-- own_*: its training or unlearning alone. shared_*: the stages that it rests on and shares with others (saliency, Fisher
-- information), in full, whichever model asked for them first. Without a prefix: both together. Times of several kinds
-- of device are not added, nor divided by one another: such sums and ratios are null, and shared_* times are where a
-- shared stage ran on another kind than the model. ratio: device seconds of an unlearned model by those of training again
-- without the data, at the same seed.
create or replace temp view model_costs as
with rests as (
    select
        model_id,
        device,
        unnest(from_json(rests_on_json, '["VARCHAR"]')) as stage_id
    from plan_models as models
    where status = 'finished'
),
shared as (
    select
        rests.model_id,
        count(*) as stages,
        min(costs.device = rests.device) as same_device,
        if(same_device, sum(costs.seconds), null) as seconds,
        if(same_device, sum(coalesce(costs.device_seconds, costs.seconds)), null) as device_seconds,
        cast(sum(costs.samples) as bigint) as samples,
        cast(sum(costs.forward_samples) as bigint) as forward_samples,
        max(costs.peak_bytes) as peak_bytes
    from rests
    join costs on costs.stage_id = rests.stage_id
    group by rests.model_id
),
added as (
    select
        models.model_id,
        models.retrained_id,
        models.device,
        models.num_parameters,
        models.trainable_parameters,
        models.seconds as own_seconds,
        coalesce(models.device_seconds, models.seconds) as own_device_seconds,
        models.samples as own_samples,
        models.forward_samples as own_forward_samples,
        coalesce(shared.stages, 0) as shared_stages,
        if(shared.model_id is null, 0, shared.seconds) as shared_seconds,
        if(shared.model_id is null, 0, shared.device_seconds) as shared_device_seconds,
        coalesce(shared.samples, 0) as shared_samples,
        coalesce(shared.forward_samples, 0) as shared_forward_samples,
        greatest(models.peak_bytes, shared.peak_bytes) as peak_bytes
    from plan_models as models
    left join shared on shared.model_id = models.model_id
    where models.status = 'finished'
        and models.kind <> 'shadow'
),
summed as (
    select
        *,
        own_seconds + shared_seconds as seconds,
        own_device_seconds + shared_device_seconds as device_seconds,
        own_samples + shared_samples as samples,
        own_forward_samples + shared_forward_samples as forward_samples
    from added
)
select
    summed.* exclude (retrained_id),
    if(retrained.device = summed.device, retrained.device_seconds, null) as retrained_device_seconds,
    device_ratio(summed.device_seconds, summed.device, retrained.device_seconds, retrained.device) as ratio
from summed
left join summed as retrained on retrained.model_id = summed.retrained_id;
