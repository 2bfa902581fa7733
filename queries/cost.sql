-- Where did the time go?
-- shown: stage, method, scope, attack, architecture, device, stages, seconds, share, device_seconds
-- shown: peak_bytes, median_seconds, samples, setting_label
-- grain: stage, device, dataset, architecture, method, scope, attack and setting
-- param stage = null: only this stage
-- Of the stages behind the plan that the answer rests on, whichever run has paid for them.
select
    stage,
    device,
    dataset,
    architecture,
    method,
    scope,
    attack,
    setting_labels.label as setting_label,
    stages,
    seconds,
    seconds / sum(seconds) over () as share,
    median_seconds,
    device_seconds,
    peak_bytes,
    samples,
    forward_samples,
    trainable_parameters,
    cost_by_stage.setting
from cost_by_stage
left join setting_labels on setting_labels.setting = cost_by_stage.setting
where $stage is null or stage = $stage
order by seconds desc, stage, device, dataset, architecture, method, scope, attack, cost_by_stage.setting;
