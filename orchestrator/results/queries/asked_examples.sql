-- Which examples were to be forgotten?
-- grain: example
-- param forget_set
-- param architecture
-- param method
-- param scope
-- A name that stands for several choices of examples has gained digits in `asked_cells`; `cells` knows it without.
select forget_sets.*
from forget_sets
where (forget_set, forget_digest) in (
    select (cells.forget_set, cells.forget_digest)
    from asked_cells
    join cells on cells.cell_id = asked_cells.cell_id
    where asked_cells.forget_set = $forget_set
        and asked_cells.architecture = $architecture
        and asked_cells.method = $method
        and asked_cells.scope = $scope
)
order by example_id;
