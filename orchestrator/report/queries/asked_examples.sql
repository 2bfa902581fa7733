-- Which examples were to be forgotten?
-- grain: example
-- param forget_set
-- param architecture
-- param method
-- param scope
select forget_sets.*
from forget_sets
where forget_set = $forget_set
    and forget_digest in (
        select forget_digest
        from asked_cells
        where forget_set = $forget_set
            and architecture = $architecture
            and method = $method
            and scope = $scope
    )
order by example_id;
