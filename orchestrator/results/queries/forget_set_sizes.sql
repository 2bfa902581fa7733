-- How many examples does each forget set have?
-- grain: forget set
select
    forget_set,
    max(forget_size) as n
from asked_cells
group by all
order by forget_set;
