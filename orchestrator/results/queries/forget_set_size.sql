-- How many examples does a forget set have, where the examples themselves are not recorded?
-- grain: one row
-- param forget_set
select max(forget_size) as n
from asked_cells
where forget_set = $forget_set;
