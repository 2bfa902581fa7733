-- Which run does this rest on, or of all runs which is the last?
-- grain: one run, or none
select runs.*
from runs
cross join asked_run
where runs.run_id = asked_run.run_id
    or asked_run.run_id = 'all'
order by runs.ordinal desc, runs.run_id desc
limit 1;
