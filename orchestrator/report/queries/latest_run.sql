-- What was run last?
-- grain: one run, or none
select *
from runs
order by started_at desc
limit 1;
