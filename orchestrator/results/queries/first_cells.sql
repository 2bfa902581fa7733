-- Which cell of each model under each attack is drawn: that of the first seed?
-- grain: dataset, architecture, forget set, method, scope and attack
select distinct on (dataset, architecture, forget_set, method, scope, attack)
    dataset,
    architecture,
    forget_set,
    method,
    scope,
    attack,
    cell_id
from plan_cells
order by dataset, architecture, forget_set, method, scope, attack, seed, cell_id;
