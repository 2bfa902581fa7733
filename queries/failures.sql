-- What failed, and why?
-- shown: error_type, error, what, method, scope, attack, forget_set, architecture, seed
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
