-- What failed for which reasons, with one place where each happened?
-- grain: what (cell or model) and error
select
    error_type,
    error,
    what,
    count(*) as times,
    any_value(architecture) as architecture,
    any_value(method) as method,
    any_value(scope) as scope,
    any_value(attack) as attack,
    any_value(forget_set) as forget_set,
    any_value(seed) as seed
from failures
group by error_type, error, what
order by times desc, error_type, error;
