-- What does each method cost next to training again without the data?
-- shown: architecture, forget_set, method, scope, ratio, ratio_least, ratio_most, device_seconds
-- shown: retrained_device_seconds, shared_device_seconds, peak_bytes, trainable_share, device, seeds
-- shown: setting_label
-- grain: dataset, architecture, forget set, method, scope, setting of the model and device, over seeds
-- own: unlearning alone; shared: the stages that it rests on (saliency, Fisher information), in full,
-- whichever model asked for them first; without a prefix both. ratio is device seconds of both by those of
-- the retrained model of the same seed on the same kind of device; least and most are the extremes over
-- seeds, for a cost is measured, not estimated.
with priced as (
    select
        unlearned.dataset,
        unlearned.architecture,
        unlearned.forget_set,
        unlearned.method,
        unlearned.scope,
        unlearned.setting,
        unlearned.seed,
        model_costs.*
    from plan_models as unlearned
    join model_costs on model_costs.model_id = unlearned.model_id
    where unlearned.kind = 'unlearned'
)
select
    dataset,
    architecture,
    forget_set,
    method,
    scope,
    any_value(setting_labels.label) as setting_label,
    device,
    count(*) as seeds,
    avg(own_device_seconds) as own_device_seconds,
    avg(shared_device_seconds) as shared_device_seconds,
    avg(device_seconds) as device_seconds,
    avg(retrained_device_seconds) as retrained_device_seconds,
    avg(ratio) as ratio,
    min(ratio) as ratio_least,
    max(ratio) as ratio_most,
    avg(own_samples) as own_samples,
    avg(shared_samples) as shared_samples,
    avg(samples) as samples,
    avg(forward_samples) as forward_samples,
    max(peak_bytes) as peak_bytes,
    max(trainable_parameters) as trainable_parameters,
    max(trainable_parameters / nullif(num_parameters, 0)) as trainable_share,
    priced.setting
from priced
left join setting_labels on setting_labels.setting = priced.setting
group by dataset, architecture, forget_set, method, scope, device, priced.setting
order by dataset, architecture, forget_set, ratio, method, scope, device, priced.setting;
