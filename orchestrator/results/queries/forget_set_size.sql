-- How many examples does a forget set have, where the examples themselves are not recorded?
-- grain: forget set
-- param forget_set = null: only this one
select
    forget_set,
    max(forget_size) as n
from asked_cells
where $forget_set is null
    or forget_set = $forget_set
group by forget_set;
