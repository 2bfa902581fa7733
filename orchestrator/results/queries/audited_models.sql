-- Which models may a certificate be about?
-- grain: forget set, method, architecture, scope and role
-- finished: cells of the model that have finished; where none has, error is why one of them failed.
select
    forget_set,
    method,
    architecture,
    scope,
    role,
    count(*) filter (where status = 'finished') as finished,
    any_value(error_type || ': ' || error) as error
from asked_cells
where role in ('audited', 'ceiling')
group by all;
