-- Which runs computed the cells of this plan, and which asked for it?
-- grain: run
select runs.*
from runs
where runs.run_id in (select run_id from asked_cells)
    or runs.run_id in (select run_id from asked_run)
order by runs.ordinal, runs.run_id;
