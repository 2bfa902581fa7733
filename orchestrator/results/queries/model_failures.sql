-- Which attacks on a model failed, and why?
-- grain: attack and error
-- param forget_set
-- param architecture
-- param method
-- param scope
select
    attack,
    error_type,
    error,
    count(*) as times
from asked_cells
where status = 'failed'
    and forget_set = $forget_set
    and architecture = $architecture
    and method = $method
    and scope = $scope
group by all
order by attack, error;
