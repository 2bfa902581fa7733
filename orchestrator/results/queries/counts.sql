-- How much do these results hold?
-- grain: one row
select
    count(*) filter (where status = 'finished') as finished,
    count(*) filter (where status = 'failed') as failed,
    count(distinct method) filter (where role = 'audited') as methods,
    count(distinct architecture) as architectures,
    count(distinct forget_set) as forget_sets,
    count(distinct seed) as seeds
from asked_cells;
