-- Which cell of a model under an attack is drawn: that of the first seed?
-- grain: one cell, or none
-- param dataset
-- param architecture
-- param method
-- param scope
-- param attack
-- param forget_set
select cell_id
from plan_cells
where dataset = $dataset
    and architecture = $architecture
    and method = $method
    and scope = $scope
    and attack = $attack
    and forget_set = $forget_set
order by seed, cell_id
limit 1;
