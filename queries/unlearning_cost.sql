-- What does each method cost next to training again without the data?
-- grain: dataset, architecture, forget set, method, scope and setting of the model, over seeds
-- ratio is device seconds of unlearning by those of the retrained model of the same seed; least and most are the
-- extremes over seeds, for a cost is measured, not estimated.
with priced as (
    select
        unlearned.dataset,
        unlearned.architecture,
        unlearned.forget_set,
        unlearned.method,
        unlearned.scope,
        unlearned.setting,
        unlearned.seed,
        unlearned.device,
        coalesce(unlearned.device_seconds, unlearned.seconds) as device_seconds,
        coalesce(retrained.device_seconds, retrained.seconds) as retrained_device_seconds,
        unlearned.samples,
        unlearned.peak_bytes,
        unlearned.trainable_parameters,
        unlearned.num_parameters
    from plan_models as unlearned
    left join models as retrained
        on retrained.model_id = unlearned.retrained_id
        and retrained.status = 'finished'
    where unlearned.kind = 'unlearned'
        and unlearned.status = 'finished'
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
    avg(device_seconds) as device_seconds,
    avg(retrained_device_seconds) as retrained_device_seconds,
    avg(device_seconds / nullif(retrained_device_seconds, 0)) as ratio,
    min(device_seconds / nullif(retrained_device_seconds, 0)) as ratio_least,
    max(device_seconds / nullif(retrained_device_seconds, 0)) as ratio_most,
    avg(samples) as samples,
    max(peak_bytes) as peak_bytes,
    max(trainable_parameters) as trainable_parameters,
    max(trainable_parameters / nullif(num_parameters, 0)) as trainable_share,
    priced.setting
from priced
left join setting_labels on setting_labels.setting = priced.setting
group by dataset, architecture, forget_set, method, scope, device, priced.setting
order by dataset, architecture, forget_set, ratio, method, scope, device, priced.setting;
