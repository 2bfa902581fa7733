-- What failed, and why?
-- grain: failed cell or model
select
    what,
    error_type,
    error,
    dataset,
    architecture,
    method,
    scope,
    attack,
    forget_set,
    seed,
    run_id,
    finished_at,
    id
from failures
order by error_type, what, dataset, architecture, method, scope, attack, forget_set, seed, id;
