-- Where did the time go?
-- grain: stage, device, dataset, architecture, method, scope and attack
-- param stage = null: only this stage
select
    stage,
    device,
    dataset,
    architecture,
    method,
    scope,
    attack,
    stages,
    seconds,
    seconds / sum(seconds) over () as share,
    median_seconds,
    device_seconds,
    peak_bytes,
    samples,
    forward_samples,
    trainable_parameters
from cost_by_stage
where $stage is null or stage = $stage
order by seconds desc, stage, device, dataset, architecture, method, scope, attack;
