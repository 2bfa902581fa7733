-- Where did the time of the audit itself go?
-- grain: stage and device
select
    stage,
    device,
    sum(stages) as stages,
    sum(seconds) as seconds,
    sum(device_seconds) as device_seconds,
    max(peak_bytes) as peak_bytes
from cost_by_stage
group by all
order by seconds desc;
